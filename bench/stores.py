"""What a large campaign costs beside a small one: peak memory of a send, `campaign status`, resuming.

Campaigns are planned and released by the program itself, in a run that stops after some letters, so that the
store is what a user would have; a planned one is made once and used by all. The small and the large one take
turns. Whole processes, start included.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import in_turn
from bench.material import Material, write_material
from bench.ours import LIMITS, campaign_command, relay_settings
from bench.processes import Command, Failed, last_line, run_measured, start, stop, wait_until
from bench.race import WAITING
from bench.sink import Sink, smtp_sink

STOPPED_AFTER = 1_000  # letters, at most a tenth: where the run that planned stopped
FIRST_LETTERS = 60  # how many a resumed send may send: enough for every connection to have begun
LONG_S = 30  # so long a send should last while `status` is measured, however small the campaign
LOOK_S = 0.001

Taken = dict[int, list[float]]  # by size of the campaign


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is measured, and how long a single process may take."""

    rounds: int
    connections: int
    patience_s: float
    scratch: Path
    tell: Callable[[str], None]


def send_peaks(bounds: Bounds, sizes: Sequence[int]) -> dict[int, float]:
    """Return the peak MiB of the largest process of sending a campaign of each size, every letter of it.
    Raises Failed."""
    peaks: dict[int, float] = {}
    for size in sizes:
        material = write_material(bounds.scratch / "memory", size)
        with smtp_sink(bounds.scratch) as sink:
            command = _send(bounds, material, sink)
            cost = run_measured(command, scratch=bounds.scratch, seconds=bounds.patience_s)
            if (counted := sink.settled(size)) != size:
                raise Failed(f"the sink took {counted} of {size} letters")
        peaks[size] = cost.peak_mib
        bounds.tell(f"memory: {size:,} letters: {cost.peak_mib:.1f} MiB, {cost.wall_s:.0f} s")
    return peaks


def status_idle(bounds: Bounds, sizes: Sequence[int]) -> Taken:
    """Return the seconds of `campaign status` on a planned campaign of each size. Raises Failed."""
    materials = [planned(bounds, size) for size in sizes]
    return _statuses(bounds, materials, "status")


def status_during_send(bounds: Bounds, sizes: Sequence[int]) -> Taken:
    """Return the same while a send of the last, the large campaign, is running at full speed: the small one's
    store is idle, and the machine as busy. Raises Failed, also where the send ended too soon."""
    materials = [planned(bounds, size) for size in sizes]
    with smtp_sink(bounds.scratch) as sink, _sending(bounds, materials[-1], sink) as is_running:
        taken = _statuses(bounds, materials, "status during a send")
        if not is_running():
            raise Failed("the send ended before it was measured")
    (materials[-1].peers / "planned").unlink()  # its sender was killed: not what others ask for
    return taken


def first_letters(bounds: Bounds, sizes: Sequence[int]) -> Taken:
    """Return the seconds from the start of `campaign send` to the first letter that the sink has taken, on a
    planned campaign of each size. Raises Failed.
    """
    materials = [planned(bounds, size) for size in sizes]
    taken: Taken = {size: [] for size in sizes}
    for number in range(bounds.rounds):
        for material in _in_turn(materials, number):
            taken[material.letters].append(_resume(bounds, material))
        last = ", ".join(f"{size:,}: {seconds[-1]:.3f} s" for size, seconds in taken.items())
        bounds.tell(f"resume, round {number + 1} of {bounds.rounds}: {last}")
    return taken


def planned(bounds: Bounds, size: int) -> Material:
    """Return a campaign that an earlier run planned, released and began to send; made where there is none
    yet. Raises Failed."""
    root = bounds.scratch / f"planned-{size}"
    material = Material(root, size)
    mark = material.peers / "planned"
    if mark.exists():
        return material
    write_material(root, size)
    stopped_after = max(1, min(STOPPED_AFTER, size // 10))
    with smtp_sink(bounds.scratch) as sink:
        command = _send(bounds, material, sink, "--limit", str(stopped_after))
        codes = (0, WAITING)
        cost = run_measured(command, scratch=bounds.scratch, seconds=bounds.patience_s, codes=codes)
        if (counted := sink.settled(stopped_after)) != stopped_after:
            raise Failed(f"the sink took {counted} of {stopped_after} letters")
    bounds.tell(f"planned {size:,} letters in {cost.wall_s:.1f} s")
    mark.touch()
    return material


def _send(
    bounds: Bounds, material: Material, sink: Sink, *words: str, limits: Sequence[str] = LIMITS
) -> Command:
    settings = [*relay_settings(sink.port, bounds.connections), *limits]
    send = ["send", "--yes", "--quiet", *words]
    return campaign_command(material.root, material.home, send, settings=settings)


def _statuses(bounds: Bounds, materials: Sequence[Material], name: str) -> Taken:
    taken: Taken = {material.letters: [] for material in materials}
    settings = relay_settings(9, bounds.connections)
    for number in range(2 * bounds.rounds + 1):
        for material in _in_turn(materials, number):
            command = campaign_command(material.root, material.home, ["status", "--json"], settings=settings)
            cost = run_measured(command, scratch=bounds.scratch, seconds=bounds.patience_s)
            taken[material.letters].append(cost.wall_s)
    last = ", ".join(f"{size:,}: {seconds[-1]:.3f} s" for size, seconds in taken.items())
    bounds.tell(f"{name}: {last} in the last of {2 * bounds.rounds + 1} rounds")
    return taken


@contextmanager
def _sending(bounds: Bounds, material: Material, sink: Sink) -> Iterator[Callable[[], bool]]:
    """Run a send at full speed; give what says whether it still runs. It is killed at the end."""
    errors = bounds.scratch / "sending.stderr"
    pace = f"limits.relay={max(1, material.letters // LONG_S)}/s"  # of a million nobody feels it
    process = start(_send(bounds, material, sink, limits=[pace]), errors)
    try:
        under_way = wait_until(
            lambda: sink.count() > 0 or process.poll() is not None, seconds=bounds.patience_s
        )
        if not under_way or process.poll() is not None:
            raise Failed(f"the send did not begin: {last_line(errors)}")
        yield lambda: process.poll() is None
    finally:
        stop(process)


def _resume(bounds: Bounds, material: Material) -> float:
    """Return the seconds to the first letter of one resumed send, which ends by itself."""
    errors = bounds.scratch / "stderr"
    with smtp_sink(bounds.scratch) as sink:
        most = max(1, min(FIRST_LETTERS, material.letters // 2 // bounds.rounds))
        command = _send(bounds, material, sink, "--limit", str(most))
        began = time.monotonic()
        process = start(command, errors)
        try:
            wait_until(
                lambda: sink.count() > 0 or process.poll() is not None,
                seconds=bounds.patience_s,
                every=LOOK_S,
            )
            seconds = time.monotonic() - began
            if sink.count() == 0:
                raise Failed(f"no letter within {seconds:.0f} s: {last_line(errors)}")
            wait_until(lambda: process.poll() is not None, seconds=bounds.patience_s)
        finally:
            stop(process)
    return seconds


def _in_turn(materials: Sequence[Material], number: int) -> list[Material]:
    by_root = {str(material.root): material for material in materials}
    return [by_root[root] for root in in_turn(list(by_root), number)]
