"""`campaign send --processes N`: a send in several processes on one store, and the one that leads them.

    the process that was started: check ── lock ── plan ── confirm ── release ── fork ─┬─ tell ── summary
                                                                       │ orders ▲ reports
    each of the others: its letters, its connections, its journal ◄────┴────────┘

Letters are shared out by their numbers, so no process can ask for another's, and the fence in the store would
refuse it. All of them hold the campaign's lock; it is free when the last has ended, whoever was killed. The
limits are rows in the store and hold for all of them together; the trip switch and the back-off are each
process's own, and one that stops because the relay refuses us stops the others.

Limits: letters of a process that dies wait for the next run; the others do not take them over.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType

from pipeline.cli.child import Line, live
from pipeline.cli.interrupts import ENDINGS
from pipeline.cli.reports import Order, Outcome, Reader, Report
from pipeline.delivery.session import Manner
from pipeline.delivery.supply import Progress, Stop
from pipeline.errors import ExitCode, first_that_applies
from pipeline.store.world import World

_COUNTS = ("sent", "failed", "deferred", "suppressed", "in_doubt", "expired")  # of a `Progress`


@dataclass(frozen=True, slots=True)
class Share:
    """One process's part: letters ``which`` of ``of``, by number, and so many sessions."""

    which: int
    of: int
    sessions: int


