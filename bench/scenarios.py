"""The scenarios: each runs something and returns its part of the report, with the figures that decide goals.

A scenario that cannot be run (no sink, no openssl, a campaign that fails) is a part that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contenders import FAST, Field
from bench.figures import (
    Measure,
    Round,
    cpu_seconds,
    letters_per_second,
    ratio,
    sending_per_second,
)
from bench.intake import compare
from bench.processes import Failed
from bench.race import Course, Results, Way, run_race
from bench.report import Part, number, race_lines, table
from bench.stores import Bounds, first_letter_seconds, send_peaks, status_seconds

FAR_LETTERS = 1_000  # at most, when the relay is far: 20 s a turn for the slowest
OURS = "campaign-limits"  # what the goals speak of: limits on, as quotas

# figure, contender, the other one, measure, and the measure of the other where it is another one
Deciding = tuple[str, str, str, Measure, Measure | None]

_RACE: tuple[Deciding, ...] = (
    *(
        deciding
        for suffix in ("", FAST)
        for deciding in (
            (f"nodemailer{suffix}", OURS + suffix, "nodemailer", letters_per_second, None),
            (f"cpu{suffix}", OURS + suffix, "nodemailer", cpu_seconds, None),
            (f"mailmerge{suffix}", OURS + suffix, "mailmerge", letters_per_second, None),
            (f"smtp-source{suffix}", OURS + suffix, "smtp-source", letters_per_second, None),
            (
                f"session{suffix}",
                f"session{suffix}",
                "smtp-source-kept",
                sending_per_second,
                letters_per_second,
            ),
            (f"8bit{suffix}", f"campaign-8bit{suffix}", "nodemailer", letters_per_second, None),
        )
    ),
    ("processes", "campaign-processes", "campaign", letters_per_second, None),
    ("normal", "campaign", "campaign-normal", letters_per_second, None),
)
_FAR: tuple[Deciding, ...] = (
    ("far nodemailer", "campaign", "nodemailer", letters_per_second, None),
    ("far aiosmtplib", "campaign", "aiosmtplib", letters_per_second, None),
)
_TLS: tuple[Deciding, ...] = (("tls nodemailer", OURS, "nodemailer", letters_per_second, None),)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asked for."""

    letters: int
    rounds: int
    pool: int
    delay_ms: float
    sizes: tuple[int, int]  # a small and a large campaign
    peak_sizes: tuple[int, int]
    rows: int
    patience_s: float
    only: frozenset[str]  # contenders; empty: all
    scratch: Path
    tell: Callable[[str], None]

    @property
    def bounds(self) -> Bounds:
        """The same for what is no race."""
        return Bounds(self.rounds, self.pool, self.patience_s, self.scratch, self.tell)


def race(wishes: Wishes, field: Field) -> Part:
    """Everybody over loopback."""
    absent = [name for names in field.left_out for name in names.split(", ")]
    names = [*(one.name for one in field.contenders), *absent]
    title = f"Over loopback: {wishes.letters:,} letters, {wishes.pool} connections"
    return _race(wishes, field, title, names, Way.DIRECT, wishes.letters, _RACE)


def far(wishes: Wishes, field: Field) -> Part:
    """The same with a relay that is far away."""
    letters = min(wishes.letters, FAR_LETTERS)
    title = f"{wishes.delay_ms:g} ms to the relay: {letters:,} letters, {wishes.pool} connections"
    names = ["campaign", f"campaign{FAST}", "campaign-grouped", "campaign-off", "nodemailer", "aiosmtplib"]
    return _race(wishes, field, title, names, Way.FAR, letters, _FAR)


def tls(wishes: Wishes, field: Field) -> Part:
    """The same over TLS, by way of our own small TLS proxy, which all go through."""
    title = f"Over TLS, by way of bench/tls_proxy.py: {wishes.letters:,} letters, {wishes.pool} connections"
    names = [OURS, OURS + FAST, "nodemailer"]
    return _race(wishes, field, title, names, Way.TLS, wishes.letters, _TLS)


def memory(wishes: Wishes, _field: Field) -> Part:
    """Peak memory of a small and a large send."""
    small, large = wishes.peak_sizes
    try:
        peaks = send_peaks(wishes.bounds, wishes.peak_sizes)
    except Failed as failure:
        return _failed("Peak memory of a send", failure, ("memory ratio", "memory peak"))
    rows = [(f"{size:,}", number(peak, digits=1)) for size, peak in peaks.items()]
    figures = {"memory ratio": peaks[large] / peaks[small], "memory peak": max(peaks.values())}
    return Part("Peak memory of a send", table(("letters", "peak MiB"), rows), figures)


