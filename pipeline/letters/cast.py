"""A letter's two parts, cast once from one text: per letter only the values are put in and encoded.

A `Cast` holds the text part and the HTML page of all letters whose body came out of Jinja alike, with gaps.
What stands between the gaps is encoded already: whole lines of the text part, and for the page each piece for
every column it can begin at (`quoted.Quoted`). Paragraphs of the text part that hold a value are flows
(`flow.Flow`), or the few that cannot are filled, wrapped and encoded whole.

Contract: `Cast.quoted` and `Cast.plain` give the parts that `message.build_message` writes for the letter,
byte for byte (`tests/unit/test_quick_letters.py`), for values that have no control character, no spaces at
their ends and are not empty; None where they cannot vouch for it.

Limits: a text in which a value stands in a link or in a block of code has no cast, nor has a layout that
looks at a row; a cast of a 3 kB letter takes up to 100 KiB.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import escape

from pipeline.letters.flow import Flow, flows
from pipeline.letters.frame import BODY_MARK, PREHEADER_MARK, SUBJECT_MARK, Frame
from pipeline.letters.message import NOT_IN_TEXT
from pipeline.letters.outline import LONGEST_SUBJECT, Words
from pipeline.letters.quoted import BEGUN, ROOM, Quoted, encoded_line, escaped, folded
from pipeline.letters.sandbox import LARGEST_TEXT
from pipeline.letters.splice import BodyPlan, Gaps, Paragraph, escape_value

MOST_KEPT = 1_024  # values of all casts together

_BEGUN_VALUE = re.compile(r"F(?:r(?:om?)?)?\|")  # in values with "|" after each; see `quoted.BEGUN`
_BEGUN_LINE = ("F", "Fr", "Fro", "From")
_GROWTH = 6  # times, at most, that escaping for HTML makes a value longer: &quot;

_kept_value = lru_cache(maxsize=MOST_KEPT)(escaped)

Block = str | Paragraph
_PLACES = {SUBJECT_MARK: -2, PREHEADER_MARK: -1}


@dataclass(frozen=True, slots=True)
class _Whole:
    """A paragraph that is wrapped whole for each letter."""

    paragraph: Paragraph
    quoted: bool

    def fill(self, values: Sequence[str]) -> str:
        """Return the encoded lines for one letter, each with its CRLF."""
        encode = encoded_line if self.quoted else str
        return "".join([f"{encode(line)}\r\n" for line in self.paragraph.lines(values)])


@dataclass(frozen=True, slots=True)
class Cast:
    """The parts of letters with one body, ready for values.

    Text blocks are finished lines with their CRLF, flows, or whole paragraphs. The page has gaps for the
    values by their places, for the subject (place -2) and for the preheader (-1).
    """

    quoted_text: tuple[str | Flow | _Whole, ...]
    plain_text: tuple[str | Flow | _Whole, ...]
    quoted_page: tuple[tuple[Quoted, int], ...]
    quoted_end: Quoted
    plain_page: Gaps
    least: int  # characters of body and page, but for the values
    growth: int  # characters of the page for one of a value, at most

    def quoted(self, words: Words) -> tuple[str, str] | None:
        """Return text part and HTML part as quoted-printable, without their headers."""
        values = words.values
        together = "|".join(values) + "|"
        if _BEGUN_VALUE.search(together) or not self._has_room(together):
            return None
        if words.subject.endswith(_BEGUN_LINE) or words.preheader.endswith(_BEGUN_LINE):
            return None
        page = self._for_page(words, together)
        if not together.isascii() or "=" in together:
            page = [*map(_kept_value, page[:-2]), escaped(page[-2]), escaped(page[-1])]
        else:
            page[-2], page[-1] = escaped(page[-2]), escaped(page[-1])
        lines = [block if isinstance(block, str) else block.fill(values) for block in self.quoted_text]
        return "".join(lines), self._quoted_page(page)

    def plain(self, words: Words) -> tuple[str, str] | None:
        """Return text part and HTML part as they are, with CRLF, without their headers."""
        values = words.values
        together = "|".join(values)
        if not self._has_room(together):
            return None
        lines = [block if isinstance(block, str) else block.fill(values) for block in self.plain_text]
        return "".join(lines), self.plain_page.fill(self._for_page(words, together))

    def vouches(self, words: Words) -> bool:
        """Say whether the letter can be written for sure, without writing it."""
        return self._has_room("|".join(words.values))

    def _has_room(self, together: str) -> bool:
        """Say whether neither body nor page can become longer than a letter may be."""
        return self.least + self.growth * len(together) <= LARGEST_TEXT

    def _for_page(self, words: Words, together: str) -> list[str]:
        """Return the values of the page as HTML, subject and preheader last."""
        values = words.values
        if "&" in together or "<" in together or ">" in together or '"' in together:
            values = [escape_value(value) for value in values]
        preheader = words.preheader and str(escape(words.preheader))
        return [*values, str(escape(words.subject)), preheader]

    def _quoted_page(self, values: Sequence[str]) -> str:
        out: list[str] = []
        add = out.append
        column = 0
        for piece, place in self.quoted_page:
            head, column = piece.heads[column] or piece.head(column)
            add(head)
            if piece.rest_end >= 0:
                add(piece.rest)
                column = piece.rest_end
            value = values[place]
            end = column + len(value)
            if column and end <= ROOM:
                add(value)
                column = end
            else:
                value, column = folded(value, column)
                add(value)
        piece = self.quoted_end
        add((piece.heads[column] or piece.head(column))[0])
        add(piece.rest)
        return "".join(out)


def cast(plan: BodyPlan, frame: Frame, markdown: str) -> Cast | None:
    """Return the cast of a body in its page; None where there is none. Raises Trouble."""
    blocks = _without_empty_ends(plan.text)
    page = _page(plan.html, frame)
    if page is None or not _stands_firm(blocks):
        return None
    pieces = [*page.pieces, *(block for block in blocks if isinstance(block, str))]
    pieces += [piece for block in blocks if isinstance(block, Paragraph) for piece in block.text.pieces]
    if any(map(NOT_IN_TEXT.search, pieces)) or any(map(BEGUN.search, page.pieces[:-1])):
        return None
    quoted = tuple(map(Quoted, page.pieces))
    marks = sum(place < 0 for place in page.places)
    return Cast(
        quoted_text=_ready(blocks, quoted=True),
        plain_text=_ready(blocks, quoted=False),
        quoted_page=tuple(zip(quoted, page.places, strict=False)),
        quoted_end=quoted[-1],
        plain_page=Gaps(tuple(piece.replace("\n", "\r\n") for piece in page.pieces), page.places),
        least=len(markdown) + sum(map(len, page.pieces)) + _GROWTH * LONGEST_SUBJECT * marks,
        growth=_GROWTH * max(Counter(page.places).values(), default=1),
    )


def _without_empty_ends(blocks: Sequence[Block]) -> Sequence[Block]:
    """Return the blocks without the empty lines that `markdown.as_text` takes off."""
    start, end = 0, len(blocks)
    while start < end and blocks[start] == "":
        start += 1
    while end > start and blocks[end - 1] == "":
        end -= 1
    return blocks[start:end]


def _stands_firm(blocks: Sequence[Block]) -> bool:
    """Say whether the text part has a first and a last line whatever the values, and no line within one."""
    places = [place for block in blocks if isinstance(block, Paragraph) for place in block.text.places]
    sample = ["x"] * (max(places, default=-1) + 1)
    lines: list[str] = []
    for block in blocks:
        lines += [block] if isinstance(block, str) else block.lines(sample)
    return bool(lines and lines[0] and lines[-1] and any(map(str.strip, lines))) and "\n" not in "".join(
        lines
    )


def _page(body: Gaps, frame: Frame) -> Gaps | None:
    """Return the page with gaps for all that differs; None where the layout has no frame."""
    if not frame.pieces:
        return None
    inner = list(body.pieces)
    inner[0] = inner[0].lstrip("\n")
    inner[-1] = inner[-1].rstrip("\n")
    pieces, places = [""], list[int]()
    for part in frame.pieces:
        if part in _PLACES:
            places.append(_PLACES[part])
            pieces.append("")
        elif part == BODY_MARK:
            places += body.places
            pieces[-1] += inner[0]
            pieces += inner[1:]
        else:
            pieces[-1] += part
    if not pieces[-1].endswith("\n"):
        pieces[-1] += "\n"
    return Gaps(tuple(pieces), tuple(places))


def _ready(blocks: Iterable[Block], *, quoted: bool) -> tuple[str | Flow | _Whole, ...]:
    """Return blocks ready to be filled, with runs of finished lines made one."""
    ready: list[str | Flow | _Whole] = []
    for block in blocks:
        if isinstance(block, Paragraph):
            ready += flows(block, quoted=quoted) or [_Whole(block, quoted)]
            continue
        line = (encoded_line(block) if quoted else block) + "\r\n"
        if ready and isinstance(ready[-1], str):
            ready[-1] += line
        else:
            ready.append(line)
    return tuple(ready)
