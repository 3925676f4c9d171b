"""One cell and one row of cells: how a text is cleaned, and what makes it unusable.

Contract: values in, values out. `fault_of_text` refuses whatever could add a header, move a cursor or turn
the writing direction; it never takes anything away, for the row's author must see what stood there.

Standards: RFC 5322 2.2 (no line break in a field), RFC 2047 5 (encoded-words are made by the header writer
alone).

Limits: `MAX_CELL` characters; text that was decoded wrongly is recognised for two encodings and only warned
about.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from pipeline.mail.address import holds_encoded_word, unsafe_character

MAX_CELL = 10_000  # characters

_OUTER = " \t\u00a0"  # spaces that do not count at either end of a cell


class Cells(Mapping[str, str]):
    """The cells of one row by their columns; read only, and small: all rows share the names."""

    __slots__ = ("_at", "_texts")

    def __init__(self, at: Mapping[str, int], texts: tuple[str, ...]) -> None:
        """Take the position of each column and the texts in the order of the file."""
        self._at = at
        self._texts = texts

    def __getitem__(self, name: str) -> str:
        return self._texts[self._at[name]]

    def as_dict(self) -> dict[str, str]:
        """Return the cells as a dict, in the order of the columns."""
        texts = self._texts
        return {name: texts[index] for name, index in self._at.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._at)

    def __len__(self) -> int:
        return len(self._at)

    def __hash__(self) -> int:
        return hash(tuple(self.items()))

    def __repr__(self) -> str:
        return f"Cells({dict(self)!r})"


def filled(cells: Sequence[str]) -> bool:
    """Say whether a row is more than blank cells."""
    return any(cell.strip() for cell in cells)


def cleaned(cell: str) -> str:
    """Return a cell as it is used: outer spaces off, NFC, lines ended by LF."""
    text = cell.strip(_OUTER).replace("\r\n", "\n")
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def fault_of_text(text: str, *, known: bool) -> tuple[str, str, str] | None:
    """Return code, words and hint for what makes a cell unusable; None where it is fine.

    A line break is let in only where a column is a template value of the campaign's own: the known ones go
    into headers and file names.
    """
    if len(text) > MAX_CELL:
        return (
            "cell-too-long",
            f"holds {len(text)} characters; {MAX_CELL} are the most",
            "is a quote not closed?",
        )
    if found := unsafe_character(text, newline=not known):
        return (
            "unsafe-text",
            f"holds {found[1]} at character {found[0] + 1}",
            "remove it; type the text again if unsure",
        )
    if holds_encoded_word(text):
        hint = "write the characters themselves; the letter encodes them"
        return "unsafe-text", "holds an encoded-word (=?...?=)", hint
    return None


def decoded_twice(text: str) -> str:
    """Return ``text`` as it was before its UTF-8 was taken for windows-1252 or windows-1251; ''."""
    if text.isascii():
        return ""
    for taken_for in ("windows-1252", "windows-1251"):
        try:
            return text.encode(taken_for).decode("utf-8")
        except UnicodeError:
            continue
    return ""
