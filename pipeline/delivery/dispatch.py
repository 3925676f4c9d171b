"""One run of sending: sessions over connections, fed and judged, until nothing is left to do now.

    feed ── letter ──► pack ── parcel ──► session ──► relay
      ▲                                      │ answers
      └────────── settled ◄── desk ◄─────────┘──► journal

`Run.go` opens as many connections as there is work for, keeps each busy, replaces those that are lost or worn
out, and ends when the feed is over. `Run.wind_up` finishes the letters in flight and ends; cancelling `go`
drops the connections, with every parcel in hand accounted for.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.delivery.connect import Connection, Offer, Unreached
from pipeline.delivery.desk import SendingDesk
from pipeline.delivery.letter import Letter, Parcel, State
from pipeline.delivery.parcel import Packing, Unfit
from pipeline.delivery.session import Ending, Manner
from pipeline.delivery.supply import Feed, Progress, Stop
from pipeline.errors import CampaignError, ExitCode, StoreUnwritable

PACKED_AHEAD = 64  # parcels
IN_A_ROW = 16  # of them
OCTETS_AHEAD = 1_000_000  # of all of them; letters may carry large files


class Opening(Protocol):
    """What opens connections."""

    async def connect(self, manner: Manner) -> Connection:
        """Return a connection ready for MAIL; raises Unreached or RelayRefusedUs."""


class Unsendable(Protocol):
    """Where a letter goes that cannot be sent as it is."""

    def __call__(self, letter: Letter, state: State, why: str) -> None:
        """Take it out of the queue."""


@dataclass(slots=True)
class Bench:
    """Where parcels are packed for one offer, before they are needed.

    Nobody should wait for a parcel who has a permission in hand, so the next ones are packed while the event
    loop has nothing else to do; some in a row, since between other things each takes twice as long. A letter
    on the bench is still the feed's: it may be withdrawn, and then its parcel is forgotten.
    """

    feed: Feed
    packing: Packing
    offer: Offer
    _packed: dict[int, tuple[Letter, Parcel | None]] = field(default_factory=dict)  # None: it would not go
    _at_work: bool = False  # the loop is about to pack

    def pack(self, letter: Letter) -> Parcel:
        """Return the parcel of a letter that was handed out. Raises Unfit."""
        if not self._at_work:
            self._at_work = True
            asyncio.get_running_loop().call_soon(self._pack_ahead)
        packed, parcel = self._packed.pop(letter.id, (None, None))
        return parcel if parcel is not None and packed is letter else self.packing.pack(letter, self.offer)

    def _pack_ahead(self) -> None:
        """Pack some of the letters that come next, and more once the loop has looked at what came in."""
        lying, self._packed = self._packed, {}
        octets = made = 0
        for letter in self.feed.upcoming(PACKED_AHEAD):
            if octets > OCTETS_AHEAD:
                break
            packed, parcel = lying.get(letter.id, (None, None))
            if packed is not letter:
                if made == IN_A_ROW:
                    asyncio.get_running_loop().call_soon(self._pack_ahead)
                    return
                made += 1
                parcel = None
                with suppress(Exception):  # that is told when its turn has come
                    parcel = self.packing.pack(letter, self.offer)
            self._packed[letter.id] = letter, parcel
            octets += len(parcel.content) if parcel else 0
        self._at_work = False


@dataclass(slots=True)
class Supplier:
    """Gives one session its parcels: letters of the feed, packed for what this relay offers."""

    feed: Feed
    bench: Bench
    unsendable: Unsendable
    progress: Progress

    async def next(self) -> Parcel | None:
        """Wait for the next parcel."""
        while (letter := await self.feed.next()) is not None:
            if (parcel := self._pack(letter)) is not None:
                return parcel
        return None

    def next_now(self) -> Parcel | None:
        """Return a parcel that may go at once."""
        while (letter := self.feed.next_now()) is not None:
            if (parcel := self._pack(letter)) is not None:
                return parcel
        return None

    def at_end(self) -> bool:
        """Say whether there is nothing to wait for on an open connection."""
        return self.feed.at_end()

    def give_back(self, parcel: Parcel) -> None:
        """Take back a parcel that was not offered to the relay."""
        self.feed.give_back(parcel.letter)

    def _pack(self, letter: Letter) -> Parcel | None:
        try:
            return self.bench.pack(letter)
        except Unfit as unfit:
            self.unsendable(letter, unfit.state, str(unfit))
            self.progress.failed += unfit.state is State.FAILED
            self.feed.settled()
            return None


@dataclass(slots=True)
class Run:
    """The parts of one run, wired."""

    feed: Feed
    desk: SendingDesk
    opening: Opening
    packing: Packing
    progress: Progress
    unsendable: Unsendable
    manner: Manner
    connections: int
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _live: int = 0  # sessions open now
    _alone: asyncio.Lock = field(default_factory=asyncio.Lock)
    _openings: set[asyncio.Future[Connection]] = field(default_factory=set)
    _benches: dict[Offer, Bench] = field(default_factory=dict)  # sessions with one offer share one
    _opened: bool = False  # a connection was opened: password and certificate are in order

    async def go(self) -> Stop | None:
        """Send until the feed is over; return why it ended early, if it did."""
        filling = asyncio.create_task(self._fill())
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self.connections)]
        try:
            await asyncio.gather(filling, *self._tasks)
        finally:
            for task in (filling, *self._tasks):
                task.cancel()  # again, if need be: asyncio.wait_for may swallow the first (CPython 86296)
            await asyncio.gather(filling, *self._tasks, return_exceptions=True)
        return self.feed.stop

    def wind_up(self, reason: str) -> None:
        """Hand out nothing more; what is in flight is finished, and a connection not open yet is given up."""
        self.feed.end(Stop(reason, ExitCode.INTERRUPTED))
        for opening in self._openings:
            opening.cancel()

    async def _fill(self) -> None:
        try:
            await self.feed.fill()
        except StoreUnwritable as trouble:
            self.feed.end(Stop(trouble.message, ExitCode.STORE_UNWRITABLE, trouble.hint))

    async def _work(self) -> None:
        """Keep one connection busy for as long as there is work."""
        while await self.feed.work_ahead():
            try:
                connection = await self._connect()
            except Unreached as trouble:
                if self._live:
                    return  # the relay may only have had enough connections
                self.feed.end(
                    Stop(str(trouble), ExitCode.WAITING, "the letters stay queued; a later run goes on")
                )
                return
            except CampaignError as refusal:
                self.feed.end(Stop(refusal.message, refusal.exit_code, refusal.hint))
                return
            if connection is None:
                return
            self._live += 1
            try:
                await self._converse(connection)
            except CampaignError as trouble:  # the other sessions finish what they have in flight
                self.feed.end(Stop(trouble.message, trouble.exit_code, trouble.hint))
                return
            finally:
                self._live -= 1

    async def _connect(self) -> Connection | None:
        """Open a connection; the first of a run alone, so that a wrong password is tried once. None: over.

        Those that waited for the first open theirs side by side.
        """
        async with self._alone:
            if not self._opened:
                return await self._open_first()
        return await self._open() if self.feed.stop is None else None

    async def _open_first(self) -> Connection | None:
        if self.feed.stop is not None:
            return None
        connection = await self._open()
        self._opened = connection is not None
        return connection

    async def _open(self) -> Connection | None:
        """Open a connection; None when the run is wound up meanwhile: no letter was spoken of yet."""
        opening = asyncio.ensure_future(self.opening.connect(self.manner))
        self._openings.add(opening)
        try:
            return await opening
        except asyncio.CancelledError:
            worker = asyncio.current_task()
            if self.feed.stop is None or (worker is not None and worker.cancelling()):
                raise
            return None
        finally:
            self._openings.discard(opening)

    async def _converse(self, connection: Connection) -> None:
        offer = connection.offer
        bench = self._benches.setdefault(offer, Bench(self.feed, self.packing, offer))
        supplier = Supplier(self.feed, bench, self.unsendable, self.progress)
        session = connection.session
        ending = await session.converse(supplier, self.desk)
        match ending:
            case Ending.LOST:
                self.desk.relay_in_trouble(session.why_lost)
            case Ending.CLOSED if not session.begun:
                self.desk.relay_in_trouble(session.why_lost)
            case Ending.DISLIKED:
                if self.manner is session.manner:  # another session may have found out before
                    self.manner = session.manner.milder()
            case _:
                pass
