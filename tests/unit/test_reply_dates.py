"""When a mail was written, in the words of its program."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.replies.dates import header_date, written_date
from pipeline.replies.wording import languages

EAST = timezone(timedelta(hours=3))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Mon, 04 May 2026 09:30:00 +0200", datetime(2026, 5, 4, 7, 30, tzinfo=UTC)),
        ("4 May 2026 09:30 GMT", datetime(2026, 5, 4, 9, 30, tzinfo=UTC)),
        ("Mon, 04 May 2026 09:30:00 -0000", datetime(2026, 5, 4, 9, 30, tzinfo=UTC)),
        ("", None),
        ("yesterday", None),
        ("Mon, 99 May 2026 09:30:00 +0200", None),
        ("Mon, 04 May 2026 09:30:00 +9999", None),
        ("Thu, 01 Jan 1970 00:00:00 +0000", None),
        ("Mon, 04 May 99999999999999999999 09:30:00", None),
    ],
)
def test_a_date_field(text: str, moment: datetime | None) -> None:
    """RFC 5322 3.3; what is none, and the clock of a machine that never had one, is no date."""
    assert header_date(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "Sonntag, 3. Mai 2026 20:04",
        "Sunday, May 3, 2026 8:04 PM",
        "May 3, 2026 at 8:04:11 PM",
        "Sun, 3 May 2026, 20:04",
        "5/3/2026 8:04 PM",
        "03/05/2026 20:04",
        "3.5.26 20:04",
        "2026-05-03 20:04",
        "2026/05/03 20:04",
        "2026年5月3日(日) 20:04",
        "2026年5月3日，下午8:04",
        "2026년 5월 3일 (일) 오후 8:04",
        "воскресенье, 3 мая 2026 г. 20:04",
        "нд, 3 трав. 2026 р. о 20:04",
        "Κυριακή, 3 Μαΐου 2026 8:04 μ.μ.",
        "3 Mayıs 2026 Pazar 20:04",
        "الأحد، 3 مايو 2026 في 8:04 م",
        "یکشنبه ۳ مهٔ ۲۰۲۶،\u200f ۲۰:۰۴",
        "רביעי, 3 במאי 2026 20:04",
        "CN, 3 thg 5, 2026 20:04",
        "रवि, 3 मई 2026 को 20:04",
        "su 3. toukok. 2026 klo 20.04",
        "dom., 3 de mai. de 2026 20h04",
    ],
)
def test_a_moment_in_many_languages(text: str) -> None:
    """The third of May, four minutes past eight in the evening."""
    found = written_date(text, EAST)
    assert found is not None
    assert found.replace(second=0) == datetime(2026, 5, 3, 20, 4, tzinfo=EAST)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("3 May 2026 20:04 +0200", datetime(2026, 5, 3, 18, 4, tzinfo=UTC)),
        ("3 May 2026, 20:04 GMT-5", datetime(2026, 5, 4, 1, 4, tzinfo=UTC)),
        ("3 May 2026", datetime(2026, 5, 3, 12, tzinfo=UTC)),
        ("3 May 2026 12:04 AM", datetime(2026, 5, 3, 0, 4, tzinfo=UTC)),
        ("13/5/2026", datetime(2026, 5, 13, 12, tzinfo=UTC)),
        ("5/13/2026", datetime(2026, 5, 13, 12, tzinfo=UTC)),
        ("31/2/2026", None),
        ("12/2026", None),
        ("", None),
        ("May", None),
        ("3 Thermidor 2026", None),
        ("3 May 2569 20:04", None),
    ],
)
def test_zones_and_what_is_left_open(text: str, moment: datetime | None) -> None:
    """A zone that is named counts; a day that is none is none; of other calendars nothing is guessed."""
    assert written_date(text) == moment


# Czech and Croatian, Polish and Croatian have the same word for two months.
DISPUTED = {"srp", "lip", "lis", "listopad", "listopada"}


@pytest.mark.parametrize("each", languages(), ids=lambda each: str(each["language"]))
def test_every_months_name_is_read(each: dict[str, list[list[str]]]) -> None:
    """In every language, except where two languages disagree about a word."""
    for number, names in enumerate(each["months"], 1):
        for name in names:
            if name in DISPUTED or name[0].isdecimal():
                continue
            found = written_date(f"3 {name} 2026")
            assert found is not None, name
            assert (found.day, found.month) == (3, number), name


@given(st.text(st.sampled_from("0123456789 /.-:年月日apm+мая"), max_size=60))
def test_nothing_raises(text: str) -> None:
    """Whatever stands there."""
    written_date(text)
    header_date(text)
