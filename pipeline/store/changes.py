"""What a planning changed of letters that wait: looked at before and after, in one transaction.

The letters stay in the database; memory is flat whatever their number.
"""

from __future__ import annotations

import sqlalchemy as sa

from pipeline.store.queue import WAITING
from pipeline.store.tables import Id, letters

_COMPARED = ("email", "language", "timezone", "row")

_before = sa.Table(
    "before_planning",
    sa.MetaData(),
    sa.Column("id", Id, primary_key=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in _COMPARED),
    prefixes=["TEMPORARY"],
)


def look(connection: sa.Connection) -> None:
    """Note what the letters are made from that wait and were never permitted."""
    _before.create(connection)
    waits = sa.select(letters.c.id, *(letters.c[name] for name in _COMPARED)).where(
        letters.c.state.in_([str(state) for state in WAITING]), letters.c.attempts == 0
    )
    connection.execute(sa.insert(_before).from_select(["id", *_COMPARED], waits))


def changed(connection: sa.Connection, *, most: int) -> tuple[int, list[tuple[str, int]]]:
    """Return how many of them are made from something else now, and of ``most`` address and line."""
    differs = sa.or_(*(letters.c[name] != _before.c[name] for name in _COMPARED))
    waits = letters.c.state.in_([str(state) for state in WAITING])
    those = sa.select(letters.c.email, letters.c.line).join(_before, _before.c.id == letters.c.id)
    those = those.where(differs, waits)
    number = connection.scalar(sa.select(sa.func.count()).select_from(those.subquery())) or 0
    found = connection.execute(those.order_by(letters.c.line, letters.c.id).limit(most)).all()
    _before.drop(connection)
    return number, [(email, line) for email, line in found]
