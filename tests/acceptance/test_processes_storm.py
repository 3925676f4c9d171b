"""Kill -9 of one of several sending processes, of the leading one, of all: nothing twice, nothing lost.

The storm is that of test_kill_storm. Who is not killed goes on, and is killed a moment later; after the last
kill the survivors have to end by themselves. The relay answers late, so it sets the pace, not the machine:
letters are left for the last kill whatever machine this is.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.prefork import Prefork, prefork
from tests.acceptance.test_kill_storm import Storm
from tests.campaign_folder import make_campaign
from tests.counting_relay import counting_relay, taken
from tests.peers import wait_until, wait_until_left

KILLS, LETTERS = 30, 2_500
CONNECTIONS = 4
DOUBTS_A_CONNECTION = 2
ANSWERS_AFTER_S = 0.02  # four connections: at most 200 letters a second
OUTLIVES_S = 0.3  # up to so long the others work on after one was killed

pytestmark = pytest.mark.storm


@dataclass
class ProcessesStorm(Storm):
    """A storm over a sender that has several processes."""

    most: int = 0  # attempts that one kill left open

    def _kill(self, pid: int) -> None:
        alive = self._alive()
        others = [one for one in alive if one != pid]
        one_other = [self.chance.choice(others)] if others else [pid]
        _kill_all(self.chance.choice((alive, [pid], one_other)))
        if self.kills + 1 < KILLS:
            time.sleep(self.chance.uniform(0, OUTLIVES_S))
            _kill_all(self._alive())
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


def _kill_all(processes: list[int]) -> None:
    """Kill processes, of which some may have ended."""
    for one in processes:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


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
    log = tmp_path / "taken"
    with counting_relay(log, ANSWERS_AFTER_S) as port:
        folder = make_campaign(tmp_path, LETTERS, connections=CONNECTIONS).at(f"smtp://127.0.0.1:{port}")
        storm = ProcessesStorm(
            folder,
            source,
            random.Random(seed),
            LETTERS,
            lambda: Counter(letter.recipient for letter in taken(log)),
            log,
            lambda: wait_until_left(port),
        )
        storm.words = ("--processes", number)
        storm.blow(KILLS)
        print(f"{storm.kills} kills, {storm.mid_send} with a letter permitted, at most {storm.most} open")
        assert storm.kills >= KILLS
        assert storm.mid_send >= KILLS // 3, "the storm blew beside the letters"
        assert storm.most <= DOUBTS_A_CONNECTION * CONNECTIONS
        storm.calm_down()
