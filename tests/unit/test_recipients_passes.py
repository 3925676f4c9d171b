"""A list read in passes: nothing is kept, nothing is missed, and the quick way changes no verdict."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from itertools import chain

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.mail.address import unsafe_character
from pipeline.recipients import plain, rows, sheet
from pipeline.recipients.among import Fingerprints, Marks
from pipeline.recipients.cells import decoded_twice
from pipeline.recipients.plain import PlainRows
from pipeline.recipients.rows import Intake, Listing, read_recipients
from pipeline.recipients.sheet import Run

HEADER = "email,language,name\n"
CELL = st.sampled_from(
    [
        *("", "x", " x ", "Ada", "Göran", "Привет", "Ёлки", "РњРёСЂ", "Ã©"),
        *("\ufffd", "\u200b", "e\u0301", "\xa0x"),
        "yes",
        "no",
        "maybe",
        "en",
        "EN",
        "xx",
        "Europe/Athens",
        "Athens",
        "a.pdf; b.pdf",
        '"',
        '"a, b"',
        "=?x?q?",
    ]
)
ADDRESS = st.builds(
    "{}@{}".format,
    st.sampled_from(
        ["a", "A", "a+x", "b.c", "bc", "noreply", "jörg", "а", "аdmin", "O'Neil", "a b", "", "x" * 65]
    ),
    st.sampled_from(["example.org", "Example.ORG", "gmail.com", "gmial.com", "пример.рф", "nodot", "a.test"]),
)
COLUMNS = st.lists(
    st.sampled_from(["language", "name", "exclude", "role_ok", "timezone", "attachments", "note"]),
    max_size=3,
    unique=True,
)


def listing_of(text: str | bytes, **options: str) -> Listing:
    """Return the listing of a text."""
    data = text if isinstance(text, bytes) else text.encode()
    return Listing(
        lambda: io.BytesIO(data), octets=len(data), file="recipients.csv", languages=["en", "ru"], **options
    )


def read(data: bytes) -> Intake:
    """Read a whole list."""
    return read_recipients(data, file="recipients.csv", languages=["en", "ru"])


def the_whole_way(_: PlainRows, run: Run) -> Iterator[list[str]]:
    """Find no row plain."""
    yield from run.cells


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(COLUMNS, st.lists(st.tuples(ADDRESS, CELL, CELL, CELL), max_size=8), st.sampled_from(",;\t"))
def test_the_quick_way_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, columns: list[str], table: list[tuple[str, ...]], delimiter: str
) -> None:
    """Recipients, counts and every word of every problem are those of the whole way."""
    lines = [("email", *columns), *(row[: len(columns) + 1] for row in table * 2)]
    data = "\n".join(delimiter.join(line) for line in lines).encode()
    quick = read(data)
    with monkeypatch.context() as without:
        without.setattr(PlainRows, "found_in", the_whole_way)
        without.setattr(PlainRows, "address", lambda *_: None)
        assert read(data) == quick


def test_most_rows_of_a_long_list_go_the_quick_way() -> None:
    """Otherwise the test above would compare the whole way with itself."""
    listing = listing_of(HEADER + "".join(f"a{number}@example.org,en,Göran\n" for number in range(50)))
    assert listing._frame is not None
    assert listing._sheet is not None
    found = [
        one
        for part in listing._sheet.parts()
        if isinstance(part, Run)
        for one in PlainRows(listing._frame).found_in(part)
    ]
    assert sum(not isinstance(one, list) for one in found) >= 49


def test_what_is_printable_and_not_suspicious_is_safe() -> None:
    """Character by character, all of Unicode."""
    for code in range(0x110000):
        character = chr(code)
        if character.isprintable() and not plain._suspicion().search(character):
            assert unsafe_character(character) is None


@given(st.text(st.characters(codec="windows-1252"), max_size=8) | st.text("РњРёСЂÃ©Â»Ёж", max_size=8))
@example("РњРёСЂ")
@example("Ã©")
def test_text_that_was_decoded_twice_is_always_suspicious(text: str) -> None:
    """The pattern may suspect too much and never too little."""
    if decoded_twice(text):
        assert plain._suspicious(text)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.sampled_from('ab",;\n\r \x00é'), max_size=80), st.integers(1, 4))
def test_lines_read_many_at_a_time_are_the_records_of_one_at_a_time(
    monkeypatch: pytest.MonkeyPatch, text: str, at_once: int
) -> None:
    """`csv` over a run of plain lines gives what it gives record by record, broken ones among them."""

    def records() -> list[sheet.Record]:
        return list(sheet.Sheet(lambda: io.StringIO(text, newline=""), ",").records())

    with monkeypatch.context() as changed:
        changed.setattr(sheet, "LONGEST_PLAIN", -1)  # no line is plain
        one_by_one = records()
    with monkeypatch.context() as changed:
        changed.setattr(sheet, "RUN_LINES", at_once)
        assert records() == one_by_one


def test_rows_that_may_share_their_address_are_held_back() -> None:
    """The second pass lets in those that do not, and withdraws a first row that is disputed."""
    listing = listing_of(
        HEADER + "a@example.org,en,Ana\nb+x@example.org,en,Bo\nb@example.org,en,Bo\na@example.org,en,Anna\n"
    )
    assert [one.line for _, one in listing.clear()] == [2, 3]
    assert listing.doubtful
    assert [one.line for _, one in listing.settled()] == [4]
    assert [one.line for _, one in listing.withdrawn] == [2]
    findings = listing.findings()
    assert (findings.accepted, findings.rejected, findings.duplicates) == (2, 2, 0)
    for _ in range(2):
        assert [one.line for _, one in listing.recipients()] == [3, 4]


def test_a_list_that_cannot_be_decoded_at_its_end_has_no_recipient() -> None:
    """What was read before counts for nothing."""
    listing = listing_of(HEADER.encode() + b"a@example.org,en,Ana\n" * 9_000 + b"\xff\n")
    for _ in chain(listing.clear(), listing.settled()):
        pass
    findings = listing.findings()
    assert (findings.rows, findings.accepted, findings.columns) == (0, 0, ())
    assert [(problem.code, problem.line) for problem in findings.problems] == [("encoding", 9_002)]
    assert list(listing.recipients()) == []


def test_memory_does_not_grow_with_the_list() -> None:
    """Ten times the rows; what grows is the table of fingerprints, some octets a row."""
    peaks = []
    for number in (3_000, 30_000):
        data = (
            HEADER + "".join(f"desk{n}@office{n % 50}.example,en,Göran\n" for n in range(number))
        ).encode()
        listing = listing_of(data)
        tracemalloc.start()
        assert sum(1 for _ in listing.clear()) == number
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 27_000 * 80  # a row that is kept takes some 400


def test_a_line_without_an_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its middle is lost, and it is an error; the rows behind it are read."""
    from pipeline.recipients import decoding

    monkeypatch.setattr(decoding, "LONGEST_LINE", 1_000)
    intake = read((HEADER + "x" * 500_000 + "\na@example.org,en,Ana\n").encode())
    assert [(problem.line, problem.code) for problem in intake.problems] == [(2, "row-length")]
    assert len(intake.problems[0].source) <= 100_000
    assert [one.line for one in intake.recipients] == [3]


