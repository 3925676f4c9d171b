"""A notice: a reply of a person, passed on to the organisers with the letter it answers.

What it says first are the new words, so that most notices need not be opened further; the mail itself hangs
on it. A mail of plain ASCII goes along as message/rfc822, which must not be encoded (RFC 2046 5.2.1); any
other as a file, reply.eml, so that not an octet of it changes. RFC 3834 5: `Auto-Submitted: auto-generated`,
and the return path is null (`<>`, RFC 5321 4.5.5), so that nothing answers it.

Who gets one: every address of `[replies] forward_to`, but for who wrote the reply and who passed it on; a
reply of one of us is passed on to nobody, for then notices could go round.

Pure. Limits: 20,000 characters of words for each reply, 10 MB of originals in one notice; a larger one stays
in the store.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.letters.message import NOT_IN_TEXT, Attachment, Head, attachment_part, build_mixed
from pipeline.mail.address import Mailbox
from pipeline.mail.headers import LONGEST_LINE

LONGEST_WORDS = 20_000  # characters
LONGEST_SUBJECT = 150
MOST_ATTACHED = 10_000_000  # octets
FIELDS = (
    ("Auto-Submitted", b"auto-generated"),
    ("X-Auto-Response-Suppress", b"All"),
)
_BREAKS = re.compile(rb"\r\n|\r|\n")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Passed:
    """A reply to be passed on; ``raw`` is the mail as it came, ``letter`` and ``to`` what it answers."""

    number: int
    name: str
    address: str
    subject: str
    text: str
    received: datetime
    raw: bytes
    forwarded_by: str = ""
    letter: int | None = None
    to: str = ""
    review: str = ""


def goes_to(
    whose: str, forwarded_by: str, organisers: Sequence[Mailbox], ours: Collection[str]
) -> list[Mailbox]:
    """Return whom a reply is passed on to.

    Args:
        whose: the address of its author.
        forwarded_by: who passed it on to us already; "" for nobody.
        organisers: `[replies] forward_to`.
        ours: addresses we write from, lower case.
    """
    if whose.lower() in ours:
        return []
    had = {whose.lower(), forwarded_by.lower()}
    return [one for one in organisers if one.address.wire.lower() not in had]


def notice(
    found: Sequence[Passed], *, campaign: str, author: Mailbox, to: Mailbox, message_id: str, now: datetime
) -> bytes:
    """Return the notice's message for one or more replies. Raises MessageFault."""
    parts, left = [], MOST_ATTACHED
    for one in found:
        if len(one.raw) <= left:
            parts.append(_original(one))
            left -= len(one.raw)
    head = Head(
        author_name=author.name,
        author=author.address.wire,
        to_name=to.name,
        to=to.address.wire,
        subject=_subject(found, campaign),
        message_id=message_id,
        date=now,
        language="en",
        extra=FIELDS,
        smtputf8=not to.address.wire.isascii(),
    )
    return build_mixed(head, text="\n\n".join(_words(one) for one in found), parts=parts)


def _subject(found: Sequence[Passed], campaign: str) -> str:
    about = f"{len(found)} replies" if len(found) > 1 else found[0].subject or "a reply"
    return _line(f"[{campaign}] {about}")[:LONGEST_SUBJECT]


def _words(one: Passed) -> str:
    whose = f"{one.name} <{one.address}>" if one.name else one.address or "Somebody"
    answers = f"letter {one.letter} to {one.to}" if one.letter is not None else "no letter that is known"
    lines = [_line(f"{whose} answers {answers}.")]
    if one.forwarded_by:
        lines.append(_line(f"Passed on by {one.forwarded_by}; who wrote it is that person's word."))
    if one.review == "optout":
        lines.append("It may be an opt-out: `campaign replies review` waits for your word.")
    lines += ["", NOT_IN_TEXT.sub("\N{REPLACEMENT CHARACTER}", one.text[:LONGEST_WORDS]), "", "-- "]
    lines.append(
        f"reply {one.number}, {one.received:%Y-%m-%d %H:%M %Z}: `campaign replies show {one.number}`"
    )
    if len(one.raw) > MOST_ATTACHED:
        lines.append("The mail itself is too large to be passed on; it is in the store.")
    return "\n".join(lines)


def _original(one: Passed) -> bytes:
    """Return the part that holds the mail as it came."""
    raw = _BREAKS.sub(b"\r\n", one.raw)
    plain = raw.isascii() and b"\0" not in raw and max(map(len, raw.split(b"\r\n"))) <= LONGEST_LINE
    if not plain:
        return attachment_part(Attachment("reply.eml", one.raw, "application/octet-stream"))
    head = b'Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename="reply.eml"\r\n\r\n'
    return head + raw


def _line(text: str) -> str:
    return " ".join(_UNSAFE.sub(" ", text).split())
