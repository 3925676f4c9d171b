"""Suppressions: the addresses that are not to be written to, and why.

Contract: pure words and one hash. The store keeps the records, the send gate asks for them by hash, and a
record outlives the address it was made from: after `erase` the hash alone remains, so that a later import of
the same person stays suppressed (GDPR 17(3)(b), 21(3)). Without the store's key a hash tells nothing about
the address.

Standards: RFC 2104 (HMAC), RFC 5321 2.4 (what "the same address" means: see `pipeline.mail.address`).

Limits: a suppression is of one address, never of a domain, and plus tags count as part of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pipeline.mail.identity import keyed_hash

MIN_KEY = 16  # octets; a shorter key could be guessed together with the address
_HASH = re.compile(r"[0-9a-f]{64}")


class Reason(StrEnum):
    """Why an address is not to be written to; the value is what the store and the files hold."""

    BOUNCED = "bounced"  # a server said for good that there is no such mailbox or no such domain
    FULL = "full"  # its mailbox was full three times in thirty days or more
    COMPLAINT = "complaint"  # its owner, or the owner's provider, reported a letter as unwanted
    OPTOUT = "optout"  # its owner asked not to be written to
    OPERATOR = "operator"  # the organisers decided so, in their own words
    IMPORTED = "imported"  # it came with a list of suppressions from another program
    ERASED = "erased"  # its owner asked for erasure; only the hash is left


# For these the owner's wish stands: lifting one asks for a reason in words, address by address.
OWNERS_WORD = frozenset({Reason.COMPLAINT, Reason.OPTOUT, Reason.ERASED})


@dataclass(frozen=True, slots=True)
class Suppression:
    """One address that is not to be written to.

    Raises:
        ValueError: ``hash`` is not 64 lower-case hexadecimal digits, or ``since`` has no time zone.
    """

    hash: str  # of the address key, by `suppression_hash`
    address: str | None  # for people to read; None once it was erased
    reason: Reason
    source: str  # where we know it from: a response's text, a reply's id, "suppress add", a file's name
    since: datetime  # aware

    def __post_init__(self) -> None:
        if not _HASH.fullmatch(self.hash):
            raise ValueError("a suppression's hash is 64 lower-case hexadecimal digits")
        if self.since.tzinfo is None:
            raise ValueError("a suppression's date has no time zone")


def suppression_hash(key: bytes, address_key: str) -> str:
    """Return the HMAC-SHA256 of an address key, as 64 lower-case hexadecimal digits.

    Args:
        key: the store's secret, at least 16 octets.
        address_key: ``Address.key``, never the address as written.

    Raises:
        ValueError: the key is too short.
    """
    if len(key) < MIN_KEY:
        raise ValueError(f"the key of the suppressions needs at least {MIN_KEY} octets")
    return keyed_hash(key, address_key.encode()).hex()
