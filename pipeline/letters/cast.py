"""A letter's two parts, cast once from one text: per letter only the values are put in and encoded.

A `Cast` holds the text part and the HTML page of all letters whose body came out of Jinja alike, with gaps
(`form.Form`). Lines without a value are encoded already. A line of the page that has values is encoded
between them, each piece for every column it can begin at (`quoted.Quoted`). Paragraphs of the text part that
hold a value are flows (`flow.Flow`), or the few that cannot are filled, wrapped and encoded whole.

Contract: `Cast.quoted` and `Cast.plain` give the parts that `message.build_message` writes for the letter,
byte for byte (`tests/unit/test_quick_letters.py`), for values that have no control character, no spaces at
their ends and are not empty; None where they cannot vouch for it.

Limits: a text in which a value stands in a link or in a block of code has no cast, nor has a layout that
looks at a row; a cast of a 3 kB letter takes up to 100 KiB.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.letters.flow import flows, lines_of
from pipeline.letters.form import PREHEADER, SUBJECT, Block, Form, Parts
from pipeline.letters.frame import BODY_MARK, PREHEADER_MARK, SUBJECT_MARK, Frame
from pipeline.letters.message import NOT_IN_TEXT
from pipeline.letters.outline import LONGEST_SUBJECT, Words
from pipeline.letters.quoted import BEGUN, ROOM, Quoted, encoded_line, folded
from pipeline.letters.sandbox import LARGEST_TEXT
from pipeline.letters.splice import BodyPlan, Gaps, Paragraph, Values

_GROWTH = 6  # times, at most, that escaping for HTML makes a value longer: &quot;

_PLACES = {SUBJECT_MARK: SUBJECT, PREHEADER_MARK: PREHEADER}


@dataclass(frozen=True, slots=True)
class _Whole:
    """A paragraph that is wrapped whole for each letter."""

    paragraph: Paragraph
    quoted: bool
    of_page: bool = False

    @property
    def by_shape(self) -> bool:
        """Whether it goes by the shape of values: not where letters decide which way a line runs, or whether
        it begins with "From "."""
        return not self.paragraph.rtl and not any(map(BEGUN.search, self.paragraph.text.pieces[:-1]))

    @property
    def places(self) -> Sequence[int]:
        """The places of its values."""
        return self.paragraph.text.places

    def fill(self, values: Values) -> str:
        """Return the encoded lines for one letter, each with its CRLF."""
        encode = encoded_line if self.quoted else str
        return "".join([f"{encode(line)}\r\n" for line in self.paragraph.lines(values)])


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the page with gaps, as it is."""

    text: Gaps
    of_page: bool = True
    by_shape: bool = True

    @property
    def places(self) -> Sequence[int]:
        """The places of its values."""
        return self.text.places

    def fill(self, values: Values) -> str:
        """Return the line for one letter, with its CRLF."""
        return self.text.fill(values)


@dataclass(frozen=True, slots=True)
class _QuotedLine:
    """The same, encoded: one or several lines of quoted-printable."""

    places: Sequence[int]
    begins: Sequence[tuple[Quoted, int]]  # what stands before each value, and the value's place
    end: Quoted  # with its line end
    of_page: bool = True
    by_shape: bool = True

    @classmethod
    def of(cls, text: Gaps) -> _QuotedLine:
        """Return a line of the page, its end LF."""
        *begins, end = map(Quoted, text.pieces)
        return cls(text.places, tuple(zip(begins, text.places, strict=True)), end)

    def fill(self, values: Values) -> str:
        """Return the encoded lines for one letter, each with its CRLF."""
        line, column = "", 0
        for piece, place in self.begins:
            head, column = piece.heads[column] or piece.head(column)
            value = values[place]
            end = column + len(value)
            if column and end <= ROOM:
                column = end
            else:
                value, column = folded(value, column)
            line = f"{line}{head}{value}"
        piece = self.end
        head, _ = piece.heads[column] or piece.head(column)
        return f"{line}{head}{piece.rest}"


@dataclass(frozen=True, slots=True)
class Cast:
    """The parts of letters with one body, ready for values."""

    _quoted: Form | None
    _plain: Form | None
    least: int  # characters of body and page, but for the values
    growth: int  # characters of the page for one of a value, at most

    def quoted(self, words: Words) -> Parts | None:
        """Return text part and HTML part as quoted-printable, without their headers."""
        if self._quoted is None or not self.vouches(words):
            return None
        return self._quoted.fill([*words.values, words.subject, words.preheader])

    def plain(self, words: Words) -> Parts | None:
        """Return text part and HTML part as they are, with CRLF, without their headers."""
        if self._plain is None or not self.vouches(words):
            return None
        return self._plain.fill([*words.values, words.subject, words.preheader])

    def vouches(self, words: Words) -> bool:
        """Say whether the letter can be written for sure, without writing it: neither body nor page can
        become longer than a letter may be."""
        return self.least + self.growth * len("".join(words.values)) <= LARGEST_TEXT


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
    marks = sum(place < 0 for place in page.places)
    return Cast(
        Form.of(_text(blocks, quoted=True), _lines(page, quoted=True), quoted=True),
        Form.of(_text(blocks, quoted=False), _lines(page, quoted=False), quoted=False),
        least=len(markdown) + sum(map(len, page.pieces)) + _GROWTH * LONGEST_SUBJECT * marks,
        growth=_GROWTH * max(Counter(page.places).values(), default=1),
    )


def _without_empty_ends(blocks: Sequence[str | Paragraph]) -> Sequence[str | Paragraph]:
    """Return the blocks without the empty lines that `markdown.as_text` takes off."""
    start, end = 0, len(blocks)
    while start < end and blocks[start] == "":
        start += 1
    while end > start and blocks[end - 1] == "":
        end -= 1
    return blocks[start:end]


def _stands_firm(blocks: Sequence[str | Paragraph]) -> bool:
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


def _text(blocks: Iterable[str | Paragraph], *, quoted: bool) -> list[str | Block]:
    """Return the blocks of the text part, ready for values, and what needs none as finished lines."""
    ready: list[str | Block] = []
    for block in blocks:
        if isinstance(block, str):
            ready.append((encoded_line(block) if quoted else block) + "\r\n")
        else:
            ready += flows(block, quoted=quoted) or [_Whole(block, quoted)]
    return [one if isinstance(one, str) or one.places else one.fill({}) for one in ready]


def _lines(page: Gaps, *, quoted: bool) -> list[str | Block]:
    """Return the lines of a page, ready for values, and what needs none as finished lines."""
    return [_line(line, quoted=quoted) for line in lines_of(page)[:-1]]  # it ends with a line end


def _line(text: Gaps, *, quoted: bool) -> str | Block:
    """Return one line of a page; a finished one where no value stands in it."""
    if not text.places:
        return (encoded_line(text.pieces[0]) if quoted else text.pieces[0]) + "\r\n"
    end = "\n" if quoted else "\r\n"
    whole = Gaps((*text.pieces[:-1], text.pieces[-1] + end), text.places)
    return _QuotedLine.of(whole) if quoted else _Line(whole)
