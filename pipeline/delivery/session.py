"""One SMTP session: letters over a connection that is open, secured and logged in.

`Session.converse` pulls parcels from a `Supply`, speaks over a `Wire`, and tells a `Desk` what became of each
parcel. There is one way of speaking, with three manners:

    CHAINED  content and dot of one letter, MAIL, RCPT and DATA of the next, in one write: one round trip;
             behind the last letter QUIT, if it is known to be the last
    GROUPED  MAIL, RCPT and DATA in one write, the content alone: two round trips
    SINGLE   one command at a time: four round trips

The phase of every letter is known at every moment. Permission for an attempt is asked for when its envelope
goes out and must be there before the chunk that holds the final dot is handed to the transport; what is lost
before that moment was not accepted, what is lost at or after it is in doubt. Permission denied with 354 in
hand: the connection is aborted, never a dot - a lone dot would deliver an empty letter. A lone dot is right
in one case only: the recipient was refused and DATA answered 354 all the same (RFC 2920 3.1).

RFC 5321 4.1.1, 4.2, 3.8 (421 closes); RFC 2920 (pipelining).

Limits: no CHUNKING (RFC 3030); one recipient a transaction.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import StrEnum

from pipeline.delivery.counterparts import Desk, Supply
from pipeline.delivery.flow import SLICE, Flow, Hand, envelope_of
from pipeline.delivery.letter import Parcel, Phase
from pipeline.delivery.verdict import dislikes_chaining
from pipeline.delivery.wire import Exchange, Wire
from pipeline.mail.response import Response

GOODBYE = 221  # RFC 5321 4.2.3: the answer to QUIT, and to nothing else


class Manner(StrEnum):
    """How commands are put on the wire."""

    CHAINED = "chained"
    GROUPED = "grouped"
    SINGLE = "off"

    def milder(self) -> Manner:
        """Return the next more patient manner."""
        return Manner.GROUPED if self is Manner.CHAINED else Manner.SINGLE


class Ending(StrEnum):
    """Why a session ended."""

    DRAINED = "drained"  # the supply had nothing to wait for
    WORN = "worn"  # it carried as many letters as the relay is to get on one connection
    CLOSED = "closed"  # the relay closed it while nothing was under way
    LOST = "lost"  # connection lost, timed out, or closed by 421
    DENIED = "denied"  # permission denied with 354 in hand: aborted
    UNWANTED = "unwanted"  # an answer after which the desk wanted no more
    DISLIKED = "disliked"  # the server did not like grouped commands; use `manner.milder()`


class Session:
    """Letters over one connection."""

    def __init__(self, wire: Wire, *, manner: Manner, letters: int) -> None:
        """Speak over ``wire`` in ``manner``; at most ``letters`` letters."""
        self._wire = wire
        self._hand = Hand(letters)
        self._farewell: Exchange | None = None  # QUIT was written
        self.manner = manner

    @property
    def begun(self) -> int:
        """How many envelopes were begun."""
        return self._hand.begun

    @property
    def alive(self) -> bool:
        """Whether the connection is there, as far as we know."""
        return not self._wire.lost

    @property
    def why_lost(self) -> str:
        """Why the connection is gone; empty while it is not."""
        return self._wire.lost

    async def converse(self, supply: Supply, desk: Desk) -> Ending:
        """Carry parcels from ``supply`` until it has none, the connection ends, or it is worn out.

        Cancelled, or when supply or desk raise, it drops the connection; of every parcel in hand the desk has
        been told before it returns.
        """
        try:
            while True:
                ending = await self._step(supply, desk)
                if ending is not None:
                    return ending
        except BaseException:
            account = asyncio.ensure_future(self._abandon(desk))
            while not account.done():
                with suppress(
                    asyncio.CancelledError
                ):  # being told again to stop does not cut the account short
                    await asyncio.shield(account)
            raise

    async def quit(self) -> None:
        """Take leave; what goes wrong now is no letter's business."""
        if self._farewell is None and not self._wire.lost:
            self._farewell = self._wire.expect(Phase.QUIT)
            self._wire.write(b"QUIT\r\n")
        if self._farewell is not None:
            await self._farewell
        self._wire.close()

    # -- one step: content of one letter, envelope of the next

    async def _step(self, supply: Supply, desk: Desk) -> Ending | None:
        """Write, wait, settle; return how the session ended, None while it goes on."""
        follower = await self._follower(supply)
        if self._hand.content is None and follower is None:
            return await self._leave()
        if follower is not None:
            self._hand.envelope = follower
            self._hand.permission = desk.permit(follower)
            if self.manner is Manner.SINGLE:
                return await self._one_by_one(follower, self._hand.permission, desk)
        exchange = await self._write(follower, last=follower is None and self._is_last(supply))
        wanted = True
        self._hand.heard = exchange
        if exchange is not None:
            await exchange
            if follower is not None and self.manner is Manner.CHAINED:
                self._hand.heard = None  # the answers that come from here on are of other letters
                exchange, wanted = await Flow(self._wire, self._hand, supply, desk).run(exchange)
                follower = self._hand.envelope
        ending = self._settle_content(exchange, desk) if wanted else self._given_up()
        if self._farewell is not None:
            return ending or await self._leave()
        if follower is None or self._hand.permission is None:
            return ending or (None if self.alive else Ending.LOST)
        if ending is not None or exchange is None:
            await self._release(desk, Phase.MAIL, self._wire.lost or "the connection was given up")
            return ending or Ending.LOST
        return await self._settle_envelope(follower, self._hand.permission, exchange, desk=desk)

    async def _follower(self, supply: Supply) -> Parcel | None:
        """Return the parcel whose envelope goes out next."""
        if self._hand.left <= 0 or self._wire.lost:
            return None
        if self._hand.content is not None:
            parcel = supply.next_now() if self.manner is Manner.CHAINED else None
        else:
            parcel = await supply.next()
            if parcel is not None and self._wire.lost:
                supply.give_back(parcel)
                return None
        if parcel is not None:
            self._hand.left -= 1
            self._hand.begun += 1
        return parcel

    def _is_last(self, supply: Supply) -> bool:
        """Whether QUIT may go out behind the content: no envelope will (RFC 2920 3.1: last in a group)."""
        return self.manner is Manner.CHAINED and (self._hand.left <= 0 or supply.at_end())

    async def _leave(self) -> Ending:
        if self._wire.lost and self._farewell is None:
            return Ending.CLOSED
        await self.quit()
        return Ending.WORN if self._hand.left <= 0 else Ending.DRAINED

    async def _write(self, follower: Parcel | None, *, last: bool) -> Exchange | None:
        """Hand content and what follows to the transport: an envelope, or QUIT behind the ``last`` one.

        None when the connection was lost before the dot.
        """
        envelope = b"" if follower is None else envelope_of(follower)
        phases = () if follower is None else (Phase.MAIL, Phase.RCPT, Phase.DATA)
        if self._hand.content is None:
            exchange = self._wire.expect(*phases)
            self._wire.write(envelope)
            return exchange
        content = self._hand.content.wire
        start = 0
        while len(content) - start > SLICE and not self._wire.lost:
            self._wire.write(content[start : start + SLICE])
            start += SLICE
            await self._wire.room()
        if self._wire.lost:
            return None
        exchange = self._wire.expect(Phase.DOT, *phases)
        if last:
            self._farewell = self._wire.expect(Phase.QUIT)
        self._hand.handed = True  # from here on a loss is a doubt
        self._wire.write(b"%b.\r\n%b" % (content[start:], b"QUIT\r\n" if last else envelope))
        return exchange

    # -- what the answers mean for the parcels in hand

    def _settle_content(self, exchange: Exchange | None, desk: Desk) -> Ending | None:
        """Tell the desk what became of the content that was written."""
        content, self._hand.content = self._hand.content, None
        handed, self._hand.handed = self._hand.handed, False
        if content is None:
            return None
        answer = exchange.answer(Phase.DOT) if exchange is not None else None
        if answer is not None and answer.code == GOODBYE and self._farewell is not None:
            # Said to QUIT, by a relay that passes over the dot before it, and would do so on each connection.
            desk.lost(content, Phase.DOT, f"said to QUIT, and nothing to the letter: {answer}")
            return self._dislike()
        if answer is None:
            desk.lost(content, Phase.DOT if handed else Phase.CONTENT, self._wire.lost)
            return Ending.LOST
        chained = self._hand.envelope is not None or self._farewell is not None
        if chained and dislikes_chaining(answer):
            desk.not_begun(content, Phase.DOT, str(answer))
            return self._dislike()
        if desk.answered(content, Phase.DOT, answer):
            return None  # the envelope behind it may have its answers, even if the connection is gone by now
        return self._given_up()

    def _given_up(self) -> Ending:
        """The desk wants no more of this connection."""
        return self._unwanted() if self.alive else Ending.LOST

    async def _settle_envelope(
        self,
        parcel: Parcel,
        permission: asyncio.Future[bool],
        exchange: Exchange,
        *,
        desk: Desk,
    ) -> Ending | None:
        """Read MAIL, RCPT and DATA; all well and permitted, the parcel becomes the content to write."""
        chained = Phase.DOT in exchange.phases
        mail, rcpt, data = (exchange.answer(phase) for phase in (Phase.MAIL, Phase.RCPT, Phase.DATA))
        phase, refusal = _refusal(mail, rcpt, data)
        if refusal is None and data is None:
            await self._release(desk, phase, self._wire.lost)
            return Ending.LOST
        if refusal is not None and dislikes_chaining(refusal, first=phase is Phase.MAIL and not chained):
            await self._release(desk, phase, str(refusal))
            return self._dislike()
        permitted = await asyncio.shield(permission)
        if refusal is None:
            return self._go_or_abort(parcel, permitted=permitted, desk=desk)
        self._hand.envelope = None
        wanted = desk.answered(parcel, phase, refusal) if permitted else refusal.code >= 400
        return await self._after_refusal(mail, data, wanted=wanted)

    def _go_or_abort(self, parcel: Parcel, *, permitted: bool, desk: Desk) -> Ending | None:
        """354 in hand: the content goes out if the fence stands; else the connection is dropped, no dot."""
        self._hand.envelope = None
        if not permitted:
            self._wire.abort("permission denied")
            return Ending.DENIED
        if self._wire.lost:
            desk.lost(parcel, Phase.DATA, self._wire.lost)
            return Ending.LOST
        self._hand.content = parcel
        return None

    async def _after_refusal(
        self, mail: Response | None, data: Response | None, *, wanted: bool
    ) -> Ending | None:
        """Bring the server back to where a new envelope may begin, unless the connection is not wanted."""
        if self._wire.lost:
            return Ending.LOST
        if not wanted:
            return self._unwanted()
        if data is not None and data.go_ahead:
            if mail is None or not mail.accepted:
                self._wire.abort("354 without a sender")
                return Ending.LOST
            exchange = self._wire.expect(Phase.DOT)
            self._wire.write(b".\r\n")
        else:
            exchange = self._wire.expect(Phase.RESET)
            self._wire.write(b"RSET\r\n")
        await exchange
        answer = exchange.answer(exchange.phases[0])
        if answer is not None and answer.go_ahead:
            self._wire.abort(f"out of step: {answer}")
        return None if self.alive else Ending.LOST

    async def _one_by_one(
        self, parcel: Parcel, permission: asyncio.Future[bool], desk: Desk
    ) -> Ending | None:
        """The envelope, one command at a time; DATA only with the permission in hand."""
        for phase, command in ((Phase.MAIL, parcel.mail), (Phase.RCPT, parcel.rcpt), (Phase.DATA, b"DATA")):
            if phase is Phase.DATA and not await asyncio.shield(permission):
                self._hand.envelope = None
                return await self._after_refusal(None, None, wanted=True)
            exchange = self._wire.expect(phase)
            self._wire.write(command + b"\r\n")
            await exchange
            answer = exchange.answer(phase)
            if answer is None:
                await self._release(desk, phase, self._wire.lost)
                return Ending.LOST
            if not (answer.go_ahead if phase is Phase.DATA else answer.accepted):
                permitted = await asyncio.shield(permission)
                self._hand.envelope = None
                wanted = desk.answered(parcel, phase, answer) if permitted else True
                return await self._after_refusal(None, None, wanted=wanted)
        return self._go_or_abort(parcel, permitted=True, desk=desk)

    # -- endings

    def _dislike(self) -> Ending:
        self._wire.abort("the server does not like grouped commands")
        return Ending.DISLIKED

    def _unwanted(self) -> Ending:
        self._wire.abort("given up")
        return Ending.UNWANTED

    async def _release(self, desk: Desk, phase: Phase, why: str) -> None:
        """Close the attempt of the parcel whose content was never written."""
        parcel, self._hand.envelope = self._hand.envelope, None
        if (
            parcel is not None
            and self._hand.permission is not None
            and await asyncio.shield(self._hand.permission)
        ):
            desk.not_begun(parcel, phase, why)

    async def _abandon(self, desk: Desk) -> None:
        """Told to stop at once: say of each parcel in hand what is known of it.

        An answer that has come already is read; nobody is left who would write anything meanwhile.
        """
        heard = self._hand.heard or self._wire.awaited
        await self._wire.last_words()
        self._wire.abort("stopped")
        answered = heard is not None and Phase.DOT in heard.phases and self._hand.handed
        self._settle_content(heard if answered else None, desk)
        await self._release(desk, Phase.DATA, "stopped")


def _refusal(
    mail: Response | None, rcpt: Response | None, data: Response | None
) -> tuple[Phase, Response | None]:
    """Return the phase that decides, and the answer that refuses; None where none came or all is well."""
    if mail is None or not mail.accepted:
        return Phase.MAIL, mail
    if rcpt is None or not rcpt.accepted:
        return Phase.RCPT, rcpt
    return Phase.DATA, None if data is None or data.go_ahead else data
