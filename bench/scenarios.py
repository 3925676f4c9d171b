"""The races: each returns its part of the report, with the figures that decide goals.

A scenario that cannot be run (no sink, no stunnel, not root) is a part that says so. What is no race is in
`large`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.contenders import FAST, Field
from bench.figures import (
    Figure,
    Measure,
    Round,
    cpu_seconds,
    letters_per_second,
    ratio,
    sending_per_second,
)
from bench.ours import TEN
from bench.processes import Failed
from bench.race import Course, Results, run_race
from bench.relays import Way
from bench.report import Part, race_lines

NOT_ASKED_FOR = "not asked for"
FAR_LETTERS, POSTFIX_LETTERS = 3_000, 20_000  # at most, where the relay sets the pace
OURS = "campaign-limits"  # what the goals speak of: limits on, as quotas; cold

# figure, contender, the other one, measure, and the measure of the other where it is another one
Deciding = tuple[str, str, str, Measure, Measure | None]


def _both(figure: str, ours: str, other: str, measure: Measure = letters_per_second) -> tuple[Deciding, ...]:
    """Return the deciding pair without uvloop, and the one with it."""
    return tuple((figure + end, ours + end, other, measure, None) for end in ("", FAST))


def _best(figure: str, ours: str, other: str) -> tuple[Deciding, ...]:
    """Return a figure that is decided with uvloop where it is there: the later of the two counts."""
    return tuple((figure, ours + end, other + end, letters_per_second, None) for end in ("", FAST))


_KEPT = "smtp-source-kept"
RACE: tuple[Deciding, ...] = (
    *_both("nodemailer", OURS, "nodemailer"),
    *_both("cpu", OURS, "nodemailer", cpu_seconds),
    *_both("mailmerge", OURS, "mailmerge"),
    *_both("smtp-source", OURS, "smtp-source"),
    *_both("8bit", "campaign-8bit", "nodemailer"),
    ("session", "session", _KEPT, sending_per_second, letters_per_second),
    ("session" + FAST, "session" + FAST, _KEPT, sending_per_second, letters_per_second),
    *_best("processes", "campaign-processes", OURS),
    *_best("normal", OURS, "campaign-normal"),
)
FAR: tuple[Deciding, ...] = (
    ("far nodemailer", OURS, "nodemailer", letters_per_second, None),
    ("far aiosmtplib", OURS, "aiosmtplib", letters_per_second, None),
)
TLS: tuple[Deciding, ...] = _both("tls nodemailer", OURS, "nodemailer")
POSTFIX: tuple[Deciding, ...] = _both("postfix", OURS, "nodemailer")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asked for."""

    letters: int
    rounds: int
    connections: int  # ours
    pool: int  # the peers'
    delay_ms: float
    large: int  # letters of a large campaign
    rows: int
    kills: int
    patience_s: float
    only: frozenset[str]  # contenders; empty: all
    scratch: Path
    tell: Callable[[str], None]
    tried: dict[str, tuple[str, int]] = field(default_factory=dict)  # contenders, see `race`


def race(wishes: Wishes, entered: Field) -> Part:
    """Everybody over loopback."""
    absent = [name for names in entered.left_out for name in names.split(", ")]
    names = [one.name for one in entered.contenders if not one.extra or one.name in wishes.only]
    course = _course(wishes, Way.DIRECT, wishes.letters, wishes.connections)
    return _race(wishes, entered, "Over loopback", [*names, *absent], course, RACE)


def far(wishes: Wishes, entered: Field) -> Part:
    """The same with a relay that is far away; everybody with as many connections as the peers."""
    course = _course(wishes, Way.FAR, min(wishes.letters, FAR_LETTERS), wishes.pool)
    names = [OURS, OURS + FAST, "nodemailer", "aiosmtplib"]
    names += [one.name for one in entered.contenders if one.extra and one.name in wishes.only]
    everybody = replace(entered, contenders=tuple(replace(one, part=1) for one in entered.contenders))
    return _race(wishes, everybody, f"{wishes.delay_ms:g} ms to the relay", names, course, FAR)


