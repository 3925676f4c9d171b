"""What it was measured on: figures mean nothing without it."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from bench.figures import percentile

COMMITS = 200
BLOCK = 4096  # octets


def describe(scratch: Path) -> list[tuple[str, str]]:
    """Return the machine as pairs of words; ``scratch`` is the folder that stores lie in while it is
    measured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0
    found = [
        ("cores", f"{cores}"),
        ("processor", _processor()),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("memory", _memory()),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("SQLite", sqlite3.sqlite_version),
        ("campaign", _version("letter-campaign")),
        ("uvloop", _version("uvloop")),
        ("file system of the stores", _file_system(scratch)),
        ("a write of 4 kB and fsync there", _told(sync_ms(scratch))),
        ("a commit of SQLite there", f"{_told(commit_ms(scratch))}; one small row, WAL, synchronous = FULL"),
    ]
    if hasattr(os, "getloadavg"):
        load = os.getloadavg()[0]
        busy = " - others were at work: trust the ratios only" if load > 0.5 else ""
        found.append(("load before it began", f"{load:.1f}{busy}"))
    return found


def sync_ms(folder: Path) -> list[float]:
    """Return the milliseconds of each of some appends of 4 kB with fsync, as a journal makes them."""
    path, block, taken = folder / "sync", bytes(BLOCK), []
    with path.open("wb", buffering=0) as stream:
        for _ in range(COMMITS):
            began = time.perf_counter()
            stream.write(block)
            os.fsync(stream.fileno())
            taken.append(1000 * (time.perf_counter() - began))
    path.unlink()
    return taken


def commit_ms(folder: Path) -> list[float]:
    """Return the milliseconds of each of some commits of one small row in WAL with synchronous = FULL."""
    path = folder / "commit.db"
    taken: list[float] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "fullfsync = ON"):
            store.execute(f"PRAGMA {pragma}")
        store.execute("CREATE TABLE IF NOT EXISTS marks (id INTEGER PRIMARY KEY, at REAL)")
        for _ in range(COMMITS):
            began = time.perf_counter()
            store.execute("INSERT INTO marks (at) VALUES (?)", (began,))
            taken.append(1000 * (time.perf_counter() - began))
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        name.unlink(missing_ok=True)
    return taken


def _told(ms: Sequence[float]) -> str:
    return f"{median(ms):.2f} ms, 95 of 100 within {percentile(ms, 0.95):.2f} ms"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _file_system(folder: Path) -> str:
    """Return the type of the file system a folder is on, as /proc/self/mounts has it."""
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines()
    except OSError:
        return "unknown"
    place, best, kind = folder.resolve(), -1, "unknown"
    for fields in (line.split() for line in mounts):
        if len(fields) > 2 and place.is_relative_to(fields[1]) and len(fields[1]) >= best:
            best, kind = len(fields[1]), fields[2]
    return kind
