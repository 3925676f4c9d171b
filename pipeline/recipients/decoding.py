"""From the bytes of a list to its text, or to one problem that says how to get there.

Contract: UTF-8, strictly, with or without a byte order mark. Anything else is decoded only as campaign.toml
says (``[recipients] encoding``), strictly too. A file that is not what was said gives one problem that shows
three of its rows decoded each likely way, and the lines to write into campaign.toml. Nothing is ever guessed:
a wrong guess is a letter full of wrong characters (FAULTS 1).

Standards: RFC 3629 (UTF-8), RFC 2781 (UTF-16 and its byte order marks).

Limits: the likely ways are chosen for Latin, Cyrillic and Greek; other scripts get the general advice.
Multi-byte encodings of East Asia are not taken: save such a list as UTF-8.
"""

from __future__ import annotations

import codecs
import difflib
import re
from itertools import pairwise

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
SAMPLE = 64 * 1024  # octets looked at to tell which ways are likely
ROW_WIDTH = 90  # characters of a row that are shown

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


def decode_list(data: bytes, *, file: str, encoding: str) -> str:
    """Return the text of a list, without a byte order mark.

    Args:
        data: the whole file.
        file: its name, for the problem.
        encoding: one of `ENCODINGS`, in any of its spellings.

    Raises:
        Undecodable: with the problem to show.
    """
    name = _known(encoding)
    if not name:
        raise Undecodable(_no_such_encoding(file, encoding))
    for magic, kind in _WORKBOOKS.items():
        if data.startswith(magic):
            hint = 'open it and save it as "CSV UTF-8 (comma delimited)"'
            raise Undecodable(Problem(file, 0, 0, "not-a-csv", f"this is {kind}, not a CSV file", hint))
    if name == "utf-8":
        return _from_utf8(data, file)
    if not name.startswith("utf-16"):
        _refuse_double_decoding(data, file, encoding)
    return _from_named(data, file, encoding, name)


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


def _from_utf8(data: bytes, file: str) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or _looks_like_utf16(data):
        raise Undecodable(_question(data, file, "the file is UTF-16, not UTF-8", ("utf-16",), at=0))
    body = data.removeprefix(codecs.BOM_UTF8)
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as fault:
        at = fault.start
        message = f"the file is not UTF-8: the byte 0x{body[at]:02X} has no meaning here"
        raise Undecodable(_question(body, file, message, LIKELY, at=at)) from None


def _from_named(data: bytes, file: str, encoding: str, name: str) -> str:
    try:
        return data.decode(name).removeprefix("\ufeff")
    except UnicodeDecodeError as fault:
        message = f'the file is not "{encoding}", though campaign.toml says so'
        other = tuple(way for way in LIKELY if codecs.lookup(way).name != name)
        raise Undecodable(_question(data, file, message, other, at=fault.start)) from None


def _refuse_double_decoding(data: bytes, file: str, encoding: str) -> None:
    """A single-byte encoding decodes UTF-8, wrongly and without complaint; chance never makes UTF-8."""
    if data.isascii():
        return
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return
    message = f'the file is UTF-8, though campaign.toml says "{encoding}"'
    hint = 'take the line away, or write in campaign.toml\n[recipients]\nencoding = "utf-8"'
    raise Undecodable(Problem(file, 0, 0, "encoding", message, hint))


def _looks_like_utf16(data: bytes) -> bool:
    """Text in UTF-16 without a mark has a NUL in every other place of its ASCII part."""
    head = data[:2000]
    return len(head) >= 8 and (max(head[::2].count(0), head[1::2].count(0)) > len(head) // 5)


def _question(data: bytes, file: str, message: str, ways: tuple[str, ...], *, at: int) -> Problem:
    """Build the one problem that shows rows decoded each likely way."""
    shown = _likely(data, ways)
    line = data.count(b"\n", 0, at) + 1 if "utf-16" not in ways else 0
    start = data.rfind(b"\n", 0, at) + 1
    before = data[start:at].decode("utf-8", "replace")
    after = data[at : at + 200].partition(b"\n")[0].decode("ascii", "replace")
    source, column = (before + after, len(before) + 1) if line else ("", 0)
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


def _likely(data: bytes, ways: tuple[str, ...]) -> list[tuple[str, list[tuple[int, str]]]]:
    """Return the ways that decode and read like text, the likeliest first, each with its three rows."""
    if ways == ("utf-16",):
        name = (
            "utf-16" if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else _utf16_without_mark(data)
        )
        text = data[: SAMPLE - SAMPLE % 2].decode(name, "replace").removeprefix("\ufeff")
        return [(name, _rows(list(enumerate(text.splitlines(), 1))))]
    lines = [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if not line.isascii()]
    found: list[tuple[float, str, list[tuple[int, str]]]] = []
    for name in ways:
        try:
            data.decode(codecs.lookup(name).name)
        except UnicodeDecodeError:
            continue
        decoded = [(number, line.decode(name)) for number, line in lines[:500]]
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
