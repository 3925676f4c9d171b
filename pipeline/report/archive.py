"""A zip file that is the same everywhere, with its entries in a chain of hashes.

Implements, of PKWARE's APPNOTE 6.3.10, what the bytes of such a file are: 4.3.7 local headers, 4.3.12 central
directory, 4.3.14 to 4.3.16 the end, 4.5.3 zip64. Nothing is left to choose: entries are stored as they are
(what a compressor makes differs from one version to the next), dated 1980-01-01 and readable for the owner
only. So whoever knows the names and contents knows every byte of the file, and `verification.py` makes them
anew while it reads.

Entries come in rising order of their names. Two close the file: `chain.jsonl`, one line for each entry before
it, and `head.txt`, the SHA-256 of the chain's last line. A line holds the SHA-256 of its entry's content and
the SHA-256 of the line before it; so the head stands for all of them, and their order.

Memory stays flat: chain and directory grow in files of their own until the end.
"""

from __future__ import annotations

import json
import re
import struct
import tempfile
import zlib
from hashlib import sha256
from typing import IO, NamedTuple

CHAIN, HEAD = "chain.jsonl", "head.txt"
START = "0" * 64  # what stands as the line before the first
AT_ONCE = 1 << 20  # octets
LONGEST_NAME = 200
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*", re.ASCII)

_BIG, _MANY = 0xFFFFFFFF, 0xFFFF
_DATE = (1 << 5) | 1  # 1980-01-01
_MODE = 0o100600 << 16
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
LOCAL_MARK, CENTRAL_MARK = b"PK\x03\x04", b"PK\x01\x02"
LOCAL_SIZE = _LOCAL.size
LARGE_SIZE = 20  # octets of the field that holds sizes of 4 GB and more


class Entry(NamedTuple):
    """What there is to know of an entry."""

    name: str
    size: int  # octets
    crc: int
    sha256: str


def local_header(entry: Entry) -> bytes:
    """Return what stands in front of an entry's content."""
    name, big = entry.name.encode(), entry.size >= _BIG
    shown = _BIG if big else entry.size
    extra = struct.pack("<2H2Q", 1, 16, entry.size, entry.size) if big else b""
    version = 45 if big else 20
    fields = (LOCAL_MARK, version, 0, 0, 0, _DATE, entry.crc, shown, shown, len(name), len(extra))
    return _LOCAL.pack(*fields) + name + extra


class LocalHeader(NamedTuple):
    """What is said in front of a content; to be believed when `local_header` says the same."""

    name_size: int
    extra_size: int
    crc: int
    size: int


def read_local_header(raw: bytes) -> LocalHeader:
    """Read the fixed part of a local header; ``raw`` has `LOCAL_SIZE` octets."""
    _, _, _, _, _, _, crc, size, _, name_size, extra_size = _LOCAL.unpack(raw)
    return LocalHeader(name_size, extra_size, crc, size)


def large_size(extra: bytes) -> int:
    """Return the size that a zip64 field says; -1 where it is none of ours."""
    return int(struct.unpack("<2H2Q", extra)[2]) if len(extra) == LARGE_SIZE else -1


def central_header(entry: Entry, offset: int) -> bytes:
    """Return an entry's line in the directory; ``offset`` is where its local header begins."""
    name = entry.name.encode()
    numbers = [entry.size, entry.size] if entry.size >= _BIG else []
    numbers += [offset] if offset >= _BIG else []
    extra = struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers) if numbers else b""
    version = 45 if numbers else 20
    size = min(entry.size, _BIG)
    made = (CENTRAL_MARK, (3 << 8) | version, version, 0, 0, 0, _DATE, entry.crc, size, size)
    return _CENTRAL.pack(*made, len(name), len(extra), 0, 0, 0, _MODE, min(offset, _BIG)) + name + extra


