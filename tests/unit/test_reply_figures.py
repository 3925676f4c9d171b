"""How many letters were answered, and how soon: against published figures, and honest about time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.replies import (
    FEWEST_LETTERS,
    Asked,
    Median,
    Outcome,
    kaplan_meier,
    median_of,
    outcome,
    reply_figures,
    wilson,
)

DAY = timedelta(days=1)
SENT = datetime(2026, 5, 3, 18, tzinfo=UTC)
NOW = SENT + 20 * DAY
WINDOW = 30 * DAY

# Weeks of remission under 6-MP (Freireich et al. 1963; Kaplan-Meier table in Klein and Moeschberger 4.1).
SIX_MP = [
    *((6.0, True),) * 3,
    *((7.0, True), (10.0, True), (13.0, True), (16.0, True), (22.0, True), (23.0, True)),
    *((6.0, False), (9.0, False), (10.0, False), (11.0, False), (17.0, False), (19.0, False)),
    *((20.0, False), (25.0, False), (32.0, False), (32.0, False), (34.0, False), (35.0, False)),
]


def asked(days: float | None = None, *, ago: float = 20) -> Asked:
    """Return a letter sent so many days ago, answered after so many days."""
    sent = NOW - ago * DAY
    return Asked(sent, sent + days * DAY if days is not None else None)


# -- the states


@pytest.mark.parametrize(
    ("letter", "state"),
    [
        (Asked(SENT, answered=SENT + DAY), Outcome.ANSWERED),
        (Asked(SENT, answered=SENT + DAY, acknowledged=SENT), Outcome.ANSWERED),
        (Asked(SENT, answered=SENT + DAY, ended=SENT + 2 * DAY), Outcome.ANSWERED),
        (Asked(SENT, acknowledged=SENT + DAY), Outcome.ACKNOWLEDGED),
        (Asked(SENT, ended=SENT + DAY), Outcome.UNDELIVERABLE),
        (Asked(SENT), Outcome.WAITING),
        (Asked(SENT - 9 * DAY), Outcome.WAITING),
        (Asked(SENT - 10 * DAY), Outcome.SILENT),
        (Asked(SENT, answered=NOW + DAY), Outcome.WAITING),
    ],
)
def test_what_became_of_a_letter(letter: Asked, state: Outcome) -> None:
    """A letter within its time is waiting, not unanswered; what is still to come does not count."""
    assert outcome(letter, NOW, WINDOW) is state


@given(st.lists(st.tuples(st.integers(0, 60), st.none() | st.integers(0, 60)), max_size=40))
def test_the_states_add_up(letters: list[tuple[int, int | None]]) -> None:
    """Each letter is in one of them."""
    found = reply_figures([asked(days, ago=ago) for ago, days in letters], NOW, WINDOW)
    assert found.letters == len(letters)


def test_letters_sent_later_are_left_out() -> None:
    """The figures are those of that moment."""
    assert reply_figures([Asked(NOW + DAY)], NOW).letters == 0


def test_one_fresh_letter_is_no_rate_of_nought() -> None:
    """It waits, and there is nothing to tell yet."""
    found = reply_figures([Asked(NOW - DAY)], NOW, WINDOW)
    assert found.counts[Outcome.WAITING] == 1
    assert (found.share, found.median) == (None, None)
    assert found.notes == (
        "1 of 1 letters are still within the 30 days for an answer.",
        "Too few to tell how many are answered: 0 letters are older than 30 days; 10 are needed.",
        "Too few for a median time to an answer: 0 answers to 1 letters; 5 to 10 are needed.",
    )


def test_a_window_of_nothing_is_refused() -> None:
    """Every letter would be silent."""
    with pytest.raises(ValueError, match="longer than nothing"):
        reply_figures([], NOW, timedelta(0))


# -- the share


@pytest.mark.parametrize(
    ("part", "of", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (1, 10, 0.0179, 0.4042),
        (5, 10, 0.2366, 0.7634),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_the_interval_of_a_share(part: int, of: int, low: float, high: float) -> None:
    """The last row is that of R. Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    found = wilson(part, of)
    assert found.low == pytest.approx(low, abs=1e-4)
    assert found.high == pytest.approx(high, abs=1e-4)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize(("part", "of"), [(1, 0), (-1, 5), (6, 5)])
def test_no_share_of_nothing(part: int, of: int) -> None:
    """A mistake of the program."""
    with pytest.raises(ValueError):
        wilson(part, of)