def shares(number: int, sessions: int) -> list[Share]:
    """Share letters and sessions out to ``number`` processes; there are as many sessions, or more."""
    return [Share(which, number, sessions // number + (which < sessions % number)) for which in range(number)]


@contextmanager
def taking_turns(world: World) -> Iterator[Path]:
    """Let the world be written by several processes; gives the file at which they wait for a word.

    Nothing of it is open when the context begins: a database must not be taken through a fork.
    """
    words = world.campaign.path.with_name(world.campaign.path.name + "-words")
    stores = (world.campaign, world.common)
    try:
        for store in stores:
            store.take_turns()
            store.close()
        with suppress(OSError):
            words.touch(0o600)
        yield words
    finally:
        words.unlink(missing_ok=True)
        for store in stores:
            store.end_turns()


def death_words(status: int) -> str:
    """Return what it means that a process ended without a last word; ``status`` as `Sender` has it."""
    how = f"was killed (signal {-status})" if status < 0 else f"broke off (exit code {status})"
    return f"a sending process {how}: its other letters wait for the next `campaign send`"


@dataclass(slots=True)
class Sender:
    """One of the other processes, as the leading one sees it."""

    pid: int
    orders: int
    reports: int
    reader: Reader
    report: Report = field(default_factory=Report)
    ended: bool = False
    status: int = 0  # its exit code, or minus the signal that killed it
    admitted: bool = False  # it may connect

    def tell(self, order: Order) -> None:
        """Give an order; one that has ended does not hear it."""
        with suppress(OSError):
            os.write(self.orders, order.value)

    @property
    def died(self) -> bool:
        """Whether it ended without a last word."""
        return self.ended and self.report.outcome is None

    @property
    def failed_to_connect(self) -> bool:
        """Whether it was let in and stops without having opened a connection."""
        return self.admitted and self.report.stop is not None and not self.report.opened


class Processes:
    """The sending processes of one run. Leaving the context waits for those that are still at work."""

    def __init__(self, progress: Progress) -> None:
        """``progress`` is kept up to date with what all of them report."""
        self._progress = progress
        self._senders: list[Sender] = []
        self._all_ended: asyncio.Event | None = None
        self._interrupted: Stop | None = None
        self._winding_up = False

    def start(self, parts: Sequence[Share], work: Callable[[Share, Line], None]) -> None:
        """Fork a process for each of ``parts`` that does ``work`` with it.

        Call it with no other thread alive, no connection to a database and no event loop. Signals that end a
        run wait until `Interrupts` is entered.
        """
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()  # or each of them would write it
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
        for part in parts:
            self._senders.append(self._fork(partial(work, part)))

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tell_all(Order.WIND_UP)
        for sender in self._senders:
            if not sender.ended:
                self._bury(sender)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)

    # -- as `Interrupts` has it

    async def go(self) -> Stop | None:
        """Listen until all have ended; return why they ended early, if they did."""
        loop = asyncio.get_running_loop()
        self._all_ended = asyncio.Event()
        for sender in self._senders:
            loop.add_reader(sender.reports, self._hear, sender)
        cancelled = False
        while not self._all_ended.is_set():
            try:
                await self._all_ended.wait()
            except asyncio.CancelledError:  # it has to be told, and we have to know what came of it
                cancelled = True
                self._tell_all(Order.STOP)
        if cancelled:
            raise asyncio.CancelledError
        return self._stop()

    def wind_up(self, reason: str) -> None:
        """Let all of them finish what is in flight and end."""
        self._interrupted = Stop(reason, ExitCode.INTERRUPTED)
        self._wind_up()

    # -- afterwards

    @property
    def dead(self) -> Sequence[int]:
        """Exit codes, or minus the signals, of those that ended without a last word."""
        return [sender.status for sender in self._senders if sender.died]

    def outcome(self, stop: Stop | None) -> Outcome:
        """Return what all of them have to say as that of one process that ended with ``stop``."""
        said = [sender.report.outcome for sender in self._senders if sender.report.outcome is not None]
        manners = [outcome.manner for outcome in said if outcome.manner is not None]
        tripped = any(outcome.mistrusted for outcome in said)
        return Outcome(
            stop,
            notes=tuple(dict.fromkeys(note for outcome in said for note in outcome.notes)),
            unrecorded=tuple(result for outcome in said for result in outcome.unrecorded),
            manner=max(manners, key=list(Manner).index, default=None),  # the mildest
            # Who refuses everybody has misled all of them.
            mistrusted=tuple(
                key
                for outcome in said
                for key in dict.fromkeys(outcome.mistrusted + (outcome.suppressed if tripped else ()))
            ),
            lost_output=any(outcome.lost_output for outcome in said),
        )

    # -- inside

    def _fork(self, work: Callable[[Line], None]) -> Sender:
        hears, orders = os.pipe()
        reports, says = os.pipe()
        pid = os.fork()
        if not pid:
            live(lambda: self._be_child(work, Line(hears, says), (orders, reports)))
        os.close(hears)
        os.close(says)
        os.set_blocking(reports, False)
        return Sender(pid, orders, reports, Reader(reports))

    def _be_child(self, work: Callable[[Line], None], line: Line, not_ours: tuple[int, ...]) -> None:
        """Close the other ends, or no pipe would end with its process; then work."""
        for pipe in (
            *not_ours,
            *(end for sender in self._senders for end in (sender.orders, sender.reports)),
        ):
            os.close(pipe)
        work(line)

    def _hear(self, sender: Sender) -> None:
        for report in sender.reader.reports():
            sender.report = report
        if sender.reader.ended:
            asyncio.get_running_loop().remove_reader(sender.reports)
            self._bury(sender)
        self._sum_up()
        if any(map(_stops_all, self._senders)) or self._nobody_gets_in:
            self._wind_up()
        self._let_in()
        if self._all_ended is not None and all(sender.ended for sender in self._senders):
            self._all_ended.set()

    def _bury(self, sender: Sender) -> None:
        """Wait for the end of one that has closed its pipe, or gets no orders any more."""
        os.close(sender.orders)
        os.close(sender.reports)
        _, status = os.waitpid(sender.pid, 0)
        sender.status = os.waitstatus_to_exitcode(status)
        sender.ended = True

    def _let_in(self) -> None:
        """Let one of those that ask connect, and all when it has."""
        opened = any(sender.report.opened for sender in self._senders)
        trying = any(sender.admitted and not sender.ended for sender in self._senders)
        for sender in self._senders:
            if sender.report.asks and not sender.admitted and (opened or not trying):
                sender.admitted = trying = True
                sender.tell(Order.CONNECT)

    @property
    def _nobody_gets_in(self) -> bool:
        """Whether the first to try a connection had none; what comes later is each one's own trouble."""
        opened = any(sender.report.opened for sender in self._senders)
        return not opened and any(sender.failed_to_connect for sender in self._senders)

    def _wind_up(self) -> None:
        if not self._winding_up:
            self._winding_up = True
            self._tell_all(Order.WIND_UP)

    def _tell_all(self, order: Order) -> None:
        for sender in self._senders:
            if not sender.ended:
                sender.tell(order)

    def _stop(self) -> Stop | None:
        """Return the stop that counts: ours, or the first that applies; not those we ordered."""
        if self._interrupted is not None:
            return self._interrupted
        stops = [
            stop
            for sender in self._senders
            if (stop := sender.report.stop) is not None and stop.exit_code is not ExitCode.INTERRUPTED
        ]
        code = first_that_applies([stop.exit_code for stop in stops])
        return next((stop for stop in stops if stop.exit_code is code), None)

    def _sum_up(self) -> None:
        """Add up what they report; something is waited for when all that are at work wait."""
        total = self._progress
        reported = [sender.report.progress for sender in self._senders]
        for name in _COUNTS:
            setattr(total, name, sum(getattr(progress, name) for progress in reported))
        total.left_for_later = sum((progress.left_for_later for progress in reported), Counter())
        at_work = [sender.report.progress for sender in self._senders if not sender.ended]
        waiting = [progress for progress in at_work if progress.waiting]
        total.waiting, total.waiting_until = "", None
        if waiting and len(waiting) == len(at_work):
            moments = [progress.waiting_until for progress in waiting if progress.waiting_until is not None]
            total.waiting, total.waiting_until = waiting[0].waiting, min(moments, default=None)


def _stops_all(sender: Sender) -> bool:
    """Say whether what stops one has to stop the others: trouble with us or the store, the relay's own quota.

    A limit of ours that is used up is not: the others have letters that had room in it.
    """
    stop = sender.report.stop
    return sender.report.relay_held or (stop is not None and stop.exit_code is not ExitCode.WAITING)
