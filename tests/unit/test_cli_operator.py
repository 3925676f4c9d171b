"""What a person looks at and decides: init, preview, show, status, resolve, resend, cancel, suppress."""

from __future__ import annotations

import email
import email.policy
import re
import tomllib
from pathlib import Path

import pytest

from tests.command_line import LIST, CommandLine, Terminal, accepted

ONE_OF_EACH = "email,name\n" + "".join(
    f"{name}@office.example,{name}\n"
    for name in ("ada", "sandbox-drops", "sandbox-defers", "sandbox-refuses")
)


@pytest.fixture
def campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """A campaign of three letters to the sandbox."""
    command = CommandLine(tmp_path / "mayday", capsys, monkeypatch)
    command.write()
    return command


@pytest.fixture
def sent(campaign: CommandLine) -> CommandLine:
    """A campaign with a letter sent, one in doubt, one deferred, one failed."""
    campaign.write(rows=ONE_OF_EACH)
    campaign("send")
    return campaign


def _state(campaign: CommandLine, name: str) -> str:
    (letter,) = campaign("show", f"{name}@office.example", "--json").json["letters"]
    return str(letter["state"])


# -- init


def test_init_writes_a_campaign_that_sends_as_it_stands(campaign: CommandLine) -> None:
    """Into the sandbox, without an account."""
    said = campaign("init", "new")
    assert said.code == 0
    assert campaign("-C", "new", "check", "--strict").code == 0
    assert campaign("-C", "new", "send").code == 0
    assert accepted(campaign.folder / "new/.campaign/outbox") == 1


def test_init_gives_each_campaign_a_key_of_its_own(campaign: CommandLine) -> None:
    """The key is chance, not the name: two folders of one name are two campaigns."""
    keys = []
    for folder in ("one/May Day!", "two/May Day!"):
        campaign("init", folder)
        keys.append(
            tomllib.loads((campaign.folder / folder / "campaign.toml").read_text())["campaign"]["key"]
        )
    assert keys[0] != keys[1]
    assert all(re.fullmatch(r"may-day-[0-9a-f]{6}", key) for key in keys)


@pytest.mark.parametrize("there", ["campaign.toml", "recipients.csv", "templates/letter.en.md"])
def test_init_never_overwrites(campaign: CommandLine, there: str) -> None:
    """One file that is there, and nothing is written."""
    path = campaign.folder / "new" / there
    path.parent.mkdir(parents=True)
    path.write_text("mine", "utf-8")
    said = campaign("init", "new")
    assert (said.code, there in said.err) == (2, True)
    assert path.read_text() == "mine"
    assert [file.name for file in (campaign.folder / "new").rglob("*") if file.is_file()] == [path.name]


def test_init_follows_the_folder_option(campaign: CommandLine) -> None:
    """`-C DIR init` is `init DIR`."""
    assert campaign("-C", "new", "init").code == 0
    assert (campaign.folder / "new/campaign.toml").exists()


# -- preview


def test_preview_shows_the_first_letter_of_each_language(campaign: CommandLine) -> None:
    """In the order of campaign.languages, as the reader sees it."""
    said = campaign("preview")
    assert re.findall(r"^To: +(.*)$", said.out, re.MULTILINE) == [
        "Ada <ada@office.example>",
        "Eva <eva@oficina.example>",
    ]
    assert "Subject:  To Ada\n\nDear Ada,\n\nplease release them.\n" in said.out


def test_preview_finds_an_address_and_a_language(campaign: CommandLine) -> None:
    """However the address is written."""
    assert "To Ben" in campaign("preview", "BEN@office.example").out
    assert "To Eva" in campaign("preview", "es").out


def test_preview_of_nobody_names_the_languages(campaign: CommandLine) -> None:
    """And nobody else's address."""
    said = campaign("preview", "nobody@office.example")
    assert (said.code, "en, es" in said.err, "ada@" in said.err) == (2, True, False)


def test_preview_writes_messages_that_parse(campaign: CommandLine) -> None:
    """Every letter, as bytes a mail program opens."""
    assert campaign("preview", "--out", "letters").code == 0
    paths = sorted((campaign.folder / "letters").glob("*.eml"))
    messages = [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in paths]
    assert [message["To"].addresses[0].addr_spec for message in messages] == [
        "ada@office.example",
        "ben@office.example",
        "eva@oficina.example",
    ]
    assert [message.defects for message in messages] == [[], [], []]
    body = messages[0].get_body(("plain",))
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == "Dear Ada,\n\nplease release them.\n"


def test_preview_leaves_no_trace_in_the_store(campaign: CommandLine) -> None:
    """It shows; nothing is planned."""
    campaign("preview")
    assert not (campaign.folder / ".campaign").exists()


def test_preview_shows_control_characters_as_escapes(campaign: CommandLine) -> None:
    """A template cannot write to the terminal; what cannot be sent is no letter."""
    campaign.write(template='+++\nsubject = "To {{ recipient.name }}"\n+++\nA \u202e turn.\n')
    assert "\u202e" not in campaign("preview").out


# -- show and status


