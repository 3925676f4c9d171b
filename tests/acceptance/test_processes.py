"""`send --processes N`: several processes, and every guarantee of one."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from tests.acceptance.test_secrets import Refusing, refusing_relay, with_secret
from tests.campaign_folder import CampaignFolder, everybody, finish, make_campaign
from tests.peers import BEHIND_THE_DOT, DOT_ALONE, Sink, free_port, smtp_sink, wait_until

LETTERS = 40
PACE = "limits.relay=10/s"  # so that a run lasts long enough
TWO = ("--processes", "2")
SECOND_US = 1_000_000

pytestmark = pytest.mark.peer


def children(sender: subprocess.Popen[str]) -> list[int]:
    """Return the processes that a sender has started and that are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, *_ = path.read_text("utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == sender.pid and state != "Z":
            found.append(int(path.parent.name))
    return found


def is_there(pid: int) -> bool:
    """Say whether a process is alive."""
    return Path(f"/proc/{pid}").exists()


def start(folder: CampaignFolder, *words: str) -> subprocess.Popen[str]:
    """Start a send with a process group of its own, as a terminal has it."""
    return folder.start("send", "--yes", *words, start_new_session=True)


def wait_for_letters(sink: Sink, number: int, sender: subprocess.Popen[str]) -> None:
    """Wait until the relay has begun that many letters."""
    wait_until(lambda: sink.filed >= number, f"letter {number} at the relay", by=sender)


def send_the_rest(folder: CampaignFolder, sink: Sink) -> None:
    """Settle what is in doubt by what the relay has, send the rest: everybody has one letter."""
    taken = sink.letters()
    for who in folder.doubts():
        flag = "--sent" if taken[who] else "--resend"
        assert folder.run("resolve", flag, "--why", "the relay's log", who).code == 0
    assert folder.at(sink.url, "limits.relay=off").send(*TWO).code == 0
    assert sink.letters() == everybody(LETTERS)


# -- each letter once


@pytest.mark.parametrize("number", ["2", "3", "8"])
def test_several_processes_send_each_letter_once(tmp_path: Path, number: str) -> None:
    """Exit 0, every address once, and nothing stays behind but the store."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, 400).at(sink.url)
        done = folder.send("--processes", number)
        assert (done.code, done.said) == (0, "")
        assert sink.letters() == everybody(400)
        assert folder.states() == {"sent": 400}
        assert not [path for path in (folder.root / ".campaign").iterdir() if path.name.endswith("-turns")]


def connections_to(port: int) -> int:
    """Return how many connections to a port of this machine are open, as the kernel has them."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


def test_the_connections_are_shared_out(tmp_path: Path) -> None:
    """relay.connections is what all of them have together: eight processes, three connections, are three."""
    with smtp_sink(*BEHIND_THE_DOT) as sink:
        folder = make_campaign(tmp_path, LETTERS, connections=3).at(sink.url)
        sender = start(folder, "--processes", "8")
        wait_until(lambda: connections_to(sink.port) >= 3, "a connection of each process")
        assert len(children(sender)) == 3
        assert connections_to(sink.port) == 3


@pytest.mark.parametrize(
    ("words", "setting"),
    [
        (("--limit", "5"), "relay.connections=4"),
        (("--only", "r0001@office1.example"), "relay.connections=4"),
        ((), "limits.relay=60/m"),
    ],
    ids=["--limit", "--only", "a calm pace"],
)
def test_letters_that_are_counted_or_go_one_by_one_are_one_processs(
    tmp_path: Path, words: tuple[str, ...], setting: str
) -> None:
    """With --limit, with --only, with a pace for which one connection is enough."""
    with smtp_sink(*BEHIND_THE_DOT) as sink:
        folder = make_campaign(tmp_path, LETTERS).at(sink.url, setting, DOT_ALONE)
        sender = start(folder, *TWO, *words)
        wait_for_letters(sink, 1, sender)
        assert children(sender) == []


def test_the_sandbox_takes_letters_of_several_processes(tmp_path: Path) -> None:
    """Each has the sandbox's relay to itself, and one outbox takes all."""
    folder = make_campaign(tmp_path, LETTERS)
    assert folder.send(*TWO).code == 0
    assert folder.states() == {"sent": LETTERS}
    assert len(list((folder.root / ".campaign" / "outbox" / "new").iterdir())) == LETTERS


def test_a_number_of_processes_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """One to eight."""
    folder = make_campaign(tmp_path, 1)
    for number in ("0", "9", "many"):
        refused = folder.send("--processes", number)
        assert refused.code == 2
        assert "--processes" in refused.err


# -- limits


def test_a_quota_holds_over_all_processes(tmp_path: Path) -> None:
    """Thirty a day are thirty; exit 3, and what is used up is told once."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, LETTERS).at(sink.url, "limits.day=30/day")
        done = folder.send(*TWO)
        assert done.code == 3
        assert done.err.count("used up") == 1
        assert sink.letters().total() == 30
        assert folder.states() == {"sent": 30, "queued": 10}


def test_a_pace_holds_over_all_processes(tmp_path: Path) -> None:
    """Ten a second are ten, however many send."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, LETTERS).at(sink.url, PACE)
        assert folder.send(*TWO).code == 0
        times = [at for (at,) in folder.ask_store("SELECT began_at FROM attempts ORDER BY began_at")]
        in_a_second = [sum(0 <= later - first < SECOND_US for later in times) for first in times]
        assert max(in_a_second) <= 12  # ten, and what the processes' timing may add
        assert sink.letters() == everybody(LETTERS)


# -- the operator


def test_ctrl_c_winds_up_all_of_them(tmp_path: Path) -> None:
    """The terminal signals the whole group: 130, nothing in doubt, one word about it, the rest goes later."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, LETTERS).at(sink.url, PACE)
        sender = start(folder, *TWO)
        wait_for_letters(sink, 6, sender)
        os.killpg(sender.pid, signal.SIGINT)
        ended = finish(sender)
        assert ended.code == 130
        assert ended.err.count("finishing the letters in flight") == 1
        assert "Traceback" not in ended.said
        so_far = sink.letters().total()
        assert 6 <= so_far < LETTERS
        assert folder.states() == {"sent": so_far, "queued": LETTERS - so_far}
        send_the_rest(folder, sink)


def test_a_second_ctrl_c_stops_all_of_them_at_once(tmp_path: Path) -> None:
    """Both letters are behind the dot: nobody can know, so both are in doubt; the relay is not waited for."""
    with smtp_sink(*BEHIND_THE_DOT) as sink:
        folder = make_campaign(tmp_path, 2, connections=2).at(sink.url, DOT_ALONE)
        sender = start(folder, *TWO)
        wait_for_letters(sink, 2, sender)
        wait_until(lambda: sum(map(_has_come, sink.folder.iterdir())) == 2, "two letters' text", by=sender)
        assert sender.stderr is not None
        os.killpg(sender.pid, signal.SIGINT)
        assert "Ctrl-C again" in sender.stderr.readline()
        os.killpg(sender.pid, signal.SIGINT)
        assert finish(sender).code == 130
        assert folder.states() == {"in_doubt": 2}


def _has_come(letter: Path) -> bool:
    return "release them" in letter.read_text("utf-8")


def test_a_pause_stops_all_of_them(tmp_path: Path) -> None:
    """`campaign pause` in another window, as with one process."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, LETTERS).at(sink.url, PACE)
        sender = start(folder, *TWO)
        wait_for_letters(sink, 4, sender)
        assert folder.run("pause", "--why", "the lawyer").code == 0
        ended = finish(sender)
        assert ended.code == 3
        assert ended.err.count("paused") == 1
        so_far = sink.letters().total()
        assert folder.states() == {"sent": so_far, "queued": LETTERS - so_far}


# -- the relay


def test_a_relay_that_refuses_us_stops_all_of_them(tmp_path: Path) -> None:
    """5yz at MAIL, to whichever process comes first: exit 4, told once, every letter queued."""
    with smtp_sink("-f", "mail") as sink:
        folder = make_campaign(tmp_path, LETTERS).at(sink.url)
        done = folder.send(*TWO)
        assert done.code == 4
        assert done.err.count("stopped:") == 1
        assert folder.states() == {"queued": LETTERS}


def test_a_relay_that_is_not_there_is_told_once(tmp_path: Path) -> None:
    """Exit 3, every letter queued; one process has tried."""
    folder = make_campaign(tmp_path, LETTERS).at(f"smtp://127.0.0.1:{free_port()}")
    done = folder.send(*TWO)
    assert done.code == 3
    assert done.err.count("cannot be reached") == 1
    assert folder.states() == {"queued": LETTERS}


def test_a_wrong_password_is_tried_once(tmp_path: Path) -> None:
    """No hammering, whatever the number of processes: exit 4, every letter queued."""
    with refusing_relay(tmp_path) as (relay, port, ca_file):
        folder = with_secret(tmp_path, "password_file", port, ca_file)
        done = folder.send("--processes", "3")
    assert done.code == 4
    assert done.err.count("refused the login") == 1
    assert (relay.logins, relay.letters) == (1, 0)
    assert folder.states() == {"queued": 3}


@dataclass
class Accepting(Refusing):
    """A relay that takes the login."""

    def __call__(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, auth_data: object
    ) -> AuthResult:
        """Take it."""
        self.logins += 1
        return AuthResult(success=True)


def test_the_password_command_is_asked_once_for_all(tmp_path: Path) -> None:
    """By the process that was started, before there are others: two processes log in with what it said."""
    command = tmp_path / "command"
    command.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/asked\necho secret\n", "utf-8")
    command.chmod(stat.S_IRWXU)
    with refusing_relay(tmp_path, Accepting()) as (relay, port, ca_file):
        folder = with_secret(tmp_path, "password_command", port, ca_file)
        config = folder.root / "campaign.toml"
        text = config.read_text("utf-8").replace(f"cat {tmp_path}/smtp_password", str(command))
        config.write_text(text.replace("connections = 4", "connections = 2"), "utf-8")
        done = folder.send(*TWO)
    assert (done.code, done.err) == (0, "")
    assert (relay.logins, relay.letters) == (2, 3)
    assert (tmp_path / "asked").read_text("utf-8") == "asked\n"


# -- what is told


def test_json_lines_of_several_processes_are_whole(tmp_path: Path) -> None:
    """A line for each letter, whoever sent it, and the summary as the last."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, 400).at(sink.url)
        done = folder.send("--json", "--processes", "4")
        assert done.code == 0
        *letters, summary = [json.loads(line) for line in done.out.splitlines()]
        assert Counter(line["to"] for line in letters) == everybody(400)
        assert summary["type"] == "summary"
        assert (summary["sent"], summary["remaining"], summary["exit"]) == (400, 0, 0)


def test_results_that_cannot_be_written_do_not_stop_the_send_and_are_told_by_its_exit_code(
    tmp_path: Path,
) -> None:
    """The disk of the output is full: every letter goes all the same."""
    with smtp_sink() as sink, Path("/dev/full").open("w", encoding="utf-8") as full:
        folder = make_campaign(tmp_path, LETTERS).at(sink.url)
        done = folder.run("send", "--yes", "--json", *TWO, stdout=full)
        assert done.code == 1
        assert sink.letters() == everybody(LETTERS)


# -- kill -9


def test_when_one_of_them_is_killed_the_others_go_on_and_the_run_says_so(tmp_path: Path) -> None:
    """Its letter in flight is in doubt at once, its others wait for the next send."""
    with smtp_sink("-W", ".:1") as sink:
        folder = make_campaign(tmp_path, LETTERS, connections=2).at(sink.url, "relay.pipelining=off")
        sender = start(folder, *TWO)
        wait_for_letters(sink, 2, sender)
        wait_until(lambda: sum(map(_has_come, sink.folder.iterdir())) == 2, "two letters' text", by=sender)
        victim, other = children(sender)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: sink.filed >= 3, "a letter of the other", by=sender)
        assert is_there(other)
        os.kill(sender.pid, signal.SIGINT)
        ended = finish(sender)
        assert ended.code == 130
        assert ended.err.count("was killed (signal 9)") == 1
        assert "1 letter in doubt" in ended.err
        states = folder.states()
        assert states["in_doubt"] == 1
        assert states["sent"] == sink.letters().total() - 1
    with smtp_sink() as healthy:
        (doubtful,) = folder.doubts()
        folder.at(healthy.url).send(*TWO)
        assert doubtful not in healthy.letters()
        assert healthy.letters().total() == states["queued"]


def test_letters_of_one_that_was_killed_wait_for_the_next_send(tmp_path: Path) -> None:
    """Nobody interrupts: the other sends its half; exit 3 or 1, and the next send sends the rest."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, LETTERS).at(sink.url, PACE)
        sender = start(folder, *TWO)
        wait_for_letters(sink, 4, sender)
        os.kill(children(sender)[0], signal.SIGKILL)
        ended = finish(sender)
        states = folder.states()
        assert ended.code == (1 if states.get("in_doubt") else 3)
        assert "was killed (signal 9)" in ended.err
        assert states["queued"] >= LETTERS // 2 - 6
        assert states.get("in_doubt", 0) <= 4
        send_the_rest(folder, sink)


def test_children_of_a_killed_sender_finish_what_is_in_flight_and_hold_the_campaign(tmp_path: Path) -> None:
    """kill -9 of the process that was started: a second send exits 5 until they have ended, nothing is in
    doubt."""
    with smtp_sink("-W", ".:4") as sink:
        folder = make_campaign(tmp_path, LETTERS, connections=2).at(sink.url, "relay.pipelining=off")
        sender = start(folder, *TWO)
        wait_for_letters(sink, 2, sender)
        orphans = children(sender)
        assert len(orphans) == 2
        sender.kill()
        sender.wait()
        second = folder.send()
        assert second.code == 5
        assert "another run holds this campaign" in second.err
        wait_until(lambda: not any(map(is_there, orphans)), "the end of the orphans")
        assert folder.states() == {"sent": 2, "queued": LETTERS - 2}
    with smtp_sink() as healthy:
        assert folder.at(healthy.url).send(*TWO).code == 0
        assert healthy.letters().total() == LETTERS - 2


def test_when_all_of_them_are_killed_the_next_send_finds_what_is_in_doubt(tmp_path: Path) -> None:
    """As after the death of one process: at most two letters a connection."""
    with smtp_sink(*BEHIND_THE_DOT) as sink:
        folder = make_campaign(tmp_path, LETTERS, connections=2).at(sink.url)
        sender = start(folder, *TWO)
        wait_for_letters(sink, 2, sender)
        wait_until(lambda: sum(map(_has_come, sink.folder.iterdir())) == 2, "two letters' text", by=sender)
        os.killpg(sender.pid, signal.SIGKILL)
        sender.wait()
        begun = "".join(path.read_text("utf-8") for path in sink.folder.iterdir() if _has_come(path))
    with smtp_sink() as healthy:
        assert folder.at(healthy.url).send(*TWO).code == 1
        doubts = folder.doubts()
        assert {who for who in everybody(LETTERS) if who in begun} <= set(doubts)
        assert 2 <= len(doubts) <= 4
        assert healthy.letters() == everybody(LETTERS) - Counter(doubts)
