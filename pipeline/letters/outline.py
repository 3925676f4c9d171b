"""What a letter prints of a row, where that can be known before there is a row.

A template that does nothing with a recipient's columns but print them (`{{ recipient.name }}`: no condition,
filter, loop or other expression looks at one) comes out alike for every row but for the values. It is
rendered with marks for values, once, and what comes out is its `Outline`: subject and preheader with gaps,
the body's Markdown, and which column goes into which gap. Jinja need not run for its letters any more. A
signatory's columns are columns like the recipient's, named "signatory.name" and so on; what keeps its lines
(`APART`) has a gap for each, so there is an outline for each `shape`.

Contract: `Outline.fill` gives what rendering gives, or None for a row it cannot vouch for: a column missing
or empty, control characters, two spaces together, a value that is not text, a line that becomes too long.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple, cast

from jinja2 import nodes

from pipeline.letters.direction import isolated
from pipeline.letters.names import RECIPIENT, SIGNATORY
from pipeline.letters.splice import Gaps

LONGEST_SUBJECT = 400  # characters
LINE_BREAK = re.compile(r"[\n\r\v\f\x85\u2028\u2029]")
MARKS = ("\ue000", "\ue001")  # what stands for values is tried with both: a text may hold one itself

APART = (f"{SIGNATORY}.words", f"{SIGNATORY}.names")  # columns that keep their lines and paragraphs

_BREAKS = re.compile("\n+")
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|  ")


class Words(NamedTuple):
    """A letter's words before Markdown is read; ``values`` go into the places of ``markdown``, in order."""

    subject: str
    preheader: str
    markdown: str
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class Outline:
    """A letter with gaps; a gap of the body is filled by a column (its number) or always alike (a text)."""

    columns: tuple[str, ...]
    subject: Gaps
    preheader: Gaps | None
    markdown: str
    filling: tuple[int | str, ...]
    rtl: bool = False  # values of the body are isolated
    apart: tuple[str, ...] = ()  # their lines follow behind the columns
    _chosen: Callable[[Sequence[str]], Sequence[str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_chosen", _choosing(self.filling))

    def fill(self, recipient: Mapping[str, str]) -> Words | None:
        """Return the words for one recipient (column -> cell); None where they must be rendered."""
        try:
            cells = [recipient[column].strip() for column in self.columns]
            for column in self.apart:
                cells += parts_of(recipient[column])
            together = "|".join(cells)
        except (KeyError, AttributeError, TypeError):
            return None
        if "" in cells or "  " in together:
            return None
        if not together.isprintable() and (_ODD.search(together) or not all(map(_is_seen, cells))):
            return None
        subject = self.subject.fill(cells)
        preheader = self.preheader.fill(cells) if self.preheader else ""
        if len(subject) > LONGEST_SUBJECT or len(preheader) > LONGEST_SUBJECT:
            return None
        if self.rtl:
            cells = [isolated(cell) for cell in cells]
        return Words(subject, preheader, self.markdown, self._chosen(cells))


def shape(text: str) -> tuple[str, ...]:
    """Return what stands between the lines of a text that is set apart."""
    return tuple(_BREAKS.findall(text.strip())) if "\n" in text else ()


def parts_of(text: str) -> list[str]:
    """Return the lines of a text that is set apart."""
    return [part.strip() for part in _BREAKS.split(text.strip())]


def printed_columns(tree: nodes.Template) -> frozenset[str] | None:
    """Return the columns that a template prints; None where it does anything else with one."""
    printed: list[str] = []
    for output in tree.find_all(nodes.Output):
        printed += filter(None, map(_column, output.nodes))
    uses = sum(name.name in (RECIPIENT, SIGNATORY) for name in tree.find_all(nodes.Name))
    return frozenset(printed) if uses == len(printed) else None


def marked(columns: Sequence[str], shapes: Mapping[str, Sequence[str]], mark: str) -> dict[str, str]:
    """Return a row of marks, one for each column, and for those with ``shapes`` one for each line."""
    row = {column: f"{mark}{number}{mark}" for number, column in enumerate(columns)}
    number = len(columns)
    for column, breaks in shapes.items():
        row[column] = "".join(f"{mark}{number + turn}{mark}{one}" for turn, one in enumerate((*breaks, "")))
        number += len(breaks) + 1
    return row


def line_with_gaps(text: str, mark: str) -> Gaps | None:
    """Return a rendered line with gaps for its marks; None for an empty one and for more than a line."""
    text = text.strip()
    pieces = re.split(f"{mark}([0-9]+){mark}", text)
    if not text or any(LINE_BREAK.search(piece) for piece in pieces):
        return None
    return Gaps(tuple(pieces[::2]), tuple(map(int, pieces[1::2])))


def filling(values: Iterable[str], mark: str) -> tuple[int | str, ...] | None:
    """Return what goes into the gaps of a rendered body; None where a text has spaces at its ends."""
    found: list[int | str] = []
    for value in values:
        number = re.fullmatch(f"{mark}([0-9]+){mark}", value)
        if number is None and value != value.strip():
            return None
        found.append(int(number[1]) if number else value)
    return tuple(found)


def _choosing(filling: Sequence[int | str]) -> Callable[[Sequence[str]], Sequence[str]]:
    """Return what chooses the values of a body from cells."""
    if len(filling) > 1 and all(isinstance(one, int) for one in filling):
        return cast("Callable[[Sequence[str]], tuple[str, ...]]", itemgetter(*filling))
    return lambda cells: [one if isinstance(one, str) else cells[one] for one in filling]


def _column(node: nodes.Node) -> str:
    """Return the column that an expression is, and nothing but; else an empty text."""
    if isinstance(node, (nodes.Getattr, nodes.Getitem)) and isinstance(node.node, nodes.Name):
        key = nodes.Const(node.attr) if isinstance(node, nodes.Getattr) else node.arg
        if isinstance(key, nodes.Const) and isinstance(key.value, str):
            if node.node.name == RECIPIENT:
                return key.value
            if node.node.name == SIGNATORY:
                return f"{SIGNATORY}.{key.value}"
    return ""


def _is_seen(text: str) -> bool:
    """Say whether a text shows anything; one that does not counts as empty."""
    return text.isprintable() or any(
        character.isprintable() and not character.isspace() for character in text
    )
