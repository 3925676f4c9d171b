"""How commands speak: results on stdout, everything else on stderr, colours only on a terminal without NO_COLOR."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TextIO

from pipeline.errors import CampaignError, BadInput
from pipeline.problem import Problem, Severity, shown, visible

SCHEMA = 1
_BOLD_RED, _YELLOW, _CYAN, _DIM, _RESET = "\x1b[1;31m", "\x1b[33m", "\x1b[36m", "\x1b[2m", "\x1b[0m"


def out(text: str = "") -> None:
    """Write a line of the result."""
    print(text, file=sys.stdout)  # noqa: T201 - stdout is where results go


def err(text: str = "") -> None:
    """Write a line about what is going on."""
    print(text, file=sys.stderr)  # noqa: T201


def out_json(document: object) -> None:
    """Write one JSON document, or one line of JSON lines."""
    out(json.dumps(document, ensure_ascii=False, default=_plain))


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return moment(value)
    raise TypeError(f"not for JSON: {type(value).__name__}")


def moment(value: datetime) -> str:
    """Return a moment as RFC 3339 in UTC."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def colourful(stream: TextIO) -> bool:
    """Say whether colours may be used there."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured(text: str, colour: str, stream: TextIO) -> str:
    """Return ``text`` in a colour where the stream shows colours."""
    return f"{colour}{text}{_RESET}" if colourful(stream) else text


def problem_text(problem: Problem, stream: TextIO) -> str:
    """Return a problem as lines of text, its weight in colour."""
    text = shown(problem)
    if not colourful(stream):
        return text
    colour = _BOLD_RED if problem.severity is Severity.ERROR else _YELLOW
    word = f" {problem.severity}:"
    return text.replace(word, f" {colour}{problem.severity}:{_RESET}", 1).replace(
        "   help:", f"   {_CYAN}help:{_RESET}", 1
    )


def tell_problems(problems: Iterable[Problem], stream: TextIO | None = None) -> None:
    """Show problems, an empty line between two."""
    stream = stream or sys.stderr
    for number, problem in enumerate(problems):
        if number:
            print(file=stream)  # noqa: T201
        print(problem_text(problem, stream), file=stream)  # noqa: T201


def problem_json(problem: Problem) -> dict[str, Any]:
    """Return a problem as other programs read it."""
    document = asdict(problem)
    document.pop("source")
    return document


def tell_error(error: CampaignError) -> None:
    """Show an error that ends the command."""
    if isinstance(error, BadInput):
        tell_problems(error.problems)
    if error.message:
        err(f"{coloured('error:', _BOLD_RED, sys.stderr)} {visible(error.message)}")
    for number, line in enumerate(error.hint.split("\n") if error.hint else []):
        err(f"{coloured(' help:', _CYAN, sys.stderr) if not number else '      '} {visible(line)}")


def error_json(error: CampaignError) -> dict[str, Any]:
    """Return an error as other programs read it."""
    document: dict[str, Any] = {
        "type": "error",
        "schema": SCHEMA,
        "message": error.message,
        "hint": error.hint,
    }
    if isinstance(error, BadInput):
        document["problems"] = [problem_json(problem) for problem in error.problems]
    return document | {"exit": int(error.exit_code)}


def dim(text: str) -> str:
    """Return text for the background of stdout."""
    return coloured(text, _DIM, sys.stdout)


def next_step(text: str) -> None:
    """Say what to do next: the last line of a command, on a terminal."""
    if sys.stdout.isatty():
        out(coloured(f"Next: {text}", _CYAN, sys.stdout))


def table(rows: Iterable[tuple[str, ...]], *, gap: str = "  ") -> list[str]:
    """Return rows as lines with aligned columns; the last column is not padded."""
    from rich.cells import cell_len

    rows = [tuple(visible(cell) for cell in row) for row in rows]
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    lines = []
    for row in rows:
        cells = [
            cell + " " * (width - cell_len(cell)) if column < len(row) - 1 else cell
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(gap.join(cells).rstrip())
    return lines
