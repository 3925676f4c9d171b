"""One run of sending, wired: the parts that `send` and `run` share.

lock ── prepare ── (release) ── Sending.go ── summary
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli import as_fault, loop
from pipeline.cli.access import credentials, manner
from pipeline.cli.child import Child, Line, in_whole_lines
from pipeline.cli.interrupts import Ender, Interrupts
from pipeline.cli.pacing import effective_limits, show_limits
from pipeline.cli.place import Place
from pipeline.cli.processes import Processes, Share, death_words, shares, taking_turns
from pipeline.cli.reports import Outcome
from pipeline.cli.summing import Summary, tell_unrecorded
from pipeline.cli.telling import err, local_moment, lose_output, lost_output
from pipeline.clock import from_us, to_us
from pipeline.delivery.connect import Credentials, Opener
from pipeline.delivery.desk import SendingDesk
from pipeline.delivery.dispatch import Run
from pipeline.delivery.letter import Letter, Parcel, Result, State
from pipeline.delivery.limits import Limits, Pace
from pipeline.delivery.parcel import Compose, Packing
from pipeline.delivery.relay import BodyEncoding, Pipelining, Relay, RelayKind
from pipeline.delivery.rules import Rules
from pipeline.delivery.session import Manner
from pipeline.delivery.supply import Feed, Progress, Stop
from pipeline.errors import CampaignError, ExitCode
from pipeline.mail.identity import letter_token
from pipeline.problem import visible
from pipeline.recipients.suppression import suppression_hash
from pipeline.store import approvals, history, ledger, operator, queue, shared
from pipeline.store.journal import Journal
from pipeline.store.stock import StoreStock
from pipeline.store.world import World, begin_run, end_run, note_progress

if TYPE_CHECKING:
    from pipeline.cli.hosting import Hosting

RESUME = "`campaign resume` lets it go on"
SAID_ONCE = timedelta(minutes=10)
CALM_GAP_US = 500_000  # a pace slower than two a second needs one connection only

Told = Callable[[Parcel, Result], None]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asked of a sending run."""

    command: str
    most: int | None = None
    only: Collection[str] | None = None
    follow: bool = False
    now: bool = False
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that is written down: its number, the limits that hold, the key of the recipients' names; until
    when (microseconds) the relay is left alone, and why."""

    run: int
    limits: Limits
    hash_key: bytes
    hold: tuple[int, str] | None = None


class Sending:
    """One run over an open, locked, planned world."""

    def __init__(
        self, place: Place, world: World, compose: Compose, wishes: Wishes, *, told: Told | None = None
    ) -> None:
        self._place = place
        self._world = world
        self._composer = compose
        self._wishes = wishes
        self._told = told
        self.progress = Progress()
        self.notes: list[str] = []
        self._goes_on_at: datetime | None = None  # said when the relay was to be left alone
        self._unrecorded: tuple[Result, ...] = ()  # what happened and could not be written down

    def go(self, watching: AbstractContextManager[None] | None = None) -> Summary:
        """Send, until nothing is left to do now. Raises CampaignError for what stops it before it begins.

        ``watching`` is entered for as long as letters go; it may start threads.
        """
        watching = watching or nullcontext()
        try:
            login = credentials(self._place.settings)
            begun = self._begin()
            if isinstance(begun, Summary):
                return begun
            number = self._number_of_processes(begun.limits)
            if number > 1:
                return self._send_in_processes(begun, login, number, watching)
            with watching:
                return loop.run(self._run(begun, partial(self._send, begun, login)))
        except BaseException:
            tell_unrecorded(self._unrecorded)  # there is no summary to say it
            raise

    # -- the run

    def _begin(self) -> Begun | Summary:
        """Write down that a run begins; the summary where there is nothing to do, or it may not be done."""
        place, world, settings = self._place, self._world, self._place.settings
        limits = effective_limits(settings)
        now_us = to_us(place.clock.now())
        if why := is_paused(world):
            return self._finish(None, Stop(f"all sending is paused: {why}", ExitCode.WAITING, RESUME))
        with world.campaign.writing() as connection:
            if self._wishes.now:
                queue.make_due(connection, now_us=now_us)
            due = queue.count_due(connection, now_us=now_us, only=self._wishes.only)
            self.progress.total = min(due, self._wishes.most if self._wishes.most is not None else due)
        with world.common.writing() as connection:
            ledger.forget(connection, now_us=now_us)
            hash_key = shared.shared_secret(connection)
            if self._wishes.now:
                ledger.lift(connection, settings.relay.account)
            held = ledger.held(connection, [settings.relay.account], now_us=now_us)
        if not self.progress.total and not self._wishes.follow:
            return self._finish(None, None)
        hold = held.get(settings.relay.account)
        if hold is not None and not self._wishes.follow:
            return self._finish(None, _held(hold, self._place.settings.timezone))
        run_id = begin_run(
            world,
            command=self._wishes.command,
            relay=settings.relay.name,
            limits=show_limits(limits),
            clock=place.clock,
        )
        return Begun(run_id, limits, hash_key, hold)

    async def _run(self, begun: Begun, sent: Callable[[Ender], Awaitable[Outcome]]) -> Summary:
        """Send, and write down what came of it; signals end the sending and never the program."""
        with Interrupts() as interrupts:
            outcome = await sent(interrupts)
            self._unrecorded = outcome.unrecorded
            self.notes += outcome.notes
            self._remember_manner(outcome.manner)
            self._trust_again(outcome.mistrusted)
            return self._finish(begun.run, outcome.stop)

    # -- several processes

    def _number_of_processes(self, limits: Limits) -> int:
        """Return how many there are to be: one where letters are counted, or go one by one."""
        if self._wishes.most is not None or self._wishes.only is not None or self._world.several:
            return 1
        return min(self._wishes.processes, self._sessions(limits))

    def _send_in_processes(
        self, begun: Begun, login: Credentials | None, number: int, watching: AbstractContextManager[None]
    ) -> Summary:
        """Start the processes, listen to them, and finish for them."""
        parts = shares(number, self._sessions(begun.limits))
        with taking_turns(self._world) as words, Processes(self.progress) as processes:
            processes.start(parts, partial(self._be_child, begun, login, words))
            with watching:
                return loop.run(self._run(begun, partial(self._listen, begun.run, processes)))

    async def _listen(self, run: int, processes: Processes, ender: Ender) -> Outcome:
        """Wait for the end of all processes; find what those left open that were killed."""
        stop = await ender.until_done(processes)
        outcome = processes.outcome(stop)
        if outcome.lost_output:
            lose_output()
        if not processes.dead:
            return outcome
        with self._world.campaign.writing() as connection:
            queue.recover(connection, now_us=to_us(self._place.clock.now()), run=run)
            self.progress.sent = history.ended_in(connection, run, State.SENT)
            self.progress.failed = history.ended_in(connection, run, State.FAILED)
        return replace(outcome, notes=(*outcome.notes, *map(death_words, processes.dead)))

    def _be_child(
        self, begun: Begun, login: Credentials | None, words: Path, share: Share, line: Line
    ) -> None:
        """Send one share, in a process of its own, and report how it ended."""
        child = Child(line, self.progress, clock=self._place.clock)
        if self._told is not None:
            self._told = in_whole_lines(self._told, words)
        try:
            outcome = loop.run(self._send_share(begun, login, share, child))
        except CampaignError as trouble:
            outcome = self._broken_off(trouble)
        except Exception as fault:
            outcome = self._broken_off(as_fault(fault))
        child.end(replace(outcome, lost_output=lost_output()))

    async def _send_share(
        self, begun: Begun, login: Credentials | None, share: Share, child: Child
    ) -> Outcome:
        with child:
            return await self._send(begun, login, child, share=share, child=child)

    def _broken_off(self, trouble: CampaignError) -> Outcome:
        """Return the outcome of a process that an error ended."""
        stop = Stop(trouble.message, trouble.exit_code, trouble.hint)
        return Outcome(stop, notes=tuple(self.notes), unrecorded=self._unrecorded)

    # -- wiring

    async def _relay(self, stack: AsyncExitStack) -> Relay:
        """Return the relay to speak to; the sandbox's is started here."""
        relay = self._place.settings.relay
        if relay.kind is not RelayKind.SANDBOX:
            return relay
        from pipeline.delivery.sandbox import sandbox_relay

        port = await stack.enter_async_context(sandbox_relay(self._world.outbox))
        return replace(relay, kind=RelayKind.SMTP, host="127.0.0.1", port=port)

    def _hosting(self, begun: Begun) -> Hosting | None:
        """Return what the run has to do with those on other hosts; None where there can be none."""
        if not self._world.several:
            return None
        from pipeline.cli.hosting import Hosting

        return Hosting(
            self._world, self._place.clock, begun.limits, run=begun.run, follow=self._wishes.follow
        )

    def _stock(self, journal: Journal, rules: Rules, share: Share, hosting: Hosting | None) -> StoreStock:
        """Return where letters come from: batches where several hosts send, unless some are asked for."""
        if hosting is not None and self._wishes.only is None:
            return hosting.stock(journal, rules)
        return StoreStock(
            self._world.campaign,
            self._world.common,
            journal,
            clock=self._place.clock,
            only=self._wishes.only,
            share=(share.which, share.of),
        )

    def _sessions(self, limits: Limits) -> int:
        """Return how many connections the run is to have."""
        connections = self._place.settings.relay.connections
        calm = isinstance(limits.relay, Pace) and limits.relay.gap_us >= CALM_GAP_US
        return 1 if calm else max(1, min(connections, self.progress.total or connections))

    def _rules(self, begun: Begun, sessions: int) -> Rules:
        settings = self._place.settings
        return Rules(
            relay=settings.relay.account,
            limits=begun.limits,
            recipient_name=lambda key: suppression_hash(begun.hash_key, key),
            zone=settings.timezone,
            expires=settings.expires,
            follow=self._wishes.follow,
            sessions=sessions,
            most=self._wishes.most,
        )

    async def _send(
        self,
        begun: Begun,
        login: Credentials | None,
        ender: Ender,
        *,
        share: Share | None = None,
        child: Child | None = None,
    ) -> Outcome:
        """Send what is due, or one ``share`` of it as the ``child`` that this process is."""
        place, world, settings = self._place, self._world, self._place.settings
        share = share or Share(0, 1, self._sessions(begun.limits))
        hosting = self._hosting(begun)
        journal = Journal(
            world.campaign,
            world.common,
            run=begun.run,
            clock=place.clock,
            keep_bytes=settings.keep_bytes,
            patient=hosting is not None,
        )
        rules = self._rules(begun, share.sessions)
        stock = self._stock(journal, rules, share, hosting)
        feed = Feed(stock, rules, clock=place.clock, progress=self.progress)
        if begun.hold is not None:  # a run that follows waits for it
            until = from_us(begun.hold[0])
            feed.leave_relay(until, begun.hold[1])
            self._say_when(until, begun.hold[1])
        desk = SendingDesk(
            journal,
            feed,
            schedule=settings.schedule,
            clock=place.clock,
            dice=place.dice,
            progress=self.progress,
            hold_relay=partial(self._hold_relay, child),
            told=self._told,
        )
        async with AsyncExitStack() as stack:
            stack.callback(journal.close)  # whatever ends the run, and before the store is let go
            relay = await self._relay(stack)
            opener = Opener(relay, credentials=login, clock=place.clock, dice=place.dice)
            run = Run(
                feed=feed,
                desk=desk,
                opening=child.gate(opener) if child else opener,
                packing=self._packing(relay),
                progress=self.progress,
                unsendable=self._unsendable,
                manner=self._manner(),
                connections=share.sessions,
            )
            if child is not None:
                child.feed = feed
            if hosting is not None:
                await stack.enter_async_context(hosting.at_work(feed))
            stop = await self._write_while(journal, ender.until_done(run))
        return Outcome(
            stop,
            notes=(*self.notes, *desk.advice),
            unrecorded=self._unrecorded,
            manner=run.manner,
            mistrusted=tuple(desk.mistrusted),
            suppressed=desk.suppressed_in_a_row,
        )

    async def _write_while(self, journal: Journal, going: Coroutine[Any, Any, Stop | None]) -> Stop | None:
        """Keep the journal writing until the run is done and all is written."""
        writing = asyncio.create_task(journal.write_for_ever())
        try:
            return await going
        finally:
            journal.patient = False
            self._unrecorded = await journal.flush()  # whatever ended the run, what was answered is a fact
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    def _trust_again(self, keys: Sequence[str]) -> None:
        """Take back suppressions made on the word of a relay that refused one address after another."""
        if keys:
            with self._world.common.writing() as connection:
                secret = shared.shared_secret(connection)
                for key in keys:
                    shared.lift(connection, suppression_hash(secret, key))

    def _manner(self) -> Manner:
        """Return how to put commands on the wire: as told, or as this relay has turned out to like it."""
        settings = self._place.settings
        with self._world.campaign.reading() as connection:
            learnt = operator.read_meta(connection, f"manner {settings.relay.account}")
        return Manner(learnt) if learnt and settings.relay.pipelining is Pipelining.AUTO else manner(settings)

    def _remember_manner(self, last: Manner | None) -> None:
        if last is not None and last is not self._manner():
            name = f"manner {self._place.settings.relay.account}"
            with self._world.campaign.writing() as connection:
                operator.write_meta(connection, name, str(last))

    def _packing(self, relay: Relay) -> Packing:
        settings, secret = self._place.settings, self._world.secret
        pieces = settings.return_path.split("{token}")

        def token(letter: Letter) -> str:
            return letter_token(letter.id, secret)

        def return_path(letter: Letter) -> str:
            return token(letter).join(pieces) if len(pieces) > 1 else pieces[0]

        return Packing(
            compose=self._composer,
            return_path=return_path,
            envelope_id=token,
            eightbit=relay.encoding is BodyEncoding.EIGHT_BIT,
        )

    # -- what happens on the way

    def _unsendable(self, letter: Letter, state: State, why: str) -> None:
        with self._world.campaign.writing() as connection:
            if state is State.PLANNED:
                approvals.withhold(connection, [approvals.Withheld(letter.id, why, changed=True)])
            else:
                queue.take_out(connection, [letter.id], state, why=why, now_us=to_us(self._place.clock.now()))
        self.notes.append(f"row {letter.line}: not sent: {why}")

    def _hold_relay(self, child: Child | None, duration: timedelta, why: str) -> None:
        until = self._place.clock.now() + duration
        with self._world.common.writing() as connection:
            ledger.hold(connection, self._place.settings.relay.account, until_us=to_us(until), why=why)
        if self._wishes.follow:
            self._say_when(until, f"its quota is used up: {why}")
        elif child is not None:
            child.has_held_relay()

    def _say_when(self, until: datetime, why: str) -> None:
        """Say that a run that follows waits, and until when; once for what several connections were told."""
        if self._goes_on_at is not None and until - self._goes_on_at < SAID_ONCE:
            return
        self._goes_on_at = until
        opens = local_moment(until, self._place.settings.timezone)
        err(visible(f"the relay is left alone until {opens}, then this goes on: {why}"))

    # -- the end

    def _finish(self, run_id: int | None, stop: Stop | None) -> Summary:
        place, world, progress = self._place, self._world, self.progress
        now_us = to_us(place.clock.now())
        with world.campaign.reading() as connection:
            counts = history.counts(connection, now_us=now_us)
            changed = approvals.count_withheld(connection).changed
        summary = Summary(progress, stop, counts, tuple(self.notes), self._unrecorded, changed)
        if run_id is not None:
            end_run(
                world,
                run_id,
                sent=progress.sent,
                failed=progress.failed,
                deferred=progress.deferred,
                exit_code=int(summary.exit_code),
                clock=place.clock,
            )
            note_progress(world, clock=place.clock)
        return summary


def _held(hold: tuple[int, str], zone: tzinfo) -> Stop:
    until_us, why = hold
    return Stop(
        f"the relay is left alone until {from_us(until_us).astimezone(zone):%Y-%m-%d %H:%M %Z}: {why}",
        ExitCode.WAITING,
        "`campaign send --now` tries all the same",
    )


def is_paused(world: World) -> str:
    """Return why the operator stopped all sending; "" when he did not."""
    with world.campaign.reading() as connection:
        return operator.read_meta(connection, "paused")
