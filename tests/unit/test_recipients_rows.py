"""The intake: rows become recipients, or problems, and never anything else."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.problem import Severity, shown
from pipeline.recipients import rows
from pipeline.recipients.rows import Intake, place_of, read_recipients, row_problem

HEADER = "email,language,name\n"


def read(text: str | bytes, *, encoding: str = "utf-8", delimiter: str = "auto") -> Intake:
    """Read ``text`` as recipients.csv of a campaign in four languages."""
    data = text if isinstance(text, bytes) else text.encode()
    return read_recipients(
        data,
        file="recipients.csv",
        languages=("en", "ru", "es", "el"),
        encoding=encoding,
        delimiter=delimiter,
    )


def codes(intake: Intake) -> list[str]:
    """Return the codes of the problems, in their order."""
    return [problem.code for problem in intake.problems]


def adds_up(intake: Intake) -> bool:
    """Say whether every row was counted once."""
    return intake.rows == len(intake.recipients) + intake.rejected + intake.duplicates + len(intake.excluded)


def test_a_good_row_is_a_recipient_with_all_its_values() -> None:
    """Stripped, NFC, known columns and the campaign's own alike."""
    header = "email,language,name,timezone,attachments,case_number\n"
    intake = read(header + " Posol@Example.org ,ru,  Jose\u0301 ,Europe/Madrid,a.pdf; b.pdf,\n")
    (recipient,) = intake.recipients
    assert intake.problems == ()
    assert (recipient.line, recipient.language, recipient.name) == (2, "ru", "José")
    assert (recipient.timezone, recipient.attachments) == ("Europe/Madrid", ("a.pdf", "b.pdf"))
    assert recipient.address.wire == "Posol@example.org"
    assert dict(recipient.values) == {
        "email": "Posol@Example.org",
        "language": "ru",
        "name": "José",
        "timezone": "Europe/Madrid",
        "attachments": "a.pdf; b.pdf",
        "case_number": "",
    }


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_marks_and_line_ends_make_no_difference(delimiter: str, mark: str, end: str) -> None:
    """What spreadsheets of all kinds write."""
    text = f"{mark}email,name{end}a@example.org,Ana{end}".replace(",", delimiter)
    intake = read(text)
    assert intake.problems == ()
    assert intake.delimiter == delimiter
    assert [(one.line, one.name) for one in intake.recipients] == [(2, "Ana")]


def test_a_said_delimiter_wins_over_the_header() -> None:
    """`delimiter` is the operator's word."""
    intake = read("email;remark\na@example.org;a, b, c\n", delimiter=";")
    assert intake.recipients[0].values["remark"] == "a, b, c"


def test_an_unknown_delimiter_is_one_problem() -> None:
    """Nothing is read with a delimiter that nobody meant."""
    assert codes(read(HEADER, delimiter="|")) == ["unknown-delimiter"]


def test_excels_separator_line_is_skipped() -> None:
    """Excel writes it and hides it; rows keep their line numbers."""
    intake = read("sep=;\nemail;name\na@example.org;Ana\n")
    assert intake.problems == ()
    assert intake.recipients[0].line == 3


def test_a_said_encoding_decodes() -> None:
    """windows-1251 with semicolons, as Excel saves it, once campaign.toml says so."""
    intake = read("email;name\na@example.org;Уважаемая\n".encode("cp1251"), encoding="windows-1251")
    assert [one.name for one in intake.recipients] == ["Уважаемая"]


def test_an_empty_language_is_the_first_one() -> None:
    """DESIGN 5."""
    assert read(HEADER + "a@example.org,,Ana\n").recipients[0].language == "en"


def test_the_case_of_a_language_does_not_matter() -> None:
    """BCP 47 2.1.1; the recipient has the template's spelling, the values what was written."""
    (recipient,) = read(HEADER + "a@example.org,EL,Ana\n").recipients
    assert (recipient.language, recipient.values["language"]) == ("el", "EL")


def test_no_language_at_all_is_a_mistake_of_the_caller() -> None:
    """There is nothing to check rows against."""
    with pytest.raises(ValueError, match="at least one language"):
        read_recipients(b"", file="recipients.csv", languages=())


def test_blank_rows_are_skipped_and_lines_still_count() -> None:
    """Empty lines and lines of delimiters, as spreadsheets leave them."""
    intake = read(HEADER + "\n,,\n  ,\t,\na@example.org,,Ana\n")
    assert (intake.rows, intake.recipients[0].line) == (1, 5)


