"""An mbox file is read: every dialect, while it grows, is cut or is replaced, and with little memory."""

from __future__ import annotations

import mailbox
import os
import re
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipeline.replies.account import Account, MailboxKind
from pipeline.replies.mailbox import Extent, Fetched, MailboxUnreached, MailboxUnusable
from pipeline.replies.mailbox_mbox import MboxMailbox
from tests.clocks import START, FakeClock

FROM = b"From ministry@example.org Sat May  1 10:00:00 2027"
ONE = b"Subject: one\n\nWe have received your letter.\n"
TWO = b"Subject: two\n\nThe minister will answer.\n"
LONG_AGO = START.timestamp() - 3_600


def mboxrd(mails: Iterable[bytes], end: bytes = b"\n") -> bytes:
    """Write mails as mboxrd: From lines in bodies, quoted or not, get one more ">"."""
    parts = [FROM + b"\n" + re.sub(rb"(?m)^(>*From )", rb">\1", mail) + b"\n" for mail in mails]
    return b"".join(parts).replace(b"\n", end)


def mboxo(mails: Iterable[bytes], end: bytes = b"\n") -> bytes:
    """Write mails as mboxo: only From lines that are not quoted get a ">"."""
    parts = [FROM + b"\n" + re.sub(rb"(?m)^From ", b">From ", mail) + b"\n" for mail in mails]
    return b"".join(parts).replace(b"\n", end)


class Spool:
    """An mbox file and what is remembered of it. It lies still unless said otherwise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mark = ""

    def write(self, text: bytes, *, age: float = 3_600) -> None:
        """Replace what is in the file."""
        self.path.write_bytes(text)
        os.utime(self.path, (START.timestamp() - age,) * 2)

    def add(self, text: bytes, *, age: float = 3_600) -> None:
        """Append to the file."""
        self.write(self.path.read_bytes() + text, age=age)

    def box(self, **changes: object) -> MboxMailbox:
        """Return a mailbox on the file."""
        account = replace(Account(MailboxKind.MBOX, path=self.path), **changes)  # type: ignore[arg-type]
        return MboxMailbox(account, clock=FakeClock())

    def mails(self, **changes: object) -> list[Fetched]:
        """Fetch and store what is new."""
        box = self.box(**changes)
        found = list(box.new(self.mark))
        self.mark = box.mark(found)
        return found

    def raws(self) -> list[bytes]:
        """Fetch and store what is new; return the octets."""
        return [mail.raw for mail in self.mails()]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A file that is not there yet."""
    return Spool(tmp_path / "spool")


# -- dialects


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_every_line_end_is_read(spool: Spool, end: bytes) -> None:
    """CRLF stays, CR becomes LF: no mail has lines that end with CR."""
    spool.write(mboxrd([ONE, TWO], end))
    kept = b"\r\n" if end == b"\r\n" else b"\n"
    assert spool.raws() == [ONE.replace(b"\n", kept), TWO.replace(b"\n", kept)]


def test_an_empty_line_between_mails_is_not_needed(spool: Spool) -> None:
    """Some writers leave it out."""
    spool.write(FROM + b"\n" + ONE + FROM + b"\n" + TWO)
    assert spool.raws() == [ONE, TWO]


def test_a_line_that_only_begins_like_a_from_line_is_text(spool: Spool) -> None:
    """A writer that counts octets (mboxcl) does not quote it."""
    mail = b"Subject: x\n\nFrom now on write to us.\n\nFrom here to there\nFrom: me\n"
    spool.write(FROM + b"\n" + mail + b"\n" + FROM + b"\n" + TWO + b"\n")
    assert spool.raws() == [mail, TWO]


