"""What those who sign letters write into a thread is no official's word."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import CONFIG, CommandLine
from tests.replies_campaign import REPLIES, Box, answer, sent_letters
from tests.unit.test_cli_signatories import ROWS, SIGNED, TEMPLATE


def test_a_stop_of_a_signatory_in_copy_is_not_the_recipients(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who wrote the letter speaks for nobody it was sent to; a person looks at it."""
    campaign = CommandLine(tmp_path / "mayday", capsys, monkeypatch)
    campaign.write(rows=ROWS, template=TEMPLATE, config=CONFIG + REPLIES)
    (campaign.folder / "signatories.csv").write_text(SIGNED, "utf-8")
    campaign("send")
    letter = sent_letters(campaign.folder / ".campaign/outbox")["mia@office.example"]
    Box(campaign.folder / "box").put(answer(letter, "stop", whose="Ada Venn <ada@home.example>"))
    campaign("replies", "fetch")
    (reply,) = campaign("replies", "list", "--json").json["replies"]
    assert (reply["kind"], reply["review"]) == ("human", "optout")
    assert campaign("suppress", "list", "--json").json["suppressions"] == []
