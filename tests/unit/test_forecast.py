"""When letters leave: forecasts against times worked out by hand, and against the limits' own arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import MappingProxyType
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.clock import to_us
from pipeline.delivery.forecast import Passing, forecast
from pipeline.delivery.hours import parse_hours
from pipeline.delivery.limits import Bucket, Limits, Quota, grant_quota, parse_limit

MONDAY = datetime(2027, 5, 3, 9, 0, tzinfo=UTC)
ZONE = ZoneInfo("UTC")


def _letters(*domains: str, zone: str = "") -> list[Passing]:
    """Return a letter to another office for each domain."""
    return [Passing(f"{number}@{domain}", domain, zone) for number, domain in enumerate(domains)]


def _seconds(letters: Sequence[Passing], limits: Limits, now: datetime = MONDAY) -> list[float]:
    """Return when the letters leave, in seconds from now."""
    return [(moment - now).total_seconds() for moment in forecast(letters, limits, zone=ZONE, now=now)]


def _quota(text: str) -> Quota:
    limit = parse_limit(text)
    assert isinstance(limit, Quota)
    return limit


def test_without_limits_all_leave_now() -> None:
    """Only the relay sets the pace."""
    assert _seconds(_letters("a.example", "b.example"), Limits(per_recipient=None)) == [0, 0]


def test_no_letters_have_no_times() -> None:
    """An empty list is one."""
    assert _seconds([], Limits(relay=parse_limit("1/m"))) == []


def test_a_pace_is_even() -> None:
    """20/m is a letter every three seconds."""
    assert _seconds(_letters(*["a.example"] * 4), Limits(relay=parse_limit("20/m"))) == [0, 3, 6, 9]


def test_a_quota_lets_a_burst_go_and_then_waits_for_its_window() -> None:
    """2/h counts in buckets of 2.5 s: the third leaves an hour and a bucket after the first's began."""
    times = _seconds(_letters(*["a.example"] * 5), Limits(day=None, relay=parse_limit("2/h")))
    assert times == [0, 0, 3602.5, 3602.5, 7205]


def test_a_day_counts_over_twenty_four_hours_and_not_from_midnight() -> None:
    """1440 buckets a day: a minute each."""
    times = _seconds(_letters(*["a.example"] * 2), Limits(day=_quota("1/day")))
    assert times == [0, 86_400 + 60]


def test_letters_to_another_domain_overtake() -> None:
    """6/m to a domain is one in ten seconds; the other domain does not wait for it."""
    letters = _letters("a.example", "a.example", "b.example")
    assert _seconds(letters, Limits(per_domain=parse_limit("6/m"))) == [0, 10, 0]


def test_a_domain_of_its_own_has_its_own_limit() -> None:
    """`[limits.domain]` overrides per_domain."""
    own = MappingProxyType({"gmail.com": parse_limit("1/m")})
    limits = Limits(per_domain=parse_limit("6/m"), domains=own)
    assert _seconds(_letters("gmail.com", "gmail.com", "b.example", "b.example"), limits) == [0, 60, 0, 10]


def test_letters_to_one_recipient_are_capped() -> None:
    """Whoever they are from."""
    letters = [Passing("ada@a.example", "a.example", "")] * 2
    assert _seconds(letters, Limits(per_recipient=_quota("1/h"))) == [0, 3602.5]


def test_the_relays_pace_holds_everybody_up() -> None:
    """A letter that may overtake at its domain still waits for a slot of the relay."""
    letters = _letters("a.example", "a.example", "b.example")
    limits = Limits(relay=parse_limit("30/m"), per_domain=parse_limit("6/m"))
    assert _seconds(letters, limits) == [0, 10, 2]


def test_a_closed_office_does_not_hold_up_an_open_one() -> None:
    """Ten in London, five in New York, which opens in four hours and takes a slot of the relay then."""
    hours = parse_hours("Mon-Fri 09:00-17:00 recipient")
    letters = [
        Passing("1", "a.example", "America/New_York"),
        Passing("2", "b.example", "Europe/London"),
        Passing("3", "c.example", "Europe/London"),
    ]
    assert _seconds(letters, Limits(relay=parse_limit("6/m"), hours=hours)) == [4 * 3600, 0, 10]


