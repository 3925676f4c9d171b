"""A relay that does anything at all: no letter is accepted twice, and every letter has a final account.

The server is honest in one thing only: it says 2yz to a final dot if, and only if, it keeps the letter. Else
it answers every command with some code, drops, or is silent, and may keep a letter without saying so.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.delivery.letter import State
from pipeline.delivery.session import Manner
from tests.postgres import BOTH
from tests.sending import Case, Sending, account_for

pytestmark = BOTH

GOOD = {"MAIL": "250 2.1.0 ok", "RCPT": "250 2.1.5 ok", "DATA": "354 go ahead", "dot": "250 2.0.0 taken"}
WILD = [
    "", "", "", "", "", "",  # all is well, more often than not
    "250 ok", "354 go ahead", "299 ok", "421 4.3.2 closing", "450 4.2.0 later", "452 4.2.2 full",
    "451 rate limit", "550 5.1.1 nobody", "550 no", "552 5.2.2 full", "554 5.7.1 spam", "503 5.5.1 order",
    "599 no", "150 what", "hello", "drop", "drop, kept", "silence", "silence, kept",
    "250 2.0.0 one\r\n250 2.0.0 too many",
]  # fmt: skip


@dataclass(slots=True)
class WildRelay:
    """A server whose answers come from a list, and are good once that is used up."""

    moods: Iterator[str]
    sending: Sending | None = None
    kept: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk over one connection."""
        try:
            writer.write(b"220 wild.example ESMTP\r\n")
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipients: list[str] = []
        while line := (await reader.readline()).decode():
            word = line[:4].upper().strip()
            if word in {"EHLO", "RSET", "QUIT"}:
                recipients = []
                writer.write(b"250-wild.example\r\n250 PIPELINING\r\n" if word == "EHLO" else b"250 ok\r\n")
                continue
            answer = next(self.moods, "") or GOOD[word]
            if word == "DATA" and not recipients and answer == GOOD["DATA"]:
                answer = "503 5.5.1 no recipient"
            if not await self._say(answer, reader, writer):
                return
            if word == "MAIL":
                recipients = []
            elif word == "RCPT" and answer.startswith("2"):
                recipients.append(line.partition("<")[2].partition(">")[0])
            elif word == "DATA" and answer.startswith("354"):
                text = await reader.readuntil(b".\r\n" if not recipients else b"\r\n.\r\n")
                if not await self._end_of(text, recipients, reader, writer):
                    return

    async def _end_of(
        self, text: bytes, recipients: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer the dot; keep the letter if it says 2yz, or in secret."""
        answer = next(self.moods, "") or GOOD["dot"]
        if recipients and (answer.startswith("2") or answer.endswith("kept")):
            assert b"X-Name: " + recipients[0].partition("@")[0].encode() + b"\r\n" in text
            self.kept.append(recipients[0].partition("@")[0])
        elif answer.startswith("2"):
            answer = "554 5.5.1 no recipient"
        return await self._say(answer, reader, writer)

    async def _say(self, answer: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Say it, or do it; false when the connection is at its end."""
        if answer.startswith("drop"):
            return False
        if answer.startswith("silence"):
            assert self.sending is not None
            self.sending.wire_clock.advance(600)
            await reader.read()
            return False
        writer.write(answer.encode() + b"\r\n")
        await writer.drain()
        return not answer.startswith("421")


async def play(root: Path, manner: Manner, connections: int, moods: list[str]) -> None:
    """Send six letters, then again what is left, to a relay in these moods."""
    case = Case(["ada", "ben", "cem", "dora", "eva", "finn"], manner=manner, connections=connections)
    relay = WildRelay(iter(moods))
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0, limit=1 << 20)
    sending = relay.sending = Sending(root, case, port=int(server.sockets[0].getsockname()[1]))
    try:
        for _ in range(2):
            outcome = await asyncio.wait_for(sending.go(), 30)
            account_for(outcome, relay.kept)
            states = outcome.states()
            assert len(states) == 6
            assert set(states.values()) <= {State.SENT, State.FAILED, State.IN_DOUBT, State.QUEUED}
            counted = outcome.progress
            assert counted.sent + counted.failed + counted.in_doubt + counted.deferred <= 6
            if State.QUEUED in states.values() and not counted.deferred:
                assert (
                    outcome.stop is not None
                    or outcome.progress.left_for_later
                    or _all_deferred(outcome.letters)
                )
    finally:
        sending.close()
        server.close()
        await server.wait_closed()


def _all_deferred(letters: object) -> bool:
    assert isinstance(letters, dict)
    return all(line.deferrals for line in letters.values() if line.state is State.QUEUED)


@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
@given(
    manner=st.sampled_from(list(Manner)),
    connections=st.integers(1, 3),
    moods=st.lists(st.sampled_from(WILD), max_size=40),
)
def test_no_letter_is_accepted_twice_or_forgotten(manner: Manner, connections: int, moods: list[str]) -> None:
    """In two runs: what was accepted is sent or in doubt, what is sent was accepted, nothing is open."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder), manner, connections, moods))
