"""The store as an SQLite file: made, set up, and what is unsafe refused.

WAL with synchronous = FULL (and fullfsync where the system knows it), read back at start: a mark that a power
cut may forget is a letter sent twice. Every writing transaction is BEGIN IMMEDIATE. Files are 0600, their
folder 0700. Network file systems are refused (SQLite's locks do not hold there), folders of sync programs
warned about.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler

from pipeline.errors import StoreUnwritable
from pipeline.store.lock import in_turn

BUSY_MS = 30_000
_CONNECT: dict[str, Any] = {"timeout": BUSY_MS / 1000, "check_same_thread": False}
# The journal of a send is carried over into the file every 16 MB: more seldom than SQLite would, since each
# time waits for the disk twice. Pages are kept in 500 KiB, not 2 MB: a send takes letters in their order, and
# what it asks for again the system has at hand.
PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "fullfsync=ON",
    "foreign_keys=ON",
    "cache_size=-500",
    "wal_autocheckpoint=4096",
    "journal_size_limit=67108864",
)
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "fuse.sshfs", "ncpfs", "ceph", "glusterfs"}
)
_SYNCED = (
    "Dropbox",
    "OneDrive",
    "Google Drive",
    "GoogleDrive",
    "Nextcloud",
    "ownCloud",
    "iCloud",
    "Mobile Documents",
)


class _Hinted(SQLiteCompiler):
    """Writes hints (INDEXED BY) behind the names of tables, which SQLAlchemy leaves out for SQLite."""

    def get_from_hint_text(self, table: object, text: str | None) -> str | None:
        return text


class SqliteFile:
    """Where a store lies that is a file: `pipeline.store.database.Medium`."""

    faults: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        self.server_name = ""
        self._turns = path.with_name(path.name + "-turns")
        self._in_turn = False

    def open(self) -> tuple[sa.Engine, sa.Engine]:
        """Make the file if there is none; return what writes and what reads. Raises StoreUnwritable."""
        _prepare(self.path)
        self._in_turn = self._turns.exists()
        engine = sa.create_engine(sa.URL.create("sqlite", database=str(self.path)), connect_args=_CONNECT)
        engine.dialect.statement_compiler = _Hinted
        sa.event.listen(engine, "connect", _set_up)
        sa.event.listen(engine, "begin", _begin)
        return engine, engine.execution_options(readonly=True)

    def make_ready(self, connection: sa.Connection) -> None:
        """Nothing has to be there before the tables are made."""

    def opened(self) -> None:
        """Close the files to others."""
        _keep_private(self.path)

    def turn(self) -> AbstractContextManager[None]:
        """Wait for our turn to write, where several processes queue for it."""
        return in_turn(self._turns) if self._in_turn else nullcontext()

    def take_turns(self) -> None:
        """Let the processes that write queue for it, those that are started from now on included.

        SQLite tells nobody that its lock is free: who waits looks again after up to 25 ms. With several
        writers that never rest this would be most of the time.
        """
        with suppress(OSError):
            os.close(os.open(self._turns, os.O_CREAT | os.O_RDONLY, 0o600))
        self._in_turn = True

    def end_turns(self) -> None:
        """Let writers queue no longer."""
        self._in_turn = False
        with suppress(OSError):
            self._turns.unlink(missing_ok=True)

    def cause(self, trouble: Exception) -> str:
        """Return what the database says, in a line."""
        return str(getattr(trouble, "orig", None) or trouble)

    def hint(self, trouble: Exception) -> str:
        """Return what to do about trouble with the file."""
        return _hint(self.cause(trouble))


class Straight:
    """A file's connection without SQLAlchemy, whose way to a commit takes longer than the commit's rows.

    It is opened when it is wanted. One transaction at a time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._turn = threading.Lock()

    @contextmanager
    def transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        """Hand it out in a transaction; that is committed at the end, rolled back by an exception."""
        with self._turn:
            connection = self._connection = self._connection or _connect(self._path)
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                self._roll_back(connection)
                raise

    @contextmanager
    def alone(self) -> Iterator[sqlite3.Connection]:
        """Hand it out for one statement that is a transaction of its own."""
        with self._turn:
            connection = self._connection = self._connection or _connect(self._path)
            try:
                yield connection
            except BaseException:
                self._roll_back(connection)
                raise

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        try:
            connection.rollback()
        except sqlite3.Error:  # nobody knows what state it is in
            self._let_go()

    def close(self) -> None:
        """Let go of the file, when a transaction that is under way has ended."""
        with self._turn:
            self._let_go()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection: sqlite3.Connection = sqlite3.connect(str(path), **_CONNECT)
    try:
        _set_up(connection, None)
    except BaseException:
        connection.close()
        raise
    return connection


def peek(path: Path, question: str) -> bool:
    """Say whether a question to a file has an answer, without changing it. Raises StoreUnwritable."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(question).fetchone() is not None
    except sqlite3.Error as trouble:
        if "no such table" in str(trouble):
            return False
        raise StoreUnwritable(f"the store {path} cannot be read: {trouble}", _hint(str(trouble))) from None


def _set_up(connection: sqlite3.Connection, _record: object) -> None:
    """Set and read back the pragmas on every new connection."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={BUSY_MS}", *PRAGMAS):
        cursor.execute(f"PRAGMA {pragma}")
    mode = cursor.execute("PRAGMA journal_mode").fetchone()[0]
    level = cursor.execute("PRAGMA synchronous").fetchone()[0]
    cursor.close()
    if mode != "wal" or level != 2:
        raise sqlite3.OperationalError(
            f"journal_mode is {mode} and synchronous {level}, not wal and 2 (FULL)"
        )


def _begin(connection: sa.Connection) -> None:
    readonly = connection.get_execution_options().get("readonly")
    connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")


def _prepare(path: Path) -> None:
    """Make the folder, 0700, and refuse one on a network file system."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as trouble:
        raise StoreUnwritable(
            f"the store {path} cannot be made: {trouble.strerror}", _hint(str(trouble))
        ) from None
    if (kind := _file_system(path.parent)) in _NETWORK:
        raise StoreUnwritable(
            f"the store {path} lies on a network file system ({kind}), where locks do not hold",
            "keep the campaign's folder on a local disk, or name a local file in [store] url",
        )


def _keep_private(path: Path) -> None:
    """Close the files to others. Another process may be taking the -wal and -shm away at this moment."""
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        with suppress(FileNotFoundError):
            found = name.stat()
            if found.st_mode & 0o077 and found.st_uid == os.getuid():
                name.chmod(0o600)


def _file_system(folder: Path) -> str:
    """Return the type of the file system ``folder`` is on; "" where the system does not say."""
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    place = str(folder.resolve())
    for fields in (line.split() for line in mounts):
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind


def sync_folder(path: Path) -> str:
    """Return the name of the sync program whose folder ``path`` seems to be in; "" for none."""
    return next((name for name in _SYNCED if any(name in part for part in path.resolve().parts)), "")


def _hint(trouble: str) -> str:
    text = trouble.lower()
    if "full" in text or "space" in text:
        return "the disk is full: make room, then run the same command again; nothing is lost"
    if "locked" in text or "busy" in text:
        return (
            "another program holds the file (a backup, sync program, database browser): close it, try again"
        )
    if "readonly" in text or "permission" in text or "read-only" in text or "unable to open" in text:
        return "the file and its folder must be writable for the user who runs this"
    return "see that the disk is sound and the file is not damaged; nothing was sent after this"
