"""Lines made for some values, made again for others of the same shape.

How a paragraph is wrapped, and where quoted-printable is folded, depends on the letters and figures of values
only by how many stand together. `shape_of` says the shape of values: ASCII letters and figures are alike in
it, all other characters stand for themselves. A `Mould` is the lines for one shape with gaps, into which the
letters and figures of any values of that shape go.

A mould is made by filling the lines twice, with letters that tell where in the values they stand. Values that
hold "From", or end in its beginning, have no shape: no line may begin with it (`quoted`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import itemgetter

BETWEEN = "\n"  # values; none holds one

_LETTER = b"x"
_FIRST = b"abcdefghijklmGHIJKLMNOPQR"  # with these letters, and with those, and no F: no line begins with
_SECOND = b"nopqrstuvwxyzSTUVWXYZABCDE"  # "From " by chance
_LONGEST = len(_FIRST) * len(_SECOND)  # octets of values
_FROM = re.compile(rb"From|F(?:ro?)?(?:\n|\Z)")
_SHAPES = bytes(_LETTER[0] if chr(octet).isalnum() and octet < 0x80 else octet for octet in range(256))

Fill = Callable[[Sequence[str]], Sequence[bytes]]  # with values; none where they do not fit


def shape_of(values: bytes) -> bytes:
    """Return the shape of values with `BETWEEN` between them; an empty one where they have none."""
    shape = values.translate(_SHAPES)
    return b"" if len(shape) > _LONGEST or (b"F" in values and _FROM.search(values)) else shape


class Mould:
    """Blocks of lines with gaps for octets of values."""

    __slots__ = ("_blocks",)

    def __init__(self, shape: bytes, fill: Fill) -> None:
        """Make the mould of a shape. Raises ValueError where ``fill`` does not go by shapes."""
        first, second = (fill(_marked(shape, turn).decode().split(BETWEEN)) for turn in (0, 1))
        self._blocks = [_with_gaps(*pair) for pair in zip(first, second, strict=True)]

    def fill(self, values: bytes) -> tuple[bytes, ...]:
        """Return the blocks for values of the shape."""
        return tuple([form % pick(values) for form, pick in self._blocks])


def _marked(shape: bytes, turn: int) -> bytes:
    """Return a text of the shape; what stands there in both turns together says which octet it is."""
    numbers = (divmod(number, len(_SECOND))[turn] for number in range(len(shape)))
    letters = (_FIRST, _SECOND)[turn]
    return bytes(
        letters[number] if octet == _LETTER[0] else octet
        for octet, number in zip(shape, numbers, strict=True)
    )


def _with_gaps(first: bytes, second: bytes) -> tuple[bytes, Callable[[bytes], object]]:
    """Return a block as a form, and what picks from values the octets that go into it."""
    pieces, runs = [b""], list[slice]()
    for one, other in zip(first, second, strict=True):
        if one == other:
            pieces[-1] += bytes([one])
            continue
        number = _FIRST.index(one) * len(_SECOND) + _SECOND.index(other)
        if runs and not pieces[-1] and runs[-1].stop == number:
            runs[-1] = slice(runs[-1].start, number + 1)
        else:
            runs.append(slice(number, number + 1))
            pieces.append(b"")
    form = b"%b".join([piece.replace(b"%", b"%%") for piece in pieces])
    return form, itemgetter(*runs) if runs else lambda _: ()
