"""From a mailbox into a real store: each mail once, mark and mails together, whatever breaks in between."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.clock import to_us
from pipeline.errors import StoreUnwritable
from pipeline.replies import collecting
from pipeline.replies.account import Account, MailboxKind
from pipeline.replies.collecting import Collected, collect
from pipeline.replies.mailbox import (
    Extent,
    Fetched,
    MailboxUnreached,
    MailboxUnusable,
    Mark,
    fingerprint,
    headers_of,
)
from pipeline.replies.mailbox_opening import open_mailbox
from pipeline.store import mails as store
from pipeline.store.mails import Mails
from pipeline.store.tables import mails as rows
from pipeline.store.world import World
from tests.clocks import START, FakeClock
from tests.postgres import BOTH
from tests.unit.store_support import a_world

pytestmark = BOTH


def a_mail(number: int, raw: bytes = b"", extent: Extent = Extent.WHOLE) -> Fetched:
    """Return a mail that is like no other."""
    raw = raw or b"Subject: reply %d\n\nReceived.\n" % number
    why = "" if extent is Extent.WHOLE else "larger than 1 octets: only its headers were kept"
    return Fetched(raw, extent, len(raw), f"7/{number}", START, frozenset({"seen", "flagged"}), why)


class Box:
    """A mailbox in memory: its mark is how many mails are stored; it may be lost at one of them."""

    name = "box"

    def __init__(
        self,
        mails: Sequence[Fetched],
        *,
        lost_at: int | None = None,
        trouble: type[Exception] = MailboxUnreached,
    ) -> None:
        self.mails = list(mails)
        self.lost_at = lost_at
        self.trouble = trouble
        self.at = 0
        self.owed = 0
        self.done = 0
        self.settles = False
        self.closed = False

    def new(self, since: Mark) -> Iterator[Fetched]:
        self.at = int(since or 0)
        for number in range(self.at, len(self.mails)):
            if number == self.lost_at:
                raise self.trouble("box: the connection was lost")
            yield self.mails[number]

    def mark(self, stored: Sequence[Fetched]) -> Mark:
        self.at += len(stored)
        self.owed += len(stored)
        return str(self.at)

    def settle(self) -> Mark | None:
        if not self.settles:
            return None
        self.done, self.owed = self.done + self.owed, 0
        return str(self.at)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A campaign's store."""
    opened = a_world(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def shelf(world: World) -> Mails:
    """Where mail is kept."""
    return Mails(world.campaign, clock=FakeClock())


def kept(world: World) -> list[bytes | None]:
    """Return the mails of the store, in the order in which they came."""
    with world.campaign.reading() as connection:
        return [one.raw for one in store.unsorted(connection)]


# -- collecting


def test_new_mail_is_stored_once(world: World, shelf: Mails) -> None:
    """A second fetch adds nothing."""
    box = Box([a_mail(number) for number in range(5)])
    assert collect(box, shelf) == Collected(new=5)
    assert collect(Box(box.mails), shelf) == Collected()
    assert kept(world) == [mail.raw for mail in box.mails]
    assert box.closed


def test_what_comes_again_under_another_number_is_known(world: World, shelf: Mails) -> None:
    """By its octets, whatever its line ends."""
    collect(Box([a_mail(1), a_mail(2)]), shelf)
    shelf.remember("box", "")
    again = [a_mail(3, raw=a_mail(1).raw.replace(b"\n", b"\r\n")), a_mail(2), a_mail(9)]
    assert collect(Box(again), shelf) == Collected(new=1, known=2)
    assert kept(world) == [a_mail(1).raw, a_mail(2).raw, a_mail(9).raw]


def test_what_came_before_the_mailbox_was_lost_is_kept(world: World, shelf: Mails) -> None:
    """And the next fetch goes on behind it."""
    mails = [a_mail(number) for number in range(7)]
    first = collect(Box(mails, lost_at=4), shelf)
    assert (first.new, first.stopped is not None) == (4, True)
    assert collect(Box(mails), shelf) == Collected(new=3)
    assert kept(world) == [mail.raw for mail in mails]


def test_what_came_before_a_person_is_needed_is_kept_too(world: World, shelf: Mails) -> None:
    """Then it is said."""
    box = Box([a_mail(number) for number in range(7)], lost_at=4, trouble=MailboxUnusable)
    with pytest.raises(MailboxUnusable):
        collect(box, shelf)
    assert len(kept(world)) == 4
    assert box.closed


def test_batches_are_bounded(world: World, shelf: Mails, monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by octets, so that memory is."""
    sizes: list[int] = []
    keep = shelf.keep

    def counted(mailbox: str, batch: Sequence[Fetched], mark: Mark) -> int:
        sizes.append(len(batch))
        return keep(mailbox, batch, mark)

    monkeypatch.setattr(shelf, "keep", counted)
    monkeypatch.setattr(collecting, "BATCH_MAILS", 4)
    monkeypatch.setattr(collecting, "BATCH_BYTES", 1_000)
    collect(
        Box([*(a_mail(number) for number in range(9)), *(a_mail(n, b"%d" % n * 600) for n in (10, 11))]),
        shelf,
    )
    assert sizes == [4, 4, 2, 1]


def test_what_is_not_whole_is_counted(shelf: Mails) -> None:
    """So that somebody looks into the mailbox."""
    box = Box([a_mail(1), a_mail(2, extent=Extent.HEADERS), a_mail(3, extent=Extent.NOTHING)])
    assert collect(box, shelf) == Collected(new=3, partial=2)


def test_after_is_done_to_mail_that_is_stored(shelf: Mails) -> None:
    """And to all of it."""
    box = Box([a_mail(number) for number in range(5)])
    box.settles = True
    collect(box, shelf)
    assert (box.done, box.owed) == (5, 0)


def test_a_store_that_cannot_be_written_does_nothing_to_the_mailbox(
    world: World, shelf: Mails, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No mail is deleted that is not stored; the mark stays where it was."""
    box = Box([a_mail(number) for number in range(5)])
    box.settles = True

    def fails(connection: sa.Connection, mailbox: str, mark: Mark) -> None:
        raise StoreUnwritable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(store, "_remember", fails)
        with pytest.raises(StoreUnwritable):
            collect(box, shelf)
    assert (box.done, box.closed, shelf.mark("box"), kept(world)) == (0, True, "", [])


@given(count=st.integers(0, 30), breaks=st.lists(st.integers(0, 30), max_size=5), seed=st.integers(0, 99))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
def test_however_often_it_breaks_each_mail_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, count: int, breaks: list[int], seed: int
) -> None:
    """Lost connections in any place, and doubles in the mailbox."""
    world = a_world(tmp_path_factory.mktemp("world"))
    shelf = Mails(world.campaign, clock=FakeClock())
    chance = random.Random(seed)
    mails = [a_mail(chance.randrange(20)) for _ in range(count)]
    for at in breaks:
        collect(Box(mails, lost_at=at), shelf)
    collect(Box(mails), shelf)
    assert kept(world) == list(dict.fromkeys(mail.raw for mail in mails))
    world.close()


@pytest.mark.parametrize("kind", MailboxKind)
def test_every_kind_of_account_opens_a_mailbox_of_its_name(kind: MailboxKind, tmp_path: Path) -> None:
    """Nothing is opened before it is read: no server is there, and no file."""
    remote = kind in (MailboxKind.IMAP, MailboxKind.IMAPS)
    account = Account(kind, "imap.example.org", 993, "me") if remote else Account(kind, path=tmp_path / "in")
    mailbox = open_mailbox(account, secret=lambda: pytest.fail("asked for"), clock=FakeClock())
    assert mailbox.name == account.name
    mailbox.close()


# -- the store


def test_a_mail_is_stored_as_it_came(world: World, shelf: Mails) -> None:
    """Octets, place, time, flags, and why there is not more."""
    raw = bytes(range(256)) * 40
    whole, part = a_mail(1, raw), a_mail(2, b"Subject: x\n\n", Extent.HEADERS)
    shelf.keep("box", [whole, part], "9")
    with world.campaign.reading() as connection:
        first, second = store.unsorted(connection)
        assert store.mail(connection, first.id) == first
        assert store.mail(connection, 99) is None
    assert (first.raw, first.mailbox, first.source, first.sha256) == (raw, "box", "7/1", fingerprint(whole))
    assert (first.received_at, first.flags) == (START, frozenset({"seen", "flagged"}))
    assert (second.raw, second.extent, second.why) == (part.raw, Extent.HEADERS, part.why)
    assert first.fetched_at >= START


def test_marks_of_mailboxes_are_their_own(shelf: Mails) -> None:
    """A campaign may change its mailbox, and change back."""
    shelf.keep("one", [], "1")
    shelf.keep("two", [], "2")
    shelf.remember("one", "3")
    assert (shelf.mark("one"), shelf.mark("two"), shelf.mark("three")) == ("3", "2", "")


def test_sorted_mail_does_not_wait_any_more(world: World, shelf: Mails) -> None:
    """The others do, in their order, however many."""
    shelf.keep("box", [a_mail(number) for number in range(250)], "250")
    with world.campaign.writing() as connection:
        waiting = list(store.unsorted(connection))
        assert len(waiting) == 250
        store.sorted_now(connection, [one.id for one in waiting[:100]], now_us=to_us(START))
        store.sorted_now(connection, [], now_us=to_us(START))
        assert [one.id for one in store.unsorted(connection)] == [one.id for one in waiting[100:]]
        assert [one.id for one in store.unsorted(connection, after=waiting[199].id)] == [
            one.id for one in waiting[200:]
        ]


def test_an_erased_mail_is_still_known(world: World, shelf: Mails) -> None:
    """So that it does not come back from the mailbox."""
    shelf.keep("box", [a_mail(1)], "1")
    with world.campaign.writing() as connection:
        connection.execute(sa.update(rows).values(raw=None))
    assert shelf.keep("box", [a_mail(1)], "1") == 0
    assert kept(world) == [None]


def test_a_mail_whose_time_is_not_known_is_stored(world: World, shelf: Mails) -> None:
    """No mailbox has to say it."""
    mail = Fetched(b"x", Extent.WHOLE, 1, "", None, frozenset())
    shelf.keep("box", [mail], "1")
    with world.campaign.reading() as connection:
        assert next(store.unsorted(connection)).received_at is None


# -- what a mail is known by


def test_line_ends_do_not_make_another_mail() -> None:
    """IMAP has CRLF, a Maildir LF."""
    assert fingerprint(a_mail(1, b"a\r\nb\r\n")) == fingerprint(a_mail(2, b"a\nb\n"))


def test_a_part_is_not_the_whole() -> None:
    """A mail of which there were only headers is another when it comes whole."""
    raw = b"Subject: x\n\n"
    different = {
        fingerprint(a_mail(1, raw)),
        fingerprint(a_mail(1, raw, Extent.HEADERS)),
        fingerprint(Fetched(b"", Extent.NOTHING, 0, "7/1", None, frozenset())),
        fingerprint(Fetched(b"", Extent.NOTHING, 0, "7/2", None, frozenset())),
    }
    assert len(different) == 4


def test_when_it_came_and_where_it_lay_make_no_other_mail() -> None:
    """It may be moved, and read by another program."""
    one = Fetched(b"x", Extent.WHOLE, 1, "7/1", START, frozenset())
    other = Fetched(b"x", Extent.WHOLE, 1, "8/2", datetime(2020, 1, 1, tzinfo=UTC), frozenset({"seen"}))
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    ("start", "headers"),
    [
        (b"A: b\n\nbody\n\n", b"A: b\n\n"),
        (b"A: b\r\n\r\nbody", b"A: b\r\n\r\n"),
        (b"A: b\n\r\nbody\n\n", b"A: b\n\r\n"),
        (b"A: b\nC: d", b"A: b\nC: d"),
        (b"", b""),
    ],
)
def test_headers_end_at_the_first_empty_line(start: bytes, headers: bytes) -> None:
    """Whatever the line ends."""
    assert headers_of(start) == headers
