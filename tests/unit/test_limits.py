"""Paces and quotas: words, and arithmetic that never lets more through than was asked for."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import SECOND_US
from pipeline.delivery.limits import (
    DAY_S,
    LARGEST_COUNT,
    Bucket,
    Limits,
    Pace,
    Quota,
    grant_quota,
    grant_slots,
    live_buckets,
    mended_free_at,
    next_slot,
    parse_limit,
    show_limit,
)

NOW = 1_800_000_000 * SECOND_US

paces = st.builds(Pace, st.integers(1, LARGEST_COUNT), st.integers(1, DAY_S))
quotas = st.builds(Quota, st.integers(1, LARGEST_COUNT), st.integers(1, 744).map(lambda hours: hours * 3600))


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("20/s", Pace(20, 1)),
        ("5/10s", Pace(5, 10)),
        ("10/m", Pace(10, 60)),
        ("50/5m", Pace(50, 300)),
        (" 50 / 5 m ", Pace(50, 300)),
        ("50/5M", Pace(50, 300)),
        ("20/h", Quota(20, 3600)),
        ("100/6h", Quota(100, 21600)),
        ("500/day", Quota(500, 86400)),
    ],
)
def test_a_limit_is_read(text: str, limit: Pace | Quota) -> None:
    """Seconds and minutes make a pace, hours and days a quota."""
    assert parse_limit(text) == limit


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a limit"),
        ("fast", "not a limit"),
        ("50", "not a limit"),
        ("-5/m", "not a limit"),
        ("5.5/m", "not a limit"),
        ("٥/m", "not a limit"),
        ("50 per hour", "not a limit"),
        ("50/min", 'no such unit of time: "min"'),
        ("50/week", 'no such unit of time: "week"'),
        ("0/day", "never let a letter go"),
        ("5/0m", "no meaning"),
        ("5/2day", 'write "5/48h"'),
        ("5/1441m", "one day at most"),
        ("5/745h", "31 days"),
        ("1000001/s", "more than any limit"),
    ],
)
def test_what_is_not_a_limit_is_refused_in_words(text: str, words: str) -> None:
    """The message says what is wrong, the help says what would be right."""
    with pytest.raises(ValueError) as caught:
        parse_limit(text)
    assert words in str(caught.value)


@given(st.one_of(paces, quotas))
def test_showing_and_reading_a_limit_is_a_round_trip(limit: Pace | Quota) -> None:
    """What is shown can be written into the file."""
    assert parse_limit(show_limit(limit)) == limit


@pytest.mark.parametrize("text", ["50/5m", "20/s", "10/m", "20/h", "100/6h", "500/day", "5/90s"])
def test_a_limit_is_shown_as_it_is_written(text: str) -> None:
    """The shortest usual form."""
    assert show_limit(parse_limit(text)) == text


@given(st.text(max_size=30))
def test_reading_a_limit_raises_nothing_but_value_errors(text: str) -> None:
    """Random text is refused in words."""
    with suppress(ValueError):
        assert parse_limit(text).count > 0


def test_a_domains_own_limit_wins_over_the_general_one() -> None:
    """`[limits.domain]` overrides `per_domain`, by exact name."""
    limits = Limits(per_domain=Pace(10, 60), domains={"gmail.com": Quota(20, 3600)})
    assert limits.for_domain("gmail.com") == Quota(20, 3600)
    assert limits.for_domain("mail.gmail.com") == Pace(10, 60)


def test_an_official_is_written_to_twenty_times_a_day_unless_said_otherwise() -> None:
    """The cap per recipient is on by default, the others are off."""
    assert Limits().per_recipient == Quota(20, DAY_S)
    assert (Limits().relay, Limits().day, Limits().per_domain, Limits().hours) == (None, None, None, None)


def test_the_gap_is_rounded_up() -> None:
    """7 in a second are 142858 microseconds apart: at 142857 an eighth would slip in."""
    assert Pace(7, 1).gap_us == 142_858


def test_a_pause_saves_nothing_up() -> None:
    """After an hour of silence the next two letters are still a gap apart."""
    slots = grant_slots(Pace(50, 300), NOW - 3600 * SECOND_US, now_us=NOW, want=2)
    assert (slots.first_us, slots.count) == (NOW, 1)
    assert next_slot(slots.free_at_us, now_us=NOW) == NOW + 6 * SECOND_US


def test_a_horizon_grants_the_slots_that_begin_within_it() -> None:
    """Ten seconds at one in two seconds: at 0, 2, 4, 6, 8 and 10."""
    slots = grant_slots(Pace(30, 60), 0, now_us=NOW, want=100, horizon_us=10 * SECOND_US)
    assert (slots.first_us, slots.count, slots.free_at_us) == (NOW, 6, NOW + 12 * SECOND_US)


def test_nothing_is_taken_where_the_next_slot_lies_beyond_the_horizon() -> None:
    """The answer says when to come again, and changes nothing."""
    slots = grant_slots(Pace(30, 60), NOW + SECOND_US, now_us=NOW, want=5)
    assert (slots.count, slots.first_us, slots.free_at_us) == (0, NOW + SECOND_US, NOW + SECOND_US)


def test_a_clock_set_back_costs_one_window_and_releases_nothing() -> None:
    """A row written a year ahead does not hold the campaign for a year, nor let a letter go at once."""
    year = 366 * DAY_S * SECOND_US
    assert mended_free_at(Pace(50, 300), NOW + year, now_us=NOW) == NOW + 300 * SECOND_US
    assert grant_slots(Pace(50, 300), NOW + year, now_us=NOW, want=9).count == 0


@given(
    st.builds(Pace, st.integers(1, 50), st.integers(1, 600)),
    st.lists(st.tuples(st.integers(0, 400 * SECOND_US), st.integers(1, 60)), min_size=1, max_size=60),
    st.sampled_from([0, SECOND_US, 10 * SECOND_US]),
)
def test_a_pace_never_lets_more_than_n_into_any_window(
    pace: Pace, requests: list[tuple[int, int]], horizon_us: int
) -> None:
    """Whatever is asked, whenever: no window, wherever it begins, holds more than N letters."""
    now, free_at, sent = NOW, 0, list[int]()
    for wait, want in requests:
        now += wait
        slots = grant_slots(pace, free_at, now_us=now, want=want, horizon_us=horizon_us)
        free_at = slots.free_at_us
        sent += [slots.first_us + number * pace.gap_us for number in range(slots.count)]
    assert sent == sorted(sent)
    window = pace.window_s * SECOND_US
    assert all(later - first >= window for first, later in zip(sent, sent[pace.count :], strict=False))


@given(
    st.builds(Quota, st.integers(1, 40), st.sampled_from([3600, 86400])),
    st.lists(st.tuples(st.integers(0, 7200 * SECOND_US), st.integers(1, 30)), min_size=1, max_size=40),
)
def test_a_quota_never_lets_more_than_n_into_any_window(
    quota: Quota, requests: list[tuple[int, int]]
) -> None:
    """Counted to the microsecond, although the buckets are coarser."""
    now, buckets, sent = NOW, tuple[Bucket, ...](), list[int]()
    for wait, want in requests:
        now += wait
        grant = grant_quota(quota, buckets, now_us=now, want=want)
        buckets = grant.buckets
        sent += [now] * grant.count
    window = quota.window_s * SECOND_US
    assert all(later - first >= window for first, later in zip(sent, sent[quota.count :], strict=False))


@given(st.builds(Quota, st.integers(1, 40), st.just(3600)), st.lists(st.integers(0, 3600), max_size=30))
def test_a_quota_says_exactly_when_it_opens_again(quota: Quota, ages: list[int]) -> None:
    """One microsecond before there is no room, then there is."""
    buckets = [Bucket(NOW - age * SECOND_US, 3) for age in ages]
    grant = grant_quota(quota, buckets, now_us=NOW, want=1000)
    assert grant.opens_us > NOW
    assert grant_quota(quota, grant.buckets, now_us=grant.opens_us - 1, want=1).count == 0
    assert grant_quota(quota, grant.buckets, now_us=grant.opens_us, want=1).count == 1


def test_a_quota_with_room_left_is_open_now() -> None:
    """There is nothing to wait for."""
    assert grant_quota(Quota(5, 3600), [], now_us=NOW, want=2).opens_us == NOW


def test_old_buckets_are_forgotten_and_those_of_the_future_count_now() -> None:
    """A clock set back neither frees the quota nor blocks it for longer than a window."""
    quota = Quota(10, 3600)
    old, ahead = Bucket(NOW - 2 * 3600 * SECOND_US, 4), Bucket(NOW + 99 * 3600 * SECOND_US, 6)
    assert live_buckets(quota, [old, ahead], now_us=NOW) == (
        Bucket(NOW // quota.bucket_us * quota.bucket_us, 6),
    )


def test_a_lowered_quota_waits_until_enough_is_forgotten() -> None:
    """Ten went under the old quota; under a quota of two, eight and one more must be forgotten first."""
    quota = Quota(2, 3600)
    buckets = [Bucket(NOW - (50 - n) * 60 * SECOND_US, 1) for n in range(10)]
    grant = grant_quota(quota, buckets, now_us=NOW, want=1)
    assert grant.count == 0
    assert grant.opens_us == buckets[8].start_us + quota.bucket_us + 3600 * SECOND_US
