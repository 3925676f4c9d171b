"""In whose names letters are written: signatories.csv as signatories and problems.

Contract: `read_signatories` does no I/O but to call what opens the file, and no content makes it raise. It
takes the same care as `rows` does of recipients: every fault becomes a `Problem` with the place of its cell,
all of them at once. A row without a date of consent is refused, and so is an author's address in a domain
that is not the campaign's. Every row is counted once: ``rows == accepted + rejected + duplicates +
left_out``.

What a template may say of a signatory stands in `Signatory.values` under names that begin with
"signatory.": no column of recipients.csv has a dot, so both fit into one row (`delivery.plan`).

Rows with one word in the column ``joint`` sign one letter together (`joined`): its key is that word and not
an address, so that it stays the same whoever joins.

Standards: DESIGN 3 (identity); RFC 7489 3.1 (DMARC: the domain in From must be the one that was signed for);
RFC 4180 and all that `rows` names.

Limits: `MAX_ROWS` rows; all of them are kept. Country and language are compared as they are spelt.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum

from pipeline.mail.address import Address, AddressFault, parse_address
from pipeline.problem import Problem, Severity, visible
from pipeline.recipients.cells import cleaned, decoded_twice, fault_of_text, filled
from pipeline.recipients.columns import Columns, header_faults, readable
from pipeline.recipients.decoding import ListText, Opened, Undecodable
from pipeline.recipients.domains import meant_domain
from pipeline.recipients.gathered import Gathered, problem_at
from pipeline.recipients.row import YES, tell_broken
from pipeline.recipients.sheet import DELIMITERS, Record, Sheet, header_delimiter

MAX_ROWS = 10_000
MAX_PROBLEMS = 1_000
DEFAULT_FILE = "signatories.csv"
DEFAULT_FROM_NAME = "{name} via {author}"
SCOPE = "signatory"
WORDS = f"{SCOPE}.words"
NAMES_SHOWN = 3  # in the From of a joint letter

_HIDDEN = ("consent_date", "consent_source", "publish", "joint", "from", "exclude")
COLUMNS = Columns(
    known=("email", "name", "organisation", "city", "country", "language", "words", *_HIDDEN),
    deciding=("email", "consent_date", "publish", "joint", "exclude", "from"),
    aliases={
        "mail": "email",
        "emailaddress": "email",
        "fromaddress": "from",
        "fromemail": "from",
        "organization": "organisation",
        "consent": "consent_date",
        "ownwords": "words",
        "excluded": "exclude",
    },
    scope=SCOPE,
    taken=frozenset({"names"}),
)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_LABEL = re.compile(r"[\w.-]{1,64}")


class Rule(StrEnum):
    """Who writes to whom."""

    ALL = "all"  # everybody to everybody
    COUNTRY = "country"  # those of the recipient's country
    LANGUAGE = "language"  # those of the recipient's language
    ROUND_ROBIN = "round-robin"  # one to each, in turn


class ReplyTo(StrEnum):
    """Where answers are to go."""

    CAMPAIGN = "campaign"
    SIGNATORY = "signatory"


@dataclass(frozen=True, slots=True)
class Signing:
    """What campaign.toml says of signatories."""

    file: str = DEFAULT_FILE
    named: bool = False  # the file was asked for, so it has to be there
    encoding: str = "utf-8"
    delimiter: str = "auto"
    rule: Rule = Rule.ALL
    from_name: str = DEFAULT_FROM_NAME  # holds {name}, and may hold {author}
    reply_to: ReplyTo = ReplyTo.CAMPAIGN


@dataclass(frozen=True, slots=True)
class Signatory:
    """One who signs letters, or several who sign one letter together.

    ``key`` is the signatory's part of a letter's identity; ``members`` are the address keys of those who
    sign, one of them but in a joint letter.
    """

    line: int
    key: str
    address: Address
    name: str
    country: str
    language: str
    publish: bool
    joint: str  # '': alone
    values: Mapping[str, str]  # "signatory.name" and so on
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Signatories:
    """What became of signatories.csv."""

    file: str
    rows: int = 0
    rejected: int = 0
    duplicates: int = 0
    left_out: int = 0
    columns: tuple[str, ...] = ()  # that templates may use
    accepted: tuple[Signatory, ...] = ()
    problems: tuple[Problem, ...] = ()
    header: int = 0  # its line
    _sheet: Sheet | None = field(default=None, repr=False, compare=False)
    _at: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)

    @property
    def of_rows(self) -> list[Problem]:
        """The problems that each concern one row."""
        return [problem for problem in self.problems if problem.line > self.header]

    @property
    def of_all(self) -> list[Problem]:
        """The problems that concern all rows."""
        return [problem for problem in self.problems if problem.line <= self.header]

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
        """Return a problem that points at a cell of a row, for later stages."""
        try:
            if self._sheet is not None:
                record = self._sheet.record_at(line)
                index = self._at.get(column, 0)
                return problem_at(self.file, self._sheet, record, index, code, message, hint, severity)
        except Undecodable:  # it has changed since
            pass
        return Problem(self.file, line, 0, code, message, hint, severity)


def read_signatories(
    opened: Opened, *, file: str, signing: Signing, language: str, own_domain: str, today: date
) -> Signatories:
    """Return the signatories of a file and everything that is wrong with it.

    Args:
        opened: opens the file anew, at its first octet, and never another file.
        file: its name, for the problems.
        signing: how it is written.
        language: the one that is meant where a row says none.
        own_domain: the domain that the campaign sends from, as A-labels.
        today: no consent is of a later day.
    """
    try:
        return _Reading(opened, file, signing, language, own_domain, today).result()
    except Undecodable as fault:
        return Signatories(file, problems=(fault.problem,))


class _Reading:
    """One reading of the file."""

    def __init__(
        self, opened: Opened, file: str, signing: Signing, language: str, own_domain: str, today: date
    ) -> None:
        text = ListText(opened, file=file, encoding=signing.encoding)
        delimiter = "\t" if signing.delimiter.lower() == "tab" else signing.delimiter
        if delimiter not in DELIMITERS:
            delimiter = header_delimiter(text.lines())
        self._sheet = Sheet(text.lines, delimiter)
        self._told = Gathered(file, self._sheet, most=MAX_PROBLEMS)
        self._file, self._language, self._own, self._today = file, language, own_domain, today
        self._at: dict[str, int] = {}
        self._firsts: dict[str, tuple[Record, dict[str, str]]] = {}
        self._kept: dict[str, Signatory] = {}
        self._header = 0
        self._rows = self._rejected = self._duplicates = self._left_out = 0

    def result(self) -> Signatories:
        with closing(self._sheet.records()) as records:
            self._read(records)
        columns = [name for name in self._at if name not in _HIDDEN]
        return Signatories(
            file=self._file,
            rows=self._rows,
            rejected=self._rejected,
            duplicates=self._duplicates,
            left_out=self._left_out,
            columns=(*columns, "names") if columns else (),
            accepted=tuple(self._kept.values()),
            problems=self._told.result(),
            header=self._header,
            _sheet=self._sheet,
            _at=self._at,
        )

    def _read(self, records: Iterator[Record]) -> None:
        header = next((record for record in records if record.broken or filled(record.cells)), None)
        if header is None:
            hint = "the first line names the columns: name,email,consent_date,consent_source"
            self._told.tell_file("empty-file", "the file is empty", hint)
            return
        if header.broken:
            tell_broken(header, self._told)
            return
        self._header = header.line
        names = tuple(unicodedata.normalize("NFC", cell) for cell in header.cells)
        for index, code, message, hint in header_faults(names, COLUMNS):
            self._told.tell(header, index, code, message, hint)
        for index, name in enumerate(readable(names, COLUMNS)):
            self._at.setdefault(name, index)
        for name, hint in (
            ("consent_date", "name a column consent_date: the day on which each of them agreed, 2026-11-02"),
            ("name", "name a column name: it stands in From and under the letter"),
        ):
            if name not in self._at:
                self._told.tell(header, len(names), f"no-{name}-column", f"there is no column {name}", hint)
        if not {"email", "name", "consent_date"} <= self._at.keys():
            return
        for record in records:
            if not record.broken and not filled(record.cells):
                continue
            if self._rows == MAX_ROWS:
                message = f"there are more than {MAX_ROWS} rows"
                self._told.tell(record, 0, "too-many-rows", message, "divide them into several campaigns")
                return
            self._rows += 1
            self._take(record, len(names))
        if not self._rows:
            words, hint = "there is no signatory below the header", "remove the file where nobody signs"
            self._told.tell_file("no-rows", words, hint)

    def _take(self, record: Record, width: int) -> None:
        """Check one row, and keep its signatory where nothing is wrong."""
        if record.broken:
            tell_broken(record, self._told)
        elif len(record.cells) != width:
            message = f"this row has {len(record.cells)} cells, the header has {width}"
            words = DELIMITERS[self._sheet.delimiter]
            self._told.tell(record, width, "row-length", message, f"a cell that holds a {words} needs quotes")
        else:
            values = {name: cleaned(record.cells[index]) for name, index in self._at.items()}
            values["words"] = laid_out(values.get("words", ""))
            if YES.get(values.get("exclude", "").lower()):
                self._left_out += 1
                return
            before = self._told.errors
            signatory = self._signatory(record, values)
            if signatory is not None and self._told.errors == before:
                self._place(record, values, signatory)
                return
        self._rejected += 1

    def _signatory(self, record: Record, values: dict[str, str]) -> Signatory | None:
        unsafe = self._unsafe(record, values)
        address = self._address(record, values) if "email" not in unsafe else None
        self._consent(record, values)
        self._name(record, values["name"])
        self._flag(record, values, "exclude")
        publish = self._flag(record, values, "publish")
        author = self._author(record, values.get("from", "")) if "from" not in unsafe else ""
        language = values.get("language", "")
        if language and not _LANGUAGE.fullmatch(language):
            message = f'"{visible(language, limit=40)}" is not a language tag'
            self._tell(record, "language", "language", message, 'languages are written "en", "el", "pt-BR"')
        joint = values.get("joint", "").casefold()
        if joint and not _LABEL.fullmatch(joint):
            hint = "letters, digits, - and _: the same word in the rows of all who sign one letter together"
            self._tell(record, "joint", "joint", "joint is one short word", hint)
        if address is None:
            return None
        shown = {f"{SCOPE}.{name}": text for name, text in values.items() if name not in _HIDDEN}
        shown[f"{SCOPE}.names"] = _signature(values)
        shown[f"{SCOPE}.email"] = address.wire
        if author:
            shown[f"{SCOPE}.from"] = author
        return Signatory(
            line=record.line,
            key=address.key,
            address=address,
            name=values["name"],
            country=values.get("country", ""),
            language=language or self._language,
            publish=publish,
            joint=joint,
            values=shown,
            members=(address.key,),
        )

    def _place(self, record: Record, values: dict[str, str], signatory: Signatory) -> None:
        """Keep a signatory whose address no other row has; equal rows become one."""
        key = signatory.key
        if key not in self._firsts:
            self._firsts[key] = record, values
            self._kept[key] = signatory
            return
        first, others = self._firsts[key]
        column = next((name for name in values if name != "email" and values[name] != others[name]), "")
        lines = f"lines {first.line} and {record.line}"
        if not column:
            self._duplicates += 1
            words = f"{lines} are the same signatory and become one"
            self._tell(record, "email", "duplicate", words, severity=Severity.WARNING)
            return
        self._rejected += 1 + (self._kept.pop(key, None) is not None)
        message = f'{lines} have the same address and differ in column "{column}"'
        hint = (
            f'line {first.line}: "{visible(others[column], limit=60)}"\n'
            f'line {record.line}: "{visible(values[column], limit=60)}"\n'
            "one address signs once: keep one row, or set exclude = yes in the other"
        )
        self._tell(record, column, "same-address", message, hint)

    def _unsafe(self, record: Record, values: Mapping[str, str]) -> set[str]:
        """Tell every cell that could harm a header, a terminal or a reader; return their columns."""
        unsafe: set[str] = set()
        for name, text in values.items():
            known = name in COLUMNS.known and name != "words"
            if fault := fault_of_text(text, known=known):
                column = f'column "{visible(name, limit=64)}" {fault[1]}'
                self._tell(record, name, fault[0], column, fault[2])
                unsafe.add(name)
            elif reads := decoded_twice(text):
                message = f'"{visible(text, limit=40)}" reads as if it had been decoded wrongly'
                hint = f'was it "{visible(reads, limit=40)}"? then the file was converted twice'
                self._tell(record, name, "decoded-twice", message, hint, Severity.WARNING)
        return unsafe

    def _address(self, record: Record, values: Mapping[str, str]) -> Address | None:
        written = values["email"]
        try:
            address = parse_address(written)
        except AddressFault as fault:
            message = f'"{visible(written, limit=80)}" is not an address: {fault}' if written else str(fault)
            hint = "" if written else "fill it in, remove the row, or set exclude = yes"
            self._tell(record, "email", "address", message, hint)
            return None
        if meant := meant_domain(address.domain):
            message = f'"{address.domain}" is one slip away from "{meant}"'
            self._tell(record, "email", "domain-typo", message, severity=Severity.WARNING)
        return address

    def _consent(self, record: Record, values: Mapping[str, str]) -> None:
        """No name is used without the day on which its owner agreed."""
        text = values["consent_date"]
        if not text:
            message = "no date of consent: nobody's name is used without it"
            hint = (
                "write the day on which they agreed (2026-11-02), and in consent_source where it can be seen"
            )
            self._tell(record, "consent_date", "no-consent", message, hint)
            return
        try:
            day = date.fromisoformat(text) if _DAY.fullmatch(text) else None
        except ValueError:
            day = None
        if day is None:
            message = f'"{visible(text, limit=40)}" is not a day'
            self._tell(record, "consent_date", "consent-date", message, "write year-month-day: 2026-11-02")
        elif day > self._today:
            message = f"{text} has not come yet: nobody has agreed then"
            self._tell(record, "consent_date", "consent-date", message)
        if not values.get("consent_source"):
            message = "where the consent can be seen is not said"
            hint = "consent_source: a form, a mail, a signed sheet"
            column = "consent_source" if "consent_source" in self._at else "consent_date"
            self._tell(record, column, "no-consent-source", message, hint, Severity.WARNING)

    def _name(self, record: Record, name: str) -> None:
        if not name:
            hint = "fill it in, remove the row, or set exclude = yes"
            self._tell(record, "name", "no-name", "a signatory without a name", hint)
        elif re.search(r"[@<>]", name):
            hint = "it would stand in From, where filters take it for a forged address"
            self._tell(record, "name", "name", "a name holds no address", hint)

    def _author(self, record: Record, written: str) -> str:
        """Return the author's address that a row asks for; it must be in the campaign's own domain."""
        if not written:
            return ""
        try:
            address = parse_address(written)
        except AddressFault as fault:
            self._tell(record, "from", "address", f'"{visible(written, limit=80)}": {fault}')
            return ""
        if address.domain != self._own:
            message = f"a From in {address.domain_shown} is not ours: the campaign sends from {self._own}"
            hint = (
                f"only {self._own} vouches for our letters, so they fail the DMARC check of "
                f"{address.domain_shown} and are refused or filed as spam\n"
                "leave the cell empty: the campaign's address with the signatory's name is what readers see, "
                'and with [signatories] reply_to = "signatory" answers go to them'
            )
            self._tell(record, "from", "foreign-from", message, hint)
        return address.wire

    def _flag(self, record: Record, values: Mapping[str, str], name: str) -> bool:
        text = values.get(name, "")
        answer = YES.get(text.lower())
        if answer is None:
            message = f'{name} is "{visible(text, limit=40)}", neither yes nor no'
            self._tell(record, name, "yes-or-no", message, "write yes or no, or leave it empty")
        return bool(answer)

    def _tell(
        self,
        record: Record,
        column: str,
        code: str,
        message: str,
        hint: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        self._told.tell(record, self._at.get(column, 0), code, message, hint, severity)


def laid_out(words: str) -> str:
    """Return somebody's words with lines and paragraphs as they are, and nothing else of their spacing."""
    lines = [" ".join(line.split()) for line in words.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def is_label(word: str) -> bool:
    """Say whether a word can be that of a joint letter, and is no letter's number."""
    return _LABEL.fullmatch(word) is not None and not word.isdecimal()


def joined(signatories: Iterable[Signatory]) -> list[Signatory]:
    """Return who writes: those who sign together as one, in the place of the first of them."""
    found: dict[str, list[Signatory]] = {}
    for one in signatories:
        found.setdefault(one.joint or one.key, []).append(one)
    return [_together(label, group) for label, group in found.items()]


def _together(label: str, group: Sequence[Signatory]) -> Signatory:
    first = group[0]
    if not first.joint:
        return first
    values = dict(first.values)
    for name in values:
        texts = list(dict.fromkeys(text for one in group if (text := one.values.get(name, ""))))
        if name == f"{SCOPE}.names":
            values[name] = "\n".join(texts)
        elif name not in (WORDS, f"{SCOPE}.from", f"{SCOPE}.email"):
            values[name] = ", ".join(texts)
    values[f"{SCOPE}.author_name"] = _from_names([one.name for one in group])
    values[WORDS] = next((words for one in group if (words := one.values[WORDS])), "")
    return replace(
        first,
        key=label,
        name=values[f"{SCOPE}.author_name"],
        publish=all(one.publish for one in group),
        values=values,
        members=tuple(one.key for one in group),
    )


def _from_names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} (+{len(names) - NAMES_SHOWN})"


def _signature(values: Mapping[str, str]) -> str:
    """Return a line with who it is: name, organisation, city, country."""
    parts = (values.get(name, "") for name in ("name", "organisation", "city", "country"))
    return ", ".join(part for part in parts if part)
