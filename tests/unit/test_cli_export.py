"""`campaign export --evidence` and `campaign verify`: what was sent and came back, as one file."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import zipfile
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import CONFIG, LIST, CommandLine
from tests.replies_campaign import REPLIES, Box, answer, bounce, sent_letters
from tests.unit.test_cli_record import OWN
from tests.unit.test_cli_signatories import SIGNED

ROWS = LIST + "sandbox-refuses@office.example,en,Rex\nsandbox-drops@office.example,en,Dina\n"
RETURNS = CONFIG.replace('timezone = "UTC"', 'timezone = "UTC"\nreturn_path = "letters+{token}@example.org"')


@pytest.fixture
def campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """Letters sent, refused and in doubt; an answer and a notice came back, and a mail that answers none."""
    command = CommandLine(tmp_path / "mayday", capsys, monkeypatch)
    command.write(rows=ROWS, config=RETURNS + REPLIES)
    command("send")
    letters = sent_letters(command.folder / ".campaign/outbox")
    box = Box(command.folder / "box")
    box.put(answer(letters["ada@office.example"], "Thank you, we shall look into it.\n\nAda"))
    box.put(bounce(letters["ben@office.example"], "ben@office.example", "550 5.1.1 no such user"))
    box.put("From: a friend <friend@home.example>\nSubject: dinner\n\nSee you on Friday.\n")
    command("replies", "fetch")
    command("pause", "--why", "a hearing today")
    return command


def export(campaign: CommandLine, who: str, *more: str) -> dict[str, Any]:
    """Export; return what was said."""
    said = campaign("export", "--evidence", who, "--json", *more)
    assert said.code == 0, said.err
    document: dict[str, Any] = said.json
    return document


def entries(path: Path) -> dict[str, bytes]:
    """Return what is in a file."""
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def letter_of(campaign: CommandLine, address: str) -> dict[str, Any]:
    """Return letter.json of the letter to an address."""
    document = export(campaign, address, "--out", f"{address}.zip")
    found = entries(campaign.folder / document["file"])
    (name,) = (name for name in found if name.endswith("letter.json"))
    letter: dict[str, Any] = json.loads(found[name])
    return letter


# -- what is in it


def test_the_evidence_of_a_letter_holds_the_octets_that_went_out(campaign: CommandLine) -> None:
    """Those the relay filed; their hash stands in letter.json."""
    found = entries(campaign.folder / export(campaign, "ada@office.example")["file"])
    (sent,) = (content for name, content in found.items() if name.endswith("sent.eml"))
    filed = sent_letters(campaign.folder / ".campaign/outbox")["ada@office.example"]
    del filed["Return-Path"], filed["Delivered-To"]
    assert sent.replace(b"\r\n", b"\n") == filed.as_bytes()
    assert message_from_bytes(sent)["Message-ID"] == letter_of(campaign, "ada@office.example")["message_id"]


def test_the_answer_of_the_relay_is_told_with_time_code_and_queue_id(campaign: CommandLine) -> None:
    """As the relay gave it; codes of RFC 3463 apart."""
    (attempt,) = letter_of(campaign, "ada@office.example")["attempts"]
    said = attempt["response"]
    assert (said["code"], said["enhanced"]) == (250, "2.0.0")
    assert said["whole"] == f"250 2.0.0 filed as {said['queue_id']}"
    assert attempt["permitted_at"] <= attempt["ended_at"]


def test_a_refusal_and_a_doubt_are_told_as_they_were(campaign: CommandLine) -> None:
    """A refused letter was never permitted to go out; nobody answered for one in doubt."""
    refused = letter_of(campaign, "sandbox-refuses@office.example")
    assert (refused["state"], refused["message"]["bytes"]) == ("failed", "kept")
    assert refused["attempts"][0]["response"]["whole"].startswith("550 5.1.1 ")
    assert refused["attempts"][0]["response"]["queue_id"] is None
    doubt = letter_of(campaign, "sandbox-drops@office.example")
    assert (doubt["state"], doubt["attempts"][0]["response"]) == ("in_doubt", None)


def test_mails_that_came_back_are_in_it_as_they_were_fetched(campaign: CommandLine) -> None:
    """Reply and notice, each with what was made of it."""
    found = entries(campaign.folder / export(campaign, "all")["file"])
    raw = [path.read_bytes() for path in (campaign.folder / "box/new").iterdir()]
    mails = [content for name, content in found.items() if "/replies/" in name and name.endswith(".eml")]
    assert len(mails) == 2
    assert all(mail in raw for mail in mails)
    about = [json.loads(found[name]) for name in found if "/replies/" in name and name.endswith(".json")]
    assert {(one["kind"], one["bytes"]) for one in about} == {("human", "whole"), ("bounce", "whole")}


def test_a_mail_that_answers_no_letter_is_nobodys_business(campaign: CommandLine) -> None:
    """It may be a private one in the same mailbox; that there was one is said."""
    found = entries(campaign.folder / export(campaign, "all")["file"])
    assert not any(b"Friday" in content for content in found.values())
    assert json.loads(found["about.json"])["mails_of_no_letter_left_out"] == 1


def test_no_secret_and_no_row_is_in_it(campaign: CommandLine) -> None:
    """The keys of Message-IDs, return paths and suppressions; cells that a letter did not use."""
    campaign.write(rows=ROWS.replace("name\n", "name,note\n").replace(",Ada", ",Ada,rude on the phone"))
    campaign("resume")
    campaign("send")
    found = b"".join(entries(campaign.folder / export(campaign, "all")["file"]).values())
    store = sqlite3.connect(campaign.folder / ".campaign/sandbox.db")
    secrets = [value for (value,) in store.execute("SELECT value FROM meta WHERE name = 'secret'")]
    secrets += [value for (value,) in store.execute("SELECT value FROM shared_meta WHERE name = 'secret'")]
    tokens = [line for line in found.splitlines() if b"letters+" in line]
    store.close()
    assert len(secrets) == 2
    assert not [secret for secret in secrets if secret.encode() in found]
    assert b"rude on the phone" not in found
    assert tokens == []


def test_the_timeline_tells_everything_in_order(campaign: CommandLine) -> None:
    """Letters, attempts, replies, runs and what a person decided."""
    lines = entries(campaign.folder / export(campaign, "all")["file"])["timeline.txt"].decode().splitlines()
    moments = [line.partition("  ")[0] for line in lines[3:]]
    assert moments == sorted(moments)
    told = "\n".join(lines)
    for words in (
        "campaign: run 1 begins: send, by ",
        "letter 1: planned, to ada@office.example",
        "letter 1: attempt 1 permitted, through sandbox",
        "letter 1: attempt 1 ended at DOT: accepted: 250 2.0.0 filed as ",
        "(bounce) from Mail Delivery System <MAILER-DAEMON@mx.office.example>",
        "(human) from Ada <ada@office.example>: Re: To Ada",
        "campaign: paused: a hearing today",
    ):
        assert words in told, words


def test_the_file_of_one_letter_tells_of_no_other(campaign: CommandLine) -> None:
    """It can be given to somebody whom the others do not concern."""
    found = b"".join(entries(campaign.folder / export(campaign, "ada@office.example")["file"]).values())
    assert b"ada@office.example" in found
    assert b"ben@office.example" not in found


def test_a_letter_has_three_names(campaign: CommandLine) -> None:
    """Number, Message-ID and address give the same file."""
    letter = letter_of(campaign, "ada@office.example")
    names = ("ada@office.example", str(letter["letter"]), letter["message_id"])
    heads = {export(campaign, who, "--out", f"by-{index}.zip")["head"] for index, who in enumerate(names)}
    assert len(heads) == 1


def test_where_no_bytes_are_kept_the_hash_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the file says why."""
    command = CommandLine(tmp_path / "bare", capsys, monkeypatch)
    command.write(config=CONFIG + "\n[store]\nbytes = false\n")
    command("send")
    found = entries(command.folder / export(command, "ada@office.example")["file"])
    assert not [name for name in found if name.endswith("sent.eml")]
    message = json.loads(found["letters/000000001/letter.json"])["message"]
    assert message["bytes"] == "not kept: [store] bytes is false"
    assert len(message["sha256"]) == 64


