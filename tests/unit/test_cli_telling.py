"""How commands speak: streams that fail, terminals of all kinds, tables, and faults of the program itself."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import invoke, telling
from pipeline.cli.status import status
from pipeline.delivery.supply import Progress
from tests.clocks import START
from tests.command_line import CommandLine, Terminal

CANARY = "canary@secret.example"


@pytest.fixture
def campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """A campaign of three letters to the sandbox."""
    command = CommandLine(tmp_path / "mayday", capsys, monkeypatch)
    command.write()
    return command


def _shell(campaign: CommandLine, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of sh in the campaign's folder; $CAMPAIGN is the command."""
    return subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", line],
        cwd=campaign.folder,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(campaign.folder.parent),
            "CAMPAIGN": f"{sys.executable} -m pipeline",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


# -- streams that fail


def test_a_reader_who_leaves_changes_nothing(campaign: CommandLine) -> None:
    """`| head -1` gets its line; the letters are sent and the exit code is the send's."""
    done = _shell(campaign, "$CAMPAIGN send --json | head -n 1")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["state"] == "sent"
    assert len(list((campaign.folder / ".campaign/outbox/new").iterdir())) == 3


def test_results_that_cannot_be_written_are_told(campaign: CommandLine) -> None:
    """A full disk is no success, and no reason for a traceback."""
    done = _shell(campaign, "$CAMPAIGN check > /dev/full")
    assert done.returncode == 1
    assert done.stderr == "error: the results cannot be written: No space left on device\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_place_for_the_store(campaign: CommandLine, closed: str) -> None:
    """Its number must not become the database's: words would be written into it."""
    done = _shell(campaign, f"$CAMPAIGN send {closed} && $CAMPAIGN status --json")
    assert json.loads(done.stdout)["letters"]["sent"] == 3


def test_another_encoding_gets_escapes_and_valid_json(campaign: CommandLine) -> None:
    """A terminal without our letters shows their numbers."""
    campaign.write(rows="email,name\nada@office.example,Ада\n")
    shown = _shell(campaign, "$CAMPAIGN preview", PYTHONIOENCODING="ascii")
    assert (shown.returncode, "\\u0410\\u0434\\u0430" in shown.stdout) == (0, True)
    document = _shell(campaign, "$CAMPAIGN preview --json", PYTHONIOENCODING="ascii").stdout
    assert "Ада" in json.loads(document)["letters"][0]["text"]


# -- colours


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colours_need_a_terminal_that_wants_them(
    monkeypatch: pytest.MonkeyPatch,
    campaign: CommandLine,
    environment: dict[str, str],
    coloured: bool,
) -> None:
    """NO_COLOR counts when it is not empty (no-color.org); a dumb terminal has none."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    Terminal(monkeypatch).looks()
    assert ("\x1b[" in campaign("status").out) is coloured


def test_off_a_terminal_there_are_no_colours_and_no_next_step(campaign: CommandLine) -> None:
    """Other programs read it."""
    said = campaign("status")
    assert ("\x1b" in said.out, "Next:" in said.out) == (False, False)


NEXT = [
    ("check",),
    ("preview",),
    ("preview", "--out", "letters"),
    ("send", "--dry-run"),
    ("send",),
    ("send", "--to", "me@example.org"),
    ("status",),
    ("show", "ada@office.example"),
    ("resolve",),
    ("pause",),
    ("resume",),
    ("suppress", "list"),
    ("suppress", "add", "eva@oficina.example"),
    ("suppress", "list"),
    ("suppress", "remove", "eva@oficina.example"),
    ("cancel", "--yes"),
    ("run", "--print-cron"),
]


def test_every_command_ends_with_what_to_do_next(
    campaign: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line, on a terminal."""
    Terminal(monkeypatch).looks()
    last = {" ".join(line): campaign(*line).out.rstrip().splitlines()[-1] for line in NEXT}
    assert {line: words for line, words in last.items() if not words.startswith("Next: ")} == {}


# -- words


