"""How commands speak: results on stdout, all else on stderr, colours only on a terminal without NO_COLOR.

A stream that cannot be written (its reader went away, the disk is full) is muted and the command goes on:
what a send does never depends on who listens. `lost_output` says so at the end.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, tzinfo
from typing import Any, TextIO

from pipeline.errors import BadInput, CampaignError, Interrupted
from pipeline.problem import Problem, Severity, shown, visible

SCHEMA = 1
LEAST_WORDS = 20  # columns a cut text needs to say anything
_BOLD_RED, _YELLOW, _CYAN, _RESET = "\x1b[1;31m", "\x1b[33m", "\x1b[36m", "\x1b[0m"


_lost: list[str] = []  # why results could not be written, at most one reason a stream


def out(text: str = "") -> None:
    """Write a line of the result."""
    _write(text, sys.stdout)


def err(text: str = "") -> None:
    """Write a line about what is going on."""
    _write(text, sys.stderr)


def out_json(document: object) -> None:
    """Write one JSON document, or one line of JSON lines."""
    unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"
    out(json.dumps(document, ensure_ascii=not unicode, default=_plain))


def ask(question: str) -> str:
    """Return what is typed on stdin, stripped; "" at its end. Raises Interrupted for Ctrl-C."""
    try:
        _write(f"{question}: ", sys.stderr, end="")
        typed = sys.stdin.readline()
    except KeyboardInterrupt:
        err()
        raise Interrupted("interrupted; nothing was sent") from None
    if not typed.endswith("\n"):
        err()
    return typed.strip()


def lose_output() -> None:
    """Take note that another process of this command lost results."""
    _lost.append("")


def lost_output() -> bool:
    """Hand on what is still buffered; say whether results were lost, not counting a reader who left."""
    for stream in (sys.stdout, sys.stderr):
        _write("", stream, end="")
    lost = bool(_lost)
    _lost.clear()
    return lost


def _write(text: str, stream: TextIO, *, end: str = "\n") -> None:
    """Write at once; a stream that fails is muted for good."""
    try:
        print(text, end=end, file=stream, flush=True)
    except OSError as trouble:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if stream is sys.stdout and not isinstance(trouble, BrokenPipeError):
            _lost.append(trouble.strerror or "")
            err(f"error: the results cannot be written: {trouble.strerror}")


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return moment(value)
    raise TypeError(f"not for JSON: {type(value).__name__}")


def moment(value: datetime) -> str:
    """Return a moment as RFC 3339 in UTC."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local_moment(value: datetime, zone: tzinfo) -> str:
    """Return a moment for people, to the second, on the clock of ``zone``."""
    return f"{value.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def lively(stream: TextIO) -> bool:
    """Say whether what was written there can be drawn over."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def colourful(stream: TextIO) -> bool:
    """Say whether colours may be used there."""
    return lively(stream) and not os.environ.get("NO_COLOR")


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
        _write(("\n" if number else "") + problem_text(problem, stream), stream)


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


def next_step(text: str) -> None:
    """Say what to do next: the last line of a command, on a terminal."""
    if sys.stdout.isatty():
        out(coloured(f"Next: {text}", _CYAN, sys.stdout))


def terminal_width(stream: TextIO) -> int:
    """Return how many columns there are; 0 off a terminal, where lines are as long as they are."""
    return shutil.get_terminal_size().columns if stream.isatty() else 0


def table(rows: Iterable[tuple[str, ...]], *, gap: str = "  ", width: int = 0) -> list[str]:
    """Return rows as lines with aligned columns.

    The last column is not padded; with ``width`` it is cut there, as long as a few words of it fit.
    """
    from rich.cells import cell_len, set_cell_size

    rows = [tuple(visible(cell) for cell in row) for row in rows]
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    room = width - sum(widths[:-1]) - len(gap) * (len(widths) - 1)
    lines = []
    for row in rows:
        *front, last = row
        cells = [cell + " " * (wide - cell_len(cell)) for cell, wide in zip(front, widths, strict=False)]
        if width and LEAST_WORDS <= room < cell_len(last):
            last = set_cell_size(last, room - 1).rstrip() + "…"
        lines.append(gap.join([*cells, last]).rstrip())
    return lines


def counted(number: int, word: str) -> str:
    """Return "1 letter", "2 letters", "2 addresses"."""
    return f"{number} {word}{'' if number == 1 else 'es' if word.endswith('s') else 's'}"
