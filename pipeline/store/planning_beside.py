"""Planning while other hosts send: letters that are as the list has them are not touched.

A row that is written is held until the commit, and hosts that send wait for it. So the list is laid beside
the letters first, and what is found to differ is written: new ones, those of whatever round whose row was
edited or is back, and the mark of those whose row is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import sqlalchemy as sa

from pipeline.delivery.plan import FIRST_ROUND, PlannedLetter
from pipeline.store.dialect import Prepared, as_rows, insert, rows_of
from pipeline.store.planning import (
    BATCH,
    BROUGHT_BACK,
    OF_A_NEW_LETTER,
    OF_ROW,
    REFRESHED,
    fresh,
    of_row,
    returned,
)
from pipeline.store.tables import letters


def plan_beside_others(
    connection: sa.Connection, stream: Iterator[PlannedLetter], *, campaign: str, seen: int, now_us: int
) -> None:
    """Bring in the rows of ``stream``; arguments as `planning.plan`."""
    _listed.create(connection)
    while batch := list(islice(stream, BATCH)):
        _LOAD.run(connection, listed=as_rows(map(of_row, batch)))
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
    *(sa.Column(name, letters.c[name].type) for name in OF_ROW),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
_rows = rows_of("listed", {name: letters.c[name].type for name in OF_ROW})
_LOAD = Prepared(sa.insert(_listed).from_select(list(OF_ROW), sa.select(*_rows.c)))
_alike = {name: value for name, value in OF_A_NEW_LETTER.items() if name not in OF_ROW}
_new = (
    sa.select(
        *_listed.c,
        *(value if isinstance(value, sa.BindParameter) else sa.literal(value) for value in _alike.values()),
    )
    .where(~sa.exists().where(_campaigns, letters.c.round == FIRST_ROUND, _same(_listed)).correlate(_listed))
    .order_by(_listed.c.line)
)
_ADD = Prepared(insert(letters).from_select([*OF_ROW, *_alike], _new).on_conflict_do_nothing())
_differs: list[sa.ColumnElement[bool]] = [fresh & (letters.c[name] != _listed.c[name]) for name in REFRESHED]
_differs += [letters.c.line != _listed.c.line, letters.c.seen != _seen, returned]
_REFRESH = Prepared(
    sa.update(letters)
    .where(_campaigns, _same(_listed), sa.or_(*_differs))
    .values(
        {name: sa.case((fresh, _listed.c[name]), else_=letters.c[name]) for name in REFRESHED}
        | {"line": _listed.c.line, "seen": _seen}
        | BROUGHT_BACK
    )
)
_MARK_GONE = Prepared(
    sa.update(letters)
    .where(_campaigns, letters.c.seen == _seen, ~sa.exists().where(_same(_listed)).correlate(letters))
    .values(seen=0)
)
