"""Rounds of contenders in turn, each against a fresh sink whose own count decides.

Everybody first sends a few letters to a sink that files them: who fails there, or sends anything but one
letter to each recipient, is left out, with the reason. The trial also tells how many octets a letter of each
has.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from statistics import median

from bench.contenders import Contender, Turn
from bench.figures import Run, in_turn
from bench.material import Material, rows, write_material
from bench.processes import Failed, run_measured
from bench.sink import Sink, proxy, smtp_sink

TRIAL_LETTERS = 12
TRIAL_S = 60.0

_RECIPIENT = re.compile(rb"^X-Rcpt-Args: <([^>]*)>", re.MULTILINE)
_ADDED = re.compile(rb"\A(?:X-.*\n)*Received:.*\n(?:[ \t].*\n)*")  # smtp-sink's own lines


class Way(StrEnum):
    """What lies between a contender and the sink."""

    DIRECT = "loopback"
    FAR = "far"  # a proxy that delays
    TLS = "tls"  # a proxy that speaks TLS


@dataclass(frozen=True, slots=True)
class Course:
    """How a race is run."""

    letters: int
    rounds: int
    pool: int
    way: Way
    delay_ms: float  # round trip, for `Way.FAR`
    patience_s: float  # for one turn
    scratch: Path
    tell: Callable[[str], None]


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
    """Try everybody, then run the rounds. Raises Failed where there is no sink or no proxy."""
    results = Results([])
    trial = write_material(course.scratch / "trial", TRIAL_LETTERS)
    for contender in contenders:
        course.tell(f"trying {contender.name}")
        why, octets = _try(course, contender, trial)
        if why:
            results.left_out[contender.name] = why
            course.tell(f"  left out: {why}")
        else:
            results.contenders.append(contender)
            results.octets[contender.name] = octets
    known = {contender.name: contender for contender in results.contenders}
    material = write_material(course.scratch / "campaign", course.letters)
    for number in range(course.rounds):
        turns: dict[str, Run] = {}
        results.rounds.append(turns)
        for name in in_turn(list(known), number):
            turns[name] = _turn(course, known[name], material)
            course.tell(f"round {number + 1} of {course.rounds}: {_told(name, turns[name])}")
    return results


def _turn(course: Course, contender: Contender, material: Material) -> Run:
    """Let one contender send everything; whatever goes wrong makes the turn void, not the race."""
    material.forget()
    counted = 0
    try:
        with _relay(course) as (sink, port, ca_file):
            turn = Turn(material, port, course.pool, course.scratch / "notes", ca_file)
            command = contender.command(turn)
            try:
                cost = run_measured(command, scratch=course.scratch, seconds=course.patience_s)
            finally:
                counted = sink.settled(material.letters)
            sending = contender.sending(turn) if contender.sending else None
    except Failed as failure:
        return Run(material.letters, counted, None, failure=str(failure))
    return Run(material.letters, counted, cost, sending)


def _try(course: Course, contender: Contender, material: Material) -> tuple[str, int]:
    """Return why a contender cannot take part ("" when it can), and the octets of its letter."""
    material.forget()
    with tempfile.TemporaryDirectory(prefix="bench-letters-", ignore_cleanup_errors=True) as name:
        folder = Path(name)  # not below the scratch folder: the sink's user has to reach it
        with _relay(course, letters_in=folder) as (sink, port, ca_file):
            turn = Turn(material, port, min(course.pool, 2), course.scratch / "notes", ca_file)
            try:
                run_measured(contender.command(turn), scratch=course.scratch, seconds=TRIAL_S)
            except Failed as failure:
                return str(failure), 0
            counted = sink.settled(material.letters)
        texts = [path.read_bytes() for path in folder.iterdir()]
    if counted != material.letters or len(texts) != counted:
        return f"the sink took {counted} of {material.letters} letters in the trial", 0
    written_to = sorted(found[1].decode() for text in texts if (found := _RECIPIENT.search(text)))
    if not contender.constant and written_to != sorted(row[0] for row in rows(material.letters)):
        return "it did not write to each recipient once in the trial", 0
    return "", int(median(on_the_wire(text) for text in texts))


def on_the_wire(filed: bytes) -> int:
    """Return the octets of a letter that smtp-sink filed: its own header lines taken off, line ends as
    CRLF."""
    letter = _ADDED.sub(b"", filed, count=1)
    return len(letter) + letter.count(b"\n") - letter.count(b"\r\n")


@contextmanager
def _relay(course: Course, *, letters_in: Path | None = None) -> Iterator[tuple[Sink, int, Path | None]]:
    """Start a sink, and what lies before it; give the sink, the port to send to, and the certificate."""
    with ExitStack() as stack:
        sink = stack.enter_context(smtp_sink(course.scratch, letters_in=letters_in))
        if course.way is Way.DIRECT:
            yield sink, sink.port, None
        elif course.way is Way.FAR:
            oneway = str(course.delay_ms / 2)
            yield sink, stack.enter_context(proxy(course.scratch, "delay_proxy", sink.port, [oneway])), None
        else:
            pem, certificate = make_certificate(course.scratch)
            port = stack.enter_context(proxy(course.scratch, "tls_proxy", sink.port, [str(pem)]))
            yield sink, port, certificate


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a key and a certificate for 127.0.0.1, once: both in one file, and the certificate alone.

    Raises Failed without openssl.
    """
    pem, certificate, key = folder / "relay.pem", folder / "relay.crt", folder / "relay.key"
    if pem.exists():
        return pem, certificate
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run(
            [*words, "-keyout", str(key), "-out", str(certificate)],
            check=True,
            capture_output=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as trouble:
        raise Failed(f"no certificate could be made with openssl: {type(trouble).__name__}") from None
    pem.write_bytes(key.read_bytes() + certificate.read_bytes())
    return pem, certificate


def _told(name: str, run: Run) -> str:
    if run.void or run.cost is None:
        return f"{name}: VOID: {run.void}"
    return f"{name}: {run.letters / run.cost.wall_s:,.0f}/s, {run.cost.cpu_s:.1f} s CPU"
