"""A run's connections, apart from any relay."""

from __future__ import annotations

import asyncio
from typing import cast

from pipeline.delivery.connect import Connection
from pipeline.delivery.desk import SendingDesk
from pipeline.delivery.dispatch import Opening, Run
from pipeline.delivery.letter import Letter, State
from pipeline.delivery.parcel import Packing
from pipeline.delivery.session import Manner
from pipeline.delivery.supply import Feed, Progress, Stop


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