def test_bytes_that_are_not_those_that_were_sent_are_told(campaign: CommandLine) -> None:
    """A store that was tampered with, or is damaged, does not pass for evidence."""
    store = sqlite3.connect(campaign.folder / ".campaign/sandbox.db")
    store.execute("UPDATE contents SET start = start + 1 WHERE letter = 1")
    store.commit()
    store.close()
    said = campaign("export", "--evidence", "1", "--json")
    assert said.code == 1
    assert said.json["problems"] == ["letter 1: its bytes in the store are not those that were sent"]
    said = campaign("export", "--evidence", "1", "--out", "again.zip")
    assert "not those that were sent" in said.err


def test_what_cannot_be_unpacked_is_told_and_the_rest_is_exported(campaign: CommandLine) -> None:
    """A damaged store is no reason to have no evidence at all."""
    store = sqlite3.connect(campaign.folder / ".campaign/sandbox.db")
    store.execute("UPDATE mails SET raw = x'00'")
    store.execute("UPDATE bundles SET packed = x'00'")
    store.commit()
    store.close()
    said = campaign("export", "--evidence", "all", "--json")
    assert said.code == 1
    assert any(
        problem.startswith("reply 1: the mail in the store is damaged") for problem in said.json["problems"]
    )
    assert any(problem.startswith("letter 1: its bytes") for problem in said.json["problems"])
    assert campaign("verify", said.json["file"]).code == 0


