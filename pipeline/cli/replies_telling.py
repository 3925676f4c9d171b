"""Replies in words and as JSON, for `replies fetch`, `list` and `show` and for `show`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.store.replies import ReplyLine

FIRST_WORDS = 60  # characters of a reply in a list


def reply_document(line: ReplyLine) -> dict[str, Any]:
    """Return the keys of a reply that others rely on."""
    return {
        "id": line.id,
        "letter": line.letter,
        "to": line.to,
        "kind": line.kind,
        "form": line.form,
        "received_at": line.received_at,
        "from": {"name": line.name, "address": line.address},
        "forwarded_by": line.forwarded_by,
        "subject": line.subject,
        "text": line.text,
        "why": line.why,
        "matched": line.matched,
        "score": line.score,
        "candidates": [{"letter": letter, "score": score} for letter, score in line.candidates],
        "assigned": line.assigned,
        "review": line.review,
        "case": line.case,
        "returns": line.returns,
        "attachments": line.attachments,
        "recipients": [
            {key: one.get(key) for key in ("address", "status", "reason", "suppress")}
            for one in line.recipients
        ],
    }


def reply_row(line: ReplyLine, zone: tzinfo) -> tuple[str, ...]:
    """Return a reply as a row of a list."""
    whose = line.name or line.address or "-"
    letter = f"letter {line.letter}" if line.letter is not None else "no letter"
    words = " ".join((line.text or line.subject).split())
    short = words[:FIRST_WORDS] + ("…" if len(words) > FIRST_WORDS else "")
    mark = " ?" if line.review else ""
    return (
        str(line.id),
        f"{line.received_at.astimezone(zone):%Y-%m-%d %H:%M}",
        f"{line.kind}{mark}",
        letter,
        whose,
        short,
    )


def reply_lines(line: ReplyLine, zone: tzinfo) -> Iterator[str]:
    """Yield all that is known of a reply; what came from outside is made visible."""
    from pipeline.cli.telling import local_moment
    from pipeline.problem import visible

    kind = f"{line.kind} ({line.form})" if line.form else line.kind
    whose = f"{line.name} <{line.address}>" if line.name else line.address or "nobody"
    yield f"reply {line.id}: {kind}, from {visible(whose)}, {local_moment(line.received_at, zone)}"
    if line.forwarded_by:
        yield f"  forwarded by {visible(line.forwarded_by)}: unverified"
    yield f"  subject: {visible(line.subject)}"
    if line.letter is not None:
        yield f"  answers letter {line.letter} to {visible(line.to)} (score {line.score})"
    else:
        yield "  answers no letter that is known"
        for letter, score in line.candidates:
            yield f"    perhaps letter {letter} (score {score})"
    yield from (f"    for {visible(why)}" for why in line.matched)
    yield from (f"  because: {visible(why)}" for why in line.why)
    if line.review:
        yield f"  a person should look: {line.review}"
    if line.case:
        yield f"  case {visible(line.case)}"
    if line.returns:
        yield f"  back or away until {line.returns}"
    for one in line.recipients:
        said = visible(f"{one.get('status') or ''} {one.get('reason') or ''}".strip())
        yield f"  {visible(one['address'])}: {said or 'named'}"
    for file in line.attachments:
        yield f"  attached: {visible(file['name'] or file['type'])} ({file['size']} octets)"
    if line.text:
        yield ""
        yield from (f"  {visible(text)}" for text in line.text.splitlines())
