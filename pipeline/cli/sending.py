"""One run of sending, wired: the parts that `send` and `run` share.

lock ── recover ── plan ── (release) ── Sending.go ── summary
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta, tzinfo
from typing import TYPE_CHECKING

from pipeline.cli import loop, unchanged
from pipeline.cli.access import credentials, manner
from pipeline.cli.folder import Checked
from pipeline.cli.interrupts import Interrupts
from pipeline.cli.pacing import effective_limits, show_limits
from pipeline.cli.place import Place
from pipeline.cli.summing import Summary, tell_unrecorded
from pipeline.cli.unchanged import Found
from pipeline.clock import from_us, to_us
from pipeline.config import InDoubt
from pipeline.delivery.compose import Composer
from pipeline.delivery.connect import Credentials, Opener
from pipeline.delivery.desk import SendingDesk
from pipeline.delivery.dispatch import Run
from pipeline.delivery.letter import Letter, Parcel, Result, State
from pipeline.delivery.limits import Limits, Pace
from pipeline.delivery.parcel import Packing
from pipeline.delivery.plan import plan_letters
from pipeline.delivery.relay import BodyEncoding, Pipelining, Relay, RelayKind
from pipeline.delivery.rules import Rules
from pipeline.delivery.session import Manner
from pipeline.delivery.supply import Feed, Progress, Stop
from pipeline.errors import ExitCode, Unusable
from pipeline.mail.identity import letter_token
from pipeline.recipients.suppression import suppression_hash
from pipeline.store import history, ledger, operator, planning, queue, shared
from pipeline.store.journal import Journal
from pipeline.store.stock import StoreStock
from pipeline.store.world import (
    World,
    accept_place,
    begin_run,
    end_run,
    note_progress,
    why_not_here,
)

if TYPE_CHECKING:
    from pipeline.store.database import Connection

RESUME = "`campaign resume` lets it go on"
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


def prepare(place: Place, world: World, found: Found) -> None:
    """Find what an earlier run left open, and bring the letters in line with the list, unless they are. Call
    it with the lock held.

    Raises Unusable when this store may not be the one in use.
    """
    if why := why_not_here(world):
        raise Unusable(
            f"this campaign's store may have been sent from elsewhere: {why}",
            "it could send letters twice; if this is the one to go on with, say so: `campaign resume`",
        )
    accept_place(world, clock=place.clock)
    now_us = to_us(place.clock.now())
    freed = no_longer_suppressed(world)
    with world.campaign.writing() as connection:
        queue.recover(connection, now_us=now_us)
        settle_standing_orders(place, connection, freed=freed, now_us=now_us)
        if found.checked is not None:
            bring_in_line(place, world, found.checked, connection, now_us=now_us)
            unchanged.remember(place, connection, found.checked, found.files)


def no_longer_suppressed(world: World) -> list[int]:
    """Return the suppressed letters whose address may be written to again."""
    with world.campaign.reading() as connection:
        keys = queue.recipients_in(connection, State.SUPPRESSED)
    if not keys:
        return []
    with world.common.reading() as connection:
        barred = shared.suppressed(connection, set(keys.values()), shared.shared_secret(connection))
    return [letter for letter, key in keys.items() if key not in barred]


def settle_standing_orders(
    place: Place, connection: Connection, *, freed: Collection[int], now_us: int
) -> None:
    """Do what settings and suppressions say of letters, whatever the list says, in the caller's transaction.

    ``freed`` are the suppressed letters whose address may be written to again.
    """
    if place.settings.in_doubt is InDoubt.RESEND:
        operator.resend_doubts(connection, now_us=now_us)
    operator.plan_again(connection, freed, now_us=now_us)


def bring_in_line(
    place: Place, world: World, checked: Checked, connection: Connection, *, now_us: int
) -> planning.Planning:
    """Bring the letters in line with the list, in the caller's transaction."""
    settings = place.settings
    planned = plan_letters(
        checked.recipients(),
        campaign=settings.key,
        author_domain=settings.author.address.domain,
        secret=world.secret,
    )
    return planning.plan(connection, planned, campaign=settings.key, now_us=now_us)


