"""Several senders at once: one holds the campaign, the others leave, every letter goes once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign_folder import everybody, finish, make_campaign
from tests.peers import smtp_sink, wait_until

LETTERS = 1_000

pytestmark = pytest.mark.peer


def test_fault_15_eight_sends_at_once_send_each_of_a_thousand_letters_once(tmp_path: Path) -> None:
    """Exactly 1,000 letters at the relay; whoever comes second exits 5 and says who holds it."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, LETTERS).at(sink.url)
        ends = [finish(process) for process in [folder.start("send", "--yes") for _ in range(8)]]
        losers = [end for end in ends if end.code == 5]
        assert {end.code for end in ends} == {0, 5}
        assert all("another run holds this campaign" in loser.err for loser in losers)
        assert any("(pid " in loser.err for loser in losers)
        assert folder.send().code == 0
        assert sink.letters() == everybody(LETTERS)
        assert folder.states() == {"sent": LETTERS}


def test_fault_15_a_scheduled_run_that_finds_another_at_work_is_silent(tmp_path: Path) -> None:
    """`campaign run` beside a running send: exit 0 and not a word, so cron sends no mail."""
    with smtp_sink("-w", "1") as sink:
        folder = make_campaign(tmp_path, 6, connections=1).at(sink.url)
        sender = folder.start("send", "--yes")
        wait_until(lambda: sink.filed > 0, "the first letter", by=sender)
        beside = folder.run("run")
        assert sender.poll() is None
        assert (beside.code, beside.said) == (0, "")
        assert finish(sender).code == 0
        assert sink.letters() == everybody(6)
