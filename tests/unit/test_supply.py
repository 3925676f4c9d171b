"""Which letter goes next, and when: the feed over a stock in memory, with the clock in the test's hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from pipeline.clock import to_us
from pipeline.delivery.hours import parse_hours
from pipeline.delivery.letter import Letter, State
from pipeline.delivery.limits import (
    Bucket,
    Limits,
    Pace,
    Quota,
    grant_quota,
    grant_slots,
    mended_free_at,
)
from pipeline.delivery.rules import Claim, Refusal, Rules
from pipeline.delivery.supply import Feed, Progress, Stop
from pipeline.errors import ExitCode
from tests.clocks import START, FakeClock

NO_LIMITS = Limits(per_recipient=None)


def letter(number: int, domain: str = "office.example", *, timezone: str = "", attempts: int = 0) -> Letter:
    """Return a queued letter."""
    name = f"person{number}@{domain}"
    return Letter(
        id=number, message_id="", recipient_key=name, email=name, domain=domain, language="en",
        timezone=timezone, attempts=attempts, deferrals=0, line=number, values={},
    )  # fmt: skip


class MemoryStock:
    """A queue and a ledger in memory."""

    def __init__(self, clock: FakeClock, letters: Sequence[Letter]) -> None:
        self.clock = clock
        self.queue = list(letters)
        self.free_at: dict[str, int] = {}
        self.buckets: dict[str, tuple[Bucket, ...]] = {}
        self.barred: dict[str, str] = {}
        self.taken_out: dict[int, State] = {}
        self.due: datetime | None = None
        self.paused = ""

    async def read_due(self, most: int) -> list[Letter]:
        found, self.queue = self.queue[:most], self.queue[most:]
        return found

    def from_the_start(self) -> None:
        pass

    async def suppressed(self, names: Sequence[str]) -> dict[str, str]:
        return {name: self.barred[name] for name in names if name in self.barred}

    async def take(self, claims: Sequence[Sequence[Claim]]) -> list[Refusal | None]:
        answers: list[Refusal | None] = []
        for wanted in claims:
            answers.append(refusal := self._take(wanted))
            if refusal is not None and refusal.claim.run_wide:
                break
        return answers

    def _take(self, claims: Sequence[Claim]) -> Refusal | None:
        now_us = to_us(self.clock.now())
        changes = []
        for claim in claims:
            if isinstance(claim.limit, Pace):
                mended = mended_free_at(claim.limit, self.free_at.get(claim.name, 0), now_us=now_us)
                self.free_at[claim.name] = mended
                slots = grant_slots(claim.limit, mended, now_us=now_us, want=1)
                if not slots.count:
                    return Refusal(claim, slots.first_us)
                changes.append((self.free_at, claim.name, slots.free_at_us))
            else:
                grant = grant_quota(claim.limit, self.buckets.get(claim.name, ()), now_us=now_us, want=1)
                if not grant.count:
                    return Refusal(claim, grant.opens_us)
                self.buckets[claim.name] = grant.buckets
        for rows, name, value in changes:
            rows[name] = value
        return None

    async def put_back(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            if isinstance(claim.limit, Quota):
                *rows, newest = self.buckets[claim.name]
                self.buckets[claim.name] = (*rows, Bucket(newest.start_us, newest.count - 1))

    async def take_out(self, letters: Sequence[int], state: State, why: str) -> None:
        self.taken_out |= dict.fromkeys(letters, state)

    async def settle(self) -> None:
        pass

    async def next_due(self) -> datetime | None:
        return self.due

    async def word(self) -> str:
        return self.paused


class Stage:
    """A feed with its filler at work."""

    def __init__(self, letters: Sequence[Letter], limits: Limits = NO_LIMITS, **rules: object) -> None:
        self.clock = FakeClock()
        self.stock = MemoryStock(self.clock, letters)
        self.progress = Progress()
        plain = Rules(
            relay="relay", limits=limits, recipient_name=lambda key: key, zone=ZoneInfo("UTC"), sessions=1
        )
        self.feed = Feed(
            self.stock, replace(plain, **rules), clock=self.clock, progress=self.progress  # type: ignore[arg-type]
        )  # fmt: skip

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Feed]:
        """Let the filler work."""
        filler = asyncio.create_task(self.feed.fill())
        await quiet()
        try:
            yield self.feed
        finally:
            filler.cancel()
            await asyncio.gather(filler, return_exceptions=True)

    async def passes(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass, in steps small enough for everybody to look."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            await quiet()


async def quiet() -> None:
    """Let everybody do what there is to do now."""
    for _ in range(30):
        await asyncio.sleep(0)


async def drain(feed: Feed) -> list[int]:
    """Take every letter, each settled before the next; return their numbers."""
    out = []
    while (found := await feed.next()) is not None:
        out.append(found.id)
        feed.settled()
    return out


# -- without limits


async def test_every_letter_once_and_in_order() -> None:
    """What is due goes out in the order of the queue, and then the feed is over."""
    stage = Stage([letter(n) for n in range(1, 251)])
    async with stage.open() as feed:
        assert await feed.work_ahead()
        assert await drain(feed) == list(range(1, 251))
        assert not await feed.work_ahead()


async def test_empty_queue_ends_at_once() -> None:
    """Nothing due: no session is needed."""
    async with Stage([]).open() as feed:
        assert not await feed.work_ahead()
        assert await feed.next() is None


async def test_letter_that_comes_back_goes_again_in_this_run() -> None:
    """While a letter is in flight the feed is not over: it may come back."""
    stage = Stage([letter(1)])
    async with stage.open() as feed:
        assert await feed.next() is not None
        stage.stock.queue.append(letter(1, attempts=1))
        feed.settled()
        await quiet()
        assert await feed.work_ahead()
        again = await feed.next()
        assert again is not None
        assert again.attempts == 1
        feed.settled()
        await quiet()
        assert not await feed.work_ahead()


async def test_feed_does_not_end_while_a_letter_passes_from_the_queue_to_a_session() -> None:
    """A letter handed out while the filler asks the store is under way, though it was not before."""
    stage = Stage([letter(1)])
    asked, answer = asyncio.Event(), asyncio.Event()

    async def settle() -> None:
        asked.set()
        await answer.wait()

    stage.stock.settle = settle  # type: ignore[method-assign]
    async with stage.open() as feed:
        await asked.wait()
        assert await feed.next() is not None
        answer.set()
        await quiet()
        stage.stock.queue.append(letter(1, attempts=1))
        feed.settled()
        await quiet()
        assert await feed.work_ahead()


async def test_letter_given_back_is_next() -> None:
    """Its turn has come already."""
    stage = Stage([letter(n) for n in (1, 2, 3)])
    async with stage.open() as feed:
        first = await feed.next()
        assert first is not None
        feed.give_back(first)
        assert await drain(feed) == [1, 2, 3]


async def test_given_back_after_the_last_letter_the_feed_goes_on() -> None:
    """With a number of letters to send, one given back does not count as sent."""
    stage = Stage([letter(n) for n in (1, 2, 3)], most=1)
    async with stage.open() as feed:
        first = await feed.next()
        assert first is not None
        await quiet()
        feed.give_back(first)
        assert await feed.work_ahead()
        assert await drain(feed) == [1]


async def test_given_back_it_does_not_count_for_the_number() -> None:
    """Twenty letters are sent where twenty were asked for, although one of them was handed out twice."""
    stage = Stage([letter(n) for n in range(1, 25)], most=20)
    async with stage.open() as feed:
        first = await feed.next()
        assert first is not None
        feed.give_back(first)
        assert await drain(feed) == list(range(1, 21))


async def test_no_more_than_asked_for() -> None:
    """`--limit 2` hands out two."""
    stage = Stage([letter(n) for n in range(1, 10)], most=2)
    async with stage.open() as feed:
        assert await drain(feed) == [1, 2]
        assert not await feed.work_ahead()


async def test_next_now_does_not_wait() -> None:
    """It gives what is ready and no more."""
    stage = Stage([letter(1)])
    async with stage.open() as feed:
        assert feed.next_now() is not None
        assert feed.next_now() is None


async def test_that_it_is_at_its_end_is_known_while_the_last_letter_is_on_its_way() -> None:
    """So the connection that carries it can take its leave with it; a letter that comes back undoes that."""
    stage = Stage([letter(1), letter(2)])
    async with stage.open() as feed:
        assert await feed.next() is not None
        await quiet()
        assert not feed.at_end()
        last = feed.next_now()
        assert last is not None
        await quiet()
        assert feed.at_end()
        feed.give_back(last)
        assert not feed.at_end()


async def test_a_wait_too_long_for_an_open_connection_is_an_end() -> None:
    """The relay is left alone for a minute: `next` would not wait for that."""
    stage = Stage([letter(1), letter(2)])
    async with stage.open() as feed:
        feed.slow_down(30)
        assert not feed.at_end()
        feed.slow_down(31)
        assert feed.at_end()


# -- opt-outs, expiry, hours, the operator


async def test_barred_address_is_taken_out() -> None:
    """An opt-out that came after the letter was queued is honoured."""
    stage = Stage([letter(1), letter(2)])
    stage.stock.barred["person1@office.example"] = "optout: a reply"
    async with stage.open() as feed:
        assert await drain(feed) == [2]
    assert stage.stock.taken_out == {1: State.SUPPRESSED}
    assert stage.progress.suppressed == 1


async def test_opt_out_is_obeyed_while_letters_wait_for_a_slow_relay() -> None:
    """A letter that is ready and does not go is asked about again; what it had taken of a quota is given
    back."""
    limits = Limits(day=Quota(10, 86_400), per_recipient=None)
    stage = Stage([letter(1), letter(2), letter(3)], limits)
    async with stage.open() as feed:
        first = await feed.next()
        assert first is not None
        await quiet()
        assert [one.id for one in feed.upcoming(10)] == [2, 3]
        stage.stock.barred["person2@office.example"] = "optout: reply"
        await stage.passes(3)
        feed.settled()
        assert await drain(feed) == [3]
    assert stage.stock.taken_out == {2: State.SUPPRESSED}
    assert stage.progress.suppressed == 1
    assert sum(bucket.count for bucket in stage.stock.buckets["day relay"]) == 2


async def test_expired_campaign_sends_nothing() -> None:
    """From campaign.expires on letters are expired one by one."""
    stage = Stage([letter(1), letter(2)], expires=datetime(2027, 5, 3, tzinfo=UTC))
    async with stage.open() as feed:
        assert await drain(feed) == []
    assert stage.stock.taken_out == {1: State.EXPIRED, 2: State.EXPIRED}


async def test_office_hours_of_the_recipient() -> None:
    """At nine in UTC an office in New York is closed: its letter is left for later, with the hour."""
    limits = Limits(per_recipient=None, hours=parse_hours("Mon-Fri 09:00-17:00 recipient"))
    stage = Stage([letter(1, timezone="America/New_York"), letter(2, timezone="Europe/Madrid")], limits)
    async with stage.open() as feed:
        assert await drain(feed) == [2]
    assert dict(stage.progress.left_for_later) == {
        "office hours (limits.hours), from 2027-05-03 13:00 UTC": 1
    }


async def test_when_an_office_opens_is_told_on_the_campaigns_clock() -> None:
    """Nine in New York is three in the afternoon for who sends from Madrid."""
    limits = Limits(per_recipient=None, hours=parse_hours("Mon-Fri 09:00-17:00 recipient"))
    stage = Stage([letter(1, timezone="America/New_York")], limits, zone=ZoneInfo("Europe/Madrid"))
    async with stage.open() as feed:
        assert await drain(feed) == []
    assert list(stage.progress.left_for_later) == ["office hours (limits.hours), from 2027-05-03 15:00 CEST"]


async def test_following_run_waits_for_the_office_to_open() -> None:
    """With --follow the letter goes when the office opens."""
    limits = Limits(per_recipient=None, hours=parse_hours("Mon-Fri 09:00-17:00 recipient"))
    stage = Stage([letter(1, timezone="America/New_York")], limits, follow=True)
    async with stage.open() as feed:
        waiting = asyncio.create_task(feed.work_ahead())
        await stage.passes(4 * 3600 - 300, step=300)
        await stage.passes(290, step=1)
        assert not waiting.done()
        await stage.passes(20, step=1)
        assert await waiting
        assert await asyncio.wait_for(feed.next(), 5) is not None


async def test_a_run_ends_when_the_relay_is_to_be_left_alone() -> None:
    """When it may be tried again is said in the campaign's zone."""
    stage = Stage([letter(n) for n in range(1, 4)], zone=ZoneInfo("Europe/Madrid"))
    async with stage.open() as feed:
        feed.leave_relay(START + timedelta(hours=1), "its quota is used up", "raise it")
        assert await feed.next() is None
    assert feed.stop is not None
    assert (feed.stop.reason, feed.stop.exit_code) == ("its quota is used up", ExitCode.WAITING)
    opens = (START + timedelta(hours=1)).astimezone(ZoneInfo("Europe/Madrid"))
    assert feed.stop.hint == f"raise it; next try after {opens:%Y-%m-%d %H:%M %Z}"


