"""Those a session deals with: where its parcels come from, and where it asks and tells."""

from __future__ import annotations

import asyncio
from typing import Protocol

from pipeline.delivery.letter import Parcel, Phase
from pipeline.mail.response import Response


class Supply(Protocol):
    """Where a session gets its parcels; limits, hours and the operator's pause are its business."""

    async def next(self) -> Parcel | None:
        """Wait for the next parcel's turn; None when there is none to wait for on an open connection."""

    def next_now(self) -> Parcel | None:
        """Return a parcel whose turn is now, without waiting."""

    def at_end(self) -> bool:
        """Say whether `next` would return None at once."""

    def give_back(self, parcel: Parcel) -> None:
        """Take back a parcel of which nothing was said to the relay."""


class Desk(Protocol):
    """Where a session asks for permission and tells outcomes."""

    def permit(self, parcel: Parcel) -> asyncio.Future[bool]:
        """Ask for the fence: true once the attempt is committed, false when the letter must not be sent."""

    def answered(self, parcel: Parcel, phase: Phase, response: Response) -> bool:
        """Take the decisive answer of an attempt; false when the connection should not be used further."""

    def lost(self, parcel: Parcel, phase: Phase, why: str) -> None:
        """Take note that an attempt ended without an answer in ``phase``."""

    def not_begun(self, parcel: Parcel, phase: Phase, why: str) -> None:
        """Take note that a permitted attempt was given up in ``phase``, before its content went out."""
