"""The one writer: gathers permissions and results of all connections into commits.

A commit holds everything that came in while the one before it was on its way to the disk, so its cost is
shared. While answers of other letters are still expected it also waits, at most for as long as a commit
takes, until half of what is under way has come: so the size of a commit follows the disk and the connections
in use, and one connection never waits for another.

A permission is given only after its commit; a commit that failed, or whose outcome is unknown, is permission
denied. A result is never forgotten: while the store cannot be written it is kept and tried again, and if that
goes on for too long it is handed to the caller, who says so; its attempt then stays open and is found in
doubt by the next run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from pipeline.clock import Clock, to_us
from pipeline.delivery.letter import Parcel, Result
from pipeline.errors import StoreUnwritable
from pipeline.recipients.suppression import Reason, Suppression, suppression_hash
from pipeline.store import fence, shared
from pipeline.store.database import Database

T = TypeVar("T")
LONGEST_GATHERING_S = 0.02
RETRY_WAITS_S = (0.2, 0.5, 1.0, 2.0, 4.0)


def _nothing() -> None:
    """What most who ask for a permission do when it is denied."""


class _Asked(NamedTuple):
    """A permission that is wanted."""

    parcel: Parcel
    answer: asyncio.Future[bool]
    denied: Callable[[], None]


class Journal:
    """Permissions and results of one run."""

    def __init__(
        self, campaign: Database, common: Database, *, run: int, clock: Clock, keep_bytes: bool
    ) -> None:
        self._campaign = campaign
        self._common = common
        self._run = run
        self._clock = clock
        self._keep_bytes = keep_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._permits: list[_Asked] = []
        self._results: list[Result] = []
        self._answers_due = 0  # permissions given whose result has not come
        self._commit_s = 0.0  # what the last commit took
        self._work = asyncio.Event()
        self._enough = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._failures = 0
        self.trouble: StoreUnwritable | None = None  # the store cannot be written; nobody may send
        self.paused = False  # a person stopped all sending

    def permit(self, parcel: Parcel, *, denied: Callable[[], None] = _nothing) -> asyncio.Future[bool]:
        """Ask for an attempt; the future is true once it is committed. ``denied`` is called before it is
        false."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._permits.append(_Asked(parcel, answer, denied))
        self._wake()
        return answer

    def record(self, result: Result) -> None:
        """Take a result; it is committed before, or together with, any permission asked for later."""
        self._results.append(result)
        self._answers_due = max(0, self._answers_due - 1)
        self._wake()

    async def call(self, job: Callable[[], T]) -> T:
        """Run a job in the writer's thread, between commits."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

    async def write_for_ever(self) -> None:
        """Commit what comes in, until cancelled; call `flush` before that."""
        while True:
            await self._work.wait()
            self._work.clear()
            await self._gather()
            if self._permits or self._results:
                await self._commit()
            if not self._work.is_set():
                self._idle.set()

    async def flush(self) -> tuple[Result, ...]:
        """Wait until all is committed; return the results that could not be."""
        await self._idle.wait()
        return tuple(self._results)

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=True)

    def _wake(self) -> None:
        self._idle.clear()
        self._work.set()
        if self._is_enough:
            self._enough.set()

    @property
    def _is_enough(self) -> bool:
        """Whether at least half of the letters under way wait for this commit, or no more can come."""
        return len(self._permits) >= self._answers_due

    async def _gather(self) -> None:
        """Let more permissions come in, for as long as a commit takes."""
        patience = min(self._commit_s, LONGEST_GATHERING_S)
        if self._is_enough or patience <= 0:
            return
        self._enough.clear()
        timer = self._clock.call_later(patience, self._enough.set)
        try:
            await self._enough.wait()
        finally:
            timer.cancel()

    async def _commit(self) -> None:
        permits, self._permits = self._permits, []
        results, self._results = self._results, []
        written = None
        began = self._clock.monotonic()
        try:
            written = await self.call(lambda: self._write([asked.parcel for asked in permits], results))
        except StoreUnwritable as trouble:
            self.trouble = trouble
        except Exception as fault:
            self.trouble = StoreUnwritable(f"the journal failed: {type(fault).__name__}: {fault}")
        finally:
            if written is None:
                self._results[:0] = results
            else:
                self._commit_s = self._clock.monotonic() - began
                self._answers_due += len(written.granted)
                self._failures = 0
                self.trouble = None
                self.paused = written.paused
            _answer(permits, written.granted if written else frozenset())
        if written is None:
            await self._try_later()

    async def _try_later(self) -> None:
        """Keep the results and come back; after the last wait give them up to whoever flushes."""
        if self._results and self._failures < len(RETRY_WAITS_S):
            await self._clock.sleep(RETRY_WAITS_S[self._failures])
            self._failures += 1
            self._work.set()

    def _write(self, permits: list[Parcel], results: list[Result]) -> fence.Written:
        self._suppress([result for result in results if result.suppress])
        with self._campaign.writing() as connection:
            return fence.write(
                connection,
                run=self._run,
                permits=permits,
                results=results,
                now_us=to_us(self._clock.now()),
                keep_bytes=self._keep_bytes,
            )

    def _suppress(self, results: list[Result]) -> None:
        """Write dead addresses down first: done twice it changes nothing, forgotten it would be missed."""
        if not results:
            return
        with self._common.writing() as connection:
            secret = shared.shared_secret(connection)
            for result in results:
                entry = Suppression(
                    hash=suppression_hash(secret, result.suppress),
                    address=result.suppress,
                    reason=Reason.BOUNCED,
                    source=f"refused: {result.response}",
                    since=self._clock.now(),
                )
                shared.suppress(connection, entry)


def _answer(permits: list[_Asked], granted: frozenset[tuple[int, int]]) -> None:
    """Give each permission to one holder: the first that asked."""
    free = set(granted)
    for parcel, answer, denied in permits:
        attempt = (parcel.letter.id, parcel.attempt)
        given = attempt in free
        free.discard(attempt)
        if not given:
            denied()
        if not answer.done():
            answer.set_result(given)
