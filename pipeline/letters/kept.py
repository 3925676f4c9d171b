"""What was made once and is asked for again, kept within bounds."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(dict[K, V]):
    """Values by what they are made from; ``kept[key]`` makes what is not there yet.

    Once there are ``most``, all are forgotten: what recurs is soon there again. What making raises is raised,
    and nothing is kept of it.
    """

    __slots__ = ("_make", "_most")

    def __init__(self, make: Callable[[K], V], most: int) -> None:
        self._make, self._most = make, most

    def __missing__(self, key: K) -> V:
        """Make and keep the value of a key."""
        made = self._make(key)
        if len(self) >= self._most:
            self.clear()
        self[key] = made
        return made