@pytest.mark.parametrize(
    ("number", "word", "words"),
    [
        (0, "letter", "0 letters"),
        (1, "letter", "1 letter"),
        (2, "letter", "2 letters"),
        (1, "address", "1 address"),
        (2, "address", "2 addresses"),
    ],
)
def test_numbers_are_grammatical(number: int, word: str, words: str) -> None:
    """1 letter, 2 letters."""
    assert telling.counted(number, word) == words


def test_a_table_is_aligned_by_cells_and_cut_to_the_width() -> None:
    """Wide characters count twice; only the last column is cut."""
    rows = [("到", "x", "a" * 40), ("abc", "yy", "short")]
    assert telling.table(rows) == ["到   x   " + "a" * 40, "abc  yy  short"]
    assert telling.table(rows, width=30) == ["到   x   " + "a" * 20 + "…", "abc  yy  short"]


def test_a_table_without_room_for_words_is_not_cut() -> None:
    """Four letters of a subject say nothing; the terminal wraps the line."""
    rows = [("a" * 20, "b" * 40)]
    assert telling.table(rows, width=30) == [f"{'a' * 20}  {'b' * 40}"]


def test_a_table_shows_control_characters_as_escapes() -> None:
    """A hostile cell cannot write to the terminal."""
    assert telling.table([("\x1b[2J", "x")]) == ["\\u001b[2J  x"]


def test_an_empty_table_has_no_lines() -> None:
    """Nothing is nothing."""
    assert telling.table([]) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"),
        (0.4, "0 s"),
        (12, "12 s"),
        (80, "1 m 20 s"),
        (3_900, "1 h 05 m"),
        (100_000, "1 d 3 h"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    """Of a wait and of the rest of a run."""
    from pipeline.cli.watching import duration_words

    assert duration_words(seconds) == words


def test_the_progress_line_says_what_is_waited_for() -> None:
    """With the seconds, where they are known."""
    from datetime import timedelta

    from pipeline.cli.watching import waiting_words

    until = START + timedelta(seconds=12)
    assert waiting_words(Progress(), START) == ""
    assert waiting_words(Progress(waiting="the relay"), START) == "waiting: the relay"
    paced = Progress(waiting="limit relay 50/5m", waiting_until=until)
    assert waiting_words(paced, START) == "waiting 12 s: limit relay 50/5m"


def test_the_progress_line_gives_the_rate_by_its_size() -> None:
    """By the second, or by the minute where that would be less than one."""
    from pipeline.cli.watching import rate_words

    assert rate_words(None, None) == ""
    assert rate_words(25.2, 80) == "25/s, 1 m 20 s left"
    assert rate_words(1 / 6, None) == "10/m"


# -- faults of the program


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `status` fail with somebody's address in hand."""

    def fail(*_: object) -> None:
        address = CANARY
        raise RuntimeError(f"cannot work for {address}")

    monkeypatch.setattr(f"{status.__module__}.show_status", fail)


@pytest.mark.usefixtures("fault")
def test_a_fault_of_the_program_is_one_line_without_anybodys_data(campaign: CommandLine) -> None:
    """Type and place; neither message nor locals."""
    said = campaign("status")
    assert said.code == 1
    assert said.err.startswith("error: a fault of this program: RuntimeError at test_cli_telling.py:")
    assert len(said.err.splitlines()) == 2
    assert CANARY not in said.err + said.out


@pytest.mark.usefixtures("fault")
def test_a_fault_of_the_program_is_json_where_json_is_asked_for(campaign: CommandLine) -> None:
    """One document, without the data."""
    said = campaign("status", "--json")
    assert said.json["message"].startswith("a fault of this program: RuntimeError")
    assert CANARY not in said.out + said.err


@pytest.mark.usefixtures("fault")
def test_the_makers_can_ask_for_the_traceback(campaign: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by name, on stderr; locals are not in it even then."""
    monkeypatch.setenv("CAMPAIGN_TRACEBACK", "1")
    said = campaign("status")
    assert "Traceback (most recent call last)" in said.err
    assert "address = " not in said.err


def test_ctrl_c_is_exit_130(campaign: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it comes."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"{status.__module__}.show_status", interrupt)
    assert campaign("status").code == 130


def test_a_stream_that_is_lost_is_lost_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next command in the same process starts anew."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    telling.out("something")
    assert telling.lost_output()
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert invoke(["--version"]) == 0
