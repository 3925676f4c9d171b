"""A letter's two parts in one encoding, with gaps: what is the same in every letter stands there as octets.

What differs are blocks: a paragraph of the text part, a line of the page. Many letters say the same to a
ministry, a city, a "Dear Minister", so what the blocks with the same gaps become is kept by the values in
them, and once more by the shape of these (`mould`).

Nothing goes into a letter that was not read again (`proof`): each block is whole lines, so the parts are.
Limits: of each group of blocks, 256 fillings and 256 shapes are kept; then all of them are forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Protocol

from markupsafe import escape

from pipeline.letters.kept import Kept
from pipeline.letters.mould import BETWEEN, Mould, shape_of
from pipeline.letters.proof import are_lines, begin_with_a_dot
from pipeline.letters.quoted import escaped
from pipeline.letters.splice import escape_value

MOST_KEPT = 256  # fillings of one group, and shapes
MOST_ESCAPED = 1_024  # values of all forms together
SUBJECT, PREHEADER = -2, -1  # their places: they stand behind the values

_BEGUN = ("F", "Fr", "Fro", "From")  # how no value may end in quoted-printable; see `quoted.BEGUN`
_escaped_value = lru_cache(maxsize=MOST_ESCAPED)(escaped)

Chosen = str | tuple[str, ...]  # a value, or several
Parts = tuple[bytes, bytes]  # text and page


class Block(Protocol):
    """Lines with gaps."""

    @property
    def places(self) -> Sequence[int]:
        """The places whose values stand in the gaps."""

    @property
    def of_page(self) -> bool:
        """Whether it is filled with values that are escaped for the page."""

    @property
    def by_shape(self) -> bool:
        """Whether its lines go by the shape of values (`mould`)."""

    def fill(self, values: Mapping[int, str]) -> str:
        """Return the lines for values by their places, encoded, each with its CRLF."""


class _Group:
    """Blocks in which the values of the same places stand."""

    __slots__ = ("_blocks", "_by_shape", "_moulds", "_places", "_quoted")

    def __init__(self, places: Sequence[int], blocks: Sequence[Block], *, quoted: bool) -> None:
        self._places, self._blocks, self._quoted = places, blocks, quoted
        self._by_shape = all(block.by_shape for block in blocks)
        self._moulds: dict[bytes, Mould | None] = {}  # None: the shape was met once

    def fill(self, chosen: Chosen) -> tuple[bytes, ...]:
        """Return what the blocks become with values of the places; () where that cannot be vouched for."""
        values = chosen if isinstance(chosen, tuple) else (chosen,)
        if not self._by_shape:
            return self._filled(values)
        together = BETWEEN.join(values).encode()
        shape = shape_of(together)
        if mould := self._moulds.get(shape):
            return mould.fill(together)
        made = self._filled(values)
        if shape and made:
            self._remember(shape, together, made)
        return made

    def _remember(self, shape: bytes, together: bytes, made: tuple[bytes, ...]) -> None:
        """Make a mould for a shape that is met for the second time; it must give what was made without."""
        if shape not in self._moulds:
            if len(self._moulds) >= MOST_KEPT:
                self._moulds.clear()
            self._moulds[shape] = None
            return
        try:
            mould = Mould(shape, self._filled)
        except ValueError:
            self._by_shape = False
            return
        self._by_shape = mould.fill(together) == made
        self._moulds[shape] = mould

    def _filled(self, values: Sequence[str]) -> tuple[bytes, ...]:
        if self._quoted and any(value.endswith(_BEGUN) for value in values):
            return ()
        placed = page = dict(zip(self._places, values, strict=True))
        together = "".join(values)
        if not together.isascii() or any(map(together.__contains__, "&<>\"'=")):
            page = {place: self._for_page(value, place) for place, value in placed.items()}
        made = [block.fill(page if block.of_page else placed).encode() for block in self._blocks]
        return tuple(made) if _are_proved(made, quoted=self._quoted) else ()

    def _for_page(self, value: str, place: int) -> str:
        """Return a value as it stands in the page: escaped as in Markdown, or as Jinja does in the frame."""
        value = escape_value(value) if place >= 0 else str(escape(value))
        return _escaped_value(value) if self._quoted else value


class Form:
    """Text part and page of letters with one body, ready for values."""

    __slots__ = ("_finished", "_groups", "_page", "_text")

    def __init__(
        self,
        finished: Sequence[bytes],
        groups: Mapping[tuple[int, ...], _Group],
        text: Sequence[int],
        page: Sequence[int],
    ) -> None:
        self._finished = list(finished)
        self._groups: list[tuple[Callable[[Sequence[str]], Chosen], Kept[Chosen, tuple[bytes, ...]]]] = [
            (itemgetter(*places), Kept(group.fill, MOST_KEPT)) for places, group in groups.items()
        ]
        self._text, self._page = _picking(text), _picking(page)

    @classmethod
    def of(cls, text: Sequence[str | Block], page: Sequence[str | Block], *, quoted: bool) -> Form | None:
        """Return the form of two parts, of which texts are encoded already; None where it is not proved.

        ``quoted`` says whether they are quoted-printable.
        """
        parts = _joined(text), _joined(page)
        finished = [one.encode() for part in parts for one in part if isinstance(one, str)]
        if finished and not _are_proved(finished, quoted=quoted):
            return None
        grouped: dict[tuple[int, ...], list[Block]] = {}
        for block in (one for part in parts for one in part if not isinstance(one, str)):
            grouped.setdefault(tuple(sorted(set(block.places))), []).append(block)
        blocks = [block for group in grouped.values() for block in group]
        numbers = {id(block): number for number, block in enumerate(blocks, len(finished))}
        plain = iter(range(len(finished)))
        orders = [
            [next(plain) if isinstance(one, str) else numbers[id(one)] for one in part] for part in parts
        ]
        groups = {places: _Group(places, group, quoted=quoted) for places, group in grouped.items()}
        return cls(finished, groups, *orders)

    def fill(self, values: Sequence[str]) -> Parts | None:
        """Return text part and page for one letter, each of whole lines; None where it cannot vouch for them.

        Behind the ``values`` of the body stand subject and preheader.
        """
        pieces = self._finished.copy()
        for choose, kept in self._groups:
            made = kept[choose(values)]
            if not made:
                return None
            pieces += made
        return b"".join(self._text(pieces)), b"".join(self._page(pieces))


def _are_proved(blocks: Sequence[bytes], *, quoted: bool) -> bool:
    """Say whether each of the blocks is whole lines; those that are ``quoted`` begin with no dot."""
    together = b"".join(blocks)
    return (
        all(block.endswith(b"\r\n") for block in blocks)
        and are_lines(together)
        and not (quoted and begin_with_a_dot(together))
    )


def _joined(part: Sequence[str | Block]) -> list[str | Block]:
    """Return a part with runs of finished lines made one."""
    joined: list[str | Block] = []
    for one in part:
        if isinstance(one, str) and joined and isinstance(joined[-1], str):
            joined[-1] += one
        else:
            joined.append(one)
    return joined


def _picking(numbers: Sequence[int]) -> Callable[[Sequence[bytes]], Sequence[bytes]]:
    """Return what picks pieces by their numbers, in that order."""
    return itemgetter(*numbers) if len(numbers) > 1 else lambda pieces: [pieces[number] for number in numbers]
