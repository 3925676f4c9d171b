"""One row by itself: what every cell of it has to be, and what is told when it is not.

Contract: `RowCheck.row` looks at one record and tells all its problems; it knows of no other row. `plain.py`
gives the same for rows in which nothing can be wrong, and asks this for every other.

What a row goes through, in this order: as many cells as the header has, left out where it says
``exclude = yes``, every cell safe, address, role, language, time zone, lookalikes.

Standards: DESIGN 5 (columns); FAULTS 1, 20, 25 and the offline part of 27.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.mail.address import Address, AddressFault, parse_address, unsafe_character
from pipeline.problem import Severity, visible
from pipeline.recipients.cells import MAX_CELL, Cells, cleaned, decoded_twice, fault_of_text
from pipeline.recipients.columns import KNOWN
from pipeline.recipients.domains import meant_domain, mixed_scripts
from pipeline.recipients.gathered import Gathered
from pipeline.recipients.meant import meant_language, meant_timezone, timezones
from pipeline.recipients.roles import refused_role
from pipeline.recipients.sheet import DELIMITERS, Break, Record

YES = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}
_BREAK_HINTS = {
    Break.UNCLOSED: 'close it with ", and write a quote inside a quoted cell twice: ""',
    Break.STRAY: 'write a quote inside a quoted cell twice: ""',
    Break.TOO_LONG: "is a quote opened and not closed?",
}


class Recipient(NamedTuple):
    """One row that may be written to.

    A tuple, for a list makes a million of them and a frozen dataclass takes four times as long to make.
    """

    line: int  # the first line of the row in the file, from 1
    address: Address
    language: str  # one of the languages that were given
    name: str
    timezone: str  # an IANA name; '' where the row says none
    attachments: tuple[str, ...]  # as written; whether they may be attached is decided where they are read
    values: Mapping[str, str]  # every column of the row, stripped, NFC, '' when empty


@dataclass(frozen=True, slots=True)
class Row:
    """One row after its own checks, before it is compared with the others."""

    record: Record
    values: Mapping[str, str]
    address: Address | None
    recipient: Recipient | None  # None: it has an error, or is excluded
    excluded: bool = False
    language: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """What all rows of a list have in common."""

    columns: tuple[str, ...]
    at: Mapping[str, int]  # which cell each column is, from 0
    delimiter: str
    languages: Mapping[str, str]  # by their casefolded spelling
    default: str  # the language that is meant where a row says none


def frame_of(columns: Sequence[str], delimiter: str, languages: Sequence[str]) -> Frame:
    """Return the frame of a list: its columns, what divides them, and the languages there are."""
    at: dict[str, int] = {}
    for index, name in enumerate(columns):
        at.setdefault(name, index)
    known = {language.casefold(): language for language in languages}
    return Frame(tuple(columns), at, delimiter, known, languages[0])


class RowCheck:
    """The checks of one row."""

    def __init__(self, frame: Frame, gathered: Gathered) -> None:
        """Tell problems to ``gathered``."""
        self._gathered = gathered
        self._columns = frame.columns
        self._at = frame.at
        self._delimiter = frame.delimiter
        self._languages = frame.languages
        self._default = frame.default

    def unfit(self, record: Record) -> bool:
        """Say whether a record cannot be a row, and tell why: broken, or of another width than the header."""
        if record.broken:
            tell_broken(record, self._gathered)
        elif len(record.cells) != len(self._columns):
            self._tell_length(record)
        else:
            return False
        return True

    def row(self, record: Record) -> Row:
        """Check one row that could be read and has as many cells as the header."""
        values = Cells(self._at, tuple(cleaned(cell) for cell in record.cells))
        if YES.get(values.get("exclude", "").lower()):
            return Row(record, values, None, None, excluded=True)
        before = self._gathered.errors
        unsafe = self._unsafe_cells(record, values)
        self._flag(record, values, "exclude")
        address = self._address(record, values) if "email" not in unsafe else None
        language = self._language(record, values)
        timezone = self._timezone(record, values) if "timezone" not in unsafe else ""
        if self._gathered.errors != before or address is None:
            return Row(record, values, address, None, language=language)
        files = tuple(part.strip() for part in values.get("attachments", "").split(";") if part.strip())
        name = values.get("name", "")
        recipient = Recipient(record.line, address, language, name, timezone, files, values)
        return Row(record, values, address, recipient, language=language)

    def _unsafe_cells(self, record: Record, values: Cells) -> set[str]:
        """Tell every cell that could harm a header, a terminal or a reader; return their columns."""
        whole = record.text.rstrip("\r\n")
        if self._delimiter == "\t":
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
                self._gathered.tell(
                    record, index, fault[0], f'column "{visible(name, limit=64)}" {fault[1]}', fault[2]
                )
                unsafe.add(name)
            elif reads := decoded_twice(text):
                message = f'"{visible(text, limit=40)}" reads as if it had been decoded wrongly'
                hint = (
                    f'was it "{visible(reads, limit=40)}"? then the file was converted twice; export it again'
                )
                self._gathered.tell(record, index, "decoded-twice", message, hint, Severity.WARNING)
        return unsafe

    def _address(self, record: Record, values: Cells) -> Address | None:
        index = self._at["email"]
        written = values["email"]
        try:
            address = parse_address(written)
        except AddressFault as fault:
            message = f'"{visible(written, limit=80)}" is not an address: {fault}' if written else str(fault)
            hint = "" if written else "fill it in, remove the row, or set exclude = yes"
            self._gathered.tell(record, index, "address", message, hint)
            self._flag(record, values, "role_ok")
            return None
        role = refused_role(address.key)
        if not self._flag(record, values, "role_ok") and role:
            message = f'"{role}" is an address of machines or list commands, not of an office'
            hint = "write to another address, or set role_ok = yes in this row"
            self._gathered.tell(record, index, "role-address", message, hint)
        self._warn_of_lookalikes(record, address)
        return address

    def _warn_of_lookalikes(self, record: Record, address: Address) -> None:
        index = self._at["email"]
        if meant := meant_domain(address.domain):
            message = f'"{address.domain}" is one slip away from "{meant}"'
            local = visible(address.written.rpartition("@")[0])
            hint = f"did you mean {local}@{meant}? nothing is changed by itself"
            self._gathered.tell(record, index, "domain-typo", message, hint, Severity.WARNING)
        local = address.written.rpartition("@")[0]
        if words := mixed_scripts(local) or mixed_scripts(address.domain_shown):
            hint = f"on the wire it is {address.wire}; if that is not meant, type the address again"
            self._gathered.tell(
                record, index, "mixed-scripts", f"the address holds {words}", hint, Severity.WARNING
            )

    def _flag(self, record: Record, values: Cells, name: str) -> bool:
        """Read a yes-or-no column; False where there is none."""
        text = values.get(name, "")
        answer = YES.get(text.lower())
        if answer is None:
            message = f'{name} is "{visible(text, limit=40)}", neither yes nor no'
            self._gathered.tell(
                record, self._at[name], "yes-or-no", message, "write yes or no, or leave it empty"
            )
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
        self._gathered.tell(record, self._at["language"], "language", message, hint)
        return text

    def _timezone(self, record: Record, values: Cells) -> str:
        text = values.get("timezone", "")
        if not text or text in timezones():
            return text
        meant = meant_timezone(text)
        hint = f'did you mean "{meant}"?' if meant else "write an IANA name such as Europe/Athens"
        message = f'no such time zone "{visible(text, limit=60)}"'
        self._gathered.tell(record, self._at["timezone"], "timezone", message, hint)
        return ""

    def _tell_length(self, record: Record) -> None:
        wanted, there = len(self._columns), len(record.cells)
        words = DELIMITERS[self._delimiter]
        message = f"this row has {there} cell{'s' * (there != 1)}, the header has {wanted}"
        hint = (
            f"a cell that holds a {words} needs quotes round it"
            if there > wanted
            else "are cells missing at its end?"
        )
        self._gathered.tell(record, wanted, "row-length", message, hint)


def tell_broken(record: Record, gathered: Gathered) -> None:
    """Say why a record could not be read."""
    assert record.broken is not None
    gathered.tell(record, record.broken_at, "quotes", str(record.broken), _BREAK_HINTS[record.broken])
