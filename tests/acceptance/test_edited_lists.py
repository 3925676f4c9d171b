"""The list is edited between runs: letters know their recipients by address, not by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign_folder import CampaignFolder, everybody, make_campaign, rows_of
from tests.peers import Sink, smtp_sink

pytestmark = pytest.mark.peer

LETTERS = 6


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A healthy relay."""
    with smtp_sink() as relay:
        yield relay


@pytest.fixture
def folder(tmp_path: Path, sink: Sink) -> CampaignFolder:
    """A campaign of six letters, three of them sent."""
    folder = make_campaign(tmp_path, LETTERS).at(sink.url)
    assert folder.send("--limit", "3").code == 3
    assert sink.letters() == everybody(3)
    return folder


def test_fault_26_moved_rows_send_nobody_a_second_letter(folder: CampaignFolder, sink: Sink) -> None:
    """The list turned upside down: the other three go, and nobody else."""
    folder.write_list(reversed(rows_of(LETTERS)))
    assert folder.send().code == 0
    assert sink.letters() == everybody(LETTERS)


def test_fault_26_a_typo_mended_in_a_sent_row_sends_nothing_again(folder: CampaignFolder, sink: Sink) -> None:
    """A name is not part of a letter's identity: sent stays sent, unsent letters are made anew."""
    folder.write_list(row.replace("Member", "Comrade") for row in rows_of(LETTERS))
    assert folder.send().code == 0
    assert sink.letters() == everybody(LETTERS)
    salutations = Counter("Comrade" in text for text in sink.texts())
    assert salutations == {True: LETTERS - 3, False: 3}


def test_fault_26_a_mended_address_is_a_new_letter_and_the_old_one_is_cancelled(
    folder: CampaignFolder, sink: Sink
) -> None:
    """A typo in an unsent address: the wrong one is never written to."""
    rows = rows_of(LETTERS)
    folder.write_list([*rows[:-1], "mended@office.example,Member,Velmor"])
    assert folder.send().code == 0
    assert sink.letters() == everybody(LETTERS - 1) + Counter({"mended@office.example": 1})
    assert folder.states() == {"sent": LETTERS, "cancelled": 1}


def test_fault_26_new_rows_go_once_beside_the_old_ones(folder: CampaignFolder, sink: Sink) -> None:
    """Two rows in front: they are sent, and the three that waited."""
    folder.write_list(["x@new.example,X,Velmor", "y@new.example,Y,Velmor", *rows_of(LETTERS)])
    assert folder.send().code == 0
    assert sink.letters() == everybody(LETTERS) + Counter({"x@new.example": 1, "y@new.example": 1})


def test_fault_26_a_removed_row_is_cancelled_and_a_sent_one_stays_sent(
    folder: CampaignFolder, sink: Sink
) -> None:
    """Rows 0 (sent) and 5 (waiting) are taken out; back in the list, row 5 goes and row 0 does not."""
    rows = rows_of(LETTERS)
    folder.write_list(rows[1:-1])
    assert folder.send().code == 0
    assert sink.letters() == everybody(LETTERS - 1)
    assert folder.states() == {"sent": LETTERS - 1, "cancelled": 1}
    folder.write_list(rows)
    assert folder.send().code == 0
    assert sink.letters() == everybody(LETTERS)


def test_fault_26_another_spelling_of_an_address_is_the_same_letter(
    folder: CampaignFolder, sink: Sink
) -> None:
    """Capitals and spaces make no second letter."""
    folder.write_list(f" {row.replace('office', 'OFFICE', 1)}" for row in rows_of(LETTERS))
    assert folder.send().code == 0
    assert Counter(who.casefold() for who in sink.letters().elements()) == everybody(LETTERS)


def test_fault_32_a_suppressed_address_stays_unsent_however_often_it_is_listed(
    folder: CampaignFolder, sink: Sink
) -> None:
    """Opted out between two runs, then written into the list again in capitals: never written to."""
    assert folder.run("suppress", "add", "r0005@office5.example").code == 0
    assert folder.send().code == 0
    folder.write_list([*rows_of(LETTERS)[:-1], "R0005@Office5.example,Member,Velmor"])
    assert folder.send().code == 0
    assert sink.letters() == everybody(LETTERS - 1)
    assert folder.states() == {"sent": LETTERS - 1, "suppressed": 1}
    shown = folder.run("show", "r0005@office5.example")
    assert "suppressed" in shown.out


def test_fault_32_an_opt_out_holds_for_the_next_campaign_too(tmp_path: Path, sink: Sink) -> None:
    """Suppressions lie beside the campaigns, not in one."""
    first = make_campaign(tmp_path, 2).at(sink.url)
    assert first.run("suppress", "add", "r0001@office1.example").code == 0
    (tmp_path / "second").mkdir()
    second = CampaignFolder(
        make_campaign(tmp_path / "second", 2).root,
        environment={"XDG_DATA_HOME": first.environ["XDG_DATA_HOME"]},
    ).at(sink.url)
    assert second.send().code == 0
    assert sink.letters() == everybody(1)
