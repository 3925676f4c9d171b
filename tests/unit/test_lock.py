"""The run lock: one holder on this host, and none after its process is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.errors import AlreadyRunning, ExitCode, StoreUnwritable
from pipeline.store.lock import RunLock, is_held

SINCE = "2027-05-03 09:00"
HOLDER = f"""
import sys
from pathlib import Path
from pipeline.errors import AlreadyRunning
from pipeline.store.lock import RunLock
sys.stdin.readline()
try:
    with RunLock(Path(sys.argv[1]), since="{SINCE}"):
        print("held", flush=True)
        sys.stdin.readline()
except AlreadyRunning as refusal:
    print(refusal.message, flush=True)
    sys.stdin.readline()
"""


@contextmanager
def starters(path: Path, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """So many processes that are ready to take the lock; each takes it when it is told `go`."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for _ in range(count)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def said(process: subprocess.Popen[str], word: str = "go\n") -> str:
    """Tell a starter to go and return what it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    if word:
        process.stdin.write(word)
    return process.stdout.readline().strip()


def test_fault_15_of_eight_processes_one_holds_the_lock(tmp_path: Path) -> None:
    """All start at the same moment; seven are refused, and told who has it."""
    path = tmp_path / "campaign.lock"
    with starters(path, 8) as processes:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
        answers = [said(process, "") for process in processes]
    assert answers.count("held") == 1
    assert sum(answer.startswith("another run holds this campaign") for answer in answers) == 7


def test_fault_15_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    """After kill -9 the next run starts at once; nothing is stale."""
    path = tmp_path / "campaign.lock"
    with starters(path, 1) as (holder,):
        assert said(holder) == "held"
        assert is_held(path)
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        assert not is_held(path)
        with RunLock(path, since=SINCE):
            assert is_held(path)


def test_fault_15_the_holder_is_named(tmp_path: Path) -> None:
    """The refusal says since when and by which process, with exit code 5."""
    path = tmp_path / "campaign.lock"
    with starters(path, 1) as (holder,):
        assert said(holder) == "held"
        with pytest.raises(AlreadyRunning) as caught, RunLock(path, since="now"):
            pass
    assert caught.value.message.endswith(f"since {SINCE} (pid {holder.pid})")
    assert caught.value.exit_code is ExitCode.ALREADY_RUNNING
    assert caught.value.hint


def test_a_lock_that_was_let_go_can_be_taken_again(tmp_path: Path) -> None:
    """One run after the other, also after an exception."""
    path = tmp_path / "campaign.lock"
    with pytest.raises(ZeroDivisionError), RunLock(path, since=SINCE):
        _ = 1 / 0
    assert not is_held(path)
    with RunLock(path, since=SINCE):
        assert is_held(path)


def test_the_same_process_does_not_hold_it_twice(tmp_path: Path) -> None:
    """A second taking in one process is refused like any other."""
    path = tmp_path / "campaign.lock"
    with (
        RunLock(path, since=SINCE),
        pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}"),
        RunLock(path, since=SINCE),
    ):
        pass


def test_asking_does_not_keep_a_run_from_starting(tmp_path: Path) -> None:
    """`status`, asking at the same moment, is not taken for a run: its shared lock lasts an instant."""
    import fcntl

    path = tmp_path / "campaign.lock"
    path.touch(0o600)
    asker = os.open(path, os.O_RDONLY)
    fcntl.flock(asker, fcntl.LOCK_SH)
    calls = []
    real = fcntl.flock

    def flock(handle: int, kind: int) -> None:
        calls.append(kind)
        if len(calls) == 3:  # the asker is done meanwhile
            real(asker, fcntl.LOCK_UN)
        real(handle, kind)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        with RunLock(path, since=SINCE):
            assert len(calls) == 3
    os.close(asker)


def test_nobody_holds_a_lock_that_was_never_made(tmp_path: Path) -> None:
    """Asking makes no file."""
    assert not is_held(tmp_path / "campaign.lock")
    assert not (tmp_path / "campaign.lock").exists()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"pid": "x"}', b"\xff\xfe", b'{"pid": 1}'])
def test_what_the_lock_file_says_is_not_trusted(tmp_path: Path, text: bytes) -> None:
    """A damaged file neither names a holder nor makes a traceback."""
    path = tmp_path / "campaign.lock"
    with RunLock(path, since=SINCE):
        path.write_bytes(text)
        with (
            pytest.raises(AlreadyRunning, match=r"another run holds this campaign$"),
            RunLock(path, since=SINCE),
        ):
            pass


def test_the_lock_file_is_private(tmp_path: Path) -> None:
    """0600, in a folder of 0700."""
    path = tmp_path / "new" / "campaign.lock"
    with RunLock(path, since=SINCE):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_lock_that_cannot_be_made_is_an_unwritable_store(tmp_path: Path) -> None:
    """Exit 6 with a hint, and no traceback."""
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreUnwritable) as caught, RunLock(tmp_path / "file" / "lock", since=SINCE):
        pass
    assert caught.value.hint
