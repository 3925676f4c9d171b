"""Open a database, bring it to today's tables, and hand out transactions.

What a file and a server have in common; how each is opened is its `Medium`'s (`sqlite_file.py`,
`postgres.py`).

Raises StoreUnwritable (exit 6) for everything that keeps the store from being opened, read or written. After
one the outcome of a commit is not known: whoever asked for a permission has not got it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from pipeline.clock import Clock, to_us
from pipeline.errors import StoreUnwritable
from pipeline.store.dialect import Connected
from pipeline.store.migrations import Schema, migrate
from pipeline.store.sqlite_file import SqliteFile, Straight, sync_folder
from pipeline.store.together import Together

__all__ = ["Connected", "Connection", "Database", "Medium", "sync_folder"]

Connection = sa.Connection  # the name of a transaction for those who only hand it on


class Medium(Protocol):
    """Where a database lies, and what is to be known of that."""

    name: str  # for people; holds no secret
    server_name: str  # of the server; "" of a file
    path: Path  # the file; of a server, what its locks on this host are named after
    faults: tuple[type[Exception], ...]  # what its driver raises

    def open(self) -> tuple[sa.Engine, sa.Engine]:
        """Return what writes and what reads. Raises StoreUnwritable."""

    def make_ready(self, connection: sa.Connection) -> None:
        """Make what has to be there before the tables, in the transaction that makes those."""

    def opened(self) -> None:
        """Do what is to be done when the tables are there."""

    def turn(self) -> AbstractContextManager[None]:
        """Wait for our turn to write."""

    def take_turns(self) -> None:
        """Let the processes of this host that write queue for it."""

    def end_turns(self) -> None:
        """Let them queue no longer."""

    def cause(self, trouble: Exception) -> str:
        """Return what the database says, in a line that holds nobody's data."""

    def hint(self, trouble: Exception) -> str:
        """Return what to do about trouble."""


class Database:
    """One database: a file, or a schema of a server."""

    def __init__(self, place: Path | Medium, schemas: tuple[Schema, ...], *, clock: Clock) -> None:
        """Open ``place``, making it if there is none, and bring it to ``schemas``.

        Raises StoreUnwritable.
        """
        self.medium: Medium = SqliteFile(place) if isinstance(place, Path) else place
        self.path = self.medium.path
        self.name = self.medium.name
        self.is_server = not isinstance(self.medium, SqliteFile)
        self.server_name = self.medium.server_name
        self._straight = Straight(self.medium.path) if isinstance(self.medium, SqliteFile) else None
        with ExitStack() as undo:
            self._engine, self._reader = self.medium.open()
            undo.callback(self.close)
            with self.writing() as connection:
                self.medium.make_ready(connection)
                self._bring_up_to_date(connection, schemas, now_us=to_us(clock.now()))
            self.medium.opened()
            undo.pop_all()

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Hand out a writing transaction; it is committed at the end, rolled back by an exception."""
        with self._guarded(), self.medium.turn(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def running(self, *, at_once: bool = False) -> Iterator[Connected]:
        """Hand out a writing transaction for `Prepared` statements alone: what a send does again and again.

        With a file it goes past SQLAlchemy. ``at_once`` as below, where there is a server.
        """
        if self._straight is None:
            with self.at_once() if at_once else self.writing() as connection:
                yield connection
            return
        with self._guarded(), self.medium.turn(), self._straight.transaction("BEGIN IMMEDIATE") as own:
            yield own

    def at_a_stroke(self, together: Together, given: Mapping[str, object]) -> bool:
        """Run statements of a file as one transaction; false where nothing was done, as `Together` says."""
        assert self._straight is not None
        with self._guarded(), self.medium.turn(), self._straight.alone() as own:
            return together.run(own, given)

    @contextmanager
    def asking(self) -> Iterator[Connected]:
        """Hand out a connection for `Prepared` questions alone, about one state of things."""
        if self._straight is None:
            with self.reading() as connection:
                yield connection
            return
        with self._guarded(), self._straight.transaction("BEGIN") as own:
            yield own

    @contextmanager
    def at_once(self) -> Iterator[sa.Connection]:
        """Hand out a connection on which each statement is a transaction of its own, where there is a server:
        what it locks, nobody who stops after it can keep locked. With a file, it is `writing`."""
        if not self.is_server:
            with self.writing() as connection:
                yield connection
            return
        with self._guarded(), self._engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Hand out a connection for reading one state of things."""
        with self._guarded(), self._reader.connect() as connection:
            yield connection

    def close(self) -> None:
        """Let go of the database; it is opened again when it is asked something."""
        self._engine.dispose()
        self._reader.dispose()
        if self._straight is not None:
            self._straight.close()

    def take_turns(self) -> None:
        """Let the processes that write queue for it, those that are started from now on included."""
        self.medium.take_turns()

    def end_turns(self) -> None:
        """Let writers queue no longer."""
        self.medium.end_turns()

    def _bring_up_to_date(
        self, connection: sa.Connection, schemas: tuple[Schema, ...], *, now_us: int
    ) -> None:
        try:
            for schema in schemas:
                migrate(connection, schema, now_us=now_us)
        except LookupError as newer:
            raise StoreUnwritable(
                f"{self.name} was written by a newer version of this program ({newer})", "update the program"
            ) from None

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            with guarded(self.medium):
                yield
        except StoreUnwritable:
            if self.is_server:  # it may have been away: no connection of before is good for anything
                self.close()
            raise


@contextmanager
def guarded(medium: Medium) -> Iterator[None]:
    """Let trouble with a database be StoreUnwritable."""
    try:
        yield
    except (SQLAlchemyError, *medium.faults) as trouble:  # type: ignore[misc] # mypy does not unpack them
        raise StoreUnwritable(
            f"the store {medium.name} cannot be used: {medium.cause(trouble)}", medium.hint(trouble)
        ) from None
