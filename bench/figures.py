"""The arithmetic: medians, and ratios inside a round. Pure.

On a shared machine an absolute figure of one run says little about another run. So contenders are compared
only with what ran in the same round, and the median of the rounds' ratios is what counts. A round that is
void for one of the two (the sink's count was not N, or it failed) gives no ratio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.processes import Cost

PER = 10_000  # letters that CPU seconds are given for


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that decides a goal: the median of the rounds, the lowest and the highest, and how many there
    were."""

    value: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, found: Sequence[float]) -> Figure:
        """Return the figure of some rounds. Raises ValueError where there are none."""
        if not found:
            raise ValueError("nothing was measured")
        return cls(median(found), min(found), max(found), len(found))


@dataclass(frozen=True, slots=True)
class Run:
    """One contender's turn in one round.

    ``counted`` is what the sink took, ``sending_s`` the seconds of the sending phase alone where the
    contender tells them. ``void`` says why the turn does not count; empty when it does.
    """

    letters: int
    counted: int
    cost: Cost | None
    sending_s: float | None = None
    failure: str = ""

    @property
    def void(self) -> str:
        """Why it does not count."""
        if self.failure:
            return self.failure
        if self.cost is None:
            return "it was not measured"
        return (
            "" if self.counted == self.letters else f"the sink took {self.counted} of {self.letters} letters"
        )


Round = Mapping[str, Run]  # by contender
Measure = Callable[[Run], float | None]


def letters_per_second(run: Run) -> float | None:
    """Return letters a second of the whole process, start and end included; None where it is void."""
    return run.letters / run.cost.wall_s if run.cost is not None and not run.void else None


def sending_per_second(run: Run) -> float | None:
    """Return letters a second of the sending phase alone; None where void or not told."""
    return run.letters / run.sending_s if run.sending_s and not run.void else None


def cpu_seconds(run: Run) -> float | None:
    """Return CPU seconds per `PER` letters; None where it is void."""
    return run.cost.cpu_s * PER / run.letters if run.cost is not None and not run.void else None


def peak_mib(run: Run) -> float | None:
    """Return the peak memory of the largest process; None where it is void."""
    return run.cost.peak_mib if run.cost is not None and not run.void else None


def typical(rounds: Sequence[Round], name: str, measure: Measure) -> float | None:
    """Return the median of a contender's figure over the rounds that count; None where none does."""
    found = [figure for one in rounds if name in one and (figure := measure(one[name])) is not None]
    return median(found) if found else None


def ratios(
    rounds: Sequence[Round], name: str, other: str, measure: Measure, of: Measure | None = None
) -> list[float]:
    """Return the ratio ``name`` : ``other`` inside each round in which both count.

    ``of`` is the measure for ``other`` where it is another one.
    """
    of = of or measure
    found: list[float] = []
    for one in rounds:
        if name not in one or other not in one:
            continue
        above, below = measure(one[name]), of(one[other])
        if above is not None and below:
            found.append(above / below)
    return found


def ratio(
    rounds: Sequence[Round], name: str, other: str, measure: Measure, of: Measure | None = None
) -> Figure | None:
    """Return the ratio ``name`` : ``other`` as `ratios` has it; None where no round counts for both."""
    found = ratios(rounds, name, other, measure, of)
    return Figure.of(found) if found else None


def paired(above: Sequence[float], below: Sequence[float]) -> Figure:
    """Return the ratio of two things that were measured in pairs. Raises ValueError where there are none."""
    return Figure.of([one / other for one, other in zip(above, below, strict=True)])


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` (0 to 1) of the values lie: the nearest rank. Raises ValueError
    where there are none."""
    if not values:
        raise ValueError("nothing was measured")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def counted_rounds(rounds: Sequence[Round], name: str) -> int:
    """Return in how many rounds a contender's turn counts."""
    return sum(1 for one in rounds if name in one and not one[name].void)


def in_turn(names: Sequence[str], number: int) -> list[str]:
    """Return the order of round ``number``, from 0: each begins with the next one, so that nobody is always
    first."""
    if not names:
        return []
    first = number % len(names)
    return [*names[first:], *names[:first]]
