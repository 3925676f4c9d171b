"""What follows from a reply: the one place where a mail that came back leads to anything.

    the mail                                     is tied or named to a letter    is not
    bounce, of the letter's recipient            suppressed or a strike          nothing
    complaint                                    recipient suppressed            nothing
    opt-out                                      recipient and writer suppressed writer suppressed
    one of us wrote it, no letter was to them    nothing                         nothing
    human, auto, receipt, delivered              sign of life                    nothing
    any of them, and our own letter come back    a letter in doubt was sent      nothing

"Tied" is what nobody can guess: the token, the envelope id, our Message-ID in what is returned. "Named" is
our Message-ID in In-Reply-To or References. A match by likeness alone (subject, quotation, address) acts for
nobody but its own writer. A doubtful opt-out (`review`) waits for a person; what somebody passed on is his
word and acts on nothing. No mail is ever answered.

Pure: values in, values out. How many strikes are enough is `pipeline.replies.strikes`' business.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pipeline.mail.address import AddressFault, address_key
from pipeline.recipients import suppression
from pipeline.replies import strikes
from pipeline.replies.kinds import Kind, Reason
from pipeline.replies.matching import SentLetter
from pipeline.replies.reading import Reading

LONGEST_SOURCE = 200  # characters
_LIFE = frozenset({Kind.HUMAN, Kind.AUTO, Kind.RECEIPT, Kind.DELIVERED})


@dataclass(frozen=True, slots=True)
class Barring:
    """An address key that is not to be written to, and why."""

    key: str
    reason: suppression.Reason
    source: str


@dataclass(frozen=True, slots=True)
class Acts:
    """What to do; ``strike`` and ``alive`` are about the key of the letter's recipient."""

    bar: tuple[Barring, ...] = ()
    strike: tuple[str, Reason, str] | None = None  # key, why, what the server said
    alive: str = ""
    settle: str = ""  # why a letter in doubt was surely sent; "" for no evidence


def acts(reading: Reading, letter: SentLetter | None, ours: Collection[str]) -> Acts:
    """Return what follows from a mail.

    Args:
        reading: the mail.
        letter: what it matches, or None.
        ours: addresses we write from, lower case: they never opt out of their own campaign.
    """
    found = reading.match
    sure = letter is not None and found.named and not found.forwarded_by
    recipient = _key(letter.recipient) if letter is not None and sure else ""
    settle = f"{_named(reading)} came back: {found.why[0]}" if sure and found.why else ""
    if reading.ours:
        return Acts(settle=settle)
    match reading.kind:
        case Kind.BOUNCE if found.tied and recipient:
            return _of_bounce(reading, recipient, settle)
        case Kind.COMPLAINT if found.tied and recipient:
            source = _source(f"a complaint, {'; '.join(reading.why)}")
            return Acts((Barring(recipient, suppression.Reason.COMPLAINT, source),), settle=settle)
        case _ if reading.address.lower() in ours and _key(reading.address) != recipient:
            return Acts(settle=settle)  # one of us, in copy, speaks for nobody we wrote to
        case Kind.OPTOUT if not found.forwarded_by:
            return Acts(opt_out(reading.address, recipient, reading.why, ours), settle=settle)
        case kind if kind in _LIFE and recipient:
            return Acts(alive=recipient, settle=settle)
    return Acts(settle=settle)


def opt_out(writer: str, recipient: str, why: Collection[str], ours: Collection[str]) -> tuple[Barring, ...]:
    """Return whom an opt-out concerns: who wrote it, and the recipient key ("" for none) of the letter."""
    keys = dict.fromkeys(key for key in (recipient, _key(writer)) if key)
    source = _source(f"a reply: {'; '.join(why)}")
    return tuple(
        Barring(key, suppression.Reason.OPTOUT, source)
        for key in keys
        if key == recipient or (key not in ours and writer.lower() not in ours)
    )


def _of_bounce(reading: Reading, recipient: str, settle: str) -> Acts:
    """The reason decides, and only what the report says of the letter's own recipient counts."""
    for one in reading.recipients:
        if _key(one.address) != recipient:
            continue
        said = _source(f"a bounce: {one.said or one.status or one.reason}")
        if one.suppress:
            return Acts((Barring(recipient, suppression.Reason.BOUNCED, said),), settle=settle)
        if one.reason is not None and strikes.counts(one.reason):
            return Acts(strike=(recipient, one.reason, said), settle=settle)
    return Acts(settle=settle)


def _named(reading: Reading) -> str:
    return f"{'an' if reading.kind.value[0] in 'aou' else 'a'} {reading.kind.value} mail"


def _source(text: str) -> str:
    return " ".join(text.split())[:LONGEST_SOURCE]


def _key(address: str) -> str:
    """Return an address's key; "" for what is none."""
    try:
        return address_key(address)
    except AddressFault:
        return ""
