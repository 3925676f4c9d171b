"""What `--help` says, how mistakes on the command line are told, and what is loaded for it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import PRECEDENCE
from tests.command_line import CommandLine

COMMON = ("--json", "--verbose", "-v", "--quiet", "-q", "--help", "-h")
COMMANDS = {  # DESIGN.md, section 6, as far as it is built
    "init": ("DIR",),
    "check": ("--online", "--strict"),
    "preview": ("WHO", "--out", "--open", "--language", "--side-by-side"),
    "approve": ("--by", "--translation"),
    "send": (
        "--dry-run",
        "--limit",
        "--only",
        "--to",
        "--yes",
        "--follow",
        "--now",
        "--skip-bad",
    ),
    "run": ("--print-cron",),
    "status": ("--watch",),
    "show": ("WHO",),
    "resolve": ("WHO", "--sent", "--resend"),
    "resend": ("WHO",),
    "pause": (),
    "resume": (),
    "cancel": ("WHO",),
    "replies classify": (),
    "suppress list": (),
    "suppress add": (),
    "suppress remove": ("--why",),
}


@pytest.fixture
def campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """The command, in an empty folder."""
    return CommandLine(tmp_path / "empty", capsys, monkeypatch)


def test_the_exit_codes_of_help_are_those_of_the_program(campaign: CommandLine) -> None:
    """All of them, a line each, in the order in which the first that applies wins."""
    table = campaign("--help").out.split("Exit codes, the first that applies:\n")[1]
    rows = [re.fullmatch(r" +(\d+)  (\S.*)", line) for line in table.splitlines()]
    assert [int(row[1]) for row in rows if row] == [int(code) for code in PRECEDENCE]
    assert None not in rows


@pytest.mark.parametrize("columns", ["80", "130"])
def test_no_line_of_the_command_list_is_cut(
    campaign: CommandLine, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    """Each command is told in words that fit."""
    monkeypatch.setenv("COLUMNS", columns)
    for text in (
        campaign("--help").out,
        campaign("suppress", "--help").out,
        campaign("replies", "--help").out,
    ):
        commands = text.split("Commands:\n")[1].split("\n\n")[0].splitlines()
        assert [line for line in commands if line.endswith("...") or len(line) > int(columns)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_flag_of_the_design_has_its_name(campaign: CommandLine, command: str) -> None:
    """They are relied upon by scripts and papers."""
    said = campaign(*command.split(), "--help")
    words = set(re.findall(r"[\w-]+", said.out))
    assert said.code == 0
    assert {*COMMON, *COMMANDS[command]} - words == set()


def test_the_top_level_takes_a_folder_and_overrides(campaign: CommandLine) -> None:
    """As the design names them."""
    assert {"-C", "--set", "--version", "-h"} <= set(re.findall(r"[\w-]+", campaign("--help").out))


def test_version_names_the_program_and_its_version(campaign: CommandLine) -> None:
    """One line."""
    assert re.fullmatch(r"campaign \d+\.\d+\.\d+\n", campaign("--version").out)


def test_alone_in_an_empty_folder_it_shows_the_help(campaign: CommandLine) -> None:
    """A new user types the name first."""
    said = campaign()
    assert (said.code, "Commands:" in said.out) == (0, True)


def test_alone_in_a_campaign_it_shows_the_status(campaign: CommandLine) -> None:
    """What everybody wants to know first."""
    campaign.write()
    assert campaign().out.startswith("May Day  (the sandbox: nothing leaves this machine)\n")


def test_a_folder_that_is_not_there_is_named(campaign: CommandLine) -> None:
    """Also without a command, where the help would hide the slip."""
    for arguments in (("-C", "nowhere"), ("-C", "nowhere", "status")):
        said = campaign(*arguments)
        assert (said.code, "there is no campaign.toml in nowhere" in said.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("sned",), "no such command 'sned'. Did you mean 'send'?"),
        (("send", "--dryrun"), "--dry-run"),
        (("send", "--limit", "0"), "--limit"),
        (("send", "--limit", "many"), "--limit"),
        (("show",), "missing argument"),
        (("suppress",), "missing command"),
        (("status", "extra"), "extra"),
    ],
)
def test_a_mistake_on_the_command_line_is_two_lines_and_exit_2(
    campaign: CommandLine, arguments: tuple[str, ...], words: str
) -> None:
    """What is wrong, and where help is; nothing on stdout."""
    said = campaign(*arguments)
    first, second = said.err.splitlines()
    assert (said.code, said.out) == (2, "")
    assert first.startswith("error: ")
    assert words in first
    assert re.fullmatch(r" help: `campaign.* --help` shows what there is", second)


def test_a_mistake_is_json_where_json_is_asked_for(campaign: CommandLine) -> None:
    """A program that reads stdout finds the error there."""
    said = campaign("send", "--json", "--dryrun")
    assert said.json["type"] == "error"
    assert (said.json["exit"], said.code, said.err) == (2, 2, "")


# -- what is loaded

# For addresses that are not plain, for others' domains, mailboxes, tables on the terminal.
SELDOM = {"email_validator", "dns", "imapclient", "rich.console", "pipeline.cli.replies"}
AT_SERVER = ("sqlalchemy.dialects.postgresql", "psycopg", "procrastinate", "pipeline.store.planning_beside")


def _loaded(*arguments: str, folder: Path) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after a command."""
    code = (
        "import sys, json; from pipeline.cli import invoke; import io, contextlib\n"
        "with contextlib.redirect_stdout(io.StringIO()): invoke(sys.argv[1:])\n"
        "print(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "XDG_DATA_HOME": str(folder.parent / "data")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(json.loads(done.stdout))


def test_help_loads_nothing_heavy(campaign: CommandLine) -> None:
    """Start-up time is a promise."""
    heavy = {"sqlalchemy", "aiosmtplib", "aiosmtpd", "jinja2", "pydantic", "markdown_it", "dns", "rich"}
    assert heavy & _loaded("--help", folder=campaign.folder) == set()


def test_check_loads_nothing_that_speaks_to_relays(campaign: CommandLine) -> None:
    """It writes letters, and sends none."""
    campaign.write()
    heavy = {"aiosmtplib", "tenacity", "pipeline.delivery.connect", *SELDOM}
    assert heavy & _loaded("check", folder=campaign.folder) == set()


def test_status_loads_neither_templates_nor_mail(campaign: CommandLine) -> None:
    """It reads the configuration and the store."""
    campaign.write()
    heavy = {"aiosmtplib", "aiosmtpd", "jinja2", "markdown_it", "tenacity", "pipeline.cli.send", *SELDOM}
    assert heavy & _loaded("status", folder=campaign.folder) == set()


def test_a_send_from_a_file_loads_nothing_for_a_server_and_nothing_seldom(campaign: CommandLine) -> None:
    """What only several hosts need costs a campaign with a file nothing, nor does what few campaigns need."""
    campaign.write()
    loaded = _loaded("send", "--yes", folder=campaign.folder)
    assert "pipeline.store.fence" in loaded
    assert SELDOM & loaded == set()
    assert {name for name in loaded if name.startswith(AT_SERVER)} == set()


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("status", "-C", "."), "it stands before the command: `campaign -C ... status`"),
        (
            ("suppress", "list", "--set", "a=b"),
            "it stands before the command: `campaign --set ... suppress list`",
        ),
        (("-q", "status"), "it stands behind the command: `campaign status -q`"),
        (("--json", "status"), "it stands behind the command: `campaign status --json`"),
    ],
)
def test_an_option_on_the_wrong_side_of_the_command_is_told_its_place(
    campaign: CommandLine, arguments: tuple[str, ...], hint: str
) -> None:
    """The option exists; that help does not list it would not help."""
    said = campaign(*arguments)
    assert said.code == 2
    assert hint in said.err + said.out
