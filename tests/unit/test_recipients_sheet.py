"""Records and places: what `csv` reads, where each cell stands, and going on behind a broken record."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.recipients.sheet import MAX_RECORD_LINES, Break, Sheet, cell_offsets, header_delimiter


def sheet_of(text: str, delimiter: str) -> Sheet:
    """Return the sheet of a text."""
    return Sheet(lambda: io.StringIO(text, newline=""), delimiter)


CELLS = st.lists(st.text(st.sampled_from('ab",;\n\r é'), max_size=6), min_size=2, max_size=5)


@given(st.lists(CELLS, min_size=1, max_size=5), st.sampled_from([",", ";", "\t"]))
def test_what_csv_writes_is_read_again_with_every_place(table: list[list[str]], delimiter: str) -> None:
    """Each cell begins where its place says, whatever quotes and line breaks stand before it."""
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(table)
    sheet = sheet_of(written.getvalue(), delimiter)
    records = list(sheet.records())
    assert [list(record.cells) for record in records] == table
    for record in records:
        for index in range(len(record.cells)):
            place = sheet.place(record.line, index)
            assert place == sheet.place_in(record, index)
            assert place.source[place.column - 1] == '"'


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [
        ("email,name", ","),
        ("email;name", ";"),
        ("email\tname", "\t"),
        ("email", ","),
        ('email;"a, b, c"', ";"),
        ("\n\nemail;name\na,b,c", ";"),
    ],
)
def test_the_header_line_tells_the_delimiter(header: str, delimiter: str) -> None:
    """What stands in quotes does not count; a list of one column has the comma."""
    assert header_delimiter(io.StringIO(header, newline="")) == delimiter


def test_offsets_skip_spaces_before_a_cell() -> None:
    """A quote may stand behind a space; a quote inside a bare cell is an ordinary character."""
    assert cell_offsets('a, "b, c",d "e, f" g', ",") == [0, 3, 10, 16]


def test_a_quote_that_stays_open_costs_its_own_row_only() -> None:
    """Reading goes on in the line behind the one where the quote was opened."""
    records = list(sheet_of('a,"b\nc,d\ne,f\n', ",").records())
    assert [(record.line, record.broken, record.cells) for record in records] == [
        (1, Break.UNCLOSED, ()),
        (2, None, ("c", "d")),
        (3, None, ("e", "f")),
    ]


def test_text_behind_a_closing_quote_costs_its_own_row_only() -> None:
    """The place is that of the cell."""
    sheet = sheet_of('a,"b"c,d\ne,f\n', ",")
    broken, sound = sheet.records()
    assert (broken.broken, sheet.place_in(broken, broken.broken_at).column) == (Break.STRAY, 3)
    assert sound.cells == ("e", "f")


def test_a_record_has_an_end() -> None:
    """An open quote far from the end of a long file does not swallow it."""
    text = 'a,"b\n' + "c,d\n" * (3 * MAX_RECORD_LINES)
    broken, *sound = sheet_of(text, ",").records()
    assert broken.broken is Break.UNCLOSED
    assert len(sound) == 3 * MAX_RECORD_LINES


def test_a_cell_beyond_the_readers_limit_is_a_broken_record() -> None:
    """`csv` refuses it; the next row is read."""
    broken, sound = sheet_of("x" * 200_000 + ",y\na,b\n", ",").records()
    assert broken.broken is Break.TOO_LONG
    assert sound.cells == ("a", "b")


@given(st.text(st.sampled_from('a",\n\r '), max_size=60))
def test_every_line_belongs_to_one_record(text: str) -> None:
    """Broken or not, records follow each other and their lines never go back."""
    lines = [record.line for record in sheet_of(text, ",").records()]
    assert lines == sorted(set(lines))
    assert not lines or lines[-1] <= len(io.StringIO(text, newline="").readlines())
