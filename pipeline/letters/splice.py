"""A body read once, filled many times.

Letters in one language come out of Jinja alike but for the characters that stand in for values. What Markdown
makes of such a text depends on nothing else, so it is read once: into HTML with gaps, and into lines and
paragraphs with gaps. Per letter the values are escaped and put in, and the paragraphs that hold one are
wrapped.

Contract: `Plans().body(markdown, values)` equals `markdown.read_body(markdown, values)`, byte for byte;
`tests/unit/test_letters_splice.py` holds it to that, over many scripts and lengths. A text whose reading
depends on its values - one in a link, in a picture, in a block of code - has no plan, and goes the plain way.

Limits: at most 64 plans are kept, each of a few times the size of its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from markdown_it.token import Token

from pipeline.letters.direction import all_marked, marked
from pipeline.letters.markdown import (
    PLACED,
    Body,
    as_html,
    as_text,
    lay_out,
    make_good,
    parse,
    read_body,
    wrapped,
)
from pipeline.letters.sandbox import PLACE

MOST_PLANS = 64

Values = Sequence[str] | Mapping[int, str]  # by their places

_GAP = re.compile("([\U000f0000-\U000ffffd])")
_ESCAPED = re.compile(r'[&<>"]')
_LATER = re.compile("\0([0-9]+)\0")
_PLAIN_TOKENS = frozenset(
    {"text", "code_inline", "inline"}
)  # a value in their content is text and nothing else


@dataclass(frozen=True, slots=True)
class Gaps:
    """A text with gaps: one piece more than there are gaps, and which value goes into each gap."""

    pieces: tuple[str, ...]
    places: tuple[int, ...]
    _form: str = field(init=False, repr=False, compare=False)
    _chosen: Callable[[Values], str | tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_form", "%s".join([piece.replace("%", "%%") for piece in self.pieces]))
        object.__setattr__(self, "_chosen", itemgetter(*self.places) if self.places else lambda _: ())

    def fill(self, values: Values) -> str:
        """Return the text with ``values`` in the gaps."""
        return self._form % self._chosen(values)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph with gaps, wrapped per letter; ``first`` and ``rest`` stand before its lines.

    ``rtl``: its lines are marked as those of a language that runs from right to left.
    """

    text: Gaps
    width: int
    first: str
    rest: str
    rtl: bool = False

    def lines(self, values: Values) -> list[str]:
        """Return the lines for one letter."""
        found = wrapped(self.text.fill(values), self.width)
        if self.first or self.rest:
            found = [
                (self.rest if number else self.first) + line
                if line
                else (self.rest if number else self.first).rstrip()
                for number, line in enumerate(found)
            ]
        return all_marked(found) if self.rtl else found


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """A body with gaps, as HTML and as the blocks of its text: finished lines, and paragraphs with gaps."""

    html: Gaps
    text: tuple[str | Paragraph, ...]

    def fill(self, values: Sequence[str]) -> Body:
        """Return the body for one letter's ``values``, in the order of their places."""
        lines: list[str] = []
        for block in self.text:
            if isinstance(block, str):
                lines.append(block)
            else:
                lines += block.lines(values)
        return Body(as_text(lines), self.html.fill([escape_value(value) for value in values]))


class Plans:
    """Plans by the text they were made from."""

    def __init__(self, *, rtl: bool = False) -> None:
        self._rtl = rtl
        self._plans: dict[str, BodyPlan | None] = {}

    def body(self, markdown: str, values: Sequence[str]) -> Body:
        """Return what `read_body` would; raises what it raises."""
        plan = self.of(markdown)
        return read_body(markdown, values, rtl=self._rtl) if plan is None else plan.fill(values)

    def of(self, markdown: str) -> BodyPlan | None:
        """Return the plan of a text, None where it has none. Raises Trouble."""
        if markdown not in self._plans:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            self._plans[markdown] = plan_body(markdown, rtl=self._rtl)
        return self._plans[markdown]


def plan_body(markdown: str, *, rtl: bool = False) -> BodyPlan | None:
    """Return the plan of a body; None where it depends on the values how the text is read. Raises Trouble."""
    tokens = parse(markdown)
    if not _is_plain(tokens):
        return None
    make_good(tokens, str)
    later: list[tuple[Gaps, int]] = []

    def wrap(text: str, width: int) -> list[str]:
        if not PLACED.search(text):
            return wrapped(text, width)
        later.append((_gaps(text), width))
        return [f"\0{len(later) - 1}\0"]

    lines = lay_out(tokens, wrap)
    return BodyPlan(_gaps(as_html(tokens)), tuple(_block(line, later, rtl) for line in lines))


def _block(line: str, later: Sequence[tuple[Gaps, int]], rtl: bool) -> str | Paragraph:
    """Return a finished line as it is, and for a mark the paragraph it stands for.

    What stands before the mark stands before the paragraph's first line: signs of quotation stay on the lines
    below, the marks of a list become spaces.
    """
    mark = _LATER.search(line)
    if mark is None:
        return marked(line) if rtl else line
    text, width = later[int(mark[1])]
    first = line[: mark.start()]
    return Paragraph(text, width, first, re.sub(r"[^>]", " ", first), rtl)


def _is_plain(tokens: Iterable[Token]) -> bool:
    """Say whether values stand as mere text, outside of links."""
    depth = 0
    for token in tokens:
        depth += token.type == "link_open"
        depth -= token.type == "link_close"
        if PLACED.search(token.content) and (depth or token.type not in _PLAIN_TOKENS):
            return False
        if PLACED.search(token.info) or any(PLACED.search(str(value)) for value in token.attrs.values()):
            return False
        if token.children and not _is_plain(token.children):
            return False
    return True


def _gaps(text: str) -> Gaps:
    pieces = _GAP.split(text)
    return Gaps(tuple(pieces[::2]), tuple(ord(place) - PLACE for place in pieces[1::2]))


def escape_value(value: str) -> str:
    """Escape as the renderer of Markdown does."""
    if not _ESCAPED.search(value):
        return value
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
