"""Versions side by side, in the terminal and as files; and a translator's word that is written down."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from rich.cells import cell_len

from pipeline.cli.sidebyside import shown
from pipeline.report.versions import Version, framed, page, rows
from tests.command_line import CommandLine

ENGLISH = (
    '+++\nsubject = "Hello"\n+++\nDear {{ recipient.name }},\n\n1. release;\n2. answer within 48 hours.\n'
)
SPANISH = (
    '+++\nsubject = "Hola"\n+++\nEstimada {{ recipient.name }}:\n\n1. libertad;\n2. respuesta en 48 horas.\n'
)


@pytest.fixture
def versions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """A campaign in English and Spanish."""
    campaign = CommandLine(tmp_path / "mayday", capsys, monkeypatch)
    campaign.write()
    (campaign.folder / "templates" / "letter.en.md").write_text(ENGLISH, "utf-8")
    (campaign.folder / "templates" / "letter.es.md").write_text(SPANISH, "utf-8")
    return campaign


def version(
    language: str, text: str, *, direction: str = "ltr", html: str = "", to: str = "a@b.example"
) -> Version:
    """Return a version of a letter."""
    return Version(language, direction, "en", to, f"Subject {language}", "", text, html)


# -- in the terminal


def test_a_version_stands_beside_the_one_it_was_made_from(
    versions: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passage by passage, list items too."""
    monkeypatch.setenv("COLUMNS", "90")
    lines = versions("preview", "--language", "es").out.splitlines()
    beside = [[part.strip() for part in line.split("│")] for line in lines if "│" in line]
    assert ["en, to ada@office.example", "es, from en, to eva@oficina.example"] in beside
    assert ["Dear Ada,", "Estimada Eva:"] in beside
    assert ["2. answer within 48 hours.", "2. respuesta en 48 horas."] in beside


def test_all_versions_stand_beside_each_other(versions: CommandLine) -> None:
    """By --side-by-side."""
    assert versions("preview", "--side-by-side").out == versions("preview", "--language", "es").out


