"""Slots that are booked ahead: what is closed while there are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.delivery.limits import Pace
from pipeline.delivery.rules import Claim
from pipeline.store.bookings import HORIZON_US, LATE_US, Bookings
from pipeline.store.dialect import store_now_us
from pipeline.store.world import World
from tests.postgres import POSTGRESQL, stores_are
from tests.unit.store_support import a_world

CLAIM = Claim("relay", Pace(1, 1), "the relay", run_wide=True)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A store at a server."""
    with stores_are(POSTGRESQL):
        world = a_world(tmp_path)
        yield world
        world.close()


def test_a_slot_is_used_once_and_the_next_is_too_far_ahead(world: World) -> None:
    """Then the pace is closed, even when the time has come until which it was full and nobody has asked
    again."""
    with world.common.reading() as connection:
        now_us = store_now_us(connection)
    times = [now_us]
    bookings = Bookings(world.common, lambda: times[0])
    assert bookings.lacks(CLAIM)
    assert bookings.refusal([CLAIM]) is not None
    bookings.book(CLAIM)
    times[0] = now_us + HORIZON_US
    assert bookings.refusal([CLAIM]) is None
    bookings.use(CLAIM)
    bookings.book(CLAIM)
    for later_us in (0, 1_000, 10_000_000):
        times[0] = now_us + HORIZON_US + later_us
        assert bookings.refusal([CLAIM]) is not None
    assert bookings.lacks(CLAIM)


def test_a_slot_whose_time_is_past_is_lost(world: World) -> None:
    """It is not made up for."""
    with world.common.reading() as connection:
        now_us = store_now_us(connection)
    times = [now_us]
    bookings = Bookings(world.common, lambda: times[0])
    assert bookings.lacks(CLAIM)
    bookings.book(CLAIM)
    times[0] = now_us + HORIZON_US + 10 * LATE_US
    assert bookings.lacks(CLAIM)
    assert bookings.is_out(CLAIM)
