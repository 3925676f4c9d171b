"""`campaign send`: the question before it, what is chosen, what is said, and how it ends."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from pipeline.cli import dryrun
from pipeline.cli.place import Place
from pipeline.delivery import desk
from pipeline.delivery.desk import SendingDesk
from pipeline.delivery.letter import Parcel
from pipeline.delivery.sandbox import Outbox
from pipeline.delivery.verdict import Verdict
from pipeline.errors import StoreUnwritable
from pipeline.mail.response import Response
from tests.command_line import LIST, CommandLine, Terminal, accepted, relay_here

COMMITTEE = "Committee <letters@example.org>"


@pytest.fixture
def campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """A campaign of three letters to the sandbox."""
    command = CommandLine(tmp_path / "mayday", capsys, monkeypatch)
    command.write()
    return command


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal, once something is typed."""
    return Terminal(monkeypatch)


# -- the sandbox


def test_the_sandbox_asks_nothing_and_says_nothing_off_a_terminal(campaign: CommandLine) -> None:
    """Nothing leaves the machine, so nothing is confirmed; success is silent."""
    said = campaign("send")
    assert (said.code, said.out, said.err) == (0, "", "")
    assert accepted(campaign.folder / ".campaign/outbox") == 3


def test_a_second_send_sends_nothing(campaign: CommandLine) -> None:
    """Every send is a resume."""
    campaign("send")
    assert campaign("send").code == 0
    assert accepted(campaign.folder / ".campaign/outbox") == 3


def test_on_a_terminal_the_result_and_the_next_step_are_told(
    campaign: CommandLine, terminal: Terminal
) -> None:
    """What happened, where the letters are, what to do next."""
    terminal.looks()
    lines = campaign("send").out.splitlines()
    assert lines == [
        "May Day: sending through the sandbox: nothing leaves this machine",
        "3 letters filed in .campaign/outbox",
        "in all: 3 letters, 3 sent, 0 waiting",
        "Next: read them, say with `mutt -f .campaign/outbox`; to send for real, set relay.url",
    ]


def test_json_gives_a_line_for_each_letter_and_a_summary(campaign: CommandLine) -> None:
    """The last line is the contract other programs rely on."""
    said = campaign("send", "--json")
    assert [line["type"] for line in said.lines] == ["letter", "letter", "letter", "summary"]
    assert {line["state"] for line in said.lines[:3]} == {"sent"}
    assert said.lines[-1] == {
        "type": "summary",
        "schema": 1,
        "sent": 3,
        "failed": 0,
        "deferred": 0,
        "suppressed": 0,
        "in_doubt": 0,
        "remaining": 0,
        "exit": 0,
    }


def test_json_ends_with_a_summary_also_where_nothing_could_be_sent(campaign: CommandLine) -> None:
    """Bad data: the error with its problems, then the summary with the exit code."""
    campaign.write(rows=LIST + "nonsense,en,Nobody\n")
    said = campaign("send", "--json")
    assert said.code == 2
    assert [line["type"] for line in said.lines] == ["error", "summary"]
    assert said.lines[0]["problems"][0]["file"] == "recipients.csv"
    assert (said.lines[1]["sent"], said.lines[1]["remaining"], said.lines[1]["exit"]) == (0, 0, 2)


def test_a_summary_of_an_unreadable_campaign_claims_nothing(campaign: CommandLine) -> None:
    """Where even the configuration is wrong nobody knows what remains."""
    said = campaign("--set", "relay.url=nonsense", "send", "--json")
    assert said.code == 2
    assert (said.lines[-1]["remaining"], said.lines[-1]["in_doubt"]) == (None, None)


# -- what is chosen


def test_letters_put_off_do_not_count_for_the_limit(campaign: CommandLine) -> None:
    """They cannot go now; the next new one can, as the dry run says."""
    campaign.write(rows="email,name\nsandbox-defers@office.example,Ada\nben@office.example,Ben\n")
    campaign("send", "--limit", "1")
    assert len(campaign("send", "-n", "--limit", "1", "--json").json["would_send"]) == 1
    assert campaign("send", "--limit", "1", "--json").lines[-1]["sent"] == 1


def test_limit_sends_so_many_and_leaves_the_rest(campaign: CommandLine) -> None:
    """The rest waits for a later run: exit 3."""
    assert campaign("send", "--limit", "2").code == 3
    assert accepted(campaign.folder / ".campaign/outbox") == 2
    assert campaign("status", "--json").json["letters"]["planned"] == 1


