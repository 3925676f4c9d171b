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
from pipeline.store.dialect import has_table, is_shared

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


def _mails(connection: sa.Connection) -> None:
    """Mail that came back, as it was fetched."""
    connection.exec_driver_sql("CREATE TABLE mailboxes (name TEXT NOT NULL PRIMARY KEY, mark TEXT NOT NULL)")
    connection.exec_driver_sql(
        "CREATE TABLE mails (id INTEGER NOT NULL PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, "
        "mailbox TEXT NOT NULL, source TEXT NOT NULL, raw BLOB, extent TEXT NOT NULL, size INTEGER NOT NULL, "
        "flags TEXT NOT NULL, why TEXT NOT NULL, received_at BIGINT, fetched_at BIGINT NOT NULL, "
        "sorted_at BIGINT)"
    )
    connection.exec_driver_sql("CREATE INDEX mails_unsorted ON mails (id) WHERE sorted_at IS NULL")


def _replies(connection: sa.Connection) -> None:
    """What was made of mail that came back. No earlier version wrote to the table it replaces."""
    connection.exec_driver_sql("DROP TABLE replies")
    connection.exec_driver_sql(
        "CREATE TABLE replies (id INTEGER NOT NULL PRIMARY KEY, "
        "mail INTEGER NOT NULL UNIQUE REFERENCES mails (id), letter INTEGER REFERENCES letters (id), "
        "kind TEXT NOT NULL, form TEXT NOT NULL, ours BOOLEAN NOT NULL, received_at BIGINT NOT NULL, "
        "why TEXT NOT NULL, matched TEXT NOT NULL, score INTEGER NOT NULL, tied BOOLEAN NOT NULL, "
        "candidates TEXT NOT NULL, name TEXT NOT NULL, address TEXT NOT NULL, subject TEXT NOT NULL, "
        "text TEXT NOT NULL, attachments TEXT NOT NULL, recipients TEXT NOT NULL, "
        "forwarded_by TEXT NOT NULL, case_number TEXT NOT NULL, returns TEXT NOT NULL, "
        "review TEXT NOT NULL, reviewed_at BIGINT, assigned_at BIGINT)"
    )
    connection.exec_driver_sql("CREATE INDEX replies_letter ON replies (letter)")
    connection.exec_driver_sql(
        "CREATE TABLE written (letter INTEGER NOT NULL PRIMARY KEY REFERENCES letters (id), "
        "recipient TEXT NOT NULL, domain TEXT NOT NULL, subject TEXT NOT NULL, topic TEXT NOT NULL)"
    )
    for name in ("recipient", "domain", "topic"):
        connection.exec_driver_sql(f"CREATE INDEX written_{name} ON written ({name})")


def _figures(connection: sa.Connection) -> None:
    """Replies are counted without reading their words."""
    connection.exec_driver_sql("DROP INDEX replies_letter")
    connection.exec_driver_sql("CREATE INDEX replies_of_letters ON replies (letter, ours, kind, received_at)")


def _approvals(connection: sa.Connection) -> None:
    """Who approved which bytes, and which letters wait for it."""
    for table in (
        'CREATE TABLE approvals (id INTEGER NOT NULL PRIMARY KEY, at BIGINT NOT NULL, "by" TEXT NOT NULL, '
        "manifest TEXT NOT NULL, letters INTEGER NOT NULL, withdrawn_at BIGINT)",
        "CREATE TABLE origins (id INTEGER NOT NULL PRIMARY KEY, made_from TEXT NOT NULL)",
        "CREATE TABLE approved (letter INTEGER NOT NULL PRIMARY KEY REFERENCES letters (id), "
        "approval INTEGER NOT NULL REFERENCES approvals (id), sha256 TEXT NOT NULL, size INTEGER NOT NULL, "
        "file TEXT NOT NULL, encoding TEXT NOT NULL, built_at BIGINT NOT NULL, row TEXT NOT NULL, "
        "origins INTEGER NOT NULL REFERENCES origins (id))",
        "CREATE TABLE withheld (letter INTEGER NOT NULL PRIMARY KEY REFERENCES letters (id), "
        "why TEXT NOT NULL, changed BOOLEAN NOT NULL)",
    ):
        connection.exec_driver_sql(table)