def test_the_share_is_of_letters_whose_time_is_over() -> None:
    """Fresh ones, bounced ones and answers that came too late are not counted as answers missed or given."""
    old = [asked(5, ago=40)] * 6 + [asked(None, ago=40)] * 5 + [asked(35, ago=40)]
    bounced = Asked(NOW - 40 * DAY, ended=NOW - 39 * DAY)
    found = reply_figures([*old, bounced, *[asked(None, ago=3)] * 50], NOW, WINDOW)
    assert found.share is not None
    assert (found.share.part, found.share.of) == (6, 12)


# -- the median


def test_the_curve_of_a_published_table() -> None:
    """Klein and Moeschberger, table 4.1B: the share still in remission."""
    curve = {day: share for day, share, _ in kaplan_meier(SIX_MP)}
    assert {day: round(share, 3) for day, share in curve.items()} == {
        6: 0.857,
        7: 0.807,
        10: 0.753,
        13: 0.690,
        16: 0.627,
        22: 0.538,
        23: 0.448,
    }


def test_the_standard_error_of_a_published_table() -> None:
    """The same table: Greenwood's."""
    errors = {day: round(share * spread**0.5, 4) for day, share, spread in kaplan_meier(SIX_MP)}
    assert (errors[6], errors[23]) == (0.0764, 0.1346)


def test_the_median_of_a_published_table() -> None:
    """23 weeks; from 13 on, and no upper bound (as `survfit` of R gives it with conf.type = "log-log")."""
    assert median_of(SIX_MP) == Median(23.0, 13.0, None)


def test_the_median_of_answers_that_all_came() -> None:
    """The ordinary median of an odd number."""
    found = median_of([(float(day), True) for day in range(1, 22)])
    assert found is not None
    assert found.days == 11
    assert found.low < 11
    assert found.high is not None
    assert found.high > 11


def test_there_is_no_median_while_fewer_than_half_answered() -> None:
    """It would be an invention."""
    letters = [asked(2)] * 6 + [asked()] * 20
    found = reply_figures(letters, NOW, WINDOW)
    assert found.median is None
    assert found.notes[-1] == (
        "There is no median time to an answer yet: by what is known, fewer than half are answered."
    )


def test_silent_letters_make_the_median_longer() -> None:
    """To leave them out would count the quick offices only."""
    answered = [asked(day) for day in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)]
    quick, honest = (
        reply_figures(answered, NOW, WINDOW),
        reply_figures([*answered, *[asked()] * 8], NOW, WINDOW),
    )
    assert quick.median is not None
    assert honest.median is not None
    assert quick.median.days == 5
    assert honest.median.days == 9


def test_fresh_letters_do_not_make_the_median_longer() -> None:
    """They are known not to be answered for a day, and no more than that."""
    answered = [asked(day) for day in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)]
    with_fresh = reply_figures([*answered, *[asked(None, ago=0.5)] * 30], NOW, WINDOW)
    assert with_fresh.median is not None
    assert with_fresh.median.days == 5


def test_an_open_interval_is_told() -> None:
    """Nobody knows yet how long it may be."""
    letters = [asked(day) for day in (1, 2, 3, 4, 5, 6)] + [asked()] * 6
    found = reply_figures(letters, NOW, WINDOW)
    assert found.median is not None
    assert found.median.high is None
    assert found.notes[-1] == "Too early to tell how long the median time to an answer may be at most."


def test_too_few_is_said_and_not_computed() -> None:
    """Nine letters, all answered: no median."""
    found = reply_figures([asked(2)] * (FEWEST_LETTERS - 1), NOW, WINDOW)
    assert found.median is None
    assert found.notes[-1].startswith("Too few for a median")


TIMES = st.lists(st.tuples(st.integers(0, 60).map(float), st.booleans()), min_size=1, max_size=60)


@given(TIMES)
def test_the_curve_falls_and_stays_between_one_and_nought(times: list[tuple[float, bool]]) -> None:
    """And has a step for each day with an answer."""
    shares = [share for _, share, _ in kaplan_meier(times)]
    assert shares == sorted(shares, reverse=True)
    assert all(-1e-9 <= share <= 1 for share in shares)
    assert len(shares) == len({day for day, answered in times if answered})


@given(TIMES)
def test_the_median_lies_within_its_interval(times: list[tuple[float, bool]]) -> None:
    """Whatever the letters."""
    if found := median_of(times):
        assert found.low <= found.days
        assert found.high is None or found.days <= found.high
