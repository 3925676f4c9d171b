"""Migrations: the first release's store, brought forward, equals a new one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipeline.delivery.rules import recipient_row
from pipeline.errors import StoreUnwritable
from pipeline.store import migrations
from pipeline.store.database import Database
from pipeline.store.migrations import Schema, migrate
from tests.clocks import FakeClock

GOLDEN = Path(__file__).parents[1] / "golden"
SCHEMAS = {
    "campaign": (migrations.CAMPAIGN,),
    "shared": (migrations.SHARED,),
}


def shape_of(path: Path) -> dict[str, object]:
    """Return what a file's tables are, however the statements were written: columns, keys, indexes."""
    connection = sqlite3.connect(path)
    tables = connection.execute("PRAGMA table_list").fetchall()
    shape = {
        name: (
            without_rowid,
            sorted(row[1:] for row in connection.execute(f"PRAGMA table_info({name})")),
            sorted(row[2:] for row in connection.execute(f"PRAGMA foreign_key_list({name})")),
            sorted(
                (unique, origin, partial, tuple(connection.execute(f"PRAGMA index_info({index})")))
                for _, index, unique, origin, partial in connection.execute(f"PRAGMA index_list({name})")
            ),
        )
        for _, name, _, _, without_rowid, _ in tables
        if not name.startswith("sqlite_")
    }
    named = connection.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    indexes = sorted(name for (name,) in named)
    triggers = sorted(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
    connection.close()
    return {**shape, "indexes": indexes, "triggers": triggers}


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_first_release_brought_forward_equals_a_new_file(tmp_path: Path, name: str) -> None:
    """tests/golden/schema-*.txt is what the first release made; it is never edited."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    connection = sqlite3.connect(old)
    connection.executescript((GOLDEN / f"schema-{name}.txt").read_text("utf-8"))
    record = SCHEMAS[name][0].record.name
    connection.execute(f"INSERT INTO {record} VALUES ('001 baseline', 1)")
    connection.commit()
    connection.close()
    for path in (old, new):
        Database(path, SCHEMAS[name], clock=FakeClock()).close()
    assert shape_of(old) == shape_of(new)
    assert len(shape_of(old)) > 5


def test_limits_of_recipients_counted_before_count_on(tmp_path: Path) -> None:
    """Their rows once carried the whole hash in their names; what they say is not forgotten."""
    path, hash_ = tmp_path / "shared.db", "0123456789abcdef" * 4
    Database(path, (migrations.SHARED,), clock=FakeClock()).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        rows = [(f"recipient {hash_}", 7, 3), ("day smtp.example", 7, 9)]
        connection.executemany("INSERT INTO spent VALUES (?, ?, ?)", rows)
        connection.execute("DELETE FROM shared_migrations WHERE name > '005'")
    Database(path, (migrations.SHARED,), clock=FakeClock()).close()
    with closing(sqlite3.connect(path)) as connection:
        now = connection.execute("SELECT name, start, count FROM spent ORDER BY count").fetchall()
    assert now == [(recipient_row(hash_), 7, 3), ("day smtp.example", 7, 9)]


def test_a_sandbox_holds_both_sets_of_tables(tmp_path: Path) -> None:
    """In one file their names do not collide."""
    Database(tmp_path / "sandbox.db", (migrations.CAMPAIGN, migrations.SHARED), clock=FakeClock()).close()
    both = shape_of(tmp_path / "sandbox.db")
    for name, schema in SCHEMAS.items():
        Database(tmp_path / f"{name}.db", schema, clock=FakeClock()).close()
        alone = shape_of(tmp_path / f"{name}.db")
        del alone["indexes"], alone["triggers"]
        assert alone.items() <= both.items()


def test_an_older_store_gets_the_steps_it_lacks(tmp_path: Path) -> None:
    """Each once, in order, recorded; opening it again takes none."""
    path = tmp_path / "campaign.db"
    Database(path, (migrations.CAMPAIGN,), clock=FakeClock()).close()
    taken: list[str] = []

    def add_column(connection: sa.Connection) -> None:
        taken.append("column")
        connection.exec_driver_sql("ALTER TABLE events ADD COLUMN who TEXT")

    def add_table(connection: sa.Connection) -> None:
        taken.append("table")
        connection.exec_driver_sql("CREATE TABLE notes (id INTEGER PRIMARY KEY)")

    steps = {**migrations.CAMPAIGN.steps, "002 who decided": add_column, "003 notes": add_table}
    later = Schema(migrations.CAMPAIGN.metadata, migrations.CAMPAIGN.record, steps)
    for _ in range(2):
        Database(path, (later,), clock=FakeClock()).close()
    assert taken == ["column", "table"]
    with pytest.raises(
        StoreUnwritable, match=r"newer version of this program \(002 who decided, 003 notes\)"
    ):
        Database(path, (migrations.CAMPAIGN,), clock=FakeClock())


def test_a_step_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    """DDL and record are one transaction."""
    path = tmp_path / "campaign.db"
    Database(path, (migrations.CAMPAIGN,), clock=FakeClock()).close()
    before = shape_of(path)

    def half(connection: sa.Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE notes (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql("CREATE TABLE notes (id INTEGER PRIMARY KEY)")

    steps = {**migrations.CAMPAIGN.steps, "002 half": half}
    later = Schema(migrations.CAMPAIGN.metadata, migrations.CAMPAIGN.record, steps)
    with pytest.raises(StoreUnwritable, match="already exists"):
        Database(path, (later,), clock=FakeClock())
    assert shape_of(path) == before
    Database(path, (migrations.CAMPAIGN,), clock=FakeClock()).close()


def test_a_new_store_is_marked_with_every_step(tmp_path: Path) -> None:
    """It is made as it is today, so no step is owed."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'new.db'}")
    with engine.begin() as connection:
        assert list(migrate(connection, migrations.CAMPAIGN, now_us=1)) == list(migrations.CAMPAIGN.steps)
        assert list(migrate(connection, migrations.CAMPAIGN, now_us=2)) == []
    engine.dispose()
