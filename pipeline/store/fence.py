"""Permissions and results: one transaction for all connections.

An attempt's row is the permission to hand over the final dot. It is inserted only for a letter that is
queued, whose last attempt has ended, under the number that follows, and for the bytes that were frozen; the
primary key does the rest. No row, no final dot. A result closes its attempt and moves its letter once:
writing it again changes nothing.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from pipeline.clock import to_us
from pipeline.delivery.letter import Parcel, Result, State
from pipeline.store.database import Database
from pipeline.store.dialect import (
    Connected,
    Insert,
    Prepared,
    as_numbers,
    as_rows,
    as_texts,
    insert,
    numbers_of,
    rows_of,
    texts_of,
)
from pipeline.store.operator import IN_DOUBT, PAUSED, is_paused
from pipeline.store.tables import attempts, bundles, contents, letters
from pipeline.store.together import Step, Together

PACKING_LEVEL = 3  # of zlib: a seventh of the time of each message packed alone, and a tenth of the size
PIECE = 2_047  # octets: of more at once, hashlib lets the interpreter go, which takes longer to get back
AT_A_STROKE = 1_000_000  # octets of messages
LONG = 16_384  # octets that take long enough to hash to let it go

_open_attempt = attempts.alias()


@dataclass(frozen=True, slots=True)
class Written:
    """What one commit granted: letter and attempt numbers.

    ``paused`` when not all was granted because the operator stopped all sending.
    """

    granted: frozenset[tuple[int, int]]
    paused: bool


class Writing(NamedTuple):
    """What one commit is to write; ``at_a_stroke`` is that as a file takes it, where that is made ready."""

    run: int
    permits: Sequence[Parcel]
    results: Sequence[Result]
    now_us: int
    keep_bytes: bool
    at_a_stroke: Mapping[str, object] | None = None

    @property
    def octets(self) -> int:
        """How much there is to hash and to pack."""
        return sum([len(parcel.content) for parcel in self.permits if not parcel.letter.sha256])


def prepare(writing: Writing) -> Writing:
    """Make ready for a file what it can take at a stroke: all permissions, and acceptances that are alike.

    Not large messages: they would hold up who calls this, and SQLite keeps what a statement changes.
    """
    if writing.octets > AT_A_STROKE:
        return writing
    answered = _all_accepted(writing.results)
    if answered is None:
        return writing
    firsts, others = _asked_of(writing.permits)
    new = [parcel for parcel in writing.permits if not parcel.letter.sha256]
    packed, frozen = _frozen(new, keep_bytes=writing.keep_bytes) if new else (None, [])
    asked = as_numbers(firsts)
    given = answered | {
        "p_run": writing.run,
        "p_now": writing.now_us,
        "asked": asked,
        "p_firsts": len(firsts),
        "asked_again": as_rows(others),
        "p_again": len(others),
        "counted": as_numbers(parcel.letter.id for parcel in writing.permits) if others else asked,
        "p_packed": packed,
        "frozen": as_rows(frozen),
    }
    return writing._replace(at_a_stroke=given)


def commit(database: Database, writing: Writing) -> Written:
    """Record results, then grant permissions, in one transaction.

    With a file all is granted as a rule, and the relay took all: then it is one statement. Where that is not
    so, that writes nothing, and it is done letter by letter.
    """
    if not database.is_server:
        given = (writing if writing.at_a_stroke is not None else prepare(writing)).at_a_stroke
        if given is not None and database.at_a_stroke(_USUAL, given):
            return Written(frozenset(map(_attempt, writing.permits)), paused=False)
    with database.running() as connection:
        return write(connection, writing)


def write(connection: Connected, writing: Writing) -> Written:
    """Do the same in the caller's transaction. Nothing is granted until it commits."""
    run, now_us, permits = writing.run, writing.now_us, writing.permits
    if writing.results:
        first = {(result.letter, result.attempt): result for result in reversed(writing.results)}
        _record(connection, first.values(), run=run, now_us=now_us)
    if not permits:
        return Written(frozenset(), paused=False)
    granted = _granted(connection, permits, run=run, now_us=now_us)
    if granted:
        _COUNT.run(connection, counted=as_numbers(letter for letter, _ in granted))
        new = [parcel for parcel in permits if not parcel.letter.sha256 and _attempt(parcel) in granted]
        _freeze(connection, new, keep_bytes=writing.keep_bytes)
    return Written(granted, paused=len(granted) < len(permits) and is_paused(connection))