def test_a_bad_row_costs_all_its_problems_and_stops_no_other() -> None:
    """Two faults in one row, both told; the next row is a recipient."""
    intake = read(HEADER + "consul,xx,Ana\nb@example.org,en,Bo\n")
    assert codes(intake) == ["address", "language"]
    assert [one.name for one in intake.recipients] == ["Bo"]
    assert intake.rejected == 1


def test_lines_are_allowed_in_a_value_of_the_campaigns_own() -> None:
    """Line ends inside become LF; in a known column the same cell is refused."""
    assert read('email,remark\na@example.org,"one\r\ntwo"\n').recipients[0].values["remark"] == "one\ntwo"
    assert codes(read('email,salutation\na@example.org,"one\r\ntwo"\n')) == ["unsafe-text"]


def test_a_row_behind_a_cell_of_many_lines_has_its_own_line() -> None:
    """The line of a row is the first of its record, in the file as an editor counts."""
    intake = read('email,remark\na@example.org,"1\n2\n3"\nb@example.org,x\n')
    assert [one.line for one in intake.recipients] == [2, 5]


def test_the_place_of_a_quoted_cell_is_found_again() -> None:
    """Later stages can point at the cell of a row, with quotes and delimiters before it."""
    intake = read('email,office,name\na@example.org,"One, two ""three""",Ana\n')
    place = place_of(intake, 2, "name")
    assert (place.line, place.column) == (2, 36)
    assert place.source[place.column - 1 :] == "Ana"


def test_the_place_of_a_cell_behind_line_breaks_is_in_its_own_line() -> None:
    """The caret stands under the cell, not under the record's beginning."""
    intake = read('email,remark,name\na@example.org,"one\ntwo",Ana\n')
    place = place_of(intake, 2, "name")
    assert (place.line, place.column, place.source) == (3, 6, 'two",Ana')


def test_a_problem_of_a_later_stage_points_at_the_cell() -> None:
    """`row_problem` gives file, line, column and source."""
    intake = read(HEADER + "a@example.org,en,Ana\n")
    problem = row_problem(intake, 2, "name", "some-code", "too short", hint="write more")
    assert shown(problem).splitlines() == [
        "recipients.csv:2:18: error: too short",
        "    2 | a@example.org,en,Ana",
        "      |                  ^",
        "   help: write more",
    ]


def test_a_place_that_is_not_there_is_harmless() -> None:
    """An unreadable file, a line beyond its end and an unknown column raise nothing."""
    assert place_of(read(b"\xff\xff\xff"), 2, "name").line == 0
    assert place_of(read(HEADER), 99, "name").source == ""
    assert place_of(read(HEADER + "a@example.org,en,Ana\n"), 2, "nothing").column == 1


@pytest.mark.parametrize(
    "second",
    ["Ana@Example.ORG,en,Ana", "  ana@example.org ,en,Ana", "ana@example.org,EN,Ana", "ana@example.org,,Ana"],
)
def test_equal_rows_become_one_and_it_is_said(second: str) -> None:
    """FAULTS 6: case, spaces, and a language left to the default."""
    intake = read(HEADER + f"ana@example.org,en,Ana\n{second}\n")
    assert (len(intake.recipients), intake.duplicates) == (1, 1)
    (problem,) = intake.problems
    assert (problem.severity, problem.code) == (Severity.WARNING, "duplicate")
    assert "lines 2 and 3" in problem.message


def test_idn_and_punycode_are_one_recipient() -> None:
    """FAULTS 6: A-labels and U-labels name one domain."""
    intake = read(HEADER + "a@пример.рф,en,Ana\na@xn--e1afmkfd.xn--p1ai,en,Ana\n")
    assert (len(intake.recipients), intake.duplicates) == (1, 1)


def test_two_rows_with_one_address_and_other_words_are_both_rejected() -> None:
    """Nobody can know which is right; the column in which they differ is named."""
    intake = read(HEADER + "a@example.org,en,Ana\nA@example.org,en,Anna\na@example.org,en,Ana\n")
    assert intake.recipients == ()
    assert intake.rejected == 3
    (problem,) = intake.problems
    assert (problem.code, problem.line, problem.column) == ("same-address", 3, 18)
    assert 'column "name"' in problem.message


def test_an_excluded_row_is_left_out_with_all_that_is_wrong_with_it() -> None:
    """`exclude = yes` is a way to make a list usable at once."""
    intake = read("email,exclude,language\nnot an address,yes,xx\nb@example.org,no,en\n")
    assert intake.problems == ()
    assert [(one.line, one.email) for one in intake.excluded] == [(2, "not an address")]
    assert (len(intake.recipients), intake.rejected) == (1, 0)


