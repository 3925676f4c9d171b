"""From a letter to what goes on the wire: the envelope as the relay's offer allows it.

RFC 5321 4.1.1.2-3 (MAIL, RCPT), RFC 1870 (SIZE), RFC 6152 (BODY=8BITMIME), RFC 6531 3.4 (SMTPUTF8), RFC 3461
4 (NOTIFY, ORCPT, RET, ENVID; xtext). A parameter is used only when it was offered. A letter the relay cannot
take as it is never reaches MAIL: `Unfit` says why, in words.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from pipeline.delivery.letter import Letter, Parcel, State
from pipeline.letters.message import dot_stuff

if TYPE_CHECKING:
    from pipeline.delivery.connect import Offer  # all that speaks to relays: slow to load

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_NOT_XTEXT = re.compile(r"[^!-*,-<>-~]")
COMMAND_LIMIT = 2_000  # octets; RFC 5321 asks for 512 plus what each extension adds


class Unfit(Exception):
    """The letter cannot go as it is: the relay cannot take it (then it has failed), or ``state`` says what
    else becomes of it."""

    def __init__(self, why: str, state: State = State.FAILED) -> None:
        super().__init__(why)
        self.state = state


class Composed(NamedTuple):
    """A letter's bytes (CRLF, not dot-stuffed) and the moment in its Date.

    ``dotless``: it is whole lines, of which none begins with a dot, so DATA sends it as it is.
    """

    content: bytes
    built_at: datetime
    dotless: bool = False


Compose = Callable[[Letter, bool], Composed]  # the flag: 8-bit bodies are allowed


@dataclass(frozen=True, slots=True)
class Packing:
    """How letters of a run are packed."""

    compose: Compose
    return_path: Callable[[Letter], str]
    envelope_id: Callable[[Letter], str]  # RFC 3461 4.4: ties a notice to its letter
    eightbit: bool = False

    def pack(self, letter: Letter, offer: Offer) -> Parcel:
        """Return the next attempt at ``letter`` for a relay with ``offer``.

        Raises Unfit, and what ``compose`` raises.
        """
        content, built_at, dotless = self.compose(letter, self.eightbit and offer.eightbit)
        if letter.sha256 and letter.sha256 != hashlib.sha256(content).hexdigest():
            raise Unfit(
                "its text changed since its first attempt, and the bytes of that attempt were not kept"
            )
        size, plain = len(content), content.isascii()
        return_path = self.return_path(letter)
        smtputf8 = not (letter.email.isascii() and return_path.isascii())
        _check(offer, size=size, plain=plain, smtputf8=smtputf8)
        mail = f"MAIL FROM:<{return_path}>"
        if offer.size is not None or offer.announces_size:
            mail = f"{mail} SIZE={size}"
        if not plain:
            mail += " BODY=8BITMIME"
        if smtputf8:
            mail += " SMTPUTF8"
        if offer.dsn:
            mail = f"{mail} RET=HDRS ENVID={xtext(self.envelope_id(letter))}"
        return Parcel(
            letter,
            letter.attempts + 1,
            _command(mail),
            _rcpt(letter.email, offer),
            content if dotless else dot_stuff(content),
            content,
            letter.sha256,
            built_at,
        )


def _check(offer: Offer, *, size: int, plain: bool, smtputf8: bool) -> None:
    if smtputf8 and not offer.smtputf8:
        raise Unfit("an address of it needs SMTPUTF8, which the relay does not offer")
    if not plain and not offer.eightbit:
        raise Unfit("its frozen text is 8-bit, which the relay does not take any more (8BITMIME)")
    if offer.size is not None and size > offer.size:
        raise Unfit(f"it has {size} octets; the relay takes {offer.size}")


def _rcpt(address: str, offer: Offer) -> bytes:
    if not offer.dsn:
        return _command(f"RCPT TO:<{address}>")
    original = f" ORCPT=rfc822;{xtext(address)}" if address.isascii() else ""
    return _command(f"RCPT TO:<{address}> NOTIFY=FAILURE,DELAY{original}")


def _command(text: str) -> bytes:
    line = text.encode()
    if len(line) > COMMAND_LIMIT or (not text.isprintable() and _CONTROL.search(line)):
        raise Unfit("its address cannot be put into an SMTP command")
    return line


def xtext(text: str) -> str:
    """Return ``text`` (ASCII) as xtext: "+", "=" and what is not printable as +XX (RFC 3461 4)."""
    if _NOT_XTEXT.search(text) is None:
        return text
    return _NOT_XTEXT.sub(lambda found: f"+{ord(found[0]):02X}", text)
