"""One sending process of several: it obeys the one that started it, and reports to it.

It does what a send of one process does, with a part of the letters and of the connections. Signals of the
terminal are not its own: the process that was started gets them and gives the orders. When that one is gone,
this one finishes the letters in flight and ends; the campaign's lock is held until then.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pipeline.cli.interrupts import ENDINGS, REASON, Going
from pipeline.cli.reports import AT_ONCE, Order, Outcome, Report, packed
from pipeline.clock import Clock
from pipeline.delivery.connect import Connection
from pipeline.delivery.dispatch import Opening
from pipeline.delivery.letter import Parcel, Result
from pipeline.delivery.session import Manner
from pipeline.delivery.supply import Feed, Progress, Stop
from pipeline.errors import ExitCode
from pipeline.store.lock import in_turn

REPORT_EVERY_S = 0.2


class Line:
    """A child's ends of the two pipes: ``orders`` to read from, ``reports`` to write to."""

    def __init__(self, orders: int, reports: int) -> None:
        self.orders = orders
        self._reports = reports
        self._unsaid = b""
        os.set_blocking(orders, False)
        os.set_blocking(reports, False)

    def report(self, report: Report) -> None:
        """Say where we are, and wait for nobody: while one report is not read, no other is written."""
        self._unsaid = self._unsaid or packed(report)
        self._write()

    def report_end(self, report: Report) -> None:
        """Say the last word, however long it takes."""
        self._unsaid += packed(report)
        os.set_blocking(self._reports, True)
        while self._unsaid:
            self._write()

    def _write(self) -> None:
        try:
            self._unsaid = self._unsaid[os.write(self._reports, self._unsaid) :]
        except BlockingIOError:
            return
        except OSError:  # nobody is there any more
            self._unsaid = b""


class Child:
    """A sending process's part in being one of several.

    Enter it in the event loop; it is the `Ender` of the process's run.
    """

    def __init__(self, line: Line, progress: Progress, *, clock: Clock) -> None:
        self._line = line
        self._clock = clock
        self._report = Report(progress)
        self._may_connect = asyncio.Event()
        self._run: Going | None = None
        self._going: asyncio.Task[Stop | None] | None = None
        self._told: list[Order] = []
        self.feed: Feed | None = None  # what it sends from; its stop is reported at once

    def __enter__(self) -> Child:
        asyncio.get_running_loop().add_reader(self._line.orders, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._line.orders)

    async def until_done(self, run: Going) -> Stop | None:
        """Let ``run`` go, to its end or to the order to stop; return why it ended early, if it did."""
        self._run = run
        self._going = asyncio.create_task(run.go())
        reporting = asyncio.create_task(self._report_for_ever())
        for order in self._told:
            self._obey(order)
        try:
            return await self._going
        except asyncio.CancelledError:
            if Order.STOP not in self._told:
                raise
            return Stop(REASON, ExitCode.INTERRUPTED)
        finally:
            reporting.cancel()

    def gate(self, opening: Opening) -> Gate:
        """Return ``opening`` as it may be used by one process of several."""
        return Gate(opening, self)

    async def wait_to_connect(self) -> None:
        """Wait until we may connect: at first one process alone does, so that a wrong password is tried
        once."""
        if not self._may_connect.is_set():
            self.say(replace(self._report, asks=True))
            await self._may_connect.wait()

    def has_opened(self) -> None:
        """Say that password and certificate are in order."""
        if not self._report.opened:
            self.say(replace(self._report, opened=True))

    def has_held_relay(self) -> None:
        """Say that the relay is to be left alone."""
        self.say(replace(self._report, relay_held=True))

    def say(self, report: Report) -> None:
        """Report at once."""
        self._report = report
        self._line.report(report)

    def end(self, outcome: Outcome) -> None:
        """Say the last word."""
        self._line.report_end(replace(self._report, stop=outcome.stop, outcome=outcome))

    async def _report_for_ever(self) -> None:
        while True:
            await self._clock.sleep(REPORT_EVERY_S)
            self.say(replace(self._report, stop=self.feed.stop if self.feed else None))

    def _hear(self) -> None:
        try:
            said = os.read(self._line.orders, AT_ONCE)
        except BlockingIOError:
            return
        if not said:
            asyncio.get_running_loop().remove_reader(self._line.orders)
        for order in [Order(bytes([octet])) for octet in said] or [Order.WIND_UP]:
            self._told.append(order)
            self._obey(order)

    def _obey(self, order: Order) -> None:
        if order is Order.CONNECT:
            self._may_connect.set()
        elif order is Order.WIND_UP and self._run is not None:
            self._run.wind_up(REASON)
        elif order is Order.STOP and self._going is not None:
            self._going.cancel()


class Gate:
    """Opens connections when this process may."""

    def __init__(self, opening: Opening, child: Child) -> None:
        self._opening = opening
        self._child = child

    async def connect(self, manner: Manner) -> Connection:
        """Return a connection ready for MAIL; raises what `Opening` raises."""
        await self._child.wait_to_connect()
        connection = await self._opening.connect(manner)
        self._child.has_opened()
        return connection


def in_whole_lines(told: Callable[[Parcel, Result], None], words: Path) -> Callable[[Parcel, Result], None]:
    """Return ``told`` with its lines kept apart from those of others, who wait at the file ``words``."""

    def tell(parcel: Parcel, result: Result) -> None:
        with in_turn(words):
            told(parcel, result)

    return tell


def live(work: Callable[[], None]) -> None:
    """Do ``work`` as a forked process, with the signals of the terminal ignored. Does not return."""
    code = int(ExitCode.FAILED)
    try:
        for number in ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)
        work()
        code = int(ExitCode.DONE)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
