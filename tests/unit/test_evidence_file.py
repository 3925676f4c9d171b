"""A file of evidence: the same bytes from the same contents, and nothing in it can be changed unseen."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path

import pytest

from pipeline.report import archive
from pipeline.report.archive import ArchiveWriter, Directory, Entry, local_header
from pipeline.report.verification import SHOWN, Fault, Verified, verify

CONTENTS = {
    "README.txt": b"what this is\n",
    "letters/000000001/letter.json": b'{"letter":1}\n',
    "letters/000000001/sent.eml": b"Subject: Free the eleven\r\n\r\nWe write to you.\r\n",
    "letters/000000002/letter.json": b"",
    "timeline.txt": b"2026-11-26 planned\n",
}


def written(contents: dict[str, bytes] | None = None) -> bytes:
    """Return a file of evidence."""
    out = io.BytesIO()
    writer = ArchiveWriter(out)
    for name, content in (contents or CONTENTS).items():
        writer.add(name, content)
    writer.finish()
    writer.close()
    return out.getvalue()


def forged(entries: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a zip of the same form with any entries, chain and head among them."""
    out, directory = io.BytesIO(), Directory()
    for name, content in entries:
        entry = Entry(name, len(content), zlib.crc32(content), "")
        directory.add(entry, out.tell())
        out.write(local_header(entry) + content)
    directory.end(out.tell())
    directory.lines.seek(0)
    out.write(directory.lines.read())
    directory.close()
    return out.getvalue()


def entries_of(raw: bytes) -> list[tuple[str, bytes]]:
    """Return what any zip program finds."""
    with zipfile.ZipFile(io.BytesIO(raw)) as opened:
        return [(name, opened.read(name)) for name in opened.namelist()]


def found(raw: bytes, *, head: str = "") -> Verified:
    """Verify bytes."""
    return verify(io.BytesIO(raw), head=head)


def faults(raw: bytes) -> list[Fault]:
    """Return what is wrong with bytes."""
    return found(raw).faults


# -- what is written


def test_the_same_contents_make_the_same_bytes() -> None:
    """Neither the time nor the machine is in it."""
    assert written() == written()


def test_every_zip_program_reads_it() -> None:
    """It is an ordinary zip, in which nothing is compressed."""
    with zipfile.ZipFile(io.BytesIO(written())) as opened:
        assert opened.testzip() is None
        assert {name: opened.read(name) for name in CONTENTS} == CONTENTS
        assert {entry.compress_type for entry in opened.infolist()} == {zipfile.ZIP_STORED}


def test_each_line_of_the_chain_stands_on_the_one_before() -> None:
    """By hand, as README.txt tells it: the head is the hash of the last line."""
    entries = dict(entries_of(written()))
    previous = archive.START
    for line in entries["chain.jsonl"].splitlines(keepends=True):
        record = json.loads(line)
        assert record["previous"] == previous
        assert record["sha256"] == sha256(CONTENTS[record["name"]]).hexdigest()
        previous = sha256(line).hexdigest()
    assert entries["head.txt"].decode() == f"{previous}\n"


@pytest.mark.parametrize("name", ["../up", "/root", "a//b", "a/../b", ".hidden", "ü", "a" * 201, ""])
def test_a_name_that_could_lead_elsewhere_is_not_written(name: str) -> None:
    """Nor one that does not follow the last."""
    writer = ArchiveWriter(io.BytesIO())
    with pytest.raises(ValueError, match="cannot follow"):
        writer.add(name, b"")
    writer.close()


def test_more_entries_than_a_plain_zip_can_count(tmp_path: Path) -> None:
    """Beyond 65,535 the end is that of zip64; other programs read it and it verifies."""
    path = tmp_path / "many.zip"
    with path.open("wb") as out:
        writer = ArchiveWriter(out)
        for number in range(66_000):
            writer.add(f"letters/{number:09d}", b"")
        writer.finish()
        writer.close()
    with zipfile.ZipFile(path) as opened:
        assert len(opened.infolist()) == 66_002
    with path.open("rb") as file:
        assert verify(file).ok


def test_sizes_and_places_beyond_four_gigabytes(tmp_path: Path) -> None:
    """Are told in the fields that other programs read (a file with a hole stands for the contents)."""
    large, place = 5 << 30, 6 << 30
    entry = Entry("large", large, 7, "")
    raw = local_header(entry)
    assert archive.large_size(raw[-archive.LARGE_SIZE :]) == large
    assert archive.read_local_header(raw[: archive.LOCAL_SIZE]).size == 0xFFFFFFFF
    path = tmp_path / "hole.zip"
    with path.open("wb") as out:
        out.truncate(place + (1 << 20))
        out.seek(place + (1 << 20))
        line = archive.central_header(entry, place)
        out.write(line + archive.end_of_directory(1, len(line), place + (1 << 20)))
    with zipfile.ZipFile(path) as opened:
        (info,) = opened.infolist()
    assert (info.file_size, info.compress_size, info.header_offset) == (large, large, place)


# -- what is found


def test_a_file_as_it_was_written_verifies() -> None:
    """And its head is told."""
    verified = found(written())
    assert verified.ok
    assert verified.entries == len(CONTENTS)
    assert dict(entries_of(written()))["head.txt"].decode().strip() == verified.head


