"""`campaign followup`: a second letter in the thread of the first, to nobody who answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from pipeline.clock import SystemClock
from tests.command_line import CONFIG, CommandLine
from tests.replies_campaign import REPLIES, Box, answer, bounce, sent_letters

NAMES = ("ada", "ben", "cleo", "dora", "egon", "fay")
ROWS = "email,name\n" + "".join(f"{name}@office.example,{name.title()}\n" for name in NAMES)
FOLLOWUP = """\
+++
subject = "Re: {{ recipient.earlier_subject }}"
+++
Dear {{ recipient.name }},

on {{ recipient.earlier_date }} we wrote to you, and have no answer.
"""


class Following:
    """A campaign whose six letters went into the sandbox; time is moved by hand."""

    def __init__(self, command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.command = command
        self._monkeypatch = monkeypatch
        self._started = datetime.now(UTC)
        command.write(rows=ROWS, config=CONFIG.replace('"en", "es"', '"en"') + REPLIES)
        (command.folder / "templates/letter.es.md").unlink()
        self.template = command.folder / "templates/followup.en.md"
        self.template.write_text(FOLLOWUP, "utf-8")
        self.box = Box(command.folder / "box")
        for name in ("new", "cur", "tmp"):
            (self.box.path / name).mkdir(parents=True)
        assert command("send").code == 0
        self.first = sent_letters(self.outbox)

    @property
    def outbox(self) -> Path:
        return self.command.folder / ".campaign/outbox"

    def days_pass(self, days: float) -> None:
        """Let it be so many days after the first letters."""
        then = self._started + timedelta(days=days)
        self._monkeypatch.setattr(SystemClock, "now", lambda self: then)

    def to(self, name: str) -> Message:
        """Return the first letter to somebody."""
        return self.first[f"{name}@office.example"]

    def draft(self) -> dict[str, int]:
        """Draft follow-ups fifteen days after the first letters; return who got none, and why."""
        self.days_pass(15)
        said = self.command("followup", "--after", "14d", "--json")
        assert said.code == 0, said
        found: dict[str, int] = said.json["left_out"]
        return found

    def second(self) -> dict[str, Message]:
        """Return the follow-ups that were sent."""
        every = [message for message in self._all() if message["In-Reply-To"]]
        return {str(one["To"]).rpartition("<")[2].rstrip(">"): one for one in every}

    def _all(self) -> list[Message]:
        return [message_from_bytes(path.read_bytes()) for path in self.outbox.glob("new/*")]


@pytest.fixture
def following(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Following:
    """Six letters sent."""
    return Following(CommandLine(tmp_path / "mayday", capsys, monkeypatch), monkeypatch)


def test_a_second_letter_is_in_the_thread_of_the_first(following: Following) -> None:
    """In-Reply-To, References, its own Message-ID, the subject with Re:, the day of the first."""
    following.draft()
    assert following.command("send").code == 0
    second = following.second()
    assert set(second) == set(following.first)
    for to, letter in second.items():
        first = following.first[to]
        assert letter["In-Reply-To"] == letter["References"] == first["Message-ID"]
        assert letter["Message-ID"] != first["Message-ID"]
        assert letter["Subject"] == f"Re: {first['Subject']}"
    part = second["ada@office.example"].get_payload()[0]  # type: ignore[index]
    assert isinstance(part, Message)
    assert f"on {datetime.now(UTC):%Y-%m-%d} we wrote" in str(part.get_payload())


def test_a_third_letter_names_both_before_it(following: Following) -> None:
    """Round 2: In-Reply-To the second, References the first and the second."""
    following.draft()
    following.command("send")
    second = following.second()["ada@office.example"]
    following.days_pass(20)
    assert following.command("followup", "--after", "14d", "--json").json["drafted"] == 0
    following.days_pass(40)
    assert following.command("followup", "--after", "14d", "--json").json["drafted"] == len(NAMES)
    following.command("send")
    first = following.to("ada")["Message-ID"]
    third = [
        str(one["References"]).split()
        for one in following._all()
        if one["In-Reply-To"] == second["Message-ID"]
    ]
    assert third == [[first, second["Message-ID"]]]


def test_only_those_who_did_not_truly_answer_get_one(following: Following) -> None:
    """A person answered, an address bounced, one opted out; an absence note is no answer."""
    box, letters = following.box, following
    box.put(answer(letters.to("ada"), "Thank you, we have raised the case with the ministry."))
    box.put(bounce(letters.to("ben"), "ben@office.example", "550 5.1.1 no such user"))
    box.put(answer(letters.to("cleo"), "No further letters, please."))
    box.put(answer(letters.to("dora"), "I am out of office until Monday.", Auto_Submitted="auto-replied"))
    left_out = following.draft()
    assert left_out["answered"] == 1
    assert left_out["bounced"] == 1
    assert sum(left_out.values()) == 3
    following.command("send")
    assert {to.partition("@")[0] for to in following.second()} == {"dora", "egon", "fay"}


def test_letters_not_sent_long_enough_ago_get_none(following: Following) -> None:
    """Thirteen days are not fourteen; and nobody gets two."""
    following.days_pass(13)
    assert following.command("followup", "--after", "14d", "--json").json["drafted"] == 0
    following.draft()
    assert following.command("followup", "--after", "14d", "--json").json["drafted"] == 0


def test_an_answer_before_it_goes_withdraws_a_follow_up(following: Following) -> None:
    """`run` and `send` see what came; the reason stands with the letter."""
    following.draft()
    following.box.put(answer(following.to("egon"), "We will look into it, and write to you again."))
    assert following.command("replies", "fetch").code == 0
    assert following.command("send").code == 0
    assert "egon@office.example" not in following.second()
    stories = following.command("show", "egon@office.example", "--json").json["letters"]
    assert [(story["round"], story["state"]) for story in stories] == [(0, "sent"), (1, "cancelled")]
    assert stories[1]["why"].startswith("answered (reply ")


def test_a_reply_that_a_person_must_look_at_holds_a_follow_up(following: Following) -> None:
    """Nobody knows which letter it answers: its author's follow-up stays planned, and is counted."""
    following.draft()
    following.box.put(
        answer(following.to("fay"), "We will see to it.", In_Reply_To="", Subject="another matter")
    )
    following.command("replies", "fetch")
    assert following.command("replies", "list", "--unmatched").out.count("Fay") == 1
    said = following.command("send")
    assert "1 follow-up held" in said.err
    assert set(following.first) - set(following.second()) == {"fay@office.example"}
    assert "a reply waits for a person" in following.command("show", "fay@office.example").out


