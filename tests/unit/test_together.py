"""Several statements as one: all of them, or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipeline.store.together import Step, Together

_ledger = sa.Table("ledger", sa.MetaData(), sa.Column("name", sa.Text), sa.Column("sum", sa.Integer))
_named = _ledger.c.name == sa.bindparam("p_to")
_move = Together(
    "moving",
    ["p_to", "p_sum", "p_one"],
    [
        Step(
            sa.update(_ledger)
            .where(_ledger.c.name == "it's ours")
            .values(sum=_ledger.c.sum - sa.bindparam("p_sum"))
        ),
        Step(
            sa.update(_ledger).where(_named).values(sum=_ledger.c.sum + sa.bindparam("p_sum")),
            must_change="p_one",
        ),
    ],
)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A file with two accounts."""
    with closing(sqlite3.connect(tmp_path / "accounts.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE ledger (name TEXT, sum INTEGER)")
        connection.execute("INSERT INTO ledger VALUES ('it''s ours', 10), ('theirs', 0)")
        yield connection


def sums(file: sqlite3.Connection) -> dict[str, int]:
    """Return what is in the accounts."""
    return dict(file.execute("SELECT name, sum FROM ledger"))


def test_all_steps_are_done_and_committed(file: sqlite3.Connection) -> None:
    """It is a transaction of its own, and can be run again."""
    for _ in range(2):
        assert _move.run(file, {"p_to": "theirs", "p_sum": 3, "p_one": 1})
    assert sums(file) == {"it's ours": 4, "theirs": 6}
    assert not file.in_transaction


def test_a_step_that_changes_less_than_it_must_undoes_all(file: sqlite3.Connection) -> None:
    """What the steps before it did is gone, and no transaction is left open."""
    assert not _move.run(file, {"p_to": "nobody", "p_sum": 3, "p_one": 1})
    assert sums(file) == {"it's ours": 10, "theirs": 0}
    assert not file.in_transaction


def test_a_value_is_never_taken_for_sql(file: sqlite3.Connection) -> None:
    """Quotes in what is given stay what they are."""
    assert not _move.run(file, {"p_to": "theirs'; DROP TABLE ledger; --", "p_sum": 3, "p_one": 1})
    assert sums(file) == {"it's ours": 10, "theirs": 0}


def test_trouble_with_the_database_is_raised(file: sqlite3.Connection) -> None:
    """A missing table, or a constraint of its own, is not taken for a step that changed nothing."""
    file.execute("CREATE TRIGGER closed BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'closed'); END")
    with pytest.raises(sqlite3.IntegrityError, match="closed"):
        _move.run(file, {"p_to": "theirs", "p_sum": 3, "p_one": 1})
    file.execute("DROP TABLE ledger")
    with pytest.raises(sqlite3.OperationalError):
        _move.run(file, {"p_to": "theirs", "p_sum": 3, "p_one": 1})


def test_what_could_not_be_made_is_made_the_next_time(file: sqlite3.Connection) -> None:
    """A view without its trigger would stand in the way of every commit to come."""
    denied = sqlite3.SQLITE_CREATE_TEMP_TRIGGER
    file.set_authorizer(lambda action, *_: sqlite3.SQLITE_DENY if action == denied else sqlite3.SQLITE_OK)
    with pytest.raises(sqlite3.DatabaseError):
        _move.run(file, {"p_to": "theirs", "p_sum": 3, "p_one": 1})
    file.set_authorizer(None)
    assert _move.run(file, {"p_to": "theirs", "p_sum": 3, "p_one": 1})
    assert sums(file) == {"it's ours": 7, "theirs": 3}