def test_every_single_flipped_byte_is_found() -> None:
    """Wherever in the file it is: contents, headers, directory, end."""
    raw = written()
    unseen = []
    for place in range(len(raw)):
        for change in (0x01, 0x20, 0xFF):
            changed = raw[:place] + bytes([raw[place] ^ change]) + raw[place + 1 :]
            if found(changed).ok:
                unseen.append((place, change))
    assert unseen == []


def test_a_flipped_byte_of_a_letter_names_the_letter() -> None:
    """The entry that fails, and only that."""
    raw = written()
    place = raw.index(b"We write")
    changed = raw[:place] + b"w" + raw[place + 1 :]
    assert {fault.entry for fault in faults(changed)} == {"letters/000000001/sent.eml"}


def test_every_cut_is_found() -> None:
    """A download that ended early."""
    raw = written()
    assert [size for size in range(len(raw)) if found(raw[:size]).ok] == []


def test_whatever_stands_behind_or_before_is_found() -> None:
    """A zip program would read such a file."""
    assert faults(written() + b"\0")
    assert faults(b"\0" + written())
    assert faults(written() + written())


def replaced(name: str, content: bytes) -> list[tuple[str, bytes]]:
    """Return the entries with one content exchanged."""
    return [(known, content if known == name else kept) for known, kept in entries_of(written())]


Change = Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]
CHANGES: dict[str, tuple[Change, str, str]] = {
    "a changed letter with a right checksum": (
        lambda _: replaced("letters/000000001/sent.eml", b"We thank you.\r\n"),
        "letters/000000001/sent.eml",
        "SHA-256",
    ),
    "an entry taken away": (
        lambda all_: [one for one in all_ if one[0] != "letters/000000001/sent.eml"],
        "letters/000000001/sent.eml",
        "missing",
    ),
    "an entry added": (
        lambda all_: sorted([*all_[:-2], ("letters/000000001/more.eml", b"x")]) + all_[-2:],
        "letters/000000001/more.eml",
        "does not know it",
    ),
    "an entry twice": (lambda all_: [all_[0], *all_], "README.txt", "twice"),
    "entries in another order": (
        lambda all_: [all_[1], all_[0], *all_[2:]],
        "README.txt",
        "stands behind letters/000000001/letter.json",
    ),
    "an entry behind the chain": (
        lambda all_: [*all_[:-1], ("z.txt", b""), all_[-1]],
        "z.txt",
        "stands behind chain.jsonl",
    ),
    "another head": (lambda _: replaced("head.txt", b"0" * 64 + b"\n"), "head.txt", "is not the hash"),
    "no head": (lambda all_: all_[:-1], "chain.jsonl", "without head.txt"),
    "no chain": (lambda all_: [*all_[:-2], all_[-1]], "head.txt", "no chain.jsonl"),
    "neither": (lambda all_: all_[:-2], "timeline.txt", "without chain.jsonl"),
    "a chain of nonsense": (lambda _: replaced("chain.jsonl", b"[" * 9_000), "README.txt", "cannot be read"),
    "a chain without its last line": (
        lambda all_: replaced("chain.jsonl", b"".join(all_[-2][1].splitlines(keepends=True)[:-1])),
        "timeline.txt",
        "does not know it",
    ),
    "a name that leads elsewhere": (lambda all_: [("../../etc/cron.d/x", b""), *all_], "", "no name of ours"),
    "a name with a drive": (lambda all_: [("C:\\x", b""), *all_], "", "no name of ours"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_found_and_the_entry_named(change: str) -> None:
    """Every checksum of the zip itself is right."""
    make, entry, what = CHANGES[change]
    first = faults(forged(make(entries_of(written()))))[0]
    assert first.entry == entry
    assert what in first.what


def test_the_same_contents_packed_by_another_program_are_no_evidence(tmp_path: Path) -> None:
    """Compressed or not: the bytes are compared, so no bomb is ever unpacked."""
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = tmp_path / f"{compression}.zip"
        with zipfile.ZipFile(path, "w", compression) as packed:
            for name, content in entries_of(written()):
                packed.writestr(name, content)
        assert faults(path.read_bytes())


@pytest.mark.parametrize("size", [0xFFFFFFFE, 0xFFFFFFFF])
def test_a_size_that_lies_is_found_without_reading_it(size: int) -> None:
    """The file ends before."""
    raw = written()
    changed = raw[:18] + struct.pack("<2L", size, size) + raw[26:]
    assert faults(changed)[0].entry == "README.txt"


@pytest.mark.parametrize("raw", [b"", b"PK", b"PK\x05\x06" + bytes(18), b"From nobody\n" * 100, bytes(100)])
def test_what_is_no_file_of_evidence_is_said_to_be_none(raw: bytes) -> None:
    """In one fault of the whole file."""
    (fault,) = faults(raw)
    assert fault == ("", "it is no file of evidence that `campaign export` wrote")


def test_another_head_than_the_noted_one_is_found() -> None:
    """A file made anew from the first entry to the last is whole, and is not the one that was noted."""
    noted = found(written()).head
    assert found(written(), head=f" {noted.upper()}\n").ok
    anew = written(CONTENTS | {"timeline.txt": b"another story\n"})
    assert found(anew).ok
    assert "not the one that was noted" in found(anew, head=noted).faults[0].what


def test_faults_are_told_up_to_a_number() -> None:
    """A hostile file cannot fill the terminal."""
    entries = [(f"{number:09d}", b"") for number in range(3 * SHOWN)]
    verified = found(forged([*entries, ("chain.jsonl", b"x\n" * 1_000), ("head.txt", b"")]))
    assert len(verified.faults) == SHOWN
    assert verified.more_faults
