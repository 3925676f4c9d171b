"""Quoted-printable: read back by the library, folded by the rule, and the same whole or in pieces."""

from __future__ import annotations

import quopri

from hypothesis import given
from hypothesis import strategies as st

from pipeline.letters.quoted import BEGUN, Quoted, encoded_line, escaped, folded, quoted_printable

atoms = st.sampled_from(
    ["a", "b c", ".", "..", "From ", "F", "Fro", "rom ", "=", "=2E", "é", "ж", "漢字", "🌹", " ", "\t", "\n"]
) | st.sampled_from([30, 72, 73, 74, 75, 76, 77]).map(lambda length: "x" * length)
texts = st.lists(atoms, max_size=40).map("".join)


@given(texts)
def test_text_is_read_back_by_the_library(text: str) -> None:
    """Every octet, dots and white space at line ends too."""
    assert (
        quopri.decodestring(quoted_printable(text).encode("ascii")).replace(b"\r\n", b"\n") == text.encode()
    )


@given(texts)
def test_lines_are_short_and_begin_and_end_safely(text: str) -> None:
    """At most 76 characters, no white space at the end, no dot and no "From " at the beginning."""
    for line in quoted_printable(text).split("\r\n"):
        assert len(line) <= 76
        assert not line.startswith((".", "From "))
        assert not line.endswith((" ", "\t"))


def test_what_reads_well_stays_as_it_is() -> None:
    """Escapes only where they are needed; one that would not fit goes to the next line whole."""
    assert quoted_printable("Dear Ada,\nfor 1 May.\n") == "Dear Ada,\r\nfor 1 May.\r\n"
    assert quoted_printable("x" * 74 + "é\n") == "x" * 74 + "=\r\n=C3=A9\r\n"
    assert quoted_printable(".\nFrom me\n a \n") == "=2E\r\n=46rom me\r\n a=20\r\n"


@given(texts.map(lambda text: text.replace("\n", " ")))
def test_a_line_alone_is_encoded_as_in_a_text(line: str) -> None:
    """So lines can be kept."""
    assert encoded_line(line) + "\r\n" == quoted_printable(line + "\n")


@given(st.lists(st.tuples(texts, st.text("aé漢=.xF", min_size=1, max_size=90)), min_size=1, max_size=6))
def test_pieces_and_values_in_turn_are_encoded_as_the_whole(pairs: list[tuple[str, str]]) -> None:
    """Wherever a piece begins, twice over: the second time from what is kept."""
    pairs = [
        (piece.rstrip("F") if BEGUN.search(piece.rstrip("F")) is None else "", value.rstrip("F") or "x")
        for piece, value in pairs
    ]
    pieces = [Quoted(piece) for piece, _ in pairs]
    for _ in range(2):
        out, column = "", 0
        for piece, (_, value) in zip(pieces, pairs, strict=True):
            head, column = piece.heads[column] or piece.head(column)
            out += head
            if piece.rest_end >= 0:
                out, column = out + piece.rest, piece.rest_end
            shown, column = folded(escaped(value), column)
            out += shown
        assert out == quoted_printable("".join(piece + value for piece, value in pairs))