def test_only_sends_to_that_address(campaign: CommandLine) -> None:
    """The address may be written in another case; one recipient gets a letter."""
    campaign("send", "--only", "BEN@Office.example")
    (letter,) = campaign("show", "ben@office.example", "--json").json["letters"]
    assert letter["state"] == "sent"
    assert accepted(campaign.folder / ".campaign/outbox") == 1


def test_only_refuses_an_address_nobody_has(campaign: CommandLine) -> None:
    """A slip must not look like success."""
    said = campaign("send", "--only", "nobody@office.example")
    assert said.code == 2
    assert "there is no letter to or of nobody@office.example" in said.err


def test_errors_name_no_other_recipient(campaign: CommandLine) -> None:
    """What is said about one address shows no other."""
    said = campaign("send", "--only", "nobody@office.example")
    assert not any(name in said.out + said.err for name in ("ada@", "ben@", "eva@"))


def test_skip_bad_lists_the_rows_it_leaves_out(campaign: CommandLine) -> None:
    """Left out is only what was shown."""
    campaign.write(rows=LIST + "nonsense,en,Nobody\n")
    said = campaign("send", "--skip-bad")
    assert said.code == 0
    assert "recipients.csv:5:1: error:" in said.err
    assert accepted(campaign.folder / ".campaign/outbox") == 3


def test_without_skip_bad_nothing_is_sent_and_the_way_out_is_named(campaign: CommandLine) -> None:
    """Any error in the data stops a send."""
    campaign.write(rows=LIST + "nonsense,en,Nobody\n")
    said = campaign("send")
    assert said.code == 2
    assert "--skip-bad" in said.err
    assert accepted(campaign.folder / ".campaign/outbox") == 0


def test_to_sends_a_marked_copy_for_each_language_and_counts_nothing(campaign: CommandLine) -> None:
    """Test copies are no letters."""
    said = campaign("send", "--to", "me@example.org", "--json")
    assert said.json == {"type": "test", "schema": 1, "to": "me@example.org", "sent": 2, "refused": []}
    texts = [path.read_text() for path in (campaign.folder / ".campaign/outbox/new").iterdir()]
    assert sorted(line for text in texts for line in text.splitlines() if line.startswith("Subject:")) == [
        "Subject: [TEST] To Ada",
        "Subject: [TEST] To Eva",
    ]
    assert all("\nTo: " in text and "me@example.org" in text for text in texts)
    assert campaign("status", "--json").json["letters"]["total"] == 0


def test_to_refuses_what_is_no_address(campaign: CommandLine) -> None:
    """Before anything is connected."""
    said = campaign("send", "--to", "me")
    assert (said.code, "give your own address" in said.err) == (2, True)


# -- the dry run


def test_the_dry_run_says_who_when_and_why_not(campaign: CommandLine) -> None:
    """One letter was sent, one address is suppressed, one letter would go."""
    campaign("send", "--limit", "1")
    campaign("suppress", "add", "eva@oficina.example")
    document = campaign("send", "--dry-run", "--json").json
    assert [letter["to"] for letter in document["would_send"]] == ["ben@office.example"]
    assert {letter["to"]: letter["why"].split(" (")[0] for letter in document["would_not_send"]} == {
        "ada@office.example": "sent already",
        "eva@oficina.example": "suppressed: not to be written to",
    }


def test_the_dry_run_knows_who_may_be_written_to_again(campaign: CommandLine) -> None:
    """As the send would."""
    campaign("suppress", "add", "eva@oficina.example")
    campaign("send")
    campaign("suppress", "remove", "eva@oficina.example")
    document = campaign("send", "--dry-run", "--json").json
    assert [letter["to"] for letter in document["would_send"]] == ["eva@oficina.example"]


