"""The queue: release what was confirmed, read what is due, take out what may no longer go.

There is no cursor that survives a run: what is due is computed from the rows each time.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa

from pipeline.clock import from_us
from pipeline.delivery.letter import Letter, State
from pipeline.store.dialect import Connected, Prepared, alone, as_rows, is_shared, rows_of
from pipeline.store.hosts import dead_runs
from pipeline.store.operator import IN_DOUBT
from pipeline.store.tables import PLANNED, attempts, bundles, contents, events, letters, tallies, withheld

FROZEN_AT_ONCE = 4_000_000  # octets of messages tried before; there may be files in each
WAITING = (State.PLANNED, State.QUEUED)
HOST_GONE = "the program ended between permission and answer"
RELEASE = "release"  # what one host does at a time: to release, and to find what may not be


_WITHHELD = sa.exists().where(withheld.c.letter == letters.c.id)


class Place(NamedTuple):
    """A place in the queue, behind which reading goes on: order is by due time, then number."""

    due_us: int = -1
    letter: int = 0


def recover(connection: sa.Connection, *, now_us: int, run: int | None = None) -> int:
    """Put letters whose permitted attempt nobody will finish in doubt; return how many attempts that were.

    Call it while the campaign's lock is held and before the first permission: then every open attempt has a
    dead owner. Where several hosts may send the lock is this host's only, and those of dead runs are meant;
    with ``run``, that run's, whose processes have ended. Whatever was decided about such a letter meanwhile
    (cancelled, its row removed and brought back), it may have been accepted, so it is in doubt.
    """
    is_open = attempts.c.ended_at.is_(None)
    query = sa.select(attempts.c.letter, attempts.c.n).where(is_open)
    if run is not None:
        query = query.where(attempts.c.run == run)
    elif is_shared(connection):
        query = query.where(attempts.c.run.in_(dead_runs(now_us)))
    found = 0
    for letter, n in sorted(connection.execute(query).all()):
        closing = (
            sa.update(attempts)
            .where(attempts.c.letter == letter, attempts.c.n == n, is_open)
            .values(ended_at=now_us, verdict=IN_DOUBT, text=HOST_GONE)
        )
        if not connection.execute(closing).rowcount:
            continue  # its owner was alive after all, and has just written what came of it
        found += 1
        connection.execute(
            sa.update(letters)
            .where(letters.c.id == letter, letters.c.state != State.SENT)
            .values(state=State.IN_DOUBT, why=HOST_GONE, due_at=None, ended_at=None)
        )
    return found


def release(
    connection: sa.Connection, *, now_us: int, most: int | None = None, only: Collection[str] | None = None
) -> int:
    """Queue planned letters, all or the first ``most``, all of them or those `between` the keys in ``only``.

    Those that are withheld stay planned. Return how many it was.
    """
    chosen = sa.select(letters.c.id).where(PLANNED, ~_WITHHELD)
    if only is not None:
        chosen = chosen.where(between(only))
    chosen = chosen.order_by(letters.c.line, letters.c.id)
    if (
        most is not None
    ):  # a few of a million: they are found in the order of the index, and each by its number
        chosen = chosen.limit(max(most, 0)).with_hint(letters, "INDEXED BY letters_planned", "sqlite")
    alone(connection, RELEASE)  # or two hosts would wait for each other, letter by letter
    # The state is asked for once more: what another host has released meanwhile may have been sent by now.
    still = sa.and_(letters.c.id.in_(chosen.scalar_subquery()), letters.c.state == State.PLANNED)
    change = sa.update(letters).where(still).values(state=State.QUEUED, released_at=now_us, due_at=now_us)
    done = connection.execute(change.with_hint("NOT INDEXED", dialect_name="sqlite"))
    return done.rowcount


def between(keys: Collection[str]) -> sa.ColumnElement[bool]:
    """Return the condition that one of the keys is a letter's recipient or signatory."""
    return sa.or_(letters.c.recipient.in_(list(keys)), letters.c.signatory.in_(list(keys)))


def make_due(connection: sa.Connection, *, now_us: int) -> int:
    """Make deferred letters due now (`send --now`); return how many. Letters in doubt are not touched."""
    later = sa.update(letters).where(letters.c.state == State.QUEUED, letters.c.due_at > now_us)
    return connection.execute(later.values(due_at=now_us)).rowcount


