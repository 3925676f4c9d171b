"""How many letters were answered, and how soon: figures that do not claim more than is known.

Contract: one `Asked` for each letter, or for so many alike, in, `ReplyFigures` out; values only, and the time
is an argument.

Every letter is in one of five states, which add up:
    answered        a human reply came
    acknowledged    nothing but an automatic acknowledgement came
    waiting         nothing came, and the time given for an answer is not over: not "unanswered"
    silent          nothing came in the time given
    undeliverable   it bounced, or its recipient asked for no more letters: nobody to answer it

`share` is of the letters whose time is over, answered within it, with the interval of E. B. Wilson, "Probable
inference, the law of succession, and statistical inference", JASA 22 (1927): fair for small numbers, never
below 0 or above 1.

`median` is the time by which half of all letters have their first human answer. Letters without one are not
left out (that would count the quick offices only) and not taken for never answered: each is known not to
have been answered *up to now*, a right-censored observation. The estimate is that of E. L. Kaplan and
P. Meier, "Nonparametric estimation from incomplete observations", JASA 53 (1958); its interval that of
R. Brookmeyer and J. Crowley, "A confidence interval for the median survival time", Biometrics 38 (1982),
on the log-log scale with Greenwood's variance (J. P. Klein and M. L. Moeschberger, *Survival Analysis*,
2nd ed., 4.3-4.5). Where fewer than half are answered by what is known there is no median, and that is said.

Limits: fewer than `FEWEST_LETTERS` letters or `FEWEST_ANSWERS` answers are "too few". Letters are taken as
independent, though two to one office are not. Days are of 24 hours; weekends and holidays count.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import NamedTuple

FEWEST_LETTERS = 10
FEWEST_ANSWERS = 5
Z = 1.959963984540054  # of the normal distribution: 95 % two-sided
DAY = timedelta(days=1)
DEFAULT_WINDOW = timedelta(days=30)


class Outcome(StrEnum):
    """What became of a letter, so far."""

    ANSWERED = "answered"
    ACKNOWLEDGED = "acknowledged"
    WAITING = "waiting"
    SILENT = "silent"
    UNDELIVERABLE = "undeliverable"


class Asked(NamedTuple):
    """One letter that the relay accepted; all moments are aware."""

    sent: datetime
    answered: datetime | None = None  # the first human reply
    acknowledged: datetime | None = None  # the first automatic one
    ended: datetime | None = None  # bounced, or opted out: not waited for any longer
    alike: int = 1  # so many letters of which all this is true


@dataclass(frozen=True, slots=True)
class Share:
    """So many ``of`` so many, with a 95 % interval."""

    part: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.part / self.of


@dataclass(frozen=True, slots=True)
class Median:
    """Days until half of the letters are answered, with a 95 % interval; ``high`` None: not known yet."""

    days: float
    low: float
    high: float | None


@dataclass(frozen=True, slots=True)
class ReplyFigures:
    """The figures of a campaign, or of any part of it."""

    counts: dict[Outcome, int]
    window: timedelta
    share: Share | None
    median: Median | None
    notes: tuple[str, ...]  # plain sentences: what is too few, what is not known yet

    @property
    def letters(self) -> int:
        return sum(self.counts.values())


def outcome(letter: Asked, now: datetime, window: timedelta = DEFAULT_WINDOW) -> Outcome:
    """Return what became of a letter by ``now``; ``window`` is how long an answer may take."""
    if letter.answered is not None and letter.answered <= now:
        return Outcome.ANSWERED
    if letter.ended is not None and letter.ended <= now:
        return Outcome.UNDELIVERABLE
    if letter.acknowledged is not None and letter.acknowledged <= now:
        return Outcome.ACKNOWLEDGED
    return Outcome.WAITING if now < letter.sent + window else Outcome.SILENT


def reply_figures(
    letters: Iterable[Asked], now: datetime, window: timedelta = DEFAULT_WINDOW
) -> ReplyFigures:
    """Return the figures of some letters as they are at ``now``.

    Args:
        letters: those that were accepted by then; later ones are left out.
        now: aware.
        window: how long an answer may take before a letter counts as silent; more than nothing.
    """
    if window <= timedelta(0):
        raise ValueError("the time given for an answer is longer than nothing")
    sent = [letter for letter in letters if letter.sent <= now]
    found: Counter[Outcome] = Counter()
    for letter in sent:
        found[outcome(letter, now, window)] += letter.alike
    counts = {kind: found[kind] for kind in Outcome}
    share, median = _share(sent, now, window), _median(sent, now)
    return ReplyFigures(counts, window, share, median, _notes(sent, counts, share, median, now, window))


def kaplan_meier(times: Sequence[tuple[float, bool]]) -> list[tuple[float, float, float]]:
    """Return the share still unanswered after each moment of an answer (Kaplan and Meier 1958).

    Args:
        times: for each letter its time in days, and whether that ended with an answer (else: no answer yet).

    Returns:
        (day, share, Greenwood's sum) for each day with an answer, in order. The variance of the share is its
        square times the sum; the sum is infinite where the share is 0.
    """
    return _curve([(day, answered, 1) for day, answered in times])


def _curve(times: Sequence[tuple[float, bool, int]]) -> list[tuple[float, float, float]]:
    """Do it for so many letters with each time."""
    out: list[tuple[float, float, float]] = []
    at_risk, share, spread = sum(alike for _, _, alike in times), 1.0, 0.0
    for day, together in groupby(sorted(times), key=lambda one: one[0]):
        answers = ended = 0
        for _, answered, alike in together:
            answers += alike * answered
            ended += alike
        if answers:
            share *= 1 - answers / at_risk
            left = at_risk - answers
            spread += answers / (at_risk * left) if left else math.inf
            out.append((day, share, spread))
        at_risk -= ended
    return out


def median_of(times: Sequence[tuple[float, bool]]) -> Median | None:
    """Return the median and its interval (Brookmeyer and Crowley 1982); None where it is not reached."""
    return _median_in(kaplan_meier(times))


def _median_in(curve: Sequence[tuple[float, float, float]]) -> Median | None:
    days = next((day for day, share, _ in curve if share <= 0.5 + 1e-12), None)
    if days is None:
        return None
    bands = [(day, *_band(share, spread)) for day, share, spread in curve]
    low = next((day for day, below, _ in bands if below <= 0.5), days)
    high = next((day for day, _, above in bands if above <= 0.5), None)
    return Median(days, low, high)


def wilson(part: int, of: int) -> Share:
    """Return a share with its interval (Wilson 1927); ``of`` is 1 or more."""
    if not 0 <= part <= of or of < 1:
        raise ValueError("a part is of something")
    share = part / of
    middle = (share + Z * Z / (2 * of)) / (1 + Z * Z / of)
    half = Z / (1 + Z * Z / of) * math.sqrt(share * (1 - share) / of + Z * Z / (4 * of * of))
    return Share(part, of, middle - half if part else 0.0, middle + half if part < of else 1.0)


def _band(share: float, spread: float) -> tuple[float, float]:
    """Return the 95 % band round a share on the log-log scale (Klein and Moeschberger 4.3.2)."""
    if share <= 0 or math.isinf(spread):
        return 0.0, 0.0
    if share >= 1:
        return 1.0, 1.0
    factor = math.exp(Z * math.sqrt(spread) / math.log(share))
    return share ** (1 / factor), share**factor


def _times(letters: Iterable[Asked], now: datetime) -> list[tuple[float, bool, int]]:
    """Return how long each letter was waited for, in days, whether an answer ended that, and for how many."""
    out: list[tuple[float, bool, int]] = []
    for letter in letters:
        answered = letter.answered is not None and letter.answered <= now
        end = letter.answered if answered else min(now, letter.ended or now)
        assert end is not None
        out.append((max(0.0, (end - letter.sent) / DAY), answered, letter.alike))
    return out


def _median(letters: Sequence[Asked], now: datetime) -> Median | None:
    times = _times(letters, now)
    answers = sum(alike for _, answered, alike in times if answered)
    if _number(letters) < FEWEST_LETTERS or answers < FEWEST_ANSWERS:
        return None
    return _median_in(_curve(times))


def _due(letters: Iterable[Asked], now: datetime, window: timedelta) -> list[Asked]:
    """Return the letters whose time is over and which could be answered."""
    return [
        letter
        for letter in letters
        if letter.sent + window <= now
        and not (letter.ended is not None and letter.ended <= now and letter.answered is None)
    ]


def _share(letters: Sequence[Asked], now: datetime, window: timedelta) -> Share | None:
    due = _due(letters, now, window)
    of = _number(due)
    if of < FEWEST_LETTERS:
        return None
    return wilson(_number(one for one in due if one.answered and one.answered <= one.sent + window), of)


def _number(letters: Iterable[Asked]) -> int:
    return sum(letter.alike for letter in letters)


def _notes(
    letters: Sequence[Asked],
    counts: dict[Outcome, int],
    share: Share | None,
    median: Median | None,
    now: datetime,
    window: timedelta,
) -> tuple[str, ...]:
    notes: list[str] = []
    days = f"{window / DAY:g}"
    if waiting := counts[Outcome.WAITING]:
        notes.append(
            f"{waiting} of {_number(letters)} letters are still within the {days} days for an answer."
        )
    if share is None:
        due = _number(_due(letters, now, window))
        notes.append(
            f"Too few to tell how many are answered: {due} letters are older than {days} days;"
            f" {FEWEST_LETTERS} are needed."
        )
    if median is None:
        notes.append(_why_no_median(_number(letters), counts[Outcome.ANSWERED]))
    elif median.high is None:
        notes.append("Too early to tell how long the median time to an answer may be at most.")
    return tuple(notes)


def _why_no_median(letters: int, answers: int) -> str:
    if letters < FEWEST_LETTERS or answers < FEWEST_ANSWERS:
        return (
            f"Too few for a median time to an answer: {answers} answers to {letters} letters;"
            f" {FEWEST_ANSWERS} to {FEWEST_LETTERS} are needed."
        )
    return "There is no median time to an answer yet: by what is known, fewer than half are answered."
