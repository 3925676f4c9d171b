"""Approved bytes on the wire, as another program's relay takes them; a rendering killed at any moment."""

from __future__ import annotations

import hashlib
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign_folder import CampaignFolder, address, everybody, make_campaign, rows_of
from tests.peers import Sink, smtp_sink, wait_until

pytestmark = pytest.mark.peer

LETTERS = 12
MANY = 1_500
TURNS = 7


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A healthy relay."""
    with smtp_sink() as relay:
        yield relay


def _drafts(folder: CampaignFolder) -> dict[str, bytes]:
    """Return the drafts of the manifest by address; each has the hash it should have."""
    root = folder.root / ".campaign/drafts/real"
    lines = [json.loads(line) for line in (root / "manifest.jsonl").read_text("utf-8").splitlines()]
    found = {line["to"]: (root / line["file"]).read_bytes() for line in lines if line["type"] == "letter"}
    for line in lines[1:-1]:
        assert hashlib.sha256(found[line["to"]]).hexdigest() == line["sha256"]
    assert lines[-1] == {"type": "end", "letters": len(found)}
    return found


def _approved(folder: CampaignFolder) -> dict[str, bytes]:
    assert folder.run("render").code == 0
    drafts = _drafts(folder)
    assert folder.run("approve", "--by", "R. B.").code == 0
    return drafts


def _body_and_header(message: bytes) -> bytes:
    """Return a message of the sink without what the sink put before it."""
    return message[message.index(b"From: Committee") :].replace(b"\r\n", b"\n").rstrip(b"\n")


def test_the_relay_gets_the_approved_drafts_octet_for_octet(tmp_path: Path, sink: Sink) -> None:
    """All of them, with two processes and chained; dot-stuffing is undone by the relay."""
    folder = make_campaign(tmp_path, LETTERS).at(sink.url)
    template = folder.root / "templates/letter.en.md"
    template.write_text(template.read_text("utf-8") + "\n.a line that begins with a dot\n", "utf-8")
    drafts = _approved(folder)
    assert folder.send("--processes", "2").code == 0
    assert sink.letters() == everybody(LETTERS)
    got = sorted(_body_and_header(text.encode()) for text in sink.texts())
    assert got == sorted(_body_and_header(draft) for draft in drafts.values())


def test_after_an_approval_one_changed_cell_refuses_exactly_its_letter(tmp_path: Path, sink: Sink) -> None:
    """Eleven go as they were approved; the twelfth after it was rendered and approved again."""
    folder = make_campaign(tmp_path, LETTERS).at(sink.url)
    _approved(folder)
    folder.write_list(row.replace("Member 3,", "Comrade 3,") for row in rows_of(LETTERS))
    done = folder.send()
    assert done.code == 2
    assert f"not sent to {address(3)}" in done.err
    assert done.err.count("not sent to") == 1
    assert sink.letters() == everybody(LETTERS) - everybody(4) + everybody(3)
    _approved(folder)
    assert folder.send().code == 0
    assert sink.letters() == everybody(LETTERS)


def test_a_letter_put_off_goes_later_with_the_bytes_that_were_approved(tmp_path: Path) -> None:
    """Greylisted at first; the list is edited meanwhile."""
    folder = make_campaign(tmp_path, 1)
    with smtp_sink("-r", "RCPT") as relay:
        drafts = _approved(folder.at(relay.url))
        assert folder.at(relay.url).send().code == 3
    folder.write_list(["r0000@office0.example,Somebody else,Velmor"])
    with smtp_sink() as relay:
        assert folder.at(relay.url).send("--now").code == 0
        (text,) = relay.texts()
    assert _body_and_header(text.encode()) == _body_and_header(drafts[address(0)])


def test_a_rendering_killed_at_any_moment_leaves_a_whole_manifest_or_none(tmp_path: Path) -> None:
    """Killed seven times, ever later; what is there then can be approved or is not there at all."""
    folder = make_campaign(tmp_path, MANY)
    folder = folder.at("smtp://127.0.0.1:9")
    assert folder.run("plan").code == 0
    manifest = folder.root / ".campaign/drafts/real/manifest.jsonl"
    for turn in range(TURNS):
        process = folder.start("render", "--all")
        before, wanted = _written(folder), turn * MANY // (TURNS - 2)
        wait_until(
            lambda: process.poll() is not None or _written(folder) - before >= wanted,  # noqa: B023
            "nothing is rendered",
        )
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if manifest.exists():
            assert len(_drafts(folder)) == MANY
    assert folder.run("render").code == 0
    assert len(_drafts(folder)) == MANY
    assert not list(manifest.parent.glob("*.part"))
    assert _written(folder) == MANY


def _written(folder: CampaignFolder) -> int:
    """Return how many files of drafts there are."""
    names = [path.name for path in (folder.root / ".campaign/drafts/real").glob("0*/*.eml")]
    return sum(bool(re.match(r"[0-9]+-", name)) for name in names)
