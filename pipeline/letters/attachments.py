"""The files that go with a letter: found below the campaign folder, or refused with the reason.

A name comes from campaign.toml, from a template's front matter or from a cell of the list, and is hostile
until proved otherwise. Only a regular file is read, whose real place (links followed) is below the campaign
folder; no absolute name, no hidden file or folder (`.campaign` holds the store), no pattern, and none of
the campaign's own lists, for they hold everybody's address.

Reading is bounded; the limit counts what goes over the wire, four octets for three (RFC 2045 6.8).

Limits: the media type is told from the name's extension by a small table; nothing looks into the file.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unicodedata import normalize

from pipeline.letters.message import Attachment, safe_name
from pipeline.problem import Problem, visible

MEGABYTE = 1_000_000
LIMIT = 10 * MEGABYTE  # octets over the wire, of all attachments of a letter
MOST_FILES = 20  # of a letter
OWN_FILES = frozenset({"campaign.toml", "recipients.csv", "signatories.csv"})

MEDIA_TYPES = {
    ".csv": "text/csv",
    ".doc": "application/msword",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".epub": "application/epub+zip",
    ".gif": "image/gif",
    ".ics": "text/calendar",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".md": "text/markdown",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".odp": "application/vnd.oasis.opendocument.presentation",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".rtf": "application/rtf",
    ".txt": "text/plain",
    ".vcf": "text/vcard",
    ".webp": "image/webp",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".zip": "application/zip",
}
OTHER = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file as it was found: its name in the campaign, what goes into the letter, the hash of its
    content."""

    name: str
    attachment: Attachment
    sha256: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a name was written: file, line and column from 1 (0: the file as a whole), the text of the
    line."""

    file: str
    line: int = 0
    column: int = 0
    source: str = ""


class _Refused(Exception):
    """Why a file is not attached."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


def find_attachments(
    root: Path,
    names: Sequence[str],
    *,
    place: Place,
    limit_bytes: int = LIMIT,
    own_files: Collection[str] = OWN_FILES,
) -> tuple[tuple[FoundFile, ...], list[Problem]]:
    """Read the files ``names`` (relative to the campaign folder ``root``) and return them with what is wrong.

    ``limit_bytes`` bounds the sum of their sizes as sent (4/3 of the file); ``own_files`` are names that
    are never attached. A name given twice is attached once. Problems stand at ``place``.
    """
    found: list[FoundFile] = []
    problems: list[Problem] = []
    room = limit_bytes * 3 // 4
    wanted = tuple(dict.fromkeys(names))
    if len(wanted) > MOST_FILES:
        return (), [_problem(place, _Refused("attachment-count", f"more than {MOST_FILES} attachments"))]
    for name in wanted:
        try:
            file = _read(root, name, room=room, limit=limit_bytes, own_files=own_files)
        except _Refused as refused:
            problems.append(_problem(place, refused))
        else:
            room -= len(file.attachment.content)
            found.append(file)
    return tuple(found), problems


def media_type(name: str) -> str:
    """Return the media type for a file's name; application/octet-stream where the extension is not known."""
    return MEDIA_TYPES.get(Path(name).suffix.lower(), OTHER)


def _read(root: Path, name: str, *, room: int, limit: int, own_files: Collection[str]) -> FoundFile:
    path = _path(root, name, own_files)
    quoted = f'attachment "{visible(name, limit=80)}"'
    try:
        # NONBLOCK, so that a FIFO put there cannot hold the run; NOFOLLOW, for the path is resolved already
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _Refused("attachment-missing", f"{quoted} does not exist", _similar(path)) from None
    except OSError as error:
        raise _Refused("attachment-unreadable", f"{quoted} cannot be read: {error.strerror}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise _Refused("attachment-not-a-file", f"{quoted} is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > room:
            raise _too_large(quoted, status.st_size, limit)
        try:
            content = file.read(room + 1)
        except OSError as error:
            raise _Refused("attachment-unreadable", f"{quoted} cannot be read: {error.strerror}") from None
    if len(content) > room:
        raise _too_large(quoted, len(content), limit)
    if not content:
        raise _Refused("attachment-empty", f"{quoted} is empty")
    shown = safe_name(normalize("NFC", Path(name).name))
    attachment = Attachment(shown, content, media_type(shown))
    return FoundFile(name, attachment, hashlib.sha256(content).hexdigest())


def _path(root: Path, name: str, own_files: Collection[str]) -> Path:
    """Return the real path of ``name``; _Refused where it is not one of the campaign's own folder."""
    quoted = f'attachment "{visible(name, limit=80)}"'
    only = "give the name of a file below the campaign folder, like attachments/report.pdf"
    parts = name.split("/")
    if not name.strip() or not name.isprintable() or "\\" in name or len(name) > 500:
        raise _Refused("attachment-name", f"{quoted} is not a file name", only)
    if name.startswith(("/", "~")) or ".." in parts:
        raise _Refused("attachment-outside", f"{quoted} is not below the campaign folder", only)
    if any(part.startswith(".") and part != "." for part in parts):
        raise _Refused("attachment-hidden", f"{quoted} is hidden; hidden files are never attached")
    try:
        top = root.resolve(strict=True)
        path = (top / name).resolve()
    except (OSError, RuntimeError):
        raise _Refused("attachment-unreadable", f"{quoted} cannot be read: its links lead nowhere") from None
    if not path.is_relative_to(top) or path == top:
        raise _Refused("attachment-outside", f"{quoted} leads out of the campaign folder", only)
    inside = path.relative_to(top)
    if any(part.startswith(".") for part in inside.parts):
        raise _Refused("attachment-hidden", f"{quoted} is hidden; hidden files are never attached")
    if str(inside).casefold() in own_files:
        message = f"{quoted} is the campaign's own file and is never sent to anybody"
        raise _Refused("attachment-own-list", message)
    return path


def _similar(path: Path) -> str:
    if any(character in path.name for character in "*?["):
        return "patterns are not expanded: name each file"
    try:
        names = sorted(entry.name for entry in path.parent.iterdir() if not entry.name.startswith("."))[:8]
    except OSError:
        return ""
    return f"in that folder: {', '.join(names)}" if names else ""


def _too_large(quoted: str, size: int, limit: int) -> _Refused:
    return _Refused(
        "attachment-too-large",
        f"{quoted} is too large: {_megabytes(size)}, {_megabytes(size * 4 // 3)} as sent; "
        f"all attachments of a letter together may have {_megabytes(limit)}",
        "publish the file and put a link to it into the letter",
    )


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:.1f} MB"


def _problem(place: Place, refused: _Refused) -> Problem:
    problem = Problem(place.file, place.line, place.column, refused.code, refused.message, refused.hint)
    return replace(problem, source=place.source)
