"""What the store knows of letters, told once and in full: for `campaign export --evidence`.

Everything is read in the transaction of one connection, so it is one state of things, and page by page: a
letter, or a mail that came back, is in memory at a time. What is told follows from the store alone: the same
store gives the same documents.

Limits: a row of recipients.csv is not told (it may hold what is nobody's business); nor are mails that were
matched to no letter, which may be private ones in the same mailbox. The return path of a letter is not in the
store.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from pipeline.clock import from_us
from pipeline.mail.queueid import queue_id
from pipeline.mail.response import Response
from pipeline.store.recording import RECORDED
from pipeline.store.tables import (
    approvals,
    approved,
    attempts,
    contents,
    events,
    letters,
    mails,
    meta,
    replies,
    runs,
)
from pipeline.store.written import PackedMessages

PAGE = 200  # letters read at once

Document = dict[str, Any]


class Damaged(Exception):
    """What the store has of a mail is not what was put there."""


@dataclass(frozen=True, slots=True)
class MailFile:
    """A mail that came back for a letter.

    ``read`` returns it as it was fetched, None once erased; it raises Damaged where it cannot be unpacked.
    """

    reply: int
    document: Document
    read: Callable[[], bytes | None]


@dataclass(frozen=True, slots=True)
class LetterFile:
    """A letter: what is known, and the message as it was handed over (None where it is not kept).

    ``damaged``: the message kept is not the one whose hash was noted when it was permitted.
    """

    number: int
    document: Document
    message: bytes | None
    mails: Sequence[MailFile]
    damaged: bool


def about(connection: sa.Connection, asked: Sequence[int] | None) -> Document:
    """Return what the whole is about; ``asked`` are letters, None for all."""
    known: dict[str, str] = dict(connection.execute(sa.select(meta.c.name, meta.c.value)).all())
    without = sa.select(sa.func.count()).where(replies.c.letter.is_(None), replies.c.ours.is_(False))
    return {
        "campaign": known.get("campaign", ""),
        "store": known.get("store_id", ""),
        "asked": "all" if asked is None else list(asked),
        "letters": connection.scalar(
            sa.select(sa.func.count()).select_from(letters).where(_among(letters.c.id, asked))
        ),
        "mails_of_no_letter_left_out": connection.scalar(without) if asked is None else None,
    }


def runs_of(connection: sa.Connection, asked: Sequence[int] | None) -> Iterator[Document]:
    """Yield the runs of the campaign, or those that tried one of the letters ``asked``."""
    query = sa.select(runs).order_by(runs.c.id)
    if asked is not None:
        query = query.where(runs.c.id.in_(sa.select(attempts.c.run).where(_among(attempts.c.letter, asked))))
    for row in _stream(connection, query):
        record = dict(row._mapping)
        yield record | {name: _moment(record[name]) for name in ("started_at", "ended_at")}


def events_of_the_campaign(connection: sa.Connection) -> Iterator[Document]:
    """Yield what was decided about the campaign as a whole."""
    query = sa.select(events).where(events.c.letter.is_(None)).order_by(events.c.id)
    for row in _stream(connection, query):
        yield {"at": _moment(row.at), "what": row.what, "why": row.why}


def letter_files(connection: sa.Connection, asked: Sequence[int] | None) -> Iterator[LetterFile]:
    """Yield the letters, by number."""
    packed = PackedMessages(connection)
    query = sa.select(letters).where(_among(letters.c.id, asked)).order_by(letters.c.id).limit(PAGE)
    last = 0
    while page := connection.execute(query.where(letters.c.id > last)).all():
        last = page[-1].id
        numbers = [row.id for row in page]
        frozen = {row.letter: row for row in connection.execute(_of(contents, contents.c.letter, numbers))}
        tries = _by_letter(connection, _ATTEMPTS, attempts.c.letter, numbers, attempts.c.n)
        decided = _by_letter(connection, sa.select(events), events.c.letter, numbers, events.c.id)
        back = _by_letter(connection, _REPLIES, replies.c.letter, numbers, replies.c.id)
        agreed = {
            row.letter: row for row in connection.execute(_APPROVED.where(approved.c.letter.in_(numbers)))
        }
        for row in page:
            found = _letter(
                connection, row, frozen.get(row.id), packed, tries[row.id], decided[row.id], back[row.id]
            )
            found.document["approved"] = _approval(agreed.get(row.id))
            yield found


def _letter(
    connection: sa.Connection,
    row: Any,
    frozen: Any,
    packed: PackedMessages,
    tries: Sequence[Any],
    decided: Sequence[Any],
    back: Sequence[Any],
) -> LetterFile:
    message = None
    if frozen is not None and frozen.bundle is not None:
        try:
            message = packed.message(frozen.bundle, frozen.start, frozen.size)
        except zlib.error:
            message = b""
    damaged = message is not None and sha256(message).hexdigest() != frozen.sha256
    said = "the bytes kept are not those whose hash was noted" if damaged else "kept"
    if message is None:
        said = "not kept: [store] bytes is false" if frozen is not None else "never permitted to go out"
    document = {
        "letter": row.id,
        "campaign": row.campaign,
        "round": row.round,
        "signatory": row.signatory,
        "recipient": row.email,
        "language": row.language,
        "message_id": row.message_id,
        "state": row.state,
        "why": row.why,
        "planned_at": _moment(row.planned_at),
        "released_at": _moment(row.released_at),
        "ended_at": _moment(row.ended_at),
        "sent_by_a_supporter": any(one.what == RECORDED for one in decided),
        "message": {
            "bytes": said,
            "sha256": frozen.sha256 if frozen is not None else None,
            "size": frozen.size if frozen is not None else None,
            "dated": _moment(frozen.built_at) if frozen is not None else None,
        },
        "attempts": [_attempt(one) for one in tries],
        "decisions": [{"at": _moment(one.at), "what": one.what, "why": one.why} for one in decided],
        "replies": [one.id for one in back],
    }
    return LetterFile(row.id, document, message, [_mail(connection, one) for one in back], damaged)


def _approval(row: Any) -> Document | None:
    """Return who approved which bytes of a letter; None where nobody did, or it was withdrawn."""
    if row is None:
        return None
    said = {"at": _moment(row.at), "by": row.by, "manifest": row.manifest}
    return said | {"sha256": row.sha256, "size": row.size}


def _attempt(row: Any) -> Document:
    answer = None
    if row.code is not None:
        said = Response(row.code, row.enhanced or "", row.text or "")
        found = queue_id(said.text) if said.accepted else ""
        answer = {
            "code": row.code,
            "enhanced": row.enhanced,
            "text": row.text,
            "whole": str(said),
            "queue_id": found or None,
        }
    return {
        "n": row.n,
        "run": row.run,
        "relay": row.relay,
        "permitted_at": _moment(row.began_at),
        "ended_at": _moment(row.ended_at),
        "phase": row.phase,
        "verdict": row.verdict,
        "response": answer,
        "note": row.text if answer is None else None,
    }


def _mail(connection: sa.Connection, row: Any) -> MailFile:
    def read() -> bytes | None:
        packed = connection.scalar(sa.select(mails.c.raw).where(mails.c.id == row.mail))
        try:
            return zlib.decompress(packed) if packed is not None else None
        except zlib.error as fault:
            raise Damaged(f"mail {row.mail}") from fault

    document = {
        "reply": row.id,
        "letter": row.letter,
        "kind": row.kind,
        "form": row.form,
        "ours": row.ours,
        "received_at": _moment(row.received_at),
        "from": {"name": row.name, "address": row.address},
        "subject": row.subject,
        "forwarded_by": row.forwarded_by,
        "why_of_this_kind": json.loads(row.why),
        "why_this_letter": json.loads(row.matched),
        "recipients": json.loads(row.recipients),
        "case": row.case_number,
        "review": row.review,
        "reviewed_at": _moment(row.reviewed_at),
        "assigned_at": _moment(row.assigned_at),
        "mail": {
            "fingerprint": row.sha256,
            "mailbox": row.mailbox,
            "source": row.source,
            "extent": row.extent,
            "size": row.size,
            "not_whole_because": row.not_whole,
            "received_by_the_mailbox_at": _moment(row.mail_received_at),
            "fetched_at": _moment(row.fetched_at),
        },
    }
    return MailFile(row.id, document, read)


# -- in the order of time


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened; ``letter`` is None where it concerns the campaign."""

    at: str
    letter: int | None
    what: str  # planned, released, permitted, answered, decided, came, fetched, began, ended
    number: int  # of the attempt, reply, decision or run
    words: tuple[str, ...]


