"""A PostgreSQL for tests: a cluster of our own, made once a session, and databases that live for one test.

The server runs as an ordinary user (it refuses to be root), on a free port of 127.0.0.1 and a socket, in
memory where the machine has a memory disk: there fsync stays on and costs nothing, so the store takes it.
A missing server skips the test with the line that installs it; where the environment says CI=true it fails.

`BOTH` is for tests that hold on either store: it is a parameter of a module's tests, and `a_place` says where
the store of a folder lies.

Limits: Linux. The cluster is gone when the process that made it ends, whatever becomes of that.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipeline.clock import Clock
from pipeline.store.address import ServerAddress
from pipeline.store.database import Database
from pipeline.store.postgres import PostgresSchema, Server
from tests.clocks import FakeClock
from tests.peers import free_port, wait_until

BINARIES = Path("/usr/lib/postgresql")
PACKAGE = "postgresql"
SQLITE, POSTGRESQL = "sqlite", "postgresql"
IN_RAM = Path("/dev/shm")


def binaries() -> Path:
    """Return the folder of the newest server's programs; missing, the test is skipped, and fails in CI."""
    found = sorted(BINARIES.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    if (path := shutil.which("initdb")) is not None:
        return Path(path).parent
    missing = f"PostgreSQL is not installed: apt-get install --no-install-recommends {PACKAGE}"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


class Cluster:
    """A running server. Its superuser is ``tests``; nobody on this machine needs a password."""

    def __init__(self, folder: Path, *, settings: tuple[str, ...] = ()) -> None:
        """Make it in ``folder`` and start it, with further ``settings`` ("name=value")."""
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self._programs = binaries()
        self._settings = settings
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        folder.chmod(0o755)
        made = ("--auth=trust", "--username=tests", "--encoding=UTF8", "--no-sync", "--locale=C.UTF-8")
        self._run("initdb", "-D", str(self.data), *made)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it lets in."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            "shared_buffers": "64MB",
            **dict(setting.split("=", 1) for setting in self._settings),
        }
        words = " ".join(f"-c {name}={value}" for name, value in options.items())
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.data), "-l", log, "-o", words, "-w", "-t", "60", "start")

    def stop(self, how: str = "fast") -> None:
        """Stop it: "fast" ends sessions and writes everything down, "immediate" is a crash."""
        self._run("pg_ctl", "-D", str(self.data), "-m", how, "-w", "-t", "60", "stop")

    @property
    def pid(self) -> int:
        """The process of the server."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def address(self, database: str) -> ServerAddress:
        """Return the address of a database."""
        return ServerAddress(database, "127.0.0.1", self.port, "tests")

    def make(self, database: str) -> None:
        """Make a database, if there is none of that name."""
        with self.connect("postgres") as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
            if known is None:
                connection.execute(f'CREATE DATABASE "{database}"'.encode())

    def drop(self, database: str) -> None:
        """Drop a database, whoever is connected to it."""
        with self.connect("postgres") as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)'.encode())

    def connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        """Return a connection as the superuser, outside any transaction."""
        words = self.address(database).words()
        return psycopg.connect(autocommit=True, **words)  # type: ignore[arg-type]

    def close(self) -> None:
        """End it at once, and leave nothing."""
        try:
            os.kill(self.pid, signal.SIGQUIT)
            wait_until(lambda: not (self.data / "postmaster.pid").exists(), "PostgreSQL does not end")
        except (OSError, ValueError):
            pass
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        words = [str(self._programs / program), *arguments]
        user = pwd.getpwnam("postgres").pw_uid if os.getuid() == 0 else None
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            user=user,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            timeout=120,
        )
        if done.returncode:
            log = self.folder / "log"
            pytest.fail(f"{program}: {done.stderr.decode()}\n{log.read_text() if log.exists() else ''}")


@contextmanager
def a_cluster(*settings: str) -> Iterator[Cluster]:
    """Run a server for one test, which may stop it and start it again."""
    cluster = Cluster(_folder(), settings=settings)
    try:
        yield cluster
    finally:
        cluster.close()


@cache
def the_cluster() -> Cluster:
    """Return the server of this session; it is started by the first that asks."""
    cluster = Cluster(_folder())
    atexit.register(_close, cluster, os.getpid())
    return cluster


def _close(cluster: Cluster, pid: int) -> None:
    if os.getpid() == pid:  # and not a child of ours
        cluster.close()


def _folder() -> Path:
    binaries()
    return Path(tempfile.mkdtemp(prefix="campaign-postgres-", dir=IN_RAM if IN_RAM.is_dir() else None))


# -- a store for a test


class _Stores:
    """Which store tests use at this moment, and the databases that were made for them."""

    def __init__(self) -> None:
        self.kind = SQLITE
        self.databases: set[str] = set()


_STORES = _Stores()


def database_of(root: Path) -> str:
    """Return the name of the database that belongs to a folder; it is made at the first asking."""
    name = "test_" + hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:20]
    if name not in _STORES.databases:
        the_cluster().make(name)
        _STORES.databases.add(name)
    return name


def server_of(root: Path, *, clock: Clock | None = None) -> Server:
    """Return the server with a database that belongs to a folder."""
    address = the_cluster().address(database_of(root))
    return Server(address, lambda: None, root / "locks", clock or FakeClock())


def a_place(root: Path, *, clock: Clock | None = None) -> Server | None:
    """Return where the store of the folder ``root`` lies in this test; None: in a file below it."""
    return server_of(root, clock=clock) if _STORES.kind == POSTGRESQL else None


@contextmanager
def stores_are(kind: str) -> Iterator[None]:
    """Let `a_place` give stores of a kind; what was made is dropped at the end."""
    before, _STORES.kind = _STORES.kind, kind
    try:
        if kind == POSTGRESQL:
            the_cluster()
        yield
    finally:
        _STORES.kind = before
        if before == SQLITE:
            for name in _STORES.databases:
                the_cluster().drop(name)
            _STORES.databases.clear()


def is_at_server(database: Database) -> bool:
    """Say whether a store's database is a schema of a server."""
    return isinstance(database.medium, PostgresSchema)


@contextmanager
def outside(database: Database) -> Iterator[Any]:
    """Give a connection to a store's database as another program has it, outside any transaction."""
    medium = database.medium
    if isinstance(medium, PostgresSchema):
        with the_cluster().connect(medium.server.address.database) as connection:
            connection.execute(f'SET search_path = "{medium.schema}"'.encode())
            yield connection
        return
    with closing(sqlite3.connect(database.path, isolation_level=None)) as file:
        yield file


BOTH = pytest.mark.both_stores  # of a module's tests; `FILE_ONLY` of one of them that is about a file
FILE_ONLY = pytest.mark.file_only
