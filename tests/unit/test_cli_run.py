"""`campaign run`: made for cron. Silent, unless something needs a person, and then once."""

from __future__ import annotations

import configparser
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.place import Place
from pipeline.cli.schedule import cron_line
from pipeline.store.lock import RunLock
from pipeline.store.world import World
from tests.command_line import LIST, CommandLine, Terminal, accepted

AUTO_RELEASE = ("--set", "campaign.auto_release=true")


@pytest.fixture
def campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """A campaign of three letters to the sandbox."""
    command = CommandLine(tmp_path / "mayday", capsys, monkeypatch)
    command.write()
    return command


def _world(campaign: CommandLine) -> World:
    return Place(campaign.folder).open_world()


# -- what it sends


def test_it_sends_only_what_was_released(campaign: CommandLine) -> None:
    """A row that was added is not sent by cron."""
    campaign("send", "--limit", "1")
    assert campaign("run").code == 0
    assert accepted(campaign.folder / ".campaign/outbox") == 1


def test_it_sends_what_is_queued_and_says_nothing(campaign: CommandLine) -> None:
    """Silence is what cron's user wants."""
    campaign("cancel", "--yes")
    campaign("send")
    campaign("resend", "all")
    said = campaign("run")
    assert (said.code, said.out, said.err) == (0, "", "")
    assert accepted(campaign.folder / ".campaign/outbox") == 3


def test_a_deferral_is_nobodys_business(campaign: CommandLine) -> None:
    """What remains only waits: exit 0."""
    campaign.write(rows="email,name\nsandbox-defers@office.example,Somebody\n")
    said = campaign(*AUTO_RELEASE, "run")
    assert (said.code, said.err) == (0, "")
    assert campaign("status", "--json").json["letters"]["queued"] == 1


def test_a_pause_is_nobodys_business(campaign: CommandLine) -> None:
    """Whoever paused knows."""
    campaign("pause")
    said = campaign(*AUTO_RELEASE, "run")
    assert (said.code, said.err) == (0, "")


# -- what needs a person, once


def test_new_letters_are_told_once(campaign: CommandLine) -> None:
    """And once more when there are more of them."""
    first, second = campaign("run"), campaign("run")
    assert (first.code, first.err) == (0, "3 new letters wait for `campaign send`\n")
    assert (second.code, second.err) == (0, "")
    campaign.write(rows=LIST + "zoe@office.example,en,Zoe\n")
    assert campaign("run").err == "4 new letters wait for `campaign send`\n"


def test_one_new_letter_waits(campaign: CommandLine) -> None:
    """In grammar."""
    campaign.write(rows="email,name\nada@office.example,Ada\n")
    assert campaign("run").err == "1 new letter waits for `campaign send`\n"


def test_a_doubt_is_told_once_with_exit_1(campaign: CommandLine) -> None:
    """Then it stands in `status`, and cron is quiet."""
    campaign.write(rows="email,name\nsandbox-drops@office.example,Nobody\n")
    first, second = campaign(*AUTO_RELEASE, "run"), campaign("run")
    assert first.code == 1
    assert first.err.startswith("1 letter in doubt: nobody can know whether the relay took it")
    assert (second.code, second.err) == (0, "")


def test_a_doubt_that_was_settled_and_comes_again_is_told_again(campaign: CommandLine) -> None:
    """It is another one."""
    campaign.write(rows="email,name\nsandbox-drops@office.example,Nobody\n")
    campaign(*AUTO_RELEASE, "run")
    campaign("resolve", "all", "--sent")
    campaign("run")
    campaign.write(rows="email,name\nsandbox-drops@ministry.example,Nobody\n")
    assert campaign(*AUTO_RELEASE, "run").code == 1


def test_a_doubt_that_takes_the_place_of_another_is_told(campaign: CommandLine) -> None:
    """As many as before, and not the same: settled and come again between two runs, or by the next one."""
    campaign.write(rows="email,name\nsandbox-drops@office.example,Nobody\n")
    campaign(*AUTO_RELEASE, "run")
    campaign("resolve", "all", "--resend")
    again = campaign("run")
    assert (again.code, again.err.startswith("1 letter in doubt")) == (1, True)
    assert campaign("run").code == 0


def test_a_refusal_for_good_is_told_with_exit_1(campaign: CommandLine) -> None:
    """In the run in which it happened."""
    campaign.write(rows="email,name\nsandbox-refuses@office.example,Nobody\n")
    first, second = campaign(*AUTO_RELEASE, "run"), campaign("run")
    assert (first.code, first.err) == (1, "1 letter refused for good: `campaign status`\n")
    assert (second.code, second.err) == (0, "")


