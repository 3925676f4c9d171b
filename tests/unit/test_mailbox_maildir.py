"""A Maildir is read: what counts as mail, what is remembered, what goes away meanwhile, what `after` does."""

from __future__ import annotations

import mailbox
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.replies.account import Account, After, Afterwards, MailboxKind
from pipeline.replies.mailbox import Extent, Fetched, MailboxUnreached, MailboxUnusable
from pipeline.replies.mailbox_maildir import MaildirMailbox

MAIL = b"From: ministry@example.org\nSubject: Re: the eleven\n\nWe have received your letter.\n"


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    """An empty Maildir."""
    mailbox.Maildir(tmp_path / "in", create=True).close()
    return tmp_path / "in"


def account(path: Path) -> Account:
    """Return the account of a Maildir."""
    return Account(MailboxKind.MAILDIR, path=path)


def put(maildir: Path, name: str, raw: bytes = MAIL) -> Path:
    """Put a file into the Maildir: ``name`` is new/... or cur/..."""
    path = maildir / name
    path.write_bytes(raw)
    return path


def fetched(maildir: Path, mark: str = "", **changes: object) -> tuple[list[Fetched], str]:
    """Return what is new, and the mark once it is stored."""
    box = MaildirMailbox(replace(account(maildir), **changes))  # type: ignore[arg-type]
    mails = list(box.new(mark))
    return mails, box.mark(mails)


def listing(maildir: Path) -> set[str]:
    """Return every file of the Maildir, by place and name."""
    return {str(path.relative_to(maildir)) for path in maildir.rglob("*") if path.is_file()}


# -- what is mail


def test_new_and_cur_are_read_and_nothing_is_touched(maildir: Path) -> None:
    """Not a name, not a time of change, not a flag."""
    put(maildir, "new/1700000001.a.host", b"one")
    put(maildir, "cur/1700000002.b.host:2,RS", b"two")
    put(maildir, "cur/1700000003.c.host!2,F", b"three")
    before = {name: (maildir / name).stat() for name in listing(maildir)}
    mails, _ = fetched(maildir)
    assert [(mail.raw, mail.source, mail.flags) for mail in mails] == [
        (b"one", "1700000001.a.host", frozenset()),
        (b"two", "1700000002.b.host", frozenset({"answered", "seen"})),
        (b"three", "1700000003.c.host", frozenset({"flagged"})),
    ]
    assert {mail.extent for mail in mails} == {Extent.WHOLE}
    after = {name: (maildir / name).stat() for name in listing(maildir)}
    assert {name: found.st_mtime_ns for name, found in before.items()} == {
        name: found.st_mtime_ns for name, found in after.items()
    }


def test_what_is_no_regular_file_is_passed_over(maildir: Path, tmp_path: Path) -> None:
    """A link could lead anywhere, a pipe would wait for ever."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"not mail")
    (maildir / "new" / "1.link").symlink_to(secret)
    (maildir / "new" / "2.folder").mkdir()
    os.mkfifo(maildir / "cur" / "3.pipe:2,")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(maildir / "new" / "4.sock"))
    put(maildir, "new/.hidden")
    put(maildir, "tmp/5.half")
    put(maildir, "new/6.mail", b"mail")
    mails, _ = fetched(maildir)
    assert [mail.raw for mail in mails] == [b"mail"]


def test_a_file_that_becomes_a_link_is_not_followed(
    maildir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even between the listing and the opening."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"not mail")

    def swap() -> None:
        (maildir / "new" / "1.mail").unlink()
        (maildir / "new" / "1.mail").symlink_to(secret)

    put(maildir, "new/1.mail")
    before_opening(monkeypatch, swap)
    mails, _ = fetched(maildir)
    assert mails == []


def test_of_a_large_mail_only_the_headers_are_read(maildir: Path) -> None:
    """And it is said why."""
    put(maildir, "new/1.mail", MAIL + b"x" * 10_000)
    [mail], _ = fetched(maildir, mail_bytes=5_000)
    assert mail.raw == MAIL[: MAIL.index(b"We have")]
    assert (mail.extent, mail.size) == (Extent.HEADERS, len(MAIL) + 10_000)
    assert mail.why == "larger than 5 000 octets: only its headers were kept"


def test_headers_without_an_end_are_cut(maildir: Path) -> None:
    """They are bounded too."""
    put(maildir, "new/1.mail", b"Subject: x\n" * 100_000)
    [mail], _ = fetched(maildir, mail_bytes=5_000)
    assert len(mail.raw) == 256 * 1024


def test_when_it_came_is_the_files_time_of_change(maildir: Path) -> None:
    """As IMAP servers over a Maildir have it."""
    os.utime(put(maildir, "new/1.mail"), (1_800_000_000, 1_800_000_000))
    [mail], _ = fetched(maildir)
    assert mail.received_at == datetime(2027, 1, 15, 8, tzinfo=UTC)


def test_older_mail_is_left_alone(maildir: Path) -> None:
    """`since` says from when on mail belongs to the campaign."""
    os.utime(put(maildir, "new/1.old", b"old"), (1_700_000_000, 1_700_000_000))
    os.utime(put(maildir, "new/2.new", b"new"), (1_800_000_000, 1_800_000_000))
    mails, _ = fetched(maildir, since=datetime(2026, 1, 1, tzinfo=UTC))
    assert [mail.raw for mail in mails] == [b"new"]


def test_a_name_that_is_no_utf_8_is_told_apart(maildir: Path) -> None:
    """It is stored as text all the same."""
    for name in (b"1.\xff", b"1.\xfe"):
        Path(os.fsdecode(os.fsencode(maildir / "new") + b"/" + name)).write_bytes(name)
    mails, mark = fetched(maildir)
    assert {mail.source for mail in mails} == {"1.\\xff", "1.\\xfe"}
    assert fetched(maildir, mark)[0] == []


def test_a_file_that_cannot_be_read_is_told_and_tried_again(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no reason to stop, and not forgotten."""
    put(maildir, "new/1.mail", b"one")
    put(maildir, "new/2.mail", b"two")
    with monkeypatch.context() as patched:
        refuse_opening(patched, "1.mail")
        mails, mark = fetched(maildir)
    assert [(mail.extent, mail.raw, mail.why) for mail in mails] == [
        (Extent.NOTHING, b"", "the file cannot be read: Permission denied"),
        (Extent.WHOLE, b"two", ""),
    ]
    assert [mail.raw for mail in fetched(maildir, mark)[0]] == [b"one"]


