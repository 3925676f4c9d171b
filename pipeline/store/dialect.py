"""Where the two databases differ: statements that say the same to SQLite and to PostgreSQL.

A batch of permissions or results goes to the database as one JSON array and is worked off by one statement,
so the cost of a statement is paid once a commit and not once a letter. `Prepared` compiles a statement once
for each database and hands it to the driver itself. How a database is opened stands in `sqlite_file.py` and
`postgres.py`, how letters are counted in `tallying.py`.

Limits: PostgreSQL keeps no NUL in a text; a mark stands in its place.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite.dml import OnConflictDoNothing, OnConflictDoUpdate
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

POSTGRESQL = "postgresql"
NO_CHARACTER = "\ufffd"

# With ON CONFLICT, which both databases have. It is SQLite's, and PostgreSQL's compiler writes it as well: to
# load what SQLAlchemy has for PostgreSQL takes 20 ms and 2 MiB, and most stores are files.
insert = sqlite.insert
Insert = sqlite.Insert

# Who runs a `Prepared`: a connection of SQLAlchemy's, or, where it is run again and again, the file's own.
Connected = sa.Connection | sqlite3.Connection


def is_shared(connection: Connected) -> bool:
    """Say whether the database is a server, at which other hosts may be at work too."""
    return not isinstance(connection, sqlite3.Connection) and connection.dialect.name == POSTGRESQL


def has_table(connection: sa.Connection, name: str) -> bool:
    """Say whether there is a table of that name where ours lie."""
    if is_shared(connection):
        return bool(connection.scalar(sa.select(sa.func.to_regclass(name).is_not(None))))
    return sa.inspect(connection).has_table(name)


def has_schema(connection: sa.Connection, name: str) -> bool:
    """Say whether a server has a schema of that name."""
    there = sa.text("SELECT 1 FROM pg_namespace WHERE nspname = :name")
    return connection.execute(there, {"name": name}).first() is not None


def alone(connection: sa.Connection, what: str) -> None:
    """Let one transaction at a time do ``what``, until its end; in SQLite there is only one that writes."""
    if is_shared(connection):
        here = sa.func.concat(sa.func.current_schema(), f" {what}")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(here, 0))))


def store_now_us(connection: Connected) -> int:
    """Return the time of day of a server."""
    ((now_us,),) = _STORE_NOW.run(connection)
    return int(now_us)


# -- rows in one parameter


class _Elements(FunctionElement[Any]):
    """The elements of a JSON array, as JSON, in the column ``value``."""

    name = "elements"
    inherit_cache = True


class _Words(FunctionElement[Any]):
    """The elements of a JSON array, as words or numbers, in the column ``value``."""

    name = "words"
    inherit_cache = True


class _Pairs(FunctionElement[Any]):
    """The pairs of a JSON object in the columns ``key`` and ``value``."""

    name = "pairs"
    inherit_cache = True


class _Number(FunctionElement[Any]):
    """What `_Words` holds, as a number."""

    name = "number"
    type = sa.BigInteger()
    inherit_cache = True


class _Item(FunctionElement[Any]):
    """The element of a JSON array at a place."""

    name = "item"
    inherit_cache = False

    def __init__(self, array: sa.ColumnElement[Any], index: int, kind: sa.types.TypeEngine[Any]) -> None:
        super().__init__(array)
        self.index = index
        self.type = kind


@compiles(_Elements, "sqlite")
@compiles(_Words, "sqlite")
@compiles(_Pairs, "sqlite")
def _each_in_sqlite(element: FunctionElement[Any], compiler: Any, **words: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **words)})"


@compiles(_Elements, POSTGRESQL)
def _elements(element: _Elements, compiler: Any, **words: Any) -> str:
    return f"json_array_elements(CAST({compiler.process(element.clauses, **words)} AS JSON))"


@compiles(_Words, POSTGRESQL)
def _words(element: _Words, compiler: Any, **words: Any) -> str:
    return f"json_array_elements_text(CAST({compiler.process(element.clauses, **words)} AS JSON))"


@compiles(_Pairs, POSTGRESQL)
def _pairs(element: _Pairs, compiler: Any, **words: Any) -> str:
    return f"json_each_text(CAST({compiler.process(element.clauses, **words)} AS JSON))"


@compiles(_Number, "sqlite")
def _number_in_sqlite(element: _Number, compiler: Any, **words: Any) -> str:
    return str(compiler.process(element.clauses, **words))


@compiles(_Number, POSTGRESQL)
def _number(element: _Number, compiler: Any, **words: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **words)} AS BIGINT)"


@compiles(_Item, "sqlite")
def _item_in_sqlite(element: _Item, compiler: Any, **words: Any) -> str:
    return f"json_extract({compiler.process(element.clauses, **words)}, '$[{element.index}]')"


@compiles(_Item, POSTGRESQL)
def _item(element: _Item, compiler: Any, **words: Any) -> str:
    kind = compiler.dialect.type_compiler_instance.process(element.type)
    return f"CAST(({compiler.process(element.clauses, **words)} ->> {element.index}) AS {kind})"


@compiles(OnConflictDoNothing, POSTGRESQL)
@compiles(OnConflictDoUpdate, POSTGRESQL)
def _on_conflict(clause: Any, compiler: Any, **words: Any) -> str:
    clause.constraint_target = (
        None  # what PostgreSQL could name in place of columns, and SQLite does not know
    )
    visit = getattr(compiler, f"visit_{clause.__visit_name__}")
    return str(visit(clause, **words))


def rows_of(parameter: str, columns: Mapping[str, sa.types.TypeEngine[Any]]) -> sa.Subquery:
    """Return a table with ``columns``; its rows stand, as arrays in that order, in ``parameter``'s JSON."""
    each = _Elements(json_parameter(parameter)).table_valued("value", name=f"{parameter}_each")
    picked = [
        _Item(each.c.value, index, kind).label(name) for index, (name, kind) in enumerate(columns.items())
    ]
    return sa.select(*picked).subquery(f"{parameter}_rows")


