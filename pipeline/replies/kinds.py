"""What a mail that came back can be: the ten kinds, why a recipient did not get the letter, the verdict.

Values only. A verdict's ``why`` is a list of short sentences, in the order in which they were found out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class Kind(StrEnum):
    """The ten kinds of a reply; there is no other."""

    HUMAN = "human"  # the default for all that a person may have written
    AUTO = "auto"  # out of office, acknowledgement
    BOUNCE = "bounce"
    DELAY = "delay"  # still on its way
    DELIVERED = "delivered"
    COMPLAINT = "complaint"
    OPTOUT = "optout"
    RECEIPT = "receipt"
    REPORT = "report"  # about a domain, not about a letter
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why a recipient did not get the letter."""

    NO_ADDRESS = "no such address"
    NO_DOMAIN = "no such domain"
    DISABLED = "disabled"
    MOVED = "moved"
    FULL = "full"
    RATE = "rate"
    CONTENT = "content"  # size, attachments, form
    POLICY = "policy"  # taken for spam, sender not liked, not authenticated
    RELAY = "relay"  # the server does not take mail for that domain, or from us
    LOOP = "loop"
    UNREACHABLE = "unreachable"  # host down, no route, name service
    EXPIRED = "expired"  # tried for too long
    SYSTEM = "system"  # disk full, configuration, anything inside the server
    UNCLASSIFIED = "unclassified"


class Form(StrEnum):
    """What an automatic answer is."""

    OUT_OF_OFFICE = "out of office"
    ACKNOWLEDGEMENT = "acknowledgement"


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient a report speaks of.

    ``suppress``: whether this would suppress the address if the bounce were tied to a letter of ours.
    """

    address: str
    status: str = ""  # RFC 3463, "" where none was said or can be concluded
    reason: Reason | None = None  # None for a recipient that got the letter
    suppress: bool = False
    said: str = ""  # what the server said, at most 500 characters


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a mail is, and why."""

    kind: Kind
    why: tuple[str, ...]
    recipients: tuple[Recipient, ...] = ()
    review: str = ""  # "optout", "auto": a person should look whether it is one
    form: Form | None = None  # of an automatic answer, where it can be told
    case: str = ""  # the case number it gives
    returns: date | None = None  # the day it names: back on, or away until
