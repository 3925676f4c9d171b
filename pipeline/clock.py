"""The only source of time and chance.

Everything that asks what time it is, waits, or throws dice gets a `Clock` or a `Dice` handed in; tests hand
in their own and move them by hand. Times are aware datetimes in UTC; waits use the monotonic clock, so a
clock that is set back or forward neither stops a send nor releases a burst. In the store times are whole
microseconds since 1970 (`to_us`, `from_us`).
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_US = 1_000_000


class Timer(Protocol):
    """Something set for later that can be called off."""

    def cancel(self) -> None:
        """Call it off; harmless when it has run."""


class Clock(Protocol):
    """Time as the program sees it."""

    def now(self) -> datetime:
        """Return the time of day, aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    def call_later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Run ``action`` in the event loop after ``seconds``."""


class Dice(Protocol):
    """Chance as the program sees it."""

    def uniform(self, low: float, high: float) -> float:
        """Return a number between ``low`` and ``high``."""

    def token(self, size: int) -> bytes:
        """Return ``size`` bytes nobody can guess."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, action: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, action)


class SystemDice:
    """The machine's chance."""

    def uniform(self, low: float, high: float) -> float:
        return random.uniform(low, high)  # noqa: S311 - jitter, not a secret

    def token(self, size: int) -> bytes:
        return secrets.token_bytes(size)


def to_us(moment: datetime) -> int:
    """Return whole microseconds since 1970 for an aware datetime; ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("a datetime without a time zone")
    delta = moment - EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND_US + delta.microseconds


def from_us(microseconds: int) -> datetime:
    """Return the aware datetime, in UTC, for microseconds since 1970."""
    return EPOCH + timedelta(microseconds=microseconds)
