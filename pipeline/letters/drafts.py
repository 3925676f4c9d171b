"""The folder of drafts: every letter as an .eml file, and a manifest.

    .campaign/drafts/real/manifest.jsonl
    .campaign/drafts/real/0000/000012-en-ada@office.example-1f0c3a52.eml

The folder belongs to one world, for a letter has another Message-ID in each. A file's name ends in a part of
its hash, so other bytes are another file, and none is ever written over: what was approved stays where it is
while the letters are written anew. The manifest is put in its place by one rename, after every file has been
written; one that is killed before leaves the old one, and files that the next time takes away.

Contract: `DraftFolder` alone knows where things lie; what it reads is bounded by the size that was expected,
is a regular file below the folder, and is trusted only by its hash. It writes through no link, and takes
away nothing but files that are named as drafts are, in folders of its own.

Limits: a power cut within seconds may tear a draft that the manifest names; its hash says so, and nothing of
it is approved or sent.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pipeline.errors import Unusable
from pipeline.letters.manifest import (
    LONGEST_LINE,
    DraftLine,
    Heading,
    NotAManifest,
    end_line,
    file_name,
    heading_line,
    is_draft_name,
    letter_line,
    read_manifest,
)

FOLDER = "drafts"  # below .campaign
MANIFEST = "manifest.jsonl"
LARGEST = 100_000_000  # octets of one draft
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class NotTheDraft(Exception):
    """A draft that is not there, or not the bytes it should be; the text says which."""


def has_message_id(content: bytes, message_id: str) -> bool:
    """Say whether a message has this Message-ID (with <>), as `message.build_message` writes it."""
    header = content[: content.find(b"\r\n\r\n") + 2]
    found = re.findall(rb"^Message-ID:[ \t]*(?:\r\n[ \t]+)?(\S+)\r\n", header, re.MULTILINE)
    return found == [message_id.encode("utf-8")]


class DraftFolder:
    """Drafts of one world."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def manifest(self) -> Path:
        """Where the manifest lies."""
        return self.folder / MANIFEST

    def read(self, file: str, *, size: int, sha256: str) -> bytes:
        """Return a draft's bytes. Raises NotTheDraft unless they are those with this hash."""
        path = self.folder / file
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as stream:
                content = stream.read(min(size, LARGEST) + 1)
        except OSError as trouble:
            gone = isinstance(trouble, FileNotFoundError)
            raise NotTheDraft(f"its draft {file} {'is gone' if gone else 'cannot be read'}") from None
        if hashlib.sha256(content).hexdigest() != sha256:
            raise NotTheDraft(f"its draft {file} was altered")
        return content

    def has(self, file: str) -> bool:
        """Say whether a draft lies here; whose bytes it has `read` finds out."""
        return os.path.lexists(self.folder / file)

    def letters(self) -> Iterator[DraftLine]:
        """Yield the manifest's letters; none where there is no manifest.

        Raises Unusable for one that cannot be read, or is none.
        """
        try:
            with self.manifest.open(encoding="utf-8", newline="\n") as stream:
                yield from read_manifest(_bounded_lines(stream))
        except FileNotFoundError:
            return
        except OSError as trouble:
            raise Unusable(f"{self.manifest} cannot be read: {trouble.strerror}") from None
        except (NotAManifest, UnicodeDecodeError) as fault:
            raise Unusable(f"{self.manifest}: {fault}", "`campaign render` writes it anew") from None

    def sha256(self) -> str:
        """Return the manifest's hash; "" where there is none."""
        try:
            with self.manifest.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except FileNotFoundError:
            return ""
        except OSError as trouble:
            raise Unusable(f"{self.manifest} cannot be read: {trouble.strerror}") from None

    @contextmanager
    def writing(self, heading: Heading) -> Iterator[ManifestWriter]:
        """Write a new manifest; it takes the old one's place at the end, and not when an error ends it.

        Raises Unusable where the folder cannot be written.
        """
        part = self.folder / f"{MANIFEST}.part"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(part, _NEW, 0o600), "w", encoding="utf-8", newline="\n") as stream:
                stream.write(heading_line(heading))
                writer = ManifestWriter(self.folder, stream)
                yield writer
                stream.write(end_line(writer.letters))
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(self.manifest)
        except OSError as trouble:
            raise Unusable(
                f"{self.folder} cannot be written: {trouble.strerror}",
                "make room there; nothing was approved",
            ) from None
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def tidy(self, is_kept: Callable[[int, str], bool]) -> None:
        """Take away what the manifest does not name; ``is_kept`` (a letter's number, a file) may keep it."""
        current, folder = self.letters(), ""
        line = next(current, None)
        own = (path for path in self.folder.glob("[0-9]*") if path.is_dir() and not path.is_symlink())
        for directory in sorted(own):
            folder, named = directory.name, set[str]()
            while line is not None and line.file.partition("/")[0] <= folder:
                named.add(line.file)
                line = next(current, None)
            for path in directory.iterdir():
                file = f"{folder}/{path.name}"
                number = path.name.partition("-")[0]
                if not is_draft_name(file):  # somebody else's
                    continue
                if file not in named and not is_kept(int(number), file):
                    with suppress(OSError):
                        path.unlink()
            with suppress(OSError):
                directory.rmdir()  # of an empty one


class ManifestWriter:
    """Writes drafts and their lines, in the order of the letters' numbers."""

    def __init__(self, folder: Path, stream: IO[str]) -> None:
        self._folder = folder
        self._stream = stream
        self._made: set[str] = set()
        self.letters = 0

    def keep(self, draft: DraftLine) -> None:
        """Name a draft that lies there already."""
        self._stream.write(letter_line(draft))
        self.letters += 1

    def add(
        self, content: bytes, line: Callable[[str, int, str], DraftLine], name: tuple[int, str, str]
    ) -> None:
        """Write a draft; ``line`` makes its line of file, size and hash, ``name`` is number, language and
        address."""
        sha256 = hashlib.sha256(content).hexdigest()
        file = file_name(*name, sha256)
        self._put(file, content)
        self.keep(line(file, len(content), sha256))

    def _put(self, file: str, content: bytes) -> None:
        directory = file.partition("/")[0]
        if directory not in self._made:
            folder = self._folder / directory
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.is_symlink():
                raise Unusable(
                    f"{folder} is a link", "drafts are written into folders of their own: remove it"
                )
            self._made = {directory}
        with os.fdopen(os.open(self._folder / file, _NEW, 0o600), "wb") as stream:
            stream.write(content)


def _bounded_lines(stream: IO[str]) -> Iterator[str]:
    while line := stream.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise NotAManifest("a line is too long")
        yield line
