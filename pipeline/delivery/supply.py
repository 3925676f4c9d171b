"""Which letter goes next, and when: the queue seen through limits, hours, opt-outs and the operator's word.

A `Feed` hands letters to sessions, each when its turn has come: every limit it falls under has been asked, in
the store, and has room. A letter that must wait is set aside, and others go first; what opens within this run
(a pace) is waited for, what does not (a quota, office hours, a held domain) is left for a later run and
counted - or waited for as well when the run follows. A slot of a pace is taken only when a session is waiting
for it, so a slow answer never makes two letters leave together.

Limits: at most 10,000 letters are set aside at a time; while that many wait, no further ones are looked at.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

from pipeline.clock import SECOND_US, Clock, from_us, to_us
from pipeline.delivery.hours import is_open, next_opening
from pipeline.delivery.letter import Letter, State
from pipeline.delivery.limits import Pace
from pipeline.delivery.rules import Refusal, Rules
from pipeline.delivery.stock import Stock
from pipeline.errors import ExitCode

READ_AHEAD = 250
SET_ASIDE_LIMIT = 10_000
READY_PER_SESSION = 2
READY_S = 0.2  # letters are made ready for so long ahead, at the pace at which they are taken
MOST_READY = 1_000
CONNECT_AHEAD_S = 5.0  # a session is opened this long before a slot it will need
LONGEST_IDLE_S = 30.0  # a connection is not kept open for a wait longer than this
ASK_AGAIN_S = 1.0  # opt-outs of letters that are ready and do not go are asked for this often
POLL_S = 1.0  # the operator's pause is looked for this often


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run ends before its queue does."""

    reason: str
    exit_code: ExitCode
    hint: str = ""


@dataclass(slots=True)
class Progress:
    """What a watcher may show; written by the run, read by anyone."""

    total: int = 0
    sent: int = 0
    failed: int = 0
    deferred: int = 0
    suppressed: int = 0
    in_doubt: int = 0
    expired: int = 0
    waiting: str = ""  # "limit relay 50/5m", while nothing can go
    waiting_until: datetime | None = None
    left_for_later: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        """Letters of this run about which all is known for now."""
        return self.sent + self.failed + self.deferred + self.suppressed + self.in_doubt + self.expired