def test_hours_reach_over_a_weekend() -> None:
    """Friday at five in the afternoon; Monday at nine is 64 hours away."""
    friday = MONDAY + timedelta(days=4, hours=8)
    hours = parse_hours("Mon-Fri 09:00-17:00 campaign")
    assert _seconds(_letters("a.example"), Limits(hours=hours), friday) == [64 * 3600]


def test_what_does_not_fit_into_a_day_goes_on_the_next_morning() -> None:
    """Three letters, one an hour from four o'clock on: two before five, one on Tuesday at nine."""
    four = MONDAY + timedelta(hours=7)
    limits = Limits(relay=parse_limit("1/30m"), hours=parse_hours("Mon-Fri 09:00-17:00 campaign"))
    assert _seconds(_letters("a.example", "b.example", "c.example"), limits, four) == [0, 1800, 17 * 3600]


def test_a_recipient_without_a_zone_has_the_campaigns() -> None:
    """As in a run."""
    hours = parse_hours("Mon-Fri 10:00-17:00 recipient")
    assert _seconds(_letters("a.example"), Limits(hours=hours)) == [3600]


def test_a_letter_that_waits_for_two_gates_leaves_when_both_are_open() -> None:
    """The second letter to a domain may go at 16:50 + 20 m, but the office has closed by then."""
    before_five = MONDAY + timedelta(hours=7, minutes=50)
    limits = Limits(per_domain=parse_limit("1/20m"), hours=parse_hours("Mon-Fri 09:00-17:00 campaign"))
    assert _seconds(_letters("a.example", "a.example"), limits, before_five) == [0, 16 * 3600 + 600]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.sampled_from(["h", "2h", "day"]), st.integers(1, 30))
def test_a_forecast_of_a_quota_is_what_the_store_would_grant(count: int, unit: str, letters: int) -> None:
    """Each moment has room by `grant_quota`, and no earlier one would have had."""
    quota = _quota(f"{count}/{unit}")
    buckets: tuple[Bucket, ...] = ()
    moments = forecast(
        _letters(*["a.example"] * letters), Limits(day=quota, per_recipient=None), zone=ZONE, now=MONDAY
    )
    now_us = to_us(MONDAY)
    for moment in moments:
        grant = grant_quota(quota, buckets, now_us=now_us, want=1)
        if not grant.count:
            now_us = grant.opens_us
            grant = grant_quota(quota, buckets, now_us=now_us, want=1)
        assert (grant.count, now_us) == (1, to_us(moment))
        buckets = grant.buckets


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=40), st.booleans())
def test_every_letter_leaves_once_and_no_limit_is_broken(domains: list[str], office_hours: bool) -> None:
    """Two letters are never closer than the relay's pace, two to a domain never closer than its own."""
    limits = Limits(
        relay=parse_limit("30/m"),
        per_domain=parse_limit("6/m"),
        hours=parse_hours("Mon-Fri 09:00-09:01 campaign") if office_hours else None,
    )
    times = _seconds(_letters(*domains), limits)
    assert len(times) == len(domains)
    assert all(later - earlier >= 2 for earlier, later in pairwise(sorted(times)))
    for name in set(domains):
        own = sorted(time for time, domain in zip(times, domains, strict=True) if domain == name)
        assert all(later - earlier >= 10 for earlier, later in pairwise(own))


@pytest.mark.parametrize("letters", [1, 20_000])
def test_a_long_list_is_forecast_letter_by_letter(letters: int) -> None:
    """A domain's queue is looked at from its head only, or this would take hours."""
    times = _seconds(_letters(*["gmail.com"] * letters), Limits(per_domain=parse_limit("10/s")))
    assert times[-1] == pytest.approx((letters - 1) / 10)
