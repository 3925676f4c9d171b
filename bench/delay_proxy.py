"""A relay that is far away: ``python -m bench.delay_proxy PORT TARGET ONEWAY_MS``.

Every octet is held back by ONEWAY_MS in each direction; the connection's set-up costs a round trip too. No
loss and no limit of bandwidth. Loopback only.

Limits: a timer per chunk; several thousand letters a second at most.
"""

from __future__ import annotations

import asyncio
import sys

HOST = "127.0.0.1"


class Side(asyncio.Protocol):
    """One end of a relayed connection: what comes in here goes out at ``peer``, ``delay`` seconds later."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.peer: Side | None = None
        self.transport: asyncio.Transport | None = None
        self._early: list[bytes] = []  # came before the other end was connected
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._later(self._forward, data)

    def eof_received(self) -> bool:
        self._later(self._end)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._later(self._end)

    def pair(self, peer: Side) -> None:
        """Join two ends; what came early goes out."""
        self.peer, peer.peer = peer, self
        early, self._early = self._early, []
        for data in early:
            peer.write(data)
        if self._closing:
            self._end()

    def write(self, data: bytes) -> None:
        """Send to this end's own partner."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def close(self) -> None:
        """Close this end, behind what was written."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()

    def _later(self, action: object, *arguments: object) -> None:
        assert callable(action)
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, action, *arguments)
        else:
            action(*arguments)

    def _forward(self, data: bytes) -> None:
        if self.peer is not None:
            self.peer.write(data)
        else:
            self._early.append(data)

    def _end(self) -> None:
        self._closing = True
        if self.peer is not None:
            self.peer.close()
            self.close()


class Door(Side):
    """The end that clients come to; it connects the other one."""

    def __init__(self, delay: float, target: int) -> None:
        super().__init__(delay)
        self._target = target
        self._joining: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._joining = asyncio.get_running_loop().create_task(self._join())

    async def _join(self) -> None:
        await asyncio.sleep(self.delay)  # the client's SYN; the way back is in the greeting
        loop = asyncio.get_running_loop()
        try:
            _, peer = await loop.create_connection(lambda: Side(self.delay), HOST, self._target)
        except OSError:
            self.close()
            return
        self.pair(peer)


async def serve(port: int, target: int, *, delay: float) -> None:
    """Relay connections to ``target`` until cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Door(delay, target), HOST, port, backlog=512)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    port, target, oneway_ms = sys.argv[1:]
    asyncio.run(serve(int(port), int(target), delay=float(oneway_ms) / 1000))


if __name__ == "__main__":
    main()
