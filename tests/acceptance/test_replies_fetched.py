"""`campaign replies fetch` from a real Dovecot: killed in the middle, the same as one clean fetch."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.campaign_folder import CampaignFolder, make_campaign
from tests.dovecot import PASSWORD, Dovecot, dovecot
from tests.peers import wait_until
from tests.replies_campaign import answer, bounce, complaint, sent_letters

LETTERS = 300
REFUSED = "550 5.1.1 no such user here"
FULL = "552 5.2.2 mailbox full"

pytestmark = pytest.mark.peer


def a_campaign(parent: Path, peer: Dovecot) -> CampaignFolder:
    """Make a campaign whose replies come to ``peer``."""
    return make_campaign(
        parent,
        LETTERS,
        settings=(
            f"replies.mailbox=imaps://letters%40example.org@127.0.0.1:{peer.port}/INBOX",
            f"replies.ca_file={peer.ca_file}",
        ),
        environment={"CAMPAIGN_IMAP_PASSWORD": PASSWORD},
    )


def replies_to(folder: CampaignFolder) -> Iterator[tuple[str, bytes]]:
    """Yield names and octets: every letter is answered, bounced, complained about or opted out of."""
    letters = sorted(sent_letters(folder.root / ".campaign" / "outbox").items())
    for number, (address, letter) in enumerate(letters):
        made = [
            answer(letter, f"Answer {number}."),
            answer(letter, "stop"),
            bounce(letter, address, REFUSED),
            bounce(letter, address, FULL, status="5.2.2"),
            complaint(letter),
            answer(letter, f"Answer {number}.", In_Reply_To="", From=f"someone{number}@elsewhere.example"),
        ][number % 6]
        yield f"new/{1_800_000_000 + number}.m{number}.host", made.encode()


def outcome(folder: CampaignFolder) -> dict[str, Any]:
    """Return what a fetch left: each reply by its mail, and the suppressions."""
    return {
        "replies": sorted(
            folder.ask_store(
                "SELECT mails.sha256, replies.kind, letters.recipient, replies.text FROM replies"
                " JOIN mails ON mails.id = replies.mail LEFT JOIN letters ON letters.id = replies.letter",
                "sandbox",
            ),
            key=str,
        ),
        "suppressed": sorted(folder.ask_store("SELECT address, reason FROM suppressions", "sandbox")),
    }


@pytest.fixture(scope="module")
def fetched(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Dovecot, CampaignFolder, dict[str, Any]]]:
    """A campaign with its letters sent and the replies fetched, once, and what that left."""
    with dovecot() as peer:
        folder = a_campaign(tmp_path_factory.mktemp("clean"), peer)
        assert folder.send().code == 0
        peer.put(replies_to(folder))
        before = peer.files()
        said = folder.run("replies", "fetch", "--json").document
        assert (said["fetched"], said["sorted"], said["exit"]) == (LETTERS, LETTERS, 0)
        assert peer.files() == before
        yield peer, folder, outcome(folder)


def test_every_mail_is_sorted_and_every_dead_or_unwilling_address_is_suppressed(
    fetched: tuple[Dovecot, CampaignFolder, dict[str, Any]],
) -> None:
    """And nobody else."""
    _, folder, clean = fetched
    sixth = LETTERS // 6
    kinds = folder.run("status", "--json").document["replies"]
    assert kinds == {"bounce": 2 * sixth, "complaint": sixth, "human": 2 * sixth, "optout": sixth}
    reasons = [reason for _, reason in clean["suppressed"]]
    assert {reason: reasons.count(reason) for reason in reasons} == {
        "bounced": sixth,
        "complaint": sixth,
        "optout": sixth,
    }


def test_a_second_fetch_adds_nothing(fetched: tuple[Dovecot, CampaignFolder, dict[str, Any]]) -> None:
    """Nor does sorting all of it again."""
    _, folder, clean = fetched
    assert folder.run("replies", "fetch", "--json").document["fetched"] == 0
    assert folder.run("replies", "fetch", "--again", "--json").document["sorted"] == LETTERS
    assert outcome(folder) == clean


def test_killed_again_and_again_it_loses_and_doubles_nothing(
    fetched: tuple[Dovecot, CampaignFolder, dict[str, Any]], tmp_path: Path
) -> None:
    """kill -9 while it fetches and while it sorts: then the same as one clean fetch."""
    peer, clean_folder, clean = fetched
    folder = a_campaign(tmp_path, peer)
    # The same letters under the same Message-IDs: the store as it was when they had been sent.
    (folder.root / ".campaign").mkdir(mode=0o700)
    source = sqlite3.connect(clean_folder.root / ".campaign" / "sandbox.db")
    target = sqlite3.connect(folder.root / ".campaign" / "sandbox.db")
    with source, target:
        source.backup(target)
        for table in ("replies", "mails", "mailboxes", "written", "suppressions", "strikes"):
            target.execute(f"DELETE FROM {table}")
    source.close()
    target.close()
    before = peer.files()
    for query, least in (
        ("SELECT count(*) FROM mails", 1),
        ("SELECT count(*) FROM suppressions", 1),
        ("SELECT count(*) FROM replies", 60),
        ("SELECT count(*) FROM suppressions", 70),
        ("SELECT count(*) FROM replies", 200),
    ):
        process = folder.start("replies", "fetch")

        def reached(query: str = query, least: int = least) -> bool:
            with suppress(sqlite3.OperationalError):
                return bool(folder.ask_store(query, "sandbox")[0][0] >= least)
            return False

        wait_until(reached, f"{least} from {query}", seconds=60)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert folder.run("replies", "fetch").code == 0
    assert outcome(folder) == clean
    assert peer.files() == before


def test_the_next_send_writes_to_none_of_them(
    fetched: tuple[Dovecot, CampaignFolder, dict[str, Any]],
) -> None:
    """A second campaign of the same list asks the same suppressions: here the sandbox's own."""
    _, folder, clean = fetched
    folder.run("resend", "all")
    with sqlite3.connect(folder.root / ".campaign" / "sandbox.db") as store:
        store.execute("UPDATE letters SET state = 'queued', due_at = 0, attempts = 0, ended_at = NULL")
        store.execute("DELETE FROM attempts")
        store.execute("DELETE FROM contents")
    store.close()
    said = folder.run("send", "--json").document
    assert said["suppressed"] == len(clean["suppressed"])
    assert said["sent"] == LETTERS - len(clean["suppressed"])