async def test_a_following_run_waits_until_the_relay_may_be_spoken_to_again() -> None:
    """Nothing goes meanwhile, and everything goes then."""
    stage = Stage([letter(n) for n in range(1, 4)], follow=True)
    async with stage.open() as feed:
        feed.leave_relay(START + timedelta(hours=1), "its quota is used up")
        assert await feed.next() is None  # no connection is kept open for an hour
        assert feed.next_now() is None
        waiting = asyncio.create_task(feed.work_ahead())
        await stage.passes(3_590, step=10)
        assert not waiting.done()
        assert stage.progress.waiting_until is not None
        await stage.passes(10, step=1)
        assert await waiting
        assert await drain(feed) == [1, 2, 3]
    assert feed.stop is None


async def test_what_was_ready_before_the_wait_is_looked_at_anew() -> None:
    """An office that has closed meanwhile is not written to."""
    limits = Limits(per_recipient=None, hours=parse_hours("Mon-Fri 09:00-17:00 recipient"))
    stage = Stage([letter(1, timezone="Europe/Madrid")], limits, follow=True)
    async with stage.open() as feed:
        assert await feed.work_ahead()
        feed.leave_relay(START + timedelta(hours=12), "its quota is used up")
        await stage.passes(12 * 3_600 + 10, step=30)
        assert feed.next_now() is None
        assert stage.progress.waiting == "office hours (limits.hours)"


