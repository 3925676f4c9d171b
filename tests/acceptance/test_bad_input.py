"""Bad campaigns: a clear message with file, line and column, exit 2, nothing sent or recorded as sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.campaign_folder import CampaignFolder, Finished, make_campaign
from tests.peers import smtp_sink

CANARY = "canary-Xy7pQ"


@pytest.fixture
def folder(tmp_path: Path) -> CampaignFolder:
    """A good campaign of three letters, for a test to spoil."""
    return make_campaign(tmp_path, 3)


def refused(folder: CampaignFolder, *words: str) -> Finished:
    """Send to a relay; it must be refused with these words before anything is sent. Return what was said."""
    with smtp_sink() as sink:
        done = folder.at(sink.url).send()
        assert not sink.letters()
    if (folder.root / ".campaign" / "campaign.db").exists():
        assert folder.ask_store("SELECT count(*) FROM letters WHERE state != 'planned'") == [(0,)]
    assert done.code == 2, done.said
    for word in words:
        assert word in done.err
    assert "Traceback" not in done.said
    return done


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text in a file."""
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_fault_01_a_windows_1251_list_with_semicolons_is_asked_about(folder: CampaignFolder) -> None:
    """The likely encodings with rows decoded, the line to write - and no other error, for there is none."""
    rows = "email;name;city\na@office.example;Мира Кордвель;Вельмор\nb@office.example;Лев Остарин;Вельмор\n"
    (folder.root / "recipients.csv").write_text(rows, "cp1251")
    said = refused(folder, "recipients.csv:2:18: error: the file is not UTF-8", 'encoding = "windows-1251"')
    assert "Мира Кордвель" in said.err
    assert "Лев Остарин" in said.err
    assert "1 error in the campaign" in said.err


def test_fault_01_a_utf_16_list_is_asked_about(folder: CampaignFolder) -> None:
    """A spreadsheet's "Unicode text": named, shown, and the line to write."""
    rows = "email;name;city\na@office.example;Мира Кордвель;Вельмор\n"
    (folder.root / "recipients.csv").write_text(rows, "utf-16")
    refused(folder, "recipients.csv: error: the file is UTF-16", 'encoding = "utf-16"', "Мира Кордвель")


def test_fault_01_with_the_encoding_named_the_list_is_read(folder: CampaignFolder) -> None:
    """What the message advises works, and the letter says what the list says."""
    (folder.root / "recipients.csv").write_text("email;name;city\na@office.example;Мира;Вельмор\n", "cp1251")
    done = folder.run("--set", "recipients.encoding=windows-1251", "preview", "a@office.example")
    assert done.code == 0, done.said
    assert "Мира" in done.out


def test_fault_02_a_misspelt_variable_names_template_line_and_the_meant_column(
    folder: CampaignFolder,
) -> None:
    """Nothing is sent for any row."""
    edit(folder.root / "templates" / "letter.en.md", "recipient.name", "recipient.nmae")
    refused(folder, 'letter.en.md:4:9: error: the list has no column "nmae"', "did you mean recipient.name?")


def test_fault_02_an_empty_cell_that_a_letter_prints_stops_every_row(folder: CampaignFolder) -> None:
    """No "Dear ,": template line, row and column are named; --skip-bad sends the others."""
    folder.write_list(["a@office.example,Ann,Velmor", "b@office.example,,Velmor"])
    refused(folder, "letter.en.md:4:9: error: recipients.csv:3:", 'column "name" is empty', "--skip-bad")
    with smtp_sink() as sink:
        done = folder.at(sink.url).send("--skip-bad")
        assert done.code == 0, done.said
        assert dict(sink.letters()) == {"a@office.example": 1}


def test_fault_03_a_template_syntax_error_is_shown_with_its_line(folder: CampaignFolder) -> None:
    """file:line:column, the line, exit 2 before any connection."""
    edit(folder.root / "templates" / "letter.en.md", "please", "{% if % please")
    refused(folder, "templates/letter.en.md:6:", "error: template syntax", "{% if % please release them.")


def test_fault_06_one_address_written_in_two_ways_with_different_cells_is_an_error(
    folder: CampaignFolder,
) -> None:
    """Both lines are named; equal cells would merge."""
    folder.write_list(["b@bücher.example,Ann,Velmor", "B@xn--bcher-kva.example,Ann,Kestria"])
    refused(folder, "recipients.csv:3:", "lines 2 and 3 have the same address", 'differ in column "city"')


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ('"Ann\r\nBcc: evil@evil.example"', "a line break at character 4"),
        ("=?utf-8?q?x=0d=0aBcc:evil@evil.example?=", "an encoded-word"),
        ('"An\0n"', "a NUL byte at character 3"),
        ("\u202egnp.exe", "a character that turns the writing direction (U+202E)"),
        ("x" * 10_240, "10000 are the most"),
    ],
    ids=["line break", "encoded-word", "NUL", "bidi", "10 kB"],
)
def test_fault_20_a_hostile_name_is_refused_with_its_place(
    folder: CampaignFolder, cell: str, words: str
) -> None:
    """No cell adds a header or a recipient, or hides what it says."""
    folder.write_list([f"a@office.example,{cell},Velmor"])
    refused(folder, 'recipients.csv:2:18: error: column "name" holds', words)


