"""From the bytes of a list to its lines, or to one problem that says how to get there.

Contract: `ListText` decodes while it is read and keeps nothing, so a list may be longer than memory. UTF-8,
strictly, with or without a byte order mark. Anything else is decoded only as campaign.toml says
(``[recipients] encoding``), strictly too. A file that is not what was said gives one problem that shows three
of its rows decoded each likely way, and the lines to write into campaign.toml. Nothing is ever guessed: a
wrong guess is a letter full of wrong characters (FAULTS 1).

Standards: RFC 3629 (UTF-8), RFC 2781 (UTF-16 and its byte order marks).

Limits: the likely ways are chosen for Latin, Cyrillic and Greek; other scripts get the general advice.
Multi-byte encodings of East Asia are not taken: save such a list as UTF-8. Of a line beyond
`LONGEST_LINE` characters a part is lost; no row of it can be in order (200 columns, 10,000 characters each).
"""

from __future__ import annotations

import codecs
import difflib
import io
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cached_property, partial
from itertools import chain, pairwise
from typing import BinaryIO

from pipeline.problem import Problem, visible

# Spelled as people write them; `codecs` knows their other names.
ENCODINGS = (
    "utf-8",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    *(f"windows-{number}" for number in range(1250, 1259)),
    *(f"iso-8859-{number}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)),
    "koi8-r",
    "koi8-u",
    "cp437",
    "cp850",
    "cp852",
    "cp866",
    "cp737",
    "mac-roman",
    "mac-cyrillic",
    "mac-greek",
)
LIKELY = ("windows-1251", "windows-1252", "iso-8859-7", "koi8-r")
SHOWN_ROWS = 3
SHOWN_WAYS = 3
LINES_LOOKED_AT = 500
SAMPLE = 64 * 1024  # octets looked at to tell which ways are likely
ROW_WIDTH = 90  # characters of a row that are shown
LONGEST_LINE = 4 * 1024 * 1024  # characters
BLOCK = 64 * 1024  # octets read at once

_WORKBOOKS = {b"PK\x03\x04": "an Excel or LibreOffice workbook", b"\xd0\xcf\x11\xe0": "an old Excel workbook"}
_WORD = re.compile(r"[^\W\d_]{2,}")
_USUAL_SIGNS = frozenset("«»„“”‘’–—…№§°€£©® ·¿¡ªº")
_COMMON = {
    "windows-1251": frozenset("оеаинтсрвлкмдпуягызь"),
    "koi8-r": frozenset("оеаинтсрвлкмдпуягызь"),
    "iso-8859-7": frozenset("αοιετσνηυρπκμλςάίόέ"),
    "windows-1252": frozenset("éèáíóúñäöüßçãõêàôåøâë"),
}


class Undecodable(ValueError):
    """The bytes are not the text they were said to be; ``problem`` says so to the user."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


Opened = Callable[[], BinaryIO]  # opens the list anew, at its first octet


class ListText:
    """The text of a list, read as often as it is asked for."""

    def __init__(self, opened: Opened, *, file: str, encoding: str) -> None:
        """Take how the list is opened, its name for the problem, and its encoding.

        ``encoding`` is one of `ENCODINGS`, in any of its spellings.
        """
        self._opened = opened
        self._file = file
        self._encoding = encoding

    def lines(self) -> Iterator[str]:
        """Yield the lines with their ends (LF, CR LF or CR), without a byte order mark.

        Raises:
            Undecodable: with the problem to show; also after lines that could be read.
        """
        name = self._checked_name
        decoder = codecs.getincrementaldecoder(name)("strict")
        carried, begun = "", False
        with closing(self._opened()) as stream:
            try:
                for octets in chain(_blocks(stream), (b"",)):
                    text = decoder.decode(octets, final=not octets)
                    if text and not begun:
                        text, begun = text.removeprefix("\ufeff"), True
                    *lines, carried = io.StringIO(carried + text, newline="").readlines() or [""]
                    yield from lines
                    if carried.endswith("\n"):
                        yield carried
                        carried = ""
                    carried = carried[:LONGEST_LINE]
            except UnicodeDecodeError:
                raise Undecodable(self._why(stream, name)) from None
        if carried:
            yield carried

    @cached_property
    def _checked_name(self) -> str:
        """Python's name of the encoding, after a look at what the file is. Raises Undecodable."""
        name = _known(self._encoding)
        if not name:
            raise Undecodable(_no_such_encoding(self._file, self._encoding))
        with closing(self._opened()) as stream:
            head = stream.read(SAMPLE)
            for magic, kind in _WORKBOOKS.items():
                if head.startswith(magic):
                    hint = 'open it and save it as "CSV UTF-8 (comma delimited)"'
                    raise Undecodable(
                        Problem(self._file, 0, 0, "not-a-csv", f"this is {kind}, not a CSV file", hint)
                    )
            if name == "utf-8":
                if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or _looks_like_utf16(head):
                    message = "the file is UTF-16, not UTF-8"
                    raise Undecodable(_question(stream, self._file, message, ("utf-16",)))
            elif name == "utf-16" and not head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                name = "utf-16-le" if sys.byteorder == "little" else "utf-16-be"
            elif not name.startswith("utf-16"):
                self._refuse_double_decoding(stream)
        return name

    def _refuse_double_decoding(self, stream: BinaryIO) -> None:
        """A single-byte encoding decodes UTF-8, wrongly and without complaint; chance never makes UTF-8."""
        stream.seek(0)
        if _is_ascii(stream) or _fault_in(stream, "utf-8") is not None:
            return
        message = f'the file is UTF-8, though campaign.toml says "{self._encoding}"'
        hint = 'take the line away, or write in campaign.toml\n[recipients]\nencoding = "utf-8"'
        raise Undecodable(Problem(self._file, 0, 0, "encoding", message, hint))

    def _why(self, stream: BinaryIO, name: str) -> Problem:
        """Look at the whole file again, now that it is known not to be what it was said to be."""
        if name != "utf-8":
            message = f'the file is not "{self._encoding}", though campaign.toml says so'
            other = tuple(way for way in LIKELY if codecs.lookup(way).name != name)
            fault = _fault_in(stream, name) or (0, 0)
            return _question(stream, self._file, message, other, at=fault[0])
        fault = _fault_in(stream, name) or (0, 0)
        message = f"the file is not UTF-8: the byte 0x{fault[1]:02X} has no meaning here"
        stream.seek(0)
        mark = len(codecs.BOM_UTF8) if stream.read(3) == codecs.BOM_UTF8 else 0
        return _question(stream, self._file, message, LIKELY, at=fault[0], begin=mark)


def _is_ascii(stream: BinaryIO) -> bool:
    """Say whether there is nothing but ASCII from here on; go back to where the stream stood."""
    start = stream.tell()
    plain = all(block.isascii() for block in _blocks(stream))
    stream.seek(start)
    return plain


def _fault_in(stream: BinaryIO, name: str) -> tuple[int, int] | None:
    """Return where the octets of the file cease to be ``name``, and the octet there; None for nowhere."""
    stream.seek(0)
    decoder = codecs.getincrementaldecoder(name)("strict")
    at = 0
    for block in chain(_blocks(stream), (b"",)):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(block, final=not block)
        except UnicodeDecodeError as fault:
            return at - pending + fault.start, fault.object[fault.start]
        at += len(block)
    return None


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    return iter(partial(stream.read, BLOCK), b"")


def _known(encoding: str) -> str:
    """Return Python's name of an encoding we take, or ''."""
    try:
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError):
        return ""
    if name == "utf-8-sig":
        return "utf-8"
    return name if name in {codecs.lookup(ours).name for ours in ENCODINGS} else ""