@pytest.mark.parametrize(
    ("line", "moment"),
    [
        (b"From a@b.example Sat May  1 10:00:00 2027", datetime(2027, 5, 1, 10, tzinfo=UTC)),
        (b"From - Sat May 01 10:00:00 2027", datetime(2027, 5, 1, 10, tzinfo=UTC)),
        (b"From MAILER-DAEMON Sat May  1 10:00 2027", datetime(2027, 5, 1, 10, tzinfo=UTC)),
        (b"From 17@xxx Sat May 01 10:00:00 +0200 2027", datetime(2027, 5, 1, 8, tzinfo=UTC)),
        (b"From a@b Sat May  1 10:00:00 2027 -0330", datetime(2027, 5, 1, 13, 30, tzinfo=UTC)),
        (b"From a@b Sat May  1 10:00:00 MSK 2027", datetime(2027, 5, 1, 10, tzinfo=UTC)),
        (
            b'From "a b"@c.example Sat May  1 10:00:00 2027 remote from uucp',
            datetime(2027, 5, 1, 10, tzinfo=UTC),
        ),
        (b"From a@b Sat, 01 May 2027 10:00:00 +0000", datetime(2027, 5, 1, 10, tzinfo=UTC)),
        (b"From a@b Sat May 99 10:00:00 2027", None),
        (b"From a@b", None),
    ],
)
def test_from_lines_of_many_programs_are_read(spool: Spool, line: bytes, moment: datetime | None) -> None:
    """The date says when the mailbox got the mail."""
    spool.write(line + b"\n" + ONE + b"\n")
    [mail] = spool.mails()
    assert (mail.raw, mail.received_at) == (ONE, moment)


def test_what_belongs_to_the_mailbox_is_left_out(spool: Spool) -> None:
    """Mail programs rewrite it in place; the mail stays the same mail."""
    own = b"Status: RO\nX-Status: AF\nX-Keywords: a\n b\nContent-Length: 30\nLines: 1\nX-UID: 7\nX-IMAP: 1\n"
    spool.write(mboxrd([own + ONE, b"Status: O\n" + TWO]))
    mails = spool.mails()
    assert [mail.raw for mail in mails] == [ONE, TWO]
    assert [mail.flags for mail in mails] == [frozenset({"seen", "answered", "flagged"}), frozenset()]


def test_a_status_line_in_a_body_is_text(spool: Spool) -> None:
    """Only the header section belongs to the mailbox."""
    mail = b"Subject: x\n\nStatus: refused\n"
    spool.write(mboxrd([mail]))
    assert spool.raws() == [mail]


# -- marks


def test_a_second_fetch_brings_what_was_appended(spool: Spool) -> None:
    """And nothing again."""
    spool.write(mboxrd([ONE]))
    assert spool.raws() == [ONE]
    assert spool.raws() == []
    spool.add(mboxrd([TWO]))
    assert spool.raws() == [TWO]


def test_the_mark_covers_what_is_stored_and_nothing_else(spool: Spool) -> None:
    """What was yielded and not stored comes again."""
    spool.write(mboxrd([ONE, TWO, ONE]))
    box = spool.box()
    spool.mark = box.mark(list(box.new(""))[:1])
    assert spool.raws() == [TWO, ONE]


def test_a_mail_that_was_not_written_to_its_end_is_read_again(spool: Spool) -> None:
    """Its writer paused behind an empty line; the half and the whole are two mails, and none is lost."""
    spool.write(FROM + b"\nSubject: slow\n\nfirst\n\n")
    assert spool.raws() == [b"Subject: slow\n\nfirst\n"]
    spool.add(b"second\n\n" + mboxrd([TWO]))
    assert spool.raws() == [b"Subject: slow\n\nfirst\n\nsecond\n", TWO]


def test_a_last_mail_that_may_still_grow_is_left_alone(spool: Spool) -> None:
    """No empty line ends it, and the file changed a moment ago."""
    spool.write(mboxrd([ONE]) + FROM + b"\nSubject: slow\n\nfir", age=1)
    assert spool.raws() == [ONE]
    spool.add(b"st\n\n", age=1)
    assert spool.raws() == [b"Subject: slow\n\nfirst\n"]


def test_a_file_that_lies_still_is_read_to_its_end(spool: Spool) -> None:
    """Exports often lack the last empty line."""
    spool.write(FROM + b"\nSubject: x\n\nthe end", age=11)
    assert spool.raws() == [b"Subject: x\n\nthe end"]


def test_a_clock_that_is_behind_the_files_does_not_hold_mail_back(spool: Spool) -> None:
    """The file's time may come from another machine."""
    spool.write(FROM + b"\nSubject: x\n\nthe end", age=-3_600)
    assert spool.raws() == [b"Subject: x\n\nthe end"]


