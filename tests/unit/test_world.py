"""Worlds: private files, a sandbox that shares nothing, a store that knows whether it is the one in use."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipeline.errors import ExitCode, StoreUnwritable
from pipeline.store import ledger, operator, planning, queue, shared, sqlite_file, world
from pipeline.store.database import sync_folder
from pipeline.store.world import (
    World,
    WorldName,
    accept_place,
    begin_run,
    end_run,
    note_progress,
    why_not_here,
)
from tests.clocks import FakeClock, LoadedDice
from tests.unit.store_support import ACCEPTED, KEY, Bench, a_world, parcel, planned_from, result, rows, watch


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of a campaign that will be copied and moved; what campaigns share lies beside it."""
    return tmp_path / "mayday"


@contextmanager
def opened(
    root: Path, name: WorldName = WorldName.REAL, *, dice: LoadedDice | None = None
) -> Iterator[World]:
    """Open a world for a moment; its shared folder is the test's, not the campaign's."""
    it = a_world(root, name, shared=root.parent / "shared", dice=dice)
    try:
        yield it
    finally:
        it.close()


def used(root: Path, *, send: int = 0) -> None:
    """Use a store for real: what a run does first, and so many letters sent."""
    with opened(root) as it:
        assert why_not_here(it) == ""
        accept_place(it, clock=FakeClock())
        if send:
            _pretend_sent(it, send)
            note_progress(it, clock=FakeClock())


def _pretend_sent(it: World, count: int) -> None:
    with it.campaign.writing() as connection:
        planned = planned_from(rows(*(f"name{number}" for number in range(count))), secret=it.secret)
        planning.plan(connection, planned, campaign=KEY, now_us=1)
        connection.execute(sa.text("UPDATE letters SET state = 'sent'"))


# -- files


def test_all_files_are_private(home: Path) -> None:
    """Every file 0600, every folder of ours 0700, even under a lax umask."""
    home.mkdir()
    with opened(home):
        files = [*(home / ".campaign").glob("*.db*"), *(home.parent / "shared").glob("*.db*")]
        assert {path.name for path in files} >= {"campaign.db", "campaign.db-wal", "shared.db"}
        assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
        folders = (home / ".campaign", home.parent / "shared")
        assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


def test_a_store_left_open_to_others_is_closed_to_them(home: Path) -> None:
    """A file that was copied with other rights is 0600 again after the next opening."""
    used(home)
    store = home / ".campaign" / "campaign.db"
    store.chmod(0o644)
    with opened(home):
        assert store.stat().st_mode & 0o777 == 0o600


def test_the_folder_stays_out_of_version_control(home: Path) -> None:
    """Nobody publishes recipients by `git add .`."""
    used(home)
    assert (home / ".campaign" / ".gitignore").read_text() == "*\n"


def test_every_connection_writes_ahead_and_waits_for_the_disk(home: Path) -> None:
    """WAL, synchronous = FULL (2), foreign keys on: read back, not hoped for."""
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "fullfsync": 1}
    with opened(home) as it:
        with it.campaign.reading() as connection:
            read = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in wanted}
        with it.campaign.running() as own:  # what permissions are written by
            assert isinstance(own, sqlite3.Connection)
            run = {name: own.execute(f"PRAGMA {name}").fetchone()[0] for name in wanted}
    assert read == run == wanted