def test_a_dry_run_of_a_long_list_shows_its_beginning_and_counts_the_rest(
    campaign: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In words and as JSON; nobody reads a million lines."""
    monkeypatch.setattr(dryrun, "MOST_SHOWN", 2)
    campaign("suppress", "add", "eva@oficina.example")
    more = "".join(f"a{number}@office.example,en,A\n" for number in range(3))
    campaign.write(rows=LIST + more)
    document = campaign("send", "--dry-run", "--json").json
    assert [one["to"] for one in document["would_send"]] == ["ada@office.example", "ben@office.example"]
    assert (document["would_send_more"], document["would_not_send_more"]) == (3, 0)
    said = campaign("send", "--dry-run").out
    assert "... and 3 more" in said
    assert "5 letters would go" in said


def test_the_dry_run_plans_nothing(campaign: CommandLine) -> None:
    """Its plan is taken back."""
    campaign("send", "--dry-run")
    assert campaign("status", "--json").json["letters"]["total"] == 0


def test_the_dry_run_follows_limit_and_only(campaign: CommandLine) -> None:
    """What the options leave out is not claimed."""
    assert len(campaign("send", "-n", "--limit", "1", "--json").json["would_send"]) == 1
    only = campaign("send", "-n", "--only", "eva@oficina.example", "--json").json
    assert [letter["to"] for letter in only["would_send"] + only["would_not_send"]] == ["eva@oficina.example"]


def test_the_dry_run_spaces_letters_by_the_pace_of_a_real_relay(campaign: CommandLine) -> None:
    """20/m is a letter every three seconds."""
    from datetime import datetime

    real = ("--set", "relay.url=smtp://127.0.0.1:1", "--set", "limits.relay=20/m")
    document = campaign(*real, "send", "--dry-run", "--json").json
    whens = [datetime.fromisoformat(letter["when"]) for letter in document["would_send"]]
    assert [(when - whens[0]).total_seconds() for when in whens] == [0, 3, 6]


def test_the_dry_run_counts_in_grammar(campaign: CommandLine) -> None:
    """One letter is a letter."""
    assert "\n1 letter would go through the sandbox" in campaign("send", "-n", "--limit", "1").out


def test_the_dry_run_tells_the_time_on_the_campaigns_clock(campaign: CommandLine) -> None:
    """As `show` does; UTC is for other programs."""
    campaign("send", "--limit", "1")
    said = campaign("--set", "campaign.timezone=Asia/Tokyo", "send", "--dry-run").out
    assert re.search(r"ada@office\.example +sent already \([-0-9]{10} [:0-9]{8} JST\)\n", said)


def test_the_dry_run_says_the_hours_as_they_are_written(campaign: CommandLine) -> None:
    """The words of campaign.toml, not the program's own."""
    hours = "Mon-Fri 09:00-17:00 recipient"
    real = ("--set", "relay.url=smtp://127.0.0.1:1", "--set", f"limits.hours={hours}")
    said = campaign(*real, "send", "--dry-run").out
    assert f"; limits: relay 600/s, per recipient 20/day, hours {hours}\n" in said


# -- the question before a real send


def test_a_real_send_shows_what_leaves_and_takes_the_number(
    campaign: CommandLine, terminal: Terminal, tmp_path: Path
) -> None:
    """Author, relay, letters per language, pace and end; then the number is typed."""
    with relay_here(tmp_path / "there") as url:
        terminal.types("3\n")
        said = campaign("--set", f"relay.url={url}", "send")
    shown = dict(line.split("  ", 1) for line in said.err.splitlines() if "  " in line)
    assert said.code == 0
    assert shown["From"].strip() == COMMITTEE
    assert shown["Relay"].strip() == url.removeprefix("smtp://")
    assert shown["Letters"].strip() == "3 new (en 2, es 1)"
    assert shown["Pace"].strip() == "relay 600/s, per recipient 20/day"
    assert shown["Done"].strip().endswith("UTC, if the relay keeps up")
    assert f"May Day: sending through {url.removeprefix('smtp://')}" in said.out
    assert accepted(tmp_path / "there") == 3


@pytest.mark.parametrize(
    ("typed", "code", "words"),
    [
        ("2\n", 2, "not confirmed; nothing was sent"),
        ("yes\n", 2, "not confirmed; nothing was sent"),
        ("\n", 2, "not confirmed; nothing was sent"),
        ("", 2, "not confirmed; nothing was sent"),
        ("^C", 130, "interrupted; nothing was sent"),
    ],
)
def test_anything_but_the_number_sends_nothing(
    campaign: CommandLine, terminal: Terminal, typed: str, code: int, words: str
) -> None:
    """A wrong number, a yes, nothing, the end of input, Ctrl-C."""
    terminal.types(typed)
    said = campaign("--set", "relay.url=smtp://127.0.0.1:1", "send")
    assert (said.code, words in said.err) == (code, True)
    status = campaign("--set", "relay.url=smtp://127.0.0.1:1", "status", "--json").json
    assert (status["letters"]["planned"], status["letters"]["queued"]) == (3, 0)


def test_nobody_there_and_no_yes_is_a_usage_error(campaign: CommandLine) -> None:
    """Cron must say `--yes`."""
    said = campaign("--set", "relay.url=smtp://127.0.0.1:1", "send")
    assert said.code == 2
    assert "3 letters would leave this machine, and nobody is here to confirm it" in said.err
    assert "--yes" in said.err


def test_yes_stands_for_the_number(campaign: CommandLine, tmp_path: Path) -> None:
    """And off a terminal success is silent."""
    with relay_here(tmp_path / "there") as url:
        said = campaign("--set", f"relay.url={url}", "send", "--yes")
    assert (said.code, said.out, said.err) == (0, "", "")
    assert accepted(tmp_path / "there") == 3


def test_the_number_leaves_out_who_is_suppressed_and_what_was_sent(
    campaign: CommandLine, terminal: Terminal, tmp_path: Path
) -> None:
    """What is typed is what would leave now."""
    with relay_here(tmp_path / "there") as url:
        real = ("--set", f"relay.url={url}")
        campaign(*real, "send", "--yes", "--limit", "1")
        campaign(*real, "suppress", "add", "eva@oficina.example")
        terminal.types("1\n")
        said = campaign(*real, "send")
    assert "1 new (en 1); 1 more suppressed" in said.err
    assert "Type 1 to send" in said.err
    assert accepted(tmp_path / "there") == 2


def test_letters_released_before_are_not_asked_about_again(
    campaign: CommandLine, terminal: Terminal, tmp_path: Path
) -> None:
    """They were confirmed; a send goes on with them."""
    nowhere = campaign("--set", "relay.url=smtp://127.0.0.1:1", "send", "--yes")
    assert nowhere.code == 3
    terminal.types("")
    with relay_here(tmp_path / "there") as url:
        assert campaign("--set", f"relay.url={url}", "send").code == 0
    assert accepted(tmp_path / "there") == 3


# -- how it ends


def test_a_pause_is_told_before_anything_is_asked_or_released(
    campaign: CommandLine, terminal: Terminal
) -> None:
    """Exit 3: the letters wait for a person's word."""
    campaign("pause", "--why", "a holiday")
    terminal.types("3\n")
    said = campaign("send")
    assert said.code == 3
    assert "stopped: all sending is paused: a holiday" in said.err
    assert campaign("status", "--json").json["letters"]["planned"] == 3


def test_a_refusal_for_good_is_exit_1(campaign: CommandLine) -> None:
    """The sandbox knows an address that does not exist."""
    campaign.write(rows="email,name\nsandbox-refuses@office.example,Nobody\n")
    assert campaign("send").code == 1


def test_a_lost_answer_is_exit_1_and_told(campaign: CommandLine) -> None:
    """Nobody can know; a person has to."""
    campaign.write(rows="email,name\nsandbox-drops@office.example,Nobody\n")
    said = campaign("send")
    assert said.code == 1
    assert "1 letter in doubt: nobody can know whether the relay took it" in said.err


def test_a_deferral_is_exit_3(campaign: CommandLine) -> None:
    """It waits for its time."""
    campaign.write(rows="email,name\nsandbox-defers@office.example,Somebody\n")
    said = campaign("send", "--json")
    assert (said.code, said.lines[-1]["deferred"], said.lines[-1]["remaining"]) == (3, 1, 1)


def test_now_tries_deferred_letters_at_once(campaign: CommandLine) -> None:
    """The sandbox defers once."""
    campaign.write(rows="email,name\nsandbox-defers@office.example,Somebody\n")
    campaign("send")
    assert campaign("send", "--now").code == 0


class _Full:
    """A relay whose quota is used up at first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refusals: int) -> None:
        self.left = refusals
        handle = Outbox.handle_DATA

        async def answer(outbox: Outbox, server: SMTP, session: Session, envelope: Envelope) -> str:
            if self.left:
                self.left -= 1
                return "550 5.4.5 Daily user sending limit exceeded"
            return await handle(outbox, server, session, envelope)

        monkeypatch.setattr(Outbox, "handle_DATA", answer)


def test_a_run_that_follows_waits_for_the_relays_own_quota(
    campaign: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says until when, and every letter goes; each once."""
    monkeypatch.setattr(desk, "QUOTA_PAUSE", timedelta(seconds=1))
    _Full(monkeypatch, 1)
    said = campaign("--set", "relay.connections=1", "send", "--follow")
    assert said.code == 0
    assert re.search(
        r"the relay is left alone until \d{4}-\d\d-\d\d .* UTC, then this goes on: its quota", said.err
    )
    assert accepted(campaign.folder / ".campaign/outbox") == 3


def test_a_run_that_follows_waits_for_a_relay_that_was_full_before(
    campaign: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another run was told holds for it, and it waits."""
    monkeypatch.setattr(desk, "QUOTA_PAUSE", timedelta(seconds=2))
    _Full(monkeypatch, 1)
    first = campaign("--set", "relay.connections=1", "send")
    assert first.code == 3
    assert "next try after" in first.err
    said = campaign("send", "--follow")
    assert said.code == 0
    assert "then this goes on" in said.err
    assert accepted(campaign.folder / ".campaign/outbox") == 3


def test_a_relay_that_is_away_leaves_the_letters_queued(campaign: CommandLine) -> None:
    """Exit 3, and in JSON a line says why."""
    said = campaign("--set", "relay.url=smtp://127.0.0.1:1", "send", "--yes", "--json")
    assert said.code == 3
    assert [line["type"] for line in said.lines] == ["stop", "summary"]
    assert said.lines[-1]["remaining"] == 3


# -- a store that fails in the middle of a run


def store_of(campaign: CommandLine) -> sqlite3.Connection:
    """Open the sandbox's store, made where there is none."""
    world = Place(campaign.folder).open_world()
    world.close()
    return sqlite3.connect(world.campaign.path)


@pytest.mark.parametrize("also", ["", "CREATE TRIGGER runs BEFORE UPDATE ON runs BEGIN {fail} END"])
def test_fault_18_what_was_accepted_and_not_recorded_is_told(
    campaign: CommandLine, monkeypatch: pytest.MonkeyPatch, also: str
) -> None:
    """The store takes no result any more: each letter is named on stderr, exit 6, also without a summary."""
    monkeypatch.setattr("pipeline.store.journal.RETRY_WAITS_S", (0.01,))
    fail = "SELECT RAISE(FAIL, 'database or disk is full');"
    with closing(store_of(campaign)) as store:
        store.execute(f"CREATE TRIGGER results BEFORE UPDATE OF ended_at ON attempts BEGIN {fail} END")
        store.execute(also.format(fail=fail))
    said = campaign("send")
    taken = accepted(campaign.folder / ".campaign/outbox")
    assert said.code == 6
    assert taken > 0
    assert said.err.count("NOT RECORDED: letter ") == taken
    assert "the next run will find it in doubt" in said.err


def test_what_was_answered_is_recorded_whatever_ends_the_run(
    campaign: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shared store fails under one connection: exit 6; the others finish, and no letter is in doubt."""

    def full(desk: SendingDesk, parcel: Parcel, verdict: Verdict, response: Response) -> bool:
        raise StoreUnwritable("the shared store cannot be written")

    with monkeypatch.context() as broken:
        broken.setattr(SendingDesk, "_affect_run", full)
        said = campaign("send")
    assert (said.code, "the shared store cannot be written" in said.err) == (6, True)
    letters = campaign("status", "--json").json["letters"]
    assert letters["sent"] == accepted(campaign.folder / ".campaign/outbox") > 0
    assert campaign("run").code == 0
    assert campaign("status", "--json").json["letters"]["in_doubt"] == 0


def test_what_was_answered_is_recorded_also_when_the_program_is_at_fault(
    campaign: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of our own behind an accepted letter: told, and the letter is sent."""

    def faulty(desk: SendingDesk, parcel: Parcel, verdict: Verdict, response: Response) -> bool:
        raise RuntimeError("a fault")

    monkeypatch.setattr(SendingDesk, "_affect_run", faulty)
    assert campaign("--set", "relay.connections=1", "send").code != 0
    assert accepted(campaign.folder / ".campaign/outbox") == 1
    assert campaign("status", "--json").json["letters"]["sent"] == 1
