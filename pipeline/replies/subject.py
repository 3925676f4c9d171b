"""What a subject is about, without the marks that replies and forwards put before it.

Contract: any text in; the topic out, with single spaces, in folded case for comparing.

"Re: AW: [list] Fwd: 12/2026" is "12/2026": marks of all languages of `phrases/*.toml`, counted ones
("Re[2]:", "AW(3):") and names in brackets before them are taken off. RFC 5322 3.6.5 ("Re: "), RFC 5256 2.1
(base subject).

Limits: 20 marks; 1,000 characters.
"""

from __future__ import annotations

import re

from pipeline.replies.wording import phrases, plain

MOST_MARKS = 20
LONGEST = 1_000

_LIST = re.compile(r"\[[^\[\]]{1,60}\]\s*")
_TRAILING = re.compile(r"\s*\((?:fwd|fw)\)$")


def topic(subject: str) -> str:
    """Return what a subject is about, for comparing; "" where it is nothing but marks."""
    words, _ = _unmarked(subject)
    return words


def is_answer(subject: str) -> bool:
    """Say whether a mark stands before a subject: a reply's or a forward's."""
    _, marks = _unmarked(subject)
    return bool(marks)


def is_forward(subject: str) -> bool:
    """Say whether one of the marks before a subject is a forward's."""
    _, marks = _unmarked(subject)
    return any(mark in phrases().forward_prefixes for mark in marks)


def _unmarked(subject: str) -> tuple[str, list[str]]:
    words = _TRAILING.sub("", plain(subject[:LONGEST]))
    marks: list[str] = []
    for _ in range(MOST_MARKS):
        start = found.end() if (found := _LIST.match(words)) else 0
        mark = phrases().prefixes.match(words, start)
        if mark is None:
            break
        marks.append(mark[1])
        words = words[mark.end() :]
    return words.strip(), marks
