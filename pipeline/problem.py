"""Faults as values: where, what, what to do. Gathered, and shown together.

A stage that checks something returns its results and a list of problems; it never prints and never stops at
the first. `shown` gives the form that every command uses:

    recipients.csv:17:3: error: no such language "ell"
       17 | envoy@greece.example,ell,Ms A. Example
          |                      ^
       help: templates exist for: el, en, es, ru

Limits: a source line is cut at 160 characters round the caret; control characters are shown as escapes, so a
hostile file cannot write to the terminal.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"  # stops a send
    WARNING = "warning"  # shown; stops nothing unless asked (`check --strict`)


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in a file of the campaign.

    ``line`` and ``column`` count from 1 (0: the file as a whole); ``code`` is a stable word for machines
    (``unknown-column``); ``source`` is the text of that line, for the caret.
    """

    file: str
    line: int
    column: int
    code: str
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    source: str = ""


def errors(problems: Iterable[Problem]) -> list[Problem]:
    """Return those that stop a send."""
    return [problem for problem in problems if problem.severity is Severity.ERROR]


def visible(text: str, *, limit: int = 0) -> str:
    """Return ``text`` with control, bidi and other invisible characters as escapes.

    It is cut at ``limit`` characters; 0: not.
    """
    out = text if text.isprintable() else "".join(map(_visible_character, text))
    return out if not limit or len(out) <= limit else out[: limit - 1] + "…"


def _visible_character(character: str) -> str:
    if character.isprintable() or character == "\u200d":
        return character
    return " " if character == "\t" else f"\\u{ord(character):04x}"


def shown(problem: Problem) -> str:
    """Return the problem as lines of text, without a newline at the end."""
    place = problem.file
    if problem.line:
        place += f":{problem.line}:{max(problem.column, 1)}"
    lines = [f"{place}: {problem.severity}: {visible(problem.message)}"]
    if problem.source and problem.line:
        text, caret = _window(problem.source.rstrip("\r\n"), max(problem.column, 1))
        lines += [f"{problem.line:>5} | {text}", f"      | {caret}"]
    if problem.hint:
        first, *rest = problem.hint.split("\n")
        lines.append(f"   help: {visible(first)}")
        lines += [f"         {visible(line)}" for line in rest]
    return "\n".join(lines)


def _window(source: str, column: int, width: int = 160) -> tuple[str, str]:
    """Return the part of a long line round ``column`` and the caret below it."""
    start = 0 if column <= width - 20 else column - width // 2
    text = source[start : start + width]
    before = visible(text[: column - 1 - start])
    cells = sum(
        2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in before
    )
    return visible(text), " " * cells + "^"
