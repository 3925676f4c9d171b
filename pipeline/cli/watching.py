"""Progress on a terminal: a bar with rate and remaining time on stderr, and what is being waited for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from pipeline.cli.place import Voice
from pipeline.cli.telling import lively
from pipeline.clock import Clock
from pipeline.delivery.supply import Progress as Sent
from pipeline.problem import visible

REFRESH_PER_SECOND = 4
WIDE = 100  # columns
MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400


@contextmanager
def watched(progress: Sent, voice: Voice, clock: Clock) -> Iterator[None]:
    """Show ``progress`` for as long as the context lasts; nothing off a terminal, with --json or -q."""
    if not lively(sys.stderr) or voice.json or voice.level < 0:
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.table import Column
    from rich.text import Text

    class Rate(ProgressColumn):
        """Letters a second or a minute, and how long the rest will take."""

        def render(self, task: Task) -> Text:
            return Text(rate_words(task.finished_speed or task.speed, task.time_remaining))

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

    console = Console(stderr=True)
    bar = Live(
        TextColumn("sending"),
        BarColumn(bar_width=30 if console.width >= WIDE else 12),
        MofNCompleteColumn(),
        Rate(table_column=Column(no_wrap=True)),
        Waiting(table_column=Column(no_wrap=True, overflow="ellipsis")),
        console=console,
        refresh_per_second=REFRESH_PER_SECOND,
        transient=True,
    )
    with bar:
        bar.add_task("sending", total=None)
        yield


def rate_words(speed: float | None, remaining: float | None) -> str:
    """Return "30/m, 1 m 20 s left" for letters a second and seconds; "" while nothing is known."""
    if not speed:
        return ""
    words = f"{speed:.0f}/s" if speed >= 1 else f"{speed * 60:.0f}/m"
    return words if remaining is None else f"{words}, {duration_words(remaining)} left"


def duration_words(seconds: float) -> str:
    """Return seconds as people say them: "12 s", "1 m 20 s", "3 h 05 m", "2 d 4 h"."""
    whole = max(0, round(seconds))
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} m {whole % MINUTE_S:02} s"
    if whole < DAY_S:
        return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S:02} m"
    return f"{whole // DAY_S} d {whole % DAY_S // HOUR_S} h"


def waiting_words(progress: Sent, now: datetime) -> str:
    """Return "waiting 12 s: limit relay 50/5m"; "" while letters go."""
    if not progress.waiting:
        return ""
    if progress.waiting_until is None:
        return visible(f"waiting: {progress.waiting}")
    seconds = (progress.waiting_until - now).total_seconds()
    return visible(f"waiting {duration_words(seconds)}: {progress.waiting}")