def happenings(connection: sa.Connection, asked: Sequence[int] | None) -> Iterator[Happening]:
    """Yield everything that has a time, in the order of time; sorted by the database."""
    parts = _of_letters(asked)
    if asked is None:
        parts += _of_the_campaign()
    happened = sa.union_all(*parts).subquery()
    order = (happened.c.at, happened.c.letter, happened.c.rank, happened.c.number)
    for row in _stream(connection, sa.select(happened).order_by(*order)):
        words = tuple(word or "" for word in row[5:])
        yield Happening(_moment(row.at) or "", row.letter or None, row.what, row.number, words)


def _of_letters(asked: Sequence[int] | None) -> list[sa.Select[Any]]:
    tries = attempts.join(runs, runs.c.id == attempts.c.run)
    back = replies.join(mails, mails.c.id == replies.c.mail)
    mine = _among(letters.c.id, asked)
    tried = _among(attempts.c.letter, asked)
    answered = sa.and_(attempts.c.ended_at.is_not(None), tried)
    said = (attempts.c.verdict, attempts.c.phase, attempts.c.code, attempts.c.enhanced, attempts.c.text)
    came = sa.and_(replies.c.letter.is_not(None), _among(replies.c.letter, asked))
    whose = (replies.c.kind, replies.c.name, replies.c.address, replies.c.subject)
    return [
        _part(letters.c.planned_at, 0, letters.c.id, "planned", 0, letters.c.email).where(mine),
        _part(letters.c.released_at, 1, letters.c.id, "released", 0).where(
            mine, letters.c.released_at.is_not(None)
        ),
        _part(attempts.c.began_at, 2, attempts.c.letter, "permitted", attempts.c.n, runs.c.relay)
        .select_from(tries)
        .where(tried),
        _part(attempts.c.ended_at, 3, attempts.c.letter, "answered", attempts.c.n, *said).where(answered),
        _part(events.c.at, 4, events.c.letter, "decided", events.c.id, events.c.what, events.c.why).where(
            events.c.letter.is_not(None), _among(events.c.letter, asked)
        ),
        _part(replies.c.received_at, 5, replies.c.letter, "came", replies.c.id, *whose).where(came),
        _part(mails.c.fetched_at, 6, replies.c.letter, "fetched", replies.c.id, mails.c.mailbox)
        .select_from(back)
        .where(came),
    ]