def numbers_of(parameter: str) -> sa.Subquery:
    """Return a table whose column ``number`` holds the numbers of ``parameter``'s JSON array."""
    each = _Words(json_parameter(parameter)).table_valued("value", name=f"{parameter}_each")
    return sa.select(_Number(each.c.value).label("number")).subquery(f"{parameter}_rows")


def texts_of(parameter: str) -> sa.Subquery:
    """Return a table with the columns ``number`` and ``text``: the pairs of ``parameter``'s JSON object."""
    each = _Pairs(json_parameter(parameter)).table_valued("key", "value", name=f"{parameter}_each")
    number = sa.cast(each.c.key, sa.BigInteger()).label("number")
    text = sa.type_coerce(each.c.value, sa.Text()).label("text")
    return sa.select(number, text).subquery(f"{parameter}_rows")


def counts_of(parameter: str) -> sa.Subquery:
    """Return a table with the columns ``name`` and ``number``: the pairs of ``parameter``'s JSON object."""
    each = _Pairs(json_parameter(parameter)).table_valued("key", "value", name=f"{parameter}_each")
    name = sa.type_coerce(each.c.key, sa.Text()).label("name")
    return sa.select(name, _Number(each.c.value).label("number")).subquery(f"{parameter}_rows")


class _Json(sa.Text):
    """Text that is JSON, as `as_rows` and its like make it."""


def json_parameter(name: str) -> sa.BindParameter[str]:
    """Return a parameter that is given JSON."""
    return sa.bindparam(name, type_=_Json())


def as_numbers(numbers: Iterable[int]) -> str:
    """Return numbers as the JSON that `numbers_of` reads."""
    return json.dumps(list(numbers), separators=(",", ":"))


def as_texts(texts: Mapping[int, str]) -> str:
    """Return texts by number as the JSON that `texts_of` reads."""
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":"))


