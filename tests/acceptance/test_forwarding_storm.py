"""kill -9 while replies are passed on: no notice reaches the relay twice, and none is lost without a word."""

from __future__ import annotations

import re
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.campaign_folder import make_campaign
from tests.peers import Sink, smtp_sink, wait_until
from tests.replies_campaign import Box, mail

REPLIES = 120
ORGANISER = "organisers@home.example"

pytestmark = [pytest.mark.peer, pytest.mark.storm]


def notices(sink: Sink) -> Counter[str]:
    """Return how often each reply was passed on, by its words."""
    texts = [text for text in sink.texts() if f"To: {ORGANISER}" in text]
    found = (re.search(r"^Answer number (\d+)\.", text, re.MULTILINE) for text in texts)
    return Counter(match[1] for match in found if match is not None)


def test_killed_again_and_again_each_reply_is_passed_on_at_most_once(tmp_path: Path) -> None:
    """What is not at the relay is in doubt, and `status` says so."""
    with smtp_sink() as sink:
        folder = make_campaign(
            tmp_path,
            ["ada@office.example"],
            relay=sink.url,
            connections=2,
            settings=("replies.mailbox=maildir:box", f"replies.forward_to={ORGANISER}", "limits.relay=100/s"),
        )
        assert folder.send().code == 0
        box = Box(folder.root / "box")
        for number in range(REPLIES):
            header = {
                "From": f"clerk{number}@office.example",
                "To": "letters@example.org",
                "Subject": f"Your letter, file {number}",
                "Message-ID": f"<{number}@office.example>",
            }
            box.put(mail(header, f"Answer number {number}."))
        assert folder.run("replies", "fetch").code == 0
        for least in (2, 20, 45, 70, 95):
            process = folder.start("run")
            wait_until(lambda least=least: sink.filed > least, f"{least} notices")  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert folder.run("run").code == 0
        assert folder.run("run").code == 0
        sent = notices(sink)
        problems = folder.run("status", "--json").document["problems"]
    assert max(sent.values()) == 1
    doubts = len([one for one in problems if one["code"] == "notice"])
    assert len(sent) + doubts >= REPLIES
    assert doubts <= 5 * 2 * 2  # of each kill, at most two a connection
