"""How letters are counted by state: kept by the database itself, in the transaction of whatever moves a
letter, so that no statement can forget it.

SQLite, with one writer at a time, keeps a row for each state and changes it row by row.

PostgreSQL has many writers, and a row that each of them changes is held by each until its commit: hosts would
wait for one another's disk. There a statement that moves letters adds a row with what it moved, once for all
of its letters, and nobody waits: a sum is the number, whoever else is at work. `tidy` folds the rows together
again; a run does so at its beginning and end.
"""

from __future__ import annotations

import sqlalchemy as sa

from pipeline.store import dialect


def _tally(row: str, by: int) -> str:
    """Return the statement that counts the old or new row of a change."""
    return (
        f"INSERT INTO tallies (state, number) VALUES ({row}.state, {by}) "  # noqa: S608 - our own words
        "ON CONFLICT (state) DO UPDATE SET number = number + excluded.number;"
    )


_IN_SQLITE = (
    f"CREATE TRIGGER letters_came AFTER INSERT ON letters BEGIN {_tally('NEW', 1)} END",
    "CREATE TRIGGER letters_moved AFTER UPDATE OF state ON letters WHEN OLD.state <> NEW.state "
    f"BEGIN {_tally('OLD', -1)} {_tally('NEW', 1)} END",
    f"CREATE TRIGGER letters_went AFTER DELETE ON letters BEGIN {_tally('OLD', -1)} END",
)


def _function(name: str, moved: str) -> str:
    """Return the statement that makes a trigger's function; ``moved`` gives states, each with 1 or -1."""
    return (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "  # noqa: S608
        f"INSERT INTO tallies (state, number) SELECT state, sum(by) FROM ({moved}) AS moved "
        "GROUP BY state HAVING sum(by) <> 0; RETURN NULL; END $$"
    )


_CAME, _WENT = "SELECT state, 1 AS by FROM came", "SELECT state, -1 AS by FROM went"
_AT_SERVER = (
    "ALTER TABLE tallies DROP CONSTRAINT tallies_pkey",
    "CREATE INDEX tallies_state ON tallies (state)",
    _function("count_came", _CAME),
    _function("count_moved", f"{_CAME} UNION ALL {_WENT}"),
    _function("count_went", _WENT),
    "CREATE TRIGGER letters_came AFTER INSERT ON letters REFERENCING NEW TABLE AS came "
    "FOR EACH STATEMENT EXECUTE FUNCTION count_came()",
    "CREATE TRIGGER letters_moved AFTER UPDATE ON letters "
    "REFERENCING NEW TABLE AS came OLD TABLE AS went FOR EACH STATEMENT EXECUTE FUNCTION count_moved()",
    "CREATE TRIGGER letters_went AFTER DELETE ON letters REFERENCING OLD TABLE AS went "
    "FOR EACH STATEMENT EXECUTE FUNCTION count_went()",
)


def keep(_target: sa.Table, connection: sa.Connection, **_arguments: object) -> None:
    """Let a new database count; called when the table of the tallies is made, which is after the letters'."""
    for statement in _AT_SERVER if dialect.is_shared(connection) else _IN_SQLITE:
        connection.exec_driver_sql(statement)


def tidy(connection: sa.Connection, tallies: sa.Table) -> None:
    """Fold what was added into one row for each state, in the caller's transaction."""
    if not dialect.is_shared(connection):
        return
    gone = sa.delete(tallies).returning(tallies.c.state, tallies.c.number).cte("gone")
    sums = sa.select(gone.c.state, sa.func.sum(gone.c.number)).group_by(gone.c.state)
    sums = sums.having(sa.func.sum(gone.c.number) != 0)
    connection.execute(sa.insert(tallies).from_select(["state", "number"], sums.add_cte(gone)))