def test_a_narrow_terminal_has_them_below_each_other(
    versions: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the language before each passage."""
    monkeypatch.setenv("COLUMNS", "50")
    out = versions("preview", "--language", "es").out
    assert "en    Dear Ada,\nes    Estimada Eva:\n" in out
    assert "│" not in out


def test_a_language_that_is_none_is_told(versions: CommandLine) -> None:
    """With those there are."""
    said = versions("preview", "--language", "fr")
    assert (said.code, "no letter is written in fr" in said.err, "en, es" in said.err) == (2, True, True)


def test_a_version_that_nobody_gets_yet_has_gaps(versions: CommandLine) -> None:
    """A translator works before the list does."""
    (versions.folder / "recipients.csv").write_text(
        "email,language,name\nada@office.example,en,Ada\n", "utf-8"
    )
    assert "Estimada [name]:" in versions("preview", "--language", "es").out


def test_versions_that_differ_are_shown_all_the_same(versions: CommandLine) -> None:
    """To see it is what one looks for; the error is told as well."""
    (versions.folder / "templates" / "letter.es.md").write_text(SPANISH.replace("48", "84"), "utf-8")
    said = versions("preview", "--language", "es")
    assert (said.code, "84 horas" in said.out, "letter.es.md:7" in said.err) == (0, True, True)


def test_wide_letters_keep_the_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A character of two cells counts for two."""
    two = (version("en", "Hello " * 30), version("ja", "漢字仮名" * 30))
    places = {cell_len(line.partition("│")[0]) for line in shown(two, 80) if "│" in line}
    assert len(places) == 1
    assert all(cell_len(line) <= 80 for line in shown(two, 80))


def test_a_version_from_right_to_left_is_shown_below_the_other() -> None:
    """No terminal shows columns of two directions; marks of direction are not shown as escapes."""
    two = (version("en", "Hello"), version("ar", "\u200f\u2066Maris\u2069 السلام", direction="rtl"))
    lines = list(shown(two, 200))
    assert "ar    Maris السلام" in lines
    assert not any("│" in line for line in lines)


def test_what_a_template_holds_cannot_write_to_the_terminal() -> None:
    """Control characters are shown as escapes."""
    lines = list(shown((version("en", "a\x1b[2Jb \u202e c", to="x\x1b]0;@b"),), 80))
    assert not any("\x1b" in line or "\u202e" in line for line in lines)


def test_a_version_with_fewer_passages_has_none_at_the_end() -> None:
    """And its place is empty."""
    assert rows((version("en", "a\n\nb"), version("ru", "а"))) == [
        *(("Subject en", "Subject ru"), ("a", "а"), ("b", ""))
    ]


def test_passages_have_no_line_ends_but_those_meant() -> None:
    """What was wrapped at 72 columns is one line again."""
    long = "word " * 13 + "ends\nhere\n\nYours,\nCommittee"
    assert version("en", long).passages == ["word " * 13 + "ends here", "Yours,\nCommittee"]


# -- files


def test_files_are_written_for_all_versions(versions: CommandLine) -> None:
    """Side by side, each as a page and as a message."""
    said = versions("preview", "--side-by-side", "--out", "out", "--json")
    names = ["side-by-side.html", "side-by-side.txt", "letter.en.html", "letter.es.html"]
    assert said.json["written"] == [*names, "letter.en.eml", "letter.es.eml"]
    assert all((versions.folder / "out" / name).stat().st_size for name in said.json["written"])


HOSTILE = '<script>alert(1)</script><img src="https://evil.example/x"><meta http-equiv="refresh" content="0;url=https://e.example">'


def test_a_page_of_versions_holds_words_only() -> None:
    """Whatever they are; each with its language and direction."""
    made = page(
        HOSTILE, (version("en", HOSTILE, html=HOSTILE, to=HOSTILE), version("ar", "سلام", direction="rtl"))
    )
    assert not re.search(r"<(?:script|img|iframe|link)\b|<[^>]*\bsrc=", made)
    assert '<td lang="ar" dir="rtl"><p>سلام</p></td>' in made
    assert "default-src 'none'" in made


def test_a_letters_own_page_stands_in_a_frame_that_can_do_nothing() -> None:
    """All of it is one attribute."""
    made = framed(HOSTILE + "' \" >", HOSTILE)
    assert made.count('sandbox=""') == 1
    assert "<script" not in made
    assert "<img" not in made
    assert made.index("Content-Security-Policy") < made.index("<iframe")


# -- a translator's word


def test_a_confirmed_version_is_older_once_its_source_is_changed(versions: CommandLine) -> None:
    """Until it is confirmed again."""
    assert versions("approve", "--translation", "es", "--by", "M. Diez").code == 0
    text = (versions.folder / "templates" / "confirmed.toml").read_text("utf-8")
    assert tomllib.loads(text)["es"]["by"] == "M. Diez"
    assert versions("check").code == 0
    changed = ENGLISH.replace("1. release;", "1. release at once;")
    (versions.folder / "templates" / "letter.en.md").write_text(changed, "utf-8")
    said = versions("check")
    assert said.code == 2
    assert (
        "templates/letter.es.md:6:1: error: templates/letter.en.md:6 was changed since M. Diez on" in said.out
    )
    assert versions("approve", "--translation", "es", "--by", "M. Diez").code == 0
    assert versions("check").code == 0


def test_versions_that_differ_cannot_be_confirmed(versions: CommandLine) -> None:
    """Nor is anything written."""
    (versions.folder / "templates" / "letter.es.md").write_text(SPANISH.replace("48", "84"), "utf-8")
    said = versions("approve", "--translation", "es", "--by", "M. Diez")
    assert (said.code, "letter.es.md:7" in said.err) == (2, True)
    assert not (versions.folder / "templates" / "confirmed.toml").exists()


@pytest.mark.parametrize("language", ["en", "fr", "../../x"])
def test_what_is_no_translation_cannot_be_confirmed(versions: CommandLine, language: str) -> None:
    """In words."""
    said = versions("approve", "--translation", language, "--by", "M. Diez")
    assert (said.code, "Traceback" in said.err) == (2, False)


def test_a_link_out_of_the_folder_is_no_template(versions: CommandLine, tmp_path: Path) -> None:
    """Whatever it leads to."""
    secret = tmp_path / "secret.md"
    secret.write_text("secret words", "utf-8")
    (versions.folder / "templates" / "part.md").symlink_to(secret)
    (versions.folder / "templates" / "letter.en.md").write_text(
        ENGLISH + '{% include "part.md" %}\n', "utf-8"
    )
    said = versions("check")
    assert (said.code, "secret words" in said.out + said.err) == (2, False)
    assert (
        "templates/part.md: error: this is a link to a file outside of the campaign's folder"
        in said.out + said.err
    )


def test_a_missing_letter_names_the_rows_that_ask_for_it(versions: CommandLine) -> None:
    """Who would get nothing."""
    (versions.folder / "templates" / "letter.es.md").unlink()
    said = versions("check")
    words = "this letter does not exist, and recipients.csv:4 is written to in es"
    assert (said.code, f"templates/letter.es.md: error: {words}" in said.out) == (2, True)