def test_fault_24_an_attachment_of_30_megabytes_is_too_large(folder: CampaignFolder) -> None:
    """Said once for all letters that would carry it, with its size and the limit."""
    with (folder.root / "big.pdf").open("wb") as file:
        file.truncate(30 << 20)
    edit(folder.root / "campaign.toml", "timezone", 'attachments = ["big.pdf"]\ntimezone')
    said = refused(folder, "campaign.toml", 'attachment "big.pdf" is too large: 31.5 MB', "10.0 MB")
    assert said.err.count("is too large") == 1


def test_fault_24_a_missing_attachment_is_named_with_what_is_there(folder: CampaignFolder) -> None:
    """Said once for all letters."""
    edit(folder.root / "campaign.toml", "timezone", 'attachments = ["statement.pdf"]\ntimezone')
    said = refused(folder, 'attachment "statement.pdf" does not exist', "recipients.csv")
    assert said.err.count("does not exist") == 1


def test_fault_25_a_no_reply_address_needs_the_rows_word(folder: CampaignFolder) -> None:
    """noreply@ is refused unless role_ok = yes; consulate@ is ordinary."""
    folder.write_list(["noreply@office.example,Ann,Velmor", "consulate@office.example,Ann,Velmor"])
    refused(folder, 'recipients.csv:2:1: error: "noreply"', "role_ok = yes")
    folder.write_list(
        ["noreply@office.example,Ann,Velmor,yes", "consulate@office.example,Ann,Velmor,"],
        "email,name,city,role_ok",
    )
    assert folder.send().code == 0
    assert folder.states() == {"sent": 2}


@pytest.mark.parametrize("name", ["../../secret.txt", "{absolute}", "link.txt", "*.txt"])
def test_fault_35_an_attachment_from_outside_the_folder_is_refused(folder: CampaignFolder, name: str) -> None:
    """Neither by "..", nor by an absolute path, a link or a pattern."""
    secret = folder.root.parent.parent / "secret.txt"
    secret.write_text(CANARY, "utf-8")
    (folder.root / "link.txt").symlink_to(secret)
    written = name.replace("{absolute}", str(secret))
    folder.write_list([f"a@office.example,Ann,Velmor,{written}"], "email,name,city,attachments")
    said = refused(folder, "recipients.csv:2:29: error: attachment")
    assert CANARY not in said.said


def test_fault_35_a_template_includes_nothing_from_outside(folder: CampaignFolder) -> None:
    """{% include '/etc/passwd' %} is an error in the template's line."""
    edit(folder.root / "templates" / "letter.en.md", "please", "{% include '/etc/passwd' %} please")
    said = refused(folder, "templates/letter.en.md:6:")
    assert "root:" not in said.said


def test_fault_37_a_password_in_the_config_is_refused_and_not_repeated(folder: CampaignFolder) -> None:
    """As a key or inside the relay's address: told where to put it; the value is never shown."""
    config = folder.root / "campaign.toml"
    good = config.read_text("utf-8")
    spoil: dict[str, Callable[[str], str]] = {
        "campaign.toml:10:1: error: a secret does not belong in this file": lambda text: text.replace(
            "connections", f'password = "{CANARY}"\nconnections'
        ),
        "campaign.toml:9:7: error: relay.url: a password does not belong": lambda text: text.replace(
            "sandbox:", f"smtps://me:{CANARY}@smtp.example.org"
        ),
    }
    for words, change in spoil.items():
        config.write_text(change(good), "utf-8")
        done = folder.send("-v")
        assert done.code == 2
        assert words in done.err
        assert "password_file" in done.err
        assert CANARY not in done.said


def test_a_missing_list_is_an_error_that_says_where_it_is_looked_for(folder: CampaignFolder) -> None:
    """No traceback: the name, the folder, and the key that names another file."""
    (folder.root / "recipients.csv").unlink()
    done = folder.send()
    assert done.code == 2
    assert "there is no recipients.csv in" in done.err
    assert '[recipients] file = "..."' in done.err


def test_every_problem_is_told_at_once(folder: CampaignFolder) -> None:
    """Two rows and a template: three errors in one go, as text and as JSON with stable keys."""
    folder.write_list(["not-an-address,Ann,Velmor", "b@office.example,=?utf-8?q?x?=,Velmor"])
    edit(folder.root / "templates" / "letter.en.md", "recipient.city", "recipient.town")
    refused(folder, "recipients.csv:2:", "recipients.csv:3:", "letter.en.md:2:", "3 errors in the campaign")
    document = folder.run("check", "--json").document
    assert document["ok"] is False
    assert len(document["problems"]) == 3
    assert set(document["problems"][0]) == {
        "severity", "file", "line", "column", "code", "message", "hint"
    }  # fmt: skip
