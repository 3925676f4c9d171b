"""The schedule of retries, spans of time, and the end of a campaign."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.retry import (
    DEFAULT_SCHEDULE,
    LONGEST_DELAY_S,
    LONGEST_S,
    Schedule,
    parse_duration,
    parse_expires,
    parse_schedule,
    show_duration,
    show_schedule,
)

MADRID = ZoneInfo("Europe/Madrid")


def test_the_default_schedule_is_the_one_of_rfc_5321() -> None:
    """First after 30 minutes; given up after about four days (section 4.5.4.1)."""
    assert DEFAULT_SCHEDULE.delays == (1800, 3600, 14400, 43200, 86400, 86400, 86400)


@pytest.mark.parametrize(("deferrals", "seconds"), [(1, 1800), (2, 3600), (7, 86400), (8, None), (900, None)])
def test_the_wait_after_so_many_deferrals(deferrals: int, seconds: int | None) -> None:
    """Each deferral has its wait; after the last there is none: give up."""
    assert DEFAULT_SCHEDULE.delay_after(deferrals) == seconds


def test_a_letter_never_put_off_has_no_wait() -> None:
    """Asking for it is a mistake of the program."""
    with pytest.raises(ValueError):
        DEFAULT_SCHEDULE.delay_after(0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "at least one wait"),
        ("soon", "not a span of time"),
        ("30", "not a span of time"),
        ("30min", 'no such unit of time: "min"'),
        ("30m 0h", "longer than nothing"),
        ("30m -1h", "not a span of time"),
        ("31d", "at most 30 days"),
        ("1m " * 51, "at most 50 waits"),
    ],
)
def test_what_is_not_a_schedule_is_refused_in_words(text: str, words: str) -> None:
    """The help shows a whole schedule."""
    with pytest.raises(ValueError) as caught:
        parse_schedule(text)
    message, _, help_ = str(caught.value).partition("\n")
    assert words in message
    assert '"30m 1h 4h 12h 24h 24h 24h"' in help_


@given(st.lists(st.integers(1, LONGEST_DELAY_S), min_size=1, max_size=50))
def test_showing_and_reading_a_schedule_is_a_round_trip(delays: list[int]) -> None:
    """What is shown can be written into the file."""
    schedule = Schedule(tuple(delays))
    assert parse_schedule(show_schedule(schedule)) == schedule


def test_a_schedule_is_shown_as_it_is_written() -> None:
    """Days are shown as hours, as in the default."""
    assert show_schedule(DEFAULT_SCHEDULE) == "30m 1h 4h 12h 24h 24h 24h"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("36h", 129600), ("14d", 1209600), ("2w", 1209600)]
)
def test_a_span_of_time_is_read(text: str, seconds: int) -> None:
    """Five units."""
    assert parse_duration(text) == seconds


@given(st.integers(1, LONGEST_S))
def test_showing_and_reading_a_span_is_a_round_trip(seconds: int) -> None:
    """No second is lost."""
    assert parse_duration(show_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2027-05-01", datetime(2027, 5, 1, 22, tzinfo=UTC)),
        (date(2027, 5, 1), datetime(2027, 5, 1, 22, tzinfo=UTC)),
        (date(2027, 3, 27), datetime(2027, 3, 27, 23, tzinfo=UTC)),
        ("2027-05-01T18:00", datetime(2027, 5, 1, 16, tzinfo=UTC)),
        ("2027-05-01T18:00:00Z", datetime(2027, 5, 1, 18, tzinfo=UTC)),
        (datetime(2027, 5, 1, 18, tzinfo=UTC), datetime(2027, 5, 1, 18, tzinfo=UTC)),
    ],
)
def test_the_end_of_a_campaign(value: str | date, moment: datetime) -> None:
    """A bare date ends with its day in the campaign's zone; a time without an offset is that zone's."""
    assert parse_expires(value, MADRID) == moment


@pytest.mark.parametrize("value", ["", "tomorrow", "01.05.2027", "2027-02-30", "9999-12-31", "14d"])
def test_what_is_not_a_day_is_refused_in_words(value: str) -> None:
    """Also the last day there is, which has no end."""
    with pytest.raises(ValueError, match="not a day"):
        parse_expires(value, MADRID)
