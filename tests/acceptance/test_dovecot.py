"""5,000 mails in a real Dovecot: fetched twice, killed, cut off, numbered anew - always the same mails, each
once, as one clean fetch brings, and no flag touched.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.replies.account import Account, After, Afterwards, MailboxKind
from pipeline.replies.collecting import Collected, collect
from pipeline.replies.mailbox import Extent, fingerprint
from pipeline.replies.mailbox_maildir import MaildirMailbox
from pipeline.store import mails as store
from pipeline.store.mails import Mails
from tests.acceptance.mail_fetcher import fetch
from tests.clocks import FakeClock
from tests.dovecot import Dovecot, cutting_proxy, dovecot
from tests.unit.store_support import a_world

MAILS = 5_000
FIRST = 1_800_000_000  # seconds since 1970 in the names of the files

pytestmark = pytest.mark.peer


def letters(count: int) -> Iterator[tuple[str, bytes]]:
    """Yield names and octets of mails of many sizes; half of them are new, the rest have flags."""
    chance = random.Random(5)
    for number in range(count):
        body = "".join(f"Line {line} of answer {number}.\n" for line in range(chance.randrange(1, 300)))
        raw = f"From: office{number}@ministry.example\nSubject: Re: the eleven\n\n{body}".encode()
        flags = "".join(sorted(chance.sample("FRST", chance.randrange(4))))
        place = f"cur/{FIRST + number}.m.host:2,{flags}" if number % 2 else f"new/{FIRST + number}.m.host"
        yield place, raw


@pytest.fixture(scope="module")
def peer() -> Iterator[Dovecot]:
    """A Dovecot with the mails."""
    with dovecot() as running:
        running.put(letters(MAILS))
        yield running


@pytest.fixture(scope="module")
def clean(peer: Dovecot, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Extent, bytes | None]]:
    """What one clean fetch brings."""
    folder = tmp_path_factory.mktemp("clean")
    before = peer.files()
    assert fetch(folder, peer.port, peer.ca_file) == Collected(new=MAILS)
    assert peer.files() == before
    return stored(folder)


def stored(folder: Path) -> list[tuple[str, Extent, bytes | None]]:
    """Return the mails of a store, in the order of their fingerprints."""
    world = a_world(folder)
    with world.campaign.reading() as connection:
        found = sorted((one.sha256, one.extent, one.raw) for one in store.unsorted(connection))
    world.close()
    return found


def child(folder: Path, port: int, ca_file: Path, kind: str, number: int) -> int:
    """Fetch in a process of its own, which may be killed; return how it ended."""
    words = [sys.executable, "-m", "tests.acceptance.mail_fetcher", folder, port, ca_file, kind, number]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def test_a_clean_fetch_brings_every_mail_octet_for_octet(
    clean: list[tuple[str, Extent, bytes | None]],
) -> None:
    """As it lies in the Maildir, with the line ends of IMAP."""
    expected = sorted(raw.replace(b"\n", b"\r\n") for _, raw in letters(MAILS))
    assert sorted(raw for _, _, raw in clean if raw is not None) == expected
    assert {extent for _, extent, _ in clean} == {Extent.WHOLE}


def test_a_second_fetch_adds_nothing(
    peer: Dovecot, clean: list[tuple[str, Extent, bytes | None]], tmp_path: Path
) -> None:
    """The mark says that all is there."""
    fetch(tmp_path, peer.port, peer.ca_file)
    assert fetch(tmp_path, peer.port, peer.ca_file) == Collected()
    assert stored(tmp_path) == clean


def test_killed_again_and_again_it_loses_and_doubles_nothing(
    peer: Dovecot, clean: list[tuple[str, Extent, bytes | None]], tmp_path: Path
) -> None:
    """kill -9 between mails, in a statement, before a commit, behind it."""
    before = peer.files()
    lives = [("mail", 1), ("statement", 300), ("commit", 4), ("committed", 5), ("mail", 777), ("commit", 9)]
    for kind, number in lives:
        assert child(tmp_path, peer.port, peer.ca_file, kind, number) == -signal.SIGKILL
    assert 0 < len(stored(tmp_path)) < MAILS
    assert child(tmp_path, peer.port, peer.ca_file, "none", 0) == 0
    assert stored(tmp_path) == clean
    assert peer.files() == before


def test_cut_off_again_and_again_it_goes_on_where_it_was(
    peer: Dovecot, clean: list[tuple[str, Extent, bytes | None]], tmp_path: Path
) -> None:
    """In one fetch for as long as each connection brings something, else in the next."""
    with cutting_proxy(peer.port, [3_000, 3_000, 400_000, 2_000_000, 5_000_000, None]) as port:
        first = fetch(tmp_path, port, peer.ca_file)
        assert (first.new, first.stopped is not None) == (0, True)
        assert fetch(tmp_path, port, peer.ca_file) == Collected(new=MAILS)
    assert stored(tmp_path) == clean


def test_a_maildir_read_as_files_has_the_same_mails(
    peer: Dovecot, clean: list[tuple[str, Extent, bytes | None]]
) -> None:
    """Whoever changes from one to the other gets nothing twice."""
    mailbox = MaildirMailbox(Account(MailboxKind.MAILDIR, path=peer.maildir))
    assert sorted(map(fingerprint, mailbox.new(""))) == [sha256 for sha256, _, _ in clean]


def test_numbered_anew_all_is_read_again_and_nothing_is_added(
    peer: Dovecot, clean: list[tuple[str, Extent, bytes | None]], tmp_path: Path
) -> None:
    """UIDVALIDITY changed, and with it every UID."""
    fetch(tmp_path, peer.port, peer.ca_file)
    before = peer.files()
    peer.renumber()
    assert fetch(tmp_path, peer.port, peer.ca_file) == Collected(known=MAILS)
    assert fetch(tmp_path, peer.port, peer.ca_file) == Collected()
    assert stored(tmp_path) == clean
    assert peer.files() == before


@pytest.mark.parametrize(
    ("after", "left"),
    [
        (After(Afterwards.SEEN), {"S"}),
        (After(Afterwards.MOVE, "Réponses"), set()),
        (After(Afterwards.DELETE), set()),
    ],
    ids=str,
)
def test_after_is_done_to_what_is_stored(tmp_path: Path, after: After, left: set[str]) -> None:
    """By a server that is real: flags, MOVE, UIDPLUS, a folder with a name in UTF-7."""
    with dovecot() as small:
        small.put((name, raw) for name, raw in letters(40) if name.startswith("new"))
        assert fetch(tmp_path, small.port, small.ca_file, after=after) == Collected(new=20)
        assert {name.rpartition(",")[2] for name in small.files()} == left
        moved = len(list(small.maildir.glob(".R*/cur/*"))) + len(list(small.maildir.glob(".R*/new/*")))
        assert moved == (20 if after.action is Afterwards.MOVE else 0)
    assert len(stored(tmp_path)) == 20


def test_a_copy_of_the_maildir_collects_into_a_store_too(peer: Dovecot, tmp_path: Path) -> None:
    """The same loop, another mailbox; twice."""
    shutil.copytree(peer.maildir, tmp_path / "copy")
    world = a_world(tmp_path)
    shelf = Mails(world.campaign, clock=FakeClock())
    account = Account(MailboxKind.MAILDIR, path=tmp_path / "copy")
    assert collect(MaildirMailbox(account), shelf) == Collected(new=MAILS)
    assert collect(MaildirMailbox(account), shelf) == Collected()
    world.close()
