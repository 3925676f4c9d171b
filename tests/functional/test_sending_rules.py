"""Rules that only the whole way shows: second tries, standing orders, lifted suppressions, other machines."""

from __future__ import annotations

import contextlib
import mailbox
import socket
import sqlite3
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.cli import invoke
from pipeline.clock import SystemClock
from tests.postgres import BOTH

pytestmark = BOTH

CONFIG = """\
[campaign]
key = "rules-of-sending"
name = "Rules"
languages = ["en"]
author = "Committee <letters@example.org>"
[relay]
url = "sandbox:"
[limits]
in_sandbox = false
"""
LETTER = '+++\nsubject = "To {{ recipient.email }}"\n+++\nDear {{ recipient.email }},\n\na letter.\n'


class Folder:
    """A campaign folder and the command at work in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "templates").mkdir()
        (root / "campaign.toml").write_text(CONFIG)
        (root / "templates" / "letter.en.md").write_text(LETTER)

    def write(self, *addresses: str) -> None:
        """Write the list."""
        (self.root / "recipients.csv").write_text("email\n" + "".join(f"{each}\n" for each in addresses))

    def campaign(self, *words: str) -> int:
        """Run the command; return its exit code."""
        return invoke(["-C", str(self.root), *words])

    def states(self) -> dict[str, str]:
        """Return each letter's state."""
        with closing(sqlite3.connect(self.root / ".campaign" / "sandbox.db")) as store, store:
            return dict(store.execute("SELECT email, state FROM letters").fetchall())

    def outbox(self) -> int:
        """Return how many letters the sandbox has filed."""
        return len(list((self.root / ".campaign" / "outbox" / "new").iterdir()))


class HastyRelay:
    """Offers PIPELINING and refuses every RCPT that did not come alone; counts refusals and letters."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.refusals = self.letters = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        connection.sendall(b"220 hasty\r\n")
        content = False
        while said := connection.recv(65_536):
            if content:
                if said.endswith(b"\r\n.\r\n"):
                    content, self.letters = False, self.letters + 1
                    connection.sendall(b"250 ok\r\n")
                continue
            if said.count(b"\r\n") > 1:
                self.refusals += 1
                connection.sendall(b"503 5.5.1 one at a time: synchronization\r\n" * said.count(b"\r\n"))
            elif said.startswith(b"EHLO"):
                connection.sendall(b"250-hasty\r\n250 PIPELINING\r\n")
            elif said.startswith(b"DATA"):
                content = True
                connection.sendall(b"354 go\r\n")
            else:
                connection.sendall(b"250 ok\r\n")


class BlindRelay(HastyRelay):
    """Knows nobody."""

    def _talk(self, connection: socket.socket) -> None:
        connection.sendall(b"220 blind\r\n")
        while said := connection.recv(65_536):
            refuses = said.startswith(b"RCPT")
            self.refusals += refuses
            connection.sendall(b"550 5.1.1 unknown user\r\n" if refuses else b"250 ok\r\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A folder of its own, and a data folder of its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "rules").mkdir()
    return Folder(tmp_path / "rules")


def test_without_kept_bytes_a_deferred_letter_goes_at_the_next_try(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second try is dated as the first was, so it is the same letter although only its hash was kept."""
    folder.write("sandbox-defers@x.example")
    assert folder.campaign("--set", "store.bytes=false", "send") == 3
    now = SystemClock().now
    monkeypatch.setattr(SystemClock, "now", lambda _: now() + timedelta(hours=1))
    assert folder.campaign("--set", "store.bytes=false", "send", "--now") == 0
    assert folder.states() == {"sandbox-defers@x.example": "sent"}


def test_a_standing_order_sends_a_letter_in_doubt_again_once(folder: Folder) -> None:
    """retry.in_doubt = "resend" acts at the next run; a second doubt waits for a person."""
    folder.write("sandbox-drops@x.example")
    order = ("--set", "retry.in_doubt=resend")
    assert folder.campaign(*order, "send") == 1
    assert folder.outbox() == 1
    assert folder.campaign(*order, "send") == 1
    assert folder.outbox() == 2
    assert folder.campaign(*order, "send") == 1
    assert folder.outbox() == 2
    assert folder.states() == {"sandbox-drops@x.example": "in_doubt"}


def test_a_letter_in_doubt_is_held_by_default(folder: Folder) -> None:
    """Nobody knows, so nobody guesses."""
    folder.write("sandbox-drops@x.example")
    assert [folder.campaign("send"), folder.campaign("send")] == [1, 1]
    assert folder.outbox() == 1


