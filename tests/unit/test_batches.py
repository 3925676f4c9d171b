"""Batches: who has which letters in hand, where several hosts send from one store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipeline.clock import to_us
from pipeline.delivery.letter import State
from pipeline.store import batches, hosts, queue
from pipeline.store.batches import OpenBatch
from pipeline.store.hosts import GONE_S
from pipeline.store.tables import runs
from pipeline.store.world import World, begin_run, end_run
from tests.clocks import START, FakeClock
from tests.postgres import BOTH
from tests.unit.store_support import Bench

pytestmark = BOTH

LIST = "email,name\n" + "".join(
    f"to{n}@{'slow' if n % 2 else 'office'}.example,Name {n}\n" for n in range(10)
)
NOW_US = to_us(START) + 60_000_000  # after everything that is done with the clock of the tests


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A store with ten queued letters, five of them to slow.example."""
    bench = Bench(tmp_path)
    bench.plan(LIST)
    bench.release()
    yield bench.world
    bench.close()


def a_run(world: World, *, seen_us: int = NOW_US) -> int:
    """Begin a run of another host, seen last at ``seen_us``."""
    run = begin_run(world, command="send", relay="relay.example", limits="none", clock=FakeClock())
    with world.campaign.writing() as connection:
        connection.execute(sa.update(runs).where(runs.c.id == run).values(seen_at=seen_us))
    return run


def open_to(world: World, run: int, *, now_us: int = NOW_US) -> list[OpenBatch]:
    """Return what a run may take."""
    with world.campaign.reading() as connection:
        return batches.open_batches(connection, run, now_us=now_us)


def take(world: World, number: int, run: int, *, now_us: int = NOW_US) -> str | None:
    """Take a batch in hand."""
    with world.campaign.at_once() as connection:
        return batches.take(connection, number, run, now_us=now_us)


def test_a_domain_with_a_limit_of_its_own_has_batches_of_its_own(world: World) -> None:
    """The others are mixed, and offered first."""
    run = a_run(world)
    assert batches.form(world.campaign, lanes={"slow.example"}, now_us=NOW_US) == 2
    assert [batch.lane for batch in open_to(world, run)] == [batches.MIXED, "slow.example"]
    assert batches.form(world.campaign, lanes={"slow.example"}, now_us=NOW_US) == 0


def test_a_batch_is_taken_once(world: World) -> None:
    """By one of two hosts; for the other it is not there any more."""
    one, other = a_run(world), a_run(world)
    batches.form(world.campaign, lanes=(), now_us=NOW_US)
    (batch,) = open_to(world, one)
    assert take(world, batch.number, one) == batches.MIXED
    assert take(world, batch.number, other) is None
    assert open_to(world, other) == []


def test_a_paced_lane_is_one_hosts_at_a_time(world: World) -> None:
    """While one has a batch of it, the other may not take the next; it may when that is put down."""
    one, other = a_run(world), a_run(world)
    for _ in range(2):
        batches.form(world.campaign, lanes={"slow.example"}, now_us=NOW_US, size=2)
    slow = [batch.number for batch in open_to(world, one) if batch.lane]
    assert take(world, slow[0], one) == "slow.example"
    assert take(world, slow[1], other) is None
    assert all(not batch.lane for batch in open_to(world, other))
    with world.campaign.at_once() as connection:
        batches.let_go(connection, one)
    assert take(world, slow[1], other) == "slow.example"


def test_what_a_dead_host_had_is_open_again(world: World) -> None:
    """Not before it has not been seen for `GONE_S`; at once when its run has ended."""
    one, other = a_run(world), a_run(world)
    batches.form(world.campaign, lanes=(), now_us=NOW_US)
    (batch,) = open_to(world, one)
    take(world, batch.number, one)
    soon, late = (NOW_US + int(seconds * 1_000_000) for seconds in (GONE_S - 1, GONE_S + 1))
    assert open_to(world, other, now_us=soon) == []
    assert open_to(world, other, now_us=late) == [batch]
    end_run(world, one, sent=0, failed=0, deferred=0, exit_code=0, clock=FakeClock())
    assert open_to(world, other, now_us=soon) == [batch]
    assert take(world, batch.number, other, now_us=soon) == batches.MIXED


def test_letters_put_off_leave_their_batch(world: World) -> None:
    """A late 4yz opens no batch that is closed: the letter goes into another one when it is due."""
    run = a_run(world)
    batches.form(world.campaign, lanes=(), now_us=NOW_US)
    (batch,) = open_to(world, run)
    take(world, batch.number, run)
    bench = Bench.over(world)
    later = NOW_US + 3_600_000_000
    with world.campaign.writing() as connection:
        for letter in range(1, 10):
            queue.take_out(connection, [letter], State.SUPPRESSED, why="a test", now_us=NOW_US)
        connection.exec_driver_sql(f"UPDATE letters SET due_at = {later} WHERE id = 10")
    with world.campaign.at_once() as connection:
        assert batches.in_hand(connection, run, now_us=NOW_US) == {batch.number: 0}
        batches.close(connection, [batch.number], run, now_us=NOW_US)
    with world.campaign.at_once() as connection:
        assert batches.loosen(connection) == 1
    assert batches.form(world.campaign, lanes=(), now_us=NOW_US) == 0
    assert batches.form(world.campaign, lanes=(), now_us=later) == 1
    assert bench.state(10) is State.QUEUED


def test_a_batch_with_letters_that_are_due_is_not_closed(world: World) -> None:
    """Whoever thinks it is done is mistaken, and keeps it."""
    run = a_run(world)
    batches.form(world.campaign, lanes=(), now_us=NOW_US)
    (batch,) = open_to(world, run)
    take(world, batch.number, run)
    with world.campaign.at_once() as connection:
        batches.close(connection, [batch.number], run, now_us=NOW_US)
        assert batches.in_hand(connection, run, now_us=NOW_US) == {batch.number: 10}


def test_status_tells_what_each_host_has(world: World) -> None:
    """The letters in its batches, and whether it is alive."""
    one, other = a_run(world), a_run(world, seen_us=NOW_US - int((GONE_S + 1) * 1_000_000))
    batches.form(world.campaign, lanes=(), now_us=NOW_US)
    (batch,) = open_to(world, one)
    take(world, batch.number, one)
    with world.campaign.reading() as connection:
        lines = {line.run: line for line in hosts.host_lines(connection, now_us=NOW_US)}
        assert hosts.others_alive(connection, other, now_us=NOW_US) == [lines[one].name]
    assert (lines[one].alive, lines[one].batches, lines[one].letters) == (True, 1, 10)
    assert other not in lines or not lines[other].alive
