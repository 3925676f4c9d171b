"""The one writer: gathers permissions and results of all connections into commits.

A commit holds everything that came in while the one before it was on its way to the disk, so its cost is
shared. While answers of other letters are still expected it also waits, at most for as long as a commit
takes, until half of what is under way has come: so the size of a commit follows the disk and the connections
in use, and one connection never waits for another. A commit begins the moment there is enough for it, while
the event loop goes on with the other half.

A permission is given only after its commit; a commit that failed, or whose outcome is unknown, is permission
denied. A result is never forgotten: while the store cannot be written it is kept and tried again, and if that
goes on for too long it is handed to the caller, who says so; its attempt then stays open and is found in
doubt by the next run. A ``patient`` journal tries again for as long as its run goes on: its store is a
server, which may go away and come back. A permission that may have been committed there all the same, and was
not used, is then closed as not begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, TypeVar

from pipeline.clock import Clock, Timer, to_us
from pipeline.delivery.letter import Parcel, Phase, Result, State
from pipeline.delivery.verdict import UNUSED
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


class _Commit(NamedTuple):
    """What is on its way to the disk, and since when (monotonic seconds)."""

    permits: list[_Asked]
    results: list[Result]
    began: float


class Journal:
    """Permissions and results of one run."""

    def __init__(
        self,
        campaign: Database,
        common: Database,
        *,
        run: int,
        clock: Clock,
        keep_bytes: bool,
        patient: bool = False,
    ) -> None:
        self.patient = patient
        self._campaign = campaign
        self._common = common
        self._run = run
        self._clock = clock
        self._keep_bytes = keep_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._permits: list[_Asked] = []
        self._results: list[Result] = []
        self._answers_due = 0  # permissions given whose result has not come
        self._commit_s = 0.0  # what the last commit took
        self._on = False  # somebody runs `write_for_ever`
        self._under_way: _Commit | None = None
        self._waits = False  # for a store that could not be written
        self._gathering: Timer | None = None
        self._retry: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._failures = 0
        self._held: set[tuple[int, int]] = set()  # of a patient one: granted, and no result is committed
        self.trouble: StoreUnwritable | None = None  # the store cannot be written; nobody may send
        self.paused = False  # a person stopped all sending

    def permit(self, parcel: Parcel, *, denied: Callable[[], None] = _nothing) -> asyncio.Future[bool]:
        """Ask for an attempt; the future is true once it is committed. ``denied`` is called before it is
        false."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._permits.append(_Asked(parcel, answer, denied))
        self._consider()
        return answer

    def record(self, result: Result) -> None:
        """Take a result; it is committed before, or together with, any permission asked for later."""
        self._results.append(result)
        self._answers_due = max(0, self._answers_due - 1)
        self._consider()

    async def call(self, job: Callable[[], T]) -> T:
        """Run a job in the writer's thread, between commits."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

    async def beside(self, job: Callable[[], T]) -> T:
        """Run a job about the common store in a thread of its own, in turn, while commits go on."""
        return await asyncio.get_running_loop().run_in_executor(self._beside, job)

    async def write_for_ever(self) -> None:
        """Commit what comes in, until cancelled; call `flush` before that.

        What is on its way then is denied, and its results are kept.
        """
        self._on = True
        self._consider()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._on = False
            self._call_off_gathering()
            if self._retry is not None:
                self._retry.cancel()
            if self._under_way is not None:
                self._end(self._under_way, None)

    async def flush(self) -> tuple[Result, ...]:
        """Wait until all is committed; return the results that could not be."""
        await self._idle.wait()
        return tuple(self._results)

    def close(self) -> None:
        """Let the threads go."""
        self._thread.shutdown(wait=True)
        self._beside.shutdown(wait=True)

    # -- when to commit

    def _consider(self) -> None:
        """Begin a commit if there is enough for one; else wait a little for more."""
        if not (self._permits or self._results):
            return
        self._idle.clear()
        if not self._on or self._under_way is not None or self._waits:
            return
        if len(self._permits) >= self._answers_due and self._commit_s > 0:
            self._begin()
        elif self._gathering is None:
            patience = min(self._commit_s, LONGEST_GATHERING_S)
            if patience > 0:
                self._gathering = self._clock.call_later(patience, self._gathered)
            else:  # nothing is known of the disk yet: what comes in the same turn of the loop
                self._gathering = asyncio.get_running_loop().call_soon(self._gathered)

    def _gathered(self) -> None:
        self._gathering = None
        if self._on and self._under_way is None and not self._waits and (self._permits or self._results):
            self._begin()

    def _call_off_gathering(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None

    # -- one commit

    def _begin(self) -> None:
        """Hand what has come in to the writer's thread."""
        self._call_off_gathering()
        commit = _Commit(self._permits, self._results, self._clock.monotonic())
        self._permits, self._results, self._under_way = [], [], commit
        writing = fence.Writing(
            self._run,
            [asked.parcel for asked in commit.permits],
            commit.results,
            to_us(self._clock.now()),
            self._keep_bytes,
        )
        if not self._campaign.is_server:
            # Not in the thread that commits: it had to wait for the interpreter, and all letters for it.
            with suppress(Exception):  # comes up again in that thread, and ends in `trouble`
                writing = fence.prepare(writing)
        done = asyncio.get_running_loop().run_in_executor(self._thread, self._write, writing)
        done.add_done_callback(lambda written: self._end(commit, written))

    def _end(self, commit: _Commit, done: asyncio.Future[fence.Written] | None) -> None:
        """Tell what became of a commit, and go on; None: nobody waited for its end."""
        if commit is not self._under_way:
            return
        self._under_way = None
        written = self._outcome(done) if done is not None else None
        if written is None:
            self._results[:0] = [*commit.results, *self._unused(commit)]
        else:
            if self.patient:
                self._held.difference_update(map(_attempt, commit.results))
                self._held.update(written.granted)
            self._commit_s = self._clock.monotonic() - commit.began
            self._answers_due += len(written.granted)
            self._failures = 0
            self.trouble = None
            self.paused = written.paused
        _answer(commit.permits, written.granted if written else frozenset())
        hopes = self.patient or self._failures < len(RETRY_WAITS_S)
        if self._on and written is None and self._results and hopes:
            self._waits = True
            self._retry = asyncio.create_task(self._try_later())
        elif self._permits or (self._results and written is not None):
            self._consider()
        else:
            self._idle.set()

    def _unused(self, commit: _Commit) -> list[Result]:
        """Return what becomes of permissions that may have been committed although nobody got them.

        What one connection holds, another may have asked for as well: that is none of them.
        """
        if not self.patient:
            return []
        asked = [asked.parcel for asked in commit.permits]
        return [_not_used(parcel) for parcel in asked if (parcel.letter.id, parcel.attempt) not in self._held]

    def _outcome(self, done: asyncio.Future[fence.Written]) -> fence.Written | None:
        """Return what a commit wrote; None where it failed, or nobody knows."""
        try:
            return done.result()
        except StoreUnwritable as trouble:
            self.trouble = trouble
        except asyncio.CancelledError:
            pass
        except Exception as fault:
            self.trouble = StoreUnwritable(f"the journal failed: {type(fault).__name__}: {fault}")
        return None

    async def _try_later(self) -> None:
        """Come back with the results; after the last wait they are left for whoever flushes."""
        await self._clock.sleep(RETRY_WAITS_S[min(self._failures, len(RETRY_WAITS_S) - 1)])
        self._failures += 1
        self._waits = False
        self._gathered()

    def _write(self, writing: fence.Writing) -> fence.Written:
        self._suppress([result for result in writing.results if result.suppress])
        return fence.commit(self._campaign, writing)

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


def _attempt(result: Result) -> tuple[int, int]:
    return (result.letter, result.attempt)


def _not_used(parcel: Parcel) -> Result:
    """Return what became of a permission that was denied because nobody knew whether it was committed."""
    attempt = (parcel.letter.id, parcel.attempt)
    note = "the store went away; the permission was not used"
    return Result(*attempt, Phase.DATA, UNUSED.word, State.QUEUED, note=note)


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
