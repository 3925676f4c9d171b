"""A copied folder, a restored backup, a full disk, a locked store: no letter goes unrecorded."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.campaign_folder import CampaignFolder, everybody, finish, make_campaign
from tests.peers import smtp_sink, wait_until

pytestmark = pytest.mark.peer


def test_fault_39_a_copied_folder_does_not_send_until_told_to(tmp_path: Path) -> None:
    """The copy refuses with exit 2 and names the original; `resume` is the word; the original sends on."""
    with smtp_sink() as sink:
        original = make_campaign(tmp_path, 4).at(sink.url)
        assert original.send("--limit", "2").code == 3
        shutil.copytree(original.root, tmp_path / "copy")
        copy = CampaignFolder(tmp_path / "copy", original.settings)
        refused = copy.send()
        assert refused.code == 2
        assert f"it is a copy of {original.root}" in refused.err
        assert "campaign resume" in refused.err
        assert sink.letters() == everybody(2)
        assert copy.run("resume").code == 0
        assert copy.send().code == 0
        assert sink.letters() == everybody(4)
        superseded = original.send()
        assert superseded.code == 2, "the original does not know what the copy has sent since"
        assert sink.letters() == everybody(4)


def test_fault_39_a_restored_backup_does_not_send_until_told_to(tmp_path: Path) -> None:
    """The store of before the last run: exit 2 and how many letters it does not know of."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, 4).at(sink.url)
        assert folder.send("--limit", "1").code == 3
        backup = tmp_path / "backup"
        shutil.copytree(folder.root / ".campaign", backup)
        assert folder.send().code == 0
        shutil.rmtree(folder.root / ".campaign")
        shutil.copytree(backup, folder.root / ".campaign")
        refused = folder.send()
        assert refused.code == 2
        assert "3 letters sent since then" in refused.err
        assert folder.run("status").out.count("campaign resume") == 1
        assert sink.letters() == everybody(4)


def test_fault_39_a_moved_folder_sends_on(tmp_path: Path) -> None:
    """The folder is somewhere else and not where it was: nothing to ask."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, 4).at(sink.url)
        assert folder.send("--limit", "1").code == 3
        moved = folder.root.rename(tmp_path / "moved")
        assert CampaignFolder(moved, folder.settings).send().code == 0
        assert sink.letters() == everybody(4)


@contextmanager
def small_disk(folder: Path, octets: int) -> Iterator[None]:
    """Mount a file system of that size on ``folder``; skips where that is not allowed."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={octets}", "campaign-test", str(folder)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_fault_18_a_full_disk_stops_the_send_and_a_later_one_goes_on(tmp_path: Path) -> None:
    """Exit 6 and no traceback; when there is room again the rest goes, and nobody gets two."""
    if shutil.which("mount") is None or os.getuid() != 0:
        pytest.skip("only root can mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, 16 << 20), smtp_sink() as sink:
        folder = make_campaign(disk, 400).at(sink.url)
        environment = {"XDG_DATA_HOME": str(tmp_path / "data")}
        folder = CampaignFolder(folder.root, folder.settings, environment)
        assert folder.send("--limit", "1").code == 3
        room = os.statvfs(disk)
        ballast = disk / "ballast"
        ballast.write_bytes(bytes((room.f_bavail - 24) * room.f_frsize))
        full = folder.send()
        assert full.code == 6, full.said
        assert "Traceback" not in full.said
        assert "cannot be used" in full.err
        ballast.unlink()
        again = folder.send()
        doubts = folder.doubts()
        assert again.code == (1 if doubts else 0), again.said
        taken = sink.letters()
        assert max(taken.values()) == 1
        assert set(taken) | set(doubts) == set(everybody(400))


def test_fault_18_a_file_size_limit_stops_the_send_before_the_first_letter(tmp_path: Path) -> None:
    """RLIMIT_FSIZE lets no store be written: exit 6, no traceback, nothing sent."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, 3).at(sink.url)

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

        done = folder.run("send", "--yes", preexec_fn=limit)
        assert done.code == 6, done.said
        assert "Traceback" not in done.said
        assert not sink.letters()


def test_fault_18_a_folder_that_cannot_be_written_is_exit_6(tmp_path: Path) -> None:
    """Something else stands where the store's folder should be: told, nothing sent."""
    folder = make_campaign(tmp_path, 3)
    (folder.root / ".campaign").write_text("in the way", "utf-8")
    done = folder.send()
    assert done.code == 6
    assert ".campaign" in done.err
    assert "Traceback" not in done.said


def test_fault_19_a_store_locked_for_a_while_is_waited_for(tmp_path: Path) -> None:
    """Another program holds the store in the middle of a run: the run waits, and every letter goes once."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, 60, settings=("limits.relay=20/s",)).at(sink.url)
        sender = folder.start("send", "--yes")
        wait_until(lambda: sink.filed > 2, "the first letters", by=sender)
        held = threading.Event()
        store = folder.root / ".campaign" / "campaign.db"
        with closing(sqlite3.connect(store, timeout=30, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            before = sink.filed
            held.wait(2)
            assert sink.filed <= before + 2, "letters went out that could not be recorded"
            connection.execute("ROLLBACK")
        assert finish(sender).code == 0
        assert sink.letters() == everybody(60)
        assert folder.states() == {"sent": 60}
