"""Attachments: only files that lie below the campaign folder, within the limit."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pipeline.letters.attachments import Place, find_attachments, media_type
from pipeline.problem import shown

PLACE = Place("recipients.csv", 17, 3, "envoy@embassy.example,en,x.pdf")


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """Return a campaign folder with files to attach and files that must never be."""
    root = tmp_path / "campaign"
    (root / "attachments").mkdir(parents=True)
    (root / ".campaign").mkdir()
    (root / "attachments" / "report.pdf").write_bytes(b"%PDF-1.7 report")
    (root / "attachments" / "доклад.pdf").write_bytes(b"%PDF-1.7")
    (root / ".campaign" / "campaign.db").write_bytes(b"store")
    (root / "recipients.csv").write_bytes(b"email\n")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (root / "attachments" / "out.txt").symlink_to(tmp_path / "secret.txt")
    (root / "attachments" / "in.pdf").symlink_to(root / "attachments" / "report.pdf")
    (root / "attachments" / "store.db").symlink_to(root / ".campaign" / "campaign.db")
    (root / "attachments" / "loop").symlink_to(root / "attachments" / "loop")
    (root / "attachments" / "empty.txt").touch()
    os.mkfifo(root / "attachments" / "fifo")
    return root


def test_a_file_is_read_with_its_type_and_hash(campaign: Path) -> None:
    """What goes into the letter, and what the store keeps of it."""
    (found,), problems = find_attachments(campaign, ["attachments/report.pdf"], place=PLACE)
    assert not problems
    assert found.name == "attachments/report.pdf"
    assert (found.attachment.name, found.attachment.media_type) == ("report.pdf", "application/pdf")
    assert found.attachment.content == b"%PDF-1.7 report"
    assert found.sha256 == hashlib.sha256(b"%PDF-1.7 report").hexdigest()


def test_a_file_named_twice_is_attached_once(campaign: Path) -> None:
    """Campaign and recipient may both name it."""
    found, problems = find_attachments(campaign, ["attachments/report.pdf"] * 2, place=PLACE)
    assert (len(found), problems) == (1, [])


def test_a_link_inside_the_campaign_is_followed(campaign: Path) -> None:
    """It keeps the name it was asked for by."""
    (found,), problems = find_attachments(campaign, ["attachments/in.pdf"], place=PLACE)
    assert not problems
    assert found.attachment.name == "in.pdf"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "attachment-name"),
        ("a\r\nb", "attachment-name"),
        ("attachments\\report.pdf", "attachment-name"),
        ("x" * 501, "attachment-name"),
        ("/etc/passwd", "attachment-outside"),
        ("~/.ssh/id_rsa", "attachment-outside"),
        ("../secret.txt", "attachment-outside"),
        ("attachments/../../secret.txt", "attachment-outside"),
        ("attachments/out.txt", "attachment-outside"),
        (".campaign/campaign.db", "attachment-hidden"),
        ("attachments/store.db", "attachment-hidden"),
        ("recipients.csv", "attachment-own-list"),
        ("./Recipients.csv", "attachment-own-list"),
        ("attachments", "attachment-not-a-file"),
        ("attachments/fifo", "attachment-not-a-file"),
        ("attachments/empty.txt", "attachment-empty"),
        ("attachments/*.pdf", "attachment-missing"),
        ("attachments/none.pdf", "attachment-missing"),
        ("attachments/report.pdf/x", "attachment-unreadable"),
        (".", "attachment-outside"),
    ],
)
def test_what_is_no_file_of_the_campaign_is_refused(campaign: Path, name: str, code: str) -> None:
    """Paths, links, devices, the store and the lists: each with its own word, and nothing is read."""
    found, problems = find_attachments(campaign, [name], place=PLACE)
    assert found == ()
    assert [problem.code for problem in problems] == [code]
    assert "secret" not in shown(problems[0]).replace("secret.txt", "")


def test_a_loop_of_links_is_refused(campaign: Path) -> None:
    """Whatever the system says about it."""
    found, problems = find_attachments(campaign, ["attachments/loop"], place=PLACE)
    assert (found, len(problems)) == ((), 1)


def test_the_limit_counts_octets_as_sent(campaign: Path) -> None:
    """Base64 makes four of three: 750 octets are 1,000 as sent, 751 are too many."""
    (campaign / "a.bin").write_bytes(b"x" * 750)
    (campaign / "b.bin").write_bytes(b"x" * 751)
    assert find_attachments(campaign, ["a.bin"], place=PLACE, limit_bytes=1000)[1] == []
    (problem,) = find_attachments(campaign, ["b.bin"], place=PLACE, limit_bytes=1000)[1]
    assert problem.code == "attachment-too-large"


def test_the_limit_holds_for_all_files_of_a_letter_together(campaign: Path) -> None:
    """Two that fit alone may not fit together."""
    for name in "ab":
        (campaign / f"{name}.bin").write_bytes(b"x" * 500)
    found, problems = find_attachments(campaign, ["a.bin", "b.bin"], place=PLACE, limit_bytes=1000)
    assert [file.name for file in found] == ["a.bin"]
    assert [problem.code for problem in problems] == ["attachment-too-large"]


def test_thirty_megabytes_are_refused_with_the_way_out(campaign: Path) -> None:
    """The message says the size, the limit and what to do; the file is not read."""
    with (campaign / "film.mp4").open("wb") as file:
        file.truncate(30_000_000)
    (problem,) = find_attachments(campaign, ["film.mp4"], place=PLACE)[1]
    assert shown(problem) == (
        'recipients.csv:17:3: error: attachment "film.mp4" is too large: 30.0 MB, 40.0 MB as sent; '
        "all attachments of a letter together may have 10.0 MB\n"
        "   17 | envoy@embassy.example,en,x.pdf\n"
        "      |   ^\n"
        "   help: publish the file and put a link to it into the letter"
    )


def test_a_crowd_of_files_is_refused(campaign: Path) -> None:
    """A cell with thousands of names costs nothing."""
    found, problems = find_attachments(campaign, [f"{n}.pdf" for n in range(1000)], place=PLACE)
    assert (found, [problem.code for problem in problems]) == ((), ["attachment-count"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.PDF", "application/pdf"),
        ("a.tar.gz", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_the_type_is_told_from_the_extension(name: str, expected: str) -> None:
    """By our own table, the same on every machine."""
    assert media_type(name) == expected
