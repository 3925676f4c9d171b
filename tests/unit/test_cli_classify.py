"""`campaign replies classify`: files, folders, Maildirs, mboxes and standard input."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.replies.mailbox_paths import split
from tests.command_line import CommandLine

SAMPLES = Path(__file__).parents[1] / "replies"
KEYS = ["source", "kind", "recipients", "letter", "text", "why"]


@pytest.fixture
def campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """The command, in an empty folder: classify needs no campaign."""
    return CommandLine(tmp_path / "empty", capsys, monkeypatch)


def test_a_bounce_has_exactly_the_keys_that_others_rely_on(campaign: CommandLine) -> None:
    """A line of JSON, its source the path as given."""
    path = str(SAMPLES / "bounce" / "qmail.eml")
    said = campaign("replies", "classify", "--json", path)
    document = json.loads(said.out)
    assert said.code == 0
    assert list(document) == KEYS
    assert (document["source"], document["kind"], document["letter"]) == (path, "bounce", None)
    assert document["recipients"] == [
        {
            "address": "minister@ministry.example",
            "status": "5.1.1",
            "reason": "no such address",
            "suppress": True,
        }
    ]
    assert document["why"]


def test_a_human_mail_gives_its_new_text_without_the_quotation(campaign: CommandLine) -> None:
    """What the letter said is not what the office says."""
    said = campaign("replies", "classify", "--json", str(SAMPLES / "human" / "reply-ru.eml"))
    document = json.loads(said.out)
    assert document["kind"] == "human"
    assert "Ваше письмо получено" in document["text"]
    assert "Dear Minister" not in document["text"]


def test_an_acknowledgement_tells_its_case_beyond_the_keys(campaign: CommandLine) -> None:
    """Form and case stand behind the keys that others rely on."""
    said = campaign("replies", "classify", "--json", str(SAMPLES / "auto" / "received-en.eml"))
    document = json.loads(said.out)
    assert list(document) == [*KEYS, "form", "case"]
    assert (document["form"], document["case"]) == ("acknowledgement", "2026-UK-00871")


def test_words_for_people_say_why(campaign: CommandLine) -> None:
    """Kind, recipients, reasons, and a count at the end."""
    said = campaign("replies", "classify", str(SAMPLES / "bounce" / "qmail.eml"))
    assert "minister@ministry.example: 5.1.1 no such address, would be suppressed" in said.out
    assert "  because: the words are those of a bounce by qmail" in said.out
    assert said.out.splitlines()[-1] == "1 mail: 1 bounce"


def test_a_folder_is_all_its_mails(campaign: CommandLine) -> None:
    """Folders below it too, each mail with its path."""
    said = campaign("replies", "classify", "--json", str(SAMPLES / "complaint"), str(SAMPLES / "receipt"))
    documents = [json.loads(line) for line in said.out.splitlines()]
    assert {document["kind"] for document in documents} == {"complaint", "receipt"}
    assert documents[0]["source"] == str(SAMPLES / "complaint" / "arf-abuse.eml")


def test_a_maildir_is_its_new_and_cur(campaign: CommandLine, tmp_path: Path) -> None:
    """Not what is still being delivered (tmp), and nothing is moved."""
    box = tmp_path / "Maildir"
    for folder, name in (("new", "1.a"), ("cur", "2.b:2,S"), ("tmp", "3.c")):
        (box / folder).mkdir(parents=True)
        (box / folder / name).write_bytes(b"From: a@office.example\n\nhello\n")
    said = campaign("replies", "classify", "--json", str(box))
    sources = [json.loads(line)["source"] for line in said.out.splitlines()]
    assert sources == [str(box / "cur" / "2.b:2,S"), str(box / "new" / "1.a")]
    assert (box / "new" / "1.a").exists()


def test_standard_input_is_a_mail(campaign: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its source is "-"."""
    raw = (SAMPLES / "optout" / "word-ru.eml").read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(raw)))
    document = json.loads(campaign("replies", "classify", "--json", "-").out)
    assert (document["source"], document["kind"]) == ("-", "optout")


def test_a_path_that_is_not_there_is_exit_2(campaign: CommandLine) -> None:
    """With what may be given."""
    said = campaign("replies", "classify", "nowhere.eml")
    assert said.code == 2
    assert "nowhere.eml: No such file or directory" in said.err
    assert "a Maildir, an mbox" in said.err


def test_an_empty_folder_is_no_mail(campaign: CommandLine, tmp_path: Path) -> None:
    """And says what could be given."""
    said = campaign("replies", "classify", str(tmp_path))
    assert said.out.splitlines()[0] == "0 mails"


def test_escapes_in_a_mail_do_not_reach_the_terminal(campaign: CommandLine, tmp_path: Path) -> None:
    """A subject, an address or a reason may hold anything."""
    bad = tmp_path / "bad.eml"
    bad.write_bytes(
        b"From: MAILER-DAEMON@x.example\nReturn-Path: <>\nSubject: Undeliverable\n\n"
        b"Your message could not be delivered to <a\x1b]0;x\x07@office.example>: user unknown\n"
    )
    assert "\x1b" not in campaign("replies", "classify", str(bad)).out


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_an_mbox_is_split_at_its_from_lines(end: bytes) -> None:
    """Only behind an empty line; quoted ones lose one mark."""
    lines = [
        b"From a@office.example Mon Aug  3 10:12:00 2026",
        b"Subject: one",
        b"",
        b"From my desk, hello",
        b">From x",
        b"",
        b"From b@office.example Mon Aug  3 10:13:00 2026 +0200",
        b"Subject: two",
        b"",
        b">>From y",
        b"",
    ]
    mails = list(split(io.BytesIO(end.join(lines) + end)))
    assert len(mails) == 2
    assert mails[0].startswith(b"Subject: one")
    assert b"From my desk" in mails[0]
    assert end + b"From x" in mails[0]
    assert end + b">From y" in mails[1]


def test_a_mail_longer_than_is_read_is_cut_there() -> None:
    """So that it is called unreadable, and no memory is spent on the rest."""
    assert [len(raw) for raw in split(io.BytesIO(b"x: " + b"y" * 5_000), 1_000)] == [1_001]
    mbox = b"From a Mon Aug  3 10:12:00 2026\n" + b"line of text\n" * 1_000
    assert [len(raw) for raw in split(io.BytesIO(mbox), 1_000)] == [1_001]