class Sending:
    """One run over an open, locked, planned world."""

    def __init__(
        self, place: Place, world: World, composer: Composer, wishes: Wishes, *, told: Told | None = None
    ) -> None:
        self._place = place
        self._world = world
        self._composer = composer
        self._wishes = wishes
        self._told = told
        self.progress = Progress()
        self.notes: list[str] = []
        self._unrecorded: tuple[Result, ...] = ()  # what happened and could not be written down

    def go(self) -> Summary:
        """Send, until nothing is left to do now. Raises CampaignError for what stops it before it begins."""
        try:
            return loop.run(self._go(credentials(self._place.settings)))
        except BaseException:
            tell_unrecorded(self._unrecorded)  # there is no summary to say it
            raise

    # -- wiring

    async def _go(self, login: Credentials | None) -> Summary:
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
        if hold := held.get(settings.relay.account):
            return self._finish(None, _held(hold, self._place.settings.timezone))
        run_id = begin_run(
            world,
            command=self._wishes.command,
            relay=settings.relay.name,
            limits=show_limits(limits),
            clock=place.clock,
        )
        journal = Journal(
            world.campaign, world.common, run=run_id, clock=place.clock, keep_bytes=settings.keep_bytes
        )
        with Interrupts() as interrupts:
            async with AsyncExitStack() as stack:
                relay = await self._relay(stack)
                rules = self._rules(relay, limits, hash_key)
                stop = await self._send(journal, relay, rules, login, interrupts)
            journal.close()
            return self._finish(run_id, stop)

    async def _relay(self, stack: AsyncExitStack) -> Relay:
        """Return the relay to speak to; the sandbox's is started here."""
        relay = self._place.settings.relay
        if relay.kind is not RelayKind.SANDBOX:
            return relay
        from pipeline.delivery.sandbox import sandbox_relay

        port = await stack.enter_async_context(sandbox_relay(self._world.outbox))
        return replace(relay, kind=RelayKind.SMTP, host="127.0.0.1", port=port)

    def _rules(self, relay: Relay, limits: Limits, hash_key: bytes) -> Rules:
        calm = isinstance(limits.relay, Pace) and limits.relay.gap_us >= CALM_GAP_US
        return Rules(
            relay=self._place.settings.relay.account,
            limits=limits,
            recipient_name=lambda key: suppression_hash(hash_key, key),
            zone=self._place.settings.timezone,
            expires=self._place.settings.expires,
            follow=self._wishes.follow,
            sessions=1 if calm else max(1, min(relay.connections, self.progress.total or relay.connections)),
            most=self._wishes.most,
        )

    async def _send(
        self,
        journal: Journal,
        relay: Relay,
        rules: Rules,
        login: Credentials | None,
        interrupts: Interrupts,
    ) -> Stop | None:
        place, world, settings = self._place, self._world, self._place.settings
        stock = StoreStock(world.campaign, world.common, journal, clock=place.clock, only=self._wishes.only)
        feed = Feed(stock, rules, clock=place.clock, progress=self.progress)
        desk = SendingDesk(
            journal,
            feed,
            schedule=settings.schedule,
            clock=place.clock,
            dice=place.dice,
            progress=self.progress,
            hold_relay=self._hold_relay,
            told=self._told,
        )
        opener = Opener(relay, credentials=login, clock=place.clock, dice=place.dice)
        run = Run(
            feed=feed,
            desk=desk,
            opening=opener,
            packing=self._packing(relay),
            progress=self.progress,
            unsendable=self._unsendable,
            manner=self._manner(),
            connections=rules.sessions,
        )
        writing = asyncio.create_task(journal.write_for_ever())
        try:
            stop = await interrupts.until_done(run)
        finally:
            self._unrecorded = await journal.flush()  # whatever ended the run, what was answered is a fact
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        self._remember_manner(run.manner)
        self._trust_again(desk.mistrusted)
        self.notes += desk.advice
        return stop

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

    def _remember_manner(self, last: Manner) -> None:
        if last is not self._manner():
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
            queue.take_out(connection, [letter.id], state, why=why, now_us=to_us(self._place.clock.now()))
        self.notes.append(f"row {letter.line}: not sent: {why}")

    def _hold_relay(self, duration: timedelta, why: str) -> None:
        until = to_us(self._place.clock.now() + duration)
        with self._world.common.writing() as connection:
            ledger.hold(connection, self._place.settings.relay.account, until_us=until, why=why)

    # -- the end

    def _finish(self, run_id: int | None, stop: Stop | None) -> Summary:
        place, world, progress = self._place, self._world, self.progress
        now_us = to_us(place.clock.now())
        with world.campaign.reading() as connection:
            counts = history.counts(connection, now_us=now_us)
        summary = Summary(progress, stop, counts, tuple(self.notes), self._unrecorded)
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
