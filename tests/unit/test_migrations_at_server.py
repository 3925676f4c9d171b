"""Migrations at a server: a store that was made before several hosts could use it, brought forward."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipeline.store.database import Connection
from pipeline.store.migrations import CAMPAIGN, migrate
from tests.postgres import POSTGRESQL, stores_are
from tests.unit.store_support import Bench

STEP = "008 several hosts"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A store at a server, with a queued letter."""
    with stores_are(POSTGRESQL):
        bench = Bench(tmp_path, names=["ada"])
        yield bench
        bench.close()


def shape_of(connection: Connection) -> dict[str, object]:
    """Return columns, keys and indexes of the tables that several hosts need."""
    look = sa.inspect(connection)
    columns = {
        (table, column["name"], str(column["type"]), column["nullable"], str(column["default"]))
        for table in ("runs", "letters", "batches")
        for column in look.get_columns(table)
    }
    indexes = connection.execute(
        sa.text("SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('letters', 'batches')")
    )
    keys = [key["constrained_columns"] for key in look.get_foreign_keys("batches")]
    return {"columns": columns, "indexes": sorted(map(tuple, indexes)), "keys": keys}


def test_a_store_of_one_host_brought_forward_equals_a_new_one(bench: Bench) -> None:
    """Its letters stay as they are, and are in no batch."""
    with bench.world.campaign.writing() as connection:
        new = shape_of(connection)
        for statement in (
            "DROP INDEX letters_batch, letters_loose",
            "ALTER TABLE letters DROP COLUMN batch",
            "ALTER TABLE runs DROP COLUMN name, DROP COLUMN seen_at",
            "DROP TABLE batches",
        ):
            connection.execute(sa.text(statement))
        connection.execute(sa.delete(CAMPAIGN.record).where(CAMPAIGN.record.c.name == STEP))
        assert not sa.inspect(connection).has_table("batches")
        assert list(migrate(connection, CAMPAIGN, now_us=bench.now_us)) == [STEP]
        assert shape_of(connection) == new
        assert list(connection.execute(sa.text("SELECT state, batch FROM letters"))) == [("queued", None)]


def test_indexes_of_a_few_rows_hold_those_rows_only(bench: Bench) -> None:
    """Of a million letters nearly all are sent, and of their attempts nearly all are over."""
    with bench.world.campaign.writing() as connection:
        partial = sa.text("SELECT indexname FROM pg_indexes WHERE indexdef LIKE '% WHERE %'")
        found = set(connection.execute(partial).scalars())
    assert {"letters_batch", "letters_loose", "attempts_open", "mails_unsorted"} <= found
