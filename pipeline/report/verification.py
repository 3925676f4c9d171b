"""Whether a file of evidence is as it was written: read once, front to back, and made anew meanwhile.

`archive.py` leaves nothing to choose, so each octet of the file is known from the names and contents in it:
headers, chain, head and directory are made again and compared, and nothing may stand between or behind them.
A changed octet, a missing, added, doubled or moved entry, another compression: each is a fault, named with
its entry.

The file is hostile until then. Nothing is unpacked, no name is ever used as one, contents are hashed in
pieces; a name has 200 octets at most, a line of the chain 1,000, and at most `SHOWN` faults are told.

Limits: a file made anew from the first entry to the last has another head, and is otherwise as good as this
one. Only a head that was noted elsewhere tells them apart.
"""

from __future__ import annotations

import hmac
import re
import zlib
from dataclasses import dataclass, field
from hashlib import sha256
from typing import IO, NamedTuple, NoReturn

from pipeline.report.archive import (
    AT_ONCE,
    CENTRAL_MARK,
    CHAIN,
    HEAD,
    LARGE_SIZE,
    LOCAL_MARK,
    LOCAL_SIZE,
    LONGEST_NAME,
    NAME,
    Chain,
    Directory,
    Entry,
    large_size,
    local_header,
    read_local_header,
)

SHOWN = 50  # faults
LONGEST_LINE = 1_000  # octets of a line of the chain
DIRECTORY = "the directory at the end of the file"


class Fault(NamedTuple):
    """What is wrong, and with which entry; "" where it is the file."""

    entry: str
    what: str


@dataclass(slots=True)
class Verified:
    """What was found. ``head`` is the one the contents lead to.

    What follows from a fault (another head, another directory) is not told beside it.
    """

    head: str = ""
    entries: int = 0
    octets: int = 0
    faults: list[Fault] = field(default_factory=list)
    more_faults: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def fault(self, entry: str, what: str) -> None:
        """Take note of a fault."""
        if len(self.faults) < SHOWN:
            self.faults.append(Fault(entry, what))
        else:
            self.more_faults += 1


def verify(file: IO[bytes], *, head: str = "") -> Verified:
    """Read a file of evidence from its start; ``head`` is the one noted elsewhere, "" for none."""
    chain, directory = Chain(), Directory()
    try:
        reader = _Reader(file, chain, directory)
        reader.read()
    finally:
        chain.close()
        directory.close()
    found = reader.found
    found.head, found.entries, found.octets = chain.head, chain.count, reader.offset
    if head and found.ok and not hmac.compare_digest(head.strip().lower().encode(), chain.head.encode()):
        found.fault("", f"its head is {chain.head}, not the one that was noted")
    return found


class _Broken(Exception):
    """The file cannot be read on."""


