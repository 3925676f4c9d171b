"""The store as schemas of a PostgreSQL server: opened, set up, and what is unsafe refused.

Every connection is read back when it is made: a server that confirms commits it may forget
(`synchronous_commit = off`, `fsync = off`) is refused, for a forgotten mark is a letter sent twice. Whoever
goes silent is noticed at both ends (keepalives, tcp_user_timeout), and nobody waits for ever: not for a
connection, not for a row, and a transaction whose host has stopped is ended by the server.

What reads sees one state of things (REPEATABLE READ, READ ONLY); what writes is READ COMMITTED, and each
statement decides for itself. A connection that has rested is asked whether it is still there, so a server
that was away is found again.

Limits: PostgreSQL 13 and later. A pooler between us and the server must keep sessions whole (not
"transaction" pooling), for settings are made for a session.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DisconnectionError

from pipeline.clock import Clock
from pipeline.delivery.relay import Secret
from pipeline.errors import StoreUnwritable
from pipeline.store import dialect
from pipeline.store.address import SECRETS, ServerAddress
from pipeline.store.storeclock import StoreClock
from pipeline.store.tables import make_partial_at_server

OLDEST = 130_000
INSTALL = "pip install 'letter-campaign[postgres]'"
SESSION = {  # of every connection
    "lock_timeout": "15s",  # longer than a transaction of a stopped host lasts
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
WRITES = {"idle_in_transaction_session_timeout": "5s", "default_transaction_isolation": "read committed"}
READS = {
    "idle_in_transaction_session_timeout": "10min",  # mail is read and letters are written while it is open
    "default_transaction_isolation": "repeatable read",
    "default_transaction_read_only": "on",
}
WIRE = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",  # milliseconds
}
RESTED_S = 1.0  # after which a connection is asked whether it is still there


_ASKED = (
    "SELECT current_setting('server_version_num')::int, current_setting('synchronous_commit'), "
    "current_setting('fsync'), pg_is_in_recovery(), "
    "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
)


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and what a host needs to get in.

    ``password`` is asked for each new connection; None: libpq's own ways. ``locks`` is the folder where this
    host keeps its locks. ``clock`` is set by the server's where it is a `StoreClock`.
    """

    address: ServerAddress
    password: Callable[[], Secret | None]
    locks: Path
    clock: Clock

    def schema(self, name: str) -> PostgresSchema:
        """Return a place for the tables of one database."""
        return PostgresSchema(self, name)


