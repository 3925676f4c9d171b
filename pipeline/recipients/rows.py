"""Who is written to: recipients.csv as recipients and problems.

Contract: `read_recipients` takes bytes and gives an `Intake`; it does no I/O but to look up time zones, and
no content makes it raise. Every fault of the file becomes a `Problem` with the place of its cell; a bad row
costs all its own problems and never stops the others. Every row is counted once: ``rows == len(recipients) +
rejected + duplicates + len(excluded)``.

What a row goes through, in this order: read (`sheet`), as many cells as the header has, left out where it
says ``exclude = yes``, every cell safe, address, role, language, time zone, lookalikes, the same address
before.

Standards: RFC 4180; DESIGN 3 (identity) and 5 (columns); FAULTS 1, 6, 20, 25, 26 and the offline part of 27.

Limits: `MAX_ROWS` rows and `MAX_CELL` characters a cell; after `MAX_PROBLEMS` problems only their number is
told. Whether an attachment exists is not looked at here, nor is the DNS.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.mail.address import Address, AddressFault, parse_address, unsafe_character
from pipeline.problem import Problem, Severity, visible
from pipeline.recipients.cells import MAX_CELL, Cells, cleaned, decoded_twice, fault_of_text, filled
from pipeline.recipients.columns import KNOWN, header_faults, readable
from pipeline.recipients.decoding import Undecodable, decode_list
from pipeline.recipients.domains import meant_domain, mixed_scripts
from pipeline.recipients.meant import meant_language, meant_timezone, timezones
from pipeline.recipients.roles import refused_role
from pipeline.recipients.sheet import DELIMITERS, Break, Place, Record, Sheet, header_delimiter

MAX_ROWS = 1_000_000  # below the header, blank ones not counted
MAX_PROBLEMS = 10_000

_YES = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}
_EXCELS_LINE = re.compile(r'"?sep=[,;\t]?"?')  # Excel writes "sep=;" above the header, and hides it
_BREAK_HINTS = {
    Break.UNCLOSED: 'close it with ", and write a quote inside a quoted cell twice: ""',
    Break.STRAY: 'write a quote inside a quoted cell twice: ""',
    Break.TOO_LONG: "is a quote opened and not closed?",
}


@dataclass(frozen=True, slots=True)
class Recipient:
    """One row that may be written to."""

    line: int  # the first line of the row in the file, from 1
    address: Address
    language: str  # one of the languages that were given
    name: str
    timezone: str  # an IANA name; '' where the row says none
    attachments: tuple[str, ...]  # as written; whether they may be attached is decided where they are read
    values: Mapping[str, str]  # every column of the row, stripped, NFC, '' when empty


@dataclass(frozen=True, slots=True)
class Excluded:
    """One row that says exclude = yes: it is left out, whatever else is wrong with it."""

    line: int
    email: str  # as written, safe to show
    key: str  # '' where it is no address


@dataclass(frozen=True, slots=True)
class Intake:
    """What became of a list."""

    rows: int  # below the header, blank ones not counted
    recipients: tuple[Recipient, ...]
    rejected: int  # rows with at least one error
    duplicates: int  # rows that were merged into an equal one
    excluded: tuple[Excluded, ...]
    columns: tuple[str, ...]
    problems: tuple[Problem, ...]  # in the order of the file
    file: str
    delimiter: str  # the one the file was read with; '' where it could not be read
    sheet: Sheet | None = field(repr=False, compare=False)


def read_recipients(
    data: bytes,
    *,
    file: str,
    languages: Sequence[str],
    encoding: str = "utf-8",
    delimiter: str = "auto",
) -> Intake:
    """Read a list.

    Args:
        data: the whole file.
        file: its name, for the problems.
        languages: the languages there are templates for; the first one is meant where a row says none.
        encoding: how the file is written, see `pipeline.recipients.decoding.ENCODINGS`.
        delimiter: ``,``, ``;``, a TAB (or the word), or ``auto``: what the header line is divided by.

    Raises:
        ValueError: ``languages`` is empty. Never for what the file holds.
    """
    if not languages:
        raise ValueError("a campaign needs at least one language")
    try:
        text = decode_list(data, file=file, encoding=encoding)
    except Undecodable as fault:
        return _unread(file, fault.problem)
    separator = "\t" if delimiter.lower() == "tab" else delimiter
    if separator != "auto" and separator not in DELIMITERS:
        message = f'no such delimiter: "{visible(delimiter, limit=20)}"'
        return _unread(
            file, Problem(file, 0, 0, "unknown-delimiter", message, 'use "auto", ",", ";" or "tab"')
        )
    sheet = Sheet(text, header_delimiter(text) if separator == "auto" else separator)
    return _Reading(sheet, file, languages).intake()


def place_of(intake: Intake, line: int, column: str = "email") -> Place:
    """Return where a cell of a row stands, for a problem found later on.

    Args:
        intake: what `read_recipients` gave.
        line: ``Recipient.line``.
        column: one of ``intake.columns``; of any other name the row's beginning is meant.
    """
    if intake.sheet is None:
        return Place(0, 0, "")
    index = intake.columns.index(column) if column in intake.columns else 0
    return intake.sheet.place(line, index)


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
    """Return a problem that points at a cell of a row, for later stages; arguments as `place_of`."""
    place = place_of(intake, line, column)
    return Problem(intake.file, place.line, place.column, code, message, hint, severity, place.source)


def _unread(file: str, problem: Problem) -> Intake:
    return Intake(0, (), 0, 0, (), (), (problem,), file, "", None)


@dataclass(frozen=True, slots=True)
class _Row:
    """One row after its own checks, before it is compared with the others."""

    record: Record
    values: Cells
    address: Address | None
    recipient: Recipient | None  # None: it has an error, or is excluded
    excluded: bool = False
    language: str = ""


@dataclass(slots=True)
class _First:
    """The first row with some address."""

    line: int
    values: Cells
    language: str
    position: int  # among the recipients; -1 where it was rejected


class _Gathered:
    """The problems of one file, bounded."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[Problem] = []
        self.errors = 0
        self.untold = 0
        self.untold_errors = 0

    def add(self, problem: Problem) -> None:
        self.found.append(problem)
        self.errors += problem.severity is Severity.ERROR

    def count_only(self, severity: Severity) -> None:
        self.untold += 1
        self.errors += severity is Severity.ERROR
        self.untold_errors += severity is Severity.ERROR

    def result(self) -> tuple[Problem, ...]:
        found = sorted(self.found, key=lambda problem: (problem.line, problem.column))
        if self.untold:
            severity = Severity.ERROR if self.untold_errors else Severity.WARNING
            message = f"{self.untold} more problems are not shown"
            hint = f"mend the first {MAX_PROBLEMS} and check again"
            found.append(Problem(self.file, 0, 0, "more-problems", message, hint, severity))
        return tuple(found)