def read_due(
    connection: Connected,
    *,
    now_us: int,
    behind: Place,
    most: int,
    only: Collection[str] | None = None,
    share: tuple[int, int] = (0, 1),
    batch: int | None = None,
) -> list[tuple[Place, Letter]]:
    """Return up to ``most`` letters that are due, behind a place in the queue, in order; none: there are no
    more. Of messages that were tried before, so many as are not too large together.

    ``share`` (which, of how many) leaves to other processes what is theirs: letters are shared out by number.
    With ``batch``, only those of that batch, and without those another host has been permitted.
    """
    found: list[tuple[Place, Letter]] = []
    which, of = share
    asked: dict[str, object] = {
        "p_due": behind.due_us,
        "p_letter": behind.letter,
        "p_now": now_us,
        "p_which": which,
        "p_of": of,
    }
    if only is not None:
        asked["p_only"] = as_rows((key,) for key in only)
    # Two questions and not one: for each of them the index leads straight to the place, without a search.
    questions = _DUE
    if batch is not None:
        asked["p_batch"] = batch
        questions = _DUE_BATCH
    elif only is not None:
        questions = _DUE_ONLY
    for question in questions:
        rows = question.run(connection, **asked, p_most=most - len(found))
        rows.sort(key=_PLACE)  # as they are, but nobody promises that of rows in one piece
        enough = _bounded(rows)
        frozen = _frozen(connection, enough)
        read = zip(enough, _letters(enough, frozen), strict=True)
        found += [(Place(row[-1], row[0]), letter) for row, letter in read]
        if len(enough) < len(rows):
            break  # the next reading goes on behind the last one
    return found


