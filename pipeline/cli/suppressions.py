"""The suppressions of the world a command works in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
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


def suppressed_keys(place: Place, keys: Iterable[str]) -> dict[str, Suppression]:
    """Return those of the recipient keys that must not be written to; ``keys`` may be a long stream."""
    found: dict[str, Suppression] = {}
    for some in _suppressed(place, keys):
        found |= some
    return found


def count_suppressed(place: Place, keys: Iterable[str]) -> int:
    """Return how many of the keys, each given once, must not be written to."""
    return sum(map(len, _suppressed(place, keys)))


def _suppressed(place: Place, keys: Iterable[str]) -> Iterator[dict[str, Suppression]]:
    """Yield what is found, a batch at a time; ``keys`` is not read where nobody is suppressed at all."""
    from pipeline.store import shared

    with opened(place) as world, world.common.reading() as connection:
        if next(shared.all_suppressions(connection), None) is None:
            return
        secret, rest = shared.shared_secret(connection), iter(keys)
        while batch := list(islice(rest, shared.ASKED_AT_ONCE)):
            yield shared.suppressed(connection, batch, secret)