class _Reading:
    """One pass over one file: rows stream through `_rows`, what must be remembered is kept here."""

    def __init__(self, sheet: Sheet, file: str, languages: Sequence[str]) -> None:
        self._sheet = sheet
        self._gathered = _Gathered(file)
        self._languages = {language.casefold(): language for language in languages}
        self._default = languages[0]
        self._columns: tuple[str, ...] = ()
        self._at: dict[str, int] = {}
        self._recipients: list[Recipient | None] = []
        self._excluded: list[Excluded] = []
        self._firsts: dict[str, _First] = {}
        self._near: dict[str, str] = {}
        self._count = self._rejected = self._duplicates = 0

    def intake(self) -> Intake:
        """Read everything."""
        records = self._sheet.records()
        if self._read_header(records):
            for row in self._rows(records):
                self._place_among_others(row)
            self._warn_of_half_excluded()
            if not self._count:
                self._tell_file(
                    "no-rows", "there is no recipient below the header", severity=Severity.WARNING
                )
        return Intake(
            rows=self._count,
            recipients=tuple(recipient for recipient in self._recipients if recipient is not None),
            rejected=self._rejected,
            duplicates=self._duplicates,
            excluded=tuple(self._excluded),
            columns=self._columns,
            problems=self._gathered.result(),
            file=self._gathered.file,
            delimiter=self._sheet.delimiter,
            sheet=self._sheet,
        )

    # The header

    def _read_header(self, records: Iterator[Record]) -> bool:
        """Take the first line that is not blank; say whether the rows below can be read."""
        record = next((record for record in records if record.broken or filled(record.cells)), None)
        if record is not None and _EXCELS_LINE.fullmatch(record.text.strip()):
            record = next((record for record in records if record.broken or filled(record.cells)), None)
        if record is None:
            hint = "the first line names the columns: email,language,name"
            self._tell_file("empty-file", "the file is empty", hint)
            return False
        if record.broken:
            self._tell_broken(record)
            return False
        names = tuple(unicodedata.normalize("NFC", cell) for cell in record.cells)
        for index, code, message, hint in header_faults(names):
            self._tell(record, index, code, message, hint)
        self._columns = readable(names)
        for index, name in enumerate(self._columns):
            self._at.setdefault(name, index)
        return "email" in self._at

    # One row

    def _rows(self, records: Iterator[Record]) -> Iterator[_Row]:
        """Yield each row that could be read; count the others."""
        for record in records:
            if not record.broken and not filled(record.cells):
                continue
            if self._count == MAX_ROWS:
                self._tell(
                    record, 0, "too-many-rows", f"there are more than {MAX_ROWS} rows", "split the list"
                )
                return
            self._count += 1
            if record.broken:
                self._tell_broken(record)
                self._rejected += 1
            elif len(record.cells) != len(self._columns):
                self._tell_length(record)
                self._rejected += 1
            else:
                yield self._row(record)

    def _row(self, record: Record) -> _Row:
        values = Cells(self._at, tuple(cleaned(cell) for cell in record.cells))
        if _YES.get(values.get("exclude", "").lower()):
            return _Row(record, values, None, None, excluded=True)
        before = self._gathered.errors
        unsafe = self._unsafe_cells(record, values)
        self._flag(record, values, "exclude")
        address = self._address(record, values) if "email" not in unsafe else None
        language = self._language(record, values)
        timezone = self._timezone(record, values) if "timezone" not in unsafe else ""
        if self._gathered.errors != before or address is None:
            return _Row(record, values, address, None, language=language)
        files = tuple(part.strip() for part in values.get("attachments", "").split(";") if part.strip())
        name = values.get("name", "")
        recipient = Recipient(record.line, address, language, name, timezone, files, values)
        return _Row(record, values, address, recipient, language=language)

    def _unsafe_cells(self, record: Record, values: Cells) -> set[str]:
        """Tell every cell that could harm a header, a terminal or a reader; return their columns."""
        whole = record.text.rstrip("\r\n")
        if self._sheet.delimiter == "\t":
            whole = whole.replace("\t", ",")
        if (
            len(whole) <= MAX_CELL
            and "=?" not in whole
            and unsafe_character(whole) is None
            and whole.isascii()
        ):
            return set()
        unsafe: set[str] = set()
        for name, index in self._at.items():
            text = values[name]
            if fault := fault_of_text(text, known=name in KNOWN):
                self._tell(
                    record, index, fault[0], f'column "{visible(name, limit=64)}" {fault[1]}', fault[2]
                )
                unsafe.add(name)
            elif reads := decoded_twice(text):
                message = f'"{visible(text, limit=40)}" reads as if it had been decoded wrongly'
                hint = (
                    f'was it "{visible(reads, limit=40)}"? then the file was converted twice; export it again'
                )
                self._tell(record, index, "decoded-twice", message, hint, Severity.WARNING)
        return unsafe

    def _address(self, record: Record, values: Cells) -> Address | None:
        index = self._at["email"]
        written = values["email"]
        try:
            address = parse_address(written)
        except AddressFault as fault:
            message = f'"{visible(written, limit=80)}" is not an address: {fault}' if written else str(fault)
            hint = "" if written else "fill it in, remove the row, or set exclude = yes"
            self._tell(record, index, "address", message, hint)
            self._flag(record, values, "role_ok")
            return None
        role = refused_role(address.key)
        if not self._flag(record, values, "role_ok") and role:
            message = f'"{role}" is an address of machines or list commands, not of an office'
            hint = "write to another address, or set role_ok = yes in this row"
            self._tell(record, index, "role-address", message, hint)
        self._warn_of_lookalikes(record, address)
        return address

    def _warn_of_lookalikes(self, record: Record, address: Address) -> None:
        index = self._at["email"]
        if meant := meant_domain(address.domain):
            message = f'"{address.domain}" is one slip away from "{meant}"'
            local = visible(address.written.rpartition("@")[0])
            hint = f"did you mean {local}@{meant}? nothing is changed by itself"
            self._tell(record, index, "domain-typo", message, hint, Severity.WARNING)
        local = address.written.rpartition("@")[0]
        if words := mixed_scripts(local) or mixed_scripts(address.domain_shown):
            hint = f"on the wire it is {address.wire}; if that is not meant, type the address again"
            self._tell(record, index, "mixed-scripts", f"the address holds {words}", hint, Severity.WARNING)

    def _flag(self, record: Record, values: Cells, name: str) -> bool:
        """Read a yes-or-no column; False where there is none."""
        text = values.get(name, "")
        answer = _YES.get(text.lower())
        if answer is None:
            message = f'{name} is "{visible(text, limit=40)}", neither yes nor no'
            self._tell(record, self._at[name], "yes-or-no", message, "write yes or no, or leave it empty")
        return bool(answer)

    def _language(self, record: Record, values: Cells) -> str:
        text = values.get("language", "")
        if not text:
            return self._default
        if known := self._languages.get(text.casefold()):
            return known
        hint = f"templates exist for: {', '.join(sorted(self._languages.values()))}"
        if meant := meant_language(text, self._languages):
            hint = f'did you mean "{meant}"? {hint}'
        else:
            hint += "\nfor another write templates/letter.LANGUAGE.md, and name it in campaign.languages"
        message = f'no such language "{visible(text, limit=40)}"'
        self._tell(record, self._at["language"], "language", message, hint)
        return text

    def _timezone(self, record: Record, values: Cells) -> str:
        text = values.get("timezone", "")
        if not text or text in timezones():
            return text
        meant = meant_timezone(text)
        hint = f'did you mean "{meant}"?' if meant else "write an IANA name such as Europe/Athens"
        message = f'no such time zone "{visible(text, limit=60)}"'
        self._tell(record, self._at["timezone"], "timezone", message, hint)
        return ""

    # One row among the others

    def _place_among_others(self, row: _Row) -> None:
        """Count the row, and let it in where no other row has its address."""
        if row.excluded:
            self._exclude(row)
            return
        first = self._firsts.get(row.address.key) if row.address else None
        if first is None:
            self._let_in(row)
        elif column := _differing(first, row):
            self._tell_dispute(first, row, column)
            self._rejected += 1
            if first.position >= 0:
                self._recipients[first.position] = None
                self._rejected += 1
                first.position = -1
        elif first.position < 0 or row.recipient is None:
            self._rejected += 1
        else:
            self._duplicates += 1
            self._tell_merge(first, row)

    def _let_in(self, row: _Row) -> None:
        position = -1
        if row.recipient is None:
            self._rejected += 1
        else:
            position = len(self._recipients)
            self._recipients.append(row.recipient)
        if row.address is not None:
            self._firsts[row.address.key] = _First(row.record.line, row.values, row.language, position)
            self._warn_of_near(row, row.address)

    def _exclude(self, row: _Row) -> None:
        written = row.values["email"]
        try:
            key = parse_address(written).key
        except AddressFault:
            key = ""
        self._excluded.append(Excluded(row.record.line, visible(written, limit=254), key))

    def _tell_dispute(self, first: _First, row: _Row, column: str) -> None:
        one, two = first.line, row.record.line
        message = f'lines {one} and {two} have the same address and differ in column "{column}"'
        hint = (
            f'line {one}: "{visible(first.values[column], limit=60)}"\n'
            f'line {two}: "{visible(row.values[column], limit=60)}"\n'
            "one address gets one letter: keep one row, or set exclude = yes in the other"
        )
        self._tell(row.record, self._at[column], "same-address", message, hint)

    def _tell_merge(self, first: _First, row: _Row) -> None:
        one, two = first.line, row.record.line
        message = f"lines {one} and {two} are the same recipient and become one"
        hint = (
            f"line {one}: {visible(first.values['email'], limit=254)}\n"
            f"line {two}: {visible(row.values['email'], limit=254)}"
        )
        self._tell(row.record, self._at["email"], "duplicate", message, hint, Severity.WARNING)

    def _warn_of_near(self, row: _Row, address: Address) -> None:
        """Plus tags, and dots at Gmail, often lead to one person; nobody can know, so it is said only."""
        near = _near_key(address.key)
        earlier = self._near.setdefault(near, address.key)
        if earlier != address.key:
            message = (
                f"this may be the same mailbox as in line {self._firsts[earlier].line}: {visible(earlier)}"
            )
            hint = "two letters will be sent; if it is one person, remove one row"
            self._tell(row.record, self._at["email"], "near-duplicate", message, hint, Severity.WARNING)

    def _warn_of_half_excluded(self) -> None:
        for excluded in self._excluded:
            first = self._firsts.get(excluded.key) if excluded.key else None
            if first is not None:
                message = f"line {excluded.line} excludes {excluded.email}, and this row writes to it"
                hint = "exclude = yes leaves out its own row only"
                record = self._sheet.record_at(first.line)
                self._tell(record, self._at["email"], "half-excluded", message, hint, Severity.WARNING)

    # Telling

    def _tell_length(self, record: Record) -> None:
        wanted, there = len(self._columns), len(record.cells)
        words = DELIMITERS[self._sheet.delimiter]
        message = f"this row has {there} cell{'s' * (there != 1)}, the header has {wanted}"
        hint = (
            f"a cell that holds a {words} needs quotes round it"
            if there > wanted
            else "are cells missing at its end?"
        )
        self._tell(record, wanted, "row-length", message, hint)

    def _tell_broken(self, record: Record) -> None:
        assert record.broken is not None
        self._tell(record, record.broken_at, "quotes", str(record.broken), _BREAK_HINTS[record.broken])

    def _tell_file(
        self, code: str, message: str, hint: str = "", severity: Severity = Severity.ERROR
    ) -> None:
        self._gathered.add(Problem(self._gathered.file, 0, 0, code, message, hint, severity))

    def _tell(
        self,
        record: Record,
        index: int,
        code: str,
        message: str,
        hint: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Add a problem that points at cell ``index`` of ``record``."""
        if len(self._gathered.found) >= MAX_PROBLEMS:
            self._gathered.count_only(severity)
            return
        place = self._sheet.place_in(record, index)
        file = self._gathered.file
        self._gathered.add(
            Problem(file, place.line, place.column, code, message, hint, severity, place.source)
        )


def _differing(one: _First, two: _Row) -> str:
    """Return the first column in which two rows with one address key differ; '' for none."""
    for column in one.values:
        if column == "email" or one.values[column] == two.values[column]:
            continue
        if column != "language" or one.language != two.language:
            return column
    return ""


def _near_key(key: str) -> str:
    """Return the key without a plus tag, and at Gmail without dots, which Gmail ignores."""
    local, _, domain = key.rpartition("@")
    local = local.partition("+")[0] or local
    if domain in ("gmail.com", "googlemail.com"):
        return f"{local.replace('.', '')}@gmail.com"
    return f"{local}@{domain}"