def tls(wishes: Wishes, entered: Field) -> Part:
    """The same over TLS."""
    names = [*_ours_with_ten(), "nodemailer"]
    course = _course(wishes, Way.TLS, wishes.letters, wishes.connections)
    return _race(wishes, entered, "Over TLS (stunnel before the sink)", names, course, TLS)


def real_postfix(wishes: Wishes, entered: Field) -> Part:
    """The same with a real Postfix; a process for each connection, so ten are enough for everybody."""
    names = [OURS, OURS + FAST, "nodemailer", "aiosmtplib", _KEPT]
    course = _course(wishes, Way.POSTFIX, min(wishes.letters, POSTFIX_LETTERS), wishes.pool)
    return _race(wishes, entered, "A real Postfix as the relay", names, course, POSTFIX)


def _ours_with_ten() -> list[str]:
    return [name + end for end in ("", FAST) for name in (OURS, f"{OURS}-{TEN}", f"{OURS}-warm")]


def _course(wishes: Wishes, way: Way, letters: int, connections: int) -> Course:
    return Course(
        letters=letters,
        rounds=wishes.rounds,
        connections=connections,
        pool=wishes.pool,
        way=way,
        delay_ms=wishes.delay_ms,
        patience_s=wishes.patience_s,
        scratch=wishes.scratch,
        tell=wishes.tell,
        tried=wishes.tried,
    )


def _race(
    wishes: Wishes,
    entered: Field,
    title: str,
    names: Sequence[str],
    course: Course,
    deciding: Sequence[Deciding],
) -> Part:
    title = f"{title}: {course.letters:,} letters, {course.connections} connections, peers {course.pool}"
    wishes.tell(title)
    chosen = [name for name in names if not wishes.only or name in wishes.only]
    missing = {figure: "it or its peer did not take part, or no round counts" for figure, *_ in deciding}
    try:
        results = run_race(course, entered.chosen(chosen))
    except Failed as failure:
        return failed(title, failure, tuple(missing))
    results.left_out = {
        **_concerned(entered, names),
        **{name: NOT_ASKED_FOR for name in names if name not in chosen},
        **results.left_out,
    }
    why = _why_missing(missing, results, deciding)
    results.left_out = {name: text for name, text in results.left_out.items() if text != NOT_ASKED_FOR}
    return Part(title, race_lines(results), decided(results.rounds, deciding), why)


def decided(rounds: Sequence[Round], deciding: Sequence[Deciding]) -> dict[str, Figure]:
    """Return the figures that the rounds of a race decide; of two with one name the later that is there."""
    found: dict[str, Figure] = {}
    for figure, name, other, measure, of in deciding:
        value = ratio(rounds, name, other, measure, of)
        if value is not None:
            found[figure] = value
    return found


def failed(title: str, failure: Failed, figures: Sequence[str]) -> Part:
    """Return the part of a scenario that could not be run."""
    return Part(title, [f"Not measured: {failure}"], absent=dict.fromkeys(figures, str(failure)))


def _concerned(entered: Field, names: Sequence[str]) -> dict[str, str]:
    """Return who of those that a race wants cannot take part, and why."""
    wanted = {*names, *(FAST for name in names if name.endswith(FAST))}
    return {missing: why for missing, why in entered.left_out.items() if wanted & set(missing.split(", "))}


def _why_missing(missing: dict[str, str], results: Results, deciding: Sequence[Deciding]) -> dict[str, str]:
    """Say of each figure why it may be missing: whichever of the two was left out, and why."""
    why = dict(missing)
    left_out = {one: text for names, text in results.left_out.items() for one in names.split(", ")}
    for figure, name, other, *_ in deciding:
        for contender in (other, name):
            text = left_out.get(contender) or (left_out.get(FAST) if contender.endswith(FAST) else None)
            if text:
                why[figure] = f"{contender}: {text}"
    return why