async def test_pause_ends_the_feed() -> None:
    """The operator's word is heard within a second."""
    stage = Stage([letter(n) for n in range(1, 10)])
    async with stage.open() as feed:
        stage.stock.paused = "wait for the lawyer"
        await stage.passes(1.5)
        assert feed.stop == Stop(
            "paused: wait for the lawyer", ExitCode.WAITING, "`campaign resume` lets it go on"
        )
        assert await feed.next() is None


async def test_nothing_goes_out_after_the_end() -> None:
    """A letter that was ready when the run was stopped stays in the queue."""
    stage = Stage([letter(n) for n in range(1, 10)])
    async with stage.open() as feed:
        assert feed.next_now() is not None
        feed.end(Stop("enough", ExitCode.INTERRUPTED))
        assert feed.next_now() is None
        assert await feed.next() is None
        assert not await feed.work_ahead()


async def test_first_reason_to_stop_stays() -> None:
    """What came later does not hide why."""
    feed = Stage([]).feed
    feed.end(Stop("first", ExitCode.RELAY_REFUSED))
    feed.end(Stop("second", ExitCode.INTERRUPTED))
    assert feed.stop == Stop("first", ExitCode.RELAY_REFUSED)


# -- backing off


async def test_nothing_goes_out_while_it_backs_off() -> None:
    """Letters that are ready wait too, and no connection is opened long before."""
    stage = Stage([letter(1), letter(2)])
    async with stage.open() as feed:
        feed.slow_down(20)
        assert feed.next_now() is None
        needed, waiting = asyncio.create_task(feed.work_ahead()), asyncio.create_task(feed.next())
        await stage.passes(14)
        assert not needed.done()
        await stage.passes(2)
        assert needed.done()
        assert not waiting.done()
        await stage.passes(5)
        assert waiting.done()