# -- the file


def test_the_same_store_gives_the_same_bytes(campaign: CommandLine) -> None:
    """Whenever it is asked."""
    files = [export(campaign, "all", "--out", name)["file"] for name in ("one.zip", "two.zip")]
    first, second = ((campaign.folder / name).read_bytes() for name in files)
    assert first == second


def test_what_is_exported_verifies(campaign: CommandLine) -> None:
    """With the head that was printed."""
    document = export(campaign, "all")
    said = campaign("verify", document["file"], "--head", document["head"], "--json")
    assert said.code == 0
    assert said.json["ok"]
    assert (said.json["head"], said.json["entries"]) == (document["head"], document["entries"])


def test_a_flipped_byte_of_a_letter_is_named(campaign: CommandLine) -> None:
    """With the entry it is in; exit code 1."""
    path = campaign.folder / export(campaign, "ada@office.example")["file"]
    raw = path.read_bytes()
    place = raw.index(b"release them")
    path.write_bytes(raw[:place] + b"R" + raw[place + 1 :])
    said = campaign("verify", path.name)
    assert said.code == 1
    assert "error: letters/000000001/sent.eml: its content is not what its checksum says" in said.err
    assert campaign("verify", path.name, "--json").json["problems"][0]["entry"].endswith("sent.eml")


def test_flipped_bytes_of_a_real_file_are_found(campaign: CommandLine) -> None:
    """From the first octet to the last; of a smaller file each one is tried."""
    import io

    from pipeline.report.verification import verify

    raw = (campaign.folder / export(campaign, "ada@office.example")["file"]).read_bytes()
    unseen = [
        place
        for place in range(0, len(raw), 11)
        if verify(io.BytesIO(raw[:place] + bytes([raw[place] ^ 0x10]) + raw[place + 1 :])).ok
    ]
    assert unseen == []


