"""The stock of a run that shares its store with other hosts: the letters of the batches it has in hand.

`deliver` takes a batch in hand and returns when nothing of it is left to do now, or nothing has gone for so
long that another may be taken beside it; the run's feed reads the letters. The batches in hand are looked at
again and again, for a host that was stopped for long has lost them to others.

Letters of a lane with a pace of its own are handed to the feed a few at a time, between the others: those
that wait for their pace would have to be asked again for every slot. Where letters leave one by one, as a
pace says, opt-outs and quotas are asked for some at a time, a second ahead at most, and slots are booked
(`bookings.py`): a server is too far away to be asked three times for each letter.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

from pipeline.clock import Clock, from_us
from pipeline.delivery.letter import Letter, State
from pipeline.delivery.limits import Pace
from pipeline.delivery.rules import Claim, Refusal, Rules
from pipeline.errors import StoreUnwritable
from pipeline.store import batches, history, queue
from pipeline.store.ahead import AskedAhead, Meter
from pipeline.store.bookings import Bookings
from pipeline.store.database import Database
from pipeline.store.journal import Journal
from pipeline.store.stock import StoreStock

T = TypeVar("T")
LOOK_S = 0.25  # batches in hand are looked at this often
PARKED_S = 5.0  # a batch of which no letter has gone for so long waits for a limit; another may be taken
MOST_IN_HAND = 12  # batches
NOT_NOW_S = 0.5  # a batch that cannot be taken is not asked for again at once
NEWS_S = 1.0  # how long a feed that follows waits for a batch, before it looks round
STORE_AWAY_S = 1.0  # between two tries to reach it
READ = 500  # letters of a batch are read at once
BETWEEN = 20  # letters of other lanes are handed out between those of a paced one
PACED_S = 0.1  # so much of a pace may wait for it in the feed, and
PACED_LEAST = 4  # at least so many letters


class Asker:
    """A thread of its own for questions, which outlast a store that goes and comes back.

    A server has more than one ear: what is asked need not wait for the journal's commits.
    """

    def __init__(self, journal: Journal, clock: Clock, may_wait: Callable[[float], bool]) -> None:
        """``may_wait`` says whether a question that has waited so many seconds may go on waiting."""
        self._journal = journal
        self._clock = clock
        self._may_wait = may_wait
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="asking")

    async def call(self, job: Callable[[], T]) -> T:
        """Do a job, again until the store is there. It must do no harm when done twice.

        Raises StoreUnwritable when the waiting is over.
        """
        began = self._clock.monotonic()
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._thread, job)
            except StoreUnwritable:
                if not self._may_wait(self._clock.monotonic() - began):
                    raise
            await self._clock.sleep(STORE_AWAY_S)

    async def beside(self, job: Callable[[], T]) -> T:
        """Do a job as `call` does: all of them are done beside the journal."""
        return await self.call(job)

    async def flush(self) -> None:
        """Wait until all is committed."""
        await self._journal.flush()

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=True)


@dataclass(slots=True)
class Hand:
    """A batch in hand: how far it was read, and how long nothing has come of it."""

    number: int
    lane: str
    letters: deque[Letter] = field(default_factory=deque)  # read and not handed out
    place: queue.Place = field(default_factory=queue.Place)
    read: bool = False  # to its end
    left: int = -1  # letters that are due, as last counted
    moved_at: float = 0.0  # monotonic, when that last changed
    done: asyncio.Event = field(default_factory=asyncio.Event)


class BatchStock(StoreStock):
    """The stock of one run, filled by `deliver`."""

    def __init__(
        self,
        campaign: Database,
        common: Database,
        asker: Asker,
        *,
        run: int,
        clock: Clock,
        rules: Rules,
    ) -> None:
        super().__init__(campaign, common, asker, clock=clock)
        self._asker = asker
        self._run = run
        self._rules = rules
        self._meters = {
            lane: Meter(max(PACED_LEAST, int(PACED_S * limit.count / limit.window_s)))
            for lane, limit in rules.limits.domains.items()
            if isinstance(limit, Pace)
        }
        self._asked = AskedAhead(common, rules) if rules.paced else None
        self._bookings = Bookings(common, self._now)
        self._booking: dict[str, asyncio.Future[None]] = {}
        self._hands: dict[int, Hand] = {}
        self._news = asyncio.Event()  # a batch was taken, or there will be none
        self._over = False

    # -- for the engine

    async def deliver(self, batch: int) -> None:
        """Take a batch in hand and see its letters off: all of them, or until the others wait for a limit.

        Late or twice, it does no harm: a batch that somebody else has is left alone.
        """
        if batch in self._hands or self._over:
            return
        if len(self._hands) >= MOST_IN_HAND:
            await self._clock.sleep(NOT_NOW_S)
            return

        def take() -> str | None:
            with self._campaign.at_once() as connection:
                return batches.take(connection, batch, self._run, now_us=self._now())

        if (lane := await self._asker.call(take)) is None or batch in self._hands:
            await self._clock.sleep(NOT_NOW_S)
            return
        self._hands[batch] = hand = Hand(batch, lane, moved_at=self._clock.monotonic())
        self._news.set()
        await hand.done.wait()

    def no_more(self) -> None:
        """Take no further batch in hand: there is none for this run."""
        self._over = True
        self._news.set()

    async def watch(self) -> None:
        """Look at what is in hand until cancelled: what is done is put away."""
        while True:
            await self._clock.sleep(LOOK_S)
            if self._hands:
                await self._look()

    async def _look(self) -> None:
        def count() -> dict[int, int]:
            with self._campaign.reading() as connection:
                return batches.in_hand(connection, self._run, now_us=self._now())

        hands = dict(self._hands)  # those taken meanwhile are not among what is counted
        left = await self._asker.call(count)
        now = self._clock.monotonic()
        for number, hand in hands.items():
            if left.get(number) != hand.left:
                hand.left, hand.moved_at = left.get(number, 0), now
            if number not in left:  # lost to another host
                self._put_away(number)
            elif hand.read and not hand.done.is_set() and now - hand.moved_at >= PARKED_S:
                hand.done.set()
                self._news.set()
        if done := [number for number in hands if left.get(number) == 0]:
            await self._close(done)

    async def _close(self, done: list[int]) -> None:
        def close() -> None:
            with self._campaign.at_once() as connection:
                batches.close(connection, done, self._run, now_us=self._now())

        await self._asker.call(close)
        for number in done:
            self._put_away(number)

    def _put_away(self, number: int) -> None:
        self._hands.pop(number).done.set()
        self._news.set()

    # -- for the feed

    async def read_due(self, most: int) -> list[Letter]:
        """Return further letters of the batches in hand, behind those read before."""
        hands = sorted(self._hands.values(), key=lambda hand: hand.lane not in self._meters)
        found: list[Letter] = []
        most = min(most, self._at_once)
        for hand in hands:
            meter = self._meters.get(hand.lane)
            room = most - len(found) if meter is None else meter.room(self._clock.monotonic())
            if room > 0 and not hand.letters:
                await self._read(hand)
            some = [hand.letters.popleft() for _ in range(min(room, len(hand.letters)))]
            if meter is not None:
                meter.hand_out(some)
            found += some
        if found and self._asked is not None:
            await self._asker.call(partial(self._asked.ask, found, self._clock.monotonic()))
        return found

    @property
    def _at_once(self) -> int:
        """How many letters the feed gets at once: of paced ones, so many as may leave within a second."""
        if self._asked is None:
            return READ
        relay = self._rules.limits.relay
        return max(1, min(BETWEEN, relay.count // relay.window_s)) if isinstance(relay, Pace) else BETWEEN

    async def _read(self, hand: Hand) -> None:
        """Read on in a batch."""

        def read() -> list[tuple[queue.Place, Letter]]:
            with self._campaign.reading() as connection:
                return queue.read_due(
                    connection, now_us=self._now(), behind=hand.place, most=READ, batch=hand.number
                )

        rows = await self._asker.call(read)
        if rows:
            hand.place = rows[-1][0]
        hand.read = not rows
        hand.letters.extend(letter for _, letter in rows)

    def from_the_start(self) -> None:
        """Read all batches in hand again."""
        for hand in self._hands.values():
            hand.place = queue.Place()
            hand.letters.clear()

    async def take(self, claims: Sequence[Sequence[Claim]]) -> list[Refusal | None]:
        """Take the limits of several letters; a refused run-wide limit ends the list.

        A letter's paces are asked first, in the order of their names, then its quotas.
        """
        asked = self._asked
        if asked is None:
            return await super().take(claims)
        answers: list[Refusal | None] = []
        for some in claims:
            answers.append(refusal := await self._take_one(some, asked))
            if refusal is not None and refusal.claim.run_wide:
                break
        return answers

    async def _take_one(self, claims: Sequence[Claim], asked: AskedAhead) -> Refusal | None:
        paced = sorted((claim for claim in claims if isinstance(claim.limit, Pace)), key=_name)
        for claim in paced:
            if self._bookings.lacks(claim):
                booking = self._book(claim)
                if self._bookings.is_out(claim):
                    await booking
        if (refusal := self._bookings.refusal(paced)) is not None:
            return refusal
        counted = [claim for claim in claims if not isinstance(claim.limit, Pace)]
        if counted and not asked.had_room(counted):
            (refusal,) = await super().take([counted])
            if refusal is not None:
                return refusal
        for claim in paced:
            self._bookings.use(claim)
            if (meter := self._meters.get(claim.name.rpartition(" ")[2])) is not None:
                meter.gone(self._clock.monotonic())
        return None

    def _book(self, claim: Claim) -> asyncio.Future[None]:
        """Book slots, unless that is being done."""
        booking = self._booking.get(claim.name)
        if booking is None or booking.done():
            booking = asyncio.ensure_future(self._asker.call(partial(self._bookings.book, claim)))
            booking.add_done_callback(_heard)
            self._booking[claim.name] = booking
        return booking

    async def suppressed(self, names: Sequence[str]) -> dict[str, str]:
        """Return the recipients that must not be written to; asked a second ago at most."""
        if self._asked is not None:
            known = self._asked.barred(names, self._clock.monotonic())
            if known is not None:
                return known
        return await super().suppressed(names)

    async def put_down(self) -> None:
        """Give back what was asked ahead and not used: the run is over."""
        if self._asked is not None and (claims := self._asked.unused()):
            await self.put_back(claims)
        self._asker.close()

    async def take_out(self, letters: Sequence[int], state: State, why: str) -> None:
        """Move waiting letters to a final state."""
        for meter in self._meters.values():
            meter.forget(letters)
        await super().take_out(letters, state, why)

    async def settle(self) -> None:
        """Wait for the journal; then, with nothing to read, for another batch, or to know that none comes."""
        await self._asker.flush()
        self._news.clear()
        if self._over or any(hand.letters or not hand.read for hand in self._hands.values()):
            return
        timer = self._clock.call_later(NEWS_S, self._news.set) if self._rules.follow else None
        try:
            await self._news.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def next_due(self) -> datetime | None:
        """Return when the next queued letter is due, whoever has it in hand."""

        def ask() -> int | None:
            with self._campaign.reading() as connection:
                return history.next_due(connection)

        due = await self._asker.call(ask)
        return from_us(due) if due is not None else None


def _heard(done: asyncio.Future[None]) -> None:
    """Whether it went well is asked by who waits for it; by nobody, it is done again."""
    if not done.cancelled():
        done.exception()


def _name(claim: Claim) -> str:
    return claim.name
