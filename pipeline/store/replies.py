"""What was made of each mail: kept, listed, and what a person decides about it.

A mail has one row, under its number. Sorted again it is written again, but what a person decided stays: the
letter it was assigned to, and that it was looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from pipeline.clock import SECOND_US, from_us
from pipeline.delivery.letter import State
from pipeline.store.dialect import insert
from pipeline.store.operator import IN_DOUBT, log, settle_as_sent
from pipeline.store.tables import attempts, letters, mails, replies

if TYPE_CHECKING:
    from pipeline.replies.reading import Reading  # `status` need not load what reads mails

ASSIGNED = "a person said so"
HOUR_US = 3_600 * SECOND_US


@dataclass(frozen=True, slots=True)
class ReplyLine:
    """A reply as it is told; ``to`` is the recipient of the letter it answers ("" for none)."""

    id: int
    mail: int
    letter: int | None
    to: str
    kind: str
    form: str
    received_at: datetime
    name: str
    address: str
    subject: str
    text: str
    why: list[str]
    matched: list[str]
    score: int
    candidates: list[list[Any]]
    forwarded_by: str
    case: str
    returns: str
    review: str
    attachments: list[dict[str, Any]]
    recipients: list[dict[str, Any]]
    assigned: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which replies to list; all where nothing is said."""

    unmatched: bool = False
    review: bool = False
    kind: str = ""
    letters: Sequence[int] = field(default=())


def keep(connection: sa.Connection, mail: int, reading: Reading, *, received_us: int) -> int:
    """Write down what was made of a mail, in the caller's transaction; return the reply's number."""
    row = {
        "mail": mail,
        "letter": reading.match.letter,
        "kind": str(reading.kind),
        "form": str(reading.form or ""),
        "ours": reading.ours,
        "received_at": received_us,
        "why": _json(reading.why),
        "matched": _json(reading.match.why),
        "score": reading.match.score,
        "tied": reading.match.tied,
        "candidates": _json([[one.letter, one.score] for one in reading.match.candidates]),
        "name": reading.name,
        "address": reading.address,
        "subject": reading.subject,
        "text": reading.text,
        "attachments": _json(
            [{"name": one.name, "type": one.type, "size": one.size} for one in reading.attachments]
        ),
        "recipients": _json([asdict(one) for one in reading.recipients]),
        "forwarded_by": reading.match.forwarded_by,
        "case_number": reading.case,
        "returns": reading.returns.isoformat() if reading.returns else "",
        "review": reading.review,
    }
    row = {name: _storable(value) for name, value in row.items()}
    return int(connection.execute(_KEEP, row).scalar_one())


@dataclass(frozen=True, slots=True)
class Known:
    """What a mail was sorted to before, and what of that is a person's word."""

    kind: str
    letter: int | None
    reviewed: bool
    assigned: bool


def known(connection: sa.Connection, numbers: Sequence[int]) -> dict[int, Known]:
    """Return what is known of those of the mails that were sorted before."""
    query = sa.select(replies.c.mail, replies.c.kind, replies.c.letter)
    query = query.add_columns(replies.c.reviewed_at.is_not(None), replies.c.assigned_at.is_not(None))
    rows = connection.execute(query.where(replies.c.mail.in_(list(numbers))))
    return {mail: Known(*rest) for mail, *rest in rows}


def settle_doubt(connection: sa.Connection, letter: int, *, why: str, now_us: int) -> bool:
    """Take a letter in doubt for sent, because something came back that only its reader can know.

    One that was queued again meanwhile, and whose next attempt has not begun, was sent as well. Return
    whether it was in doubt.
    """
    last = sa.select(attempts.c.verdict).where(
        attempts.c.letter == letters.c.id,
        attempts.c.n == letters.c.attempts,
        attempts.c.ended_at.is_not(None),
    )
    waits = sa.update(letters).where(
        letters.c.id == letter, letters.c.state == State.QUEUED, last.scalar_subquery() == IN_DOUBT
    )
    connection.execute(waits.values(state=State.IN_DOUBT, due_at=None))
    return bool(settle_as_sent(connection, [letter], why=why, now_us=now_us))


