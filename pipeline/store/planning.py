"""Rows of the lists become letters; the identity decides what is new.

Reordering or editing the list or a template never makes a second letter: a row that is known already only
refreshes what its letter is made from, and only until the first permission (its line in the list always). A
row that vanished cancels its letter while it waits; letters in doubt and sent stay. A row that comes back is
planned again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from pipeline.delivery.letter import State
from pipeline.delivery.plan import FIRST_ROUND, PlannedLetter
from pipeline.store import followups
from pipeline.store.dialect import PreparedRows, alone, insert, is_shared
from pipeline.store.in_step import in_step
from pipeline.store.tables import letters, meta, tallies

ROW_REMOVED = "row removed"
BATCH = 500
KIB_FOR_INDEXES = 8_000  # of pages, while letters are put into a file
_WAITING = (State.PLANNED, State.QUEUED)
REFRESHED = ("email", "domain", "language", "timezone", "row")


@dataclass(frozen=True, slots=True)
class Planning:
    """What one planning changed: new letters, and those cancelled because their row is gone."""

    new: int
    cancelled: int


def plan(
    connection: sa.Connection, planned: Iterable[PlannedLetter], *, campaign: str, now_us: int
) -> Planning:
    """Bring the letters of ``campaign`` in line with the list; memory stays flat, whatever the length."""
    alone(connection, "planning")
    before = _total(connection)
    seen = _next_seen(connection)
    stream = iter(planned)
    if is_shared(connection):
        from pipeline.store.planning_beside import plan_beside_others  # a file has no other hosts

        plan_beside_others(connection, stream, campaign=campaign, seen=seen, now_us=now_us)
    else:
        rounds = followups.rounds(connection, campaign=campaign)

        def put_in(batch: Sequence[PlannedLetter]) -> None:
            rows = list(map(of_row, batch))
            _UPSERT.run(connection, rows, p_campaign=campaign, p_seen=seen, p_now=now_us)
            for number in rounds:
                _refresh_followups(connection, batch, campaign=campaign, round_=number, seen=seen)

        with _room_for_indexes(connection), in_step() as hand_over:
            while batch := list(islice(stream, BATCH)):
                hand_over(partial(put_in, batch))
    gone = connection.execute(
        sa.update(letters)
        .where(letters.c.campaign == campaign)
        .where(letters.c.seen != seen, letters.c.state.in_(_WAITING))
        .values(state=State.CANCELLED, why=ROW_REMOVED, due_at=None, ended_at=now_us)
    )
    return Planning(new=_total(connection) - before, cancelled=gone.rowcount)


def turns(connection: sa.Connection, *, campaign: str) -> Iterator[tuple[str, str, int]]:
    """Yield who has whose letter, for `recipients.pairing.Turns`: recipient, signatory, rank.

    Rank 0: it has gone, may have, or is to be replaced by no other; 1: it waits; 2: its row had vanished.
    """
    rank = sa.case((returned, 2), (letters.c.state.in_(_WAITING), 1), else_=0).label("rank")
    query = sa.select(letters.c.recipient, letters.c.signatory, rank).where(
        letters.c.campaign == campaign, letters.c.round == FIRST_ROUND
    )
    for row in connection.execution_options(yield_per=BATCH).execute(query):
        yield row.recipient, row.signatory, row.rank


def _refresh_followups(
    connection: sa.Connection, batch: Sequence[PlannedLetter], *, campaign: str, round_: int, seen: int
) -> None:
    """Bring the follow-ups of some rows in line with them, as the first letters are."""
    change = sa.update(letters).where(
        letters.c.campaign == campaign,
        letters.c.round == round_,
        letters.c.signatory == sa.bindparam("p_signatory"),
        letters.c.recipient == sa.bindparam("p_recipient"),
    )
    values: dict[str, Any] = {
        name: sa.case((fresh, sa.bindparam(f"p_{name}")), else_=letters.c[name]) for name in REFRESHED
    }
    values |= {"line": sa.bindparam("p_line"), "seen": seen, **BROUGHT_BACK}
    rows = [
        {f"p_{name}": getattr(one, name) for name in ("signatory", "recipient", "line", *REFRESHED)}
        for one in batch
    ]
    connection.execute(change.values(values), rows)


@contextmanager
def _room_for_indexes(connection: sa.Connection) -> Iterator[None]:
    """Let a file's connection keep more pages for a while; they are let go at the commit.

    Where letters come in two indexes has no order: a page that is not kept is written and read for each.
    """
    usual = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
    connection.exec_driver_sql(f"PRAGMA cache_size=-{KIB_FOR_INDEXES}")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA cache_size={usual}")


def _total(connection: sa.Connection) -> int:
    return int(connection.scalar(sa.select(sa.func.sum(tallies.c.number))) or 0)


def _next_seen(connection: sa.Connection) -> int:
    """Return the number of this planning.

    At a server it stays the same: a letter is marked when its row goes, for to mark all the others would keep
    other hosts from them.
    """
    known = int(connection.scalar(sa.select(meta.c.value).where(meta.c.name == "seen")) or 0)
    number = known if known and is_shared(connection) else known + 1
    row = insert(meta).values(name="seen", value=str(number))
    connection.execute(row.on_conflict_do_update(index_elements=["name"], set_={"value": row.excluded.value}))
    return number


OF_ROW = ("signatory", "recipient", "message_id", "email", "domain", "language", "timezone", "line", "row")
of_row = attrgetter(*OF_ROW)
OF_A_NEW_LETTER: dict[str, Any] = {
    "campaign": sa.bindparam("p_campaign", type_=sa.Text()),
    "seen": sa.bindparam("p_seen", type_=sa.Integer()),
    "planned_at": sa.bindparam("p_now", type_=sa.BigInteger()),
    "round": FIRST_ROUND,
    "state": str(State.PLANNED),
    "why": "",
    "attempts": 0,
    "deferrals": 0,
}
_insert = insert(letters).values({name: sa.bindparam(name) for name in OF_ROW} | OF_A_NEW_LETTER)
fresh = letters.c.attempts == 0  # from the first permission on the frozen bytes count, not the row
returned = sa.and_(letters.c.state == State.CANCELLED, letters.c.why == ROW_REMOVED)
BROUGHT_BACK: dict[str, Any] = {  # a letter whose row is in the list again
    "state": sa.case((returned, str(State.PLANNED)), else_=letters.c.state),
    "why": sa.case((returned, ""), else_=letters.c.why),
    "ended_at": sa.case((returned, sa.null()), else_=letters.c.ended_at),
}
_UPSERT = PreparedRows(
    OF_ROW,
    _insert.on_conflict_do_update(
        index_elements=["campaign", "round", "signatory", "recipient"],
        set_={
            **{name: sa.case((fresh, _insert.excluded[name]), else_=letters.c[name]) for name in REFRESHED},
            "line": _insert.excluded.line,
            "seen": _insert.excluded.seen,
            **BROUGHT_BACK,
        },
    ),
)