def test_the_file_is_for_its_owner_only(campaign: CommandLine) -> None:
    """It holds what people wrote."""
    path = campaign.folder / export(campaign, "all")["file"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_evidence_is_never_written_over(campaign: CommandLine) -> None:
    """Its head may have been noted."""
    document = export(campaign, "all")
    said = campaign("export", "--evidence", "all")
    assert said.code == 2
    assert "is there already" in said.err
    assert campaign("verify", document["file"], "--head", document["head"]).code == 0


def test_nothing_is_left_where_it_cannot_be_written(campaign: CommandLine) -> None:
    """No half of a file."""
    before = sorted(campaign.folder.iterdir())
    said = campaign("export", "--evidence", "all", "--out", "no/such/folder/x.zip")
    assert (said.code, "cannot be written" in said.err) == (1, True)
    assert sorted(campaign.folder.iterdir()) == before


def test_nothing_is_left_of_an_interrupted_export(
    campaign: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    before = sorted(campaign.folder.iterdir())
    monkeypatch.setattr("pipeline.report.evidence.write_tail", interrupted)
    assert campaign("export", "--evidence", "all").code == 130
    assert sorted(campaign.folder.iterdir()) == before


# -- mistakes


def test_nobody_by_that_name(campaign: CommandLine) -> None:
    """Says what could be given."""
    said = campaign("export", "--evidence", "nobody@office.example")
    assert said.code == 2
    assert "there is no letter to nobody@office.example" in said.err


def test_nothing_is_asked_for(campaign: CommandLine) -> None:
    """Says what there is."""
    said = campaign("export")
    assert said.code == 2
    assert "--evidence" in said.err


@pytest.mark.parametrize(
    "make",
    [
        lambda path: None,
        lambda path: path.mkdir(),
        os.mkfifo,
    ],
    ids=["missing", "folder", "pipe"],
)
def test_what_is_no_file_is_not_read(campaign: CommandLine, make: Callable[[Path], None]) -> None:
    """A pipe would keep it waiting."""
    make(campaign.folder / "x.zip")
    assert campaign("verify", "x.zip").code == 2


def test_another_zip_is_no_evidence(campaign: CommandLine) -> None:
    """Said in a line."""
    with zipfile.ZipFile(campaign.folder / "holiday.zip", "w") as packed:
        packed.writestr("photo.jpg", b"sea")
    said = campaign("verify", "holiday.zip")
    assert said.code == 1
    assert said.err.count("\n") <= 3


def test_a_letter_that_a_supporter_sent_is_told_as_such(campaign: CommandLine) -> None:
    """With the copy that was recorded, and no attempt of ours."""
    (campaign.folder / "signatories.csv").write_text(SIGNED, "utf-8")
    (campaign.folder / "own.eml").write_text(OWN.replace("mia@office", "ada@office"), "utf-8")
    said = campaign("record", "own.eml", "--to", "ada@office.example", "--from", "ada@home.example")
    assert said.code == 0, said.err
    number = campaign("show", "<own.1@home.example>", "--json").json["letters"][0]["id"]
    found = entries(campaign.folder / export(campaign, str(number))["file"])
    letter = json.loads(found[f"letters/{number:09d}/letter.json"])
    assert (letter["sent_by_a_supporter"], letter["attempts"], letter["state"]) == (True, [], "sent")
    assert b"in my own words" in found[f"letters/{number:09d}/sent.eml"]
    assert not letter_of(campaign, "1")["sent_by_a_supporter"]


def test_who_approved_a_letter_is_told_with_the_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the bytes that went are those."""
    command = CommandLine(tmp_path / "read", capsys, monkeypatch)
    command.write()
    assert command("render").code == 0
    assert command("approve", "--by", "Ann").code == 0
    command("send")
    found = entries(command.folder / export(command, "ada@office.example")["file"])
    letter = json.loads(found["letters/000000001/letter.json"])
    assert letter["approved"]["by"] == "Ann"
    assert letter["approved"]["sha256"] == letter["message"]["sha256"]
