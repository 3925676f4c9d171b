"""From TOML text to plain values, and every mistake in its syntax as a Problem.

tomllib stops at the first mistake and speaks like a parser. This reads on after mistakes that end with their
line, says in plain words what is wrong, and finds keys that stand twice, all of them, with the line of the
first.

Contract: pure; never raises, whatever the text. Source lines are masked (`pipeline.config.secrets`).

Limits: after a mistake that spoils what follows it (an open bracket or quote) the rest is not looked at.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.config.secrets import masked_line
from pipeline.positions import Path, Positions, Twice, find_positions
from pipeline.problem import Problem, Severity, visible

MOST_PROBLEMS = 20
LONGEST_LINE = 4_000  # tomllib takes time by the square of the dots in a key
QUOTES_HINT = 'text stands in "quotes"; numbers, true and false do not'

_PLACE = re.compile(r" \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)$")

# What tomllib says, what we say, the help, and whether the mistake ends with its line.
_WORDS: tuple[tuple[str, str, str, bool], ...] = (
    ("Invalid value", "this is not a value", QUOTES_HINT, True),
    ("Illegal character '\\n'", "the closing quote is missing on this line", "", True),
    ("Illegal character", "a control character stands here", "delete it", True),
    ("Expected newline", "something stands behind the value", "one key = value a line; " + QUOTES_HINT, True),
    ("Expected '='", 'there is no "=" after the key', 'key = "value"', True),
    (
        "Invalid statement",
        "this is neither a [table] nor key = value",
        "keys are letters a-z, digits, - and _; comments begin with #",
        True,
    ),
    ("Invalid initial character", "this cannot begin a key", "keys are letters, digits, - and _", True),
    (
        "Unescaped '\\'",
        "a backslash stands in the text",
        "write \\\\, or put the text in 'single quotes'",
        True,
    ),
    ("Expected ']'", 'the table\'s name is not closed with "]"', "[relay]", True),
    ("Unclosed array", 'a "[" is never closed', 'close it with "]"; separate values by commas', False),
    ("Unclosed inline", 'a "{" is never closed', 'close it with "}"', False),
    ("Unterminated string", "the closing quotes are missing", "", False),
    ("Hex value", "this is no character code", "", True),
    ("Invalid hex", "this is no character code", "", True),
    ("Cannot", "this key or table was already set in another way", "", False),
)


@dataclass(frozen=True)
class Source:
    """A file's text with the places in it; makes Problems that show the line, masked."""

    file: str
    text: str

    @cached_property
    def positions(self) -> Positions:
        """Return where everything stands, found once."""
        return find_positions(self.text)

    def problem(
        self, offset: int, code: str, message: str, hint: str = "", *, severity: Severity = Severity.ERROR
    ) -> Problem:
        """Return the problem at an offset of the text."""
        line, column = self.positions.place(offset)
        return Problem(
            self.file, line, column, code, message, hint, severity, source=masked_line(self.positions, line)
        )


def read_toml(source: Source) -> tuple[dict[str, Any], list[Problem], bool]:
    """Return the values, the problems of syntax, and whether the values are whole enough to be checked."""
    text, problems, twice = source.text, list[Problem](), False
    long = re.search(rf"[^\n]{{{LONGEST_LINE}}}", text)
    if long:
        return (
            {},
            [source.problem(long.start(), "too-long", f"a line of over {LONGEST_LINE} characters")],
            False,
        )
    while len(problems) < MOST_PROBLEMS:
        try:
            return tomllib.loads(text), problems, not problems or twice
        except RecursionError:
            return {}, [*problems, source.problem(0, "syntax", "brackets are nested too deeply")], False
        except ValueError as error:
            if not twice and re.match("Cannot (overwrite|declare)", str(error)) and source.positions.twice:
                twice = not problems
                problems += [_twice(source, one) for one in source.positions.twice[:MOST_PROBLEMS]]
                if any(one.is_table for one in source.positions.twice):
                    return {}, problems, False
                text = _without(text, source.positions.twice)
                continue
            problem, goes_on = _syntax(source, str(error))
            problems.append(problem)
            twice = False
            if not goes_on:
                break
            text = _blanked(text, source.positions.line_bounds(problem.line))
    return {}, problems, False


def _syntax(source: Source, error: str) -> tuple[Problem, bool]:
    """Return tomllib's error in our words, and whether reading can go on after its line."""
    place = _PLACE.search(error)
    known = next((row for row in _WORDS if error.startswith(row[0])), None)
    words, hint, goes_on = known[1:] if known else ("this is not TOML", "", False)
    offset = len(source.text.rstrip())
    if place and place[1]:
        offset = source.positions.offset(int(place[1]), int(place[2]))
    else:
        goes_on = False
    if not goes_on and source.positions.unclosed is not None:
        offset = source.positions.unclosed
        words, hint = ("this is opened and never closed", 'close it with ", """, ] or }, as it was opened')
        goes_on = False
    if error.startswith("Illegal character '\\n'"):
        hint = "text begins and ends with a quote, on one line"
    if not place:  # not the grammar: a number of thousands of digits, for one
        offset = 0
    return source.problem(offset, "syntax", words, hint), goes_on


def _twice(source: Source, twice: Twice) -> Problem:
    line, _ = source.positions.place(twice.first)
    name = visible(dotted(twice.path), limit=80)
    what = f"the table [{name}] stands twice" if twice.is_table else f"the key {name} stands twice"
    hint = "put all its keys below one header" if twice.is_table else "keep one of the two"
    return source.problem(twice.second, "duplicate-key", f"{what}; first on line {line}", hint)


def _without(text: str, twice: list[Twice]) -> str:
    for one in twice:
        text = _blanked(text, (one.second, one.end))
    return text


def _blanked(text: str, bounds: tuple[int, int]) -> str:
    """Return the text with spaces between two offsets; newlines stay, so that all places stay."""
    start, end = bounds
    return text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]


def dotted(path: Path) -> str:
    """Return a path as it is written: ``limits.domain."gmail.com"``, ``campaign.languages[1]``."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            out += ("." if out else "") + (part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"')
    return out