class PostgresSchema:
    """Where a store lies that is a schema of a server: `pipeline.store.database.Medium`."""

    def __init__(self, server: Server, schema: str) -> None:
        """Raises StoreUnwritable where the driver is not installed."""
        self.schema = schema
        self.server = server
        self.server_name = server.address.name
        self.name = f"{self.server_name} ({schema})"
        mark = hashlib.sha256(server.address.name.encode()).hexdigest()[:12]
        self.path = server.locks / f"{schema}-{mark}"
        self._driver = _driver()
        self.faults: tuple[type[Exception], ...] = (self._driver.Error,)

    def open(self) -> tuple[sa.Engine, sa.Engine]:
        """Return what writes and what reads; neither is connected yet."""
        make_partial_at_server()
        return self._engine(WRITES), self._engine(READS)

    def make_ready(self, connection: sa.Connection) -> None:
        """Make the schema if there is none; one host at a time brings it up to date."""
        connection.execute(
            sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"upgrade {self.schema}", 0)))
        )
        if not dialect.has_schema(connection, self.schema):
            connection.execute(sa.schema.CreateSchema(self.schema))

    def opened(self) -> None:
        """Nothing is left to do."""

    def turn(self) -> AbstractContextManager[None]:
        """Nobody queues: writers do not exclude each other."""
        return nullcontext()

    def take_turns(self) -> None:
        """As `turn` says."""

    def end_turns(self) -> None:
        """As `turn` says."""

    def cause(self, trouble: Exception) -> str:
        """Return what the server or the driver says, without the data it speaks of."""
        said = getattr(trouble, "orig", None) or trouble
        diagnosis = getattr(said, "diag", None)
        return (diagnosis and diagnosis.message_primary) or " ".join(str(said).split())[:300]

    def hint(self, trouble: Exception) -> str:
        """Return what to do about it."""
        said = getattr(trouble, "orig", None) or trouble
        return _hint(getattr(said, "sqlstate", None) or "", self.cause(trouble), self.server.address)

    # -- connections

    def _engine(self, manners: dict[str, str]) -> sa.Engine:
        engine = sa.create_engine(
            "postgresql+psycopg://",
            creator=lambda: self._connect(manners),
            use_native_hstore=False,
            execution_options={"preserve_rowcount": True},  # of INSERT ... ON CONFLICT as well
            pool_size=4,  # the journal, who asks, who gives signs of life
            max_overflow=2,
        )
        monotonic = self.server.clock.monotonic

        @sa.event.listens_for(engine, "checkin")
        def rests(_connection: Any, record: Any) -> None:
            record.info["rests_since"] = monotonic()

        @sa.event.listens_for(engine, "checkout")
        def ask(connection: Any, record: Any, _proxy: Any) -> None:
            if monotonic() - record.info.get("rests_since", monotonic()) > RESTED_S:
                try:
                    connection.execute("")
                    connection.rollback()
                except self._driver.Error:
                    raise DisconnectionError from None

        @sa.event.listens_for(engine, "before_cursor_execute", retval=True)
        def without_nul(_c: Any, _cursor: Any, statement: str, said: Any, _x: Any, many: bool) -> Any:
            return statement, ([_storable(row) for row in said] if many else _storable(said))

        return engine

    def words(self) -> dict[str, str]:
        """Return what libpq is told to reach the server, the password included."""
        secret = self.server.password()
        words = WIRE | {"application_name": f"campaign {self.schema}"} | self.server.address.words()
        if secret is not None:
            words["password"] = secret.reveal()
        return words

    def _connect(self, manners: dict[str, str]) -> Any:
        words = self.words()
        connection = self._driver.connect(autocommit=True, **words)
        try:
            self._set_up(connection, SESSION | manners)
            connection.autocommit = False
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: Any, settings: dict[str, str]) -> None:
        """Make the settings of a session, and read back those that everything rests on; one way there and
        back."""
        settings = settings | {"search_path": f'"{self.schema}"'}
        asked_at = self.server.clock.monotonic()
        row = connection.execute(
            _ASKED + ", set_config(%s, %s, false)" * len(settings),
            [word for setting in settings.items() for word in setting],
        ).fetchone()
        version, commits, syncs, standby, now_us, *_ = row
        if isinstance(self.server.clock, StoreClock):
            self.server.clock.correct(now_us, asked_at=asked_at)
        if version < OLDEST:
            raise StoreUnwritable(
                f"{self.server.address.name} is PostgreSQL {version // 10_000}; 13 is the oldest that will do"
            )
        if standby:
            raise StoreUnwritable(
                f"{self.server.address.name} is a standby and takes no writing",
                "name the primary server in [store] url",
            )
        if commits == "off" or syncs == "off":
            which = "synchronous_commit" if commits == "off" else "fsync"
            raise StoreUnwritable(
                f"{self.server.address.name} may forget what it has confirmed: {which} is off",
                f"a letter it forgot would be sent twice: set {which} = on, for the database and the role",
            )


def copy_rows(connection: sa.Connection, table: sa.Table, rows: Iterable[Sequence[object]]) -> None:
    """Put rows, whole and in the order of its columns, into a table, in the transaction of ``connection``.

    They go over as they come; none of them is kept.
    """
    quoted = connection.dialect.identifier_preparer.quote
    columns = ", ".join(quoted(column.name) for column in table.c)
    driver: Any = connection.connection.driver_connection
    with driver.cursor().copy(f"COPY {quoted(table.name)} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _driver() -> Any:
    try:
        import psycopg
    except ImportError as missing:
        raise StoreUnwritable(
            f"[store] url names a PostgreSQL database, and what speaks to one is not installed ({missing})",
            INSTALL,
        ) from None
    return psycopg


def _storable(parameters: Any) -> Any:
    if isinstance(parameters, dict):
        return {name: dialect.keepable(value) for name, value in parameters.items()}
    if isinstance(parameters, (list, tuple)):
        return type(parameters)(dialect.keepable(value) for value in parameters)
    return parameters


def _hint(state: str, said: str, address: ServerAddress) -> str:
    text = said.lower()
    if state in {"28P01", "28000"} or "password" in text or "authentication" in text:
        return f"the server does not let this user in; a password: {SECRETS}"
    if state == "3D000" or ('database "' in text and "does not exist" in text):
        return f"make it, as the server's administrator: createdb {address.database}"
    if state == "42501":
        return (
            "the role needs the right to make schemas: "
            f"GRANT CREATE ON DATABASE {address.database} TO {address.user or 'the role'}"
        )
    if state == "53100":
        return "the server's disk is full: make room, then run the same command again; nothing is lost"
    if state == "53300":
        return "the server takes no more connections: raise max_connections, or stop what holds them"
    if state == "55P03":
        return "another host held what this one needed; run the same command again, nothing is lost"
    if "ssl" in text:
        return (
            "the server must offer TLS, or the address must say ?sslmode=disable (in your own network only)"
        )
    return "see that the server runs and can be reached, then run the same command again; nothing is lost"