def test_a_row_that_is_gone_withdraws_its_follow_up_and_back_again_plans_it(following: Following) -> None:
    """Planning the first letters leaves follow-ups alone whose rows are there."""
    following.draft()
    rows = following.command.folder / "recipients.csv"
    rows.write_text(ROWS.replace("ada@office.example,Ada\n", ""), "utf-8")
    assert following.command("plan", "--json").json["cancelled"] == 1
    states = [story["state"] for story in _stories(following, "ada")]
    assert states == ["sent", "cancelled"]
    assert [story["state"] for story in _stories(following, "ben")] == ["sent", "planned"]
    rows.write_text(ROWS, "utf-8")
    following.command("plan")
    assert [story["state"] for story in _stories(following, "ada")] == ["sent", "planned"]


def _stories(following: Following, name: str) -> list[dict[str, object]]:
    said = following.command("show", f"{name}@office.example", "--json").json
    found: list[dict[str, object]] = said["letters"]
    return found


def test_a_follow_up_is_made_from_todays_row(following: Following) -> None:
    """A name corrected after the first letter."""
    (following.command.folder / "recipients.csv").write_text(ROWS.replace("Ada", "Adah"), "utf-8")
    following.draft()
    following.command("send")
    assert "Adah" in str(following.second()["ada@office.example"]["To"])


def test_without_its_template_it_says_which_file_to_write(following: Following) -> None:
    """Exit 2, and nothing is drafted."""
    following.template.unlink()
    following.days_pass(15)
    said = following.command("followup", "--after", "14d")
    assert (said.code, "templates/followup.en.md" in said.err) == (2, True)
    assert following.command("status", "--json").json["letters"]["planned"] == 0


def test_check_reads_the_follow_ups_too(following: Following) -> None:
    """A misspelt column, with file and line."""
    following.template.write_text(FOLLOWUP.replace("recipient.name", "recipient.nmae"), "utf-8")
    said = following.command("check")
    assert said.code == 2
    assert "templates/followup.en.md:4:" in said.out


def test_preview_shows_a_follow_up_before_any_is_drafted(following: Following) -> None:
    """As it would be if the first letter had gone today: subject and day of that letter are in it."""
    shown = following.command("preview", "--followup", "ben@office.example")
    assert shown.code == 0
    assert f"Subject:  Re: {following.to('ben')['Subject']}\n" in shown.out
    assert f"on {datetime.now(UTC):%Y-%m-%d} we wrote to you, and have no answer." in shown.out
    assert "ada@" not in shown.out


def test_preview_writes_follow_ups_in_their_thread(following: Following) -> None:
    """As files for a mail program, every one of them."""
    out = following.command.folder / "to-read"
    assert following.command("preview", "--followup", "--out", str(out)).code == 0
    written = [message_from_bytes(path.read_bytes()) for path in sorted(out.iterdir())]
    assert len(written) == len(NAMES)
    assert all(one["In-Reply-To"] and one["Subject"].startswith("Re: ") for one in written)


def test_preview_says_which_follow_up_is_not_written(following: Following) -> None:
    """Nothing is shown that nobody would get."""
    following.template.unlink()
    (following.template.parent / "followup.es.md").write_text(FOLLOWUP, "utf-8")
    for words in ((), ("--json",), ("ben@office.example",)):
        refused = following.command("preview", "--followup", *words)
        assert refused.code == 2
        assert "templates/followup.en.md" in refused.out + refused.err


def test_a_time_that_is_none_is_refused(following: Following) -> None:
    """Exit 2."""
    for wrong in ("soon", "0d", "-1d", "14"):
        assert following.command("followup", f"--after={wrong}").code == 2


def test_a_dry_run_drafts_nothing(following: Following) -> None:
    """It says how many it would be."""
    following.days_pass(15)
    said = following.command("followup", "--after", "2w", "--dry-run", "--json").json
    assert (said["drafted"], said["dry_run"]) == (len(NAMES), True)
    assert following.command("status", "--json").json["letters"]["total"] == len(NAMES)


def test_follow_ups_go_through_the_approval_as_first_letters_do(following: Following) -> None:
    """Rendered, approved, sent as approved; a changed template refuses them."""
    following.draft()
    assert following.command("render", "--json").json["letters"] == len(NAMES)
    assert following.command("approve", "--by", "R. B.").code == 0
    following.template.write_text(FOLLOWUP.replace("have no answer", "heard nothing"), "utf-8")
    said = following.command("send")
    assert (said.code, "templates/followup.en.md" in said.err) == (2, True)
    assert following.second() == {}
    following.template.write_text(FOLLOWUP, "utf-8")
    assert following.command("send").code == 0
    assert len(following.second()) == len(NAMES)