def test_bad_data_is_told_with_exit_2(campaign: CommandLine) -> None:
    """Nothing is sent until it is mended."""
    campaign.write(rows=LIST + "nonsense,en,Nobody\n")
    said = campaign(*AUTO_RELEASE, "run")
    assert (said.code, "recipients.csv:5:1: error:" in said.err) == (2, True)


# -- another run at work


def test_another_run_is_no_news(campaign: CommandLine) -> None:
    """Cron starts the next one while a long one is at work: exit 0, silent; -v says why."""
    world = _world(campaign)
    with RunLock(world.lock_path, since="now"):
        said = campaign("run")
        loud = campaign("run", "-v")
        summary = campaign("run", "--json").lines[-1]
    world.close()
    assert (said.code, said.out, said.err) == (0, "", "")
    assert (loud.code, "another run holds this campaign" in loud.err) == (0, True)
    assert (summary["type"], summary["exit"]) == ("summary", 0)


# -- the crontab line


def test_the_crontab_line_works_as_it_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """cron turns \\% into % and gives the rest to sh, with hardly any environment and in another folder."""
    campaign = CommandLine(tmp_path / '100% it\'s "ours" $HOME', capsys, monkeypatch)
    campaign.write()
    name = ("--set", "campaign.name=May % Day")
    line = campaign(*AUTO_RELEASE, *name, "run", "--print-cron", "--json").json["crontab"]
    times, command = line.split(" * * * * ", 1)
    done = subprocess.run(
        ["/bin/sh", "-c", command.replace(r"\%", "%")],
        cwd="/",
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert times == "*/10"
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert accepted(campaign.folder / ".campaign/outbox") == 3


def test_no_percent_sign_of_a_crontab_line_is_bare() -> None:
    """A bare one would end the command."""
    assert cron_line(["a%b"], "/100%") == r"XDG_DATA_HOME=/100\% a\%b"


def test_the_usual_data_folder_is_not_named(campaign: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one that cron would not find by itself."""
    monkeypatch.delenv("XDG_DATA_HOME")
    assert "XDG_DATA_HOME" not in campaign("run", "--print-cron").out


def test_the_service_is_quoted_as_systemd_reads_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """% and $ are doubled; words with blanks stand in double quotes (systemd.service(5))."""
    campaign = CommandLine(tmp_path / '100% it\'s "ours" $HOME', capsys, monkeypatch)
    campaign.write()
    unit = configparser.RawConfigParser(comment_prefixes=("#",), strict=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(campaign("run", "--print-cron", "--json").json["service"])
    start = unit["Service"]["ExecStart"]
    assert f'-C "{tmp_path}/100%% it\'s \\"ours\\" $$HOME" run' in start
    words = shlex.split(start.replace("%%", "%").replace("$$", "$"))
    assert words[-3:] == ["-C", str(campaign.folder), "run"]


def test_the_timer_and_the_service_are_units(campaign: CommandLine) -> None:
    """Both parse; the timer repeats every ten minutes."""
    document = campaign("run", "--print-cron", "--json").json
    for name in ("service", "timer"):
        unit = configparser.RawConfigParser(comment_prefixes=("#",))
        unit.read_string(document[name])
        if name == "timer":
            assert unit["Timer"]["OnCalendar"] == "*:0/10"


def test_the_schedule_starts_this_program(campaign: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was started: the script where there is one, else this Python."""
    monkeypatch.setattr(sys, "argv", ["/opt/venv/bin/campaign"])
    assert "/opt/venv/bin/campaign -C" in campaign("run", "--print-cron", "--json").json["crontab"]
    monkeypatch.setattr(sys, "argv", ["/somewhere/pipeline/__main__.py"])
    assert f"{sys.executable} -m pipeline -C" in campaign("run", "--print-cron", "--json").json["crontab"]


def test_a_path_with_a_line_break_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could add a line to the crontab."""
    campaign = CommandLine(tmp_path / "a\nb", capsys, monkeypatch)
    campaign.write()
    said = campaign("run", "--print-cron")
    assert (said.code, said.out) == (2, "")


def test_on_a_terminal_run_tells_what_it_did(campaign: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody is looking."""
    Terminal(monkeypatch).looks()
    assert "3 letters filed in" in campaign(*AUTO_RELEASE, "run").out


def test_a_letter_whose_suppression_was_lifted_waits_for_a_send(campaign: CommandLine) -> None:
    """`run` plans it again and does not send it; a `send` does."""
    campaign("suppress", "add", "ada@office.example")
    campaign("send")
    assert campaign("status", "--json").json["letters"]["suppressed"] == 1
    campaign("suppress", "remove", "ada@office.example", "--why", "asked for it")
    campaign("run")
    assert campaign("status", "--json").json["letters"]["planned"] == 1
    campaign("send")
    assert campaign("status", "--json").json["letters"]["sent"] == 3
