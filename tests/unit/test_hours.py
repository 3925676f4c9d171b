"""Working hours: words, wall clocks, and the two nights a year when those jump."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.delivery.hours import (
    Hours,
    Opening,
    Whose,
    is_open,
    next_opening,
    parse_hours,
    parse_zone,
    show_hours,
)

MADRID = ZoneInfo("Europe/Madrid")
WORK = (0, 1, 2, 3, 4)


def at(text: str) -> datetime:
    """Return the aware moment written as ISO 8601."""
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo is not None
    return moment


@pytest.mark.parametrize(
    ("text", "openings"),
    [
        ("Mon-Fri 09:00-17:00", [Opening(WORK, 540, 1020)]),
        ("mon - fri 9:00 - 17:00", [Opening(WORK, 540, 1020)]),
        ("Mon–Fri 09:00–17:00", [Opening(WORK, 540, 1020)]),
        ("Mon-Sun 00:00-24:00", [Opening((0, 1, 2, 3, 4, 5, 6), 0, 1440)]),
        ("Fri-Mon 10:00-12:00", [Opening((4, 5, 6, 0), 600, 720)]),
        ("Mon, Wed 10:00-12:00", [Opening((0, 2), 600, 720)]),
        ("Mon-Fri 09:00-12:00, 13:00-17:00", [Opening(WORK, 540, 720), Opening(WORK, 780, 1020)]),
        (
            "Sun-Thu 08:00-16:00, Sat 10:00-12:00",
            [Opening((6, 0, 1, 2, 3), 480, 960), Opening((5,), 600, 720)],
        ),
    ],
)
def test_ranges_are_read(text: str, openings: list[Opening]) -> None:
    """Days may wrap, stand in a list, or be those before."""
    assert parse_hours(f"{text} recipient") == Hours(tuple(openings), Whose.RECIPIENT)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "whose time"),
        ("Mon-Fri 09:00-17:00", "whose time"),
        ("Mon-Fri", "whose time"),
        ("recipient", "not days and hours"),
        ("09:00-17:00 recipient", "on which days"),
        ("Mon-Fri recipient", "Fri is named without hours"),
        ("Mon-Fri 17:00-09:00 recipient", "end after they begin"),
        ("Mon-Fri 09:00-09:00 recipient", "end after they begin"),
        ("Mon-Fri 09:00-25:00 recipient", "no such time of day: 25:00"),
        ("Mon-Fri 09:60-10:00 recipient", "no such time of day: 09:60"),
        ("Mon-Fry 09:00-17:00 recipient", 'no such day: "Fry"'),
        ("Mon-Fri 9-17 recipient", "not days and hours"),
        ("Mon-Fri 09:00-17:00 Europe/Madird", "a time zone"),
        ("Mon-Fri 09:00-17:00 ../../etc/passwd", "a time zone"),
        ("Mon-Fri 09:00-17:00 Europe", "a time zone"),
        ("Mon-Fri 09:00-17:00,, recipient", "not days and hours"),
        ("Mon 09:00-17:00, " * 50 + "recipient", "longer than"),
    ],
)
def test_what_are_not_hours_is_refused_in_words(text: str, words: str) -> None:
    """The message says what is wrong."""
    with pytest.raises(ValueError) as caught:
        parse_hours(text)
    assert words in str(caught.value)


@pytest.mark.parametrize("place", ["recipient", "campaign", "Europe/Madrid", "UTC"])
@given(data=st.data())
def test_showing_and_reading_hours_is_a_round_trip(place: str, data: st.DataObject) -> None:
    """What is shown can be written into the file."""
    day = st.sampled_from(["Mon", "Tue-Thu", "Fri-Mon", "Sun", "Mon, Wed", "Sat, Tue"])
    start = data.draw(st.integers(0, 1438))
    end = data.draw(st.integers(start + 1, 1440))
    text = f"{data.draw(day)} {start // 60}:{start % 60:02}-{end // 60}:{end % 60:02} {place}"
    assert parse_hours(show_hours(parse_hours(text))) == parse_hours(text)


@given(st.text(max_size=60))
def test_reading_hours_raises_nothing_but_value_errors(text: str) -> None:
    """Random text is refused in words."""
    with pytest.raises(ValueError):
        parse_hours(text + " ?")


def test_the_recipients_zone_falls_back_to_the_campaigns() -> None:
    """A row without a time zone is read on the campaign's clock; a named zone is everybody's."""
    tokyo = ZoneInfo("Asia/Tokyo")
    recipient = parse_hours("Mon 09:00-10:00 recipient")
    assert recipient.zone_for(recipient=tokyo, campaign=MADRID) is tokyo
    assert recipient.zone_for(recipient=None, campaign=MADRID) is MADRID
    assert parse_hours("Mon 09:00-10:00 campaign").zone_for(recipient=tokyo, campaign=MADRID) is MADRID
    assert parse_hours("Mon 09:00-10:00 Asia/Tokyo").zone_for(recipient=None, campaign=MADRID) == tokyo


@pytest.mark.parametrize(
    ("moment", "open_"),
    [
        ("2027-03-01T08:59:59+01:00", False),
        ("2027-03-01T09:00:00+01:00", True),
        ("2027-03-01T16:59:59+01:00", True),
        ("2027-03-01T17:00:00+01:00", False),
        ("2027-02-28T12:00:00+01:00", False),
        ("2027-03-01T15:30:00+00:00", True),
    ],
)
def test_hours_hold_their_first_minute_and_not_their_last(moment: str, open_: bool) -> None:
    """On the wall clock of the zone, whatever offset the moment is given in."""
    assert is_open(parse_hours("Mon-Fri 09:00-17:00 recipient"), at(moment), MADRID) is open_


def test_a_naive_moment_is_refused() -> None:
    """A moment without a zone is no moment."""
    with pytest.raises(ValueError):
        is_open(parse_hours("Mon 09:00-10:00 recipient"), datetime(2027, 3, 1, 9), MADRID)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "moment", "opening"),
    [
        ("Mon-Fri 09:00-17:00", "2027-03-01T12:00:00+01:00", "2027-03-01T12:00:00+01:00"),
        ("Mon-Fri 09:00-17:00", "2027-03-01T17:00:00+01:00", "2027-03-02T09:00:00+01:00"),
        ("Mon-Fri 09:00-17:00", "2027-03-05T18:00:00+01:00", "2027-03-08T09:00:00+01:00"),
        ("Mon-Fri 09:00-17:00", "2027-03-26T18:00:00+01:00", "2027-03-29T09:00:00+02:00"),  # summer time
        ("Mon-Fri 09:00-17:00", "2027-10-29T18:00:00+02:00", "2027-11-01T09:00:00+01:00"),  # winter time
        ("Sun 02:30-04:00", "2027-03-27T12:00:00+01:00", "2027-03-28T03:00:00+02:00"),  # 02:30 is skipped
        ("Sun 02:00-03:00", "2027-03-27T12:00:00+01:00", "2027-04-04T02:00:00+02:00"),  # the whole hour is
        ("Sun 02:30-03:00", "2027-10-30T12:00:00+02:00", "2027-10-31T02:30:00+02:00"),
        ("Sun 02:30-03:00", "2027-10-31T02:15:00+01:00", "2027-10-31T02:30:00+01:00"),  # and once more
        ("Sun 01:00-02:30", "2027-10-31T02:45:00+02:00", "2027-10-31T02:00:00+01:00"),  # jumped back into
    ],
)
def test_the_next_opening(text: str, moment: str, opening: str) -> None:
    """At once where open, else the first open moment, also round a change of the clocks."""
    found = next_opening(parse_hours(f"{text} recipient"), at(moment), MADRID)
    assert found == at(opening)
    assert found.tzinfo is UTC


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(
        ["Sun 01:30-02:15", "Sun 02:30-03:30", "Sun 00:00-24:00", "Sat-Mon 02:00-02:01, 03:00-03:05"]
    ),
    st.sampled_from(["Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"]),
    st.sampled_from(["2027-03-28", "2027-10-31", "2027-03-14", "2027-11-07", "2027-04-04", "2027-10-03"]),
    st.integers(0, 48 * 60),
)
def test_the_next_opening_is_what_walking_minute_by_minute_finds(
    text: str, zone: str, day: str, minutes: int
) -> None:
    """Compared with brute force over the two days round every change of the clocks."""
    hours, place = parse_hours(f"{text} recipient"), ZoneInfo(zone)
    moment = at(f"{day}T00:00:00+00:00") - timedelta(days=1) + timedelta(minutes=minutes)
    walked = moment
    while not is_open(hours, walked, place):
        walked += timedelta(minutes=1)
    assert next_opening(hours, moment, place) == walked


def test_a_time_zone_is_refused_in_words() -> None:
    """A path or a misspelling is no time zone."""
    with pytest.raises(ValueError, match="no such time zone"):
        parse_zone("/etc/localtime")
