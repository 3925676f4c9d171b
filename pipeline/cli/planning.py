"""What `plan`, `render` and `diff` have in common: check, lock, bring the letters in line with the list."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.cli.folder import Checked, check_folder, refuse_bad
from pipeline.cli.place import Place, Voice
from pipeline.cli.preparing import bring_in_line, no_longer_suppressed, prepare, settle_standing_orders
from pipeline.cli.reading import reading_shown
from pipeline.cli.suppressions import opened
from pipeline.cli.telling import tell_problems
from pipeline.cli.unchanged import look, look_again
from pipeline.clock import to_us
from pipeline.problem import errors
from pipeline.store import changes, queue
from pipeline.store.lock import RunLock

if TYPE_CHECKING:
    from pipeline.delivery.compose import Composer
    from pipeline.store.world import World

MOST_TOLD = 1_000  # changed letters that are named


@dataclass(frozen=True, slots=True)
class Planned:
    """What a planning came to: new letters, cancelled ones, those made from something else now."""

    new: int
    cancelled: int
    changed: int
    examples: list[tuple[str, int]]  # address and line of those that changed


def checked_folder(place: Place, voice: Voice, *, skip_bad: bool) -> Checked:
    """Check everything, and tell what is wrong. Raises BadInput for errors."""
    with reading_shown(voice) as progress:
        checked = check_folder(place.settings, clock=place.clock, progress=progress)
    refuse_bad(checked, skip_bad=skip_bad)
    if not voice.json:
        tell_problems(checked.problems if voice.chatty else errors(checked.problems))
    return checked


@contextmanager
def planned_world(place: Place, voice: Voice, *, skip_bad: bool = False) -> Iterator[tuple[World, Composer]]:
    """Open the world with its letters in line with the list, its lock held. Raises what a send raises."""

    def check() -> Checked:
        return checked_folder(place, voice, skip_bad=skip_bad)

    found = None if place.has_store else look(place, None, check)  # bad data makes no store
    with opened(place) as world:
        found = found or look(place, world, check)
        with RunLock(world.lock_path, since=place.local_now):
            found = look_again(place, world, found, check)
            prepare(place, world, found)
            yield world, found.composer


def plan_letters_of(place: Place, voice: Voice, *, skip_bad: bool) -> Planned:
    """Bring the letters in line with the list, and say what that changed."""
    checked = checked_folder(place, voice, skip_bad=skip_bad)
    with opened(place) as world, RunLock(world.lock_path, since=place.local_now):
        now_us = to_us(place.clock.now())
        freed = no_longer_suppressed(world)
        with world.campaign.writing() as connection:
            queue.recover(connection, now_us=now_us)
            settle_standing_orders(place, connection, freed=freed, now_us=now_us)
            changes.look(connection)
            planning = bring_in_line(place, world, checked, connection, now_us=now_us)
            number, examples = changes.changed(connection, most=MOST_TOLD)
        return Planned(planning.new, planning.cancelled, number, examples)
