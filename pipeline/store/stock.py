"""The queue and the ledger as a `Feed` wants them.

The queue is asked between the commits of the journal, the ledger and the opt-outs beside them: those lie in
another file, and while limits are reckoned permissions go on being committed. The slots of a pace are taken
between commits all the same: letters that wait for a commit which takes long would leave together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from pipeline.clock import Clock, from_us, to_us
from pipeline.delivery.letter import Letter, State
from pipeline.delivery.limits import Pace
from pipeline.delivery.rules import Claim, Refusal
from pipeline.store import history, ledger, operator, queue, shared
from pipeline.store.database import Database

WORD_EVERY_S = 0.5


T = TypeVar("T")


class Asking(Protocol):
    """Where the store is asked."""

    async def call(self, job: Callable[[], T]) -> T:
        """Run a job between commits."""

    async def beside(self, job: Callable[[], T]) -> T:
        """Run a job while commits go on; it is about the common store."""

    async def flush(self) -> object:
        """Wait until all is committed."""


class StoreStock:
    """The stock of one run."""

    def __init__(
        self,
        campaign: Database,
        common: Database,
        journal: Asking,
        *,
        clock: Clock,
        only: Collection[str] | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        """``share`` (which, of how many) is this process's part of the letters."""
        self._campaign = campaign
        self._common = common
        self._journal = journal
        self._clock = clock
        self._only = only
        self._share = share
        self._place = queue.Place()
        self._word = ""
        self._asked_at = float("-inf")

    async def read_due(self, most: int) -> list[Letter]:
        """Return further letters that are due, behind those read before."""

        def read() -> list[tuple[queue.Place, Letter]]:
            with self._campaign.asking() as connection:
                return queue.read_due(
                    connection,
                    now_us=self._now(),
                    behind=self._place,
                    most=most,
                    only=self._only,
                    share=self._share,
                )

        found = await self._journal.call(read)
        if found:
            self._place = found[-1][0]
        return [letter for _, letter in found]

    def from_the_start(self) -> None:
        """Read from the head of the queue again."""
        self._place = queue.Place()

    async def suppressed(self, names: Sequence[str]) -> dict[str, str]:
        """Return the recipients, by the hashes of their keys, that must not be written to: why, in words."""

        def ask() -> dict[str, str]:
            with self._common.asking() as connection:
                return shared.barred(connection, names)

        return await self._journal.beside(ask)

    async def take(self, claims: Sequence[Sequence[Claim]]) -> list[Refusal | None]:
        """Take the limits of several letters in one transaction; a refused run-wide limit ends it."""
        if not any(claims):
            return [None] * len(claims)

        def ask() -> list[Refusal | None]:
            with self._common.running(at_once=True) as connection:
                now_us = None if self._common.is_server else self._now()
                return ledger.take_in_turn(connection, claims, now_us=now_us)

        return await (self._journal.call if _are_paced(claims) else self._journal.beside)(ask)

    async def put_back(self, claims: Sequence[Claim]) -> None:
        """Give the quotas of a letter back."""

        def give() -> None:
            with self._common.writing() as connection:
                ledger.put_back(connection, claims)

        if claims:
            await self._journal.beside(give)

    async def take_out(self, letters: Sequence[int], state: State, why: str) -> None:
        """Move waiting letters to a final state."""

        def move() -> None:
            with self._campaign.writing() as connection:
                queue.take_out(connection, letters, state, why=why, now_us=self._now())

        await self._journal.call(move)

    async def settle(self) -> None:
        """Wait for the journal."""
        await self._journal.flush()

    async def next_due(self) -> datetime | None:
        """Return when the next queued letter of the share is due."""

        def ask() -> int | None:
            with self._campaign.reading() as connection:
                return history.next_due(connection, share=self._share)

        due = await self._journal.call(ask)
        return from_us(due) if due is not None else None

    async def word(self) -> str:
        """Return why the operator stopped all sending; asked twice a second at most."""
        now = self._clock.monotonic()
        if now - self._asked_at >= WORD_EVERY_S:
            self._asked_at = now

            def ask() -> str:
                with self._campaign.reading() as connection:
                    return operator.read_meta(connection, "paused")

            self._word = await self._journal.call(ask)
        return self._word

    def _now(self) -> int:
        return to_us(self._clock.now())


def _are_paced(claims: Sequence[Sequence[Claim]]) -> bool:
    """Say whether one of the limits is a pace."""
    return any(isinstance(claim.limit, Pace) for of_letter in claims for claim in of_letter)
