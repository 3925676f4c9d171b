"""One mail, read whole: what it is, which letter it answers, what it says.

`read_reply` joins the three readers: sorting (`sort_mail`), matching (`traces`, `match`) and the words
(`new_text`). Three things are decided here and nowhere else:
    a mail under the Message-ID of a letter or notice of ours is our own, come back: kind unknown, no reply
    a reply that one of us passed on (`unwrap`) counts as the inner author's; it is unverified, so an opt-out
        in it is looked at by a person
    a mail of which not all was fetched is unreadable: its header finds the letter, a person reads the rest

Contract: any bytes in, a `Reading` out, never an exception; what it may cost is bounded by the readers. It
acts on nothing: that is decided in `pipeline.replies.acting`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import date, datetime

from pipeline.mail.mime import Mail, read_mail
from pipeline.replies.dates import header_date
from pipeline.replies.forwarded import Forwarded, unwrap
from pipeline.replies.kinds import Form, Kind, Recipient, Verdict
from pipeline.replies.matching import NOTIFICATIONS, Letters, Match, match
from pipeline.replies.optouts import PERHAPS
from pipeline.replies.sorting import sort_mail, sort_words, unreadable
from pipeline.replies.text import Attachment, ReplyText, new_text
from pipeline.replies.traces import traces, traces_of_forwarded
from pipeline.replies.within import without_letter

UNREADABLE = "unreadable"  # for a person to look at
OWN_LETTER = "it is a letter of ours, come back"
OWN_NOTICE = "it is a notice of ours, come back"
NO_MATCH = Match(None)
_LEAVING = re.compile(r"\s*unsubscribe-([a-z0-9]{20,40})\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ourselves:
    """What is known of us: addresses we write from (lower case), the domain of our Message-IDs, the key of
    the letters' tokens, and how a notice of ours is known by its Message-ID (without angle brackets).
    """

    addresses: Collection[str]
    domain: str
    key: bytes
    is_notice: Callable[[str], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class Reading:
    """What a mail is, says and answers; ``why`` speaks of the kind, ``match`` has its own reasons."""

    kind: Kind
    why: tuple[str, ...]
    match: Match = NO_MATCH
    name: str = ""  # of the author: of a forwarded mail, the inner one
    address: str = ""
    subject: str = ""
    text: str = ""
    written: datetime | None = None  # its Date, aware
    attachments: tuple[Attachment, ...] = ()
    recipients: tuple[Recipient, ...] = ()
    review: str = ""
    form: Form | None = None
    case: str = ""
    returns: date | None = None
    message_id: str = ""
    ours: bool = False  # written by us: a letter or notice come back


def read_reply(raw: bytes, letters: Letters, ourselves: Ourselves, *, missing: str = "") -> Reading:
    """Say what a mail is.

    Args:
        raw: the mail, or what there is of it.
        letters: what was written.
        ourselves: who we are.
        missing: why there is less than the whole ("" otherwise).
    """
    mail = read_mail(raw)
    words = new_text(mail)
    verdict = sort_mail(mail, raw, words)
    if missing:
        verdict = Verdict(Kind.UNKNOWN, (f"unreadable: {missing}",), review=UNREADABLE)
    elif unreadable(mail):
        verdict = replace(verdict, review=UNREADABLE)
    reading = replace(_reading(mail, verdict, words), match=NO_MATCH)
    if own := _our_own(mail, letters, ourselves):
        return replace(reading, kind=Kind.UNKNOWN, review="", ours=True, why=own.why, match=own)
    found = _leaving(mail, letters, ourselves) if verdict.kind is Kind.OPTOUT else None
    if found is None:
        notification = verdict.kind in NOTIFICATIONS
        found = match(traces(mail), letters, key=ourselves.key, notification=notification)
    passed_on = reading.address.lower() in ourselves.addresses
    if verdict.kind in (Kind.HUMAN, Kind.OPTOUT) and (passed_on or found.letter is None):
        inner = _passed_on(mail, letters, ourselves, sure=passed_on)
        if inner is not None:
            return inner
    if verdict.kind is Kind.OPTOUT and passed_on and not _written_to(reading.address, letters, found):
        why = (*verdict.why, "one of us wrote it, to whom no letter was sent")
        reading = replace(reading, kind=Kind.HUMAN, why=why, review="optout")
    if verdict.kind is Kind.COMPLAINT and not verdict.recipients and found.tied:
        reading = replace(reading, recipients=_of_the_letter(letters, found))
    if found.letter is not None and (letter := _letter_text(letters, found)):
        words = new_text(mail, letter)
        if (verdict.kind, reading.review) == (Kind.HUMAN, "optout") and reading.kind is Kind.HUMAN:
            reading = _in_own_words(reading, verdict, mail, without_letter(words.new, letter))
    return replace(reading, match=found, text=words.new)


def _reading(mail: Mail, verdict: Verdict, words: ReplyText) -> Reading:
    name, address = mail.author
    return Reading(
        verdict.kind,
        verdict.why,
        name=name,
        address=address,
        subject=mail.subject,
        text=words.new,
        written=header_date(mail.headers.get("Date")),
        attachments=words.attachments,
        recipients=verdict.recipients,
        review=verdict.review,
        form=verdict.form,
        case=verdict.case,
        returns=verdict.returns,
        message_id=mail.message_id,
    )


def _our_own(mail: Mail, letters: Letters, ourselves: Ourselves) -> Match | None:
    """Return the letter that the mail itself is: the copy in the Sent folder, or for whoever was in Bcc."""
    if not mail.message_id:
        return None
    if ourselves.is_notice(mail.message_id):
        return Match(None, why=(OWN_NOTICE,))
    letter = letters.by_message_id(mail.message_id)
    return Match(letter.number, 100, (OWN_LETTER,), tied=True, named=True) if letter else None


def _leaving(mail: Mail, letters: Letters, ourselves: Ourselves) -> Match | None:
    """Return the letter whose List-Unsubscribe was followed: its subject holds half of the Message-ID."""
    found = _LEAVING.fullmatch(mail.subject)
    letter = letters.by_message_id(f"{found[1].lower()}@{ourselves.domain}") if found else None
    if letter is None:
        return None
    why = ("its subject is that of the letter's List-Unsubscribe",)
    return Match(letter.number, 100, why, tied=True, named=True)


def _passed_on(mail: Mail, letters: Letters, ourselves: Ourselves, *, sure: bool) -> Reading | None:
    """Return the reading of a reply that somebody passed on.

    The first that finds a letter; where none does, the outermost, if it was one of us who passed it on
    (``sure``), else None.
    """
    readings = []
    for inner in unwrap(mail, ourselves.addresses):
        found = match(traces_of_forwarded(inner), letters, key=ourselves.key, notification=False)
        reading = _inner_reading(mail, inner, found, _letter_text(letters, found))
        if found.letter is not None:
            return reading
        readings.append(reading)
    return readings[0] if readings and sure else None


def _inner_reading(mail: Mail, inner: Forwarded, found: Match, letter: str) -> Reading:
    if inner.mail is not None:
        verdict, words = sort_mail(inner.mail), new_text(inner.mail, letter)
    else:
        words = inner.text
        verdict = sort_words((inner.name, inner.address), inner.subject, words.new)
    kind, review = verdict.kind, verdict.review
    if kind is Kind.OPTOUT:
        kind, review = Kind.HUMAN, "optout"
    whose = f"forwarded by {inner.by[1]}: what it says of its author is unverified"
    return Reading(
        kind,
        (*verdict.why, whose),
        replace(found, forwarded_by=inner.by[1]),
        name=inner.name,
        address=inner.address,
        subject=inner.subject or mail.subject,
        text=words.new,
        written=inner.date,
        attachments=words.attachments,
        recipients=verdict.recipients,
        review=review,
        form=verdict.form,
        case=verdict.case,
        returns=verdict.returns,
        message_id=mail.message_id,
    )


def _in_own_words(reading: Reading, verdict: Verdict, mail: Mail, text: str) -> Reading:
    """Return the reading without its review where the letter's own footer alone spoke of an opt-out."""
    again = sort_words(mail.author, mail.subject, text)
    if again.kind is not Kind.HUMAN or again.review:
        return reading
    why = tuple(one for one in verdict.why if not one.startswith(PERHAPS))
    return replace(reading, review="", why=why)


def _of_the_letter(letters: Letters, found: Match) -> tuple[Recipient, ...]:
    """Return the matched letter's recipient: a complaint that names nobody is theirs."""
    letter = letters.by_number(found.letter) if found.letter is not None else None
    return (Recipient(letter.recipient, suppress=True),) if letter is not None else ()


def _written_to(address: str, letters: Letters, found: Match) -> bool:
    """Say whether an address is that of the matched letter's recipient."""
    letter = letters.by_number(found.letter) if found.letter is not None else None
    return letter is not None and letter.recipient.lower() == address.lower()


def _letter_text(letters: Letters, found: Match) -> str:
    letter = letters.by_number(found.letter) if found.letter is not None else None
    return letters.text_of(letter) if letter is not None else ""
