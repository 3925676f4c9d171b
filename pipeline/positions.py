"""Where in a TOML text each key and each value stands.

tomllib gives values without places; this walks the same text once more and remembers, for every path, where
its key and its value begin and end. It also finds keys that stand twice, and what was opened and never
closed.

Contract: pure; never raises, whatever the text: what is not TOML is skipped to the end of its line, for
tomllib has already said so. A path is a tuple of keys and list indexes: ``("relay", "url")``, ``("campaign",
"languages", 1)``. Lines and columns count characters from 1. Implements TOML 1.0 as far as places need it.

Limits: below `DEEPEST` nested brackets nothing is remembered.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass, field

Path = tuple[str | int, ...]

DEEPEST = 20

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
_SPACE = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR = re.compile(r"[^\n#,\]}]*")


@dataclass(frozen=True, slots=True)
class Span:
    """One ``key = value``: offsets of the key, of the value, and of the end of the value."""

    key: int
    value: int
    end: int


@dataclass(frozen=True, slots=True)
class Twice:
    """A key or table that stands twice: its path, and the offsets of both places."""

    path: Path
    first: int
    second: int
    end: int
    is_table: bool


@dataclass(slots=True)
class Positions:
    """The places found in one text."""

    text: str
    spans: dict[Path, Span] = field(default_factory=dict)
    tables: dict[Path, int] = field(default_factory=dict)
    twice: list[Twice] = field(default_factory=list)
    unclosed: int | None = None
    _starts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._starts = [0] + [match.end() for match in re.finditer("\n", self.text)]

    def place(self, offset: int) -> tuple[int, int]:
        """Return line and column of an offset."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def offset(self, line: int, column: int) -> int:
        """Return the offset of a line and a column, kept within the text."""
        if line > len(self._starts):
            return len(self.text)
        return min(self._starts[line - 1] + column - 1, len(self.text))

    def line_bounds(self, line: int) -> tuple[int, int]:
        """Return where a line begins, and where it ends without its newline."""
        end = self._starts[line] - 1 if line < len(self._starts) else len(self.text)
        return self._starts[line - 1], end

    def of_key(self, path: Path) -> int | None:
        """Return the offset of a key or table header; of the nearest one round it where it has none."""
        for length in range(len(path), 0, -1):
            part = path[:length]
            if part in self.spans:
                return self.spans[part].key
            if part in self.tables:
                return self.tables[part]
            inner = [span.key for known, span in self.spans.items() if known[:length] == part]
            if inner:
                return min(inner)
        return None

    def of_value(self, path: Path) -> int | None:
        """Return the offset of a value, or of the nearest key round it."""
        return self.spans[path].value if path in self.spans else self.of_key(path)


def find_positions(text: str) -> Positions:
    """Return where everything stands in ``text``."""
    found = Positions(text)
    _Walk(found).run()
    return found


