"""The quick way through the rows in which nothing can be wrong, which are nearly all of a long list.

Contract: `PlainRows.found_in` gives for a row exactly what `row.RowCheck` gives where that tells no problem,
or its cells: then the row has to go the whole way. It is a tenth of the work: one look at many lines instead
of one at each cell, and what was found out about a domain or a language is remembered.

Limits: lines without a quote only; an address on a domain that is not plain (`mail.address.quick_address`)
goes the whole way when the domain is seen for the first time.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count

from pipeline.mail.address import Address, quick_address
from pipeline.recipients.cells import MAX_CELL, Cells
from pipeline.recipients.domains import meant_domain, mixed_scripts
from pipeline.recipients.meant import timezones
from pipeline.recipients.roles import REFUSED, refused_role
from pipeline.recipients.row import YES, Frame, Recipient
from pipeline.recipients.sheet import Run

MOST_DOMAINS = 100_000  # whose verdict is remembered
MOST_SPELLINGS = 1_000  # of languages
_MACHINES = tuple(REFUSED)  # what their addresses begin with, but for those that end in -request or -owner
_made = tuple.__new__  # a NamedTuple without its own constructor: half the time


def _decoded_as(first: int, last: int) -> str:
    """Return the characters that windows-1252 and -1251 have for octets, as a set for a pattern."""
    octets = bytes(range(first, last + 1))
    both = octets.decode("windows-1252", "ignore") + octets.decode("windows-1251", "ignore")
    return "".join(sorted(re.escape(character) for character in set(both)))


# What may stand in a printable line and is suspicious all the same: signs of text that was decoded wrongly,
# and what can be the first two octets of a character in UTF-8 (RFC 3629 4) that was taken for windows-125x.
@cache
def _suspicion() -> re.Pattern[str]:
    return re.compile(f"[\ufffc\ufffd]|[{_decoded_as(0xC2, 0xF4)}][{_decoded_as(0x80, 0xBF)}]")


class PlainRows:
    """The rows of one list, the quick way."""

    def __init__(self, frame: Frame) -> None:
        """Look up where the known columns stand."""
        at = frame.at
        self._width = len(frame.columns)
        self._cells_at = at
        self._tabs = frame.delimiter == "\t"
        self._space_before = f" {frame.delimiter}"
        self._languages = frame.languages
        self._spellings = {"": frame.default}
        self._domains: dict[str, bool] = {}
        self._email, self._language, self._name = at["email"], at.get("language"), at.get("name")
        self._timezone, self._attachments = at.get("timezone"), at.get("attachments")
        self._flags = tuple(at[name] for name in ("exclude", "role_ok") if name in at)

    def found_in(self, run: Run) -> Iterator[Recipient | list[str]]:
        """Yield for each line of a run its recipient, or its cells where it has to go the whole way."""
        harmless = self._harmless(run.texts)
        tidy = harmless and not self._has_outer_spaces(run.texts)
        width, at, email, name = self._width, self._cells_at, self._email, self._name
        language, timezone, attachments = self._language, self._timezone, self._attachments
        spellings, known_domains, flags = self._spellings, self._domains, self._flags
        for line, text, cells in zip(count(run.line), run.texts, run.cells, strict=False):
            if len(cells) != width or not (harmless or self._harmless([text])) or _suspicious(text):
                yield cells
                continue
            if not tidy:
                cells = [cell.strip(" ") for cell in cells]
            address = quick_address(cells[email])
            if address is None or not (known_domains.get(address.domain) or self._unsuspected(address)):
                yield cells
                continue
            if address.smtputf8 and mixed_scripts(address.written.rpartition("@")[0]):
                yield cells
                continue
            said = spellings.get(cells[language] if language is not None else "")
            zone = cells[timezone] if timezone is not None else ""
            if (
                (said is None and not (said := self._spelt(cells)))
                or (zone and zone not in timezones())
                or (flags and not self._let_in(cells))
                or (address.key.startswith(_MACHINES) and refused_role(address.key))
                or ("-" in address.key and refused_role(address.key))
            ):
                yield cells
                continue
            files: tuple[str, ...] = ()
            if attachments is not None and (names := cells[attachments]):
                files = tuple(part.strip() for part in names.split(";") if part.strip())
            shown = cells[name] if name is not None else ""
            values = Cells(at, tuple(cells))
            yield _made(Recipient, (line, address, said, shown, zone, files, values))

    def address(self, cells: Sequence[str]) -> Address | None:
        """Return the address of a row, whatever else is in it; None where the row has to go the whole way."""
        return quick_address(cells[self._email].strip(" ")) if len(cells) > self._email else None

    def _harmless(self, lines: Sequence[str]) -> bool:
        """Say whether no cell of some lines can be unsafe, too long or not composed; False in doubt.

        A character that is refused (`mail.address.unsafe_character`) is not printable, but for those that
        `_suspicion` has. What is in NFC is so in each part (UAX 15 1.3).
        """
        text = "".join(lines).replace("\n", "").replace("\r", "")
        if self._tabs:
            text = text.replace("\t", "")
        if not text.isprintable() or "=?" in text or max(map(len, lines)) > MAX_CELL:
            return False
        return text.isascii() or unicodedata.is_normalized("NFC", text)

    def _has_outer_spaces(self, lines: Sequence[str]) -> bool:
        """Say whether spaces can stand behind a cell; `csv` takes off those before it."""
        text = "".join(lines)
        return any(end in text for end in (self._space_before, " \n", " \r")) or text.endswith(" ")

    def _unsuspected(self, address: Address) -> bool:
        """Say whether nothing is to be told of the domain."""
        plain = self._domains.get(address.domain)
        if plain is None:
            plain = not meant_domain(address.domain) and not mixed_scripts(address.domain_shown)
            if len(self._domains) < MOST_DOMAINS:
                self._domains[address.domain] = plain
        return plain

    def _let_in(self, cells: Sequence[str]) -> bool:
        """Say whether the flags are readable, and none of them asks for anything out of the way."""
        return all(YES.get(cells[flag].lower(), True) is False for flag in self._flags)

    def _spelt(self, cells: Sequence[str]) -> str:
        """Return the language of a spelling met for the first time; "" where there is none."""
        written = cells[self._language] if self._language is not None else ""
        known = self._languages.get(written.casefold(), "")
        if known and len(self._spellings) < MOST_SPELLINGS:
            self._spellings[written] = known
        return known


def _suspicious(line: str) -> bool:
    """Say whether a line has a part that is suspicious; one letter of two octets alone never is."""
    return len(line.encode()) - len(line) > 1 and _suspicion().search(line) is not None