def as_counts(counts: Mapping[str, int]) -> str:
    """Return numbers by name as the JSON that `counts_of` reads."""
    return json.dumps(counts, ensure_ascii=False, separators=(",", ":"))


def as_rows(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as the JSON that `rows_of` reads."""
    return json.dumps(list(rows), ensure_ascii=False, separators=(",", ":"))


# -- statements compiled once


class Prepared:
    """A statement that is compiled once, when it is first run, and run by the driver itself.

    What SQLAlchemy does around a statement takes longer than the statement, where it is run for every commit.
    Rows come as plain tuples, or lists.
    """

    __slots__ = ("_at_server", "_in_file", "_in_one", "_statement", "_statement_at_server")

    def __init__(
        self, statement: sa.Executable, *, at_server: sa.Executable | None = None, in_one: bool = False
    ) -> None:
        """``at_server`` is the statement that says the same where other hosts are at work.

        ``in_one``: rows of texts and numbers come from a file in one piece, as JSON. The interpreter is let
        go and taken back for each column of each row otherwise, and commits wait for that.
        """
        self._in_one = in_one
        self._statement = statement
        self._statement_at_server = statement if at_server is None else at_server
        self._in_file: _InFile | None = None
        self._at_server: _AtServer | None = None

    def run(self, connection: Connected, **parameters: object) -> list[tuple[Any, ...]]:
        """Run it in the transaction of ``connection``; return its rows."""
        cursor = self._execute(connection, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description is not None else []
        if self._in_one and not is_shared(connection):
            rows = json.loads(rows[0][0])
        return rows

    def change(self, connection: Connected, **parameters: object) -> int:
        """Run one that changes rows; return how many."""
        return int(self._execute(connection, parameters).rowcount)

    def _execute(self, connection: Connected, parameters: dict[str, object]) -> Any:
        if not isinstance(connection, sqlite3.Connection) and is_shared(connection):
            if self._at_server is None:
                self._at_server = _compiled(self._statement_at_server, connection)
            return _driver(connection).execute(self._at_server.sql, self._at_server.given(parameters))
        if self._in_file is None:
            self._in_file = compiled_for_file(_in_one(self._statement) if self._in_one else self._statement)
        sql, constants, _ = self._in_file
        return _driver(connection).execute(sql, constants | parameters)


def _in_one(question: sa.Executable) -> sa.Executable:
    """Return a question whose answer is one JSON array with all rows."""
    assert isinstance(question, sa.SelectBase)
    rows = question.subquery("all_rows")
    return sa.select(sa.func.json_group_array(sa.func.json_array(*rows.c)))


class PreparedRows:
    """An INSERT that is compiled once and puts many rows into a file, some of them at a time.

    Where a table has a trigger, SQLite makes ready to take a statement back: for many rows it does so once.
    To take a row out of JSON costs it more than to put the row in.
    """

    __slots__ = ("_at_server", "_columns", "_compiled", "_sql", "_statement")

    def __init__(
        self, columns: Sequence[str], statement: sa.Executable, *, at_server: sa.Executable | None = None
    ) -> None:
        """``columns`` names the parameters that a row holds, in order; the others are the same for all.

        ``at_server`` puts in what `rows_of` reads of ``rows``, where it may be run at a server as well.
        """
        self._columns = tuple(columns)
        self._statement = statement
        self._at_server = Prepared(at_server) if at_server is not None else None
        self._compiled: _InFile | None = None
        self._sql: dict[int, str] = {}  # by the number of rows

    def run(self, connection: Connected, rows: Sequence[tuple[object, ...]], **parameters: object) -> None:
        """Put ``rows`` in, in the transaction of ``connection``."""
        if self._at_server is not None and is_shared(connection):
            self._at_server.run(connection, rows=as_rows(rows), **parameters)
            return
        if self._compiled is None:
            self._compiled = compiled_for_file(self._statement)
        common = self._compiled.constants | parameters
        others = [common[name] for name in self._others(self._compiled)]
        driver, start = _driver(connection), 0
        for size in ROWS_AT_ONCE:
            while len(rows) - start >= size:
                if (sql := self._sql.get(size)) is None:
                    sql = self._sql[size] = self._for_rows(self._compiled, size)
                driver.execute(sql, [*others, *chain.from_iterable(rows[start : start + size])])
                start += size

    def _others(self, compiled: _InFile) -> list[str]:
        """Return the parameters that are the same for all rows, in their order."""
        return [name for name in compiled.names if name not in self._columns]

    def _for_rows(self, compiled: _InFile, number: int) -> str:
        """Return the statement for so many rows, its parameters numbered: the rows' behind the others."""
        numbers = {name: number for number, name in enumerate(self._others(compiled), 1)}
        behind, columns = len(numbers) + 1, self._columns

        def numbered(text: str, row: int = 0) -> str:
            own = {name: behind + row * len(columns) + at for at, name in enumerate(columns)}
            return NAMED.sub(lambda found: f"?{(numbers | own)[found[1]]}", text)

        before, values, after = _VALUES.split(compiled.sql, maxsplit=1)
        every = ", ".join(numbered(values, row) for row in range(number))
        return f"{before} VALUES {every} {numbered(after)}"


# Of `PreparedRows`: an older SQLite takes 999 parameters. A statement of each length from 1 to 100 would take
# megabytes, for each is kept ready.
ROWS_AT_ONCE = (100, 64, 32, 16, 8, 4, 2, 1)
_VALUES = re.compile(r" VALUES (\([^()]*\)) ?")
_STORE_NOW = Prepared(
    sa.select(sa.cast(sa.extract("epoch", sa.func.clock_timestamp()) * 1_000_000, sa.BigInteger))
)
NAMED = re.compile(r":([a-z_][a-z0-9_]*)")
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def _constants(compiled: Any) -> dict[str, Any]:
    """Return what the statement itself says; members of an enumeration as the plain words they are."""
    return {
        name: str(value) if isinstance(value, str) else value
        for name, value in compiled.params.items()
        if value is not None
    }


class _InFile(NamedTuple):
    """A statement as SQLite has it, what it says itself, and the names of all its parameters."""

    sql: str
    constants: dict[str, Any]
    names: tuple[str, ...]


def compiled_for_file(statement: sa.Executable) -> _InFile:
    assert isinstance(statement, sa.ClauseElement)
    compiled = statement.compile(dialect=sqlite.dialect(paramstyle="named"))
    return _InFile(str(compiled), _constants(compiled), tuple(compiled.params))


class _AtServer(NamedTuple):
    """A statement as PostgreSQL has it, and which of its parameters are JSON."""

    sql: str
    constants: dict[str, Any]
    json: frozenset[str]

    def given(self, parameters: Mapping[str, object]) -> dict[str, object]:
        """Return all that is given to it, without NUL."""
        return self.constants | {
            name: _keepable_json(value) if name in self.json else keepable(value)
            for name, value in parameters.items()
        }


def _compiled(statement: sa.Executable, connection: sa.Connection) -> _AtServer:
    assert isinstance(statement, sa.ClauseElement)
    compiled: Any = statement.compile(dialect=connection.dialect)
    json = frozenset(name for name, bind in compiled.binds.items() if isinstance(bind.type, _Json))
    return _AtServer(str(compiled), _constants(compiled), json)


def keepable(value: Any) -> Any:
    """Return a value as PostgreSQL takes it: no NUL in a text, members of an enumeration as plain words."""
    if not isinstance(value, str):
        return value
    return value.replace("\0", NO_CHARACTER) if "\0" in value else str(value)


def _keepable_json(value: Any) -> Any:
    """Return JSON in whose words there is no NUL."""
    return _ESCAPED_NUL.sub(rf"\1{NO_CHARACTER}", value) if "\\u0000" in value else value


def _driver(connection: Connected) -> Any:
    """Return the driver's own connection, in the transaction of ``connection``."""
    return (
        connection if isinstance(connection, sqlite3.Connection) else connection.connection.driver_connection
    )