def test_mail_that_is_appended_while_the_last_is_read_is_left_to_the_next_fetch(spool: Spool) -> None:
    """The last mail may be the one that grows."""
    spool.write(mboxrd([ONE, TWO]))
    box = spool.box()
    mails = box.new("")
    first = next(mails)
    spool.add(mboxrd([ONE]))
    rest = list(mails)
    spool.mark = box.mark([first, *rest])
    assert [mail.raw for mail in (first, *rest)] == [ONE]
    assert spool.raws() == [TWO, ONE]


@pytest.mark.parametrize(
    "after", [mboxrd([TWO]), mboxrd([TWO, ONE, TWO]), b""], ids=["cut", "replaced", "empty"]
)
def test_a_file_that_was_truncated_or_replaced_is_read_again(spool: Spool, after: bytes) -> None:
    """Its octets before the mark are not those that were read."""
    spool.write(mboxrd([ONE, ONE, ONE]))
    spool.mails()
    spool.write(after)
    expected = {mboxrd([TWO]): [TWO], mboxrd([TWO, ONE, TWO]): [TWO, ONE, TWO], b"": []}[after]
    assert spool.raws() == expected


def test_a_file_cut_while_it_is_read_ends_the_fetch(spool: Spool) -> None:
    """The part that was there is no mail."""
    big = b"Subject: big\n\n" + b"line\n" * 100_000
    spool.write(mboxrd([ONE, big, TWO]))
    mails = spool.box().new("")
    assert next(mails).raw == ONE
    os.truncate(spool.path, 200_000)
    assert list(mails) == []


@pytest.mark.parametrize(
    "mark", ["", "{", "[]", "3", '{"begin": 5, "end": 3, "head": "", "tail": ""}', "[" * 99_999]
)
def test_a_mark_that_cannot_be_read_is_none(spool: Spool, mark: str) -> None:
    """Everything comes again, and is known again by its bytes."""
    spool.write(mboxrd([ONE]))
    spool.mark = mark
    assert spool.raws() == [ONE]


def test_an_empty_spool_that_is_deleted_is_no_fault(spool: Spool) -> None:
    """Some systems keep none for a user without mail; but one that never was is a slip."""
    with pytest.raises(MailboxUnusable, match="no such file"):
        spool.mails()
    spool.write(mboxrd([ONE]))
    spool.mails()
    spool.path.unlink()
    assert spool.raws() == []


def test_older_mail_is_left_alone(spool: Spool) -> None:
    """`since` says from when on mail belongs to the campaign."""
    old = b"From a@b.example Fri Jan  1 10:00:00 2021\n" + TWO + b"\n"
    spool.write(old + mboxrd([ONE]))
    assert [mail.raw for mail in spool.mails(since=datetime(2027, 1, 1, tzinfo=UTC))] == [ONE]


# -- what is no mbox


@pytest.mark.parametrize("text", [b"Subject: x\n\nno mbox\n", b"\n\n\nhello", b"\0" * 100])
def test_what_is_no_mbox_is_told(spool: Spool, text: bytes) -> None:
    """A wrong path must not look like an empty mailbox."""
    spool.write(text)
    with pytest.raises(MailboxUnusable, match="is no mbox"):
        spool.mails()


def test_a_folder_or_a_pipe_is_no_mbox(tmp_path: Path) -> None:
    """A pipe would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(MailboxUnusable, match="is no file"):
            Spool(path).mails()


def test_a_file_that_may_not_be_read_is_tried_later(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a mount that is gone for a moment."""
    spool.write(mboxrd([ONE]))

    def refuses(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuses)
    with pytest.raises(MailboxUnreached, match="Permission denied"):
        spool.mails()


def test_empty_lines_before_the_first_mail_are_passed_over(spool: Spool) -> None:
    """An editor may have left them."""
    spool.write(b"\n\n" + mboxrd([ONE]))
    assert spool.raws() == [ONE]


# -- bounds


def test_of_a_large_mail_only_the_headers_are_kept(spool: Spool) -> None:
    """And the next one is read."""
    spool.write(mboxrd([b"Subject: large\n\n" + b"x" * 100_000, TWO]))
    large, two = spool.mails(mail_bytes=10_000)
    assert (large.raw, large.extent) == (b"Subject: large\n\n", Extent.HEADERS)
    assert large.size > 100_000
    assert large.why
    assert two.raw == TWO


