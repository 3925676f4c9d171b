"""A run's connections, apart from any relay."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from pipeline.delivery import dispatch
from pipeline.delivery.connect import Connection, Offer
from pipeline.delivery.desk import SendingDesk
from pipeline.delivery.dispatch import Bench, Opening, Run
from pipeline.delivery.letter import Letter, State
from pipeline.delivery.parcel import Composed, Packing
from pipeline.delivery.session import Manner
from pipeline.delivery.supply import Feed, Progress, Stop
from tests.clocks import START
from tests.unit.test_supply import letter


class EndlessFeed:
    """Always has work, until it is ended."""

    def __init__(self) -> None:
        self.stop: Stop | None = None
        self._ended = asyncio.Event()

    async def fill(self) -> None:
        """Wait for the end."""
        await self._ended.wait()

    async def work_ahead(self) -> bool:
        """Say whether there is work."""
        return self.stop is None

    def end(self, stop: Stop) -> None:
        """Take the first reason."""
        self.stop = self.stop or stop
        self._ended.set()


class SilentRelay:
    """Never comes to a greeting."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.given_up = 0

    async def connect(self, manner: Manner) -> Connection:
        """Hang."""
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up += 1
        raise AssertionError


def unsendable(letter: Letter, state: State, why: str) -> None:
    """No letter gets this far."""
    raise AssertionError


def run_of(feed: EndlessFeed, relay: Opening) -> Run:
    """Wire a run of three connections that will not be opened."""
    return Run(
        feed=cast("Feed", feed),
        desk=cast("SendingDesk", None),
        opening=relay,
        packing=cast("Packing", None),
        progress=Progress(),
        unsendable=unsendable,
        manner=Manner.CHAINED,
        connections=3,
    )


async def test_winding_up_does_not_wait_for_a_relay_that_never_greets() -> None:
    """The first Ctrl-C gives up connections that are not open yet: no letter was spoken of on them."""
    feed, relay = EndlessFeed(), SilentRelay()
    run = run_of(feed, relay)
    going = asyncio.create_task(run.go())
    await relay.asked.wait()
    run.wind_up("interrupted")
    stop = await going
    assert stop is not None
    assert (stop.reason, relay.given_up) == ("interrupted", 1)


async def test_a_run_that_is_cancelled_while_connecting_is_cancelled() -> None:
    """The second Ctrl-C is no end like any other."""
    feed, relay = EndlessFeed(), SilentRelay()
    going = asyncio.create_task(run_of(feed, relay).go())
    await relay.asked.wait()
    going.cancel()
    await asyncio.wait([going])
    assert going.cancelled()
    assert relay.given_up == 1


class ReadyFeed:
    """Has letters ready."""

    def __init__(self, ready: list[Letter]) -> None:
        self.ready = ready

    def upcoming(self, most: int) -> list[Letter]:
        """Return what comes next."""
        return self.ready[:most]


def test_large_letters_are_not_packed_far_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty letters that carry ten megabytes each would not fit into the memory of a small machine."""
    monkeypatch.setattr(dispatch, "OCTETS_AHEAD", 25)
    packed: list[int] = []

    def compose(one: Letter, eightbit: bool) -> Composed:
        packed.append(one.id)
        return Composed(b"ten octets", START)

    packing = Packing(compose, return_path=lambda _: "letters@example.org", envelope_id=lambda _: "x")
    first, *others = [letter(number) for number in range(1, 10)]
    bench = Bench(cast("Feed", ReadyFeed(others)), packing, Offer())
    assert bench.pack(first).letter is first
    assert packed == [1, 2, 3]
    assert bench.pack(others[0]).letter is others[0]
    assert packed == [1, 2, 3]