def _of_the_campaign() -> list[sa.Select[Any]]:
    began = (runs.c.command, runs.c.user, runs.c.relay, runs.c.limits)
    return [
        _part(events.c.at, 4, 0, "decided", events.c.id, events.c.what, events.c.why).where(
            events.c.letter.is_(None)
        ),
        _part(runs.c.started_at, 7, 0, "began", runs.c.id, *began),
        _part(runs.c.ended_at, 8, 0, "ended", runs.c.id, runs.c.exit).where(runs.c.ended_at.is_not(None)),
    ]


def _part(at: Any, rank: int, letter: Any, what: str, number: Any, *words: Any) -> sa.Select[Any]:
    """Return one kind of happening, in the columns that all have."""
    padded = [*words, *[""] * (5 - len(words))]
    columns: list[sa.ColumnElement[Any]] = [
        sa.type_coerce(at, sa.BigInteger).label("at"),
        sa.literal(rank, sa.Integer).label("rank"),
        sa.cast(letter, sa.BigInteger).label("letter"),
        sa.literal(what, sa.Text).label("what"),
        sa.cast(number, sa.BigInteger).label("number"),
        *(sa.cast(word, sa.Text).label(f"word{index}") for index, word in enumerate(padded)),
    ]
    return sa.select(*columns)


# -- queries

_ATTEMPTS = sa.select(attempts, runs.c.relay).join(runs, runs.c.id == attempts.c.run)
_APPROVED = sa.select(
    approved.c.letter,
    approved.c.sha256,
    approved.c.size,
    approvals.c.at,
    approvals.c.by,
    approvals.c.manifest,
).join(approvals, approvals.c.id == approved.c.approval)
_REPLIES = sa.select(
    *(column for column in replies.c if column is not replies.c.text),
    mails.c.sha256,
    mails.c.mailbox,
    mails.c.source,
    mails.c.extent,
    mails.c.size,
    mails.c.why.label("not_whole"),
    mails.c.received_at.label("mail_received_at"),
    mails.c.fetched_at,
).join(mails, mails.c.id == replies.c.mail)


def _of(table: sa.Table, column: sa.Column[Any], numbers: Sequence[int]) -> sa.Select[Any]:
    return sa.select(table).where(column.in_(numbers))


def _by_letter(
    connection: sa.Connection,
    query: sa.Select[Any],
    column: sa.Column[Any],
    numbers: Sequence[int],
    order: sa.Column[Any],
) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {number: [] for number in numbers}
    for row in connection.execute(query.where(column.in_(numbers)).order_by(column, order)):
        found[row.letter].append(row)
    return found


def _among(column: Any, asked: Sequence[int] | None) -> sa.ColumnElement[bool]:
    return sa.true() if asked is None else column.in_(asked)


def _stream(connection: sa.Connection, query: Any) -> Iterator[Any]:
    """Yield rows as the database finds them."""
    yield from connection.execute(query.execution_options(yield_per=1_000))


def _moment(value: int | None) -> str | None:
    if value is None:
        return None
    return from_us(value).isoformat(timespec="microseconds").replace("+00:00", "Z")