@pytest.mark.parametrize(
    "filler", [b"x" * 60_000_000, b">" * 60_000_000, b"From " + b"9" * 60_000_000, b"x\n" * 500_000]
)
def test_memory_is_bounded_by_the_limit_and_not_by_the_file(spool: Spool, filler: bytes) -> None:
    """One line without an end, or many: what is too large passes by."""
    spool.write(mboxrd([b"Subject: large\n\n" + filler, TWO]))
    del filler
    tracemalloc.start()
    try:
        kept = [mail.raw for mail in spool.mails(mail_bytes=500_000)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept == [b"Subject: large\n\n", TWO]
    assert peak < 8_000_000


# -- any mail

headers = st.lists(st.sampled_from([b"Subject: x", b"From: a@b.example", b"To: c", b" folded"]), max_size=4)
lines = st.lists(
    st.sampled_from(
        [b"", b"text", b"From now on", FROM, b">" + FROM, b">>From x", b"From ", b">From", b"Status: R"]
    )
    | st.binary(max_size=30).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"")),
    max_size=8,
)
mails_ = st.lists(
    st.tuples(headers, lines).map(
        lambda both: b"Subject: first\n" + b"".join(one + b"\n" for one in (*both[0], b"", *both[1]))
    ),
    max_size=6,
)
WRITING = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)


@given(mails=mails_, end=st.sampled_from([b"\n", b"\r\n", b"\r"]), stored=st.integers(0, 6))
@WRITING
def test_mboxrd_comes_back_octet_for_octet(spool: Spool, mails: list[bytes], end: bytes, stored: int) -> None:
    """Whatever the bodies hold; fetched in two parts, nothing is lost or doubled."""
    assume(end != b"\r" or not any(b"\0" in mail for mail in mails))
    spool.write(mboxrd(mails, end))
    box = spool.box()
    first = list(box.new(""))[:stored]
    spool.mark = box.mark(first) if first else ""
    kept = b"\r\n" if end == b"\r\n" else b"\n"
    assert [mail.raw for mail in first] + spool.raws() == [mail.replace(b"\n", kept) for mail in mails]


@given(mails=mails_)
@WRITING
def test_mboxo_comes_back_as_far_as_it_can(spool: Spool, mails: list[bytes]) -> None:
    """The dialect cannot tell a quoted From line of its own from one of the mail's."""
    spool.mark = ""
    spool.write(mboxo(mails))

    def alike(mail: bytes) -> bytes:
        return re.sub(rb"(?m)^>*From ", b"From ", mail)

    assert [alike(raw) for raw in spool.raws()] == [alike(mail) for mail in mails]


@given(mails=mails_)
@WRITING
def test_what_the_standard_librarys_mbox_wrote_comes_back(spool: Spool, mails: list[bytes]) -> None:
    """A writer that is not ours; it quotes as mboxo does."""
    spool.mark = ""
    spool.write(b"")
    writer = mailbox.mbox(spool.path)
    for mail in mails:
        writer.add(mail)
    writer.close()
    os.utime(spool.path, (LONG_AGO, LONG_AGO))

    def alike(mail: bytes) -> bytes:
        return re.sub(rb"(?m)^>*From ", b"From ", mail)

    assert [alike(raw) for raw in spool.raws()] == [alike(mail) for mail in mails]


@given(text=st.binary(max_size=400), cut=st.integers(0, 400))
@WRITING
def test_no_file_makes_the_reader_fail(spool: Spool, text: bytes, cut: int) -> None:
    """It is read, or refused in words; then again after any cut."""
    spool.mark = ""
    for content in (FROM + b"\n" + text, (FROM + b"\n" + text)[:cut], text):
        spool.write(content)
        try:
            spool.mails()
        except MailboxUnusable:
            continue


def test_a_mark_far_behind_the_end_is_no_fault(spool: Spool) -> None:
    """A file may have shrunk since, by any amount."""
    spool.write(mboxrd([ONE] * 3))
    spool.mails()
    for size in range(0, spool.path.stat().st_size, 7):
        mark = spool.mark
        spool.write(mboxrd([ONE] * 3)[:size])
        spool.mails()
        spool.mark = mark


def test_the_fake_clock_is_later_than_the_files() -> None:
    """What the ages above rest on."""
    assert timedelta(0) <= FakeClock().now() - START < timedelta(seconds=1)
