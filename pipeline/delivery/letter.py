"""The nouns of sending: states, what is handed to a session, what comes back.

The states and their meaning are DESIGN's; who may move a letter from one to the next is decided in
`verdict.py` (by a response) and in `store/` (by the plan, the operator, or the host's death), always in the
same transaction as the fact that moved it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from pipeline.mail.response import Response


class State(StrEnum):
    """Where a letter is. The eight add up to the campaign's total."""

    PLANNED = "planned"  # checked, not released
    QUEUED = "queued"  # released by a confirmed send; may be due later
    SENT = "sent"  # the relay answered 2yz to the final dot
    FAILED = "failed"  # refused for good, or given up
    IN_DOUBT = "in_doubt"  # nobody can know whether the relay took it: held, listed, never guessed
    SUPPRESSED = "suppressed"  # the address is not to be written to
    CANCELLED = "cancelled"  # withdrawn by the operator, or its row is gone
    EXPIRED = "expired"  # its time passed before it could be sent


class Phase(StrEnum):
    """How far a letter, or an open connection, had come."""

    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"  # being written; the final dot not handed over yet
    DOT = "dot"  # the chunk with the final dot was handed to the transport
    RESET = "rset"
    QUIT = "quit"


class Letter(NamedTuple):
    """A queued letter as the store gives it: what is needed to build, pace and send it.

    ``attempts`` counts the permissions it has had, ``deferrals`` the temporary refusals that moved it along
    the schedule. ``content`` is what was frozen at the first permission, None before it or where bytes are
    not kept; ``sha256`` is that content's and ``built_at`` the moment in its Date. ``values`` is the row;
    ``thread`` (`letters.thread`) names the letters before a follow-up.
    """

    id: int
    message_id: str
    recipient_key: str
    email: str
    domain: str
    language: str
    timezone: str
    attempts: int
    deferrals: int
    line: int
    values: Mapping[str, str]
    content: bytes | None = None
    sha256: str = ""
    built_at: datetime | None = None
    thread: str = ""


NOT_APPROVED = "it is not approved"


class Approved(NamedTuple):
    """What was approved of a letter: hash and size of its draft, where that lies, the moment in its Date."""

    letter: int
    sha256: str
    size: int
    file: str
    built_at: datetime


class Parcel(NamedTuple):
    """One attempt at one letter, ready for the wire.

    ``mail`` and ``rcpt`` are whole command lines without CRLF; ``wire`` is the dot-stuffed content, ending in
    CRLF, without the final dot; ``content`` is the same message unstuffed, frozen at the first permission.
    ``sha256`` is the content's where it was frozen before; "" where that is still to be done.
    """

    letter: Letter
    attempt: int
    mail: bytes
    rcpt: bytes
    wire: bytes
    content: bytes
    sha256: str
    built_at: datetime


class Result(NamedTuple):
    """What became of one attempt: the fact, and where the letter goes from here.

    ``response`` is None where the server did not answer. ``due_at`` counts only for QUEUED; ``deferred`` says
    that the letter moved along the schedule; ``suppress`` is the recipient key of an address that is dead,
    else empty.
    """

    letter: int
    attempt: int
    phase: Phase
    verdict: str
    state: State
    response: Response | None = None
    due_at: datetime | None = None
    deferred: bool = False
    suppress: str = ""
    note: str = ""