def test_show_tells_every_attempt_and_answer(sent: CommandLine) -> None:
    """What the server said, at which phase, by which relay."""
    said = sent("show", "sandbox-refuses@office.example")
    assert "failed: 550 5.1.1 no such user here (this is the sandbox)" in said.out
    assert re.search(r"attempt 1 .* at RCPT: 550 5\.1\.1 .* \(sandbox\)", said.out)


def test_show_finds_a_letter_by_number_and_message_id(sent: CommandLine) -> None:
    """With and without the angle brackets."""
    (letter,) = sent("show", "1", "--json").json["letters"]
    for name in (letter["message_id"], letter["message_id"].strip("<>")):
        assert sent("show", name, "--json").json["letters"][0]["id"] == 1


def test_show_of_nobody_names_the_world(sent: CommandLine) -> None:
    """It may have been sent in the other one."""
    said = sent("show", "nobody@office.example")
    assert (said.code, "in this world (sandbox)" in said.err, "ada@" in said.err) == (2, True, False)


def test_status_names_the_world_and_what_needs_a_person(sent: CommandLine) -> None:
    """Counts, a doubt, a failure."""
    said = sent("status")
    assert said.out.splitlines()[0] == "May Day  (the sandbox: nothing leaves this machine)"
    assert re.search(r"^ +1  .*  sent: filed in the outbox$", said.out, re.MULTILINE)
    assert re.search(r"^ +1  .*  queued, 1 of them due later$", said.out, re.MULTILINE)
    assert "! in doubt: sandbox-drops@office.example" in said.out
    assert "! failed: sandbox-refuses@office.example: 550 5.1.1" in said.out


def test_status_of_the_real_world_knows_nothing_of_the_sandbox(sent: CommandLine) -> None:
    """Another relay, another store."""
    said = sent("--set", "relay.url=smtp://127.0.0.1:1", "status", "--json")
    assert (said.json["world"], said.json["letters"]["total"]) == ("real", 0)


def test_status_does_not_list_a_thousand_failures(campaign: CommandLine) -> None:
    """Ten, and how many more."""
    rows = "".join(f"sandbox-refuses@office{number}.example,Nobody\n" for number in range(12))
    campaign.write(rows="email,name\n" + rows)
    campaign("send")
    notes = [line for line in campaign("status").out.splitlines() if line.startswith("! failed")]
    failed = campaign("status", "--json").json["letters"]["failed"]  # ten in a row stop the run: 11 or 12
    assert failed > 10
    assert (len(notes), notes[-1]) == (11, f"! failed: and {failed - 10} more")


def test_watch_wants_a_terminal(campaign: CommandLine) -> None:
    """It draws."""
    assert campaign("status", "--watch").code == 2


# -- resolve, resend, cancel


def test_resolve_lists_what_can_be_looked_for(sent: CommandLine) -> None:
    """Relay, time and Message-ID."""
    said = sent("resolve")
    assert re.search(r"^letter 2 to sandbox-drops@office\.example\n  handed to sandbox at ", said.out)
    assert re.search(r"^  Message-ID <\S+@example\.org>$", said.out, re.MULTILINE)


def test_resolve_tells_the_time_on_the_campaigns_clock(sent: CommandLine) -> None:
    """As `show` does; UTC is for other programs."""
    said = sent("--set", "campaign.timezone=Asia/Tokyo", "resolve")
    assert re.search(r"  handed to sandbox at [-0-9]{10} [:0-9]{8} JST\n", said.out)


def test_resolve_settles_as_sent(sent: CommandLine) -> None:
    """The operator knows."""
    assert sent("resolve", "--sent", "2", "--why", "in the relay's log").out == "1 letter settled as sent\n"
    assert _state(sent, "sandbox-drops") == "sent"


def test_resolve_sends_the_same_bytes_again(sent: CommandLine) -> None:
    """Queued, with its hash as it was."""
    (before,) = sent("show", "2", "--json").json["letters"]
    sent("resolve", "--resend", "all")
    (after,) = sent("show", "2", "--json").json["letters"]
    assert (after["state"], after["sha256"]) == ("queued", before["sha256"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("--sent", "--resend", "2"),
        ("--sent",),
        ("2",),
        ("--sent", "1"),
        ("--sent", "nobody@office.example"),
    ],
)
def test_resolve_guesses_nothing(sent: CommandLine, arguments: tuple[str, ...]) -> None:
    """Contradictions, no letter, no verdict, a letter that is not in doubt."""
    assert sent("resolve", *arguments).code == 2
    assert _state(sent, "sandbox-drops") == "in_doubt"


def test_a_name_that_fits_nothing_stops_the_whole_decision(sent: CommandLine) -> None:
    """A slip in one of several names is not passed over in silence."""
    said = sent("cancel", "sandbox-defers@office.example", "ada@office.example")
    assert (said.code, "ada@office.example" in said.err) == (2, True)
    assert _state(sent, "sandbox-defers") == "queued"


def test_resend_takes_failed_letters_and_no_sent_ones(sent: CommandLine) -> None:
    """What was accepted is never sent again."""
    assert sent("resend", "sandbox-refuses@office.example").out == "1 letter queued again\n"
    assert sent("resend", "ada@office.example").code == 2
    assert _state(sent, "ada") == "sent"


