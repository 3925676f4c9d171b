"""Signatories x recipients under kill -9: each pair has its letter once, none is missing.

The seed is printed; CAMPAIGN_STORM_SEED repeats one (the machine's own timing still differs).
"""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from pathlib import Path
from subprocess import TimeoutExpired

import pytest

from tests.campaign_folder import CampaignFolder, make_campaign
from tests.peers import Sink, smtp_sink

LIVES, AT_ONCE, OFFICES, SIGNATORIES = 15, 10, 12, 8
LONGEST_LIFE_S = 1.2
TEMPLATE = """\
+++
subject = "Free the marchers of {{ recipient.city }}"
+++
Dear {{ recipient.name }},

{{ signatory.words }}

{{ signatory.names }}
"""
_ID = re.compile(r"^Message-ID: (\S+)$", re.MULTILINE)
_FROM = re.compile(r"^From: (\S+) via", re.MULTILINE)
_TO = re.compile(r"^X-Rcpt-Args: <([^>]+)>", re.MULTILINE)

pytestmark = [pytest.mark.storm, pytest.mark.peer]


def write_signatories(folder: CampaignFolder) -> None:
    """Write a list of signatories with words of one to three paragraphs."""
    rows = ["name,email,words,consent_date,consent_source"]
    for number in range(SIGNATORIES):
        words = "\n\n".join([f"I am number {number}."] + ["Let them go."] * (number % 3))
        rows.append(f'S{number},s{number}@home.example,"{words}",2026-03-02,form')
    (folder.root / "signatories.csv").write_text("\n".join([*rows, ""]), "utf-8")
    (folder.root / "templates" / "letter.en.md").write_text(TEMPLATE, "utf-8")


def ids(sink: Sink) -> Counter[str]:
    """Return how often each letter came, by its Message-ID."""
    return Counter(one for text in sink.texts() for one in _ID.findall(text)[:1])


def settle(folder: CampaignFolder, sink: Sink) -> None:
    """Do what an operator does: look up each letter in doubt at the relay, and say what became of it."""
    came = ids(sink)
    for line in folder.run("resolve", "--json").document["in_doubt"]:
        flag = "--sent" if came[line["message_id"]] else "--resend"
        settled = folder.run("resolve", flag, "--why", "the relay's log", line["message_id"])
        assert settled.code == 0, settled.said


def test_each_pairs_letter_comes_once_however_often_the_sender_is_killed(tmp_path: Path) -> None:
    """Killed at moments drawn by lot; both lists are turned round between the lives."""
    seed = int(os.environ.get("CAMPAIGN_STORM_SEED", random.randrange(1 << 30)))
    print(f"CAMPAIGN_STORM_SEED={seed}")
    chance = random.Random(seed)
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, OFFICES, relay=sink.url)
        write_signatories(folder)
        killed = 0
        for _ in range(LIVES):
            process = folder.start("send", "--yes", "--limit", str(AT_ONCE))
            try:
                process.wait(chance.uniform(0.2, LONGEST_LIFE_S))
            except TimeoutExpired:
                killed += 1
                process.kill()
                process.wait()
            for name in ("recipients.csv", "signatories.csv"):
                turn_round(folder.root / name, chance)
            settle(folder, sink)
        assert killed
        assert folder.send().code == 0
        came = ids(sink)
        assert set(came.values()) == {1}
        assert len(came) == OFFICES * SIGNATORIES
        pairs = Counter((_FROM.findall(text)[0], _TO.findall(text)[0]) for text in sink.texts())
        assert set(pairs.values()) == {1}
        assert len(pairs) == OFFICES * SIGNATORIES
    assert folder.states() == {"sent": OFFICES * SIGNATORIES}


def turn_round(path: Path, chance: random.Random) -> None:
    """Write a list in another order."""
    header, *lines = path.read_text("utf-8").split("\n", 1)
    rows = re.findall(r'(?:[^"\n]|"[^"]*")+', lines[0])
    chance.shuffle(rows)
    path.write_text("\n".join([header, *rows, ""]), "utf-8")
