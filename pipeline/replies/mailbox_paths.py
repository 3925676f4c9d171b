"""Mails in files: .eml files, folders of them, Maildirs, mboxes, standard input. Read only.

`mails_at` yields (source, bytes) one at a time; an mbox is read line by line and never held whole. A mail
longer than the reader takes is yielded cut just behind that length, so that it is called unreadable.

An mbox is told by its first line ("From ", and a year at the end). RFC 4155 (mbox): a message begins at a
"From " line behind an empty line or at the front; lines that begin with ">From " lose one ">" (mboxrd, and
what mboxo wrote). Maildir: https://cr.yp.to/proto/maildir.html, `new` and `cur`, not `tmp`.

Limits: folders below a folder of .eml files are read too, Maildir subfolders (`.Sent`) are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from pipeline.errors import Unusable
from pipeline.mail.mime import Limits

STDIN = "-"
LONGEST_MAIL = Limits().size
LONGEST_LINE = 1024 * 1024  # octets read at a time
_BEGIN = re.compile(rb"From .{0,300}(?:19|20)\d\d.{0,20}\r?\n?", re.DOTALL)
_QUOTED_FROM = re.compile(rb">+From ")


def mails_at(path: str, stdin: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield each mail at ``path`` with its source: the path as given, of a folder's file with its name.

    Args:
        path: a file, a folder, a Maildir, an mbox; "-" for ``stdin``.
        stdin: what "-" reads.

    Raises:
        Unusable: there is no such file, or it cannot be read.
    """
    if path == STDIN:
        yield from ((STDIN, raw) for raw in split(stdin))
        return
    place = Path(path)
    try:
        if place.is_dir():
            for file in _files(place):
                with file.open("rb") as stream:
                    yield from ((str(file), raw) for raw in split(stream))
        else:
            with place.open("rb") as stream:
                yield from ((path, raw) for raw in split(stream))
    except OSError as trouble:
        raise Unusable(
            f"{path}: {trouble.strerror or 'cannot be read'}",
            "give .eml files, a folder of them, a Maildir, an mbox, or - for standard input",
        ) from None


def split(stream: IO[bytes], most: int = LONGEST_MAIL) -> Iterator[bytes]:
    """Yield the mails of an mbox, or the one mail that ``stream`` holds; each cut behind ``most`` octets."""
    first = stream.readline(LONGEST_LINE)
    if not _BEGIN.fullmatch(first):
        yield _one(first, stream, most)
        return
    mail: list[bytes] = []
    held, empty = 0, False
    for line in _lines(stream):
        if empty and _BEGIN.fullmatch(line):
            yield b"".join(mail)
            mail, held, empty = [], 0, False
            continue
        empty = not line.strip(b"\r\n")
        if held <= most:
            mail.append(line[1:] if _QUOTED_FROM.match(line) else line)
            held += len(line)
    yield b"".join(mail)


def _one(first: bytes, stream: IO[bytes], most: int) -> bytes:
    """Return a stream that is one mail, at most one octet more than is read of it."""
    return (first + stream.read(max(0, most + 1 - len(first))))[: most + 1]


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    while line := stream.readline(LONGEST_LINE):
        yield line


def _files(folder: Path) -> Iterable[Path]:
    """Return a folder's mails in the order of their names: a Maildir's, its .eml files, else all files."""
    boxes = [folder / "new", folder / "cur"]
    if boxes[0].is_dir() or boxes[1].is_dir():
        found = [file for box in boxes if box.is_dir() for file in box.iterdir()]
    else:
        found = [file for file in folder.rglob("*.eml") if file.is_file()] or list(folder.iterdir())
    return sorted(file for file in found if file.is_file() and not file.name.startswith("."))
