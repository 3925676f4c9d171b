"""A Maildir: `new/` and `cur/`, read without touching a file.

A mail is known by its unique name, the part before the flags (``:2,S``; ``!2,S`` and ``;2,S`` where the file
system has no colon), which stays when another program moves it from `new/` to `cur/` or changes its flags. A
file that goes away between the listing and the opening is looked for again under its unique name.

Only regular files are mail: links, devices, pipes and folders are passed over, and so are names that begin
with a dot, and `tmp/`. The standard library's `mailbox.Maildir` follows links, reads whole files whatever
their size, and moves what lies in `tmp/`; hence not that.

The mark holds 8 octets of SHA-256 of each unique name that is stored and still there, so it grows with the
folder and not with time. What `after` asks for is done by unique name.

Limits: POSIX. No subfolders (a Maildir++ folder is named by its own path), no dovecot-uidlist. When the mail
came is the file's time of change.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.problem import visible
from pipeline.replies.account import Account, Afterwards
from pipeline.replies.mailbox import (
    HEADER_BYTES,
    Extent,
    Fetched,
    MailboxUnreached,
    MailboxUnusable,
    Mark,
    headers_of,
    too_large,
)

PLACES = ("new", "cur")
PASSES = 3  # listings in one fetch, while files go away under our hands
MOST_MARK = 64 * 1024 * 1024  # characters of a mark that is read
_HASH = 8
_FLAGS = {"S": "seen", "R": "answered", "F": "flagged", "T": "deleted", "D": "draft"}
_INFO = re.compile(r"[:!;]2,([A-Za-z]*)$")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file of the Maildir: where it lay when it was listed."""

    place: str  # new or cur
    name: str

    @property
    def unique(self) -> str:
        """Return the part of the name that stays; bytes that are no UTF-8 as escapes."""
        raw = os.fsencode(_INFO.sub("", self.name))
        return raw.decode("utf-8", "backslashreplace")

    @property
    def letters(self) -> str:
        """Return the letters of its flags."""
        info = _INFO.search(self.name)
        return info[1] if info else ""