class Feed:
    """Letters whose turn it is.

    One task runs `fill`; sessions call the rest. A letter goes fresh (read) -> cleared (hours, holds) ->
    ready (opt-outs asked, limits taken) -> handed out -> settled, or is set aside until a time.
    """

    def __init__(self, stock: Stock, rules: Rules, *, clock: Clock, progress: Progress) -> None:
        self._stock = stock
        self._rules = rules
        self._clock = clock
        self._progress = progress
        self._paced = rules.paced
        self._target = rules.sessions * READY_PER_SESSION  # letters to have ready
        self._asked_at = clock.monotonic()  # when opt-outs were asked for all that were ready
        self._counted = (clock.monotonic(), 0)  # when letters handed out were counted last, and how many
        self._fresh: deque[Letter] = deque()
        self._aside: list[tuple[int, int, Letter]] = []
        self._cleared: deque[Letter] = deque()
        self._ready: deque[Letter] = deque()
        self._unused: deque[Letter] = deque()  # were ready and will not go; their limits are to be given back
        self._order = 0
        self._blocked_until = 0.0  # monotonic, so that a clock set back does not make it longer
        self._slow_until = 0.0
        self._held_domains: dict[str, str] = {}
        self._handed = 0
        self._in_flight = 0
        self._waiters = 0
        self._idle = False  # `fill` has nothing to look at until a letter is settled
        self._exhausted = False  # nothing is known that could go in this run; letters in flight may come back
        self._finished = False
        self._used_up: Stop | None = None  # ends the run once the letters that had room have been handed out
        self._demand = asyncio.Event()  # for `fill`: somebody wants something, or something is settled
        self._news = asyncio.Event()  # for sessions: look again
        self.stop: Stop | None = None

    # -- for sessions

    async def next(self) -> Letter | None:
        """Wait for a letter's turn; None when that is too long for an open connection, or all is done."""
        self._waiters += 1
        asked: bool | None = None  # once is enough: `fill` and a session would wake each other for ever
        try:
            while (letter := self.next_now()) is None:
                if self.at_end():
                    return None
                slow = self._slow_seconds()
                if asked is not (slow > 0):
                    asked = slow > 0
                    self._demand.set()
                await self._look_again(slow or None)
        finally:
            self._waiters -= 1
        return letter

    def next_now(self) -> Letter | None:
        """Return a letter whose turn is now, if there is one."""
        may_go = self._ready and self.stop is None and not (self._slow_until and self._slow_seconds())
        return self._hand_out() if may_go else None

    def at_end(self) -> bool:
        """Say whether there is nothing to wait for, or only for too long to keep a connection open."""
        if self.stop is not None or max(self._slow_seconds(), self._seconds_ahead()) > LONGEST_IDLE_S:
            return True
        return not self._ready and (self._over or self._exhausted)

    def upcoming(self, most: int) -> list[Letter]:
        """Return the letters that will be handed out next, if nothing comes between."""
        return list(islice(self._ready, most))

    def give_back(self, letter: Letter) -> None:
        """Take back a letter of which nothing was said to the relay; its turn has come already."""
        self._in_flight -= 1
        self._handed -= 1
        self._ready.appendleft(letter)
        self._exhausted = False
        self._demand.set()
        self._tell()

    def settled(self) -> None:
        """Take note that what became of a handed-out letter is known, or that it will not go now."""
        self._in_flight -= 1
        if self._idle:
            self._demand.set()

    async def work_ahead(self) -> bool:
        """Wait until a session will be needed soon; False when there is nothing more to do in this run."""
        while self.stop is None and (self._ready or not self._over):
            ahead = self._slow_seconds() if self._ready else self._seconds_ahead()
            if (self._ready or self._cleared) and ahead <= CONNECT_AHEAD_S:
                return True
            await self._look_again(ahead - CONNECT_AHEAD_S if ahead > CONNECT_AHEAD_S else None)
        return False

    # -- for the desk

    def end(self, stop: Stop) -> None:
        """Hand out nothing more; the first reason stays."""
        self.stop = self.stop or stop
        self._demand.set()
        self._tell()

    def slow_down(self, seconds: float, why: str = "the relay") -> None:
        """Hand out nothing for a while: the relay is in trouble, or asked for less, or the store is away."""
        self._slow_until = max(self._slow_until, self._clock.monotonic() + seconds)
        self._progress.waiting = why
        self._demand.set()

    def leave_relay(self, until: datetime, reason: str, advice: str = "") -> None:
        """The relay is to be left alone: wait for that where the run follows, else end.

        Letters that were ready are looked at anew then: office hours may have ended, or the campaign.
        """
        if not self._rules.follow:
            hint = f"next try after {self._local(to_us(until))}"
            self.end(Stop(reason, ExitCode.WAITING, f"{advice}; {hint}" if advice else hint))
            return
        self._unused.extend(self._ready)
        self._ready.clear()
        self.slow_down((until - self._clock.now()).total_seconds())
        self._progress.waiting_until = until

    def hold_domain(self, domain: str, why: str) -> None:
        """Leave letters to a domain for a later run, those that are ready included."""
        self._held_domains[domain] = why
        self._unused.extend(letter for letter in self._ready if letter.domain == domain)
        self._ready = deque(letter for letter in self._ready if letter.domain != domain)
        self._demand.set()

    # -- the one task that fills

    async def fill(self) -> None:
        """Keep letters ready until there are none left for this run; then the feed is over."""
        try:
            while not self._over:
                if word := await self._stock.word():
                    self.end(Stop(f"paused: {word}", ExitCode.WAITING, "`campaign resume` lets it go on"))
                else:
                    await self._ask_again()
                    await self._fill_once()
        finally:
            self._finished = True
            if self.stop is not None:
                self._unused.extend(self._ready)
                self._ready.clear()
            await self._return_unused()
            self._tell()

    async def _fill_once(self) -> None:
        """Take one step: clear some letters, make some ready, or wait for whatever may come next."""
        returned = [one for one in await self._return_unused() if not await self._is_closed(one)]
        self._cleared.extendleft(reversed(returned))
        if self._used_up is not None:
            if not self._ready:
                self.end(self._used_up)
                return
            await self._wait_for_demand(POLL_S)
            return
        await self._clear(max(1, self._wanted()))
        if not self._cleared:
            await self._nothing_to_clear()
            return
        self._exhausted = False
        seconds = self._blocked_seconds()
        if seconds or not self._wanted():
            self._tell()
            await self._wait_for_demand(min(seconds or POLL_S, POLL_S))
            return
        batch = [self._cleared.popleft() for _ in range(min(self._wanted(), len(self._cleared)))]
        self._follow_pace()
        named = await self._without_opt_outs(
            [letter for letter in batch if not await self._is_closed(letter)]
        )
        if named:
            refusals = await self._stock.take([self._rules.claims(letter, name) for letter, name in named])
            self._cleared.extendleft(letter for letter, _ in reversed(named[len(refusals) :]))
            for (letter, _), refusal in zip(named, refusals, strict=False):
                self._grant(letter, refusal)
        self._tell()

    async def _ask_again(self) -> None:
        """Drop ready letters whose recipients opted out since: a relay may make them wait for long."""
        now = self._clock.monotonic()
        if not self._ready or now - self._asked_at < ASK_AGAIN_S:
            return
        self._asked_at = now
        named = [(letter, self._rules.recipient_name(letter.recipient_key)) for letter in self._ready]
        barred = await self._stock.suppressed([name for _, name in named])
        for letter, name in named if barred else ():
            if (why := barred.get(name)) and letter in self._ready:  # not handed out meanwhile
                self._ready.remove(letter)
                await self._stock.take_out([letter.id], State.SUPPRESSED, why)
                await self._stock.put_back(self._rules.claims(letter, name))
                self._progress.suppressed += 1

    async def _return_unused(self) -> list[Letter]:
        """Give back the limits of letters that were ready and will not go; return those letters."""
        letters = list(self._unused)
        self._unused.clear()
        for letter in letters:
            await self._stock.put_back(self._rules.claims(letter))
        return letters

    def _wanted(self) -> int:
        """How many more letters should be ready. A slot of a pace is taken only for a session that waits."""
        if self._paced:
            want = min(1, self._waiters - len(self._ready))
        else:
            want = self._target - len(self._ready) if self._is_low else 0
        if self._rules.most is not None:
            want = min(want, self._rules.most - self._handed - len(self._ready))
        return max(0, want)

    @property
    def _is_low(self) -> bool:
        """Whether it is time to make letters ready: in batches, for each costs two questions to the store."""
        return 2 * len(self._ready) <= self._target

    def _follow_pace(self) -> None:
        """Adapt how many letters to have ready: few at a slow relay, so that an opt-out is soon obeyed."""
        before, handed = self._counted
        now = self._clock.monotonic()
        if now > before:
            soon = int((self._handed - handed) / (now - before) * READY_S)
            self._target = max(self._rules.sessions * READY_PER_SESSION, min(soon, MOST_READY))
            self._counted = (now, self._handed)

    async def _clear(self, most: int) -> None:
        """Look at letters until ``most`` may go as far as hours, holds and expiry are concerned."""
        while len(self._cleared) < most and (letter := await self._draw()) is not None:
            if not await self._is_closed(letter):
                self._cleared.append(letter)

    async def _draw(self) -> Letter | None:
        """Return the next letter to look at: one set aside whose time has come, else of the queue."""
        if self._aside and self._aside[0][0] <= to_us(self._clock.now()):
            return heapq.heappop(self._aside)[2]
        if not self._fresh and len(self._aside) < SET_ASIDE_LIMIT:
            self._fresh.extend(await self._stock.read_due(READ_AHEAD))
        return self._fresh.popleft() if self._fresh else None

    async def _is_closed(self, letter: Letter) -> bool:
        """Say whether the letter cannot go now, and deal with it if so."""
        rules = self._rules
        if rules.expires is None and rules.limits.hours is None and not self._held_domains:
            return False
        now = self._clock.now()
        if rules.expires is not None and now >= rules.expires:
            await self._stock.take_out([letter.id], State.EXPIRED, "campaign.expires has passed")
            self._progress.expired += 1
            return True
        if why := self._held_domains.get(letter.domain):
            self._progress.left_for_later[f"{letter.domain} is left alone: {why}"] += 1
            return True
        hours = rules.limits.hours
        if hours is None:
            return False
        zone = hours.zone_for(
            recipient=ZoneInfo(letter.timezone) if letter.timezone else None, campaign=rules.zone
        )
        if is_open(hours, now, zone):
            return False
        self._later(letter, to_us(next_opening(hours, now, zone)), "office hours (limits.hours)")
        return True

    async def _without_opt_outs(self, letters: list[Letter]) -> list[tuple[Letter, str]]:
        """Drop letters to addresses that must not be written to; asked as late as can be.

        Return the others with the names that stand for their recipients in the store.
        """
        named = [(letter, self._rules.recipient_name(letter.recipient_key)) for letter in letters]
        barred = await self._stock.suppressed([name for _, name in named]) if named else {}
        if not barred:
            return named
        for letter, name in named:
            if why := barred.get(name):
                await self._stock.take_out([letter.id], State.SUPPRESSED, why)
                self._progress.suppressed += 1
        return [(letter, name) for letter, name in named if name not in barred]

    def _grant(self, letter: Letter, refusal: Refusal | None) -> None:
        """Make a letter ready, or let it wait for the limit that refused it."""
        if refusal is None:
            held = letter.domain in self._held_domains  # since it was looked at
            (self._unused if held else self._ready).append(letter)
            return
        claim, paced = refusal.claim, isinstance(refusal.claim.limit, Pace)
        if claim.run_wide and (paced or self._rules.follow):
            self._cleared.appendleft(letter)
            wait = (refusal.opens_us - to_us(self._clock.now())) / SECOND_US
            self._blocked_until = max(self._blocked_until, self._clock.monotonic() + wait)
            self._progress.waiting = claim.label
        elif claim.run_wide:
            self._cleared.appendleft(letter)
            opens = f"there is room again at {self._local(refusal.opens_us)}"
            self._used_up = Stop(f"{claim.label} is used up", ExitCode.WAITING, opens)
        elif paced:
            self._set_aside(letter, refusal.opens_us, claim.label)
        else:
            self._later(letter, refusal.opens_us, claim.label)

    def _later(self, letter: Letter, opens_us: int, label: str) -> None:
        """Something this run does not wait for, unless it follows."""
        if self._rules.follow:
            self._set_aside(letter, opens_us, label)
        else:
            self._progress.left_for_later[f"{label}, from {self._local(opens_us)}"] += 1

    def _local(self, moment_us: int) -> str:
        return f"{from_us(moment_us).astimezone(self._rules.zone):%Y-%m-%d %H:%M %Z}"

    def _set_aside(self, letter: Letter, opens_us: int, label: str) -> None:
        self._order += 1
        heapq.heappush(self._aside, (opens_us, self._order, letter))
        self._progress.waiting = label

    async def _nothing_to_clear(self) -> None:
        """Wait for a letter set aside, for one in flight to come back - or see that all is done."""
        self._idle = True
        try:
            await self._wait_for_more()
        finally:
            self._idle = False

    async def _wait_for_more(self) -> None:
        if self._aside:
            self._tell()
            await self._wait_for_demand(min(self._seconds_ahead(), POLL_S))
            return
        under_way = self._under_way  # before and after: a letter may be handed out or settled meanwhile
        await self._stock.settle()
        self._fresh.extend(await self._stock.read_due(READ_AHEAD))
        self._exhausted = not self._fresh
        self._tell()
        if self._fresh:
            return
        if under_way or self._under_way:
            await self._wait_for_demand(POLL_S)
        elif self._rules.follow and (due := await self._stock.next_due()) is not None:
            self._progress.waiting, self._progress.waiting_until = "letters that are due later", due
            self._stock.from_the_start()
            await self._wait_for_demand(POLL_S)
        else:
            self._finished = True

    @property
    def _under_way(self) -> int:
        """Letters handed out, or about to be, that may yet come back."""
        return self._in_flight + len(self._ready) + len(self._unused)

    def _slow_seconds(self) -> float:
        """Seconds until the relay's trouble is thought to be over."""
        return max(0.0, self._slow_until - self._clock.monotonic())

    def _blocked_seconds(self) -> float:
        """Seconds until the run as a whole may hand out a letter again."""
        return max(self._slow_seconds(), self._blocked_until - self._clock.monotonic())

    def _seconds_ahead(self) -> float:
        """Seconds until a letter can go, as far as is known; 0 when it may be now."""
        seconds = self._blocked_seconds()
        now_us = to_us(self._clock.now())
        if self._aside and not (self._fresh or self._cleared or self._ready):
            seconds = max(seconds, (self._aside[0][0] - now_us) / SECOND_US)
        if seconds > 0:
            self._progress.waiting_until = from_us(now_us + int(seconds * SECOND_US))
        return seconds

    @property
    def _over(self) -> bool:
        return self._finished or self.stop is not None or self._all_handed_out

    @property
    def _all_handed_out(self) -> bool:
        most = self._rules.most
        return most is not None and self._handed >= most

    def _hand_out(self) -> Letter:
        self._handed += 1
        self._in_flight += 1
        self._progress.waiting, self._progress.waiting_until = "", None
        if self._paced or 2 * (len(self._ready) - 1) <= self._target:
            self._demand.set()
        if self._all_handed_out:
            self._tell()
        return self._ready.popleft()

    # -- waking

    def _tell(self) -> None:
        """Let every waiting session look again."""
        event, self._news = self._news, asyncio.Event()
        event.set()

    async def _look_again(self, seconds: float | None = None) -> None:
        """Wait for news, at most ``seconds``."""
        timer = self._clock.call_later(max(seconds, 0.01), self._tell) if seconds is not None else None
        try:
            await self._news.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def _wait_for_demand(self, seconds: float) -> None:
        """Wait until somebody wants something, at most ``seconds``."""
        timer = self._clock.call_later(max(seconds, 0.001), self._demand.set)
        try:
            await self._demand.wait()
        finally:
            timer.cancel()
            self._demand.clear()
