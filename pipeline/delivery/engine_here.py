"""The embedded engine: a short loop in this process that looks at the store and runs deliver(batch).

For runs that end when there is nothing left to do now. It needs nothing but the store.
"""

from __future__ import annotations

import asyncio

from pipeline.clock import Clock
from pipeline.delivery.engine import LOOK_S, PARALLEL, Batches, Deliver


class Here:
    """Runs deliver(batch) in this process."""

    def __init__(self, batches: Batches, *, clock: Clock, parallel: int = PARALLEL) -> None:
        self._batches = batches
        self._clock = clock
        self._parallel = parallel

    async def run(self, deliver: Deliver) -> None:
        """Run what waits, up to ``parallel`` batches at a time; return when there is nothing left."""
        busy: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                waiting = [batch for batch in await self._batches.waiting() if batch.lock not in busy]
                for batch in waiting[: self._parallel - len(busy)]:
                    if batch.lock not in busy:
                        busy[batch.lock] = asyncio.ensure_future(deliver(batch.number))
                if not busy and not waiting and not await self._batches.more_may_come():
                    return
                tick = asyncio.ensure_future(self._clock.sleep(LOOK_S))
                await asyncio.wait((*busy.values(), tick), return_when=asyncio.FIRST_COMPLETED)
                tick.cancel()
                for lock in [lock for lock, task in busy.items() if task.done()]:
                    busy.pop(lock).result()
        finally:
            for task in busy.values():
                task.cancel()
            await asyncio.gather(*busy.values(), return_exceptions=True)