class MaildirMailbox:
    """One Maildir."""

    def __init__(self, account: Account) -> None:
        assert account.path is not None
        self._account = account
        self._path = account.path
        self._known: set[bytes] = set()
        self._owed: list[str] = []

    @property
    def name(self) -> str:
        """Return what marks are kept under."""
        return self._account.name

    def new(self, since: Mark) -> Iterator[Fetched]:
        """Yield the mails that ``since`` does not know, by name, which begins with the time of delivery."""
        self._known, self._owed = _read_mark(since)
        entries = self._listed()
        self._known &= {_hash(entry.unique) for entry in entries}  # the mark forgets what went away
        yielded = set(self._known)
        for _ in range(PASSES):
            gone = False
            for entry in entries:
                if (known := _hash(entry.unique)) in yielded:
                    continue
                mail = self._read(entry)
                if mail is None:
                    gone = True
                    continue
                yielded.add(known)
                if self._is_recent(mail.received_at):
                    yield mail
            if not gone:
                return
            entries = self._listed()

    def mark(self, stored: Sequence[Fetched]) -> Mark:
        """Return the mark with ``stored`` known."""
        # What could not be read is tried again.
        self._known |= {_hash(mail.source) for mail in stored if mail.extent is not Extent.NOTHING}
        self._owed += [mail.source for mail in stored if self._wanted(mail)]
        return self._written()

    def settle(self) -> Mark | None:
        """Do what `after` asks for; a file that is gone is done."""
        if not self._owed:
            return None
        where = {entry.unique: entry for entry in self._listed()}
        for unique in self._owed:
            if (entry := where.get(unique)) is not None:
                self._do_to(entry)
        self._owed.clear()
        return self._written()

    def close(self) -> None:
        """Nothing is held open."""

    def _written(self) -> Mark:
        known = base64.b85encode(b"".join(sorted(self._known))).decode("ascii")
        return json.dumps({"known": known} | ({"owed": self._owed} if self._owed else {}))

    def _wanted(self, mail: Fetched) -> bool:
        action = self._account.after.action
        return action is not Afterwards.KEEP and (
            mail.extent is Extent.WHOLE or action is not Afterwards.DELETE
        )

    def _is_recent(self, received: datetime | None) -> bool:
        since = self._account.since
        return since is None or received is None or received >= since

    def _listed(self) -> list[_Entry]:
        """Return what lies in new/ and cur/, by name; raises MailboxUnusable where it is no Maildir."""
        entries: list[_Entry] = []
        for place in PLACES:  # new/ first: what is moved between the two listings is then in both
            try:
                with os.scandir(self._path / place) as found:
                    entries += [_Entry(place, one.name) for one in found if _may_be_mail(one)]
            except (FileNotFoundError, NotADirectoryError):
                raise MailboxUnusable(
                    f"{visible(self.name)} is no Maildir: it has no folder {place}/",
                    "a Maildir holds the folders new, cur and tmp",
                ) from None
            except OSError as trouble:
                raise MailboxUnreached(f"{visible(self.name)} cannot be read: {trouble.strerror}") from None
        entries.sort(key=lambda entry: (entry.unique, entry.place))
        return entries

    def _read(self, entry: _Entry) -> Fetched | None:
        """Return one mail; None where the file is gone, or no regular file any more."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            number = os.open(self._path / entry.place / entry.name, flags)
        except OSError as trouble:
            gone = trouble.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO)
            return None if gone else _unread(entry, trouble)
        with open(number, "rb") as stream:  # noqa: PTH123 - a descriptor
            found = os.fstat(number)
            if not stat.S_ISREG(found.st_mode):
                return None
            received = _moment(found.st_mtime)
            large = found.st_size > self._account.mail_bytes
            wanted = HEADER_BYTES if large else found.st_size
            try:
                raw = stream.read(wanted if self._is_recent(received) else 0)
            except OSError as trouble:
                return _unread(entry, trouble)
        return Fetched(
            raw=headers_of(raw) if large else raw,
            extent=Extent.HEADERS if large else Extent.WHOLE,
            size=found.st_size,
            source=entry.unique,
            received_at=received,
            flags=frozenset(_FLAGS[letter] for letter in entry.letters if letter in _FLAGS),
            why=too_large(self._account.mail_bytes) if large else "",
        )

    def _do_to(self, entry: _Entry) -> None:
        after = self._account.after
        here = self._path / entry.place / entry.name
        try:
            with suppress(FileNotFoundError):
                match after.action:
                    case Afterwards.SEEN:
                        here.rename(self._path / "cur" / _seen(entry.name))
                    case Afterwards.MOVE:
                        here.rename(self._folder(after.folder) / "cur" / _with_info(entry.name))
                    case Afterwards.DELETE:
                        here.unlink()
        except OSError as trouble:
            raise MailboxUnusable(
                f"{visible(self.name)}: what replies.after asks for cannot be done: {trouble.strerror}",
                'the mail is stored; after = "keep" leaves the mailbox alone',
            ) from None

    def _folder(self, name: str) -> Path:
        """Return a subfolder, made if there is none; in Maildir++ its name begins with a dot."""
        folder = self._path / f".{name.replace('/', '.').strip('.') or 'Archive'}"
        for part in ("tmp", "new", "cur"):
            (folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder


def _may_be_mail(found: os.DirEntry[str]) -> bool:
    try:
        return not found.name.startswith(".") and found.is_file(follow_symlinks=False)
    except OSError:
        return True  # opening it will tell


def _unread(entry: _Entry, trouble: OSError) -> Fetched:
    why = f"the file cannot be read: {trouble.strerror}"
    return Fetched(b"", Extent.NOTHING, 0, entry.unique, None, frozenset(), why)


def _seen(name: str) -> str:
    """Return the name with the flag S, the letters in order as the standard wants them."""
    whole = _with_info(name)
    head, comma, letters = whole.rpartition(",")
    return head + comma + "".join(sorted({*letters, "S"}))


def _with_info(name: str) -> str:
    """Return the name with its flags; in cur/ every name has some, if only none of them."""
    return name if _INFO.search(name) else f"{name}:2,"


def _moment(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _hash(unique: str) -> bytes:
    return hashlib.sha256(unique.encode("utf-8", "surrogatepass")).digest()[:_HASH]


def _read_mark(mark: Mark) -> tuple[set[bytes], list[str]]:
    """Return the hashes and the owed names of a mark; one that cannot be read is none."""
    try:
        said = json.loads(mark[:MOST_MARK]) if mark else {}
        known = base64.b85decode(said.get("known", ""))
        owed = [one for one in said.get("owed", []) if isinstance(one, str)]
    except (ValueError, AttributeError, TypeError, RecursionError):
        return set(), []
    return {known[at : at + _HASH] for at in range(0, len(known) - _HASH + 1, _HASH)}, owed
