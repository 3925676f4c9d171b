"""Which way a language runs, and the invisible marks that keep a text in order where two ways meet.

In a language that runs from right to left every line of the text part is a paragraph of its own to the
program that shows it, and takes its direction from its first letter. A line that begins with a Latin word,
or has nothing but a number or an address, would run the wrong way: it gets a right-to-left mark in front.
A value that runs from left to right (a name in Latin letters, a telephone number, a date in figures) is
isolated, so that it does not pull the words and stops beside it to its own side.

Unicode Standard Annex 9 (UAX 9), 2.4 (isolates), 2.6 (marks), 3.3.1 (P2, P3: the first strong letter); HTML
shows the same marks, and says dir="rtl" for the page. Limits: subjects get no marks, for mail programs show
them in lists of their own direction; letters of languages that run from left to right get none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

_RIGHT_TO_LEFT = frozenset(
    {"ar", "arc", "ckb", "dv", "fa", "he", "ks", "nqo", "ps", "sd", "syr", "ug", "ur", "yi"}
)
_RIGHT_TO_LEFT_SCRIPTS = frozenset({"adlm", "arab", "hebr", "nkoo", "rohg", "syrc", "thaa"})

RIGHT_MARK = "\u200f"  # RLM
_ISOLATE_LTR, _END_ISOLATE = "\u2066", "\u2069"  # LRI, PDI
_MARKS = re.compile("[\u200e\u200f\u2066-\u2069]")
_PLAIN_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)*")
_PRIVATE = "\ue000"  # to \uf8ff: what stands for a value is isolated when the value is there
_PRIVATE_END = "\uf8ff"


@lru_cache(maxsize=64)
def direction(language: str) -> str:
    """Return "rtl" or "ltr" for a BCP 47 tag, by its script where it names one."""
    first, *rest = language.lower().replace("_", "-").split("-")
    for part in rest:
        if len(part) == 4 and part.isalpha():
            return "rtl" if part in _RIGHT_TO_LEFT_SCRIPTS else "ltr"
    return "rtl" if first in _RIGHT_TO_LEFT else "ltr"


def isolated(text: str) -> str:
    """Return a value as it stands in a text that runs from right to left: isolated if it runs the other way,
    or is made of figures that would be turned round.
    """
    if not text or _PRIVATE <= text[0] <= _PRIVATE_END or _PLAIN_NUMBER.fullmatch(text):
        return text
    strong = _first_strong(text)
    if strong == "R" or (not strong and not any(map(str.isdigit, text))):
        return text
    return f"{_ISOLATE_LTR}{text}{_END_ISOLATE}"


def marked(line: str) -> str:
    """Return a line of the text part with a right-to-left mark, where it would run the wrong way."""
    if not line or line.isspace() or _first_strong(_without_isolates(line)) == "R":
        return line
    return RIGHT_MARK + line


def all_marked(lines: Sequence[str]) -> list[str]:
    """Return lines of the text part, each `marked`."""
    return [marked(line) for line in lines]


def unmarked(text: str) -> str:
    """Return a text without any such mark: for what machines read (a link), and for terminals."""
    return _MARKS.sub("", text) if not text.isascii() else text


def _first_strong(text: str) -> str:
    """Return "R" or "L" for the first letter that has a direction; an empty text where none has."""
    for character in text:
        kind = unicodedata.bidirectional(character)
        if kind in ("R", "AL"):
            return "R"
        if kind == "L":
            return "L"
    return ""


def _without_isolates(line: str) -> str:
    """Return a line without what is isolated in it: it says nothing of the line's direction (P2)."""
    if _ISOLATE_LTR not in line:
        return line
    return re.sub(f"{_ISOLATE_LTR}[^{_END_ISOLATE}]*(?:{_END_ISOLATE}|$)", "", line)
