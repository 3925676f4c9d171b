"""Ctrl-C, `kill` and a closed terminal: the first one finishes the letters in flight, the second drops them.

For as long as `Interrupts` is entered, a signal ends the run and never the program: what was answered is
still written down.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from types import TracebackType
from typing import Protocol

from pipeline.cli.telling import err
from pipeline.delivery.supply import Stop
from pipeline.errors import ExitCode

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last: the terminal is gone
REASON = "interrupted"


class Going(Protocol):
    """What can be ended early."""

    async def go(self) -> Stop | None:
        """Go, to the end; return why it ended early, if it did. Cancelling it drops what is in hand."""

    def wind_up(self, reason: str) -> None:
        """Finish what is in flight and end."""


class Ender(Protocol):
    """What may end a run early."""

    async def until_done(self, run: Going) -> Stop | None:
        """Let ``run`` go; return why it ended early, if it did."""


class Interrupts:
    """What signals do to a run."""

    def __init__(self) -> None:
        self._count = 0
        self._run: Going | None = None
        self._going: asyncio.Task[Stop | None] | None = None

    def __enter__(self) -> Interrupts:
        for number in ENDINGS:
            asyncio.get_running_loop().add_signal_handler(number, self._interrupted)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)  # where they were held back until now
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in ENDINGS:
            asyncio.get_running_loop().remove_signal_handler(number)

    async def until_done(self, run: Going) -> Stop | None:
        """Let ``run`` go, to its end or to the second signal; return why it ended early, if it did."""
        self._run = run
        self._going = asyncio.create_task(run.go())
        if self._count:
            run.wind_up(REASON)
        try:
            return await self._going
        except asyncio.CancelledError:
            if self._count < 2:
                raise
            return Stop(REASON, ExitCode.INTERRUPTED)

    def _interrupted(self) -> None:
        self._count += 1
        if self._count == 1:
            new_line = "\n" if sys.stderr.isatty() else ""
            err(f"{new_line}finishing the letters in flight; Ctrl-C again stops at once")
            if self._run is not None:
                self._run.wind_up(REASON)
        elif self._going is not None:
            self._going.cancel()
