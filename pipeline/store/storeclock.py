"""The clock of the store: what several hosts go by.

Each host's clock may be wrong in its own way. With a server the time of day is the server's: when a letter is
due, when a quota opens, until when a relay is left alone. `StoreClock` gives it anywhere in the program, from
this host's monotonic clock and how far the server was from it when it was asked last; each new connection
asks, and so does whatever takes a place in a limit. What is decided inside the database (places in limits) is
decided by the server's clock at that moment. The fence needs no clock.

Limits: the answer is late by the way there and back, half of which is taken off. Between two askings the two
machines drift apart, some milliseconds an hour. A machine that was asleep is wrong until the next asking.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from pipeline.clock import SECOND_US, Clock, Timer, from_us


class StoreClock:
    """A host's clock, set by the store."""

    def __init__(self, own: Clock) -> None:
        self.own = own
        self._ahead_us: int | None = None  # of the store's time of day before our monotonic clock

    def correct(self, store_us: int, *, asked_at: float) -> None:
        """Take the store's answer; ``asked_at`` is our monotonic time when it was asked."""
        heard_at = self.own.monotonic()
        self._ahead_us = store_us - round((asked_at + heard_at) / 2 * SECOND_US)

    def now(self) -> datetime:
        """Return the store's time of day; this host's until the store has been asked."""
        if self._ahead_us is None:
            return self.own.now()
        return from_us(self._ahead_us + round(self.own.monotonic() * SECOND_US))

    def monotonic(self) -> float:
        """Return seconds that never run backwards, of this host."""
        return self.own.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self.own.sleep(seconds)

    def call_later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Run ``action`` in the event loop after ``seconds``."""
        return self.own.call_later(seconds, action)