def listing(connection: sa.Connection, wanted: Wanted) -> Iterator[ReplyLine]:
    """Yield replies, oldest first; our own mail that came back is none."""
    query = _LINES.where(replies.c.ours.is_(False)).order_by(replies.c.received_at, replies.c.id)
    if wanted.unmatched:
        query = query.where(replies.c.letter.is_(None))
    if wanted.review:
        query = query.where(replies.c.review != "")
    if wanted.kind:
        query = query.where(replies.c.kind == wanted.kind)
    if wanted.letters:
        query = query.where(replies.c.letter.in_(list(wanted.letters)))
    for row in connection.execute(query):
        yield _line(row)


def one(connection: sa.Connection, number: int) -> ReplyLine | None:
    """Return a reply; None where there is no such number."""
    row = connection.execute(_LINES.where(replies.c.id == number)).first()
    return _line(row) if row is not None else None


def assign(connection: sa.Connection, number: int, letter: int | None, *, why: str, now_us: int) -> None:
    """Lay a reply beside a letter, or beside none, on a person's word; logged."""
    matched = _json([f"{ASSIGNED}{f': {why}' if why else ''}"])
    change = sa.update(replies).where(replies.c.id == number)
    connection.execute(
        change.values(letter=letter, matched=matched, score=100 if letter else 0, assigned_at=now_us)
    )
    log(
        connection,
        letter,
        f"reply {number} assigned" if letter else f"reply {number} is nobody's",
        why,
        now_us,
    )


def reviewed(connection: sa.Connection, number: int, *, kind: str, why: str, now_us: int) -> None:
    """Write down that a person has looked at a reply, and what it is; logged."""
    change = sa.update(replies).where(replies.c.id == number)
    connection.execute(change.values(review="", reviewed_at=now_us, kind=kind))
    letter = connection.scalar(sa.select(replies.c.letter).where(replies.c.id == number))
    log(connection, letter, f"reply {number} reviewed: {kind}", why, now_us)


def sort_again(connection: sa.Connection) -> int:
    """Put all kept mail back to be sorted; return how many mails there are."""
    waits = sa.update(mails).where(mails.c.sorted_at.is_not(None), mails.c.raw.is_not(None))
    return connection.execute(waits.values(sorted_at=None)).rowcount


@dataclass(frozen=True, slots=True)
class Tally:
    """Replies in numbers: of each kind, without a letter, for a person to look at; letters that bounced."""

    kinds: dict[str, int]
    unmatched: int
    review: int
    bounced: int


def tally(connection: sa.Connection) -> Tally:
    """Count the replies."""
    theirs = replies.c.ours.is_(False)
    kinds = sa.select(replies.c.kind, sa.func.count()).where(theirs).group_by(replies.c.kind)
    found: dict[str, int] = dict(connection.execute(kinds.order_by(replies.c.kind)).all())
    people = replies.c.kind.in_(("human", "auto", "optout", "unknown"))
    unmatched = sa.select(sa.func.count()).where(theirs, people, replies.c.letter.is_(None))
    review = sa.select(sa.func.count()).where(theirs, replies.c.review != "")
    bounced = sa.select(sa.func.count(sa.distinct(replies.c.letter))).where(
        replies.c.kind == "bounce", replies.c.letter.is_not(None)
    )
    numbers = [int(connection.scalar(query) or 0) for query in (unmatched, review, bounced)]
    return Tally(found, *numbers)


class AskedLine(NamedTuple):
    """Letters that were sent, and the first of what came back: moments in microseconds.

    One of each that a person answered; the others are told together, as sent when the hour began in which
    they were, with the first of what came for any of them: such as bounced in one hour, such as got nothing
    but an automatic answer, such as got nothing.
    """

    alike: int
    sent_us: int
    answered_us: int | None
    acknowledged_us: int | None
    ended_us: int | None


