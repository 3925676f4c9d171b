"""The suppressions of the world a command works in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.cli.place import Place

if TYPE_CHECKING:
    from pipeline.recipients.suppression import Suppression
    from pipeline.store.world import World


@contextmanager
def opened(place: Place) -> Iterator[World]:
    """Open the world for as long as the context lasts."""
    world = place.open_world()
    try:
        yield world
    finally:
        world.close()


def suppressed_keys(place: Place, keys: Sequence[str]) -> dict[str, Suppression]:
    """Return those of the recipient keys that must not be written to."""
    from pipeline.store import shared

    with opened(place) as world, world.common.reading() as connection:
        return shared.suppressed(connection, keys, shared.shared_secret(connection))
