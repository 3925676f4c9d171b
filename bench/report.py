"""What was measured, as Markdown: the same on the terminal and in RESULTS.md. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.figures import (
    Figure,
    Round,
    counted_rounds,
    cpu_seconds,
    letters_per_second,
    peak_mib,
    ratio,
    sending_per_second,
    typical,
)
from bench.goals import Standing
from bench.race import Results

PEERS = ("nodemailer", "mailmerge", "aiosmtplib", "smtp-source", "smtp-source-kept")
NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Part:
    """One scenario's section.

    ``figures`` decide goals; ``absent`` says for goals of this scenario why there is no figure.
    """

    title: str
    lines: Sequence[str]
    figures: Mapping[str, Figure] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)


def whole(
    *,
    command: str,
    machine: Iterable[tuple[str, str]],
    parts: Sequence[Part],
    standing: Sequence[Standing],
) -> str:
    """Return the page."""
    lines = [
        "# Results of the benchmark",
        "",
        f"`{command}`",
        "",
        "Ratios are taken inside a round; the median of the rounds is given, and from where to where they",
        "went. Figures of other runs or machines do not compare. Whole processes, start included, unless",
        "said otherwise. Our lines are cold (list checked, letters planned and sent in one process) unless",
        "they say warm (planned and released before); goals are judged on the cold ones.",
        "",
        *table(("machine", ""), machine),
    ]
    for part in parts:
        lines += ["", f"## {part.title}", "", *part.lines]
    if standing:
        lines += ["", "## What must be reached", "", *goals_table(standing), "", *losses(standing)]
    return "\n".join(lines) + "\n"


def goals_table(standing: Sequence[Standing]) -> list[str]:
    """Return the goals with their figures and verdicts."""
    rows = []
    for one in standing:
        goal, sign = one.goal, "at most" if one.goal.at_most else "at least"
        shown = NOTHING if one.figure is None else spread(one.figure, goal.unit)
        bound = f"{sign} {quantity(goal.bound, goal.unit)}"
        rows.append((goal.work, goal.against, bound, shown, one.verdict))
    return table(("work", "against", "goal", "figure", "verdict"), rows)


def losses(standing: Sequence[Standing]) -> list[str]:
    """Return in plain words where goals are missed, and how many were not measured."""
    missed = [one for one in standing if one.reached is False]
    unknown = sum(1 for one in standing if one.reached is None)
    lines = [f"Where we lose ({len(missed)} of {len(standing) - unknown} measured):"] if missed else []
    for one in missed:
        assert one.figure is not None
        figure, bound = quantity(one.figure.value, one.goal.unit), quantity(one.goal.bound, one.goal.unit)
        lines.append(f"- {one.goal.work}, against {one.goal.against}: {figure}, the goal is {bound}")
    if not missed and unknown < len(standing):
        lines.append("Every goal that was measured is reached.")
    if unknown:
        lines.append(f"{'' if not missed else '- '}{unknown} of {len(standing)} goals were not measured.")
    return lines


def race_lines(results: Results) -> list[str]:
    """Return the table of a race, who was left out, and every turn that does not count."""
    rounds = results.rounds
    names = [contender.name for contender in results.contenders]
    peers = [name for name in PEERS if name in names]
    head = ("contender", "letters/s", "from to", *(f"x {name}" for name in peers))
    head = (*head, "sending alone, letters/s", "CPU s per 10k", "peak MiB", "octets a letter", "rounds")
    rows = []
    for contender in results.contenders:
        name = contender.name
        row = [
            f"{name}: {contender.what}",
            number(typical(rounds, name, letters_per_second)),
            _range(rounds, name),
        ]
        row += [
            _times(ratio(rounds, name, peer, letters_per_second)) if peer != name else NOTHING
            for peer in peers
        ]
        row += [
            number(typical(rounds, name, sending_per_second)),
            number(typical(rounds, name, cpu_seconds), digits=2),
            number(typical(rounds, name, peak_mib)),
            number(results.octets.get(name)),
            f"{counted_rounds(rounds, name)} of {len(rounds)}",
        ]
        rows.append(tuple(row))
    lines = table(head, rows)
    if results.left_out:
        lines += ["", "Left out:", *(f"- {name}: {why}" for name, why in results.left_out.items())]
    if results.voids:
        lines += ["", "Void turns, in no figure:", *(f"- {void}" for void in results.voids)]
    return lines


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table; bars in cells are written as entities."""
    lines = [_row(head), _row(["---"] * len(head))]
    return lines + [_row(row) for row in rows]


def number(value: float | None, *, digits: int = 0) -> str:
    """Return a number for a reader; a dash for none."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def quantity(value: float, unit: str) -> str:
    """Return a ratio as "2.50 x", another quantity with its unit."""
    return f"{value:.2f} x" if unit == "x" else f"{value:.0f} {unit}"


def spread(figure: Figure, unit: str) -> str:
    """Return a figure with its lowest and highest round, where there were several."""
    shown = quantity(figure.value, unit)
    if figure.rounds < 2:
        return shown
    digits = 2 if unit == "x" else 0
    return f"{shown} ({figure.low:.{digits}f} to {figure.high:.{digits}f}, {figure.rounds} rounds)"


def _range(rounds: Sequence[Round], name: str) -> str:
    found = [rate for one in rounds if name in one and (rate := letters_per_second(one[name])) is not None]
    return f"{min(found):,.0f} to {max(found):,.0f}" if found else NOTHING


def _times(figure: Figure | None) -> str:
    return NOTHING if figure is None else f"{figure.value:.2f}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "&#124;").replace("\n", " ") for cell in cells) + " |"
