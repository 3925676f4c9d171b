"""`campaign send --dry-run`: who would get what, when, and why not. The plan is made and rolled back."""

from __future__ import annotations

from typing import Any

from pipeline.cli.folder import Checked, draft_of
from pipeline.cli.place import Place, Voice
from pipeline.cli.sending import Wishes, effective_limits, is_paused, plan, show_limits, world_words
from pipeline.cli.suppressions import opened, suppressed_keys
from pipeline.cli.telling import err, moment, next_step, out, out_json, table
from pipeline.clock import from_us, to_us
from pipeline.delivery.forecast import Passing, forecast
from pipeline.delivery.letter import State
from pipeline.errors import ExitCode
from pipeline.store import history
from pipeline.store.history import LetterLine


class _RollBack(Exception):
    """Ends the transaction of a dry run."""


def show_dry_run(place: Place, checked: Checked, wishes: Wishes, voice: Voice) -> int:
    """Show what a send would do; return the exit code."""
    lines, paused = _planned(place, checked)
    recipients = {recipient.address.wire: recipient for recipient in checked.ready}
    barred = suppressed_keys(place, [recipient.address.key for recipient in checked.ready])
    would, wont = [], []
    for line in lines:
        recipient = recipients.get(line.email)
        if wishes.only is not None and (recipient is None or recipient.address.key not in wishes.only):
            continue
        why = _why_not(line, recipient is not None and recipient.address.key in barred, place, wishes)
        if why or recipient is None:
            wont.append((line, why or f"its row is gone ({line.state})"))
        else:
            would.append((line, recipient))
    cut = len(would) if wishes.most is None else wishes.most
    wont += [(line, f"beyond --limit {wishes.most}") for line, _ in would[cut:]]
    would = would[:cut]
    limits = effective_limits(place)
    whens = list(
        forecast(
            [Passing(r.address.key, r.address.domain, r.timezone) for _, r in would],
            limits,
            zone=place.settings.timezone,
            now=place.clock.now(),
        )
    )
    rows = [
        (line, checked.composer.render(draft_of(recipient)).subject, when)
        for (line, recipient), when in zip(would, whens, strict=True)
    ]
    rows.sort(key=lambda row: row[2])
    if voice.json:
        out_json(_document(place, rows, wont, paused))
        return int(ExitCode.DONE)
    zone = place.settings.timezone
    if rows:
        head = ("when", "to", "language", "subject")
        body = [
            (f"{when.astimezone(zone):%a %d %b %H:%M:%S}", line.email, line.language, subject)
            for line, subject, when in rows
        ]
        for text in table([head, *body]):
            out(text)
    if wont:
        out("\nnot now:" if rows else "not now:")
        for text in table([(line.email, why) for line, why in wont]):
            out(f"  {text}")
    for skipped in checked.intake.excluded:
        out(f"  {skipped.email}: left out by exclude = yes (line {skipped.line})")
    out(
        f"\n{len(rows)} letters would go through {world_words_of(place)}, limits: {show_limits(limits)}; times are {zone.key}"
    )
    if paused:
        err(f"but all sending is paused: {paused}")
    out("this was a dry run: nothing was sent")
    next_step("`campaign preview` to read them, `campaign send` to send them")
    return int(ExitCode.DONE)


def world_words_of(place: Place) -> str:
    """Return the world and the relay for people."""
    with opened(place) as world:
        return f"{place.settings.relay.name}" if world.name == "real" else world_words(world)


def _planned(place: Place, checked: Checked) -> tuple[list[LetterLine], str]:
    """Plan as a send would, read the outcome, and take it back."""
    lines: list[LetterLine] = []
    with opened(place) as world:
        try:
            with world.campaign.writing() as connection:
                plan(place, world, checked, connection, to_us(place.clock.now()))
                lines = history.letters_in(connection, list(State))
                raise _RollBack
        except _RollBack:
            return lines, is_paused(world)


def _why_not(line: LetterLine, suppressed: bool, place: Place, wishes: Wishes) -> str:  # noqa: FBT001
    """Return why a letter would not go now; "" when it would."""
    match line.state:
        case State.SENT:
            return f"sent already{_at(line)}"
        case State.IN_DOUBT:
            return "in doubt: `campaign resolve`"
        case State.PLANNED | State.QUEUED:
            pass
        case _:
            return f"{line.state}: {line.why}"
    if suppressed:
        return "suppressed: not to be written to"
    expires = place.settings.expires
    if expires is not None and expires <= place.clock.now():
        return "campaign.expires has passed"
    if line.due_at is not None and line.due_at > place.clock.now() and not wishes.now:
        return f"put off until {moment(line.due_at)}: {line.why}"
    return ""


def _at(line: LetterLine) -> str:
    return f" ({moment(line.ended_at)})" if line.ended_at else ""


def _document(place: Place, rows: list[Any], wont: list[Any], paused: str) -> dict[str, Any]:
    return {
        "schema": 1,
        "type": "dry-run",
        "world": str(place.world_name),
        "relay": place.settings.relay.name,
        "paused": paused,
        "would_send": [
            {
                "to": line.email,
                "language": line.language,
                "subject": subject,
                "line": line.line,
                "when": moment(when),
            }
            for line, subject, when in rows
        ],
        "would_not_send": [
            {"to": line.email, "line": line.line, "state": str(line.state), "why": why} for line, why in wont
        ],
        "at": moment(from_us(to_us(place.clock.now()))),
    }
