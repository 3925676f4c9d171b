"""What every answer leads to: the verdict becomes a result in the journal, a count, a pause, a stop.

The desk sits between the sessions and the journal. It alone turns a verdict into the letter's next state, so
there is one place where a letter moves because of what a server said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from pipeline.clock import Clock, Dice
from pipeline.delivery.letter import Parcel, Phase, Result, State
from pipeline.delivery.retry import Schedule
from pipeline.delivery.supply import Feed, Progress, Stop
from pipeline.delivery.trip import Trip, TripSwitch
from pipeline.delivery.verdict import UNUSED, Effect, Fault, Next, Verdict, judge, judge_loss
from pipeline.errors import ExitCode, StoreUnwritable
from pipeline.mail.response import Response

QUOTA_PAUSE = timedelta(hours=1)
FIRST_BACKOFF_S = 2.0
LONGEST_BACKOFF_S = 60.0
TROUBLES_IN_A_ROW = 5
STORE_AWAY_S = 1.0  # no letter is handed out for so long where the store may come back


class Journal(Protocol):
    """Where permissions and results are committed."""

    trouble: StoreUnwritable | None
    paused: bool
    patient: bool  # a store that is away is waited for

    def permit(self, parcel: Parcel, *, denied: Callable[[], None]) -> asyncio.Future[bool]:
        """Ask for the fence; ``denied`` is called before the answer is false."""

    def record(self, result: Result) -> None:
        """Take a result."""


class SendingDesk:
    """The desk of one run."""

    def __init__(
        self,
        journal: Journal,
        feed: Feed,
        *,
        schedule: Schedule,
        clock: Clock,
        dice: Dice,
        progress: Progress,
        hold_relay: Callable[[timedelta, str], None],
        told: Callable[[Parcel, Result], None] | None = None,
    ) -> None:
        """``hold_relay`` keeps later runs from the relay for a while; ``told`` hears of every result."""
        self._journal = journal
        self._feed = feed
        self._schedule = schedule
        self._clock = clock
        self._dice = dice
        self._progress = progress
        self._hold_relay = hold_relay
        self._told = told
        self._switch = TripSwitch()
        self._troubles = 0
        self._row_suppressed: list[str] = []  # since the last accepted letter
        self.advice: list[str] = []
        self.mistrusted: list[str] = []  # keys suppressed on the word of a relay that refused everybody

    @property
    def suppressed_in_a_row(self) -> tuple[str, ...]:
        """Keys suppressed since the last accepted letter."""
        return tuple(self._row_suppressed)

    # -- what sessions say

    def permit(self, parcel: Parcel) -> asyncio.Future[bool]:
        """Ask the journal; a denial ends the letter's part in this run, and may end the run."""
        return self._journal.permit(parcel, denied=self._denied)

    def answered(self, parcel: Parcel, phase: Phase, response: Response) -> bool:
        """Judge a definite answer and record what follows; false when the connection should be given up."""
        verdict = judge(phase, response)
        state = self._record(parcel, phase, verdict, response)
        self._count(parcel, verdict, state)
        return self._affect_run(parcel, verdict, response)

    def lost(self, parcel: Parcel, phase: Phase, why: str) -> None:
        """Record that no answer came."""
        verdict = judge_loss(phase)
        state = self._record(parcel, phase, verdict, None, why)
        self._count(parcel, verdict, state)

    def not_begun(self, parcel: Parcel, phase: Phase, why: str) -> None:
        """Record that a permission was not used; the letter may go again at once."""
        self._record(parcel, phase, UNUSED, None, why)
        self._feed.settled()

    def relay_in_trouble(self, why: str) -> None:
        """Back off; after several troubles in a row without an accepted letter, end the run."""
        self._troubles += 1
        if self._troubles >= TROUBLES_IN_A_ROW:
            self._feed.end(
                Stop(
                    f"the relay is in trouble: {why}",
                    ExitCode.WAITING,
                    "the letters stay queued; a later run goes on",
                )
            )
            return
        self.back_off()

    def back_off(self) -> None:
        """Hand out nothing for a while, doubled with every trouble in a row, with jitter."""
        ceiling = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** max(0, self._troubles - 1))
        self._feed.slow_down(self._dice.uniform(ceiling / 2, ceiling))

    # -- what follows

    def _denied(self) -> None:
        self._feed.settled()
        if self._journal.trouble is not None and self._journal.patient:
            self._feed.slow_down(STORE_AWAY_S, "the store, which is away")
        elif self._journal.trouble is not None:
            trouble = self._journal.trouble
            self._feed.end(Stop(trouble.message, ExitCode.STORE_UNWRITABLE, trouble.hint))
        elif self._journal.paused:
            self._feed.end(Stop("paused", ExitCode.WAITING, "`campaign resume` lets it go on"))

    def _record(
        self, parcel: Parcel, phase: Phase, verdict: Verdict, response: Response | None, note: str = ""
    ) -> State:
        """Hand the result to the journal; return the letter's next state."""
        letter = parcel.letter
        delay = self._schedule.delay_after(letter.deferrals + 1) if verdict.next is Next.LATER else None
        state = _state(verdict, gives_up=delay is None)
        if verdict.next is Next.LATER and delay is None:
            note = f"gave up after {letter.deferrals + 1} tries: {response}"
        result = Result(
            letter=letter.id,
            attempt=parcel.attempt,
            phase=phase,
            verdict=verdict.word,
            state=state,
            response=response,
            due_at=self._clock.now() + timedelta(seconds=delay or 0) if state is State.QUEUED else None,
            deferred=verdict.next is Next.LATER,
            suppress=letter.recipient_key if verdict.suppress else "",
            note=note,
        )
        self._journal.record(result)
        if self._told is not None:
            self._told(parcel, result)
        return state

    def _count(self, parcel: Parcel, verdict: Verdict, state: State) -> None:
        progress = self._progress
        if state is State.SENT:
            progress.sent += 1
            self._troubles = 0
        elif state is State.FAILED:
            progress.failed += 1
        elif state is State.IN_DOUBT:
            progress.in_doubt += 1
        elif verdict.next is Next.LATER:
            progress.deferred += 1
        self._feed.settled()

    def _affect_run(self, parcel: Parcel, verdict: Verdict, response: Response) -> bool:
        domain = parcel.letter.domain
        if verdict.next is Next.SENT:
            self._switch.accepted(domain)
            self._row_suppressed.clear()
            return True
        if verdict.suppress:
            self._row_suppressed.append(parcel.letter.recipient_key)
        match verdict.effect:
            case Effect.NONE:
                return True
            case Effect.SLOW if response.code == 421:
                return False  # the session ends as lost, and that is when the run backs off
            case Effect.SLOW:
                self.relay_in_trouble(str(response))
                out_of_step = verdict.next in {Next.NOT_BEGUN, Next.DOUBT}
                return not out_of_step  # then nothing it says can be trusted
            case Effect.PAUSE:
                self._hold_relay(QUOTA_PAUSE, str(response))
                until = self._clock.now() + QUOTA_PAUSE
                self._feed.leave_relay(until, f"the relay's quota is used up: {response}", verdict.advice)
            case Effect.STOP:
                self._feed.end(
                    Stop(f"the relay refused us: {response}", ExitCode.RELAY_REFUSED, verdict.advice)
                )
            case Effect.TRIP:
                return self._trip(domain, verdict, response)
        return False

    def _trip(self, domain: str, verdict: Verdict, response: Response) -> bool:
        if verdict.advice and verdict.advice not in self.advice:
            self.advice.append(verdict.advice)
        match self._switch.refused(domain, policy=verdict.fault is Fault.US):
            case Trip.RUN:
                self.mistrusted += self._row_suppressed
                self._feed.end(
                    Stop(
                        f"too many refusals, the last one: {response}",
                        ExitCode.RELAY_REFUSED,
                        verdict.advice
                        or "look at `campaign status` before you send on; nobody was suppressed for this",
                    )
                )
                return False
            case Trip.DOMAIN:
                self._feed.hold_domain(domain, f"three refusals in a row, the last one: {response}")
        return True


def _state(verdict: Verdict, *, gives_up: bool) -> State:
    match verdict.next:
        case Next.SENT:
            return State.SENT
        case Next.FAIL:
            return State.FAILED
        case Next.DOUBT:
            return State.IN_DOUBT
        case Next.LATER:
            return State.FAILED if gives_up else State.QUEUED
        case Next.KEEP | Next.NOT_BEGUN:
            return State.QUEUED
