"""One run a campaign on this host: an OS lock that dies with its process, so it is never stale.

A process that is forked while the lock is held holds it too: it is free when the last of them has ended.

`in_turn` is a courtesy between processes, and nothing rests on it.

Limits: flock holds on one host only; the fence in the store does not need it. Who waits for a turn waits as
long as the one who has it is stopped (SIGSTOP).
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from pipeline.errors import AlreadyRunning, StoreUnwritable

ASKERS = 1_000  # of `is_held` at the same moment, before the lock counts as taken


class RunLock:
    """Held from `__enter__` to `__exit__`; the file says who holds it."""

    def __init__(self, path: Path, *, since: str) -> None:
        self._path = path
        self._since = since
        self._handle: int | None = None

    def __enter__(self) -> RunLock:
        """Take the lock. Raises AlreadyRunning when another process has it."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as trouble:
            raise StoreUnwritable(
                f"the lock {self._path} cannot be made: {trouble.strerror}",
                "the campaign's folder must be writable for the user who runs this",
            ) from None
        if not _locked(handle):
            holder = _holder(handle)
            os.close(handle)
            raise AlreadyRunning(
                f"another run holds this campaign{holder}",
                "wait for it to end, or stop it; `campaign status` shows how far it is",
            )
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"pid": os.getpid(), "since": self._since}).encode(), 0)
        self._handle = handle
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = None


def is_held(path: Path) -> bool:
    """Say whether a run holds the lock now."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _flock(handle, fcntl.LOCK_SH)
    finally:
        os.close(handle)


@contextmanager
def in_turn(path: Path) -> Iterator[None]:
    """Wait for our turn among the processes and threads that wait at the file ``path``; nobody waits where it
    is not there."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """Take the lock; false when another process has it. `is_held` may have it, shared, for an instant."""
    for _ in range(ASKERS):
        if _flock(handle, fcntl.LOCK_EX):
            return True
        if not _flock(handle, fcntl.LOCK_SH):
            return False
    return False


def _flock(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _holder(handle: int) -> str:
    try:
        said = json.loads(os.pread(handle, 1_000, 0))
        return f" since {said['since']} (pid {int(said['pid'])})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
