"""Ctrl-C, SIGTERM, a closed terminal, a closed lid: what is in flight is finished, the rest goes later."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.campaign_folder import CampaignFolder, everybody, finish, make_campaign
from tests.peers import BEHIND_THE_DOT, DOT_ALONE, Sink, free_port, smtp_sink, wait_until

LETTERS = 40
PACE = "limits.relay=10/s"  # so that a run lasts long enough to be interrupted

pytestmark = pytest.mark.peer


def wait_for_letters(sink: Sink, number: int, sender: subprocess.Popen[str]) -> None:
    """Wait until the relay has begun that many letters of ``sender``."""
    wait_until(lambda: sink.filed >= number, f"letter {number} at the relay", by=sender)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_fault_08_an_interrupted_send_finishes_what_is_in_flight_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Exit 130, nothing in doubt, the words that resume; the next send sends exactly the rest."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, LETTERS, settings=(PACE,)).at(sink.url)
        sender = folder.start("send", "--yes")
        wait_for_letters(sink, 3, sender)
        sender.send_signal(number)
        ended = finish(sender)
        assert ended.code == 130
        assert "campaign send" in ended.err
        so_far = sink.letters()
        assert folder.states() == {"sent": so_far.total(), "queued": LETTERS - so_far.total()}
        assert 3 <= so_far.total() < LETTERS
        assert folder.at(sink.url, "limits.relay=off").send().code == 0
        assert sink.letters() == everybody(LETTERS)


def test_fault_08_a_second_interrupt_stops_at_once_and_keeps_the_unsent_letter_queued(
    tmp_path: Path,
) -> None:
    """The relay takes its time before 354: the letter has not begun, so it is queued, not in doubt."""
    with smtp_sink("-w", "60") as sink:
        folder = make_campaign(tmp_path, 1, connections=1).at(sink.url)
        ended = interrupt_twice(folder, sink)
        assert ended == 130
        assert folder.states() == {"queued": 1}
    with smtp_sink() as healthy:
        assert folder.at(healthy.url).send().code == 0
        assert healthy.letters() == everybody(1)


def test_fault_08_a_second_interrupt_behind_the_dot_leaves_the_letter_in_doubt(tmp_path: Path) -> None:
    """The relay takes its time after the final dot: nobody can know, so the letter is held and listed."""
    with smtp_sink(*BEHIND_THE_DOT) as sink:
        folder = make_campaign(tmp_path, 1, connections=1).at(sink.url, DOT_ALONE)
        assert interrupt_twice(folder, sink, behind_the_dot=True) == 130
        assert folder.states() == {"in_doubt": 1}
        assert folder.doubts() == list(everybody(1))
    with smtp_sink() as healthy:
        assert folder.at(healthy.url).send().code == 1
        assert healthy.letters() == Counter()


def interrupt_twice(folder: CampaignFolder, sink: Sink, *, behind_the_dot: bool = False) -> int:
    """Press Ctrl-C twice while the first letter is with the relay; return the exit code."""
    sender = folder.start("send", "--yes")
    wait_for_letters(sink, 1, sender)
    if behind_the_dot:
        (path,) = sink.folder.iterdir()
        wait_until(lambda: "release them" in path.read_text("utf-8"), "the letter's text at the relay")
    assert sender.stderr is not None
    sender.send_signal(signal.SIGINT)
    while "Ctrl-C again" not in (line := sender.stderr.readline()):
        assert line, "it ended without a word about a second Ctrl-C"
    sender.send_signal(signal.SIGINT)
    return finish(sender).code


def test_fault_08_a_closed_terminal_ends_the_send_like_an_interrupt(tmp_path: Path) -> None:
    """SIGHUP, and nowhere to write to: what is in flight is finished, the rest goes once later."""
    ours, theirs = pty.openpty()
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, LETTERS, settings=(PACE,)).at(sink.url)
        sender = folder.start(
            "send", "--yes", stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        wait_for_letters(sink, 3, sender)
        os.close(ours)
        sender.send_signal(signal.SIGHUP)
        assert sender.wait(timeout=30) == 130
        so_far = sink.letters()
        assert folder.states() == {"sent": so_far.total(), "queued": LETTERS - so_far.total()}
        assert folder.at(sink.url, "limits.relay=off").send().code == 0
        assert sink.letters() == everybody(LETTERS)


def test_fault_08_after_a_sleep_with_a_dead_relay_every_letter_is_judged_by_its_phase(
    tmp_path: Path,
) -> None:
    """SIGSTOP, the relay goes away and comes back, SIGCONT: nobody gets two, the doubtful are listed."""
    port = free_port()
    with smtp_sink("-w", "1", port=port) as before:
        folder = make_campaign(tmp_path, 8, connections=2).at(before.url)
        sender = folder.start("send", "--yes")
        wait_for_letters(before, 2, sender)
        sender.send_signal(signal.SIGSTOP)
        before.stop()
        with smtp_sink(port=port) as after:
            sender.send_signal(signal.SIGCONT)
            ended = finish(sender)
            doubts = folder.doubts()
            begun = set(before.letters() + after.letters())
            assert max(after.letters().values()) == 1
            sent = {who for (who,) in folder.ask_store("SELECT email FROM letters WHERE state = 'sent'")}
            assert sent | set(doubts) == set(everybody(8))
            assert not set(doubts) & set(after.letters())
            assert sent <= begun
            assert ended.code == (1 if doubts else 0)


def test_fault_08_there_is_no_burst_after_a_sleep(tmp_path: Path) -> None:
    """SIGSTOP for longer than several slots of the pace: the missed slots are not made up for."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, LETTERS, settings=("limits.relay=4/s",)).at(sink.url)
        sender = folder.start("send", "--yes")
        wait_for_letters(sink, 2, sender)
        sender.send_signal(signal.SIGSTOP)
        asleep_until = time.monotonic() + 2
        wait_until(lambda: time.monotonic() > asleep_until, "two seconds of sleep")
        stopped_at = sink.filed
        sender.send_signal(signal.SIGCONT)
        wait_for_letters(sink, stopped_at + 3, sender)
        sender.send_signal(signal.SIGINT)
        finish(sender)
        times = [at for (at,) in folder.ask_store("SELECT began_at FROM attempts ORDER BY began_at")]
        in_a_second = [sum(0 <= later - first < 1_000_000 for later in times) for first in times]
        assert (
            max(in_a_second) <= 6
        )  # four, and what two processes' timing may add; a burst would be eight more
