"""Where the databases differ: the rows of a list handed over in one parameter, statements compiled once.

A batch of permissions or results goes to the database as one JSON array and is worked off by one statement,
so the cost of a statement is paid once a commit and not once a letter.

Limits: SQLite only, until the store can be a PostgreSQL.
"""

from __future__ import annotations

import json
import re
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


def numbers_of(parameter: str) -> sa.Subquery:
    """Return a table whose column ``number`` holds the numbers of ``parameter``'s JSON array."""
    each = sa.func.json_each(sa.bindparam(parameter)).table_valued("value", name=f"{parameter}_each")
    number = sa.type_coerce(each.c.value, sa.BigInteger()).label("number")
    return sa.select(number).subquery(f"{parameter}_rows")


def texts_of(parameter: str) -> sa.Subquery:
    """Return a table with the columns ``number`` and ``text``: the pairs of ``parameter``'s JSON object."""
    each = sa.func.json_each(sa.bindparam(parameter)).table_valued("key", "value", name=f"{parameter}_each")
    number = sa.cast(each.c.key, sa.BigInteger()).label("number")
    text = sa.type_coerce(each.c.value, sa.Text()).label("text")
    return sa.select(number, text).subquery(f"{parameter}_rows")


def as_numbers(numbers: Iterable[int]) -> str:
    """Return numbers as the JSON that `numbers_of` reads."""
    return json.dumps(list(numbers), separators=(",", ":"))


def as_texts(texts: Mapping[int, str]) -> str:
    """Return texts by number as the JSON that `texts_of` reads."""
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":"))


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
        rows: list[tuple[Any, ...]] = (
            _driver(connection).execute(self._sql, self._constants | parameters).fetchall()
        )
        return rows


class PreparedRows:
    """A statement that is compiled once and run for each of many rows.

    The interpreter is let go and taken back for each row: for a thread that competes with others, `rows_of`
    is better.
    """

    __slots__ = ("_constants", "_order", "_sql")

    def __init__(self, columns: Sequence[str], statement: sa.Executable) -> None:
        """``columns`` names the parameters that a row holds, in order; the others are the same for all."""
        assert isinstance(statement, sa.ClauseElement)
        compiled = statement.compile(dialect=sqlite.dialect(paramstyle="named"))
        # Numbered parameters, so that a row is bound as the tuple it is: those of the row first.
        others = [name for name in compiled.params if name not in columns]
        self._order = others
        numbers = {name: number for number, name in enumerate([*columns, *others], 1)}
        self._sql = _NAMED.sub(lambda found: f"?{numbers[found[1]]}", str(compiled))
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}

    def run(
        self, connection: sa.Connection, rows: Iterable[tuple[object, ...]], **parameters: object
    ) -> None:
        """Run it for each of ``rows`` in the transaction of ``connection``."""
        common = self._constants | parameters
        others = tuple(common[name] for name in self._order)
        _driver(connection).executemany(self._sql, (row + others for row in rows))


_NAMED = re.compile(r":([a-z_][a-z0-9_]*)")


def _driver(connection: sa.Connection) -> Any:
    """Return the driver's own connection, in the transaction of ``connection``."""
    return connection.connection.driver_connection
