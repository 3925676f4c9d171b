"""The flow of chained letters: one behind the other, as long as all is ordinary.

Ordinary is: every answer as hoped for, the permission granted, another letter ready. Then a turn is made
within the calls that bring the answers and the permission, which costs the event loop half of what waking a
task does. Whatever is not ordinary ends the flow and goes to `Session`, which looks at the same answers with
the same parcels in hand; the rules of the fence are the session's.

RFC 2920 3.1 (the content may come first in a group).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pipeline.delivery.counterparts import Desk, Supply
from pipeline.delivery.letter import Parcel, Phase
from pipeline.delivery.wire import Exchange, Wire

SLICE = 128 * 1024  # octets of a content written between two looks at the transport's buffer

_GROUP = (Phase.DOT, Phase.MAIL, Phase.RCPT, Phase.DATA)


@dataclass(slots=True)
class Hand:
    """Parcels in hand of which the desk has not been told what became of them, and how many may follow.

    ``handed``: the chunk with the final dot of ``content`` is with the transport. ``permission`` is that of
    ``envelope``, or of the last parcel that was one. ``heard`` are the answers to ``content`` where they are
    looked at one by one; None on the quick way.
    """

    left: int
    begun: int = 0  # envelopes
    content: Parcel | None = None
    handed: bool = False
    envelope: Parcel | None = None
    permission: asyncio.Future[bool] | None = None
    heard: Exchange | None = None


def envelope_of(parcel: Parcel) -> bytes:
    """Return MAIL, RCPT and DATA as one group."""
    return b"%b\r\n%b\r\nDATA\r\n" % (parcel.mail, parcel.rcpt)


class Flow:
    """Turns over one wire, from one exchange that is complete to the first that is not ordinary."""

    __slots__ = ("_desk", "_hand", "_parked", "_supply", "_wire")

    def __init__(self, wire: Wire, hand: Hand, supply: Supply, desk: Desk) -> None:
        self._wire = wire
        self._hand = hand
        self._supply = supply
        self._desk = desk
        self._parked: asyncio.Future[tuple[Exchange, bool]] = asyncio.get_running_loop().create_future()

    async def run(self, exchange: Exchange) -> tuple[Exchange, bool]:
        """Return the exchange that has to be looked at, and whether the desk wants the connection used on.

        A content whose answer was as hoped for is settled by then, and no longer in hand. Raises what supply
        and desk raise.
        """
        self._look(exchange)
        return await self._parked

    def _look(self, exchange: Exchange) -> None:
        """Take the answers to a content and an envelope, or to the first envelope alone."""
        if self._parked.done():
            return
        try:
            self._settle(exchange)
        except BaseException as fault:
            self._parked.set_exception(fault)

    def _settle(self, exchange: Exchange) -> None:
        if not _is_ordinary(exchange):
            self._hand.heard = exchange
            self._parked.set_result((exchange, True))
            return
        hand = self._hand
        content, hand.content, hand.handed = hand.content, None, False
        if content is not None and not self._desk.answered(content, Phase.DOT, exchange.responses[0]):
            self._parked.set_result((exchange, False))
            return
        permission = hand.permission
        assert permission is not None
        if permission.done():
            self._go_on(exchange)
        else:
            permission.add_done_callback(lambda _: self._permitted(exchange))

    def _permitted(self, exchange: Exchange) -> None:
        """Go on with an answer that came before the permission."""
        if self._parked.done():
            return
        try:
            self._go_on(exchange)
        except BaseException as fault:
            self._parked.set_exception(fault)

    def _go_on(self, exchange: Exchange) -> None:
        """Write the content that is permitted now, and the envelope of the next letter behind it."""
        hand = self._hand
        parcel, permission = hand.envelope, hand.permission
        assert parcel is not None
        assert permission is not None
        ready = not permission.cancelled() and permission.result() and not self._wire.lost and hand.left > 0
        follower = self._supply.next_now() if ready and len(parcel.wire) <= SLICE else None
        if follower is None:
            self._parked.set_result((exchange, True))
            return
        hand.left -= 1
        hand.begun += 1
        hand.content, hand.envelope = parcel, follower
        hand.permission = self._desk.permit(follower)
        self._wire.expect(*_GROUP, then=self._look)
        hand.handed = True  # from here on a loss is a doubt
        self._wire.write(b"%b.\r\n%b" % (parcel.wire, envelope_of(follower)))


def _is_ordinary(exchange: Exchange) -> bool:
    """Say whether every answer came and is the one hoped for: 2yz, and 354 to DATA."""
    codes = [answer.code // 100 for answer in exchange.responses]
    return codes == ([2, 2, 2, 3] if exchange.phases[0] is Phase.DOT else [2, 2, 3])
