"""Statements that a file works off as one.

SQLite's interface for Python lets the interpreter go for every statement and takes it back behind it. Where
another thread is at work that takes longer than most statements: a commit of nine waits nine times.

Limits: SQLite only; a statement returns no rows here, and names no table that is the connection's own.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from pipeline.store.dialect import NAMED, compiled_for_file

_NOT_ALL = "not all"


class Step(NamedTuple):
    """One statement of a `Together`, and the parameter that says how many rows it has to change, if one does.

    Where it changes another number, nothing of the whole is done.
    """

    statement: sa.Executable
    must_change: str = ""


class Together:
    """Statements that a file works off as one, in a transaction of their own.

    The interpreter is let go once for all of them, the write to the disk included. They are the body of a
    trigger of the connection's own, behind a view that is never read; it writes no row.
    """

    __slots__ = ("_compiled", "_name", "_parameters", "_steps")

    def __init__(self, name: str, parameters: Sequence[str], steps: Sequence[Step]) -> None:
        """``parameters`` are all that is not said by the statements themselves."""
        self._name = name
        self._parameters = tuple(parameters)
        self._steps = tuple(steps)
        self._compiled: tuple[tuple[str, ...], str] | None = None

    def run(self, connection: sqlite3.Connection, given: Mapping[str, object]) -> bool:
        """Do all of it, or nothing: false where a step did not change what it had to.

        ``connection`` is in no transaction.
        """
        made, run = self._compiled = self._compiled or self._compile()
        values = [given[name] for name in self._parameters]
        try:
            try:
                connection.execute(run, values)
            except sqlite3.OperationalError as trouble:
                if f"no such table: {self._name}" not in str(trouble):
                    raise
                _make(connection, made)  # this connection has not run it before
                connection.execute(run, values)
        except sqlite3.IntegrityError as refusal:
            if str(refusal) != _NOT_ALL:
                raise
            return False
        return True

    def _compile(self) -> tuple[tuple[str, ...], str]:
        columns = ", ".join(self._parameters)
        nothing = ", ".join("NULL" for _ in self._parameters)
        body: list[str] = []
        for step in self._steps:
            body.append(self._as_new(step.statement))
            if step.must_change:
                failed = f"RAISE(ROLLBACK, '{_NOT_ALL}')"
                body.append(f"SELECT {failed} WHERE changes() <> NEW.{step.must_change}")
        view = f"CREATE TEMP VIEW {self._name} ({columns}) AS SELECT {nothing}"
        trigger = f"CREATE TEMP TRIGGER {self._name}_steps INSTEAD OF INSERT ON {self._name} BEGIN "
        trigger += "; ".join(body) + "; END"
        marks = ", ".join("?" for _ in self._parameters)
        return (view, trigger), f"INSERT INTO {self._name} VALUES ({marks})"  # noqa: S608 - names of our own

    def _as_new(self, statement: sa.Executable) -> str:
        """Return a statement that takes its parameters from the row that is put into the view."""
        sql, constants, _ = compiled_for_file(statement)

        def put(found: re.Match[str]) -> str:
            name = found[1]
            return _literal(constants[name]) if name in constants else f"NEW.{name}"

        return NAMED.sub(put, sql)


def _make(connection: sqlite3.Connection, statements: Sequence[str]) -> None:
    """Make what a connection has for itself: all of it or nothing, or it would never be made again."""
    connection.execute("SAVEPOINT making")
    try:
        for sql in statements:
            connection.execute(sql)
        connection.execute("RELEASE making")
    except BaseException:
        connection.rollback()
        raise


def _literal(value: object) -> str:
    """Return a word or number of our own as SQL."""
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"
