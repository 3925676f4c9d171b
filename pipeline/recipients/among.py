"""A row among the others: the same address twice, mailboxes that may be one, exclusions of half a pair.

Contract: `Fingerprints` finds in one pass, in a few octets a row, the rows whose address may have been there
before; it misses none. What becomes of those is decided by `Among` in a second pass that remembers these
alone: equal rows merge, rows with one address and different cells are both rejected, near-duplicates and
half-excluded pairs are told.

Standards: DESIGN 3 (identity); FAULTS 6.

Limits: a list in which every row stands twice needs memory for half of its rows.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.mail.address import Address, AddressFault, parse_address
from pipeline.problem import Severity, visible
from pipeline.recipients.gathered import Gathered
from pipeline.recipients.row import Recipient, Row
from pipeline.recipients.sheet import Record

GMAIL = frozenset({"gmail.com", "googlemail.com"})
LEAST_ROW = 6  # octets: an address of five and the end of its line


class Fingerprints:
    """Which keys were there before: 32 bits of each, in an open table.

    Two keys in a million rows have the same fingerprint about once in a thousand lists, which costs a second
    pass and changes nothing. Python's hash is keyed anew for each process (PEP 456), so a list cannot be made
    to collide.
    """

    def __init__(self, most: int) -> None:
        """Make room for ``most`` keys."""
        self._size = max(8, most * 4 // 3)
        self._table = array("I", [0]) * self._size

    def seen(self, key: str) -> bool:
        """Say whether ``key`` may have been given before; a key given before is never taken for new."""
        digest = hash(key)
        print_ = digest >> 32 & 0xFFFFFFFF or 1
        table, size = self._table, self._size
        at = (digest & 0xFFFFFFFF) % size
        while found := table[at]:
            if found == print_:
                return True
            at += 1
            if at == size:
                at = 0
        table[at] = print_
        return False


class Marks:
    """A set of row numbers, a bit each."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int) -> None:
        """Mark a row."""
        at = number >> 3
        if at >= len(self._bits):
            self._bits.extend(bytes(at + 1024 - len(self._bits)))
        self._bits[at] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        at = number >> 3
        return at < len(self._bits) and bool(self._bits[at] >> (number & 7) & 1)

    def __bool__(self) -> bool:
        return bool(self._bits)


@dataclass(frozen=True, slots=True)
class Excluded:
    """One row that says exclude = yes: it is left out, whatever else is wrong with it."""

    line: int
    email: str  # as written, safe to show
    key: str  # '' where it is no address


def excluded_row(row: Row) -> Excluded:
    """Return what is remembered of a row that is left out."""
    written = row.values["email"]
    try:
        key = parse_address(written).key
    except AddressFault:
        key = ""
    return Excluded(row.record.line, visible(written, limit=254), key)


def near_key(key: str) -> str:
    """Return the key without a plus tag, and at Gmail without dots, which Gmail ignores."""
    local, _, domain = key.rpartition("@")
    local = local.partition("+")[0] or local
    if domain in GMAIL:
        return f"{local.replace('.', '')}@gmail.com"
    return f"{local}@{domain}"


def near_key_of(address: Address) -> str:
    """Return the near key of an address; most are their own."""
    if "+" in address.key or address.domain in GMAIL:
        return near_key(address.key)
    return address.key


@dataclass(slots=True)
class _First:
    """The first row with some address."""

    number: int
    record: Record
    values: Mapping[str, str]
    language: str
    recipient: Recipient | None  # None where it was rejected


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a row, and of the first one with its address."""

    let_in: bool = False
    merged: bool = False
    rejected: bool = False
    withdrawn: tuple[int, Recipient] | None = None  # the first one, which had been let in


class Among:
    """The rows that may share their address with others, one after the other in the order of the file."""

    def __init__(self, columns_at: Mapping[str, int], gathered: Gathered) -> None:
        """Tell problems to ``gathered``; ``columns_at`` says which cell each column is."""
        self._at = columns_at
        self._gathered = gathered
        self._firsts: dict[str, _First] = {}
        self._near: dict[str, str] = {}
        self._excluded: list[Excluded] = []

    def place(self, number: int, row: Row) -> Outcome:
        """Let a row in where no other row has its address."""
        first = self._firsts.get(row.address.key) if row.address else None
        if first is None:
            self._remember(number, row)
            return Outcome(let_in=row.recipient is not None, rejected=row.recipient is None)
        if column := _differing(first, row):
            self._tell_dispute(first, row, column)
            withdrawn = (first.number, first.recipient) if first.recipient else None
            first.recipient = None
            return Outcome(rejected=True, withdrawn=withdrawn)
        if first.recipient is None or row.recipient is None:
            return Outcome(rejected=True)
        self._tell_merge(first, row)
        return Outcome(merged=True)

    def exclude(self, row: Row) -> None:
        """Remember a row that is left out."""
        self._excluded.append(excluded_row(row))

    def end(self) -> None:
        """Tell of rows that are written to though another one excludes their address."""
        for excluded in self._excluded:
            first = self._firsts.get(excluded.key) if excluded.key else None
            if first is not None:
                message = f"line {excluded.line} excludes {excluded.email}, and this row writes to it"
                hint = "exclude = yes leaves out its own row only"
                index, severity = self._at["email"], Severity.WARNING
                self._gathered.tell_behind(first.record, index, "half-excluded", message, hint, severity)

    def _remember(self, number: int, row: Row) -> None:
        if row.address is not None:
            first = _First(number, row.record, row.values, row.language, row.recipient)
            self._firsts[row.address.key] = first
            self._warn_of_near(row, row.address)

    def _tell_dispute(self, first: _First, row: Row, column: str) -> None:
        one, two = first.record.line, row.record.line
        message = f'lines {one} and {two} have the same address and differ in column "{column}"'
        hint = (
            f'line {one}: "{visible(first.values[column], limit=60)}"\n'
            f'line {two}: "{visible(row.values[column], limit=60)}"\n'
            "one address gets one letter: keep one row, or set exclude = yes in the other"
        )
        self._gathered.tell_late(row.record, self._at[column], "same-address", message, hint)

    def _tell_merge(self, first: _First, row: Row) -> None:
        one, two = first.record.line, row.record.line
        message = f"lines {one} and {two} are the same recipient and become one"
        hint = (
            f"line {one}: {visible(first.values['email'], limit=254)}\n"
            f"line {two}: {visible(row.values['email'], limit=254)}"
        )
        self._gathered.tell_late(row.record, self._at["email"], "duplicate", message, hint, Severity.WARNING)

    def _warn_of_near(self, row: Row, address: Address) -> None:
        """Plus tags, and dots at Gmail, often lead to one person; nobody can know, so it is said only."""
        earlier = self._near.setdefault(near_key(address.key), address.key)
        if earlier != address.key:
            line = self._firsts[earlier].record.line
            message = f"this may be the same mailbox as in line {line}: {visible(earlier)}"
            hint = "two letters will be sent; if it is one person, remove one row"
            index, severity = self._at["email"], Severity.WARNING
            self._gathered.tell_late(row.record, index, "near-duplicate", message, hint, severity)


def _differing(one: _First, two: Row) -> str:
    """Return the first column in which two rows with one address key differ; '' for none."""
    for column in one.values:
        if column == "email" or one.values[column] == two.values[column]:
            continue
        if column != "language" or one.language != two.language:
            return column
    return ""