def test_resend_says_which_letters_will_not_go_all_the_same(sent: CommandLine) -> None:
    """What the relay called unknown was suppressed as well; a deferred letter that was withdrawn was not."""
    sent("cancel", "sandbox-defers@office.example")
    key = "sandbox-refuses@office.example"
    said = sent("resend", "all")
    assert said.out == "2 letters queued again\n"
    assert said.err == f"{key} is suppressed and gets no letter before `campaign suppress remove {key}`\n"


def test_cancel_takes_back_what_waits(sent: CommandLine) -> None:
    """With the reason kept."""
    sent("cancel", "sandbox-defers@office.example", "--why", "the office has closed")
    (letter,) = sent("show", "sandbox-defers@office.example", "--json").json["letters"]
    assert (letter["state"], letter["why"]) == ("cancelled", "the office has closed")


@pytest.mark.parametrize(
    ("typed", "code", "left"), [("yes\n", 0, 0), ("no\n", 2, 1), ("", 2, 1), ("^C", 130, 1)]
)
def test_cancel_of_all_asks(
    sent: CommandLine, monkeypatch: pytest.MonkeyPatch, typed: str, code: int, left: int
) -> None:
    """Everything that waits is much."""
    Terminal(monkeypatch).types(typed)
    assert sent("cancel").code == code
    assert sent("status", "--json").json["letters"]["queued"] == left


def test_cancel_of_all_off_a_terminal_needs_yes(sent: CommandLine) -> None:
    """Nobody is there to ask."""
    assert sent("cancel").code == 2
    assert sent("cancel", "--yes").out == "1 letter withdrawn\n"


# -- pause


def test_a_pause_holds_until_resume(campaign: CommandLine) -> None:
    """And says why."""
    campaign("pause", "--why", "a holiday")
    assert campaign("send").code == 3
    assert "! all sending is paused: a holiday" in campaign("status").out
    campaign("resume")
    assert campaign("send").code == 0


# -- suppressions


def test_a_suppressed_address_gets_no_letter(campaign: CommandLine) -> None:
    """Whatever its case; the letter says why."""
    campaign("suppress", "add", "ADA@office.example", "--why", "asked on the phone")
    campaign("send")
    assert _state(campaign, "ada") == "suppressed"
    assert accepted(campaign.folder / ".campaign/outbox") == 2


def test_an_opt_out_in_the_sandbox_is_not_taken_for_a_real_one(campaign: CommandLine) -> None:
    """The sandbox has a list of its own, and says so; the list for real relays has nothing to add."""
    real = ("--set", "relay.url=smtp://127.0.0.1:1")
    words = "this is the sandbox's own list: it does not hold for a real relay"
    assert words in campaign("suppress", "add", "ada@office.example", "--opted-out").err
    assert words in campaign("suppress", "list").err
    assert campaign(*real, "suppress", "list", "--json").json["suppressions"] == []
    assert campaign(*real, "suppress", "add", "ada@office.example", "--opted-out").err == ""
    assert campaign(*real, "suppress", "list").err == ""


def test_an_opt_out_is_lifted_with_a_reason_only(campaign: CommandLine) -> None:
    """Its owner's word stands until somebody says how they know better."""
    campaign("suppress", "add", "ada@office.example", "--opted-out")
    refused = campaign("suppress", "remove", "ada@office.example")
    assert (refused.code, "--why" in refused.err) == (2, True)
    assert campaign("suppress", "list", "--json").json["suppressions"][0]["reason"] == "optout"
    assert campaign("suppress", "remove", "ada@office.example", "--why", "she wrote again").code == 0
    assert campaign("suppress", "list", "--json").json["suppressions"] == []


def test_the_operators_own_entry_is_lifted_without(campaign: CommandLine) -> None:
    """Nobody's wish is overruled."""
    campaign("suppress", "add", "ada@office.example")
    assert campaign("suppress", "remove", "ada@office.example").code == 0


def test_an_entry_keeps_its_first_reason(campaign: CommandLine) -> None:
    """An opt-out does not become a mere note of the operator."""
    campaign("suppress", "add", "ada@office.example", "--opted-out")
    assert campaign("suppress", "add", "ada@office.example").out == "suppressed already\n"
    assert campaign("suppress", "list", "--json").json["suppressions"][0]["reason"] == "optout"


def test_removing_nobody_is_an_error(campaign: CommandLine) -> None:
    """A slip in the address must not look like success."""
    campaign("suppress", "add", "ada@office.example")
    said = campaign("suppress", "remove", "adda@office.example")
    assert (said.code, "ada@office.example" in said.err.replace("adda@", "")) == (2, False)


def test_one_address_that_is_none_adds_nobody(campaign: CommandLine) -> None:
    """All or none."""
    assert campaign("suppress", "add", "ada@office.example", "nonsense").code == 2
    assert campaign("suppress", "list", "--json").json["suppressions"] == []


def test_the_list_is_what_was_written(campaign: CommandLine) -> None:
    """The fixture's three rows."""
    assert campaign("check", "--json").json["letters"] == LIST.count("\n") - 1
