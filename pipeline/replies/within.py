"""Answers typed between the lines of a quotation that carries no marks: found by what is not the letter's.

Outlook repeats a letter without marks, and officials answer in it, in red or not at all apart. Where the
letter is known, each line between the first and the last of its lines that the quotation repeats is either
the letter's or an answer.

Contract: lines and what is quoted of them in, the same with the answers not quoted out. Nothing changes where
the quotation does not repeat a fair part of the letter (`FAIR_SHARE`), for then it is of something else.

Limits: an answer that begins on a line of the letter, or that stands above its first or below its last line,
is not found. Those of `pipeline.replies.passage`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pipeline.replies.layout import Line
from pipeline.replies.passage import words_of

FAIR_SHARE = 0.3  # of the letter's words
FEWEST_LINES = 3
SHORT = 3  # words; a shorter line is the letter's if it stands in it as it is
RUN = 3  # words
REPEATED = 8  # words: fewer a writer may have in common with the letter
MOST_ALIKE = 0.5  # share of a line's runs that the letter may have before the line is the letter's
UNSPACED = "\u2e80"  # from here on scripts write without spaces, nearly


def without_answers(lines: Sequence[Line], quoted: Sequence[bool], letter: str) -> list[bool]:
    """Return ``quoted`` with the answers between the letter's lines taken out."""
    flags = list(quoted)
    known = _Letter(letter)
    places = [at for at, line in enumerate(lines) if flags[at] and not line.depth and line.text.strip()]
    words = {at: words_of(lines[at].text) for at in places}
    ours = [at for at in places if words[at] and known.has(words[at])]
    repeated = sum(len("".join(words[at])) for at in ours)
    if len(ours) < FEWEST_LINES or repeated < FAIR_SHARE * known.size:
        return flags
    own = set(ours)
    for at in places:
        if ours[0] < at < ours[-1] and words[at] and at not in own:
            flags[at] = False
    return flags


def without_letter(text: str, letter: str) -> str:
    """Return ``text`` without what stands in it as in the letter: `REPEATED` words or more together.

    For what is to be known of the writer's own words where no sign tells a quotation.
    """
    known = _Letter(letter)
    kept: list[str] = []
    for repeated, group in groupby(
        text.split("\n"), key=lambda line: not (words := words_of(line)) or known.has(words)
    ):
        lines = list(group)
        if not repeated or sum(len(words_of(line)) for line in lines) < REPEATED:
            kept += lines
    return "\n".join(kept)


class _Letter:
    """The words of a letter, to look lines up in."""

    __slots__ = ("runs", "size", "spaced", "unspaced")

    def __init__(self, text: str) -> None:
        words = words_of(text)
        self.runs = {tuple(words[at : at + RUN]) for at in range(len(words) - RUN + 1)}
        self.unspaced = "".join(words)
        self.spaced = f" {' '.join(words)} "
        self.size = len(self.unspaced)

    def has(self, words: Sequence[str]) -> bool:
        """Say whether a line with these words is the letter's."""
        if any(word[0] >= UNSPACED for word in words):
            return "".join(words) in self.unspaced
        if len(words) < SHORT:
            return f" {' '.join(words)} " in self.spaced
        runs = [tuple(words[at : at + RUN]) for at in range(len(words) - RUN + 1)]
        return sum(run in self.runs for run in runs) > MOST_ALIKE * len(runs)
