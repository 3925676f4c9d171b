"""Where the databases differ: the rows of a list handed over in one parameter, statements compiled once.

A batch of permissions or results goes to the database as one JSON array and is worked off by one statement,
so the cost of a statement is paid once a commit and not once a letter.

Limits: SQLite only, until the store can be a PostgreSQL.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite


def rows_of(parameter: str, columns: Mapping[str, sa.types.TypeEngine[Any]]) -> sa.Subquery:
    """Return a table with ``columns``; its rows stand, as arrays in that order, in ``parameter``'s JSON."""
    each = sa.func.json_each(sa.bindparam(parameter)).table_valued("value", name=f"{parameter}_each")
    picked = [
        sa.type_coerce(sa.func.json_extract(each.c.value, f"$[{index}]"), kind).label(name)
        for index, (name, kind) in enumerate(columns.items())
    ]
    return sa.select(*picked).subquery(f"{parameter}_rows")


def as_rows(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as the JSON that `rows_of` reads."""
    return json.dumps(list(rows), ensure_ascii=False, separators=(",", ":"))


class Prepared:
    """A statement that is compiled once and run by the driver itself.

    What SQLAlchemy does around a statement takes longer than the statement, where it is run for every commit.
    Rows come as plain tuples.
    """

    __slots__ = ("_constants", "_sql")

    def __init__(self, statement: sa.Executable) -> None:
        assert isinstance(statement, sa.ClauseElement)
        compiled = statement.compile(dialect=sqlite.dialect(paramstyle="named"))
        self._sql = str(compiled)
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}

    def run(self, connection: sa.Connection, **parameters: object) -> list[tuple[Any, ...]]:
        """Run it in the transaction of ``connection``; return its rows."""
        driver = connection.connection.driver_connection
        assert driver is not None
        rows: list[tuple[Any, ...]] = driver.execute(self._sql, self._constants | parameters).fetchall()
        return rows
