"""FAULTS 18 and 19 on a real file: disk full, read-only, locked. No commit, no permission; no result lost."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.delivery.letter import State
from pipeline.errors import ExitCode, StoreUnwritable
from tests.unit.store_support import ACCEPTED, Bench, parcel, result

NAMES = [f"name{number}" for number in range(1, 101)]

FULL = """
import asyncio, json, resource, sys
from pathlib import Path
from pipeline.store.journal import Journal
from tests.clocks import FakeClock
from tests.unit.store_support import ACCEPTED, Bench, parcel, result

async def main():
    bench = Bench(Path(sys.argv[1]))
    journal = Journal(bench.world.campaign, bench.world.common, run=bench.run,
                      clock=FakeClock(sleeps_pass=True), keep_bytes=True)
    writer = asyncio.create_task(journal.write_for_ever())
    bench.clock.advance(60)
    letters = bench.due()
    wal = bench.world.campaign.path.with_name("campaign.db-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal + 100_000, resource.RLIM_INFINITY))
    granted, denied = [], 0
    for letter in letters:
        if await journal.permit(parcel(letter)):
            granted.append(letter.id)
        else:
            denied += 1
            break
    message, hint, code = journal.trouble.message, journal.trouble.hint, journal.trouble.exit_code
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    for letter in granted:
        journal.record(result(letter, ACCEPTED))
    owed = [given_up.letter for given_up in await journal.flush()]
    if sys.argv[2] == "room again":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert await journal.permit(parcel(letters[-1]))
        owed = [given_up.letter for given_up in await journal.flush()]
    writer.cancel()
    print(json.dumps({"granted": granted, "denied": denied, "message": message, "hint": hint,
                      "code": int(code), "owed": owed}))

asyncio.run(main())
"""

STRANGER = """
import json, os, sys
from pathlib import Path
from pipeline.errors import StoreUnwritable
from tests.unit.store_support import a_world
a_world(Path(sys.argv[3])).close()  # everything is imported now, and may be out of reach from here on
if os.getuid() == 0:
    os.setuid(65534)  # root may write anywhere; nobody may not
try:
    a_world(Path(sys.argv[1]), shared=Path(sys.argv[2])).close()
    print(json.dumps({"opened": True}))
except StoreUnwritable as trouble:
    print(json.dumps({"message": trouble.message, "hint": trouble.hint, "code": int(trouble.exit_code)}))
"""

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
connection.execute("SELECT count(*) FROM letters").fetchall()
print("held", flush=True)
sys.stdin.readline()
"""


def told(script: str, *arguments: str) -> dict[str, object]:
    """Run a script and return the JSON it prints."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, object] = json.loads(done.stdout)
    return said


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user may enter, unlike those pytest makes."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_fault_18_a_full_disk_stops_the_permissions_and_hands_out_the_results(tmp_path: Path) -> None:
    """Every permission that was given is in the store; what could not be recorded is named, then in doubt."""
    Bench(tmp_path, names=NAMES).close()
    said = told(FULL, str(tmp_path), "still full")
    granted = said["granted"]
    assert isinstance(granted, list)
    assert 0 < len(granted) < len(NAMES)
    assert (said["denied"], said["code"]) == (1, ExitCode.STORE_UNWRITABLE)
    assert said["hint"]
    assert said["owed"] == granted
    bench = Bench(tmp_path)
    assert bench.recover() == len(granted)
    states = {line.id: line.state for line in bench.lines()}
    bench.close()
    assert {number for number, state in states.items() if state is State.IN_DOUBT} == set(granted)
    assert set(states.values()) == {State.IN_DOUBT, State.QUEUED}


def test_fault_18_results_are_written_once_there_is_room_again(tmp_path: Path) -> None:
    """Nothing that the relay took is forgotten while the process lives."""
    Bench(tmp_path, names=NAMES).close()
    said = told(FULL, str(tmp_path), "room again")
    bench = Bench(tmp_path)
    states = {line.id: line.state for line in bench.lines()}
    bench.close()
    assert said["owed"] == []
    assert [number for number, state in states.items() if state is State.SENT] == said["granted"]


def test_fault_18_a_full_disk_is_called_by_its_name(tmp_path: Path) -> None:
    """The hint says to make room, and that nothing is lost."""
    bench = Bench(tmp_path, names=NAMES)
    with bench.world.campaign.asking() as connection:  # the very one that permissions are written by
        assert isinstance(connection, sqlite3.Connection)
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnwritable, match="full") as caught:
        bench.write([parcel(letter, content=os.urandom(50_000)) for letter in bench.due()])
    assert "make room" in caught.value.hint
    assert all(line.attempts == 0 for line in bench.lines())
    bench.close()


@pytest.mark.parametrize("existing", [True, False], ids=["a store", "no store yet"])
def test_fault_18_a_read_only_folder_is_an_unwritable_store(open_folder: Path, *, existing: bool) -> None:
    """Detected at opening, before anything is sent: exit 6 and who must be able to write."""
    campaign, shared = open_folder / "mayday", open_folder / "shared"
    campaign.mkdir()
    if existing:
        bench = Bench(campaign, names=["ada"])
        bench.close()
        shutil.move(campaign / "shared", shared)
    for path in (campaign, *campaign.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    said = told(STRANGER, str(campaign), str(shared), str(open_folder / "warm"))
    assert said["code"] == ExitCode.STORE_UNWRITABLE
    assert "must be writable for the user who runs this" in str(said["hint"])


def test_fault_19_a_report_that_reads_does_not_stop_a_send(tmp_path: Path) -> None:
    """Another process may keep a read transaction open as long as it likes."""
    bench = Bench(tmp_path, names=["ada"])
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(bench.world.campaign.path), "BEGIN"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "held\n"
        assert bench.permit(parcel(bench.letter()))
        bench.record(result(1, ACCEPTED))
        assert bench.state() is State.SENT
        reader.communicate("\n")
    bench.close()


@pytest.mark.parametrize("how", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_fault_19_a_lock_beyond_our_patience_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A backup or a database browser holds the file: who it may be is said, and reading goes on."""
    from pipeline.store import sqlite_file

    monkeypatch.setattr(sqlite_file, "BUSY_MS", 50)
    bench = Bench(tmp_path, names=["ada"])
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(bench.world.campaign.path), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        wanted = parcel(bench.letter())
        with pytest.raises(StoreUnwritable, match="locked") as caught:
            bench.permit(wanted)
        assert "a backup" in caught.value.hint
        assert bench.state() is State.QUEUED
        holder.communicate("\n")
    assert bench.permit(wanted)
    bench.close()
