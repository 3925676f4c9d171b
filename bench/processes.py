"""One command, run to its end in a process group of its own, with what it cost.

Contract: nothing that was started here outlives the call: on a time limit, an interrupt or an error the group
is killed. Output goes to files, never to the terminal.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")


class Failed(Exception):
    """A command that could not be measured; the message says why, for the report."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process cost, start and end included."""

    wall_s: float
    cpu_s: float  # user and system, with its children
    peak_mib: float  # of its largest process
    code: int


@dataclass(frozen=True, slots=True)
class Command:
    """What is run, where and with which environment."""

    words: Sequence[str]
    folder: Path
    environ: Mapping[str, str]


def run_measured(command: Command, *, scratch: Path, seconds: float, codes: Sequence[int] = (0,)) -> Cost:
    """Run ``command`` and return what it cost.

    Args:
        command: whose output is thrown away, but for the end of stderr in case it fails.
        scratch: a folder for notes of this call.
        seconds: it is killed after so many.
        codes: exit codes that are a success.

    Raises:
        Failed: it ran too long, could not be started, or ended with another code.
    """
    result, errors = scratch / "cost", scratch / "stderr"
    result.unlink(missing_ok=True)
    process = start(command, errors, launcher=[sys.executable, "-I", "-S", str(LAUNCHER), str(result)])
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise Failed(f"stopped after {seconds:g} s") from None
    finally:
        stop(process)
    if not result.exists():
        raise Failed(f"could not be started: {last_line(errors)}")
    wall, cpu, peak, code = result.read_text("ascii").split()
    cost = Cost(float(wall), float(cpu), _mib(int(peak)), int(code))
    if cost.code not in codes:
        raise Failed(f"ended with code {cost.code}: {last_line(errors)}")
    return cost


def start(command: Command, errors: Path, *, launcher: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start ``command`` in a group of its own, stderr into the file ``errors``; end it with `stop`."""
    with errors.open("wb") as stream:
        return subprocess.Popen(
            [*launcher, *command.words],
            cwd=command.folder,
            env=dict(command.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stream,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kill the group of ``process``, which `start` made, and wait for it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(happened: Callable[[], bool], *, seconds: float, every: float = 0.01) -> bool:
    """Look every ``every`` seconds whether something has happened; say whether it did within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def last_line(errors: Path) -> str:
    """Return the last line that a command wrote on stderr, cut short and made printable."""
    with suppress(OSError):
        lines = errors.read_bytes()[-4096:].decode("utf-8", "replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return "".join(c if c.isprintable() else "?" for c in said[-1])[:300] if said else "it said nothing"
    return "it said nothing"


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return what a contender finds in its environment: the same for all, with a home of its own."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        **more,
    }


def _mib(peak: int) -> float:
    """Return ru_maxrss in MiB: macOS gives octets, others KiB."""
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
