"""`status` says that letters wait for office hours, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.cli.closed import closed_offices
from pipeline.cli.place import Place
from pipeline.cli.status import read_standing
from tests.clocks import START
from tests.command_line import CONFIG
from tests.unit.store_support import Bench

HOURS = 'hours = "Mon-Fri 09:00-17:00 recipient"\n'
ROWS = """\
email,timezone
ada@office.example,Europe/Madrid
ben@office.example,America/Bogota
eva@office.example,
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Three letters that are due: to Madrid, to Bogota, to an office whose zone nobody said."""
    bench = Bench(tmp_path)
    bench.plan(ROWS)
    bench.release()
    yield bench
    bench.world.close()


def place_of(root: Path, bench: Bench, config: str) -> Place:
    """Return a campaign's folder, at the time of the bench."""
    (root / "campaign.toml").write_text(
        config.replace("mayday-1", "mayday").replace('"UTC"', '"Europe/Athens"'), "utf-8"
    )
    return Place(root, clock=bench.clock)


REAL = CONFIG.replace("sandbox:", "smtp://127.0.0.1:1") + HOURS


def test_letters_that_wait_for_an_office_to_open_are_told(tmp_path: Path, bench: Bench) -> None:
    """How many of those that are due, and when the first may go, in the campaign's zone."""
    place = place_of(tmp_path, bench, REAL)
    bench.clock.advance((START.replace(hour=18, minute=0) - START) / timedelta(seconds=1))  # Bogota is open
    note = closed_offices(place, bench.world)
    assert note is not None
    assert note.code == "hours"
    assert note.message.startswith("2 letters wait for office hours (limits.hours), the first until ")
    assert note.message.endswith(" 09:00 EEST")


def test_nothing_is_told_where_all_are_open_or_no_hours_hold(tmp_path: Path, bench: Bench) -> None:
    """The sandbox has none, unless asked for."""
    place = place_of(tmp_path, bench, CONFIG + HOURS)
    bench.clock.advance((START.replace(hour=23, minute=0) - START) / timedelta(seconds=1))
    assert closed_offices(place, bench.world) is None
    assert closed_offices(place_of(tmp_path, bench, REAL), bench.world) is not None


def test_status_says_so(tmp_path: Path, bench: Bench) -> None:
    """Among what is to be known."""
    shared = f'\n[store]\nshared = "{tmp_path / "shared"}"\n'
    place = place_of(tmp_path, bench, REAL + shared)
    bench.clock.advance((START.replace(hour=23, minute=30) - START) / timedelta(seconds=1))
    assert "hours" in {note.code for note in read_standing(place).notes}
