"""What an operator does while letters go: pause, cancel, choose, look. And the sandbox's own addresses."""

from __future__ import annotations

import json
import mailbox
import os
import pty
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from tests.campaign_folder import CampaignFolder, address, everybody, finish, make_campaign, rows_of
from tests.peers import smtp_sink, wait_until

LETTERS = 60
PACE = "limits.relay=10/s"

pytestmark = pytest.mark.peer


def test_pause_stops_a_running_send_and_resume_lets_the_rest_go(tmp_path: Path) -> None:
    """Within seconds: exit 3, the reason is told, nothing goes while paused; then the rest, once."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, LETTERS).at(sink.url)
        sender = folder.at(sink.url, PACE).start("send", "--yes")
        wait_until(lambda: sink.filed > 2, "the first letters", by=sender)
        assert folder.run("pause", "--why", "a wrong date").code == 0
        paused = finish(sender)
        assert paused.code == 3
        assert "paused" in paused.err
        so_far = sink.letters()
        assert so_far.total() < LETTERS
        still = folder.send()
        assert still.code == 3
        assert "a wrong date" in still.err
        assert sink.letters() == so_far
        assert folder.states() == {"sent": so_far.total(), "queued": LETTERS - so_far.total()}
        assert folder.run("resume").code == 0
        assert folder.send().code == 0
        assert sink.letters() == everybody(LETTERS)


def test_cancel_takes_effect_in_a_running_send(tmp_path: Path) -> None:
    """Every letter that waits is withdrawn; the run ends by itself, and nothing goes afterwards."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, LETTERS).at(sink.url)
        sender = folder.at(sink.url, PACE).start("send", "--yes")
        wait_until(lambda: sink.filed > 2, "the first letters", by=sender)
        assert folder.run("cancel", "--yes").code == 0
        assert finish(sender).code == 0
        sent = sink.letters().total()
        assert 2 < sent < LETTERS
        assert folder.states() == {"sent": sent, "cancelled": LETTERS - sent}
        assert folder.send().code == 0
        assert sink.letters().total() == sent


def test_limit_sends_so_many_and_says_that_more_wait(tmp_path: Path) -> None:
    """--limit 3, twice: six letters, the first six rows, each once; exit 3 while some wait."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, 8).at(sink.url)
        assert folder.send("--limit", "3").code == 3
        assert folder.states() == {"sent": 3, "planned": 5}
        assert folder.send("--limit", "3").code == 3
        assert sink.letters() == everybody(6)


def test_only_sends_to_one_address_however_it_is_written(tmp_path: Path) -> None:
    """--only in capitals; somebody who is not in the list is exit 2."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, 8).at(sink.url)
        assert folder.send("--only", "R0005@OFFICE5.example").code == 3
        assert sink.letters() == Counter({address(5): 1})
        stranger = folder.send("--only", "nobody@office.example")
        assert stranger.code == 2
        assert "there is no letter to or of nobody@office.example" in stranger.err


def test_a_test_copy_goes_to_me_alone_and_counts_for_nothing(tmp_path: Path) -> None:
    """--to: marked, one per language, no recipient gets anything, no letter is recorded as sent."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, 8).at(sink.url)
        assert folder.run("send", "--to", "me@example.org").code == 0
        (copy,) = sink.texts()
        assert sink.letters() == Counter({"me@example.org": 1})
        assert "[TEST]" in copy
        assert address(0) not in copy.split("\n\n")[0]
        assert "sent" not in folder.states()
        assert folder.send().code == 0
        assert sink.letters() == everybody(8) + Counter({"me@example.org": 1})


def test_a_dry_run_shows_who_would_get_what_and_changes_nothing(tmp_path: Path) -> None:
    """Every address and subject, when, and that it was a dry run; then all is as before."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, 4).at(sink.url)
        shown = folder.run("send", "--dry-run")
        assert shown.code == 0
        for number in range(4):
            assert address(number) in shown.out
        assert "Free the marchers of Velmor" in shown.out
        assert "nothing was sent" in shown.out
        assert sink.letters() == Counter()
        assert folder.states() == {}


def test_without_a_terminal_a_real_send_wants_yes(tmp_path: Path) -> None:
    """Exit 2, the flag is named, nothing is released."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, 4).at(sink.url)
        refused = folder.run("send")
        assert refused.code == 2
        assert "--yes" in refused.err
        assert sink.letters() == Counter()
        assert folder.states() == {"planned": 4}


@pytest.mark.parametrize(("typed", "code", "taken"), [("4", 0, 4), ("5", 2, 0), ("", 2, 0)])
def test_on_a_terminal_a_real_send_wants_the_number_typed(
    tmp_path: Path, typed: str, code: int, taken: int
) -> None:
    """Author, relay and number are shown; the number sends, another one and an empty line do not."""
    ours, theirs = pty.openpty()
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, 4).at(sink.url)
        sender = folder.start("send", stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        shown = ""
        while "Type 4 to send" not in shown:
            shown += os.read(ours, 4096).decode()
        os.write(ours, f"{typed}\n".encode())
        with suppress(OSError):  # the terminal ends with its last user
            while more := os.read(ours, 4096):
                shown += more.decode()
        os.close(ours)
        assert sender.wait(timeout=30) == code, shown
        assert "Committee <letters@example.org>" in shown
        assert f"127.0.0.1:{sink.port}" in shown
        assert sink.letters().total() == taken


def test_run_sends_only_what_a_person_released_and_tells_new_rows_once(tmp_path: Path) -> None:
    """Rows added since the last send are reported by one run, not by the next, and not sent by either."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, 4).at(sink.url)
        assert folder.send("--limit", "2").code == 3
        folder.write_list(rows_of(6))
        first, second = folder.run("run"), folder.run("run")
        assert (first.code, second.code) == (0, 0)
        assert "4 new letters wait for `campaign send`" in first.err
        assert second.said == ""
        assert sink.letters() == everybody(2)
        assert folder.send().code == 0
        assert sink.letters() == everybody(6)


