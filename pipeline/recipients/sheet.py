"""The text of a list as records of cells, each cell with its place in the file.

Contract: `csv` reads, strictly; this gives every record its first line, goes on after a record that cannot be
read, and finds the place of a cell when a problem has to point at it. Records stream; nothing but the text is
kept.

Standards: RFC 4180 (comma-separated values), with ``;`` and TAB as delimiters, and spaces before an opening
quote.

Limits: a record spans at most 50 lines and a cell 131,072 characters (`csv.field_size_limit`); more is an
unclosed quote or an attack. Lines end in LF, CR LF or CR.
"""

from __future__ import annotations

import csv
import io
from array import array
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "TAB"}
MAX_RECORD_LINES = 50


class Break(StrEnum):
    """Why a record could not be read; the value is shown."""

    UNCLOSED = "a quote is opened here and not closed"
    STRAY = "there is text after the closing quote of this cell"
    TOO_LONG = "this record is too long to be read"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: line and column count from 1, ``source`` is the text of that line."""

    line: int
    column: int
    source: str


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its first line, its text as it stands in the file, and its cells or why there are none."""

    line: int
    text: str
    cells: tuple[str, ...]
    broken: Break | None = None
    broken_at: int = 0  # which cell it is, from 0


class Sheet:
    """The decoded text of a list and how its cells are divided."""

    __slots__ = ("_starts", "delimiter", "text")

    def __init__(self, text: str, delimiter: str) -> None:
        """Keep ``text``; ``delimiter`` is one of `DELIMITERS`."""
        self.text = text
        self.delimiter = delimiter
        self._starts: array[int] | None = None

    def records(self) -> Iterator[Record]:
        """Yield every record of the file in its order, blank ones too; the broken ones without cells."""
        lines = _Lines(io.StringIO(self.text, newline=""))
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True, skipinitialspace=True)
        while True:
            lines.begin()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as fault:
                yield self._broken(lines, str(fault))
            else:
                yield Record(lines.first, "".join(lines.taken), tuple(cells))

    def _broken(self, lines: _Lines, fault: str) -> Record:
        """Say what is wrong with the record in hand, and give back the lines that may be other records."""
        text = "".join(lines.taken)
        if "limit" in fault:
            record = Record(lines.first, text, (), Break.TOO_LONG)
            lines.give_back(after=1)
            return record
        index, offset, broken = _faulty_cell(text, self.delimiter)
        record = Record(lines.first, text, (), broken, index)
        if broken is Break.UNCLOSED:
            lines.give_back(after=len(_physical(text[: offset + 1])))
        return record

    def place(self, line: int, index: int) -> Place:
        """Return the place of a cell.

        Args:
            line: the first line of its record, from 1.
            index: which cell of the record, from 0; beyond the last one the end of the record is meant.
        """
        return self.place_in(self.record_at(line), index)

    def place_in(self, record: Record, index: int) -> Place:
        """Return the place of a cell of ``record``; see `place`."""
        offsets = cell_offsets(record.text, self.delimiter)
        end = len(record.text.rstrip("\r\n"))
        offset = offsets[index] if index < len(offsets) else end
        line = record.line
        for source in _physical(record.text):
            if offset < len(source) or source[-1:] not in "\r\n":
                return Place(line, offset + 1, source.rstrip("\r\n"))
            offset -= len(source)
            line += 1
        return Place(record.line, 1, "")

    def record_at(self, line: int) -> Record:
        """Read again the record that begins in ``line``."""
        starts = self._line_starts()
        if not 1 <= line <= len(starts):
            return Record(line, "", ())
        lines = _Lines(io.StringIO(self.text[starts[line - 1] : self._end_of_reach(line)], newline=""))
        lines.begin()
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True, skipinitialspace=True)
        with suppress(csv.Error, StopIteration):
            next(reader)
        return Record(line, "".join(lines.taken), ())

    def _end_of_reach(self, line: int) -> int:
        starts = self._line_starts()
        last = line - 1 + MAX_RECORD_LINES
        return starts[last] if last < len(starts) else len(self.text)

    def _line_starts(self) -> array[int]:
        """Return where each line begins; made once, when the first problem asks."""
        if self._starts is None:
            starts, at = array("Q"), 0
            for line in io.StringIO(self.text, newline=""):
                starts.append(at)
                at += len(line)
            self._starts = starts
        return self._starts


def header_delimiter(text: str) -> str:
    """Return the delimiter of the header line: the most frequent outside quotes, a comma in doubt."""
    header = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    counts = dict.fromkeys(DELIMITERS, 0)
    for part in header[:100_000].split('"')[::2]:
        for delimiter in counts:
            counts[delimiter] += part.count(delimiter)
    return max(counts, key=lambda delimiter: counts[delimiter])


def cell_offsets(text: str, delimiter: str) -> list[int]:
    """Return where each cell of a record begins, from 0, a quote included and spaces before it not."""
    offsets: list[int] = []
    at, end = 0, len(text)
    while True:
        while at < end and text[at] == " " and delimiter != " ":
            at += 1
        offsets.append(at)
        if at < end and text[at] == '"':
            at = _after_quotes(text, at + 1)
        at = text.find(delimiter, at)
        if at < 0:
            return offsets
        at += 1


def _faulty_cell(text: str, delimiter: str) -> tuple[int, int, Break]:
    """Return which cell made `csv` give up, where it begins, and why.

    A cell that is closed in a later line, with text behind the quote, was not closed where it should have
    been: the quote that ended it opens a cell of another row.
    """
    offsets = cell_offsets(text, delimiter)
    for index, offset in enumerate(offsets):
        if text[offset : offset + 1] != '"':
            continue
        end = _after_quotes(text, offset + 1)
        if end == len(text) or (text[end] not in f"{delimiter}\r\n" and len(_physical(text[offset:end])) > 1):
            return index, offset, Break.UNCLOSED
        if text[end] not in f"{delimiter}\r\n":
            return index, offset, Break.STRAY
    return len(offsets) - 1, offsets[-1], Break.UNCLOSED


def _physical(text: str) -> list[str]:
    """Return the lines of ``text`` with their ends, as an editor counts them."""
    return io.StringIO(text, newline="").readlines()


def _after_quotes(text: str, at: int) -> int:
    """Return the position behind the closing quote; the end of ``text`` where there is none."""
    while True:
        at = text.find('"', at)
        if at < 0:
            return len(text)
        if text[at + 1 : at + 2] != '"':
            return at + 1
        at += 2


class _Lines:
    """The lines of a file for `csv`, which can be given back when a record turns out to be broken."""

    def __init__(self, source: io.StringIO) -> None:
        self._source = source
        self._back: deque[str] = deque()
        self.taken: list[str] = []
        self.first = 1

    def begin(self) -> None:
        """A record begins with the next line."""
        self.first += len(self.taken)
        self.taken = []

    def give_back(self, *, after: int) -> None:
        """Keep the first ``after`` lines of the record, so that reading goes on behind them."""
        self._back.extendleft(reversed(self.taken[after:]))
        del self.taken[after:]

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if len(self.taken) >= MAX_RECORD_LINES:
            raise StopIteration
        line = self._back.popleft() if self._back else next(self._source)
        self.taken.append(line)
        return line