def test_a_connection_without_wal_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the mode cannot be had, nobody sends."""
    monkeypatch.setattr(sqlite_file, "PRAGMAS", ("journal_mode=DELETE",))
    with pytest.raises(StoreUnwritable, match="not wal and 2"):
        a_world(tmp_path)


def test_writing_begins_with_the_lock(home: Path) -> None:
    """BEGIN IMMEDIATE: two writers never find out at the end that one was in vain."""
    with opened(home) as it:
        statements: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            statements.append(statement)

        sa.event.listen(it.campaign._engine, "before_cursor_execute", note)
        with it.campaign.writing() as connection:
            connection.execute(sa.select(1))
        with it.campaign.reading() as connection:
            connection.execute(sa.select(1))
        watch(it.campaign, statements.append)
        with it.campaign.running():
            pass
        with it.campaign.asking():
            pass
    begun = [text for text in statements if text.startswith("BEGIN")]
    assert begun == ["BEGIN IMMEDIATE", "BEGIN", "BEGIN IMMEDIATE", "BEGIN"]


def test_what_a_send_writes_is_taken_back_where_it_fails(home: Path) -> None:
    """All of it; what is written next is written, also where the connection itself is lost."""
    with opened(home) as it:
        for name, lost in (("kept", False), ("anew", True)):
            with suppress(ZeroDivisionError), it.campaign.running() as connection:
                assert isinstance(connection, sqlite3.Connection)
                connection.execute("INSERT INTO meta VALUES ('taken back', 'x')")
                if lost:
                    connection.close()
                raise ZeroDivisionError
            with it.campaign.running() as connection:
                assert isinstance(connection, sqlite3.Connection)
                connection.execute("INSERT INTO meta VALUES (?, 'x')", (name,))
        with it.campaign.reading() as reader:
            found = {name: operator.read_meta(reader, name) for name in ("taken back", "kept", "anew")}
    assert found == {"taken back": "", "kept": "x", "anew": "x"}


class Turn:
    """A lock that notes when it is taken and given."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    def __enter__(self) -> None:
        self.noted.append("taken")

    def __exit__(self, *_: object) -> None:
        self.noted.append("given")