def _no_such_encoding(file: str, encoding: str) -> Problem:
    close = difflib.get_close_matches(encoding.lower(), ENCODINGS, n=1)
    hint = f'did you mean "{close[0]}"? ' if close else ""
    hint += "known are utf-8, utf-16, windows-1250 to -1258, iso-8859-1 to -16, koi8-r, koi8-u, cp866"
    return Problem(file, 0, 0, "unknown-encoding", f'no such encoding: "{visible(encoding, limit=40)}"', hint)


def _looks_like_utf16(data: bytes) -> bool:
    """Text in UTF-16 without a mark has a NUL in every other place of its ASCII part."""
    head = data[:2000]
    return len(head) >= 8 and (max(head[::2].count(0), head[1::2].count(0)) > len(head) // 5)


def _question(
    stream: BinaryIO, file: str, message: str, ways: tuple[str, ...], *, at: int = 0, begin: int = 0
) -> Problem:
    """Build the one problem that shows rows decoded each likely way; the text begins at octet ``begin``."""
    shown = _likely(stream, ways, begin)
    line, source, column = _place(stream, at, begin) if "utf-16" not in ways else (0, "", 0)
    if not shown:
        hint = 'save the file as "CSV UTF-8", or write into campaign.toml how it is written:\n'
        hint += '[recipients]\nencoding = "..."'
        return Problem(file, line, column, "encoding", message, hint, source=source)
    hint = 'save the file as "CSV UTF-8", or find the way in which these rows read right:\n'
    for name, rows in shown:
        hint += f"{name}:\n" + "".join(f"  {number} | {row}\n" for number, row in rows)
    first = shown[0][0]
    hint += f'and write it into campaign.toml, here most likely:\n[recipients]\nencoding = "{first}"'
    return Problem(file, line, column, "encoding", message, hint, source=source)


def _place(stream: BinaryIO, at: int, begin: int) -> tuple[int, str, int]:
    """Return line, text of the line, and column of the octet ``at``."""
    line, start = 1, begin
    for number, octets in _octet_lines(stream, begin):
        line = number
        if start + len(octets) > at:
            break
        start += len(octets)
    else:  # beyond the end: a character that is not finished there
        octets, start = b"", at
    before = octets[: at - start].decode("utf-8", "replace")
    after = octets[at - start : at - start + 200].partition(b"\n")[0].decode("ascii", "replace")
    return line, before + after, len(before) + 1


def _octet_lines(stream: BinaryIO, begin: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines as octets with their ends, each with its number; one that is very long in pieces."""
    stream.seek(begin)
    number = 1
    for octets in iter(partial(stream.readline, LONGEST_LINE), b""):
        yield number, octets
        number += octets.endswith(b"\n")


def _likely(stream: BinaryIO, ways: tuple[str, ...], begin: int) -> list[tuple[str, list[tuple[int, str]]]]:
    """Return the ways that decode and read like text, the likeliest first, each with its three rows."""
    stream.seek(0)
    if ways == ("utf-16",):
        head = stream.read(SAMPLE)
        name = (
            "utf-16" if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else _utf16_without_mark(head)
        )
        text = head.decode(name, "replace").removeprefix("\ufeff")
        return [(name, _rows(list(enumerate(text.splitlines(), 1))))]
    lines = []
    for number, octets in _octet_lines(stream, begin):
        if not octets.isascii():
            lines.append((number, octets.removesuffix(b"\n")[:SAMPLE]))
            if len(lines) == LINES_LOOKED_AT:
                break
    found: list[tuple[float, str, list[tuple[int, str]]]] = []
    for name in ways:
        if _fault_in(stream, codecs.lookup(name).name) is not None:
            continue
        decoded = [(number, line.decode(name)) for number, line in lines]
        oddness = _oddness("\n".join(text for _, text in decoded)[:SAMPLE], _COMMON[name])
        found.append((oddness, name, _rows(decoded)))
    found.sort(key=lambda way: way[0])
    return [(name, rows) for odd, name, rows in found[:SHOWN_WAYS] if odd <= max(0.6, found[0][0] + 0.2)]


def _utf16_without_mark(data: bytes) -> str:
    head = data[:2000]
    return "utf-16-le" if head[1::2].count(0) >= head[::2].count(0) else "utf-16-be"


def _rows(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    filled = [
        (number, visible(line.rstrip("\r\n"), limit=ROW_WIDTH)) for number, line in lines if line.strip()
    ]
    return filled[:SHOWN_ROWS]


def _oddness(text: str, common: frozenset[str]) -> float:
    """Say how little ``text`` reads like one of the script's languages: 0 like it, 1 and more not at all.

    Counted are signs and controls no one writes in a list, capitals inside words, words of two scripts, words
    mostly of accented Latin letters, a final sigma that is not final, and letters that are rare in the
    script.
    """
    foreign = [character for character in text if not character.isascii()]
    if not foreign:
        return 1.0
    odd = sum(1 for character in foreign if not character.isalpha() and character not in _USUAL_SIGNS)
    letters = [character.lower() for character in foreign if character.isalpha()]
    for word in _WORD.findall(text):
        if not word.isascii():
            odd += _oddness_of_word(word)
    rare = sum(1 for letter in letters if letter not in common) / max(1, len(letters))
    return odd / len(foreign) + rare


def _oddness_of_word(word: str) -> int:
    flips = sum(1 for one, two in pairwise(word) if one.islower() and two.isupper())
    latin = sum(1 for letter in word if "\u00c0" <= letter <= "\u024f")
    dense = latin if 2 * latin > len(word) else 0
    other = sum(1 for letter in word if letter > "\u024f")
    mixed = other if other < len(word) and (latin or any(letter.isascii() for letter in word)) else 0
    return 2 * flips + dense + 2 * mixed + 2 * word[:-1].count("ς")
