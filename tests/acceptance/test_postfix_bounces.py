"""Our own letters, bounced by a real Postfix: bounces land beside them, only the dead are suppressed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign_folder import CampaignFolder, make_campaign
from tests.peers import smtp_sink
from tests.postfix import Postfix, postfix

pytestmark = pytest.mark.peer

REFUSALS = {
    "dead.example": "550 5.1.1 no such user here",
    "full.example": "552 5.2.2 mailbox full",
    "spam.example": "554 5.7.1 message rejected as spam",
    "lying.example": "550 5.1.1 user is over quota, mailbox full",
}
DOMAINS = (*REFUSALS, "living.example")
EACH = 5  # letters to each domain


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CampaignFolder, Postfix]]:
    """A campaign that Postfix took, and bounced where a sink refused."""
    tmp_path = tmp_path_factory.mktemp("bounced")
    with (
        smtp_sink("-f", "RCPT", "-B", REFUSALS["dead.example"]) as dead,
        smtp_sink("-f", "RCPT", "-B", REFUSALS["full.example"]) as full,
        smtp_sink("-f", ".", "-B", REFUSALS["spam.example"]) as spam,
        smtp_sink("-f", "RCPT", "-B", REFUSALS["lying.example"]) as lying,
        smtp_sink() as living,
    ):
        ports = dict(zip(DOMAINS, (sink.port for sink in (dead, full, spam, lying, living)), strict=True))
        with postfix(ports) as relay:
            addresses = [f"r{number}@{domain}" for number in range(EACH) for domain in DOMAINS]
            folder = make_campaign(
                tmp_path,
                addresses,
                relay=relay.url,
                settings=(
                    "campaign.return_path=letters+{token}@example.org",
                    f"replies.mailbox=maildir:{relay.maildir}",
                ),
            )
            assert folder.send().code == 0
            relay.wait_for(EACH * len(REFUSALS))
            yield folder, relay


def test_each_bounce_lands_beside_its_letter(sent: tuple[CampaignFolder, Postfix]) -> None:
    """All of them are tied, none is guessed, and a second fetch adds nothing."""
    folder, _ = sent
    said = folder.run("replies", "fetch", "--json").document
    bounces = EACH * len(REFUSALS)
    assert (said["replies"], said["unmatched"]) == ({"bounce": bounces}, 0)
    found = folder.run("replies", "list", "--json").document["replies"]
    for one in found:
        assert [whom["address"] for whom in one["recipients"]] == [one["to"]]
    assert len({one["letter"] for one in found}) == bounces
    assert folder.run("replies", "fetch", "--json").document["fetched"] == 0


def test_only_the_dead_are_suppressed(sent: tuple[CampaignFolder, Postfix]) -> None:
    """Full, refused as spam and "5.1.1 over quota" are living addresses."""
    folder, _ = sent
    folder.run("replies", "fetch")
    entries = folder.run("suppress", "list", "--json").document["suppressions"]
    assert {entry["address"] for entry in entries} == {f"r{number}@dead.example" for number in range(EACH)}
    assert {entry["reason"] for entry in entries} == {"bounced"}


def test_the_letters_stay_sent_and_status_says_that_they_bounced(
    sent: tuple[CampaignFolder, Postfix],
) -> None:
    """Bounced is a fact about a letter, not a state of it."""
    folder, _ = sent
    folder.run("replies", "fetch")
    assert folder.states() == {"sent": EACH * len(DOMAINS)}
    answers = folder.run("status", "--json").document["answers"]
    assert (answers["bounced"], answers["undeliverable"]) == (EACH * len(REFUSALS),) * 2
    assert answers["waiting"] == EACH


def test_without_a_token_the_returned_message_id_ties_them(
    sent: tuple[CampaignFolder, Postfix], tmp_path: Path
) -> None:
    """A return path that is the author's plain address does as well."""
    _, relay = sent
    before = relay.arrived()
    folder = make_campaign(
        tmp_path,
        ["ada@dead.example"],
        relay=relay.url,
        settings=(f"replies.mailbox=maildir:{relay.maildir}",),
    )
    assert folder.send().code == 0
    relay.wait_for(before + 1)
    said = folder.run("replies", "fetch", "--json").document
    assert (said["fetched"], said["suppressed"]) == (before + 1, 1)
    (ours,) = [
        one
        for one in folder.run("replies", "list", "--json").document["replies"]
        if one["letter"] is not None
    ]
    assert ours["to"] == "ada@dead.example"
