"""A paragraph of the text part with gaps, wrapped and encoded per letter by doing again only what differs.

A paragraph is words; most are the same in every letter, some hold a value. A run of words that are the same
comes out alike whenever it begins at the same place of a line, so what it becomes is kept by that place: how
many characters the line has (they decide where it is wrapped), and at which column of quoted-printable it is
(that decides where it is folded). From its first line end on it depends on nothing but the word there.

Contract: `Flow.fill` gives the lines of `splice.Paragraph` for the same values, encoded and with CRLF, octet
for octet; the values are not empty, hold no control character, no two spaces together and none at their ends.

Limits: no flow for a paragraph that runs from right to left, or has two spaces together, a TAB, or a word
that ends in "From" (`quoted` says why); at most 256 places are kept for a run.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.letters.quoted import BEGUN, MARKED, ROOM, escaped, folded
from pipeline.letters.splice import Gaps, Paragraph, Values

MOST_PLACES = 256  # kept for one run
_BITS = 7  # enough for any column


class _Run:
    """Words that are the same in every letter, and what they become by the place where they begin."""

    __slots__ = ("known", "rests", "words")

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self.known: dict[int, tuple[str, str, int, int]] = {}
        self.rests: dict[int, tuple[str, int, int]] = {}  # by the number of the word that begins a line


class Flow:
    """A paragraph, or what stands of it between hard line breaks: words with values and runs in turn."""

    __slots__ = ("_first", "_quoted", "_rest", "_steps", "_width", "places")
    of_page = False
    by_shape = True

    def __init__(
        self, steps: Sequence[tuple[Gaps | None, _Run | None]], paragraph: Paragraph, *, quoted: bool
    ) -> None:
        self._steps = tuple(steps)
        self._width, self._first, self._rest = paragraph.width, paragraph.first, paragraph.rest
        self._quoted = quoted
        self.places = paragraph.text.places

    def fill(self, values: Values) -> str:
        """Return the encoded lines for one letter, each with its CRLF."""
        out: list[str] = []
        add = out.append
        width, quoted = self._width, self._quoted
        size = column = 0
        for gaps, run in self._steps:
            if gaps is not None:
                word = gaps.fill(values)
                needed = size + 1 + len(word) if size else len(word)
                if needed <= width:
                    word = " " + word if size else self._first + word
                    size = needed
                    if quoted:
                        if not word.isascii() or "=" in word:
                            word = escaped(word)
                        end = column + len(word)
                        if end <= ROOM and column:
                            column = end
                        else:
                            word, column = folded(word, column)
                else:
                    word, size, column = self._set(word.split(" "), size, column)
                add(word)
            if run is not None:
                found = run.known.get(size << _BITS | column)
                head, rest, size, column = found or self._run(run, size, column)
                add(head)
                add(rest)
        add("\r\n")
        return "".join(out)

    def _run(self, run: _Run, size: int, column: int) -> tuple[str, str, int, int]:
        """Set a run's words from a place on, and keep what they become."""
        key = size << _BITS | column
        here, end = 0, size
        while here < len(run.words) and (not end or end + 1 + len(run.words[here]) <= self._width):
            end += len(run.words[here]) + bool(end)
            here += 1
        head, size, column = self._set(run.words[:here], size, column)
        rest = ""
        if here < len(run.words):
            if here not in run.rests:
                run.rests[here] = self._set(run.words[here:], self._width, 0)
            rest, size, column = run.rests[here]
        if len(run.known) >= MOST_PLACES:
            run.known.clear()
        run.known[key] = head, rest, size, column
        return run.known[key]

    def _set(self, words: Sequence[str], size: int, column: int) -> tuple[str, int, int]:
        """Return words set from a place on, and the place after them."""
        out: list[str] = []
        line = ""
        for word in words:
            if not size:
                line = self._first + word
                size = len(word)
            elif size + 1 + len(word) <= self._width:
                line += " " + word
                size += 1 + len(word)
            else:
                out.append(self._shown(line, column)[0])
                line, size, column = self._rest + word, len(word), 0
        shown, column = self._shown(line, column)
        return "\r\n".join((*out, shown)), size, column

    def _shown(self, line: str, column: int) -> tuple[str, int]:
        return folded(escaped(line), column) if self._quoted and line else (line, column)


def flows(paragraph: Paragraph, *, quoted: bool) -> list[Flow] | None:
    """Return a paragraph as flows, one for each of its hard line breaks; None where it must be wrapped whole.

    ``quoted`` says whether they are encoded as quoted-printable, else they stay as they are.
    """
    made: list[Flow] = []
    if paragraph.rtl:
        return None
    for number, part in enumerate(lines_of(paragraph.text)):
        first = paragraph.rest if number else paragraph.first
        words = _words(part)
        if words is None or not _is_plain(first) or not _is_plain(paragraph.rest):
            return None
        if any(map(BEGUN.search, part.pieces[:-1])) or any(
            word.pieces[-1].endswith("From") for word in words
        ):
            return None
        steps = _steps(words)
        made.append(Flow(steps, Paragraph(part, paragraph.width, first, paragraph.rest), quoted=quoted))
    return made


def _is_plain(prefix: str) -> bool:
    return prefix.isascii() and "=" not in prefix and not prefix.startswith(MARKED)


def lines_of(text: Gaps) -> list[Gaps]:
    """Return the parts of a text between its line ends."""
    pieces, places = [""], list[int]()
    parts: list[Gaps] = []
    for number, piece in enumerate(text.pieces):
        if number:
            places.append(text.places[number - 1])
            pieces.append("")
        first, *more = piece.split("\n")
        pieces[-1] += first
        for line in more:
            parts.append(Gaps(tuple(pieces), tuple(places)))
            pieces, places = [line], []
    return [*parts, Gaps(tuple(pieces), tuple(places))]


def _words(part: Gaps) -> list[Gaps] | None:
    """Return the words of a line, with gaps; None where spaces stand together or at an end, or a TAB."""
    pieces, places = [""], list[int]()
    words: list[Gaps] = []
    for number, piece in enumerate(part.pieces):
        if number:
            places.append(part.places[number - 1])
            pieces.append("")
        first, *more = piece.split(" ")
        pieces[-1] += first
        for word in more:
            words.append(Gaps(tuple(pieces), tuple(places)))
            pieces, places = [word], []
    words.append(Gaps(tuple(pieces), tuple(places)))
    if any("\t" in piece for piece in part.pieces) or any(word.pieces == ("",) for word in words):
        return None
    return words


def _steps(words: Sequence[Gaps]) -> list[tuple[Gaps | None, _Run | None]]:
    """Return words with gaps, each with the run that follows it; the first step may have none."""
    steps: list[tuple[Gaps | None, _Run | None]] = []
    gaps: Gaps | None = None
    run: list[str] = []
    for word in words:
        if not word.places:
            run.append(word.pieces[0])
            continue
        if gaps or run:
            steps.append((gaps, _Run(run) if run else None))
        gaps, run = word, []
    steps.append((gaps, _Run(run) if run else None))
    return steps
