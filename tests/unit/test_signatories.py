"""signatories.csv: what is let in, what is refused and where it stands, who signs together."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.problem import shown
from pipeline.recipients.signatories import Signatories, Signing, joined, laid_out, read_signatories

FOLDER = Path(__file__).parents[1] / "campaigns" / "bad-signatories"
HEADER = "name,email,organisation,city,country,language,words,consent_date,consent_source,publish,joint\n"
TODAY = date(2026, 11, 26)


def read(data: str | bytes, **how: str) -> Signatories:
    """Read a file that belongs to a committee's campaign."""
    octets = data.encode() if isinstance(data, str) else data
    return read_signatories(
        lambda: io.BytesIO(octets),
        file="signatories.csv",
        signing=Signing(**how),  # type: ignore[arg-type]
        language="en",
        own_domain="committee.example",
        today=TODAY,
    )


def row(name: str, *, words: str = "", joint: str = "", organisation: str = "", city: str = "") -> str:
    """Return the row of somebody who agreed."""
    who = f"{name},{name.lower()}@home.example,{organisation},{city},Kestria,en"
    return f'{who},"{words}",2026-03-02,form,yes,{joint}\n'


def codes(found: Signatories) -> list[str]:
    """Return the codes of all problems, in order."""
    return [problem.code for problem in found.problems]


def test_a_bad_list_of_signatories_shows_exactly_its_problems() -> None:
    """Every word, line, column and caret that the user sees; a missing consent and a forged From are among
    them."""
    found = read((FOLDER / "signatories.csv").read_bytes())
    text = "\n".join(shown(problem) for problem in found.problems) + "\n"
    assert text == (FOLDER / "expected.txt").read_text("utf-8")


def test_every_row_is_counted_once() -> None:
    """Accepted, rejected, merged and excluded rows add up."""
    found = read((FOLDER / "signatories.csv").read_bytes())
    assert found.rows == len(found.accepted) + found.rejected + found.duplicates + found.left_out
    assert (found.rows, found.duplicates, found.left_out) == (15, 1, 1)


def test_a_row_without_consent_is_refused_with_its_place() -> None:
    """The cell that has to be filled in, by line and column."""
    found = read(HEADER + "Ada,ada@home.example,,,,,,,,,\n")
    (problem, *_) = found.problems
    assert (problem.code, problem.line, problem.column) == ("no-consent", 2, 27)
    assert not found.accepted


def test_without_a_column_of_consent_nobody_signs() -> None:
    """It is told once, at the header."""
    found = read("name,email\nAda,ada@home.example\nBen,ben@home.example\n")
    assert codes(found) == ["no-consent_date-column"]
    assert found.problems[0].line == 1


def test_a_from_in_a_foreign_domain_is_refused_and_says_why() -> None:
    """DMARC is the reason, and the way out is named."""
    header = "name,email,consent_date,consent_source,from\n"
    found = read(header + "Ada,ada@home.example,2026-03-02,form,ada@home.example\n")
    (problem,) = found.problems
    assert (problem.code, problem.line, problem.column) == ("foreign-from", 2, 38)
    assert "home.example" in problem.message
    assert "committee.example" in problem.message
    assert "DMARC" in problem.hint


def test_a_from_in_the_own_domain_is_taken() -> None:
    """A section may write from its own address at the campaign's domain."""
    header = "name,email,consent_date,consent_source,from\n"
    found = read(header + "Ada,ada@home.example,2026-03-02,form,section@committee.example\n")
    assert not found.problems
    assert found.accepted[0].values["signatory.from"] == "section@committee.example"


def test_consent_and_publication_are_no_business_of_templates() -> None:
    """They are neither columns nor values of a letter."""
    found = read(HEADER + row("Ada"))
    assert found.columns == ("name", "email", "organisation", "city", "country", "language", "words", "names")
    assert not {name for name in found.accepted[0].values if "consent" in name or "publish" in name}


def test_who_it_is_stands_in_one_line() -> None:
    """Name, organisation, city and country, whatever of it there is."""
    found = read(HEADER + row("Ada", organisation="Harbour Union", city="Ghent"))
    assert found.accepted[0].values["signatory.names"] == "Ada, Harbour Union, Ghent, Kestria"


def test_own_words_keep_lines_and_paragraphs_and_no_other_space() -> None:
    """What a spreadsheet has added goes."""
    assert laid_out("  one \t two\r\nthree\n \n\n\nfour  \n\n") == "one two\nthree\n\nfour"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_laying_out_twice_changes_nothing(words: str) -> None:
    """So the same cell is always the same letter."""
    once = laid_out(words)
    assert laid_out(once) == once


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "windows-1251", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_whatever_a_spreadsheet_saved_is_read(encoding: str, delimiter: str) -> None:
    """Encodings and delimiters as for recipients."""
    text = "name,email,consent_date,consent_source\nИрина,irina@home.example,2026-03-02,форма\n"
    found = read(text.replace(",", delimiter).encode(encoding), encoding=encoding)
    assert [(one.name, one.key) for one in found.accepted] == [("Ирина", "irina@home.example")]


@given(st.binary(max_size=200))
def test_no_octets_make_it_raise(data: bytes) -> None:
    """Whatever the file is: signatories and problems come back."""
    found = read(data)
    assert found.problems or found.rows == len(found.accepted) + found.left_out


@given(st.text(max_size=80), st.text(max_size=30))
def test_no_cell_makes_it_raise(words: str, name: str) -> None:
    """Nor does any text in a cell."""
    cells = [text.replace('"', '""') for text in (name, words)]
    found = read(HEADER + f'"{cells[0]}",a@home.example,,,,,"{cells[1]}",2026-03-02,form,no,\n')
    assert found.rows == len(found.accepted) + found.rejected


def test_those_with_one_word_in_joint_sign_one_letter() -> None:
    """In the place of the first, with all names below; the words are the first ones that somebody wrote."""
    text = (
        HEADER
        + row("Ada", joint="Union")
        + row("Ben", words="Act!")
        + row("Eva", words="Now.", joint="union")
    )
    together, alone = joined(read(text).accepted)
    assert (together.key, together.members) == ("union", ("ada@home.example", "eva@home.example"))
    assert together.values["signatory.names"] == "Ada, Kestria\nEva, Kestria"
    assert together.values["signatory.words"] == "Now."
    assert together.values["signatory.country"] == "Kestria"
    assert (alone.key, alone.values["signatory.words"]) == ("ben@home.example", "Act!")


def test_the_key_of_a_joint_letter_is_nobodys_address() -> None:
    """Whoever joins, leaves or is moved: it stays the same letter."""
    rows = [row(name, joint="union") for name in ("Ada", "Ben", "Eva")]
    keys = {joined(read(HEADER + "".join(some)).accepted)[0].key for some in (rows, rows[::-1], rows[1:])}
    assert keys == {"union"}


def test_many_names_in_from_are_counted_and_not_shown() -> None:
    """The letter itself has all of them."""
    names = ["Ada", "Ben", "Eva", "Ida", "Ole"]
    (together,) = joined(read(HEADER + "".join(row(name, joint="u") for name in names)).accepted)
    assert together.name == "Ada, Ben, Eva (+2)"
    assert together.values["signatory.name"] == "Ada, Ben, Eva, Ida, Ole"
