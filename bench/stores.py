"""What a large campaign costs beside a small one: peak memory of a send, `campaign status`, resuming.

Campaigns are planned by the program itself (`send --limit 1`), so that the store is what a user would have.
Small and large ones take turns. Whole processes, start included.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contenders import campaign_command, relay_settings
from bench.figures import summary_of_seconds
from bench.material import Material, write_material
from bench.processes import Command, Failed, run_measured, start, stop, wait_until
from bench.sink import Sink, smtp_sink

FIRST_LETTERS = 20  # how many a resumed send may send: enough for every connection to have begun
LOOK_S = 0.001


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is measured, and how long a single process may take."""

    rounds: int
    pool: int
    patience_s: float
    scratch: Path
    tell: Callable[[str], None]


def send_peaks(bounds: Bounds, sizes: Sequence[int]) -> dict[int, float]:
    """Return the peak MiB of sending a campaign of each size. Raises Failed."""
    peaks: dict[int, float] = {}
    for size in sizes:
        material = write_material(bounds.scratch / "memory", size)
        with smtp_sink(bounds.scratch) as sink:
            cost = _send(bounds, material, sink)
            if (counted := sink.settled(size)) != size:
                raise Failed(f"the sink took {counted} of {size} letters")
        peaks[size] = cost
        bounds.tell(f"memory: {size:,} letters: {cost:.0f} MiB")
    return peaks


def status_seconds(bounds: Bounds, sizes: Sequence[int]) -> dict[int, float]:
    """Return the median seconds of `campaign status` on a planned campaign of each size. Raises Failed."""
    materials = _planned(bounds, sizes)
    taken: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(2 * bounds.rounds + 1):
        for size, material in materials.items():
            command = campaign_command(
                material.root,
                material.home,
                ["status", "--json"],
                settings=relay_settings(9, bounds.pool),
            )
            cost = run_measured(command, scratch=bounds.scratch, seconds=bounds.patience_s)
            taken[size].append(cost.wall_s)
    return _medians(bounds, "status", taken)


def first_letter_seconds(bounds: Bounds, sizes: Sequence[int]) -> dict[int, float]:
    """Return the median seconds from the start of `campaign send` to the first letter in the sink, on a
    campaign of each size that was planned before. Raises Failed.
    """
    materials = _planned(bounds, sizes)
    taken: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(bounds.rounds):
        for size, material in materials.items():
            taken[size].append(_resume(bounds, material))
    return _medians(bounds, "resume", taken)


def _send(bounds: Bounds, material: Material, sink: Sink) -> float:
    command = campaign_command(
        material.root,
        material.home,
        ["send", "--yes", "--quiet"],
        settings=relay_settings(sink.port, bounds.pool),
    )
    return run_measured(command, scratch=bounds.scratch, seconds=bounds.patience_s).peak_mib


def _planned(bounds: Bounds, sizes: Sequence[int]) -> dict[int, Material]:
    """Make a campaign of each size, all planned, one letter sent."""
    materials: dict[int, Material] = {}
    for size in sizes:
        materials[size] = material = write_material(bounds.scratch / f"planned-{size}", size)
        with smtp_sink(bounds.scratch) as sink:
            command = _limited(bounds, material, sink, 1)
            try:
                run_measured(command, scratch=bounds.scratch, seconds=bounds.patience_s)
            except Failed as failure:
                if "code 3" not in str(failure):  # letters wait for a later run: they are meant to
                    raise
        bounds.tell(f"planned {size:,} letters")
    return materials


def _limited(bounds: Bounds, material: Material, sink: Sink, most: int) -> Command:
    return campaign_command(
        material.root,
        material.home,
        ["send", "--yes", "--quiet", "--limit", str(most)],
        settings=relay_settings(sink.port, bounds.pool),
    )


def _resume(bounds: Bounds, material: Material) -> float:
    """Return the seconds to the first letter of one resumed send, which ends by itself."""
    with smtp_sink(bounds.scratch) as sink:
        began = time.monotonic()
        process = start(_limited(bounds, material, sink, FIRST_LETTERS), bounds.scratch / "stderr")
        try:
            if not wait_until(lambda: sink.count() > 0, seconds=bounds.patience_s, every=LOOK_S):
                raise Failed(f"no letter within {bounds.patience_s:g} s")
            seconds = time.monotonic() - began
            wait_until(lambda: process.poll() is not None, seconds=bounds.patience_s)
        finally:
            stop(process)
    return seconds


def _medians(bounds: Bounds, name: str, taken: dict[int, list[float]]) -> dict[int, float]:
    medians = {size: summary_of_seconds(seconds) for size, seconds in taken.items()}
    for size, seconds in medians.items():
        bounds.tell(f"{name}: {size:,} letters: {seconds:.3f} s")
    return medians
