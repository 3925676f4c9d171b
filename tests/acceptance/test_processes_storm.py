"""Kill -9 of one of several sending processes, of the leading one, of all: nothing twice, nothing lost.

The storm is that of test_kill_storm; who is not killed has to end by itself.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.prefork import Prefork, prefork
from tests.acceptance.test_kill_storm import Storm
from tests.campaign_folder import make_campaign
from tests.peers import smtp_sink, wait_until

KILLS, LETTERS = 30, 12_000
CONNECTIONS = 4
DOUBTS_A_CONNECTION = 2

pytestmark = [pytest.mark.storm, pytest.mark.peer]


@dataclass
class ProcessesStorm(Storm):
    """A storm over a sender that has several processes."""

    most: int = 0  # attempts that one kill left open

    def _kill(self, pid: int) -> None:
        alive = self._alive()
        others = [one for one in alive if one != pid]
        one_other = [self.chance.choice(others)] if others else [pid]
        for victim in self.chance.choice((alive, [pid], one_other)):
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        wait_until(lambda: not self._alive(), "the end of those that were not killed", seconds=60)
        if self._knows("attempts"):
            query = "SELECT count(*) FROM attempts WHERE ended_at IS NULL"
            self.most = max(self.most, self.folder.ask_store(query, self.store)[0][0])

    def _alive(self) -> list[int]:
        """Return the processes that work in the campaign's folder."""
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdecimal() and _in(entry, self.folder.root)
        ]


def _in(process: Path, folder: Path) -> bool:
    """Say whether a process works in a folder; one that has ended does not."""
    try:
        return (process / "cwd").readlink() == folder
    except OSError:
        return False


@pytest.fixture(scope="module")
def source() -> Iterator[Prefork]:
    """Where the senders come from."""
    with prefork() as process:
        yield process


@pytest.mark.parametrize("number", ["2", "3"])
def test_fault_17_kills_are_survived_by_several_processes(
    tmp_path: Path, source: Prefork, number: str
) -> None:
    """Kills of one, of the leading one, of all: each address once, at most two doubts a connection."""
    seed = int(os.environ.get("CAMPAIGN_STORM_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"CAMPAIGN_STORM_SEED={seed}")
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, LETTERS, connections=CONNECTIONS).at(sink.url)
        storm = ProcessesStorm(
            folder, source, random.Random(seed), LETTERS, sink.letters, sink.folder, sink.wait_quiet
        )
        storm.words = ("--processes", number)
        storm.blow(KILLS)
        print(f"{storm.kills} kills, {storm.mid_send} with a letter permitted, at most {storm.most} open")
        assert storm.kills >= KILLS
        assert storm.most <= DOUBTS_A_CONNECTION * CONNECTIONS
        storm.calm_down()