async def test_long_back_off_closes_the_connection() -> None:
    """Nobody holds a connection open for a minute of nothing."""
    stage = Stage([letter(1)])
    async with stage.open() as feed:
        feed.slow_down(60)
        assert await feed.next() is None


async def test_held_domain_is_left_alone_and_gets_its_quota_back() -> None:
    """Letters of the domain that were ready stay too; what they had taken of a quota is given back."""
    limits = Limits(day=Quota(10, 86_400), per_recipient=None)
    stage = Stage([letter(1), letter(2), letter(3, "other.example"), letter(4)], limits)
    async with stage.open() as feed:
        assert (first := await feed.next()) is not None
        assert first.id == 1
        await quiet()
        feed.hold_domain("office.example", "three refusals")
        feed.settled()
        assert await drain(feed) == [3]
    assert dict(stage.progress.left_for_later) == {"office.example is left alone: three refusals": 2}
    assert sum(bucket.count for bucket in stage.stock.buckets["day relay"]) == 2


async def test_domain_held_while_its_letters_are_made_ready() -> None:
    """Letters whose limits are being taken at that moment stay as well, and their quota is given back."""
    stage = Stage([letter(1), letter(2), letter(3, "other.example")], Limits(day=Quota(10, 86_400)))
    take = stage.stock.take

    async def held_meanwhile(claims: Sequence[Sequence[Claim]]) -> list[Refusal | None]:
        stage.feed.hold_domain("office.example", "three refusals")
        return await take(claims)

    stage.stock.take = held_meanwhile  # type: ignore[method-assign]
    async with stage.open() as feed:
        assert await drain(feed) == [3]
    assert dict(stage.progress.left_for_later) == {"office.example is left alone: three refusals": 2}
    assert sum(bucket.count for bucket in stage.stock.buckets["day relay"]) == 1


