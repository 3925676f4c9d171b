"""A run that is one of several, each on its own host: its heartbeat, its batches, the engine that hands them
out.

    store ── batches ──► engine ── deliver(batch) ──► stock ── letters ──► feed
      ▲                                                         │
      └── heartbeat, what dead hosts left, new batches ◄────────┘ (`tend`, in a thread of its own)

A run that follows stays, and is woken by procrastinate; any other looks for itself, and ends when nothing is
left for it. Neither ends because the store is away for a while: a run that follows waits for as long as it
takes, any other a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from pipeline.cli import as_fault
from pipeline.clock import Clock, to_us
from pipeline.delivery.engine import PARALLEL, Engine, Waiting
from pipeline.delivery.engine_here import Here
from pipeline.delivery.limits import Limits
from pipeline.delivery.rules import Rules
from pipeline.delivery.supply import Feed, Stop
from pipeline.errors import CampaignError, StoreUnwritable
from pipeline.store import batches, hosts, queue
from pipeline.store.batchstock import Asker, BatchStock
from pipeline.store.hosts import BEAT_S, host_name
from pipeline.store.journal import Journal
from pipeline.store.postgres import PostgresSchema
from pipeline.store.world import World

T = TypeVar("T")
PATIENCE_S = 60.0  # with a store that is away, where the run does not follow
SMALLEST = 20  # letters in a batch, but for the last ones
AHEAD = 2  # batches made ready for each that a host works at


class Hosting:
    """What one run has to do with the others."""

    def __init__(self, world: World, clock: Clock, limits: Limits, *, run: int, follow: bool) -> None:
        self._world = world
        self._clock = clock
        self._run = run
        self._follow = follow
        self._lanes = limits.domains
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hosting")
        self._feed: Feed | None = None
        self._stock: BatchStock | None = None

    def stock(self, journal: Journal, rules: Rules) -> BatchStock:
        """Return the stock of this run."""
        self._stock = BatchStock(
            self._world.campaign,
            self._world.common,
            Asker(journal, self._clock, self._may_wait),
            run=self._run,
            clock=self._clock,
            rules=rules,
        )
        return self._stock

    def _may_wait(self, seconds: float) -> bool:
        """Say whether to go on waiting for a store that is away."""
        ended = self._feed is not None and self._feed.stop is not None
        return not ended and (self._follow or seconds < PATIENCE_S)

    @asynccontextmanager
    async def at_work(self, feed: Feed) -> AsyncIterator[None]:
        """Be one of the hosts: give signs of life, take batches in hand; put them down at the end."""
        self._feed = feed
        works: list[Coroutine[Any, Any, None]] = [self._beat_for_ever()]
        if (stock := self._stock) is not None:
            works += [stock.watch(), self._deliver(stock)]
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(StoreUnwritable):  # then they are free when this run is taken for dead
                await self._ask(self._put_down)
            if stock is not None:
                with suppress(StoreUnwritable):
                    await stock.put_down()
            self._thread.shutdown(wait=True)

    def _put_down(self) -> None:
        with self._world.campaign.at_once() as connection:
            batches.let_go(connection, self._run)

    # -- signs of life

    async def _beat_for_ever(self) -> None:
        while True:
            with suppress(StoreUnwritable):
                await self._ask(self._beat)
            await self._clock.sleep(BEAT_S)

    def _beat(self) -> None:
        with self._world.campaign.at_once() as connection:
            hosts.beat(connection, self._run, self._clock)

    # -- batches, for the engine

    async def _deliver(self, stock: BatchStock) -> None:
        """Let the engine hand out batches until there are no more."""
        try:
            await self._engine().run(stock.deliver)
        except CampaignError as trouble:
            self._end(trouble)
        except Exception as fault:
            self._end(as_fault(fault))
        finally:
            stock.no_more()

    def _end(self, trouble: CampaignError) -> None:
        if self._feed is not None:
            self._feed.end(Stop(trouble.message, trouble.exit_code, trouble.hint))

    def _engine(self) -> Engine:
        if not self._follow:
            return Here(self, clock=self._clock)
        from pipeline.delivery.engine_shared import Shared

        medium = self._world.campaign.medium
        assert isinstance(medium, PostgresSchema)
        return Shared(
            self,
            words=medium.words,
            schema=medium.schema,
            queue=self._world.store_id,
            host=host_name(),
            clock=self._clock,
        )

    async def waiting(self) -> Sequence[Waiting]:
        """Return the batches that nobody has in hand, once what is due is in batches."""
        began = self._clock.monotonic()
        while True:
            try:
                found = await self._ask(self._tend)
                return [Waiting(batch.number, batch.lane) for batch in found]
            except StoreUnwritable:
                if not self._may_wait(self._clock.monotonic() - began):
                    raise
            await self._clock.sleep(BEAT_S)

    async def more_may_come(self) -> bool:
        """Say whether a host may be dead whose batches would then be open."""

        def ask() -> bool:
            with self._world.campaign.reading() as connection:
                return hosts.somebody_is_late(connection, self._run, now_us=self._now())

        return await self._ask(ask)

    def _tend(self) -> list[batches.OpenBatch]:
        """Mend what dead hosts left, and see that enough batches are ready; return the open ones."""
        store, now_us = self._world.campaign, self._now()
        with store.reading() as connection:
            left = hosts.left_by_the_dead(connection, now_us=now_us)
            number = 1 + len(hosts.others_alive(connection, self._run, now_us=now_us))
            _, queued = queue.count_waiting(connection)
        if left:
            with store.writing() as connection:
                queue.recover(connection, now_us=now_us)
        with store.at_once() as connection:
            batches.loosen(connection)
        enough = number * PARALLEL * AHEAD
        size = min(batches.LARGEST, max(SMALLEST, queued // enough))
        while True:
            with store.reading() as connection:
                found = batches.open_batches(connection, self._run, now_us=now_us)
            if len(found) >= enough or not batches.form(store, lanes=self._lanes, now_us=now_us, size=size):
                return found

    # -- inside

    async def _ask(self, job: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

    def _now(self) -> int:
        return to_us(self._clock.now())
