"""What it was measured on: figures mean nothing without it."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from statistics import median

COMMITS = 200


def describe(scratch: Path) -> list[tuple[str, str]]:
    """Return the machine as pairs of words; ``scratch`` is the folder that stores lie in while it is
    measured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0
    found = [
        ("cores", f"{cores}"),
        ("processor", _processor()),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("SQLite", sqlite3.sqlite_version),
        ("file system of the stores", _file_system(scratch)),
        ("a commit there", f"{commit_ms(scratch):.2f} ms (median of {COMMITS}, WAL, synchronous = FULL)"),
    ]
    if hasattr(os, "getloadavg"):
        load = os.getloadavg()[0]
        busy = " - others were at work: trust the ratios only" if load > 0.5 else ""
        found.append(("load before it began", f"{load:.1f}{busy}"))
    return found


def commit_ms(folder: Path) -> float:
    """Return the median milliseconds of a commit of one small row in WAL with synchronous = FULL."""
    path = folder / "commit.db"
    taken: list[float] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "fullfsync = ON"):
            store.execute(f"PRAGMA {pragma}")
        store.execute("CREATE TABLE IF NOT EXISTS marks (id INTEGER PRIMARY KEY, at REAL)")
        for _ in range(COMMITS):
            began = time.perf_counter()
            store.execute("INSERT INTO marks (at) VALUES (?)", (began,))
            taken.append(time.perf_counter() - began)
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        name.unlink(missing_ok=True)
    return 1000 * median(taken)


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
