"""Bytes of foreign text into characters, without losing one of them.

`decode` tries, in this order, and the first that takes every byte wins:

    1. a byte order mark (UTF-8, UTF-16, UTF-32)
    2. UTF-8, where the bytes are valid UTF-8 beyond ASCII: no other charset looks like that by accident, so
       it wins over a wrong declaration too (except the escape-coded ones, which are ASCII)
    3. the declared charset, or the wider one that its users mean by it (`gb2312` is GB 18030, `iso-8859-1` is
       windows-1252, `ks_c_5601-1987` is CP949, ...: the labels of the WHATWG Encoding Standard)
    4. ISO-2022-JP, where its escape sequences stand in the text
    5. one of the Cyrillic charsets, where nearly all bytes beyond ASCII are letters there and look like words
    6. windows-1252 with its five holes filled from ISO 8859-1: takes every byte, and can be turned back

RFC 2045 5.2 (undeclared is US-ASCII), RFC 2978, RFC 6532; WHATWG Encoding Standard 4.2 for the labels.

Limits: what is undeclared and neither UTF-8, Japanese nor Cyrillic is shown as windows-1252; a charset that
Python does not know is undeclared. UTF-7 is not read: it hides markup.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

LONGEST_GUESS = 20_000  # octets looked at when guessing

_MEANT = {
    "ansi": "cp1252", "x-ansi": "cp1252", "ascii": "utf-8", "us-ascii": "utf-8", "ansi_x3.4-1968": "utf-8",
    "iso-8859-1": "cp1252", "iso8859-1": "cp1252", "latin1": "cp1252", "latin-1": "cp1252", "l1": "cp1252",
    "iso_8859-1": "cp1252", "x-cp1252": "cp1252", "windows1252": "cp1252",
    "iso-8859-9": "cp1254", "latin5": "cp1254", "iso-8859-11": "cp874", "tis-620": "cp874",
    "iso-8859-8-i": "iso-8859-8", "iso-8859-8-e": "iso-8859-8", "iso-8859-6-i": "iso-8859-6",
    "gb2312": "gb18030", "gb_2312-80": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "cp936": "gb18030",
    "euc-cn": "gb18030", "ks_c_5601-1987": "cp949", "ks_c_5601": "cp949", "euc-kr": "cp949",
    "shift_jis": "cp932", "shift-jis": "cp932", "x-sjis": "cp932", "sjis": "cp932", "windows-31j": "cp932",
    "ksc5601": "cp949", "iso-2022-jp": "iso2022_jp_ext", "cp50220": "iso2022_jp_ext",
    "big5": "big5hkscs", "x-x-big5": "big5hkscs",
    "koi8": "koi8-r", "x-koi8-r": "koi8-r", "koi8-ru": "koi8-u", "x-cp1251": "cp1251", "win-1251": "cp1251",
    "win1251": "cp1251", "dos-866": "cp866", "x-mac-cyrillic": "mac_cyrillic", "macintosh": "mac_roman",
    "x-mac-roman": "mac_roman", "x-mac-ce": "mac_latin2", "unicode": "utf-16", "utf8mb4": "utf-8",
}  # fmt: skip
_TEXT_ONLY = frozenset({"utf-7", "unicode-1-1-utf-7", "csunicode11utf7", "idna", "punycode", "mbcs", "oem"})
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_JAPANESE = re.compile(rb"\x1b(?:\$[@B(]|\([IJ])")
_WORD = re.compile("[А-Яа-яЁёІіЇїЄєҐґЎў]+")
_LIKELY_WORD = re.compile("[А-ЯЁІЇЄҐЎ]?[а-яёіїєґў]+|[А-ЯЁІЇЄҐЎ]+")
_COMMON = frozenset("оеаинтсрвлкмдпуОЕАИНТСРВЛКМДПУ")
_CYRILLIC = ("cp1251", "koi8-u", "iso-8859-5", "cp866")


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, the charset that gave it, and whether that is what the sender declared (or may leave out)."""

    text: str
    charset: str
    as_declared: bool


def decode(data: bytes, declared: str = "") -> Decoded:
    """Return ``data`` as text; ``declared`` is the charset parameter, "" where there is none.

    Never raises, and no byte is dropped: what no charset takes comes out as windows-1252.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            if (text := _strict(data, name)) is not None:
                return Decoded(text.removeprefix("\ufeff"), name, name == _known(declared))
            break
    codec = _known(declared)
    if data.isascii() and codec in {"", "utf-8", "cp1252"} and not _JAPANESE.search(data[:LONGEST_GUESS]):
        return Decoded(data.decode("ascii"), "us-ascii", not declared or bool(codec))
    if not data.isascii() and (text := _strict(data, "utf-8")) is not None:
        return Decoded(text, "utf-8", codec == "utf-8")
    if codec and (text := _strict(data, codec)) is not None:
        return Decoded(text, codec, as_declared=True)
    if _JAPANESE.search(data[:LONGEST_GUESS]) and (text := _strict(data, "iso2022_jp_ext")) is not None:
        return Decoded(text, "iso2022_jp_ext", as_declared=False)
    if (not codec or codec in {"utf-8", "cp1252"}) and (name := _cyrillic(data[:LONGEST_GUESS])):
        return Decoded(_filled(data, name), name, as_declared=False)
    return Decoded(_filled(data, "cp1252"), "windows-1252", as_declared=False)


def _known(declared: str) -> str:
    """Return the codec for a declared charset; "" where Python has none that turns bytes into text."""
    label = declared.strip(" \t\"'").lower()
    if not label or label in _TEXT_ONLY or len(label) > 40 or not label.isascii():
        return ""
    name = _MEANT.get(label, label)
    try:
        info = codecs.lookup(name)
        b"a".decode(info.name)
    except (LookupError, ValueError):
        return ""
    return "" if info.name in _TEXT_ONLY else info.name


def _strict(data: bytes, codec: str) -> str | None:
    if codec == "cp1252":
        return _filled(data, codec)
    try:
        return data.decode(codec)
    except ValueError:
        return None


def _filled(data: bytes, codec: str) -> str:
    """Decode with a one-byte charset; a byte it has no character for stands for itself (ISO 8859-1)."""
    text = codecs.charmap_decode(data, "strict", _table(codec))[0]
    return str(text)


def _table(codec: str) -> str:
    table = bytes(range(256)).decode(codec, "replace")
    return "".join(chr(at) if mark == "\ufffd" else mark for at, mark in enumerate(table))


def _cyrillic(data: bytes) -> str:
    """Name the Cyrillic charset in which ``data`` reads like words, "" where it does in none."""
    best, name = 0.0, ""
    beyond = sum(byte > 127 for byte in data)
    if beyond < 4:
        return ""
    for codec in _CYRILLIC:
        words = _WORD.findall(_filled(data, codec))
        letters = sum(map(len, words))
        if letters < 0.85 * beyond:
            continue
        likely = sum(len(word) for word in words if len(word) > 1 and _LIKELY_WORD.fullmatch(word))
        common = sum(mark in _COMMON for word in words for mark in word)
        score = (likely / letters) * (common / letters)
        if score > best:
            best, name = score, codec
    return name if best > 0.45 else ""