def status(wishes: Wishes, _field: Field) -> Part:
    """`campaign status` on a small and a large campaign."""
    return _sized(wishes, "`campaign status`, whole process", "status", status_seconds)


def resume(wishes: Wishes, _field: Field) -> Part:
    """From the start of `campaign send` to the first letter, on a small and a large campaign."""
    title = "Resuming: start of `campaign send` to the first letter in the sink"
    return _sized(wishes, title, "resume", first_letter_seconds)


def intake(wishes: Wishes, _field: Field) -> Part:
    """Reading the list."""
    title = "Reading the list, every row judged; without the interpreter's start"
    try:
        found = compare(
            wishes.scratch,
            count=wishes.rows,
            rounds=wishes.rounds,
            patience_s=wishes.patience_s,
            tell=wishes.tell,
        )
    except Failed as failure:
        return _failed(title, failure, ("intake",))
    rows = [
        ("campaign, all cells of the row", number(found.ours_us, digits=1)),
        ("email-validator, the address alone, and csv", number(found.peer_us, digits=1)),
    ]
    same = f"{found.rows:,} rows, {found.accepted:,} accepted, the same ones by both."
    return Part(title, [*table(("reader", "µs a row"), rows), "", same], {"intake": found.ratio})


def _race(
    wishes: Wishes,
    field: Field,
    title: str,
    names: Sequence[str],
    way: Way,
    letters: int,
    deciding: Sequence[Deciding],
) -> Part:
    chosen = [name for name in names if not wishes.only or name in wishes.only]
    course = Course(
        letters=letters,
        rounds=wishes.rounds,
        pool=wishes.pool,
        way=way,
        delay_ms=wishes.delay_ms,
        patience_s=wishes.patience_s,
        scratch=wishes.scratch,
        tell=wishes.tell,
    )
    missing = {figure: "it or its peer did not take part, or no round counts" for figure, *_ in deciding}
    try:
        results = run_race(course, field.chosen(chosen))
    except Failed as failure:
        return _failed(title, failure, tuple(missing))
    results.left_out = {
        **_concerned(field, names),
        **_not_asked_for(field, names, chosen),
        **results.left_out,
    }
    figures = decided(results.rounds, deciding)
    return Part(title, race_lines(results), figures, _why_missing(missing, results, deciding))


def decided(rounds: Sequence[Round], deciding: Sequence[Deciding]) -> dict[str, float]:
    """Return the figures that the rounds of a race decide."""
    found = {figure: ratio(rounds, name, other, measure, of) for figure, name, other, measure, of in deciding}
    return {figure: value for figure, value in found.items() if value is not None}


def _concerned(field: Field, names: Sequence[str]) -> dict[str, str]:
    """Return who of those that a race wants cannot take part, and why."""
    wanted = {*names, *(FAST for name in names if name.endswith(FAST))}
    return {missing: why for missing, why in field.left_out.items() if wanted & set(missing.split(", "))}


def _not_asked_for(field: Field, names: Sequence[str], chosen: Sequence[str]) -> dict[str, str]:
    here = {one.name for one in field.contenders}
    return {name: "not asked for" for name in names if name in here and name not in chosen}


def _why_missing(missing: dict[str, str], results: Results, deciding: Sequence[Deciding]) -> dict[str, str]:
    """Say of each figure why it may be missing: whichever of the two was left out, and why."""
    why = dict(missing)
    left_out = {one: text for names, text in results.left_out.items() for one in names.split(", ")}
    for figure, name, other, *_ in deciding:
        for contender in (other, name):
            suffix = FAST if contender.endswith(FAST) else ""
            text = left_out.get(contender) or left_out.get(contender.removesuffix("-kept"))
            text = text or (left_out.get(FAST) if suffix else None)
            if text:
                why[figure] = f"{contender}: {text}"
    return why


def _sized(
    wishes: Wishes, title: str, figure: str, measure: Callable[[Bounds, Sequence[int]], dict[int, float]]
) -> Part:
    small, large = wishes.sizes
    try:
        seconds = measure(wishes.bounds, wishes.sizes)
    except Failed as failure:
        return _failed(title, failure, (figure,))
    rows = [(f"{size:,}", number(taken, digits=3)) for size, taken in seconds.items()]
    return Part(title, table(("letters", "seconds"), rows), {figure: seconds[large] / seconds[small]})


def _failed(title: str, failure: Failed, figures: Sequence[str]) -> Part:
    return Part(title, [f"Not measured: {failure}"], absent=dict.fromkeys(figures, str(failure)))
