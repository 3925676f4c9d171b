"""Progress on a terminal: a bar with rate and ETA on stderr, and what is being waited for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from pipeline.cli.place import Voice
from pipeline.cli.telling import lively
from pipeline.clock import Clock
from pipeline.delivery.supply import Progress as Sent

REFRESH_PER_SECOND = 4


@contextmanager
def watched(progress: Sent, voice: Voice, clock: Clock) -> Iterator[None]:
    """Show ``progress`` for as long as the context lasts; nothing off a terminal, with --json or -q."""
    if not lively(sys.stderr) or voice.json or voice.level < 0:
        yield
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """Letters a minute or a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            if not speed:
                return Text("")
            return Text(f"{speed:.0f}/s" if speed >= 1 else f"{speed * 60:.0f}/m")

    class Waiting(ProgressColumn):
        """What nothing goes for at the moment."""

        def render(self, task: Task) -> Text:
            return Text(waiting_words(progress, clock.now()))

    class Live(Progress):
        """A bar that reads the counts itself, whenever it is drawn."""

        def get_renderables(self) -> Iterator[object]:  # type: ignore[override]
            for task in self.tasks:
                self.update(task.id, completed=progress.done, total=max(progress.total, progress.done))
            yield from super().get_renderables()

    bar = Live(
        TextColumn("sending"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        Rate(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        Waiting(),
        console=Console(stderr=True),
        refresh_per_second=REFRESH_PER_SECOND,
        transient=True,
    )
    with bar:
        bar.add_task("sending", total=None)
        yield


def waiting_words(progress: Sent, now: datetime) -> str:
    """Return "waiting 12 s: limit relay 50/5m"; "" while letters go."""
    if not progress.waiting:
        return ""
    if progress.waiting_until is None:
        return f"waiting: {progress.waiting}"
    seconds = max(0, round((progress.waiting_until - now).total_seconds()))
    return f"waiting {seconds} s: {progress.waiting}"
