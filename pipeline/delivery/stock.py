"""What a feed of letters asks of the store: `pipeline.store.stock` is the one there is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from pipeline.delivery.letter import Letter, State
from pipeline.delivery.rules import Claim, Refusal


class Stock(Protocol):
    """What a feed asks of the store."""

    async def read_due(self, most: int) -> list[Letter]:
        """Return up to ``most`` further due letters; each of them once, unless `from_the_start` was said."""

    def from_the_start(self) -> None:
        """Look at the whole queue again."""

    async def suppressed(self, names: Sequence[str]) -> dict[str, str]:
        """Return those of the recipients (by `Rules.recipient_name`) that must not be written to: why."""

    async def take(self, claims: Sequence[Sequence[Claim]]) -> list[Refusal | None]:
        """Take each letter's limits, all or none; the first refusal of a run-wide limit ends the list."""

    async def put_back(self, claims: Sequence[Claim]) -> None:
        """Give back what a letter took and did not use."""

    async def take_out(self, letters: Sequence[int], state: State, why: str) -> None:
        """Move waiting letters to a final state."""

    async def settle(self) -> None:
        """Wait until every result recorded so far is committed."""

    async def next_due(self) -> datetime | None:
        """Return when the next queued letter is due; None when nothing is queued."""

    async def word(self) -> str:
        """Return why the operator stopped all sending; "" when he did not."""
