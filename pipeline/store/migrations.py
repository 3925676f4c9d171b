"""How an older store becomes today's: ordered, named steps, each in one transaction with its record.

A new file is made from `tables.py` at once and marked with every step's name. A step is never changed after a
release; it uses plain DDL, not `tables.py`, which goes on moving. `tests/unit/test_migrations.py` holds the
first release's schema and proves that it, brought forward, equals a new file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pipeline.store import tables

Step = Callable[[sa.Connection], None]


@dataclass(frozen=True, slots=True)
class Schema:
    """A set of tables and the steps that lead to it."""

    metadata: sa.MetaData
    record: sa.Table
    steps: Mapping[str, Step]


def _baseline(connection: sa.Connection) -> None:
    """Nothing to do: a file of the first release has these tables already."""


def _tallies(connection: sa.Connection) -> None:
    """Letters by state are counted once, and from then on kept."""
    connection.exec_driver_sql(
        "CREATE TABLE tallies (state TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (state))"
    )
    connection.exec_driver_sql("INSERT INTO tallies SELECT state, count(*) FROM letters GROUP BY state")
    for trigger in (
        "CREATE TRIGGER letters_came AFTER INSERT ON letters BEGIN "
        "INSERT INTO tallies (state, number) VALUES (NEW.state, 1) "
        "ON CONFLICT (state) DO UPDATE SET number = number + excluded.number; END",
        "CREATE TRIGGER letters_moved AFTER UPDATE OF state ON letters WHEN OLD.state <> NEW.state BEGIN "
        "INSERT INTO tallies (state, number) VALUES (OLD.state, -1) "
        "ON CONFLICT (state) DO UPDATE SET number = number + excluded.number; "
        "INSERT INTO tallies (state, number) VALUES (NEW.state, 1) "
        "ON CONFLICT (state) DO UPDATE SET number = number + excluded.number; END",
        "CREATE TRIGGER letters_went AFTER DELETE ON letters BEGIN "
        "INSERT INTO tallies (state, number) VALUES (OLD.state, -1) "
        "ON CONFLICT (state) DO UPDATE SET number = number + excluded.number; END",
    ):
        connection.exec_driver_sql(trigger)


def _mx(connection: sa.Connection) -> None:
    """Answers of the DNS are kept."""
    connection.exec_driver_sql(
        "CREATE TABLE mx (domain TEXT NOT NULL, mail TEXT NOT NULL, until BIGINT NOT NULL, "
        "PRIMARY KEY (domain)) WITHOUT ROWID"
    )


def _spent_by_name_only(connection: sa.Connection) -> None:
    """What is spent is looked for by name; what is old is looked for once a day."""
    connection.exec_driver_sql("DROP INDEX spent_start")


CAMPAIGN = Schema(tables.CAMPAIGN, tables.migrations, {"001 baseline": _baseline, "002 tallies": _tallies})
SHARED = Schema(
    tables.SHARED,
    tables.shared_migrations,
    {"001 baseline": _baseline, "002 mx": _mx, "003 spent by name": _spent_by_name_only},
)


def migrate(connection: sa.Connection, schema: Schema, *, now_us: int) -> Sequence[str]:
    """Bring the database behind ``connection`` to ``schema`` in its transaction; return the names of the
    steps taken.

    Raises LookupError for a database that a newer version of the program has written.
    """
    record = schema.record
    if not sa.inspect(connection).has_table(record.name):
        schema.metadata.create_all(connection)
        taken = list(schema.steps)
    else:
        known = set(connection.execute(sa.select(record.c.name)).scalars())
        if unknown := known - set(schema.steps):
            raise LookupError(", ".join(sorted(unknown)))
        taken = [name for name in schema.steps if name not in known]
        for name in taken:
            schema.steps[name](connection)
    if taken:
        connection.execute(sa.insert(record), [{"name": name, "applied_at": now_us} for name in taken])
    return taken