@given(st.lists(st.text(max_size=3), max_size=60))
def test_a_key_given_before_is_never_taken_for_new(keys: list[str]) -> None:
    """The other way round may happen, and costs a second pass."""
    fingerprints, before = Fingerprints(len(keys)), set[str]()
    for key in keys:
        assert fingerprints.seen(key) or key not in before
        before.add(key)


def test_fingerprints_of_many_keys_hardly_ever_collide() -> None:
    """About once in a thousand lists of a million."""
    seen = Fingerprints(20_000).seen
    assert sum(seen(f"a{number}@example.org") for number in range(20_000)) <= 1


@given(st.sets(st.integers(1, 100_000)))
def test_marks_are_a_set(numbers: set[int]) -> None:
    """Of row numbers."""
    marks = Marks()
    for number in numbers:
        marks.add(number)
    assert all((number in marks) == (number in numbers) for number in {*numbers, 1, 99, 100_001})


def test_too_many_problems_are_those_that_a_reading_from_the_top_would_meet_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also those that are only found in the second pass; what only the end brings to light comes last."""
    monkeypatch.setattr(rows, "MAX_PROBLEMS", 3)
    addresses = ("a@example.org,", "A@example.org,", "x,", "y,", "b@example.org,", "B@example.org,")
    intake = read("\n".join(["email,exclude", *addresses, "b@example.org,yes"]).encode())
    assert [(one.line, one.code) for one in intake.problems] == [
        (3, "duplicate"),
        (4, "address"),
        (5, "address"),
        (0, "more-problems"),
    ]
    assert intake.problems[-1].message == "2 more problems are not shown"
