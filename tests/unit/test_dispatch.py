"""A run's connections, apart from any relay."""

from __future__ import annotations

import asyncio
from typing import cast

import aiosmtplib
import pytest

from pipeline.delivery import dispatch
from pipeline.delivery.connect import Connection, Offer
from pipeline.delivery.desk import SendingDesk
from pipeline.delivery.dispatch import IN_A_ROW, Bench, Opening, Run
from pipeline.delivery.letter import Letter, Parcel, State
from pipeline.delivery.parcel import Composed, Packing, Unfit
from pipeline.delivery.session import Ending, Manner, Session
from pipeline.delivery.supply import Feed, Progress, Stop
from pipeline.errors import ExitCode
from tests.clocks import START
from tests.postgres import BOTH

pytestmark = BOTH


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


class Idle:
    """A session that lasts until the feed is over."""

    def __init__(self, feed: EndlessFeed) -> None:
        self._feed = feed

    async def converse(self, supply: object, desk: object) -> Ending:
        """Carry nothing."""
        await self._feed.fill()
        return Ending.DRAINED


class SlowRelay:
    """Lets the first in, and keeps the others waiting before the greeting until all of them stand there."""

    def __init__(self, feed: EndlessFeed, others: int) -> None:
        self._feed = feed
        self._others = others
        self.at_the_door = 0
        self._all_there = asyncio.Event()

    async def connect(self, manner: Manner) -> Connection:
        """Open a connection."""
        first = self.at_the_door == 0
        self.at_the_door += 1
        if self.at_the_door == 1 + self._others:
            self._all_there.set()
            self._feed.end(Stop("all came", ExitCode.DONE))
        if not first:
            await self._all_there.wait()
        return Connection(cast("Session", Idle(self._feed)), Offer(), cast("aiosmtplib.SMTP", None))


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


class Shelf:
    """A feed that knows which letters come next."""

    def __init__(self, *letters: Letter) -> None:
        self.letters = list(letters)

    def upcoming(self, most: int) -> list[Letter]:
        """Return the first."""
        return self.letters[:most]


class Packer:
    """Packs letters, notes which, and cannot pack those to nobody."""

    def __init__(self) -> None:
        self.packed: list[int] = []

    def pack(self, letter: Letter, offer: Offer) -> Parcel:
        """Return a parcel."""
        self.packed.append(letter.id)
        if not letter.email:
            raise Unfit("it is to nobody")
        return Parcel(letter, letter.attempts + 1, b"", b"", b"", b"", "", START)


def letter(number: int, *, attempts: int = 0, email: str = "ada@office.example") -> Letter:
    """Return a letter."""
    return Letter(number, "", email, email, "office.example", "en", "", attempts, 0, number, {})


def bench_of(*letters: Letter) -> tuple[Bench, Packer]:
    """Return a bench for letters that come next, and who packs there."""
    packer = Packer()
    return Bench(cast("Feed", Shelf(*letters)), cast("Packing", packer), Offer()), packer


async def test_parcels_are_packed_ahead_and_each_once() -> None:
    """Behind the first the next ones are packed while nothing else is done; those then lie ready."""
    first, *others = (letter(number) for number in range(1, 5))
    bench, packer = bench_of(*others)
    assert bench.pack(first).letter is first
    assert packer.packed == [1]
    await asyncio.sleep(0)
    assert packer.packed == [1, 2, 3, 4]
    for wanted in others:
        assert bench.pack(wanted).letter is wanted
    assert packer.packed == [1, 2, 3, 4]


async def test_the_loop_looks_at_what_came_in_between_parcels() -> None:
    """A relay's answer does not wait for all that can be packed ahead."""
    first, *others = (letter(number) for number in range(1, 3 * IN_A_ROW))
    bench, packer = bench_of(*others)
    bench.pack(first)
    for rows in (1, 2):
        await asyncio.sleep(0)
        assert len(packer.packed) == 1 + rows * IN_A_ROW
    await asyncio.sleep(0)
    assert packer.packed == list(range(1, 3 * IN_A_ROW))


async def test_a_parcel_packed_ahead_is_only_for_the_letter_as_it_was() -> None:
    """A letter that was put off meanwhile and read again has another attempt to make."""
    bench, _ = bench_of(letter(2))
    bench.pack(letter(1))
    await asyncio.sleep(0)
    assert bench.pack(letter(2, attempts=1)).attempt == 2


async def test_a_parcel_whose_letter_was_withdrawn_is_forgotten() -> None:
    """It is nobody's, and does not lie about."""
    shelf = Shelf(letter(2))
    bench = Bench(cast("Feed", shelf), cast("Packing", Packer()), Offer())
    bench.pack(letter(1))
    await asyncio.sleep(0)
    assert list(bench._packed) == [2]
    shelf.letters = []
    later = letter(3)
    assert bench.pack(later).letter is later
    await asyncio.sleep(0)
    assert bench._packed == {}


async def test_a_letter_that_cannot_be_packed_is_told_when_its_turn_has_come() -> None:
    """Not when it is looked at ahead of it, which is once."""
    nobody = letter(2, email="")
    bench, packer = bench_of(nobody, letter(3))
    bench.pack(letter(1))
    await asyncio.sleep(0)
    bench.pack(letter(4))
    await asyncio.sleep(0)
    assert packer.packed == [1, 2, 3, 4]
    with pytest.raises(Unfit, match="to nobody"):
        bench.pack(nobody)


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


async def test_behind_the_first_connection_the_others_are_opened_side_by_side() -> None:
    """A relay far away takes some round trips for each; they do not wait for one another."""
    feed = EndlessFeed()
    relay = SlowRelay(feed, others=2)
    going = asyncio.create_task(run_of(feed, relay).go())
    for _ in range(100):  # turns of the loop
        await asyncio.sleep(0)
    assert relay.at_the_door == 3
    assert await going is feed.stop


async def test_nobody_connects_once_the_run_was_ended_while_the_first_was_opened() -> None:
    """A pause, a quota used up: those that waited for the first need no connection any more."""
    feed = EndlessFeed()
    relay = SlowRelay(feed, others=0)
    assert await run_of(feed, relay).go() is feed.stop
    assert relay.at_the_door == 1


async def test_a_run_that_is_cancelled_while_connecting_is_cancelled() -> None:
    """The second Ctrl-C is no end like any other."""
    feed, relay = EndlessFeed(), SilentRelay()
    going = asyncio.create_task(run_of(feed, relay).go())
    await relay.asked.wait()
    going.cancel()
    await asyncio.wait([going])
    assert going.cancelled()
    assert relay.given_up == 1


async def test_large_letters_are_not_packed_far_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty letters that carry ten megabytes each would not fit into the memory of a small machine."""
    monkeypatch.setattr(dispatch, "OCTETS_AHEAD", 25)
    packed: list[int] = []

    def compose(one: Letter, eightbit: bool) -> Composed:
        packed.append(one.id)
        return Composed(b"ten octets", START)

    packing = Packing(compose, return_path=lambda _: "letters@example.org", envelope_id=lambda _: "x")
    first, *others = [letter(number) for number in range(1, 10)]
    bench = Bench(cast("Feed", Shelf(*others)), packing, Offer())
    assert bench.pack(first).letter is first
    await asyncio.sleep(0)
    assert packed == [1, 2, 3, 4]
    assert bench.pack(others[0]).letter is others[0]
    assert packed == [1, 2, 3, 4]
