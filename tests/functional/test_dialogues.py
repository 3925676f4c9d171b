"""Written conversations with a relay, played over real sockets against the real session, run and store.

Each file of tests/dialogues is a test for every manner it names: the client must say what is written there,
and the journal must hold what is written at its end. `tests/scripted_relay.py` explains the form.
"""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.delivery.retry import parse_schedule
from pipeline.delivery.session import Manner
from pipeline.delivery.wire import Timeouts
from tests.postgres import BOTH
from tests.scripted_relay import Dialogue, ScriptedRelay, read_dialogue, words
from tests.sending import Case, Outcome, Sending, account_for

pytestmark = BOTH

WATCHDOG_S = 30  # no test waits for it; one that hangs is ended by it
DIALOGUES = [read_dialogue(path) for path in sorted((Path(__file__).parents[1] / "dialogues").glob("*.txt"))]


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
        unseen_pause="pause" in header,
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


def plays(fault: str = "") -> pytest.MarkDecorator:
    """Return the dialogues about a numbered fault (those about none), each in every manner it names."""
    return pytest.mark.parametrize(
        ("dialogue", "manner"),
        [
            pytest.param(dialogue, Manner(manner), id=f"{dialogue.name}-{manner}")
            for dialogue in DIALOGUES
            if dialogue.header.get("fault", "") == fault
            for manner in dialogue.manners
        ],
    )


async def keeps_to_the_script(dialogue: Dialogue, manner: Manner, root: Path) -> Outcome:
    """Play, compare with the script's end, and account for every letter; return what the journal holds."""
    outcome, relay = await play(dialogue, manner, root)
    account_for(outcome, relay.accepted)
    expect(dialogue, outcome, relay)
    return outcome


@plays()
async def test_dialogue(dialogue: Dialogue, manner: Manner, tmp_path: Path) -> None:
    """The client keeps to the script, and the journal holds what the script says."""
    await keeps_to_the_script(dialogue, manner, tmp_path)


@plays("4")
async def test_fault_04_user_unknown(dialogue: Dialogue, manner: Manner, tmp_path: Path) -> None:
    """The letter has failed, the address is suppressed, the run goes on."""
    outcome = await keeps_to_the_script(dialogue, manner, tmp_path)
    assert outcome.progress.failed == 1
    assert outcome.stop is None


@plays("7")
async def test_fault_07_greylisting(dialogue: Dialogue, manner: Manner, tmp_path: Path) -> None:
    """One attempt in this run, and the next when the schedule says, half an hour later at the earliest."""
    outcome = await keeps_to_the_script(dialogue, manner, tmp_path)
    line = outcome.letters["ada"]
    assert len(outcome.attempts["ada"]) == 1
    if line.due_at is not None and line.last_attempt_at is not None:
        assert timedelta(minutes=30) <= line.due_at - line.last_attempt_at < timedelta(minutes=31)


@plays("9")
async def test_fault_09_quota_used_up(dialogue: Dialogue, manner: Manner, tmp_path: Path) -> None:
    """The run pauses, the relay rests for an hour, nobody is suppressed, and the stop says until when."""
    outcome = await keeps_to_the_script(dialogue, manner, tmp_path)
    assert outcome.stop is not None
    assert "quota" in outcome.stop.reason
    assert "next try after 2027-05-03 10:00 UTC" in outcome.stop.hint


@plays("10")
async def test_fault_10_relay_closes_without_a_word(
    dialogue: Dialogue, manner: Manner, tmp_path: Path
) -> None:
    """The letter in hand is judged by its phase, a new connection carries the rest, nothing goes twice."""
    await keeps_to_the_script(dialogue, manner, tmp_path)


@plays("12")
async def test_fault_12_mailbox_full(dialogue: Dialogue, manner: Manner, tmp_path: Path) -> None:
    """Full is for now: due later on the schedule, and no address is suppressed for it."""
    outcome = await keeps_to_the_script(dialogue, manner, tmp_path)
    assert outcome.progress.deferred == 3


@plays("13")
async def test_fault_13_421_in_mid_session(dialogue: Dialogue, manner: Manner, tmp_path: Path) -> None:
    """The session closes, the letter is due later, the others go on over a new connection."""
    await keeps_to_the_script(dialogue, manner, tmp_path)


@plays("14")
async def test_fault_14_blocked_as_spam(dialogue: Dialogue, manner: Manner, tmp_path: Path) -> None:
    """The switch trips, the addresses live, and the advice names SPF, DKIM and DMARC."""
    outcome = await keeps_to_the_script(dialogue, manner, tmp_path)
    assert any("SPF, DKIM and DMARC" in advice for advice in outcome.advice)


@plays("16")
async def test_fault_16_lost_after_the_dot(dialogue: Dialogue, manner: Manner, tmp_path: Path) -> None:
    """In doubt, held: a second run over the same store does not send it again."""
    outcome = await keeps_to_the_script(dialogue, manner, tmp_path)
    assert outcome.progress.in_doubt == 1
    again = Sending(tmp_path, case_of(dialogue, manner), port=9)
    second = await asyncio.wait_for(again.go(), WATCHDOG_S)
    again.close()
    assert second.stop is None
    assert second.states() == outcome.states()
    assert second.attempts == outcome.attempts
