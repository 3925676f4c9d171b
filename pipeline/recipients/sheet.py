"""The lines of a list as records of cells, each cell with its place in the file.

Contract: `csv` reads, strictly; this gives every record its first line, goes on after a record that cannot be
read, and finds the place of a cell when a problem has to point at it. Records stream and nothing is kept:
what lies behind is read again. Lines without a quote are a record each, and are handed on many at a time.

Standards: RFC 4180 (comma-separated values), with ``;`` and TAB as delimiters, and spaces before an opening
quote.

Limits: a record spans at most 50 lines and a cell 131,072 characters (`csv.field_size_limit`); more is an
unclosed quote or an attack. Lines end in LF, CR LF or CR.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import count, islice
from typing import NamedTuple

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "TAB"}
MAX_RECORD_LINES = 50
RUN_LINES = 512  # of a run, at most
LONGEST_PLAIN = csv.field_size_limit()  # characters: no cell of such a line is too long for `csv`


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


class Run(NamedTuple):
    """Lines that follow each other, without a quote among them: each is one record."""

    line: int  # of the first one
    texts: list[str]
    cells: Iterable[list[str]]  # of each


class Sheet:
    """The lines of a list and how their cells are divided."""

    __slots__ = ("_lines", "delimiter")

    def __init__(self, lines: Callable[[], Iterable[str]], delimiter: str) -> None:
        """Take what reads the lines anew, from the first; ``delimiter`` is one of `DELIMITERS`."""
        self._lines = lines
        self.delimiter = delimiter

    def records(self) -> Generator[Record, None, None]:
        """Yield every record of the file in its order, blank ones too; the broken ones without cells."""
        for part in self.parts():
            if isinstance(part, Record):
                yield part
            else:
                for line, text, cells in zip(count(part.line), part.texts, part.cells, strict=False):
                    yield Record(line, text, tuple(cells))

    def parts(self) -> Iterator[Run | Record]:
        """Yield the same as `records`, plain lines in runs."""
        lines = _Lines(self._lines())
        reader = self._reader(lines)
        while True:
            lines.begin()
            if plain := lines.plain():
                yield Run(lines.first, plain, self._reader(plain))
                continue
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as fault:
                yield self._broken(lines, str(fault))
            else:
                yield Record(lines.first, "".join(lines.taken), tuple(cells))

    def _reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=self.delimiter, strict=True, skipinitialspace=True)

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
        """Read the file again up to the record that begins in ``line``."""
        if line < 1:
            return Record(line, "", ())
        lines = _Lines(islice(self._lines(), line - 1, line - 1 + MAX_RECORD_LINES))
        lines.begin()
        with suppress(csv.Error, StopIteration):
            next(self._reader(lines))
        return Record(line, "".join(lines.taken), ())


def header_delimiter(lines: Iterable[str]) -> str:
    """Return the delimiter of the header line: the most frequent outside quotes, a comma in doubt."""
    header = next((line for line in lines if line.strip()), "")
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

    def __init__(self, source: Iterable[str]) -> None:
        self._source = iter(source)
        self._ahead: list[str] = []  # read already, the next one last
        self._plain = 0  # so many of them, from the next one on, hold no quote
        self.taken: list[str] = []
        self.first = 1

    def begin(self) -> None:
        """A record, or a run of them, begins with the next line."""
        self.first += len(self.taken)
        self.taken = []

    def plain(self) -> list[str]:
        """Take the lines up to the next one that holds a quote, as far as they have been read."""
        if not self._ahead:
            self._read_on()
        if self._plain:
            self.taken = self._ahead[: -self._plain - 1 : -1]
            del self._ahead[-self._plain :]
            self._plain = 0
        return self.taken

    def give_back(self, *, after: int) -> None:
        """Keep the first ``after`` lines of the record, so that reading goes on behind them."""
        self._ahead += reversed(self.taken[after:])
        del self.taken[after:]
        self._look_ahead()

    def _read_on(self) -> None:
        self._ahead = list(islice(self._source, RUN_LINES))[::-1]
        self._look_ahead()

    def _look_ahead(self) -> None:
        """Count the lines ahead that are plain."""
        self._plain = len(self._ahead)
        if '"' not in "".join(self._ahead) and max(map(len, self._ahead), default=0) <= LONGEST_PLAIN:
            return
        self._plain = 0
        for line in reversed(self._ahead):
            if '"' in line or len(line) > LONGEST_PLAIN:
                return
            self._plain += 1

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if len(self.taken) >= MAX_RECORD_LINES:
            raise StopIteration
        if not self._ahead:
            self._read_on()
            if not self._ahead:
                raise StopIteration
        line = self._ahead.pop()
        self.taken.append(line)
        if self._plain:
            self._plain -= 1
        else:
            self._look_ahead()
        return line
