"""The numbered lists of a letter, and what can be known of an entry in any language.

A demand is known by a name in front of it, which is not printed (`1. {# release #} to release …`); where it
has none, by the facts and figures in it. So a demand that is missing, or stands in another place, can be told
from the text of two versions that nobody here can read.

Contract: pure. Limits: lists that stand at the margin; entries without a name, a
fact or a figure are told apart by their number alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.letters.quantities import quantities
from pipeline.letters.source import Source
from pipeline.problem import Problem, Severity, visible

ITEM = re.compile(r" {0,3}(\d{1,9})[.)](?:[ \t]+|$)")
_NAME = re.compile(r"\s*\{#-?\s*(.*?)\s*-?#\}")
_FACT = re.compile(r"\bfacts((?:\.\w+)+)")


@dataclass(frozen=True, slots=True)
class Demand:
    """One entry of a numbered list: its number as written, its file and line, its text."""

    number: int
    source: Source
    line: int
    text: str
    language: str

    @property
    def name(self) -> str:
        """What stands in `{# … #}` in front of it."""
        found = _NAME.match(self.text)
        return found[1].casefold() if found else ""


def numbered(texts: Sequence[tuple[Source, Sequence[int]]], language: str) -> list[list[Demand]]:
    """Return the numbered lists of a letter."""
    lists: list[list[Demand]] = []
    for source, lines in texts:
        under_way: list[Demand] = []
        blank = False
        for number in lines:
            line = source.line(number)
            if found := ITEM.match(line):
                if not under_way:
                    lists.append(under_way)
                under_way.append(Demand(int(found[1]), source, number, line[found.end() :], language))
            elif under_way and blank and line.strip() and not line.startswith((" ", "\t")):
                under_way = []
            elif under_way and line.strip():
                last = under_way[-1]
                under_way[-1] = Demand(last.number, source, last.line, f"{last.text}\n{line}", language)
            blank = not line.strip()
    return lists


def missing(longer: Sequence[Demand], shorter: Sequence[Demand]) -> list[int]:
    """Return which items of the longer list the shorter one has not, as well as that can be known."""
    gone = len(longer) - len(shorter)
    names = {item.name for item in shorter if item.name}
    unnamed = [number for number, item in enumerate(longer) if item.name and item.name not in names]
    if names and len(unnamed) == gone:
        return unnamed
    written = {item.number for item in shorter}
    skipped = [number for number, item in enumerate(longer) if item.number not in written]
    numbers = [item.number for item in shorter]
    if len(skipped) == gone and numbers != list(range(numbers[0] if numbers else 1, len(numbers) + 1)):
        return skipped
    start = 0
    marks = [_marks(item) for item in longer], [_marks(item) for item in shorter]
    if any(marks[0]):
        while start < len(shorter) and marks[0][start] == marks[1][start]:
            start += 1
        if marks[0][start + gone :] == marks[1][start:]:
            return list(range(start, start + gone))
    return list(range(len(shorter), len(longer)))


def _marks(item: Demand) -> frozenset[str]:
    """Return what a demand can be known by in any language: its name, its facts, its figures."""
    facts = {name.removesuffix(f".{item.language}") for name in _FACT.findall(item.text)}
    figures = {min(one.readings) for one in quantities(item.text, item.language)}
    return frozenset({item.name} - {""} | facts | figures)


def order(theirs: Sequence[Demand], ours: Sequence[Demand]) -> Iterator[Problem]:
    """Yield the first demand that stands in another place than in the source."""
    places = {_sign(item): number for number, item in enumerate(theirs)}
    there = Counter(map(_sign, theirs))
    here = Counter(map(_sign, ours))
    common = [item for item in ours if there[_sign(item)] == here[_sign(item)] == 1 and _sign(item)]
    for before, item in pairwise(common):
        place = places[_sign(item)]
        if place < places[_sign(before)]:
            message = (
                f"demand {place + 1} of {theirs[place].source.file}:{theirs[place].line} comes after demand "
                f"{places[_sign(before)] + 1} here: the order differs"
            )
            hint = "put the demands into the same order"
            yield item.source.problem(item.line, 1, "parity-demand", message, hint=hint)
            return


def _sign(item: Demand) -> frozenset[str]:
    """Return the name of a demand, or where it has none its facts and figures."""
    return frozenset({item.name}) if item.name else _marks(item)


def misnumbered(ours: Sequence[Demand]) -> Iterator[Problem]:
    """Yield the first demand whose written number is not the one that readers will see."""
    if len({item.number for item in ours}) == 1:
        return  # Markdown counts for the writer
    for wanted, item in enumerate(ours, ours[0].number):
        if item.number != wanted:
            message = f"numbered {item.number}; the letter will say {wanted}"
            yield item.source.problem(
                item.line, 1, "numbering", message, hint="is a demand missing?", severity=Severity.WARNING
            )
            return


def beginning(item: Demand) -> str:
    """Return the first words of a demand, to be found by."""
    words = " ".join(_NAME.sub("", item.text, count=1).split())
    return f"it begins: {visible(words, limit=70)}"
