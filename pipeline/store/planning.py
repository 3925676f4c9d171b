"""Rows of the lists become letters; the identity decides what is new.

Reordering or editing the list or a template never makes a second letter: a row that is known already only
refreshes what its letter is made from, and only until the first permission (its line in the list always). A
row that vanished cancels its letter while it waits; letters in doubt and sent stay. A row that comes back is
planned again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from pipeline.delivery.letter import State
from pipeline.delivery.plan import FIRST_ROUND, PlannedLetter
from pipeline.store import followups
from pipeline.store.dialect import Prepared, PreparedRows, alone, as_rows, insert, is_shared, rows_of
from pipeline.store.tables import letters, meta, tallies

ROW_REMOVED = "row removed"
BATCH = 500
_WAITING = (State.PLANNED, State.QUEUED)
_REFRESHED = ("email", "domain", "language", "timezone", "row")


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
        _plan_beside_others(connection, stream, campaign=campaign, seen=seen, now_us=now_us)
    else:
        rounds = followups.rounds(connection, campaign=campaign)
        while batch := list(islice(stream, BATCH)):
            _UPSERT.run(connection, map(_of_row, batch), p_campaign=campaign, p_seen=seen, p_now=now_us)
            for number in rounds:
                _refresh_followups(connection, batch, campaign=campaign, round_=number, seen=seen)
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
    rank = sa.case((_returned, 2), (letters.c.state.in_(_WAITING), 1), else_=0).label("rank")
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
        name: sa.case((_fresh, sa.bindparam(f"p_{name}")), else_=letters.c[name]) for name in _REFRESHED
    }
    values |= {"line": sa.bindparam("p_line"), "seen": seen, **_BROUGHT_BACK}
    rows = [
        {f"p_{name}": getattr(one, name) for name in ("signatory", "recipient", "line", *_REFRESHED)}
        for one in batch
    ]
    connection.execute(change.values(values), rows)


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


_OF_ROW = ("signatory", "recipient", "message_id", "email", "domain", "language", "timezone", "line", "row")
_of_row = attrgetter(*_OF_ROW)
_OF_A_NEW_LETTER: dict[str, Any] = {
    "campaign": sa.bindparam("p_campaign", type_=sa.Text()),
    "seen": sa.bindparam("p_seen", type_=sa.Integer()),
    "planned_at": sa.bindparam("p_now", type_=sa.BigInteger()),
    "round": FIRST_ROUND,
    "state": str(State.PLANNED),
    "why": "",
    "attempts": 0,
    "deferrals": 0,
}
_insert = insert(letters).values({name: sa.bindparam(name) for name in _OF_ROW} | _OF_A_NEW_LETTER)
_fresh = letters.c.attempts == 0  # from the first permission on the frozen bytes count, not the row
_returned = sa.and_(letters.c.state == State.CANCELLED, letters.c.why == ROW_REMOVED)
_BROUGHT_BACK: dict[str, Any] = {  # a letter whose row is in the list again
    "state": sa.case((_returned, str(State.PLANNED)), else_=letters.c.state),
    "why": sa.case((_returned, ""), else_=letters.c.why),
    "ended_at": sa.case((_returned, sa.null()), else_=letters.c.ended_at),
}
_UPSERT = PreparedRows(
    _OF_ROW,
    _insert.on_conflict_do_update(
        index_elements=["campaign", "round", "signatory", "recipient"],
        set_={
            **{name: sa.case((_fresh, _insert.excluded[name]), else_=letters.c[name]) for name in _REFRESHED},
            "line": _insert.excluded.line,
            "seen": _insert.excluded.seen,
            **_BROUGHT_BACK,
        },
    ),
)


# -- with other hosts at work


def _plan_beside_others(
    connection: sa.Connection, stream: Iterator[PlannedLetter], *, campaign: str, seen: int, now_us: int
) -> None:
    """Bring in rows without touching letters that are as the list has them.

    A row that is written is held until the commit, and hosts that send wait for it. So the list is laid
    beside the letters first, and what is found to differ is written: new ones, those of whatever round whose
    row was edited or is back, and the mark of those whose row is gone.
    """
    _listed.create(connection)
    while batch := list(islice(stream, BATCH)):
        _LOAD.run(connection, listed=as_rows(map(_of_row, batch)))
    for change in (_ADD, _REFRESH, _MARK_GONE):
        change.run(connection, p_campaign=campaign, p_seen=seen, p_now=now_us)


def _same(listed: sa.FromClause) -> sa.ColumnElement[bool]:
    """Say that a letter is that of a row of the list."""
    return sa.and_(letters.c.signatory == listed.c.signatory, letters.c.recipient == listed.c.recipient)


_campaigns = letters.c.campaign == sa.bindparam("p_campaign", type_=sa.Text())
_seen = sa.bindparam("p_seen", type_=sa.Integer())
_listed = sa.Table(
    "listed",
    sa.MetaData(),
    *(sa.Column(name, letters.c[name].type) for name in _OF_ROW),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
_rows = rows_of("listed", {name: letters.c[name].type for name in _OF_ROW})
_LOAD = Prepared(sa.insert(_listed).from_select(list(_OF_ROW), sa.select(*_rows.c)))
_alike = {name: value for name, value in _OF_A_NEW_LETTER.items() if name not in _OF_ROW}
_new = (
    sa.select(
        *_listed.c,
        *(value if isinstance(value, sa.BindParameter) else sa.literal(value) for value in _alike.values()),
    )
    .where(~sa.exists().where(_campaigns, letters.c.round == FIRST_ROUND, _same(_listed)).correlate(_listed))
    .order_by(_listed.c.line)
)
_ADD = Prepared(insert(letters).from_select([*_OF_ROW, *_alike], _new).on_conflict_do_nothing())
_differs: list[sa.ColumnElement[bool]] = [
    _fresh & (letters.c[name] != _listed.c[name]) for name in _REFRESHED
]
_differs += [letters.c.line != _listed.c.line, letters.c.seen != _seen, _returned]
_REFRESH = Prepared(
    sa.update(letters)
    .where(_campaigns, _same(_listed), sa.or_(*_differs))
    .values(
        {name: sa.case((_fresh, _listed.c[name]), else_=letters.c[name]) for name in _REFRESHED}
        | {"line": _listed.c.line, "seen": _seen}
        | _BROUGHT_BACK
    )
)
_MARK_GONE = Prepared(
    sa.update(letters)
    .where(_campaigns, letters.c.seen == _seen, ~sa.exists().where(_same(_listed)).correlate(letters))
    .values(seen=0)
)