def test_excluding_one_of_two_rows_settles_the_dispute() -> None:
    """The other row stays, and it is said that it is still written to."""
    intake = read("email,exclude,name\na@example.org,yes,Ana\na@example.org,,Anna\n")
    assert [one.name for one in intake.recipients] == ["Anna"]
    assert codes(intake) == ["half-excluded"]


@pytest.mark.parametrize("local", ["abuse", "Postmaster", "no-reply", "noreply+x", "bounces", "news-owner"])
def test_fault_25_role_addresses_need_the_operators_word(local: str) -> None:
    """Refused without `role_ok`, taken with it."""
    assert codes(read(f"email\n{local}@example.org\n")) == ["role-address"]
    assert len(read(f"email,role_ok\n{local}@example.org,yes\n").recipients) == 1


@pytest.mark.parametrize("local", ["info", "office", "press", "consul", "embassy", "sales", "webmaster"])
def test_fault_25_office_addresses_are_welcome(local: str) -> None:
    """They are whom one writes to."""
    assert read(f"email\n{local}@example.org\n").problems == ()


def test_fault_26_moving_rows_changes_no_key() -> None:
    """What identifies a letter comes from the address, not from the row's number."""
    one = read(HEADER + "a@example.org,en,Ana\nb@example.org,ru,Bo\n")
    two = read(HEADER + "\nB@example.org,ru,Bo\na@example.org,en,Ana\n")
    keys = [{recipient.address.key for recipient in intake.recipients} for intake in (one, two)]
    assert keys[0] == keys[1]


def test_too_many_rows_stop_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cap is a documented constant."""
    monkeypatch.setattr(rows, "MAX_ROWS", 2)
    intake = read("email\na@example.org\nb@example.org\nc@example.org\n")
    assert codes(intake) == ["too-many-rows"]
    assert len(intake.recipients) == 2


def test_a_flood_of_problems_is_counted_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile list cannot fill the memory with problems; errors stay errors."""
    monkeypatch.setattr(rows, "MAX_PROBLEMS", 3)
    intake = read("email\n" + "x\n" * 10)
    assert codes(intake) == ["address", "address", "address", "more-problems"]
    assert intake.problems[-1].message == "7 more problems are not shown"
    assert intake.problems[-1].severity is Severity.ERROR
    assert intake.rejected == 10


def test_recipients_can_go_to_another_process() -> None:
    """`send --processes` hands them on."""
    (recipient,) = read(HEADER + "a@example.org,en,Ana\n").recipients
    assert pickle.loads(pickle.dumps(recipient)) == recipient


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["utf-8", "utf-16", "windows-1251", "koi8-r", "nonsense"]))
def test_no_bytes_make_the_reading_raise(data: bytes, encoding: str) -> None:
    """A foreign file is hostile; what comes back can always be shown."""
    intake = read(data, encoding=encoding)
    assert adds_up(intake)
    for problem in intake.problems:
        assert all(line.isprintable() for line in shown(problem).split("\n"))


CELL = st.one_of(
    st.text(max_size=12),
    st.text('",;\t\n\r a@=?\x00', max_size=12),
    st.sampled_from(
        ["a@example.org", "A@example.org", "b@gmial.com", "en", "xx", "yes", '"', "", "=?utf-8?q?x?="]
    ),
)
COLUMN = st.one_of(
    st.sampled_from(["email", "language", "name", "exclude", "role_ok", "timezone", "Email ", ""]),
    st.text(max_size=8),
)


@settings(deadline=None)
@given(
    st.lists(COLUMN, max_size=5),
    st.lists(st.lists(CELL, max_size=6), max_size=8),
    st.sampled_from([",", ";", "\t"]),
)
def test_no_table_makes_the_reading_raise(names: list[str], table: list[list[str]], delimiter: str) -> None:
    """Random cells under random headers, quotes and controls among them; every row is counted once."""
    lines = [delimiter.join(cells) for cells in (names, *table)]
    intake = read("\n".join(lines).encode("utf-8", "replace"))
    assert adds_up(intake)
    for recipient in intake.recipients:
        assert "\n" not in recipient.address.wire + recipient.name
        assert place_of(intake, recipient.line, "email").line >= recipient.line
    for problem in intake.problems:
        assert all(line.isprintable() for line in shown(problem).split("\n"))
        assert 0 <= problem.column <= len(problem.source) + 1
