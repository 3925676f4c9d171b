"""The wire: octets out, complete responses in, strictly in the order asked for.

`Wire` is the protocol on a transport that is open, secured and logged in. It gives each answer to the command
that waits for it, with a time limit per phase; it knows nothing of letters. A reply nobody waits for closes
the connection: it is a 421, or a sign that question and answer are out of step.

RFC 5321 4.2 (replies), 4.5.3.2 (time limits), 3.8 (421 closes).

Limits: what a `ResponseReader` refuses ends the connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from operator import attrgetter

from pipeline.clock import Clock, Timer
from pipeline.delivery.letter import Phase
from pipeline.mail.response import Response, ResponseFault, ResponseReader

CLOSING = 421  # RFC 5321 3.8
_CODE = attrgetter("code")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for an answer, by phase (RFC 5321 4.5.3.2)."""

    greeting: float = 300
    mail: float = 300
    rcpt: float = 300
    data: float = 120
    block: float = 180
    dot: float = 600
    other: float = 60
    quit: float = 5

    def of(self, phase: Phase) -> float:
        """Return the limit for an answer in ``phase``."""
        match phase:
            case Phase.MAIL:
                return self.mail
            case Phase.RCPT:
                return self.rcpt
            case Phase.DATA:
                return self.data
            case Phase.CONTENT:
                return self.block
            case Phase.DOT:
                return self.dot
            case Phase.QUIT:
                return self.quit
            case _:
                return self.other


class Exchange:
    """Responses to the commands of one write, in order; complete when all are in or the connection is gone.

    It is awaited, or calls ``then`` once it is complete: within the call that brought the last response,
    after everything that came with it has been read.
    """

    __slots__ = ("_waiter", "complete", "phases", "responses", "then")

    def __init__(self, phases: tuple[Phase, ...], then: Callable[[Exchange], None] | None = None) -> None:
        self.phases = phases
        self.responses: list[Response] = []
        self.complete = False
        self.then = then
        self._waiter: asyncio.Future[None] | None = None

    def answer(self, phase: Phase) -> Response | None:
        """Return the response in ``phase``; None when it never came."""
        index = self.phases.index(phase)
        return self.responses[index] if index < len(self.responses) else None

    def finish(self) -> None:
        """Wake whoever waits."""
        if self.complete:
            return
        self.complete = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self.then is not None:
            self.then(self)

    def __await__(self) -> Generator[object, None, None]:
        if not self.complete:
            self._waiter = asyncio.get_running_loop().create_future()
            yield from self._waiter


class Wire(asyncio.Protocol):
    """Octets out, responses in.

    ``lost`` says why the connection is gone ("" while it is not). A reply nobody waits for closes the
    connection: it is either a 421 or a sign that question and answer are out of step, and then no answer can
    be trusted.
    """

    def __init__(self, transport: asyncio.Transport, clock: Clock, timeouts: Timeouts) -> None:
        self._transport = transport
        self._clock = clock
        self._limits = {phase: timeouts.of(phase) for phase in Phase}
        self._reader = ResponseReader()
        self._waiting: deque[Exchange] = deque()
        self._deadline = 0.0
        self._fires_at = 0.0
        self._timer: Timer | None = None
        self._room: asyncio.Future[None] | None = None
        self._out_of_step = False
        self.lost = ""

    # -- out

    def write(self, data: bytes) -> None:
        """Hand octets to the transport."""
        self._transport.write(data)

    def expect(self, *phases: Phase, then: Callable[[Exchange], None] | None = None) -> Exchange:
        """Wait for one response for each of ``phases``, behind those already waited for.

        ``then`` is called when the exchange is complete; on a connection that is lost already, at once.
        """
        exchange = Exchange(phases, then)
        if self.lost:
            exchange.finish()
            return exchange
        self._waiting.append(exchange)
        if len(self._waiting) == 1:
            self._limit(phases[0], self._clock.monotonic())
        return exchange

    async def room(self) -> None:
        """Wait until the transport's buffer has room, at most the time limit of a block; then it is lost."""
        if self._room is None or self.lost:
            return
        self._limit(Phase.CONTENT, self._clock.monotonic())
        await self._room

    @property
    def awaited(self) -> Exchange | None:
        """The exchange whose answers are waited for, if there is one."""
        return self._waiting[0] if self._waiting else None

    async def last_words(self) -> None:
        """Let the loop read what has come already."""
        for _ in range(2):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(turn.set_result, None)
            await turn

    def abort(self, why: str) -> None:
        """Drop the connection at once; nothing more goes out."""
        self._lose(why)
        self._transport.abort()

    def close(self) -> None:
        """Close after what was written has gone out."""
        self._lose("closed")
        self._transport.close()

    # -- in

    def data_received(self, data: bytes) -> None:
        if self.lost:
            return
        fault = ""
        try:
            responses: Sequence[Response] = self._reader.feed(data)
        except ResponseFault as trouble:
            responses, fault = trouble.before, str(trouble)
        if not fault and self._completes(responses):
            return
        # Whoever goes on with what is complete writes something new; what came in this chunk came before that
        # and cannot be its answer, so all of it is read first.
        complete: list[Exchange] = []
        now = self._clock.monotonic()
        for response in responses:
            self._take(response, now, complete)
            if self.lost:
                break
        if fault:
            self.abort(fault)
        for exchange in complete:
            if self._out_of_step:  # one reply too many: nobody can tell which of them answers what
                exchange.responses.clear()
            exchange.finish()

    def _completes(self, responses: Sequence[Response]) -> bool:
        """Finish the one exchange that waits, if these are all its responses and none ends the connection."""
        if len(self._waiting) != 1:
            return False
        exchange = self._waiting[0]
        if len(responses) != len(exchange.phases) or exchange.responses:
            return False
        if CLOSING in map(_CODE, responses):
            return False
        self._waiting.clear()
        exchange.responses += responses
        exchange.finish()
        return True

    def _take(self, response: Response, now: float, complete: list[Exchange]) -> None:
        """Give a response to the exchange that waits for it; one that has all its answers is ``complete``."""
        if not self._waiting:
            self._out_of_step = response.code != CLOSING
            self.abort(f"said unasked: {response}")
            return
        exchange = self._waiting[0]
        exchange.responses.append(response)
        if len(exchange.responses) < len(exchange.phases):
            self._limit(exchange.phases[len(exchange.responses)], now)
        else:
            self._waiting.popleft()
            complete.append(exchange)
            if self._waiting:
                self._limit(self._waiting[0].phases[0], now)
        if response.code == CLOSING:
            self.abort(str(response))

    def connection_lost(self, error: Exception | None) -> None:
        self._lose(f"connection lost{f' ({type(error).__name__})' if error else ''}")

    def eof_received(self) -> bool:
        self._lose("closed by the server")
        return False

    def pause_writing(self) -> None:
        if self._room is None and not self.lost:
            self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def _lose(self, why: str) -> None:
        if self.lost:
            return
        self.lost = why
        if self._timer is not None:
            self._timer.cancel()
        self.resume_writing()
        while self._waiting:
            self._waiting.popleft().finish()

    # -- time limits: one timer, looked at again when it fires

    def _limit(self, phase: Phase, now: float) -> None:
        seconds = self._limits[phase]
        self._deadline = now + seconds
        if self._timer is not None and self._fires_at > self._deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._fires_at = self._deadline
            self._timer = self._clock.call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        if self.lost or not (self._waiting or self._room):
            return
        left = self._deadline - self._clock.monotonic()
        if left > 0:
            self._fires_at = self._deadline
            self._timer = self._clock.call_later(left, self._look)
        else:
            self.abort("no answer in time")
