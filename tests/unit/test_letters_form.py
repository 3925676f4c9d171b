"""Lines kept by values and by their shape; and the reading of each octet that goes out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.letters.flow import flows
from pipeline.letters.form import MOST_KEPT, Block, Form
from pipeline.letters.kept import Kept
from pipeline.letters.mould import BETWEEN, Mould, shape_of
from pipeline.letters.proof import are_lines, begin_with_a_dot
from pipeline.letters.splice import Gaps, Paragraph

WORDS = "we write to you about the people who were detained at the march, and about their trial"


@dataclass
class Line:
    """A line with one value, which counts how often it is filled."""

    places: Sequence[int] = (0,)
    of_page: bool = False
    by_shape: bool = True
    end: str = "\r\n"
    filled: list[str] = field(default_factory=list)

    def fill(self, values: Mapping[int, str]) -> str:
        """Return the line."""
        self.filled.append(values[0])
        return f"% To {values[0]}: {len(values[0])}{self.end}"


def form(*text: str | Block, quoted: bool = True) -> Form:
    """Return a form whose page says nothing."""
    made = Form.of(text, ["<p>\r\n"], quoted=quoted)
    assert made is not None
    return made


def filled(made: Form, value: str) -> bytes | None:
    """Return the text for a value."""
    parts = made.fill([value, "subject", ""])
    return parts and parts[0]


# -- what is kept


def test_what_was_made_is_made_once() -> None:
    """As long as there is room; then all is forgotten."""
    asked: list[int] = []

    def make(key: int) -> int:
        asked.append(key)
        return -key

    kept = Kept(make, 3)
    assert [kept[key] for key in (1, 2, 1, 3, 2, 4, 1)] == [-1, -2, -1, -3, -2, -4, -1]
    assert asked == [1, 2, 3, 4, 1]
    assert len(kept) == 2


def test_nothing_is_kept_of_a_fault() -> None:
    """It is raised each time."""
    kept = Kept[str, int](int, 3)
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            _ = kept["x"]
    assert not kept


def test_a_value_met_again_is_filled_once() -> None:
    """And so is the shape of values that was met twice."""
    line = Line()
    made = form("Dear all,\r\n", line, "Yours\r\n")
    for value in ("Ada", "Ada", "Ewa", "Bob", "Kim", "A-a", "Ada"):
        expected = f"Dear all,\r\n% To {value}: 3\r\nYours\r\n"
        assert filled(made, value) == expected.encode()
    marked = line.filled[2:4]  # the mould's
    assert line.filled == ["Ada", "Ewa", *marked, "A-a"]


def test_not_more_is_kept_than_said() -> None:
    """Neither values nor shapes pile up."""
    line = Line()
    made = form(line)
    for number in range(3 * MOST_KEPT):
        filled(made, "a-" * number + "b")
    (_, kept), *_ = made._groups
    assert len(kept) <= MOST_KEPT
    assert len(kept._make.__self__._moulds) <= MOST_KEPT  # type: ignore[attr-defined]


class Sly(Line):
    """A line that does not go by shapes, though it says so."""

    def fill(self, values: Mapping[int, str]) -> str:
        """Return a line that depends on a letter."""
        return super().fill({0: "Sir " + values[0] if values[0].startswith("Ada") else values[0]})


class Growing(Line):
    """Another, which is longer for some letters."""

    def fill(self, values: Mapping[int, str]) -> str:
        """Return a line that depends on a letter."""
        return super().fill({0: values[0] + "!" * values[0].count("a")})


@pytest.mark.parametrize("line", [Sly(), Growing()])
def test_a_line_that_does_not_go_by_shapes_gets_no_mould(line: Line) -> None:
    """That is found out with the letter for which the mould is made."""
    made, other = form(line), type(line)()
    for value in ("Ewa", "Ada", "Aba", "Ada"):
        assert filled(made, value) == other.fill({0: value}).encode()


@given(st.lists(st.text("aF7 .-&é\ud7ff", min_size=1, max_size=12).filter(str.strip), min_size=2, max_size=2))
def test_a_paragraph_goes_by_shapes(values: list[str]) -> None:
    """Its lines are broken and folded where they are for other letters in the same places."""
    values = [" ".join(value.split()) for value in values]
    text = Gaps((f"{WORDS} ", f", {WORDS}", "."), (0, 1))
    (flow,) = flows(Paragraph(text, 72, "", ""), quoted=True) or []
    together = BETWEEN.join(values).encode()
    if shape := shape_of(together):
        mould = Mould(shape, lambda own: [flow.fill(own).encode()])
        for letter in "bZ0":
            own = [re.sub("[a7F]", letter, value) for value in values]
            assert shape_of(BETWEEN.join(own).encode()) == shape
            assert mould.fill(BETWEEN.join(own).encode()) == (flow.fill(own).encode(),)


@pytest.mark.parametrize("value", ["F", "a Fr", "Fro", "From", "From me", "x From x", "x" * 651])
def test_what_may_become_a_from_line_has_no_shape(value: str) -> None:
    """Nor has what is very long."""
    assert shape_of(value.encode()) == b""
    assert shape_of(f"a{BETWEEN}{value}{BETWEEN}b".encode()) == b""


# -- what is read again


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (b"a\r\n", True), (b"\r\n\r\n", True), (b"x" * 998 + b"\r\n", True), (b"", False), (b"a", False),
        (b"a\n", False), (b"a\r", False), (b"a\r\r\n", False), (b"a\n\r\n", False), (b"a\rb\r\n", False),
        (b"a\n\rb\r\n", False), (b"a\0\r\n", False), (b"x" * 999 + b"\r\n", False),
        (b"a\r\n" + b"x" * 999 + b"\r\nb\r\n", False), (b"a\r\nb", False),
    ],
)  # fmt: skip
def test_lines_are_read_again(text: bytes, right: bool) -> None:
    """CRLF and no other end, no NUL, none too long."""
    assert are_lines(text) is right


@pytest.mark.parametrize(
    ("text", "right"), [(b".\r\n", True), (b"a\r\n.\r\n", True), (b"a.\r\n", False), (b"a\r\n .\r\n", False)]
)
def test_a_dot_at_the_beginning_of_a_line_is_found(text: bytes, right: bool) -> None:
    """Also the very first."""
    assert begin_with_a_dot(text) is right


@pytest.mark.parametrize("line", ["a\n", "a", ".\r\n", "a\r\n.\r\n", "x" * 999 + "\r\n", "a\r"])
def test_lines_that_are_not_whole_are_not_vouched_for(line: str) -> None:
    """Neither those that every letter has nor those of a value."""
    assert Form.of([line], ["<p>\r\n"], quoted=True) is None
    assert filled(form("Dear\r\n", Line(end=line if line[0] != "." else "\r\n" + line)), "Ada") is None


def test_a_dot_is_left_to_dot_stuffing_where_nothing_is_encoded() -> None:
    """There it has no other spelling."""
    assert filled(form(".\r\n", Line(end="\r\n.\r\n"), quoted=False), "Ada") == b".\r\n% To Ada: 3\r\n.\r\n"
