"""A clock that stands still until a test moves it, and dice that always fall the same way.

`FakeClock` fulfils `pipeline.clock.Clock`. Time of day and monotonic time move together by `advance`. No two
calls of `now` give the same moment: each adds a microsecond, as on a real machine. Two things may be asked
for:

    sleeps_pass   `sleep` returns at once, and the monotonic clock has moved
    timers_pass   so does every timer set with `call_later`

What passes by itself moves the monotonic clock only, never the time of day: a letter put off for half an hour
does not become due because a test was slow.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

START = datetime(2027, 5, 3, 9, 0, tzinfo=UTC)  # a Monday


class FakeTimer:
    """A timer of a `FakeClock`."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Call it off."""
        self._action = None

    def fire(self) -> None:
        """Run the action, once, unless it was called off."""
        action, self._action = self._action, None
        if action is not None:
            action()

    @property
    def live(self) -> bool:
        """Whether it will still run."""
        return self._action is not None


class FakeClock:
    """Time moved by hand."""

    def __init__(
        self, start: datetime = START, *, sleeps_pass: bool = False, timers_pass: bool = False
    ) -> None:
        self._start = start
        self._day = 0.0  # seconds the time of day has moved
        self._passed = 0.0  # seconds the monotonic clock has moved
        self._ticks = itertools.count()
        self._order = itertools.count()
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._sleeps_pass = sleeps_pass
        self._timers_pass = timers_pass
        self.slept: list[float] = []  # every wait somebody asked `sleep` for

    def now(self) -> datetime:
        """Return the time of day; a microsecond later at each call."""
        return self._start + timedelta(seconds=self._day, microseconds=next(self._ticks))

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return 1_000.0 + self._passed

    async def sleep(self, seconds: float) -> None:
        """Wait for `advance`, or not at all where sleeps pass by themselves."""
        self.slept.append(seconds)
        if self._sleeps_pass:
            self._passed += seconds
            await asyncio.sleep(0)
            return
        done = asyncio.get_running_loop().create_future()
        timer = self.call_later(seconds, lambda: None if done.done() else done.set_result(None))
        try:
            await done
        finally:
            timer.cancel()

    def call_later(self, seconds: float, action: Callable[[], None]) -> FakeTimer:
        """Set a timer."""
        timer = FakeTimer(action)
        due = self._passed + max(seconds, 0.0)
        if self._timers_pass:
            asyncio.get_running_loop().call_soon(self._pass_to, due, timer)
        else:
            heapq.heappush(self._timers, (due, next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Move both clocks forward and run the timers that come due, in order."""
        target = self._passed + seconds
        day = self._day + seconds
        while self._timers and self._timers[0][0] <= target:
            due, _, timer = heapq.heappop(self._timers)
            self._day += max(0.0, due - self._passed)
            self._passed = max(self._passed, due)
            timer.fire()
        self._passed, self._day = max(self._passed, target), max(self._day, day)

    def set_back(self, seconds: float) -> None:
        """Set the time of day back, as an administrator might; the monotonic clock does not notice."""
        self._day -= seconds

    @property
    def timers(self) -> int:
        """How many timers are set."""
        return sum(timer.live for _, _, timer in self._timers)

    def _pass_to(self, due: float, timer: FakeTimer) -> None:
        if timer.live:
            self._passed = max(self._passed, due)
            timer.fire()


class LoadedDice:
    """Chance that always falls the same way: the middle of every range, and tokens in order."""

    def __init__(self, *, skip: int = 0) -> None:
        """``skip`` tokens were thrown before."""
        self._tokens = itertools.count(1 + skip)

    def uniform(self, low: float, high: float) -> float:
        """Return the middle."""
        return (low + high) / 2

    def token(self, size: int) -> bytes:
        """Return the next number, as ``size`` bytes."""
        return next(self._tokens).to_bytes(size, "big")
