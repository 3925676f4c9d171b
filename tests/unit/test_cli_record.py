"""`campaign record`: a letter from a supporter's own mailbox counts, and is never sent by us."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import CONFIG, CommandLine
from tests.unit.test_cli_documents import KEYS, _fits, _shape
from tests.unit.test_cli_signatories import ROWS, SIGNED, TEMPLATE, pairs, sent, states

OWN = """\
From: Ada Venn <Ada@home.example>
To: Mia <mia@office.example>
Subject: My own letter
Date: Mon, 02 Nov 2026 10:00:00 +0100
Message-ID: <own.1@home.example>

Dear Mia,

in my own words, from my own mailbox: release them, all eleven of them, before the winter comes.
"""
RECORD = ("record", "own.eml", "--to", "mia@office.example", "--from", "ada@home.example")


@pytest.fixture
def campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """A campaign with two signatories and two recipients; Ada has sent one letter herself."""
    command = CommandLine(tmp_path / "mayday", capsys, monkeypatch)
    command.write(rows=ROWS, template=TEMPLATE)
    (command.folder / "signatories.csv").write_text(SIGNED, "utf-8")
    (command.folder / "own.eml").write_text(OWN, "utf-8")
    return command


def wait(campaign: CommandLine) -> None:
    """Queue all letters, and send none: the relay is held by a limit."""
    held = CONFIG.replace('per_recipient = "20/day"', 'day = "1/day"\nin_sandbox = true')
    (campaign.folder / "campaign.toml").write_text(held, "utf-8")
    assert campaign("send", "--only", "bo@home.example").code == 3
    (campaign.folder / "campaign.toml").write_text(CONFIG, "utf-8")


def test_it_counts_and_is_never_sent_by_us(campaign: CommandLine) -> None:
    """Before anything was planned: the pair has its letter, the other three go."""
    assert campaign(*RECORD).code == 0
    assert campaign("send").code == 0
    assert campaign("send").code == 0
    assert states(campaign) == {"sent": 4}
    assert pairs(campaign)[("Ada", "Mia")] == 0
    assert len(sent(campaign)) == 3


def test_a_letter_that_waited_becomes_this_one(campaign: CommandLine) -> None:
    """Planned or queued: it is not sent any more."""
    wait(campaign)
    said = campaign(*RECORD, "--json").json
    assert said["was"] == "planned"
    campaign("send")
    assert states(campaign) == {"sent": 4}
    assert pairs(campaign)[("Ada", "Mia")] == 0


def test_the_sandbox_is_another_world_and_says_so(campaign: CommandLine) -> None:
    """Nothing recorded there counts for a real relay."""
    assert "note: this is the sandbox" in campaign(*RECORD).err
    assert campaign("--set", "relay.url=smtp://127.0.0.1:9", "status", "--json").json["letters"]["total"] == 0


def test_it_says_so_wherever_the_letter_is_shown(campaign: CommandLine) -> None:
    """In status, in show, with the file it came from."""
    campaign(*RECORD)
    shown = campaign("show", "ada@home.example").out
    assert "sent: recorded: sent by the supporter, as own.eml shows" in shown
    assert "from own.eml: sent by the supporter" in shown
    assert "Message-ID <own.1@home.example>" in shown
    assert "1 of them by supporters themselves" in campaign("status").out
    assert campaign("status", "--json").json["recorded"] == 1


@pytest.mark.parametrize("record_first", [True, False])
def test_a_letter_that_was_sent_is_not_replaced(campaign: CommandLine, record_first: bool) -> None:
    """The recipient has had it; and the same mail twice is one letter."""
    if record_first:
        campaign(*RECORD)
        said = campaign(*RECORD)
        assert (said.code, "recorded already: it is letter 1" in said.out) == (0, True)
        assert campaign("status", "--json").json["recorded"] == 1
        return
    campaign("send")
    said = campaign(*RECORD)
    assert said.code == 2
    assert "nothing was recorded: letter 1 is sent" in said.err
    assert campaign("status", "--json").json["recorded"] == 0


def test_a_letter_in_doubt_is_not_replaced(campaign: CommandLine) -> None:
    """Nobody knows whether the recipient has it."""
    rows = "email,language,name\nsandbox-drops@office.example,en,Mia\n"
    (campaign.folder / "recipients.csv").write_text(rows, "utf-8")
    campaign("send", "--only", "ada@home.example")
    own = OWN.replace("mia@office.example", "sandbox-drops@office.example")
    (campaign.folder / "own.eml").write_text(own, "utf-8")
    said = campaign(*RECORD[:3], "sandbox-drops@office.example", *RECORD[4:])
    assert said.code == 2
    assert "is in_doubt" in said.err
    assert "campaign resolve" in said.err


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Ada@home.example", "somebody@home.example", "own.eml is from somebody@home.example, not from ada@"),
        (
            "To: Mia <mia@office.example>",
            "To: tom@office.example",
            "own.eml did not go to mia@office.example",
        ),
        ("From: Ada Venn <Ada@home.example>\n", "", "it has no From"),
    ],
)
def test_another_mail_is_refused(campaign: CommandLine, old: str, new: str, words: str) -> None:
    """The file must be that letter; nothing is written down."""
    (campaign.folder / "own.eml").write_text(OWN.replace(old, new), "utf-8")
    said = campaign(*RECORD)
    assert said.code == 2
    assert words in said.err
    assert states(campaign) == {}


def test_the_operator_may_say_that_it_is_the_letter_all_the_same(campaign: CommandLine) -> None:
    """Sent from another mailbox of hers."""
    (campaign.folder / "own.eml").write_text(OWN.replace("Ada@home", "ada@work"), "utf-8")
    assert campaign(*RECORD, "--anyway").code == 0
    assert states(campaign) == {"sent": 1}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "who@office.example", "--from", "ada@home.example"), "nobody in recipients.csv has"),
        (("--to", "mia@office.example", "--from", "eva@home.example"), "nobody in signatories.csv has"),
        (("--to", "nonsense", "--from", "ada@home.example"), "--to: "),
    ],
)
def test_both_must_be_in_the_lists(campaign: CommandLine, arguments: tuple[str, ...], words: str) -> None:
    """Whoever signs has agreed, and it is known to whom it went."""
    said = campaign("record", "own.eml", *arguments)
    assert said.code == 2
    assert words in said.err


def test_one_mail_is_one_letter(campaign: CommandLine) -> None:
    """The same Message-ID for another pair is a mistake."""
    campaign(*RECORD)
    said = campaign(
        "record", "own.eml", "--to", "tom@office.example", "--from", "bo@home.example", "--anyway"
    )
    assert said.code == 2
    assert "this mail was recorded before as letter 1" in said.err


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 5_000,
        b"From: ada@home.example\r\nTo: mia@office.example\r\n" + b"X: y\r\n" * 200_000,
        b"From: ada@home.example\nTo: mia@office.example\nMessage-ID: <a@b>\r\nDATA\nDate: never\n\n.\n",
        b"From: ada@home.example\nTo: mia@office.example\nContent-Type: multipart/mixed; boundary=x\n\n"
        + b"--x\nContent-Type: multipart/mixed; boundary=x\n\n" * 2_000,
    ],
)
def test_a_hostile_file_is_refused_or_recorded_and_harms_nothing(
    campaign: CommandLine, content: bytes
) -> None:
    """No traceback, whatever it is; the states add up."""
    (campaign.folder / "own.eml").write_bytes(content)
    said = campaign(*RECORD)
    assert said.code in (0, 2)
    assert "Traceback" not in said.err
    assert "a fault of this program" not in said.err
    assert sum(states(campaign).values()) == (said.code == 0)


def test_answers_find_it_by_its_message_id(campaign: CommandLine) -> None:
    """The office answered Ada, who passed it on: it lies beside her letter."""
    campaign(*RECORD)
    campaign("send")
    box = campaign.folder / "box"
    for name in ("cur", "new", "tmp"):
        (box / name).mkdir(parents=True)
    (box / "new" / "1").write_text(
        "From: Mia <mia@office.example>\nTo: letters@example.org\nSubject: Re: My own letter\n"
        "Date: Tue, 03 Nov 2026 10:00:00 +0100\nMessage-ID: <re.1@office.example>\n"
        "In-Reply-To: <own.1@home.example>\n\nThank you, we have passed it on to the minister.\n",
        "utf-8",
    )
    campaign("--set", "replies.mailbox=maildir:box", "replies", "fetch")
    (letter,) = [one for one in campaign("show", "1", "--json").json["letters"] if one["replies"]]
    assert letter["message_id"] == "<own.1@home.example>"


def test_what_it_says_as_json_has_its_keys(campaign: CommandLine) -> None:
    """For other programs."""
    assert _fits(_shape(campaign(*RECORD, "--json").json), KEYS["record"])