def end_of_directory(count: int, size: int, offset: int) -> bytes:
    """Return the end of the file; the directory has ``count`` lines, ``size`` octets, and begins at
    ``offset``."""
    out = b""
    if count >= _MANY or size >= _BIG or offset >= _BIG:
        out = _END_64.pack(b"PK\x06\x06", 44, (3 << 8) | 45, 45, 0, 0, count, count, size, offset)
        out += _LOCATOR.pack(b"PK\x06\x07", 0, offset + size, 1)
    some, size, offset = min(count, _MANY), min(size, _BIG), min(offset, _BIG)
    return out + _END.pack(b"PK\x05\x06", 0, 0, some, some, size, offset, 0)


class Chain:
    """The lines of the chain as they grow, in a file that goes away with it."""

    def __init__(self) -> None:
        self.lines: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self.head = START
        self.count = 0

    def add(self, entry: Entry) -> None:
        """Add an entry's line."""
        self.count += 1
        line = chain_line(self.count, entry, self.head)
        self.head = sha256(line).hexdigest()
        self.lines.write(line)

    def close(self) -> None:
        """Let the file go."""
        self.lines.close()


def chain_line(number: int, entry: Entry, previous: str) -> bytes:
    """Return the line of the ``number``th entry; ``previous`` is the hash of the line before it."""
    record = {"n": number, "name": entry.name, "size": entry.size, "sha256": entry.sha256}
    return json.dumps(record | {"previous": previous}, separators=(",", ":")).encode() + b"\n"


class Directory:
    """The lines of the central directory as they grow, in a file that goes away with it."""

    def __init__(self) -> None:
        self.lines: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._count = self._size = 0

    def add(self, entry: Entry, offset: int) -> None:
        """Add an entry's line; ``offset`` is where its local header begins."""
        line = central_header(entry, offset)
        self.lines.write(line)
        self._count += 1
        self._size += len(line)

    def end(self, offset: int) -> None:
        """Add the end of the file; the directory begins at ``offset``."""
        self.lines.write(end_of_directory(self._count, self._size, offset))

    def close(self) -> None:
        """Let the file go."""
        self.lines.close()


class ArchiveWriter:
    """Writes such a file to ``out``, from where it stands; `finish` ends it, `close` lets go of the rest."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._offset = 0
        self._last = ""
        self._chain, self._directory = Chain(), Directory()

    @property
    def size(self) -> int:
        """Octets written."""
        return self._offset

    @property
    def count(self) -> int:
        """Entries in the chain."""
        return self._chain.count

    def add(self, name: str, content: bytes) -> Entry:
        """Add an entry."""
        entry = Entry(name, len(content), zlib.crc32(content), sha256(content).hexdigest())
        self._begin(entry)
        self._write(content)
        self._chain.add(entry)
        return entry

    def add_file(self, name: str, content: IO[bytes]) -> Entry:
        """Add an entry of any size, from a file that is read twice."""
        entry = self._copy(name, content)
        self._chain.add(entry)
        return entry

    def finish(self) -> str:
        """Write chain, head and directory; return the head."""
        self._last = ""
        self._copy(CHAIN, self._chain.lines)
        content = f"{self._chain.head}\n".encode()
        self._begin(Entry(HEAD, len(content), zlib.crc32(content), ""))
        self._write(content)
        self._directory.end(self._offset)
        self._directory.lines.seek(0)
        while chunk := self._directory.lines.read(AT_ONCE):
            self._write(chunk)
        return self._chain.head

    def close(self) -> None:
        """Let go of what only the writing needed."""
        self._chain.close()
        self._directory.close()

    def _begin(self, entry: Entry) -> None:
        if not (NAME.fullmatch(entry.name) and len(entry.name) <= LONGEST_NAME and entry.name > self._last):
            raise ValueError(f"{entry.name!r} cannot follow {self._last!r}")
        self._last = entry.name
        self._directory.add(entry, self._offset)
        self._write(local_header(entry))

    def _copy(self, name: str, content: IO[bytes]) -> Entry:
        crc, size, digest = 0, 0, sha256()
        content.seek(0)
        while chunk := content.read(AT_ONCE):
            crc, size = zlib.crc32(chunk, crc), size + len(chunk)
            digest.update(chunk)
        entry = Entry(name, size, crc, digest.hexdigest())
        self._begin(entry)
        content.seek(0)
        while chunk := content.read(AT_ONCE):
            self._write(chunk)
        return entry

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._offset += len(data)
