"""Who runs deliver(batch), and when: the contract of the two engines.

`engine_here.py` looks at the store in a short loop; `engine_shared.py` lets procrastinate, on the store's own
PostgreSQL, hand wake-ups to hosts that stay. Either calls deliver(batch) for every batch with work to do,
some time, perhaps late, perhaps twice, on one host or on several. The store is the truth: who has a batch in
hand, and what may be sent, is decided there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

Deliver = Callable[[int], Awaitable[None]]
PARALLEL = 4  # batches that a host works at; what only waits for a limit is not counted
LOOK_S = 0.5  # the store is asked for work this often, where nothing else says so


@dataclass(frozen=True, slots=True)
class Waiting:
    """A batch that nobody has in hand. Of those with one ``lane``, if it has a name, one is run at a time."""

    number: int
    lane: str

    @property
    def lock(self) -> str:
        """What must not run twice at once."""
        return f"lane {self.lane}" if self.lane else f"batch {self.number}"


class Batches(Protocol):
    """What an engine asks of the store. Each raises StoreUnwritable while it is away."""

    async def waiting(self) -> Sequence[Waiting]:
        """Make batches of what is due, and return those nobody has in hand; mends what dead hosts left."""

    async def more_may_come(self) -> bool:
        """Say whether there may soon be a batch without anybody's doing: a host is late, and may be dead."""


class Engine(Protocol):
    """Runs deliver(batch)."""

    async def run(self, deliver: Deliver) -> None:
        """Call ``deliver`` with every batch that has work, until there is none left for this run, or
        cancelled."""