def _bounded(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the first rows whose frozen messages together are not too large, at least one."""
    octets = 0
    for index, row in enumerate(rows):
        octets += row[_SIZE] if row[_BUNDLE] is not None else 0
        if index and octets > FROZEN_AT_ONCE:
            return rows[:index]
    return rows


def _frozen(connection: Connected, rows: list[tuple[Any, ...]]) -> dict[int, bytes]:
    """Return the frozen messages by letter; each bundle is unpacked once, and one at a time."""
    places: dict[int, list[tuple[int, int, int]]] = {}
    for row in rows:
        if row[_BUNDLE] is not None:
            places.setdefault(row[_BUNDLE], []).append((row[0], row[_START], row[_SIZE]))
    found: dict[int, bytes] = {}
    for bundle, those in places.items():
        for (packed,) in _PACKED.run(connection, bundle=bundle):
            whole = zlib.decompress(packed)
            found |= {letter: whole[start : start + size] for letter, start, size in those}
    return found


def _letters(rows: Sequence[Any], frozen: Mapping[int, bytes]) -> Iterator[Letter]:
    """Make letters of what `_of_letters` selects."""
    # The values of all of them are read at once: reading is quick, beginning to read is not.
    all_values = json.loads("[" + ",".join([row[_ROW] for row in rows]) + "]")
    for row, values in zip(rows, all_values, strict=True):
        built_at = row[_BUILT_AT]
        yield Letter._make(
            (
                *row[:_ROW],
                values,
                frozen.get(row[0]),
                row[_SHA256] or "",
                from_us(built_at) if built_at is not None else None,
                row[_THREAD],
            )
        )


def _of_letters() -> sa.Select[Any]:
    """Return the question for letters as `_letters` takes them."""
    of_letter = ("id", "message_id", "recipient", "email", "domain", "language", "timezone", "attempts")
    kept = (contents.c.sha256, contents.c.built_at, contents.c.start, contents.c.size, contents.c.bundle)
    return sa.select(
        *(letters.c[name] for name in (*of_letter, "deferrals", "line", "row", "thread")),
        *kept,
        letters.c.due_at,
    ).outerjoin(contents, contents.c.letter == letters.c.id)


def _due(*, only: bool = False, batch: bool = False) -> tuple[Prepared, Prepared]:
    """Return the questions for letters due at the time of a place, behind it, and for those due later."""
    query = (
        _of_letters()
        .where(letters.c.state == State.QUEUED)
        .where(letters.c.id % sa.bindparam("p_of") == sa.bindparam("p_which"))
        .order_by(letters.c.due_at, letters.c.id)
        .limit(sa.bindparam("p_most"))
    )
    if only:
        wanted = sa.select(rows_of("p_only", {"key": sa.Text()}).c.key)
        query = query.where(sa.or_(letters.c.recipient.in_(wanted), letters.c.signatory.in_(wanted)))
    if batch:
        is_open = sa.exists().where(attempts.c.letter == letters.c.id, attempts.c.ended_at.is_(None))
        query = query.where(letters.c.batch == sa.bindparam("p_batch"), ~is_open)
    due: sa.BindParameter[int] = sa.bindparam("p_due")
    return (
        Prepared(query.where(letters.c.due_at == due, letters.c.id > sa.bindparam("p_letter")), in_one=True),
        Prepared(query.where(letters.c.due_at > due, letters.c.due_at <= sa.bindparam("p_now")), in_one=True),
    )


_DUE, _DUE_ONLY, _DUE_BATCH = _due(), _due(only=True), _due(batch=True)
_ROW, _THREAD, _SHA256, _BUILT_AT, _START, _SIZE, _BUNDLE = range(10, 17)  # where they stand in a row
_PLACE = itemgetter(-1, 0)
_PACKED = Prepared(sa.select(bundles.c.packed).where(bundles.c.id == sa.bindparam("bundle")))


def read_unpermitted(
    connection: sa.Connection, *, behind: int, most: int, states: Collection[State] = WAITING
) -> list[Letter]:
    """Return up to ``most`` letters in ``states`` that were never permitted, by number, behind ``behind``."""
    query = _of_letters().where(letters.c.id > behind, letters.c.attempts == 0)
    rows = connection.execute(
        query.where(letters.c.state.in_([str(state) for state in states])).order_by(letters.c.id).limit(most)
    )
    return list(_letters(rows.all(), {}))


def take_out(connection: sa.Connection, ids: Iterable[int], state: State, *, why: str, now_us: int) -> int:
    """Move waiting letters to a final state (suppressed, expired, cancelled); return how many it was."""
    moved = 0
    for letter in ids:
        waiting = sa.and_(letters.c.id == letter, letters.c.state.in_((State.PLANNED, State.QUEUED)))
        change = sa.update(letters).where(waiting).values(state=state, why=why, due_at=None, ended_at=now_us)
        if connection.execute(change).rowcount:
            moved += 1
            connection.execute(sa.insert(events).values(at=now_us, letter=letter, what=str(state), why=why))
    return moved


def count_waiting(connection: sa.Connection, *, only: Collection[str] | None = None) -> tuple[int, int]:
    """Return how many planned letters may be released, and how many letters are queued."""
    query: sa.Select[Any] = (
        sa.select(tallies.c.state, sa.cast(sa.func.sum(tallies.c.number), sa.BigInteger))
        .where(tallies.c.state.in_(WAITING))
        .group_by(tallies.c.state)
    )
    kept_back = sa.select(sa.func.count()).where(letters.c.state == State.PLANNED, _WITHHELD)
    if only is not None:
        wanted = between(only)
        query = (
            sa.select(letters.c.state, sa.func.count())
            .where(letters.c.state.in_(WAITING), wanted)
            .group_by(letters.c.state)
        )
        kept_back = kept_back.where(wanted)
    counts: dict[str, int] = dict(connection.execute(query).all())
    planned = counts.get(State.PLANNED, 0)
    if planned and connection.execute(sa.select(withheld.c.letter).limit(1)).first() is not None:
        planned -= connection.scalar(kept_back) or 0
    return planned, counts.get(State.QUEUED, 0)


def count_due(connection: sa.Connection, *, now_us: int, only: Collection[str] | None = None) -> int:
    """Return how many queued letters are due."""
    _, queued = count_waiting(connection, only=only)
    later = sa.select(sa.func.count()).where(letters.c.state == State.QUEUED, letters.c.due_at > now_us)
    if only is not None:
        later = later.where(between(only))
    return queued - (connection.scalar(later) or 0)


def recipients_in(connection: sa.Connection, state: State) -> dict[int, str]:
    """Return the recipient keys of the letters in a state."""
    query = sa.select(letters.c.id, letters.c.recipient).where(letters.c.state == state)
    found: dict[int, str] = dict(connection.execute(query).all())
    return found