class _Walk:
    """One pass over the text."""

    def __init__(self, found: Positions) -> None:
        self.found = found
        self.text = found.text
        self.at = 0
        self.table: Path = ()
        self.items: dict[Path, int] = {}

    def run(self) -> None:
        while True:
            self.at = self._matched(_BETWEEN)
            if self.at >= len(self.text):
                return
            if self.text[self.at] == "[":
                self._header()
            else:
                self._statement(self.table, depth=0)
            self._to_line_end()

    def _matched(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self.text, self.at)
        return match.end() if match else self.at

    def _to_line_end(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end

    def _header(self) -> None:
        start, many = self.at, self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        parts = self._dotted()
        if parts is None:
            return
        path: Path = ()
        for part in parts:
            path = self._last_item((*path, part))
        if many:
            whole: Path = path[:-1] if path and isinstance(path[-1], int) else path
            self.items[whole] = self.items.get(whole, -1) + 1
            path = (*whole, self.items[whole])
        elif path in self.found.tables:
            self.found.twice.append(Twice(path, self.found.tables[path], start, self.at + 1, is_table=True))
        self.found.tables.setdefault(path, start)
        self.table = path

    def _last_item(self, path: Path) -> Path:
        return (*path, self.items[path]) if path in self.items else path

    def _statement(self, table: Path, depth: int) -> bool:
        """Read one ``key = value``; False where it is none."""
        start = self.at
        parts = self._dotted()
        if parts is None or not self.text.startswith("=", self.at):
            return False
        self.at += 1
        self.at = self._matched(_SPACE)
        path = (*table, *parts)
        value = self.at
        # Remembered before it is read: what is never closed must be covered too.
        span = Span(start, value, len(self.text))
        known = self.found.spans.get(path)
        if known is None:
            self.found.spans[path] = span
        self._value(path, depth)
        if known is None:
            self.found.spans[path] = Span(start, value, self.at)
        else:
            self.found.twice.append(Twice(path, known.key, start, self.at, is_table=False))
        return True

    def _dotted(self) -> list[str] | None:
        parts: list[str] = []
        while True:
            self.at = self._matched(_SPACE)
            part = self._part()
            if part is None:
                return None
            parts.append(part)
            self.at = self._matched(_SPACE)
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def _part(self) -> str | None:
        for pattern in (_BARE, _BASIC, _LITERAL):
            match = pattern.match(self.text, self.at)
            if match:
                self.at = match.end()
                return _unquoted(match[0])
        return None

    def _value(self, path: Path, depth: int) -> None:
        for quotes in ('"""', "'''"):
            if self.text.startswith(quotes, self.at):
                self._long_string(quotes)
                return
        first = self.text[self.at : self.at + 1]
        if first in ("'", '"'):
            self._string(_BASIC if first == '"' else _LITERAL)
        elif first == "[" and depth < DEEPEST:
            self._list(path, depth)
        elif first == "{" and depth < DEEPEST:
            self._inline_table(path, depth)
        else:
            self.at = self._matched(_SCALAR)
            while self.text[self.at - 1 : self.at] in (" ", "\t", "\r"):
                self.at -= 1

    def _string(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        if match:
            self.at = match.end()
        else:
            self._to_line_end()

    def _long_string(self, quotes: str) -> None:
        start = self.at
        self.at += 3
        while True:
            end = self.text.find(quotes, self.at)
            if end < 0:
                self._never_closed(start)
                self.at = len(self.text)
                return
            self.at = end + 3
            if quotes == "'''" or not self._escaped(end):
                break
            self.at = end + 1
        while self.text.startswith(quotes[0], self.at):  # up to two quotes may stand before the closing three
            self.at += 1

    def _escaped(self, offset: int) -> bool:
        """Return whether an odd number of backslashes stands before an offset."""
        start = offset
        while self.text.startswith("\\", start - 1):
            start -= 1
        return (offset - start) % 2 == 1

    def _list(self, path: Path, depth: int) -> None:
        start, number = self.at, 0
        self.at += 1
        while True:
            self.at = self._matched(_BETWEEN)
            if self.text.startswith("]", self.at):
                self.at += 1
                return
            value = self.at
            self._value((*path, number), depth + 1)
            if self.at == value:
                self._never_closed(start)
                return
            self.found.spans.setdefault((*path, number), Span(value, value, self.at))
            number += 1
            self.at = self._matched(_BETWEEN)
            if self.text.startswith(",", self.at):
                self.at += 1
            elif not self.text.startswith("]", self.at):
                self._never_closed(start)
                return

    def _inline_table(self, path: Path, depth: int) -> None:
        start = self.at
        self.at += 1
        while True:
            self.at = self._matched(_SPACE)
            if self.text.startswith("}", self.at):
                self.at += 1
                return
            if not self._statement(path, depth + 1):
                self._never_closed(start)
                return
            self.at = self._matched(_SPACE)
            if self.text.startswith(",", self.at):
                self.at += 1
            elif not self.text.startswith("}", self.at):
                self._never_closed(start)
                return

    def _never_closed(self, offset: int) -> None:
        if self.found.unclosed is None:
            self.found.unclosed = offset


def _unquoted(key: str) -> str:
    if key[0] == "'":
        return key[1:-1]
    if key[0] != '"':
        return key
    if "\\" not in key:
        return key[1:-1]
    try:
        return str(tomllib.loads(f"key = {key}")["key"])
    except ValueError:
        return key[1:-1]