def _attempt(parcel: Parcel) -> tuple[int, int]:
    return parcel.letter.id, parcel.attempt


def _granted(
    connection: Connected, parcels: Sequence[Parcel], *, run: int, now_us: int
) -> frozenset[tuple[int, int]]:
    """Insert the attempts that may be, and return them."""
    common = {"p_run": run, "p_now": now_us}
    granted: set[tuple[int, int]] = set()
    firsts, others = _asked_of(parcels)
    if firsts:
        granted |= set(_FIRST.run(connection, asked=as_numbers(firsts), **common))
    if others:
        granted |= set(_LATER.run(connection, asked_again=as_rows(others), **common))
    return frozenset(granted)


def _asked_of(parcels: Sequence[Parcel]) -> tuple[list[int], list[tuple[int, int, str]]]:
    """Return the letters whose first attempt is asked for; of the others: letter, attempt, hash."""
    firsts = [parcel.letter.id for parcel in parcels if parcel.attempt == 1]
    if len(firsts) == len(parcels):
        return firsts, []
    return firsts, [
        (parcel.letter.id, parcel.attempt, parcel.sha256) for parcel in parcels if parcel.attempt != 1
    ]


def _freeze(connection: Connected, parcels: Sequence[Parcel], *, keep_bytes: bool) -> None:
    """Keep what goes out for the first time."""
    if not parcels:
        return
    packed, rows = _frozen(parcels, keep_bytes=keep_bytes)
    bundle = None
    if packed is not None:
        ((bundle,),) = _BUNDLE.run(connection, packed=packed)
    _FREEZE.run(connection, frozen=as_rows(rows), p_bundle=bundle)


def _frozen(
    parcels: Sequence[Parcel], *, keep_bytes: bool
) -> tuple[bytes | None, list[tuple[int, str, int, int, int]]]:
    """Return messages packed as one, if they are kept, and for each: letter, hash, beginning, size, Date."""
    start = 0
    rows = []
    for parcel in parcels:
        content = parcel.content
        sha256 = parcel.sha256 or _digest(content)
        rows.append((parcel.letter.id, sha256, start, len(content), to_us(parcel.built_at)))
        start += len(content)
    if not keep_bytes:
        return None, rows
    return zlib.compress(b"".join([parcel.content for parcel in parcels]), PACKING_LEVEL), rows


def _digest(content: bytes) -> str:
    if len(content) > LONG:
        return hashlib.sha256(content).hexdigest()
    digest = hashlib.sha256()
    for start in range(0, len(content), PIECE):
        digest.update(content[start : start + PIECE])
    return digest.hexdigest()


def _all_accepted(results: Sequence[Result]) -> dict[str, object] | None:
    """Return what is written down where all got the same answer but for its text; None where they did not."""
    texts: dict[int, str] = {}
    alike: _Alike | None = None
    for result in results:
        this = _accepted(result)
        alike = alike or this
        if this is None or this != alike or result.letter in texts:
            return None
        assert result.response is not None
        texts[result.letter] = result.response.text
    return _of_accepted(alike or _Alike(0, "", "", 0, ""), texts)


class _Alike(NamedTuple):
    """What most answers have in common."""

    attempt: int
    phase: str
    verdict: str
    code: int
    enhanced: str


def _accepted(result: Result) -> _Alike | None:
    """Return what a result has in common with most; None where its letter was not simply accepted."""
    answer = result.response
    if result.state is not State.SENT or answer is None or result.note:
        return None
    return _Alike(result.attempt, str(result.phase), result.verdict, answer.code, answer.enhanced)


def _of_accepted(alike: _Alike, texts: Mapping[int, str]) -> dict[str, object]:
    """Return what the statements about accepted letters are given, but for the time."""
    return {
        "answered": as_texts(texts),
        "p_n": alike.attempt,
        "p_phase": alike.phase,
        "p_verdict": alike.verdict,
        "p_code": alike.code,
        "p_enhanced": alike.enhanced,
        "p_said": " ".join(part for part in (str(alike.code), alike.enhanced) if part),
    }


