"""Who complains or asks for no more letters gets none from another campaign of the same user either."""

from __future__ import annotations

from collections.abc import Mapping
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest

from tests.campaign_folder import make_campaign
from tests.peers import Sink, smtp_sink
from tests.replies_campaign import Box, answer, complaint

pytestmark = pytest.mark.peer


def letters_at(sink: Sink) -> Mapping[str, Message]:
    """Return the letters a sink has taken, by their recipients."""
    found = [message_from_string(text[text.index("From: Committee") :]) for text in sink.texts()]
    return {str(letter["To"]).rpartition("<")[2].rstrip(">"): letter for letter in found}


def test_a_complaint_and_an_opt_out_hold_in_the_next_campaign(tmp_path: Path) -> None:
    """Collected by the run of the one, honoured by the send of the other."""
    with smtp_sink() as sink:
        first = tmp_path / "first"
        first.mkdir()
        folder = make_campaign(
            first,
            ["ada@office.example", "ben@office.example"],
            relay=sink.url,
            settings=("replies.mailbox=maildir:box",),
        )
        assert folder.send().code == 0
        letters = letters_at(sink)
        box = Box(folder.root / "box")
        box.put(complaint(letters["ada@office.example"]))
        box.put(answer(letters["ben@office.example"], "stop"))
        assert (folder.run("run").code, folder.run("run").said) == (0, "")
        second = tmp_path / "second"
        second.mkdir()
        other = make_campaign(
            second,
            ["ada@office.example", "ben@office.example", "eva@office.example"],
            relay=sink.url,
            settings=(f"store.shared={first}/data/letter-campaign",),
        )
        said = other.send("--json").document
        assert (said["sent"], said["suppressed"]) == (1, 2)
        assert sink.letters()["eva@office.example"] == 1
        assert sink.letters().total() == 3
