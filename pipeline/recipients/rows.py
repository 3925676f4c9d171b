"""Who is written to: recipients.csv as recipients and problems, a row at a time.

Contract: a `Listing` reads a list as often as it is asked to and keeps no row of it, so its length costs time
only. It does no I/O but to look up time zones and to call what opens the list anew, and no content makes it
raise. Every fault of the file becomes a `Problem` with the place of its cell; a bad row costs all its own
problems and never stops the others. Every row is counted once: ``rows == accepted + rejected + duplicates +
excluded``.

    clear()       the first pass: every row is checked; those that may share their address are held back
    settled()     a second one where there are such: yields those that are let in; may withdraw earlier ones
    findings()    what was found, once both have been read to their ends
    recipients()  any later pass: those that were let in, in the order of the file

What a row goes through, in this order: read (`sheet`), checked by itself (`row`, or `plain`, which is quick),
compared with the others (`among`).

Standards: RFC 4180; DESIGN 3 (identity) and 5 (columns); FAULTS 1, 6, 20, 25, 26 and the offline part of 27.

Limits: `MAX_ROWS` rows and `MAX_CELL` characters a cell; after `MAX_PROBLEMS` problems only their number is
told, and of the excluded rows the first `MAX_EXCLUDED` are named. Whether an attachment exists is not looked
at here, nor is the DNS.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields
from itertools import chain, count
from typing import cast

from pipeline.mail.address import Address
from pipeline.problem import Problem, Severity, visible
from pipeline.recipients.among import (
    LEAST_ROW,
    Among,
    Excluded,
    Fingerprints,
    Marks,
    excluded_row,
    near_key,
    near_key_of,
)
from pipeline.recipients.cells import filled
from pipeline.recipients.columns import header_faults, readable
from pipeline.recipients.decoding import ListText, Opened, Undecodable
from pipeline.recipients.gathered import Gathered, problem_at
from pipeline.recipients.plain import PlainRows
from pipeline.recipients.row import Frame, Recipient, Row, RowCheck, frame_of, tell_broken
from pipeline.recipients.sheet import DELIMITERS, Place, Record, Run, Sheet, header_delimiter

__all__ = [
    "Excluded",
    "Findings",
    "Intake",
    "Listing",
    "Numbered",
    "Recipient",
    "place_of",
    "read_recipients",
    "row_problem",
]

MAX_ROWS = 1_000_000  # below the header, blank ones not counted
MAX_PROBLEMS = 10_000
MAX_EXCLUDED = 10_000

_EXCELS_LINE = re.compile(r'"?sep=[,;\t]?"?')  # Excel writes "sep=;" above the header, and hides it

Numbered = tuple[int, Recipient]  # a recipient, and which row of the list it is, from 1


@dataclass(frozen=True, slots=True)
class Findings:
    """What became of a list."""

    rows: int  # below the header, blank ones not counted
    accepted: int
    rejected: int  # rows with at least one error
    duplicates: int  # rows that were merged into an equal one
    left_out: int  # rows that say exclude = yes
    excluded: tuple[Excluded, ...]  # the first of them
    columns: tuple[str, ...]
    problems: tuple[Problem, ...]  # in the order of the file
    file: str
    delimiter: str  # the one the file was read with; '' where it could not be read


@dataclass(frozen=True, slots=True)
class Intake(Findings):
    """The same of a list that fits into memory, with its recipients."""

    recipients: tuple[Recipient, ...] = ()
    listing: Listing = field(kw_only=True, repr=False, compare=False)


class Listing:
    """A list that is read again and again."""

    def __init__(
        self,
        opened: Opened,
        *,
        octets: int,
        file: str,
        languages: Sequence[str],
        encoding: str = "utf-8",
        delimiter: str = "auto",
    ) -> None:
        """Read the header.

        Args:
            opened: opens the list anew, at its first octet, and never another list.
            octets: how long it is, at most.
            file: its name, for the problems.
            languages: the languages there are templates for; the first one is meant where a row says none.
            encoding: how the file is written, see `pipeline.recipients.decoding.ENCODINGS`.
            delimiter: ``,``, ``;``, a TAB (or the word), or ``auto``: what the header line is divided by.

        Raises:
            ValueError: ``languages`` is empty. Never for what the file holds.
        """
        if not languages:
            raise ValueError("a campaign needs at least one language")
        self.file = file
        self._text = ListText(opened, file=file, encoding=encoding)
        self._octets = octets
        self._frame: Frame | None = None
        self._sheet: Sheet | None = None
        self._unread: Problem | None = None
        self._gathered = Gathered(file, None, most=MAX_PROBLEMS)
        self._header = 0  # its line
        self._last = (0, "")  # line and text of the row that was read last
        self._doubtful: set[str] = set()  # near keys that more than one row may have
        self._held = Marks()  # rows that were held back for that
        self._not_let_in = Marks()
        self._excluded: list[Excluded] = []
        self._left_out = 0
        self._rows = self._accepted = self._rejected = self._duplicates = 0
        self.withdrawn: list[Numbered] = []  # let in by `clear` or `settled`, and rejected after all
        try:
            self._sheet = self._divided(delimiter)
            if self._sheet is not None:
                self._gathered = Gathered(file, self._sheet, most=MAX_PROBLEMS)
                self._frame = self._read_header(self._sheet, languages)
        except Undecodable as fault:
            self._unread = fault.problem

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns, as far as the header could be read."""
        return self._frame.columns if self._frame and self._unread is None else ()

    @property
    def _has_addresses(self) -> bool:
        """Whether the rows can be read at all."""
        return self._frame is not None and "email" in self._frame.at

    @property
    def doubtful(self) -> bool:
        """Whether rows were held back, so that `settled` has to be read."""
        return bool(self._doubtful) and self._unread is None

    def clear(self) -> Iterator[Numbered]:
        """Check every row; yield those without an error whose address was not there before.

        What is yielded counts for nothing if the file turns out not to be decodable further down: `findings`
        then has one problem and no recipient.
        """
        if not self._has_addresses:
            self._decode_all()
            return
        seen = Fingerprints(min(MAX_ROWS, self._octets // LEAST_ROW + 1)).seen
        try:
            for number, recipient, row in self._passed(self._gathered):
                self._rows = number
                if recipient is not None:
                    address: Address | None = recipient.address
                elif row is None:  # it could not be read
                    self._rejected += 1
                    continue
                elif row.excluded:
                    self._exclude(row, seen)
                    continue
                else:
                    address = row.address
                if address is not None and seen(near := near_key_of(address)):
                    self._doubtful.add(near)
                    self._held.add(number)
                elif recipient is None:
                    self._rejected += 1
                else:
                    self._accepted += 1
                    yield number, recipient
        except Undecodable as fault:
            self._unread = fault.problem
            return
        if self._rows == MAX_ROWS:
            self._decode_all()
        if not self._rows:
            severity = Severity.WARNING
            self._gathered.tell_file("no-rows", "there is no recipient below the header", severity=severity)

    def settled(self) -> Iterator[Numbered]:
        """Decide on the rows that were held back; yield those that are let in. See also ``withdrawn``."""
        if not self.doubtful or self._frame is None:
            return
        among = Among(self._frame.at, self._gathered)
        for number, recipient, row in self._passed(self._muted(), concerning=self._doubtful):
            if row is not None and row.excluded:
                if near_key(excluded_row(row).key) in self._doubtful:
                    among.exclude(row)
                continue
            address = recipient.address if recipient is not None else row.address if row is not None else None
            if address is None or near_key_of(address) not in self._doubtful:
                continue
            if row is None and recipient is not None:
                row = self._as_row(recipient)
            assert row is not None
            outcome = among.place(number, row)
            if outcome.withdrawn is not None:
                self._withdraw(outcome.withdrawn)
            if number not in self._held:
                continue
            self._accepted += outcome.let_in
            self._rejected += outcome.rejected
            self._duplicates += outcome.merged
            if recipient is not None:
                if outcome.let_in:
                    yield number, recipient
                else:
                    self._not_let_in.add(number)
        among.end()

    def recipients(self) -> Iterator[Numbered]:
        """Yield the recipients that were let in, in the order of the file; once `settled` has been read."""
        if self._unread is not None or not self._has_addresses:
            return
        for number, recipient, _ in self._passed(self._muted()):
            if recipient is not None and number not in self._not_let_in:
                yield number, recipient

    def findings(self) -> Findings:
        """Return what was found."""
        if self._unread is not None or self._sheet is None:
            problems = (self._unread,) if self._unread else self._gathered.result()
            return Findings(0, 0, 0, 0, 0, (), (), problems, self.file, "")
        return Findings(
            rows=self._rows,
            accepted=self._accepted,
            rejected=self._rejected,
            duplicates=self._duplicates,
            left_out=self._left_out,
            excluded=tuple(self._excluded),
            columns=self.columns,
            problems=self._gathered.result(),
            file=self.file,
            delimiter=self._sheet.delimiter,
        )

    def place_of(self, line: int, column: str = "email") -> Place:
        """Return where a cell of a row stands: at once for the row yielded last, else the file is read again.

        Args:
            line: ``Recipient.line``.
            column: one of ``columns``; of any other name the row's beginning is meant.
        """
        if self._sheet is None or self._unread is not None:
            return Place(0, 0, "")
        record, index = self._found(self._sheet, line, column)
        return self._sheet.place_in(record, index)

    def problem(
        self,
        line: int,
        column: str,
        code: str,
        message: str,
        *,
        hint: str = "",
        severity: Severity = Severity.ERROR,
    ) -> Problem:
        """Return a problem that points at a cell of a row, for later stages; arguments as `place_of`."""
        if self._sheet is None or self._unread is not None:
            return Problem(self.file, 0, 0, code, message, hint, severity)
        record, index = self._found(self._sheet, line, column)
        return problem_at(self.file, self._sheet, record, index, code, message, hint, severity)

    def _found(self, sheet: Sheet, line: int, column: str) -> tuple[Record, int]:
        index = self.columns.index(column) if column in self.columns else 0
        if line == self._last[0]:
            return Record(*self._last, ()), index
        try:
            return sheet.record_at(line), index
        except Undecodable:  # it has changed since
            return Record(line, "", ()), 0

    # The header

    def _divided(self, delimiter: str) -> Sheet | None:
        """Find out what divides the cells; None, and a problem, where it is nothing we know."""
        separator = "\t" if delimiter.lower() == "tab" else delimiter
        if separator == "auto":
            separator = header_delimiter(self._text.lines())
        elif separator not in DELIMITERS:
            for _ in self._text.lines():  # what the file is comes first
                pass
            message = f'no such delimiter: "{visible(delimiter, limit=20)}"'
            self._gathered.tell_file("unknown-delimiter", message, 'use "auto", ",", ";" or "tab"')
            return None
        return Sheet(self._text.lines, separator)

    def _read_header(self, sheet: Sheet, languages: Sequence[str]) -> Frame | None:
        """Tell what is wrong with the header; return what the rows below it have in common."""
        with closing(sheet.records()) as records:
            record = _header_in(records)
        if record is None:
            hint = "the first line names the columns: email,language,name"
            self._gathered.tell_file("empty-file", "the file is empty", hint)
            return None
        if record.broken:
            tell_broken(record, self._gathered)
            return None
        names = tuple(unicodedata.normalize("NFC", cell) for cell in record.cells)
        self._header = record.line
        for index, code, message, hint in header_faults(names):
            self._gathered.tell(record, index, code, message, hint)
        return frame_of(readable(names), sheet.delimiter, languages)

    # The rows

    def _muted(self) -> Gathered:
        """Return where problems go that were told in an earlier pass."""
        return Gathered(self.file, None, most=0)

    def _decode_all(self) -> None:
        """Whether a list can be decoded counts also where its rows do not."""
        try:
            for _ in self._text.lines() if self._unread is None and self._sheet is not None else ():
                pass
        except Undecodable as fault:
            self._unread = fault.problem

    def _passed(
        self, gathered: Gathered, *, concerning: Collection[str] = ()
    ) -> Iterator[tuple[int, Recipient | None, Row | None]]:
        """Yield each row: its number, its recipient where nothing is wrong, its checks if it went the whole
        way.

        Rows of other near keys than ``concerning``, if that is given, may be left out.
        """
        assert self._frame is not None
        assert self._sheet is not None
        quick, check, number = PlainRows(self._frame), RowCheck(self._frame, gathered), 0
        for part in self._sheet.parts():
            found: Iterable[Recipient | Sequence[str] | None]
            if isinstance(part, Record):
                texts, found = [part.text], (part.cells,)
            else:
                texts = part.texts
                found = _concerned(quick, part, concerning) if concerning else quick.found_in(part)
            for line, text, one in zip(count(part.line), texts, found, strict=False):
                if line <= self._header:
                    continue
                record = None
                if type(one) is not Recipient and one is not None:
                    record = (
                        part if isinstance(part, Record) else Record(line, text, tuple(cast(list[str], one)))
                    )
                    if not record.broken and not filled(record.cells):
                        continue
                if number == MAX_ROWS:
                    message = f"there are more than {MAX_ROWS} rows"
                    gathered.tell(Record(line, text, ()), 0, "too-many-rows", message, "split the list")
                    return
                number += 1
                if one is None:
                    continue
                self._last = line, text
                if record is None:
                    yield number, cast(Recipient, one), None
                elif check.unfit(record):
                    yield number, None, None
                else:
                    row = check.row(record)
                    yield number, row.recipient, row

    def _exclude(self, row: Row, seen: Callable[[str], bool]) -> None:
        """Count a row that is left out; other rows with its address are looked at together with it."""
        excluded = excluded_row(row)
        self._left_out += 1
        if len(self._excluded) < MAX_EXCLUDED:
            self._excluded.append(excluded)
        if excluded.key and seen(near := near_key(excluded.key)):
            self._doubtful.add(near)

    def _withdraw(self, first: Numbered) -> None:
        """Take back a row whose address another row has, with other words."""
        self._not_let_in.add(first[0])
        self._accepted -= 1
        self._rejected += 1
        self.withdrawn.append(first)

    def _as_row(self, recipient: Recipient) -> Row:
        """Return a row that went the quick way as if it had gone the whole one."""
        record = Record(*self._last, ())
        return Row(record, recipient.values, recipient.address, recipient, language=recipient.language)


def _concerned(
    quick: PlainRows, run: Run, keys: Collection[str]
) -> Iterator[Recipient | Sequence[str] | None]:
    """Yield what `PlainRows.found_in` does, but None for rows with another near key than ``keys``."""
    for line, text, cells in zip(count(run.line), run.texts, run.cells, strict=False):
        address = quick.address(cells)
        if address is not None and near_key_of(address) not in keys:
            yield None
        else:
            yield from quick.found_in(Run(line, [text], [cells]))


def _header_in(records: Iterator[Record]) -> Record | None:
    """Return the first record that is not blank; the one behind it where Excel has told its delimiter."""
    filled_ones = (record for record in records if record.broken or filled(record.cells))
    first = next(filled_ones, None)
    if first is not None and _EXCELS_LINE.fullmatch(first.text.strip()):
        return next(filled_ones, None)
    return first


def read_recipients(
    data: bytes,
    *,
    file: str,
    languages: Sequence[str],
    encoding: str = "utf-8",
    delimiter: str = "auto",
) -> Intake:
    """Read a list that is in memory already; arguments and errors as `Listing`."""
    listing = Listing(
        lambda: io.BytesIO(data),
        octets=len(data),
        file=file,
        languages=languages,
        encoding=encoding,
        delimiter=delimiter,
    )
    for _ in chain(listing.clear(), listing.settled()):
        pass
    findings = listing.findings()
    found = {one.name: getattr(findings, one.name) for one in fields(findings)}
    return Intake(
        **found, recipients=tuple(recipient for _, recipient in listing.recipients()), listing=listing
    )


def place_of(intake: Intake, line: int, column: str = "email") -> Place:
    """Return where a cell of a row stands, for a problem found later on; see `Listing.place_of`."""
    return intake.listing.place_of(line, column)


def row_problem(
    intake: Intake,
    line: int,
    column: str,
    code: str,
    message: str,
    *,
    hint: str = "",
    severity: Severity = Severity.ERROR,
) -> Problem:
    """Return a problem that points at a cell of a row, for later stages; see `Listing.problem`."""
    return intake.listing.problem(line, column, code, message, hint=hint, severity=severity)
