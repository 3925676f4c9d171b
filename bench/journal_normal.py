"""`campaign` with a journal that a power cut may shorten: ``python -m bench.journal_normal [ARGUMENT]...``

Only to see what FULL costs. Every database connection is set to synchronous = NORMAL after the program has
set it to FULL and read that back. Nothing but the benchmark does this. It fails if a connection to a database
was opened and not changed, so that a figure is never FULL against FULL.
"""

from __future__ import annotations

import sqlite3
import sys

import sqlalchemy as sa

from pipeline.cli import main as campaign

_opened = 0
_relaxed = 0


def count(event: str, _arguments: tuple[object, ...]) -> None:
    """Count connections that are opened, by whomever: an audit hook."""
    global _opened  # noqa: PLW0603 - one process, one count
    _opened += event == "sqlite3.connect/handle"


def relax(connection: sqlite3.Connection, record: sa.pool.ConnectionPoolEntry, _proxy: object) -> None:
    """Set a connection to NORMAL the first time it is handed out."""
    global _relaxed  # noqa: PLW0603 - one process, one count
    if record.info.get("relaxed"):
        return
    connection.execute("PRAGMA synchronous = NORMAL")
    record.info["relaxed"] = True
    _relaxed += 1


def main() -> None:
    """Be the command line, relaxed."""
    sys.addaudithook(count)
    sa.event.listen(sa.pool.Pool, "checkout", relax)
    try:
        campaign()
    finally:
        if not _relaxed or _relaxed < _opened:
            sys.exit(f"{_relaxed} of {_opened} connections were set to NORMAL")


if __name__ == "__main__":
    main()