# -- limits


async def moments(stage: Stage, seconds: float, *, halfway: Callable[[], None] | None = None) -> list[float]:
    """Let one session take letters as they come; return the seconds at which it got them."""
    out: list[float] = []
    start = stage.clock.monotonic()

    async def take() -> None:
        while await stage.feed.work_ahead():
            while await stage.feed.next() is not None:
                out.append(stage.clock.monotonic() - start)
                stage.feed.settled()

    async with stage.open():
        task = asyncio.create_task(take())
        await quiet()
        await stage.passes(seconds / 2)
        if halfway is not None:
            halfway()
        await stage.passes(seconds / 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return out


async def test_relay_pace_spaces_letters_evenly() -> None:
    """6/m: ten seconds from one letter to the next, no burst."""
    stage = Stage([letter(n) for n in range(1, 6)], Limits(relay=Pace(6, 60), per_recipient=None))
    got = await moments(stage, 60)
    assert len(got) == 5
    assert all(10 <= later - before <= 11 for before, later in pairwise(got))


async def test_waiting_for_a_slot_is_no_work() -> None:
    """While nothing may go, the filler looks once a second; it and a waiting session do not keep waking each
    other."""
    stage = Stage([letter(n) for n in range(1, 4)], Limits(relay=Pace(6, 60), per_recipient=None))
    looks = 0
    word = stage.stock.word

    async def counted() -> str:
        nonlocal looks
        looks += 1
        return await word()

    stage.stock.word = counted  # type: ignore[method-assign]
    async with stage.open() as feed:
        assert await feed.next() is not None
        waiting = asyncio.create_task(feed.next())
        await quiet()
        looks = 0
        await quiet()
        assert looks == 0
        await stage.passes(10)
        assert await waiting is not None
        assert looks < 30


async def test_fault_38_clock_set_back_releases_no_burst() -> None:
    """An hour back in mid-run: at most a window of waiting, and the letters still leave one by one."""
    stage = Stage([letter(n) for n in range(1, 20)], Limits(relay=Pace(6, 60), per_recipient=None))
    got = await moments(stage, 240, halfway=lambda: stage.clock.set_back(3600))
    gaps = [later - earlier for earlier, later in pairwise(got)]
    assert all(gap >= 10 for gap in gaps)
    assert 10 <= max(gaps) <= 71
    assert len(got) >= 17


async def test_fault_38_suspended_for_an_hour_releases_no_burst() -> None:
    """After an hour of sleep one letter leaves at once, the next a whole gap later."""
    stage = Stage([letter(n) for n in range(1, 20)], Limits(relay=Pace(6, 60), per_recipient=None))
    got = await moments(stage, 120, halfway=lambda: stage.clock.advance(3600))
    assert len(got) >= 11
    assert all(later - earlier >= 10 for earlier, later in pairwise(got))


async def test_domain_pace_lets_other_domains_go_first() -> None:
    """A letter that must wait is set aside; the others do not wait for it."""
    letters = [letter(1, "a.example"), letter(2, "a.example"), letter(3, "b.example"), letter(4, "c.example")]
    stage = Stage(letters, Limits(per_domain=Pace(2, 60), per_recipient=None))
    async with stage.open() as feed:
        got = []
        task = asyncio.create_task(feed.next())
        for _ in range(200):
            await stage.passes(0.5)
            if task.done():
                found = await task
                if found is None:
                    break
                got.append(found.id)
                feed.settled()
                task = asyncio.create_task(feed.next())
            if len(got) == 4:
                break
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert got == [1, 3, 4, 2]


async def test_quota_used_up_ends_the_run() -> None:
    """3/day: three letters, then a stop that says when there is room again; the rest stays queued."""
    stage = Stage([letter(n) for n in range(1, 6)], Limits(day=Quota(3, 86_400), per_recipient=None))
    async with stage.open() as feed:
        assert await drain(feed) == [1, 2, 3]
        assert feed.stop is not None
        assert feed.stop.reason == "limit day 3/day is used up"
        assert feed.stop.exit_code is ExitCode.WAITING
        assert "there is room again at 2027-05-04 09:0" in feed.stop.hint


async def test_quota_of_a_recipient_leaves_that_letter_for_later() -> None:
    """The cap of one official does not stop the letters to others."""
    same = letter(2)._replace(recipient_key="person1@office.example")
    stage = Stage([letter(1), same, letter(3)], Limits(per_recipient=Quota(1, 86_400)))
    async with stage.open() as feed:
        assert await drain(feed) == [1, 3]
    (label,) = stage.progress.left_for_later
    assert label.startswith("limit per recipient 1/day, from 2027-05-04")


async def test_unused_quota_is_given_back_at_the_end() -> None:
    """Letters that were ready and did not go do not count against tomorrow."""
    stage = Stage([letter(n) for n in range(1, 6)], Limits(day=Quota(10, 86_400), per_recipient=None))
    filler = asyncio.create_task(stage.feed.fill())
    await quiet()
    assert stage.feed.next_now() is not None
    await quiet()
    stage.feed.end(Stop("enough", ExitCode.INTERRUPTED))
    await filler
    assert sum(bucket.count for bucket in stage.stock.buckets["day relay"]) == 1


async def test_slow_session_does_not_save_slots_up() -> None:
    """A slot is taken only for a session that waits: after a long answer letters still leave one by one."""
    stage = Stage([letter(n) for n in range(1, 6)], Limits(relay=Pace(6, 60), per_recipient=None))
    async with stage.open() as feed:
        assert await feed.next() is not None
        await stage.passes(60)
        assert feed.next_now() is None
        feed.settled()
        assert (await asyncio.wait_for(asyncio.gather(feed.next(), stage.passes(2)), 5))[0] is not None
        feed.settled()
        waiting = asyncio.create_task(feed.next())
        await stage.passes(7)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_following_run_waits_for_deferred_letters() -> None:
    """With --follow a letter that is due later is waited for."""
    stage = Stage([], follow=True)
    stage.stock.due = stage.clock.now() + timedelta(minutes=30)
    async with stage.open() as feed:
        needed = asyncio.create_task(feed.work_ahead())
        await stage.passes(60, step=1)
        assert not needed.done()
        stage.stock.queue.append(letter(1, attempts=1))
        await stage.passes(3, step=1)
        assert await needed


# -- the rows a letter falls under


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        (Limits(), ["recipient person1@office.example"]),
        (Limits(relay=Pace(1, 1), day=Quota(5, 86_400), per_recipient=None), ["relay relay", "day relay"]),
        (Limits(per_domain=Pace(1, 1), per_recipient=None), ["domain relay office.example"]),
        (Limits(per_domain=Pace(1, 1), domains={"x.example": Pace(9, 1)}, per_recipient=None),
         ["domain relay office.example"]),
        (NO_LIMITS, []),
    ],
)  # fmt: skip
def test_claims_of_a_letter(limits: Limits, names: list[str]) -> None:
    """Every limit is a row with a name of its own."""
    rules = Rules(relay="relay", limits=limits, recipient_name=lambda key: key, zone=ZoneInfo("UTC"))
    assert [claim.name for claim in rules.claims(letter(1))] == names


def test_a_recipient_is_named_by_half_of_the_hash() -> None:
    """So a row takes half the room, and who reads it learns no address."""
    rules = Rules(
        relay="relay", limits=Limits(), recipient_name=lambda _: "0123456789abcdef" * 4, zone=ZoneInfo("UTC")
    )
    (claim,) = rules.claims(letter(1))
    assert claim.name == "recipient " + "0123456789abcdef" * 2


def test_limit_of_a_named_domain_replaces_the_general_one() -> None:
    """[limits.domain] wins over per_domain."""
    limits = Limits(per_domain=Pace(1, 1), domains={"office.example": Pace(9, 1)}, per_recipient=None)
    rules = Rules(relay="relay", limits=limits, recipient_name=lambda key: key, zone=ZoneInfo("UTC"))
    assert [claim.limit for claim in rules.claims(letter(1))] == [Pace(9, 1)]
