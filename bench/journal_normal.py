"""`campaign` with a journal that a power cut may shorten: ``python -m bench.journal_normal [ARGUMENT]...``

Only to see what FULL costs. Every database connection is set to synchronous = NORMAL after the program has
set it to FULL and read that back. Nothing but the benchmark does this. It fails if a connection to a database
was opened and not changed, so that a figure is never FULL against FULL.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable

from pipeline.cli import main as campaign
from pipeline.store import sqlite_file

_opened = 0
_relaxed = 0


def count(event: str, _arguments: tuple[object, ...]) -> None:
    """Count connections that are opened, by whomever: an audit hook."""
    global _opened  # noqa: PLW0603 - one process, one count
    _opened += event == "sqlite3.connect/handle"


def relaxed(set_up: Callable[[sqlite3.Connection, object], None]) -> Callable[..., None]:
    """Return what sets a connection up as the program does, and to NORMAL after that."""

    def relax(connection: sqlite3.Connection, record: object) -> None:
        global _relaxed  # noqa: PLW0603 - one process, one count
        set_up(connection, record)
        connection.execute("PRAGMA synchronous = NORMAL")
        _relaxed += 1

    return relax


def main() -> None:
    """Be the command line, relaxed."""
    sys.addaudithook(count)
    sqlite_file._set_up = relaxed(sqlite_file._set_up)
    try:
        campaign()
    finally:
        if not _relaxed or _relaxed < _opened:
            sys.exit(f"{_relaxed} of {_opened} connections were set to NORMAL")


if __name__ == "__main__":
    main()