def test_lifting_a_suppression_plans_the_letter_again(folder: Folder) -> None:
    """What was not sent because of a suppression is sent once it is gone."""
    folder.write("a@x.example", "b@x.example")
    assert folder.campaign("suppress", "add", "a@x.example") == 0
    assert folder.campaign("send") == 0
    assert folder.states() == {"a@x.example": "suppressed", "b@x.example": "sent"}
    assert folder.campaign("suppress", "remove", "a@x.example") == 0
    assert folder.campaign("send") == 0
    assert folder.states() == {"a@x.example": "sent", "b@x.example": "sent"}
    assert folder.outbox() == 2


def test_fault_39_folder_and_data_copied_to_another_machine_together_are_noticed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The store knows its machine; on another one it does not send before a person has said so."""
    folder.write("a@x.example")
    away = ("--set", "relay.url=smtp://127.0.0.1:1")
    folder.campaign(*away, "send", "--yes")
    monkeypatch.setattr("pipeline.store.world.this_host", lambda: "another machine")
    assert folder.campaign(*away, "send", "--yes") == 2
    assert "another machine" in capsys.readouterr().err


def test_a_mailing_says_how_to_leave_it_and_letters_to_officials_do_not(folder: Folder) -> None:
    """kind = "mailing" adds List-Unsubscribe and its like; a letter is from person to person."""
    folder.write("a@x.example")
    assert folder.campaign("send") == 0
    folder.write("b@x.example")
    assert folder.campaign("--set", "campaign.kind=mailing", "send") == 0
    found = {message["To"]: message for message in mailbox.Maildir(folder.root / ".campaign" / "outbox")}
    member, official = found["b@x.example"], found["a@x.example"]
    token = member["Message-ID"].strip("<>").partition("@")[0]
    assert member["List-Unsubscribe"] == f"<mailto:letters@example.org?subject=unsubscribe-{token}>"
    assert member["List-Id"] == "<rules-of-sending.example.org>"
    assert member["Auto-Submitted"] == "auto-generated"
    assert not [name for name in official if name.startswith(("List-", "Auto-", "X-"))]


def test_a_relay_that_dislikes_several_commands_at_once_is_remembered(folder: Folder) -> None:
    """What one run learnt of a relay the next does not try again; the letters go once all the same."""
    relay = HastyRelay()
    there = ("--set", f"relay.url=smtp://127.0.0.1:{relay.port}", "--set", "relay.connections=1")
    try:
        folder.write("a@x.example", "b@x.example")
        assert folder.campaign(*there, "send", "--yes") == 0
        assert (relay.letters, relay.refusals > 0) == (2, True)
        relay.refusals = 0
        folder.write("a@x.example", "b@x.example", "c@x.example")
        assert folder.campaign(*there, "send", "--yes") == 0
        assert (relay.letters, relay.refusals) == (3, 0)
    finally:
        relay.close()


def test_status_tells_of_a_run_that_died_before_anybody_sends_again(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    """An attempt left open is no secret until the next send: status points to what may be in doubt."""
    folder.write("sandbox-defers@x.example")
    assert folder.campaign("send") == 3
    with closing(sqlite3.connect(folder.root / ".campaign" / "sandbox.db")) as store, store:
        store.execute("UPDATE attempts SET ended_at = NULL, verdict = NULL")
    capsys.readouterr()
    assert folder.campaign("status") == 0
    assert "a run ended without a word while 1 letter may have been on the way" in capsys.readouterr().out
    assert folder.campaign("resolve") == 0
    capsys.readouterr()
    assert folder.campaign("status") == 0
    assert "without a word" not in capsys.readouterr().out


def test_a_relay_that_calls_everybody_unknown_kills_no_address(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    """After ten in a row the run stops; the rest stays queued, and none of the ten is suppressed."""
    relay = BlindRelay()
    there = ("--set", f"relay.url=smtp://127.0.0.1:{relay.port}", "--set", "relay.connections=1")
    try:
        folder.write(*(f"office@ministry{number}.example" for number in range(15)))
        assert folder.campaign(*there, "send", "--yes") == 4
        assert relay.refusals == 10
        capsys.readouterr()
        assert folder.campaign(*there, "suppress", "list") == 0
        assert "nobody is suppressed" in capsys.readouterr().out
    finally:
        relay.close()


def test_one_unknown_address_among_others_is_suppressed(folder: Folder) -> None:
    """A relay that takes other letters is believed."""
    folder.write("sandbox-refuses@x.example", "a@x.example")
    assert folder.campaign("send") == 1
    folder.write("sandbox-refuses@x.example", "a@x.example", "b@x.example")
    assert folder.campaign("resend", "sandbox-refuses@x.example") == 0
    assert folder.campaign("send") == 0
    assert folder.states()["sandbox-refuses@x.example"] == "suppressed"
