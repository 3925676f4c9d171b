"""Progress of what takes long, on a terminal: a bar on stderr with what was done and the remaining time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.cli.place import Voice
from pipeline.cli.telling import lively

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from pipeline.cli.folder import Progress

LONG = 5_000  # rows; shorter lists are worked off before anybody could look


@contextmanager
def reading_shown(
    voice: Voice, what: str = "reading the list", unit: str = "rows"
) -> Iterator[Progress | None]:
    """Give what `check_folder` tells its progress to; nothing off a terminal, with --json or -q."""
    if not lively(sys.stderr) or voice.json or voice.level < 0:
        yield None
        return
    bars: list[Bar] = []

    def progress(rows: int, octets: int, in_all: int) -> None:
        if rows < LONG and not bars:
            return
        if not bars:
            bars.append(_bar(unit))
            bars[0].start()
            bars[0].add_task(what, total=in_all, rows=0)
        bars[0].update(bars[0].task_ids[0], completed=octets, rows=rows)

    try:
        yield progress
    finally:
        for bar in bars:
            bar.stop()


def _bar(unit: str) -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn(f"{{task.fields[rows]:,}} {unit}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