@pytest.mark.parametrize("missing", ["new", "cur"])
def test_what_is_no_maildir_is_told(maildir: Path, missing: str) -> None:
    """A wrong path must not look like an empty mailbox."""
    (maildir / missing).rmdir()
    with pytest.raises(MailboxUnusable, match=f"no folder {missing}/"):
        fetched(maildir)


def test_a_folder_that_cannot_be_listed_is_tried_later(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a mount that is gone for a moment."""

    def fails(path: object) -> object:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "scandir", fails)
    with pytest.raises(MailboxUnreached, match="Input/output error"):
        fetched(maildir)


# -- what is remembered


def test_the_mark_covers_what_is_stored_and_nothing_else(maildir: Path) -> None:
    """What was yielded and not stored comes again."""
    for number in range(5):
        put(maildir, f"new/{number}.mail", b"%d" % number)
    box = MaildirMailbox(account(maildir))
    mails = list(box.new(""))
    mark = box.mark(mails[:3])
    assert [mail.raw for mail in fetched(maildir, mark)[0]] == [b"3", b"4"]


def test_a_mail_moved_to_cur_or_flagged_is_the_same_mail(maildir: Path) -> None:
    """Its unique name stays."""
    path = put(maildir, "new/1.mail")
    _, mark = fetched(maildir)
    path = path.rename(maildir / "cur" / "1.mail:2,S")
    assert fetched(maildir, mark)[0] == []
    path.rename(maildir / "cur" / "1.mail:2,FRS")
    assert fetched(maildir, mark)[0] == []


def test_the_mark_forgets_what_is_gone(maildir: Path) -> None:
    """It grows with the folder and not with time."""
    paths = [put(maildir, f"new/{number}.mail") for number in range(100)]
    _, full = fetched(maildir)
    for path in paths[:99]:
        path.unlink()
    _, small = fetched(maildir, full)
    assert len(small) < len(full) / 20


@pytest.mark.parametrize("mark", ["{", "[]", "3", '{"known": 3}', '{"known": "\\u00ff"}', "[" * 100_000])
def test_a_mark_that_cannot_be_read_is_none(maildir: Path, mark: str) -> None:
    """Everything comes again, and is known again by its bytes."""
    put(maildir, "new/1.mail")
    assert len(fetched(maildir, mark)[0]) == 1


# -- what happens meanwhile


def before_opening(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object], *, times: int = 1) -> None:
    """Let something happen between the listing and the first openings."""
    left = [action] * times
    opening = os.open

    def open_(path: Path, flags: int) -> int:
        if left:
            left.pop()()
        return opening(path, flags)

    monkeypatch.setattr(os, "open", open_)


def refuse_opening(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the system refuse one file."""
    opening = os.open

    def open_(path: Path, flags: int) -> int:
        if path.name == name:
            raise PermissionError(13, "Permission denied")
        return opening(path, flags)

    monkeypatch.setattr(os, "open", open_)


def test_a_file_renamed_between_listing_and_opening_is_found_again(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail program opened it at that moment."""
    path = put(maildir, "new/1.mail", b"one")
    put(maildir, "new/2.mail", b"two")
    before_opening(monkeypatch, lambda: path.rename(maildir / "cur" / "1.mail:2,S"))
    mails, _ = fetched(maildir)
    assert sorted(mail.raw for mail in mails) == [b"one", b"two"]


def test_a_file_deleted_between_listing_and_opening_is_gone(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others come."""
    path = put(maildir, "new/1.mail")
    put(maildir, "new/2.mail", b"two")
    before_opening(monkeypatch, path.unlink)
    assert [mail.raw for mail in fetched(maildir)[0]] == [b"two"]


def test_a_file_that_is_never_where_it_was_listed_does_not_hold_the_fetch(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked for a few times, then left to the next fetch."""
    names = iter(range(1_000_000))
    here = [put(maildir, "cur/1.mail:2,")]

    def move() -> None:
        here[0] = here[0].rename(maildir / "cur" / f"1.mail:2,{'S' if next(names) % 2 else 'R'}")

    before_opening(monkeypatch, move, times=1_000)
    mails, mark = fetched(maildir)
    assert mails == []
    monkeypatch.undo()
    assert len(fetched(maildir, mark)[0]) == 1


# -- after


def settled(maildir: Path, after: After) -> str | None:
    """Fetch everything and do what is asked for."""
    box = MaildirMailbox(replace(account(maildir), after=after, mail_bytes=1_000))
    box.mark(list(box.new("")))
    return box.settle()


def a_few(maildir: Path) -> None:
    put(maildir, "new/1.mail")
    put(maildir, "cur/2.mail:2,F")
    put(maildir, "cur/3.mail!2,", b"Subject: large\n\n" + b"x" * 5_000)


def test_keep_does_nothing(maildir: Path) -> None:
    """It is the default."""
    a_few(maildir)
    before = listing(maildir)
    assert settled(maildir, After()) is None
    assert listing(maildir) == before


def test_seen_sets_the_flag_where_the_mail_lies(maildir: Path) -> None:
    """A new one moves to cur/, for there flags are kept."""
    a_few(maildir)
    settled(maildir, After(Afterwards.SEEN))
    assert listing(maildir) == {"cur/1.mail:2,S", "cur/2.mail:2,FS", "cur/3.mail!2,S"}


def test_move_makes_the_folder(maildir: Path) -> None:
    """A Maildir++ folder, beside the others."""
    a_few(maildir)
    settled(maildir, After(Afterwards.MOVE, "Done/../2027"))
    moved = {"1.mail:2,", "2.mail:2,F", "3.mail!2,"}
    assert listing(maildir) == {f".Done....2027/cur/{name}" for name in moved}
    assert mailbox.Maildir(maildir).list_folders() == ["Done....2027"]


def test_delete_spares_what_is_not_whole_in_the_store(maildir: Path) -> None:
    """Of the large one only the headers were kept."""
    a_few(maildir)
    settled(maildir, After(Afterwards.DELETE))
    assert listing(maildir) == {"cur/3.mail!2,"}


def test_what_was_not_done_before_a_crash_is_done_at_the_next_fetch(maildir: Path) -> None:
    """The mark that was stored with the mails says so."""
    a_few(maildir)
    after = After(Afterwards.SEEN)
    box = MaildirMailbox(replace(account(maildir), after=after))
    mark = box.mark(list(box.new("")))
    again = MaildirMailbox(replace(account(maildir), after=after))
    assert list(again.new(mark)) == []
    assert again.settle() is not None
    assert "cur/1.mail:2,S" in listing(maildir)
    assert again.settle() is None


def test_what_cannot_be_done_is_told(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mail is stored; only `after` failed."""
    a_few(maildir)

    def fails(self: Path, target: Path) -> Path:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(MailboxUnusable, match="Read-only file system"):
        settled(maildir, After(Afterwards.SEEN))


# -- any mail


@given(raws=st.lists(st.binary(max_size=300), max_size=8), flags=st.sets(st.sampled_from("FRST")))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_what_another_program_wrote_comes_back_octet_for_octet(
    tmp_path: Path, raws: list[bytes], flags: set[str]
) -> None:
    """The writer is the standard library's Maildir; fetched in two halves, nothing is lost or doubled."""
    path = tmp_path / f"in{len(list(tmp_path.iterdir()))}"
    writer = mailbox.Maildir(path, create=True)
    for raw in raws:
        message = mailbox.MaildirMessage(raw)
        message.set_subdir("cur")
        message.set_flags("".join(flags))
        name = writer.add(message)
        (path / "cur" / f"{name}:2,{''.join(sorted(flags))}").write_bytes(raw)
    writer.close()
    box = MaildirMailbox(account(path))
    first = list(box.new(""))[: len(raws) // 2]
    second, _ = fetched(path, box.mark(first))
    assert sorted(mail.raw for mail in (*first, *second)) == sorted(raws)
