"""The sandbox relay, spoken to by the real client."""

from __future__ import annotations

import asyncio
import mailbox
from pathlib import Path

from pipeline.clock import to_us
from pipeline.delivery.letter import State
from pipeline.delivery.sandbox import sandbox_relay
from pipeline.store import queue
from tests.sending import Case, Outcome, Sending, text_of


async def send(root: Path, *names: str, again: bool = False, connections: int = 1) -> Outcome:
    """Send letters to the sandbox; with ``again``, a second time, everything due."""
    outbox = root / ".campaign" / "outbox"
    async with sandbox_relay(outbox) as port:
        sending = Sending(root, Case(names, connections=connections), port=port)
        try:
            outcome = await asyncio.wait_for(sending.go(), 30)
            if again:
                with sending.world.campaign.writing() as connection:
                    queue.make_due(connection, now_us=to_us(sending.run_clock.now()))
                outcome = await asyncio.wait_for(sending.go(), 30)
        finally:
            sending.close()
    return outcome


def filed(root: Path) -> dict[str, bytes]:
    """Return what lies in the outbox, by recipient."""
    box = mailbox.Maildir(root / ".campaign" / "outbox", create=False)
    out: dict[str, bytes] = {}
    for key in box.keys():  # noqa: SIM118 - a Maildir is no dict
        content = box.get_bytes(key)
        recipient = content.partition(b"Delivered-To: ")[2].partition(b"\n")[0].decode()
        assert recipient not in out
        out[recipient] = content
    return out


async def test_letter_is_filed_as_a_server_would_deliver_it(tmp_path: Path) -> None:
    """Return-Path and Delivered-To in front, then the letter, its lines ended by LF, its dots unstuffed."""
    outcome = await send(tmp_path, "ada")
    assert outcome.states() == {"ada": State.SENT}
    head = b"Return-Path: <letters@author.example>\nDelivered-To: ada@office.example\n"
    assert filed(tmp_path) == {"ada@office.example": head + text_of("ada").replace(b"\r\n", b"\n")}


async def test_several_connections_file_into_one_outbox(tmp_path: Path) -> None:
    """Every letter once, whatever the connections."""
    names = [f"person{number}" for number in range(20)]
    outcome = await send(tmp_path, *names, connections=4)
    assert set(outcome.states().values()) == {State.SENT}
    assert len(filed(tmp_path)) == 20


async def test_deferred_the_first_time_and_taken_the_second(tmp_path: Path) -> None:
    """sandbox-defers@ shows what greylisting looks like."""
    first = await send(tmp_path, "sandbox-defers")
    assert first.states() == {"sandbox-defers": State.QUEUED}
    assert first.progress.deferred == 1


async def test_deferred_letter_goes_when_it_is_due(tmp_path: Path) -> None:
    """The sandbox remembers whom it has put off."""
    second = await send(tmp_path, "sandbox-defers", again=True)
    assert second.states() == {"sandbox-defers": State.SENT}
    assert [attempt.code for attempt in second.attempts["sandbox-defers"]] == [450, 250]


async def test_refused(tmp_path: Path) -> None:
    """sandbox-refuses@ has failed, and is not written to again in this world."""
    outcome = await send(tmp_path, "sandbox-refuses", "ada")
    assert outcome.states() == {"sandbox-refuses": State.FAILED, "ada": State.SENT}
    assert outcome.suppressed == {"sandbox-refuses"}


async def test_dropped_after_the_dot(tmp_path: Path) -> None:
    """sandbox-drops@ is filed and in doubt: the letter after it goes over a new connection."""
    outcome = await send(tmp_path, "sandbox-drops", "ada")
    assert outcome.states() == {"sandbox-drops": State.IN_DOUBT, "ada": State.SENT}
    assert set(filed(tmp_path)) == {"sandbox-drops@office.example", "ada@office.example"}


async def test_address_beyond_ascii(tmp_path: Path) -> None:
    """The sandbox takes SMTPUTF8."""
    outcome = await send(tmp_path, "léa")
    assert outcome.states() == {"léa": State.SENT}
    assert set(filed(tmp_path)) == {"léa@office.example"}