def _threads(connection: sa.Connection) -> None:
    """A follow-up knows the letters before it."""
    connection.exec_driver_sql("ALTER TABLE letters ADD COLUMN thread TEXT NOT NULL DEFAULT ''")


def _strikes(connection: sa.Connection) -> None:
    """Bounces that may mean the address."""
    connection.exec_driver_sql(
        "CREATE TABLE strikes (hash TEXT NOT NULL, source TEXT NOT NULL, reason TEXT NOT NULL, "
        "at BIGINT NOT NULL, PRIMARY KEY (hash, source)) WITHOUT ROWID"
    )


def _spent_by_name_only(connection: sa.Connection) -> None:
    """What is spent is looked for by name; what is old is looked for once a day."""
    connection.exec_driver_sql("DROP INDEX spent_start")


def _several_hosts(connection: sa.Connection) -> None:
    """Runs say that they are alive, and letters are handed out in batches."""
    connection.exec_driver_sql("ALTER TABLE runs ADD COLUMN name TEXT DEFAULT '' NOT NULL")
    connection.exec_driver_sql("ALTER TABLE runs ADD COLUMN seen_at BIGINT")
    server = is_shared(connection)
    number, key = ("BIGINT", "BIGSERIAL") if server else ("INTEGER", "INTEGER")
    connection.exec_driver_sql(f"ALTER TABLE letters ADD COLUMN batch {number}")
    connection.exec_driver_sql(
        f"CREATE TABLE batches (id {key} NOT NULL PRIMARY KEY, lane TEXT NOT NULL, "
        f"run {number} REFERENCES runs (id), made_at BIGINT NOT NULL, taken_at BIGINT)"
    )
    if server:
        queued = "WHERE state = 'queued' AND batch IS"
        connection.exec_driver_sql(f"CREATE INDEX letters_batch ON letters (batch) {queued} NOT NULL")
        connection.exec_driver_sql(f"CREATE INDEX letters_loose ON letters (due_at, id) {queued} NULL")


def _planned_in_line(connection: sa.Connection) -> None:
    """The first of many planned letters are found without sorting all of them."""
    connection.exec_driver_sql("CREATE INDEX letters_planned ON letters (line, id) WHERE state = 'planned'")


def _short_names_of_recipients(connection: sa.Connection) -> None:
    """The limit of a recipient is named by half of the hash."""
    connection.exec_driver_sql("UPDATE spent SET name = substr(name, 1, 42) WHERE name LIKE 'recipient %%'")


CAMPAIGN = Schema(
    tables.CAMPAIGN,
    tables.migrations,
    {
        "001 baseline": _baseline,
        "002 tallies": _tallies,
        "003 fetched mail": _mails,
        "004 replies": _replies,
        "005 figures of replies": _figures,
        "006 approvals": _approvals,
        "007 threads": _threads,
        "008 several hosts": _several_hosts,
        "009 planned in line": _planned_in_line,
    },
)
SHARED = Schema(
    tables.SHARED,
    tables.shared_migrations,
    {
        "001 baseline": _baseline,
        "002 mx": _mx,
        "003 spent by name": _spent_by_name_only,
        "004 strikes": _strikes,
        "005 short names of recipients": _short_names_of_recipients,
    },
)


def migrate(connection: sa.Connection, schema: Schema, *, now_us: int) -> Sequence[str]:
    """Bring the database behind ``connection`` to ``schema`` in its transaction; return the names of the
    steps taken.

    Raises LookupError for a database that a newer version of the program has written.
    """
    record = schema.record
    if not has_table(connection, record.name):
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
