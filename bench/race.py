"""Rounds of contenders in turn, each against a fresh sink whose own count decides.

Everybody first sends a few letters to a sink that files them: who fails there, or does other work than is
compared (one personal letter to each recipient, in text and HTML, with Date and Message-ID), is left out,
with the reason. The trial also tells how many octets a letter of each has. One trial is enough for all races.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from statistics import median

from bench.contenders import Contender, Turn
from bench.figures import Run, in_turn
from bench.material import Material, rows, write_material
from bench.processes import Command, Cost, Failed, run_measured
from bench.relays import Relay, Way, relay

TRIAL_LETTERS = 12
TRIAL_S = 60.0
WAITING = 3  # `campaign send` ends with it where letters wait for a later run: a prepared one means to

_RECIPIENT = re.compile(rb"^X-Rcpt-Args: <([^>]*)>", re.MULTILINE)
_ADDED = re.compile(rb"\A(?:X-.*\n)*Received:.*\n(?:[ \t].*\n)*")  # smtp-sink's own lines
FIELDS = ("Date", "From", "Message-ID", "MIME-Version", "Subject", "To")


@dataclass(frozen=True, slots=True)
class Course:
    """How a race is run."""

    letters: int
    rounds: int
    connections: int  # ours
    pool: int  # the peers'
    way: Way
    delay_ms: float  # round trip, for `Way.FAR`
    patience_s: float  # for one turn
    scratch: Path
    tell: Callable[[str], None]
    tried: dict[str, tuple[str, int]] = field(default_factory=dict)  # by whom a trial was made before


@dataclass(slots=True)
class Results:
    """What came of a race."""

    contenders: list[Contender]
    rounds: list[dict[str, Run]] = field(default_factory=list)
    octets: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def voids(self) -> list[str]:
        """Every turn that does not count, and why."""
        return [
            f"round {number}: {name}: {run.void}"
            for number, turns in enumerate(self.rounds, 1)
            for name, run in turns.items()
            if run.void
        ]


def run_race(course: Course, contenders: Sequence[Contender]) -> Results:
    """Try everybody who was not tried before, then run the rounds. Raises Failed where there is no relay."""
    results = Results([])
    trial = write_material(course.scratch / "trial", TRIAL_LETTERS)
    for contender in contenders:
        if contender.name not in course.tried:
            course.tell(f"trying {contender.name}")
            course.tried[contender.name] = _try(course, contender, trial)
        why, octets = course.tried[contender.name]
        if why:
            results.left_out[contender.name] = why
            course.tell(f"  left out: {why}")
        else:
            results.contenders.append(contender)
            results.octets[contender.name] = octets
    known = {contender.name: contender for contender in results.contenders}
    sizes = {max(1, course.letters // contender.part) for contender in known.values()}
    materials = {size: write_material(course.scratch / f"campaign-{size}", size) for size in sizes}
    for number in range(course.rounds):
        turns: dict[str, Run] = {}
        results.rounds.append(turns)
        for name in in_turn(list(known), number):
            material = materials[max(1, course.letters // known[name].part)]
            turns[name] = _turn(course, known[name], material)
            course.tell(f"round {number + 1} of {course.rounds}: {_told(name, turns[name])}")
    return results


def _turn(course: Course, contender: Contender, material: Material) -> Run:
    """Let one contender send everything; whatever goes wrong makes the turn void, not the race."""
    material.forget()
    counted, letters = 0, material.letters - contender.prepared
    try:
        with relay(course.way, course.scratch, delay_ms=course.delay_ms) as target:
            turn = _as_turn(course, material, target)
            try:
                _prepare(course, contender, turn, target)
                cost = _run(course, contender.command(turn), course.patience_s)
            finally:
                counted = target.counter.settled(material.letters) - contender.prepared
            sending = contender.sending(turn) if contender.sending else None
    except Failed as failure:
        return Run(letters, counted, None, failure=str(failure))
    return Run(letters, counted, cost, sending)


def _as_turn(course: Course, material: Material, target: Relay) -> Turn:
    notes = course.scratch / "notes"
    return Turn(material, target.port, course.connections, course.pool, notes, target.ca_file)


def _prepare(course: Course, contender: Contender, turn: Turn, target: Relay) -> None:
    if contender.prepare is None:
        return
    _run(course, contender.prepare(turn), course.patience_s, codes=(0, WAITING))
    if (counted := target.counter.settled(contender.prepared)) != contender.prepared:
        raise Failed(f"{counted} letters were sent before it began")


def _run(course: Course, command: Command, seconds: float, *, codes: Sequence[int] = (0,)) -> Cost:
    return run_measured(command, scratch=course.scratch, seconds=seconds, codes=codes)


def _try(course: Course, contender: Contender, material: Material) -> tuple[str, int]:
    """Return why a contender cannot take part ("" when it can), and the octets of its letter."""
    material.forget()
    with tempfile.TemporaryDirectory(prefix="bench-letters-", ignore_cleanup_errors=True) as name:
        folder = Path(name)  # not below the scratch folder: the sink's user has to reach it
        with relay(course.way, course.scratch, letters_in=folder) as target:
            turn = _as_turn(course, material, target)
            try:
                _prepare(course, contender, turn, target)
                _run(course, contender.command(turn), TRIAL_S)
            except Failed as failure:
                return str(failure), 0
            counted = target.counter.settled(material.letters)
        texts = [path.read_bytes() for path in folder.iterdir()]
    if counted != material.letters or len(texts) != counted:
        return f"the sink took {counted} of {material.letters} letters in the trial", 0
    why = "" if contender.constant else wrong_work(texts)
    return why, int(median(on_the_wire(text) for text in texts))


def wrong_work(filed: Sequence[bytes]) -> str:
    """Say why the letters that smtp-sink filed in a trial are not the work that is compared; empty when they
    are: one to each recipient, with the whole text of that recipient in both parts, a Message-ID of its own
    and a Date."""
    everybody = {row[0]: row for row in rows(len(filed))}
    written_to = sorted(found[1].decode() for text in filed if (found := _RECIPIENT.search(text)))
    if written_to != sorted(everybody):
        return "it did not write to each recipient once in the trial"
    seen: set[str] = set()
    for text in filed:
        recipient = _RECIPIENT.search(text)
        assert recipient is not None, "each has one: it was looked at above"
        letter = message_from_bytes(_ADDED.sub(b"", text, count=1), policy=default)
        missing = [name for name in FIELDS if not letter[name]]
        if missing:
            return f"its letters have no {missing[0]} in the trial"
        seen.add(str(letter["Message-ID"]))
        leaves = [part for part in letter.walk() if not part.is_multipart()]
        parts = {part.get_content_type(): part.get_content() for part in leaves}
        if set(parts) != {"text/plain", "text/html"}:
            return "its letters are not text and HTML in the trial"
        _, name, _, _, city, reference = everybody[recipient[1].decode()]
        for words in parts.values():
            if any(value not in words for value in (name, city, reference)):
                return "its letters are not personal in the trial"
    return "" if len(seen) == len(filed) else "its letters share a Message-ID in the trial"


def on_the_wire(filed: bytes) -> int:
    """Return the octets of a letter that smtp-sink filed: its own header lines taken off, line ends as
    CRLF."""
    letter = _ADDED.sub(b"", filed, count=1)
    return len(letter) + letter.count(b"\n") - letter.count(b"\r\n")


def _told(name: str, run: Run) -> str:
    if run.void or run.cost is None:
        return f"{name}: VOID: {run.void}"
    return f"{name}: {run.letters / run.cost.wall_s:,.0f}/s, {run.cost.cpu_s:.1f} s CPU"