def asked(connection: sa.Connection) -> list[AskedLine]:
    """Return for all letters that were sent when, and when the first reply of each sort came."""

    def first(*kinds: str) -> sa.ColumnElement[int]:
        return sa.func.min(sa.case((replies.c.kind.in_(kinds), replies.c.received_at)))

    back = (
        sa.select(
            replies.c.letter,
            first("human").label("answered"),
            first("auto", "receipt").label("acknowledged"),
            first("bounce", "optout", "complaint").label("ended"),
        )
        .where(replies.c.letter.is_not(None), replies.c.ours.is_(False))
        .group_by(replies.c.letter)
        .subquery()
    )
    sent = sa.and_(letters.c.state == State.SENT, letters.c.ended_at.is_not(None))
    hour = (letters.c.ended_at // HOUR_US).label("hour")
    alone = sa.case((back.c.answered.is_not(None), letters.c.id))
    with_replies = (
        sa.select(
            sa.func.count(),
            sa.func.min(sa.case((back.c.answered.is_not(None), letters.c.ended_at), else_=hour * HOUR_US)),
            sa.func.min(back.c.answered),
            sa.func.min(back.c.acknowledged),
            sa.func.min(back.c.ended),
        )
        .join(back, back.c.letter == letters.c.id)
        .where(sent)
        .group_by(alone, hour, back.c.ended // HOUR_US, back.c.acknowledged.is_(None))
    )
    all_hours = sa.select(sa.func.count(), hour).where(sent).group_by(hour)
    found = [AskedLine(*row) for row in connection.execute(with_replies)]
    without = {row.hour: row[0] for row in connection.execute(all_hours)}
    for line in found:
        without[line.sent_us // HOUR_US] -= line.alike
    return found + [
        AskedLine(number, hour * HOUR_US, None, None, None) for hour, number in without.items() if number
    ]


def _keeping() -> sa.Executable:
    """Return the statement that keeps a reply, and what a person decided about it."""
    decisions = {"id", "reviewed_at", "assigned_at"}
    names = [column.name for column in replies.c if column.name not in decisions]
    new = insert(replies).values({name: sa.bindparam(name) for name in names})
    change: dict[str, Any] = {name: new.excluded[name] for name in names if name != "mail"}
    for name in ("letter", "matched", "score"):
        change[name] = sa.case((replies.c.assigned_at.is_not(None), replies.c[name]), else_=change[name])
    looked_at = replies.c.reviewed_at.is_not(None)
    change["review"] = sa.case((looked_at, ""), else_=new.excluded.review)
    change["kind"] = sa.case((looked_at, replies.c.kind), else_=new.excluded.kind)
    return new.on_conflict_do_update(index_elements=["mail"], set_=change).returning(replies.c.id)


_KEEP = _keeping()
_LINES = sa.select(replies, letters.c.email.label("to")).outerjoin(letters, letters.c.id == replies.c.letter)


def _line(row: sa.Row[tuple[object, ...]]) -> ReplyLine:
    record = row._mapping
    return ReplyLine(
        id=record["id"],
        mail=record["mail"],
        letter=record["letter"],
        to=record["to"] or "",
        kind=record["kind"],
        form=record["form"],
        received_at=from_us(record["received_at"]),
        name=record["name"],
        address=record["address"],
        subject=record["subject"],
        text=record["text"],
        why=json.loads(record["why"]),
        matched=json.loads(record["matched"]),
        score=record["score"],
        candidates=json.loads(record["candidates"]),
        forwarded_by=record["forwarded_by"],
        case=record["case_number"],
        returns=record["returns"],
        review=record["review"],
        attachments=json.loads(record["attachments"]),
        recipients=json.loads(record["recipients"]),
        assigned=record["assigned_at"] is not None,
    )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _storable(value: Any) -> Any:
    """Return text that SQLite takes: what no character stands for (a lone surrogate) becomes a mark."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value