class _Reader:
    """Where the reading is."""

    def __init__(self, file: IO[bytes], chain: Chain, directory: Directory) -> None:
        self.found = Verified()
        self.offset = 0
        self._file = file
        self._chain, self._directory = chain, directory
        self._last = ""

    def read(self) -> None:
        """Read everything; faults are noted."""
        try:
            while self._read_entry():
                pass
            self._compare_directory()
        except _Broken:
            pass

    def _read_entry(self) -> bool:
        """Read an entry; false behind the last one."""
        if self._last == HEAD:
            return False
        begin = self.offset
        raw = self._take(LOCAL_SIZE)
        if len(raw) < LOCAL_SIZE or raw[:4] != LOCAL_MARK:
            self._stop(self._why_no_entry(raw, begin))
        said = read_local_header(raw)
        if said.name_size > LONGEST_NAME or said.extra_size > LARGE_SIZE:
            self._stop(f"behind it, at octet {begin}, a name of {said.name_size} octets is none of ours")
        rest = self._take(said.name_size + said.extra_size)
        name = rest[: said.name_size].decode("ascii", "replace")
        size = large_size(rest[said.name_size :]) if said.extra_size else said.size
        if not NAME.fullmatch(name) or size < 0:
            self._stop(f"behind it, at octet {begin}, an entry is called {name!r}, which is no name of ours")
        entry, faults = self._read_content(name, size)
        if local_header(entry) != raw + rest:
            damaged = entry.crc != said.crc
            what = "its content is not what its checksum says" if damaged else "its header is not as written"
            self.found.fault(name, what)
        self._directory.add(entry, begin)
        self._place(entry, faults)
        return True

    def _read_content(self, name: str, size: int) -> tuple[Entry, list[Fault]]:
        """Read a content of ``size`` octets; the faults are those of the chain's own content."""
        crc, left, digest = 0, size, sha256()
        expected = self._expected(name)
        compared = _Compared(expected) if expected is not None else None
        while left > 0:
            chunk = self._file.read(min(left, AT_ONCE))
            if not chunk:
                self.found.fault(name, f"{left} octets of it are missing: the file ends before")
                raise _Broken
            self.offset += len(chunk)
            left -= len(chunk)
            crc = zlib.crc32(chunk, crc)
            digest.update(chunk)
            if compared is not None:
                compared.feed(chunk)
        faults = compared.end() if compared is not None else []
        return Entry(name, size, crc, digest.hexdigest()), faults

    def _expected(self, name: str) -> IO[bytes] | None:
        """Return the lines that the chain must have; None where the entry is not the chain."""
        if name != CHAIN:
            return None
        self._chain.lines.seek(0)
        return self._chain.lines

    def _place(self, entry: Entry, faults: list[Fault]) -> None:
        """See that an entry may stand here, and take it into the chain."""
        if entry.name == HEAD and self._last == CHAIN:
            wanted = f"{self._chain.head}\n".encode()
            if self.found.ok and entry.sha256 != sha256(wanted).hexdigest():
                self.found.fault(HEAD, f"it is not the hash of the chain's last line, {self._chain.head}")
        elif entry.name == CHAIN and self._last != CHAIN:
            for fault in faults:
                self.found.fault(*fault)
        elif self._last == CHAIN:
            self.found.fault(entry.name, f"it stands behind {CHAIN}")
        else:
            if entry.name == HEAD:
                self.found.fault(HEAD, f"there is no {CHAIN} before it")
            elif entry.name <= self._last:
                twice = entry.name == self._last
                self.found.fault(
                    entry.name, "it is there twice" if twice else f"it stands behind {self._last}"
                )
            self._chain.add(entry)
        self._last = entry.name

    def _compare_directory(self) -> None:
        """Compare what is left of the file with what must stand there."""
        self._directory.end(self.offset)
        self._directory.lines.seek(0)
        while wanted := self._directory.lines.read(AT_ONCE):
            if self._take(len(wanted)) != wanted:
                if self.found.ok:
                    self.found.fault("", f"{DIRECTORY} is not as written")
                return
        if self._take(1):
            self.found.fault("", "something stands behind its end")

    def _take(self, size: int) -> bytes:
        raw = self._file.read(size)
        self.offset += len(raw)
        return raw

    def _why_no_entry(self, raw: bytes, begin: int) -> str:
        """Say what is wrong where an entry must begin and none does."""
        if not begin:
            return "it is no file of evidence that `campaign export` wrote"
        if raw[:4] == CENTRAL_MARK:
            return f"the file ends behind it, without {HEAD if self._last == CHAIN else CHAIN}"
        if len(raw) < LOCAL_SIZE:
            return "the file ends too early behind it"
        return f"behind it, at octet {begin}, stands something that is no entry"

    def _stop(self, what: str) -> NoReturn:
        self.found.fault(self._last, what)
        raise _Broken


class _Compared:
    """The chain of the file beside the one its entries lead to: the lines that differ, by entry."""

    def __init__(self, wanted: IO[bytes]) -> None:
        self._wanted = wanted
        self._line = b""
        self._faults: list[Fault] = []

    def feed(self, chunk: bytes) -> None:
        """Take the next octets of the file's chain."""
        *lines, self._line = (self._line + chunk).split(b"\n")
        for line in lines:
            self._compare(line + b"\n")
        self._line = self._line[: LONGEST_LINE + 1]

    def end(self) -> list[Fault]:
        """Return the faults, in the order of the entries."""
        if self._line:
            self._compare(self._line)
        while line := self._wanted.readline():
            self._note(_named(line)[0], f"{CHAIN} does not know it")
        return self._faults

    def _compare(self, line: bytes) -> None:
        """Compare a line with the one that must stand there."""
        name, digest = _named(line)
        while True:
            begin = self._wanted.tell()
            wanted = self._wanted.readline()
            if wanted == line:
                return
            known, known_digest = _named(wanted)
            if not name or not wanted or name <= known:
                break
            self._note(known, f"{CHAIN} does not know it")
        if not name:
            self._note(known or CHAIN, f"its line in {CHAIN} cannot be read")
        elif name != known:
            self._wanted.seek(begin)
            self._note(name, f"{CHAIN} knows it, and it is missing")
        elif digest != known_digest:
            self._note(name, f"its SHA-256 is {known_digest}, and {CHAIN} says {digest}")
        elif not self._faults:
            self._note(
                name, f"its line in {CHAIN} is not the one that follows from its content and the one before"
            )

    def _note(self, entry: str, what: str) -> None:
        if len(self._faults) <= SHOWN:
            self._faults.append(Fault(entry, what))


_LINE = re.compile(
    rb'\{"n":\d{1,19},"name":"([A-Za-z0-9_./-]{1,200})","size":\d{1,20},'
    rb'"sha256":"([0-9a-f]{64})","previous":"[0-9a-f]{64}"\}\n'
)


def _named(line: bytes) -> tuple[str, str]:
    """Return name and hash from a line of a chain; "" where it is none."""
    found = _LINE.fullmatch(line)
    return (found[1].decode(), found[2].decode()) if found else ("", "")
