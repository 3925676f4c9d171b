"""Written conversations with a relay, played over real sockets against the real session, run and store.

Each file of tests/dialogues is a test for every manner it names: the client must say what is written there,
and the journal must hold what is written at its end. `tests/scripted_relay.py` explains the form.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from pipeline.delivery.retry import parse_schedule
from pipeline.delivery.session import Manner, Timeouts
from tests.scripted_relay import Dialogue, ScriptedRelay, read_dialogue, words
from tests.sending import Case, Outcome, Sending, account_for

WATCHDOG_S = 30  # no test waits for it; one that hangs is ended by it
DIALOGUES = [read_dialogue(path) for path in sorted((Path(__file__).parents[1] / "dialogues").glob("*.txt"))]
PLAYS = [
    pytest.param(dialogue, Manner(manner), id=f"{dialogue.name}-{manner}")
    for dialogue in DIALOGUES
    for manner in dialogue.manners
]


def numbers(text: str) -> dict[str, int]:
    """Return the numbers of "ada 5000, ben 3" by name."""
    return {name: int(number) for name, number in (word.split() for word in words(text))}


def case_of(dialogue: Dialogue, manner: Manner) -> Case:
    """Return what the header asks for."""
    header = dialogue.header
    sizes, deferred = numbers(header.get("sizes", "")), numbers(header.get("already deferred", ""))
    return Case(
        deferred=deferred,
        letters=dialogue.letters,
        manner=manner,
        sizes=sizes,
        letters_per_connection=int(header.get("letters per connection", "100")),
        schedule=parse_schedule(header.get("schedule", "30m 1h 4h")),
        timeouts=Timeouts(greeting=float(header.get("greeting timeout", "300"))),
        tries=int(header.get("tries", "1")),
    )


async def play(dialogue: Dialogue, manner: Manner, root: Path) -> tuple[Outcome, ScriptedRelay]:
    """Let the client talk to the script; return what the journal holds, and the relay."""
    case = case_of(dialogue, manner)
    relay = ScriptedRelay(dialogue.connections, case=case)
    async with relay.listening() as port:
        sending = relay.sending = Sending(root, case, port=port)
        try:
            outcome = await asyncio.wait_for(sending.go(), WATCHDOG_S)
        finally:
            sending.close()
    return outcome, relay


def told(outcome: Outcome) -> list[str]:
    """Return the journal in the words of the dialogues."""
    out = []
    for name, line in outcome.letters.items():
        tries = [
            f"{attempt.n} {attempt.phase} {attempt.verdict} {attempt.code or '-'}"
            for attempt in outcome.attempts[name]
        ]
        out.append("; ".join([f"{name}: {line.state}", *tries]))
    return out


def expect(dialogue: Dialogue, outcome: Outcome, relay: ScriptedRelay) -> None:
    """Compare with what the dialogue says at its end; "..." stands for any number of attempts before."""
    facts = {word: rest.strip() for word, _, rest in (line.partition(":") for line in dialogue.journal)}
    letters = [f"{name}: {facts[name]}" for name in outcome.letters]
    for written, found in zip(letters, told(outcome), strict=True):
        pattern = re.escape(written).replace(r";\ \.\.\.", r"(?:;\ [^;]+)*")
        pattern = pattern.replace(r"\ N\ ", r"\ [0-9]+\ ")
        assert re.fullmatch(pattern, found), f"{found!r} is not {written!r}"
    ended = outcome.stop.exit_code.name if outcome.stop else "cancelled" if outcome.cancelled else "by itself"
    assert ended == facts["ends"], outcome.stop
    assert sorted(relay.accepted) == sorted(words(facts["accepted"]))
    assert outcome.suppressed == set(words(facts.get("suppressed", "")))
    if "dots" in facts:
        assert relay.dots == int(facts["dots"])
    if "held" in facts:
        assert [hold for hold in outcome.holds if facts["held"] in hold]


@pytest.mark.parametrize(("dialogue", "manner"), PLAYS)
async def test_dialogue(dialogue: Dialogue, manner: Manner, tmp_path: Path) -> None:
    """The client keeps to the script, and the journal holds what the script says."""
    outcome, relay = await play(dialogue, manner, tmp_path)
    account_for(outcome, relay.accepted)
    expect(dialogue, outcome, relay)