def test_run_sends_what_was_deferred_once_it_is_due(tmp_path: Path) -> None:
    """A 450 is put off by the schedule; a run after that time sends it, silently."""
    with smtp_sink("-r", "RCPT") as busy:
        folder = make_campaign(tmp_path, 2, connections=1, settings=("retry.schedule=2s 1h",))
        assert folder.at(busy.url).send().code == 3
    with smtp_sink() as healthy:
        later = folder.at(healthy.url)
        wait_until(lambda: _is_due(later), "the letters are due")
        done = later.run("run")
        assert (done.code, done.said) == (0, "")
        assert healthy.letters() == everybody(2)


def _is_due(folder: CampaignFolder) -> bool:
    ((due_us,),) = folder.ask_store("SELECT max(due_at) FROM letters")
    return bool(time.time() * 1e6 > due_us)


def test_fault_07_greylisting_is_put_off_and_is_no_failure(tmp_path: Path) -> None:
    """450 4.7.1 at RCPT: asked once, due in half an hour; a second send does not ask again."""
    with smtp_sink("-r", "RCPT", "-b", "450 4.7.1 greylisted") as sink:
        folder = make_campaign(tmp_path, 2, connections=1).at(sink.url)
        assert folder.send().code == 3
        assert folder.send().code == 3
        assert folder.ask_store("SELECT letter, code FROM attempts") == [(1, 450), (2, 450)]
        status = folder.run("status", "--json").document
        assert status["letters"]["failed"] == 0
        assert status["next_due"] is not None


SPECIAL = ("sandbox-defers@office.example", "sandbox-refuses@office.example", "sandbox-drops@office.example")


def test_the_sandbox_shows_a_deferral_a_refusal_and_a_drop(tmp_path: Path) -> None:
    """One of each beside two ordinary letters; status, show and resolve say what happened."""
    folder = make_campaign(tmp_path, [*SPECIAL, "a@office.example", "b@office.example"], connections=1)
    done = folder.run("send")
    assert done.code == 1
    assert "1 letter in doubt" in done.err
    assert folder.states() == {"sent": 2, "queued": 1, "failed": 1, "in_doubt": 1}
    status = folder.run("status").out
    assert "failed: sandbox-refuses@office.example" in status
    assert "in doubt: sandbox-drops@office.example" in status
    assert "campaign resolve" in status
    assert folder.doubts() == ["sandbox-drops@office.example"]
    deferred = folder.run("show", "sandbox-defers@office.example").out
    assert "450" in deferred
    assert "due " in deferred
    refused = folder.run("show", "sandbox-refuses@office.example", "--json").document
    assert refused["letters"][0]["attempts"][0]["code"] == 550


def test_what_is_in_doubt_goes_again_only_by_the_operators_word(tmp_path: Path) -> None:
    """send and send --now leave it; resolve --sent settles it; the deferred one goes with --now."""
    folder = make_campaign(tmp_path, SPECIAL)
    outbox = folder.root / ".campaign" / "outbox"
    assert folder.run("send").code == 1
    assert folder.run("send", "--now").code == 1
    assert folder.states() == {"sent": 1, "failed": 1, "in_doubt": 1}
    assert folder.run("resolve", "--sent", SPECIAL[2]).code == 0
    assert folder.states() == {"sent": 2, "failed": 1}
    assert folder.run("send").code == 0
    filed = Counter(letter["Delivered-To"] for letter in mailbox.Maildir(outbox))
    assert filed == Counter([SPECIAL[0], SPECIAL[2]])


def test_resolve_resend_sends_the_same_bytes_with_the_same_message_id(tmp_path: Path) -> None:
    """The letter was not taken after all: it goes again, unchanged, though the template was edited since."""
    with smtp_sink("-q", ".") as dropping:
        folder = make_campaign(tmp_path, 1)
        assert folder.at(dropping.url).send().code == 1
    before = folder.ask_store("SELECT message_id FROM letters")
    template = folder.root / "templates" / "letter.en.md"
    template.write_text(template.read_text("utf-8").replace("please", "now"), "utf-8")
    with smtp_sink() as healthy:
        later = folder.at(healthy.url)
        assert later.run("resolve", "--resend", "all").code == 0
        assert later.send().code == 0
        (text,) = healthy.texts()
    assert "please release them" in text
    assert f"Message-ID: {before[0][0]}" in text


def test_send_json_ends_with_the_summary_other_programs_rely_on(tmp_path: Path) -> None:
    """A line per letter, then the summary with its stable keys, which add up."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, 3).at(sink.url)
        done = folder.send("--json")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["type"] for line in lines] == ["letter"] * 3 + ["summary"]
    assert lines[-1] == {
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
