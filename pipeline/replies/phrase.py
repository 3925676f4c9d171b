"""Phrases of the rules, as patterns.

A phrase is words as they stand in a mail, compared without case; a space stands for any run of spaces and
line ends. Three marks: `*` stands for up to 60 characters of one line, `~` at the end of a word for any
ending (`отсутств~`), `{address}` for an address, which it captures. In Chinese, Japanese, Korean and Thai a
phrase may stand within a word, elsewhere only as whole words.

All patterns are linear in the text: a phrase holds at most three `*`, each bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_NOT_LOCAL = r"\s<>()\[\],;:\"'@=|*\uff08\uff09\uff1a\uff0c\uff1b\u3002\u3001\u201c\u201d\u00ab\u00bb\u2026"
ADDRESS = rf"(?<![^{_NOT_LOCAL}])[^{_NOT_LOCAL}]{{1,64}}@[^\W_][A-Za-z0-9\u00a1-\u2fff.-]{{0,252}}[^\W_]"
MOST_STARS = 3
_MARKS = re.compile(r"\{address\}| \* |\*|~|\s+|'")
_UNSPACED = re.compile(
    r"[\u0e00-\u0e7f\u1100-\u11ff\uac00-\ud7af\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)
_PIECES = {" * ": r"\s(?:[^\n]{0,60}?\s)??", "*": r"[^\n]{0,60}?", "~": r"\w*", "'": "['\u2019\u2018`\u00b4]"}


def pattern(phrase: str) -> str:
    """Return the regular expression of one phrase, without what must stand before it.

    Raises:
        ValueError: more than three `*`, or a phrase that does not begin with a word.
    """
    phrase = phrase.strip()
    if phrase.count("*") > MOST_STARS or not phrase.strip("*~ ") or phrase[0] in "*~{'":
        raise ValueError(f"not a phrase: {phrase!r}")
    out, at = "", 0
    for mark in _MARKS.finditer(phrase):
        out += re.escape(phrase[at : mark.start()])
        out += f"({ADDRESS})" if mark[0] == "{address}" else _PIECES.get(mark[0], r"\s{1,20}")
        at = mark.end()
    out += re.escape(phrase[at:])
    return out + (r"(?!\w)" if _at_edge(phrase[-1]) else "")


def _at_edge(mark: str) -> bool:
    """Say whether a word begins or ends with ``mark``, in a script that has spaces between words."""
    return (mark.isalnum() or mark == "~") and not _UNSPACED.match(mark)


@lru_cache(maxsize=4096)
def compiled(phrases: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return one pattern for all ``phrases``, the longer first; None where there are none.

    The marks with which any of them begins are looked for first: that is five times as quick.
    """
    ordered = sorted((phrase.strip() for phrase in phrases), key=len, reverse=True)
    apart = [phrase for phrase in ordered if _at_edge(phrase[:1])]
    within = [phrase for phrase in ordered if not _at_edge(phrase[:1])]
    ways = [
        before + _begins(group) + "(?:" + "|".join(map(pattern, group)) + ")"
        for before, group in ((r"(?<!\w)", apart), ("", within))
        if group
    ]
    return re.compile("|".join(ways), re.IGNORECASE) if ways else None


def _begins(group: list[str]) -> str:
    firsts = {variant for phrase in group for variant in (phrase[0], phrase[0].lower(), phrase[0].upper())}
    return "(?=[" + "".join(re.escape(mark) for mark in sorted(firsts) if len(mark) == 1) + "])"


def find(phrases: Iterable[str], text: str, start: int = 0) -> re.Match[str] | None:
    """Return where the first of ``phrases`` stands in ``text`` behind ``start``."""
    found = compiled(tuple(phrases))
    return found.search(text, start) if found else None