def _record(connection: Connected, results: Collection[Result], *, run: int, now_us: int) -> None:
    """Close the attempts; move the letters whose attempt was open until now, and those that were sent."""
    accepted: dict[_Alike, dict[int, str]] = {}
    others: list[Result] = []
    for result in results:
        alike = _accepted(result)
        if alike is None or result.response is None:
            others.append(result)
        else:
            accepted.setdefault(alike, {})[result.letter] = result.response.text
    for alike, texts in accepted.items():
        given = _of_accepted(alike, texts)
        said = given.pop("p_said")
        _CLOSE_ACCEPTED.run(connection, **given, p_now=now_us)
        moved = {name: given[name] for name in ("answered", "p_n")}
        _MOVE_ACCEPTED.run(connection, **moved, p_now=now_us, p_said=said)
    if others:
        _record_one_by_one(connection, others, run=run, now_us=now_us)


def _record_one_by_one(connection: Connected, results: Sequence[Result], *, run: int, now_us: int) -> None:
    closes = as_rows(
        (
            result.letter,
            result.attempt,
            result.phase,
            result.verdict,
            result.response.code if result.response else None,
            result.response.enhanced if result.response else None,
            result.response.text if result.response else result.note,
        )
        for result in results
    )
    closed = set(_CLOSE.run(connection, closed=closes, p_run=run, p_now=now_us))
    moves = [
        result
        for result in results
        if result.state is State.SENT or (result.letter, result.attempt) in closed
    ]
    if moves:
        _MOVE.run(connection, moved=as_rows(_move(result, now_us=now_us) for result in moves))


def _move(result: Result, *, now_us: int) -> tuple[object, ...]:
    waits = result.state is State.QUEUED
    return (
        result.letter,
        result.attempt,
        result.state,
        result.note or str(result.response or result.verdict),
        to_us(result.due_at) if waits and result.due_at else (now_us if waits else None),
        int(result.deferred),
        None if waits or result.state is State.IN_DOUBT else now_us,
    )


_whole, _words = sa.BigInteger(), sa.Text()


def _granting(
    asked: sa.Subquery, letter: sa.ColumnElement[int], n: sa.ColumnElement[int], *also: sa.ColumnElement[bool]
) -> tuple[Insert, Insert]:
    """Return what inserts the attempts that may be granted of ``asked``: in a file, and at a server."""
    queued = sa.and_(letters.c.id == letter, letters.c.state == State.QUEUED, letters.c.attempts == n - 1)
    ended = ~sa.exists().where(_open_attempt.c.letter == letter, _open_attempt.c.ended_at.is_(None))
    granted = sa.select(letter, n, sa.bindparam("p_run", type_=_whole), sa.bindparam("p_now", type_=_whole))
    granted = granted.select_from(asked).where(ended, ~PAUSED, *also)
    # At a server: whoever decides something about the letter at this moment comes before or after.
    beside_others = granted.join(letters, queued).with_for_update(of=letters, key_share=True)
    return _inserted(granted.where(sa.exists().where(queued))), _inserted(beside_others)


def _inserted(granted: sa.SelectBase) -> Insert:
    return insert(attempts).from_select(["letter", "n", "run", "began_at"], granted).on_conflict_do_nothing()


def _telling(granting: tuple[Insert, Insert]) -> Prepared:
    """Return the statement that inserts attempts and returns which they are."""
    in_file, at_server = (insert_.returning(attempts.c.letter, attempts.c.n) for insert_ in granting)
    return Prepared(in_file, at_server=at_server)


_first = numbers_of("asked")
_grant_first = _granting(_first, _first.c.number, sa.literal(1))
_FIRST = _telling(_grant_first)
_again = rows_of("asked_again", {"letter": _whole, "n": _whole, "sha256": _words})
_grant_later = _granting(
    _again,
    _again.c.letter,
    _again.c.n,
    ~sa.exists().where(contents.c.letter == _again.c.letter, contents.c.sha256 != _again.c.sha256),
)
_LATER = _telling(_grant_later)
_counted = numbers_of("counted")
_count = (
    sa.update(letters)
    .where(letters.c.id.in_(sa.select(_counted.c.number)))
    .values(attempts=letters.c.attempts + 1)
)
_COUNT = Prepared(_count)
_BUNDLE = Prepared(sa.insert(bundles).values(packed=sa.bindparam("packed")).returning(bundles.c.id))
_KEPT: dict[str, sa.types.TypeEngine[Any]] = {
    "letter": _whole,
    "sha256": _words,
    "start": _whole,
    "size": _whole,
    "built_at": _whole,
}


