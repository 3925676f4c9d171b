"""A list of a campaign on the disk: opened for each pass, and the same file each time."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import Unusable

LARGEST_LIST = 1 << 30  # octets
LARGEST_SIGNATORIES = 1 << 26


class ListFile:
    """A list on the disk: opened for each pass, and the same one each time."""

    def __init__(self, root: Path, name: str, most: int, hint: str) -> None:
        """Look at it; ``hint`` is what to do where there is none.

        Raises Unusable when it is missing, not readable, or has more than ``most`` octets.
        """
        self._name = name
        self._root = root
        self._path = inside(root, name)
        self._hint = hint
        self._stream: BinaryIO | None = None
        self._seen: tuple[int, ...] | None = None
        with self.open() as stream:
            self.octets = os.fstat(stream.fileno()).st_size
        if self.octets > most:
            larger = f"{self._name} is larger than {most >> 20} MiB"
            raise Unusable(larger, "divide the list into several campaigns")

    @property
    def read(self) -> int:
        """How many octets of the present pass have been read."""
        return self._stream.tell() if self._stream is not None and not self._stream.closed else 0

    def open(self) -> BinaryIO:
        """Open it anew. Raises Unusable when it cannot be read, or is not the same any more."""
        try:
            # A pipe that nobody writes to would be waited for without end.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            stream = os.fdopen(descriptor, "rb")
        except FileNotFoundError:
            raise Unusable(f"there is no {self._name} in {self._root}", self._hint) from None
        except OSError as trouble:
            raise Unusable(f"{self._name} cannot be read: {trouble.strerror}") from None
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode):
            stream.close()
            raise Unusable(f"{self._name} is no file", "write the list into a file of that name")
        mark = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        self._seen = self._seen or mark
        if mark != self._seen:
            stream.close()
            raise Unusable(f"{self._name} was changed while it was read", "run it again")
        self._stream = stream
        return stream

    def refuse_changed(self) -> None:
        """Raise Unusable when it is not the same any more."""
        self.open().close()


def inside(root: Path, name: str) -> Path:
    """Return the path of a file of the campaign. Raises Unusable for one outside its folder."""
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise Unusable(f"{name} lies outside the campaign's folder", "keep the list in the campaign's folder")
    return path
