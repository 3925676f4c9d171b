"""The text of a template file, and where in it something stands.

A problem in a template is of use only with the exact line and column. Jinja knows lines, not columns;
`Source` finds the column by looking for what the problem is about.

Limits: the n-th occurrence on a line is found by its spelling, so an occurrence inside a quotation counts
too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.problem import Problem, Severity

LARGEST = 256 * 1024  # octets of one file

# What no template may hold: control characters, and the private-use plane whose characters stand in for
# values between Jinja and Markdown.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\U000f0000-\U000ffffd]")


@dataclass(frozen=True, slots=True)
class Source:
    """A file relative to the campaign folder, and its lines without their ends."""

    file: str
    lines: tuple[str, ...]

    def line(self, number: int) -> str:
        """Return line ``number``, from 1; an empty text where there is none."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    def column(self, number: int, pattern: str, nth: int = 0) -> int:
        """Return the column, from 1, of the ``nth`` match (from 0) of a regular expression on line
        ``number``.

        The first match where there are fewer; without any, the first tag or the first visible character.
        """
        line = self.line(number)
        places = [match.start() + 1 for match in re.finditer(pattern, line)]
        if places:
            return places[nth] if nth < len(places) else places[0]
        fallback = re.search(r"\{[{%]", line) or re.search(r"\S", line)
        return fallback.start() + 1 if fallback else 1

    def first_line_with(self, pattern: str, start: int = 1) -> int:
        """Return the first line from ``start`` on that matches; ``start`` where none does."""
        wanted = re.compile(pattern)
        for number in range(max(start, 1), len(self.lines) + 1):
            if wanted.search(self.lines[number - 1]):
                return number
        return start

    def problem(
        self,
        line: int,
        column: int,
        code: str,
        message: str,
        *,
        hint: str = "",
        severity: Severity = Severity.ERROR,
    ) -> Problem:
        """Return a problem at a place of this file, with the text of its line."""
        return Problem(self.file, line, column, code, message, hint, severity, self.line(line))


def read_source(file: str, text: str) -> tuple[Source, list[Problem]]:
    """Return a file's lines, whatever their ends were, with what makes it unusable as a template."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if len(text.encode("utf-8", "surrogatepass")) > LARGEST:
        message = f"the file is larger than {LARGEST // 1024} KiB"
        return Source(file, ()), [Problem(file, 0, 0, "template-too-large", message)]
    source = Source(file, tuple(text.split("\n")))
    problems = []
    for number, line in enumerate(source.lines, 1):
        if found := _FORBIDDEN.search(line):
            message = f"the character U+{ord(found[0]):04X} has no place in a letter"
            problems.append(source.problem(number, found.start() + 1, "control-character", message))
    return source, problems[:20]