def _freezing(bundle: sa.ColumnElement[int]) -> Insert:
    """Return the statement that keeps where in a bundle messages stand."""
    rows = rows_of("frozen", _KEPT).c
    kept = sa.select(*rows, bundle).where(rows.letter.is_not(None))  # or SQLite takes ON for a join's
    return insert(contents).from_select([*_KEPT, "bundle"], kept).on_conflict_do_nothing()


_FREEZE = Prepared(_freezing(sa.bindparam("p_bundle", type_=_whole)))
# Nobody has heard an answer: it is open, or its owner was taken for dead (`queue.recover`) and was not.
_unanswered = sa.or_(
    attempts.c.ended_at.is_(None), sa.and_(attempts.c.verdict == IN_DOUBT, attempts.c.phase.is_(None))
)
_closed = rows_of(
    "closed",
    {
        "letter": _whole,
        "n": _whole,
        "phase": _words,
        "verdict": _words,
        "code": _whole,
        "enhanced": _words,
        "text": _words,
    },
)
_CLOSE = Prepared(
    sa.update(attempts)
    .where(attempts.c.letter == _closed.c.letter, attempts.c.n == _closed.c.n, _unanswered)
    .where(attempts.c.run == sa.bindparam("p_run", type_=_whole))  # nobody else's, whatever we know of it
    .values(
        ended_at=sa.bindparam("p_now"),
        **{name: _closed.c[name] for name in ("phase", "verdict", "code", "enhanced", "text")},
    )
    .returning(attempts.c.letter, attempts.c.n)
)
_moved = rows_of(
    "moved",
    {
        "letter": _whole,
        "n": _whole,
        "state": _words,
        "why": _words,
        "due_at": _whole,
        "deferred": _whole,
        "ended_at": _whole,
    },
)
# What the relay said is a fact, whatever the operator decided meanwhile; a letter to try again he may have
# withdrawn.
_MOVE = Prepared(
    sa.update(letters)
    .where(letters.c.id == _moved.c.letter, letters.c.attempts == _moved.c.n)
    .where(
        sa.case(
            (
                _moved.c.state == State.QUEUED,
                sa.or_(letters.c.state == State.QUEUED, letters.c.state == State.IN_DOUBT),
            ),
            else_=letters.c.state != State.SENT,
        )
    )
    .values(
        state=_moved.c.state,
        why=_moved.c.why,
        due_at=_moved.c.due_at,
        deferrals=letters.c.deferrals + _moved.c.deferred,
        ended_at=_moved.c.ended_at,
    )
)
_answered = texts_of("answered")
_close_accepted = (
    sa.update(attempts)
    .where(attempts.c.letter == _answered.c.number, attempts.c.n == sa.bindparam("p_n"))
    .where(_unanswered)
    .values(
        ended_at=sa.bindparam("p_now"),
        text=_answered.c.text,
        **{name: sa.bindparam(f"p_{name}") for name in ("phase", "verdict", "code", "enhanced")},
    )
)
_move_accepted = (
    sa.update(letters)
    .where(letters.c.id == _answered.c.number, letters.c.attempts == sa.bindparam("p_n"))
    .where(letters.c.state != State.SENT)
    .values(
        state=str(State.SENT),
        why=sa.func.trim(sa.bindparam("p_said", type_=_words) + " " + _answered.c.text),
        due_at=sa.null(),
        ended_at=sa.bindparam("p_now"),
    )
)
_CLOSE_ACCEPTED, _MOVE_ACCEPTED = Prepared(_close_accepted), Prepared(_move_accepted)

_packed: sa.BindParameter[bytes] = sa.bindparam("p_packed", type_=sa.LargeBinary())
_newest = sa.select(sa.func.max(bundles.c.id)).where(_packed.is_not(None)).scalar_subquery()
_ANSWER = ("p_phase", "p_verdict", "p_code", "p_enhanced", "p_said")
_USUAL = Together(
    "usual_commit",
    [
        *("p_run", "p_now", "answered", "p_n", *_ANSWER),
        *("asked", "p_firsts", "asked_again", "p_again", "counted", "p_packed", "frozen"),
    ],
    [
        Step(_close_accepted),
        Step(_move_accepted),
        Step(_grant_first[0], must_change="p_firsts"),
        Step(_grant_later[0], must_change="p_again"),
        Step(_count),
        Step(insert(bundles).from_select(["packed"], sa.select(_packed).where(_packed.is_not(None)))),
        Step(_freezing(_newest)),
    ],
)