def test_a_store_is_let_go_when_what_is_being_written_is_written(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is closed in the middle of another thread's statement ends the whole program."""
    with opened(home) as it:
        assert it.campaign._straight is not None
        with it.campaign.running():
            pass
        turn = Turn()
        monkeypatch.setattr(it.campaign._straight, "_turn", turn)
        it.campaign.close()
        assert turn.noted == ["taken", "given"]


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_fault_19_network_file_systems_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """SQLite's locks do not hold there."""
    monkeypatch.setattr(sqlite_file, "_file_system", lambda _folder: kind)
    with pytest.raises(StoreUnwritable, match="network file system") as caught:
        a_world(tmp_path)
    assert "local disk" in caught.value.hint


@pytest.mark.parametrize(
    ("folder", "name"),
    [("Dropbox/mayday", "Dropbox"), ("OneDrive - Committee/mayday", "OneDrive"), ("letters/mayday", "")],
)
def test_fault_19_folders_of_sync_programs_are_known(folder: str, name: str) -> None:
    """They are warned about by name."""
    assert sync_folder(Path("/home/ada") / folder) == name


def test_fault_18_a_store_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    """A folder that is a file: exit 6, a hint, no traceback."""
    (tmp_path / "mayday").write_text("not a folder")
    with pytest.raises(StoreUnwritable) as caught:
        a_world(tmp_path / "mayday")
    assert caught.value.exit_code is ExitCode.STORE_UNWRITABLE
    assert "writable" in caught.value.hint


def test_a_store_that_is_no_database_is_unwritable(home: Path) -> None:
    """A damaged file is named, and is left as it is."""
    used(home)
    store = home / ".campaign" / "campaign.db"
    store.write_bytes(b"This is not a database, and never was. " * 200)
    with pytest.raises(StoreUnwritable, match="not a database") as caught, opened(home):
        pass
    assert caught.value.hint


def test_a_newer_versions_store_is_refused(home: Path) -> None:
    """An old program does not write into what it does not know."""
    with opened(home) as it, it.campaign.writing() as connection:
        connection.execute(sa.text("INSERT INTO migrations VALUES ('999 from the future', 0)"))
    with pytest.raises(StoreUnwritable, match="newer version") as caught, opened(home):
        pass
    assert "update the program" in caught.value.hint


OPENER = """
import json, sys
from pathlib import Path
from pipeline.store import planning
from tests.unit.store_support import KEY, a_world, planned_from, rows
from pipeline.clock import SystemDice
sys.stdin.readline()
root = Path(sys.argv[1])
it = a_world(root, shared=root.parent / "shared", dice=SystemDice())
with it.campaign.writing() as connection:
    planned = planned_from(rows("ada", "bob"), secret=it.secret)
    new = planning.plan(connection, planned, campaign=KEY, now_us=1).new
print(json.dumps([it.store_id, it.secret.hex(), new]), flush=True)
"""


def test_several_processes_make_and_open_one_store(home: Path) -> None:
    """Opened at the same moment it is made once: one id, one secret, each letter once."""
    home.mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
    answers = [json.loads(process.communicate()[0]) for process in processes]
    assert len({(store_id, secret) for store_id, secret, _ in answers}) == 1
    assert sorted(new for *_, new in answers) == [0, 0, 0, 2]


# -- the sandbox


def test_the_sandbox_shares_nothing_with_the_real_world(home: Path) -> None:
    """Letters, opt-outs, limits, ids: what happens there counts for no real relay."""
    dice = LoadedDice()
    with (
        opened(home, WorldName.SANDBOX, dice=dice) as sandbox,
        opened(home, WorldName.REAL, dice=dice) as real,
    ):
        with sandbox.campaign.writing() as connection:
            planned = planned_from(rows("ada"), secret=sandbox.secret)
            planning.plan(connection, planned, campaign=KEY, now_us=1)
            queue.release(connection, now_us=1)
            operator.pause(connection, why="", now_us=1)
        with sandbox.common.writing() as connection:
            ledger.hold(connection, "relay", until_us=9, why="quota")
        assert sandbox.store_id != real.store_id
        assert sandbox.secret != real.secret
        with real.campaign.reading() as connection:
            assert queue.count_waiting(connection) == (0, 0)
            assert not operator.is_paused(connection)
        with real.common.reading() as connection:
            assert ledger.held(connection, ["relay"], now_us=1) == {}
            assert shared.shared_secret(connection)


def test_the_sandbox_leaves_no_trace_outside_the_campaigns_folder(home: Path) -> None:
    """The user's own folder is not touched by a trial."""
    with opened(home, WorldName.SANDBOX):
        assert not (home.parent / "shared").exists()


def test_a_sandbox_may_be_copied(home: Path) -> None:
    """Nothing leaves it, so nobody is asked."""
    with opened(home, WorldName.SANDBOX) as it:
        accept_place(it, clock=FakeClock())
    shutil.copytree(home, home.parent / "copy")
    with opened(home.parent / "copy", WorldName.SANDBOX) as it:
        assert why_not_here(it) == ""


# -- the one in use


def test_fault_39_the_store_in_use_is_not_asked(home: Path) -> None:
    """Run after run in one place."""
    used(home, send=2)
    used(home)
    used(home)


def test_fault_39_a_copied_folder_is_named_until_accepted(home: Path) -> None:
    """A copy does not send while the original is there; once accepted it is the original that is named."""
    used(home, send=2)
    copy = home.parent / "copy"
    shutil.copytree(home, copy)
    with opened(copy) as it:
        assert (
            why_not_here(it) == f"it is a copy of {home / '.campaign' / 'campaign.db'}, which is still there"
        )
        accept_place(it, clock=FakeClock())
        assert why_not_here(it) == ""
    with opened(home) as it:
        assert "older than the one used here last" in why_not_here(it)


def test_fault_39_a_restored_backup_is_named_until_accepted(home: Path) -> None:
    """A backup from before the last run knows less than was sent; how much less is said."""
    used(home, send=2)
    shutil.copytree(home, home.parent / "backup")
    used(home, send=5)
    shutil.rmtree(home)
    shutil.copytree(home.parent / "backup", home)
    with opened(home) as it:
        assert "3 letters sent since then are not known to it" in why_not_here(it)
        accept_place(it, clock=FakeClock())
        assert why_not_here(it) == ""
    used(home)


def test_fault_39_a_backup_made_during_the_last_run_is_named(home: Path) -> None:
    """Also when no run began between backup and loss: the number of letters sent tells."""
    used(home)
    shutil.copytree(home, home.parent / "backup")
    with opened(home) as it:
        _pretend_sent(it, 4)
        note_progress(it, clock=FakeClock())
    shutil.rmtree(home)
    shutil.copytree(home.parent / "backup", home)
    with opened(home) as it:
        assert "4 letters sent since then" in why_not_here(it)


def test_fault_39_a_restored_backup_keeps_id_secret_and_message_ids(home: Path) -> None:
    """What is sent again all the same carries the Message-ID it had, so that receivers can tell."""
    names = rows("ada", "bob")
    with opened(home) as it:
        before = (it.store_id, [letter.message_id for letter in planned_from(names, secret=it.secret)])
    shutil.copytree(home, home.parent / "backup")
    shutil.rmtree(home)
    shutil.copytree(home.parent / "backup", home)
    with opened(home) as it:
        assert (
            it.store_id,
            [letter.message_id for letter in planned_from(names, secret=it.secret)],
        ) == before


def test_fault_39_another_machine_is_named_until_accepted(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second laptop has its own shared store and does not know this one."""
    used(home)
    shutil.rmtree(home.parent / "shared")
    monkeypatch.setattr(world, "this_host", lambda: "another machine")
    with opened(home) as it:
        assert why_not_here(it) == "it was last used on another machine"
        accept_place(it, clock=FakeClock())
    used(home)


def test_fault_39_a_moved_folder_is_accepted_silently(home: Path) -> None:
    """The old place is gone: it was moved, and nobody else can send from it."""
    used(home, send=2)
    moved = home.parent / "archive" / "mayday"
    moved.parent.mkdir()
    home.rename(moved)
    with a_moved(moved, home.parent / "shared") as it:
        assert why_not_here(it) == ""
        accept_place(it, clock=FakeClock())
        assert why_not_here(it) == ""


@contextmanager
def a_moved(root: Path, shared_folder: Path) -> Iterator[World]:
    """Open a world whose shared folder stayed where it was."""
    with ExitStack() as stack:
        it = a_world(root, shared=shared_folder)
        stack.callback(it.close)
        yield it


def test_fault_39_a_lost_shared_store_does_not_stop_the_campaign(home: Path) -> None:
    """On the machine it was used on, a store may go on without the memory of where it was."""
    used(home, send=2)
    shutil.rmtree(home.parent / "shared")
    used(home)


# -- runs


def test_a_run_is_written_down_from_beginning_to_end(tmp_path: Path) -> None:
    """The audit line: who, what, when, under which limits, how it ended."""
    bench = Bench(tmp_path, names=["ada"])
    run = begin_run(bench.world, command="send --yes", relay="smtps://r", limits="50/5m", clock=bench.clock)
    end_run(bench.world, run, sent=1, failed=2, deferred=3, exit_code=1, clock=bench.clock)
    with bench.world.campaign.reading() as connection:
        row = connection.execute(sa.text("SELECT * FROM runs WHERE id = :run"), {"run": run}).one()
    bench.close()
    assert (row.command, row.relay, row.limits) == ("send --yes", "smtps://r", "50/5m")
    assert (row.sent, row.failed, row.deferred, row.exit) == (1, 2, 3, 1)
    assert row.ended_at > row.started_at
    assert row.user
    assert row.pid


def test_runs_have_numbers_of_their_own(tmp_path: Path) -> None:
    """An attempt belongs to the run that made it."""
    bench = Bench(tmp_path, names=["ada"])
    second = begin_run(bench.world, command="run", relay="other", limits="", clock=bench.clock)
    assert second != bench.run
    bench.run = second
    assert bench.permit(parcel(bench.letter()))
    bench.record(result(1, ACCEPTED))
    assert bench.attempts()[0].relay == "other"
    bench.close()
