"""The sandbox relay: a real SMTP server in the process, so that the main job runs with no account.

It files every letter into a Maildir, as a delivering server would (with Return-Path and Delivered-To in
front, lines ended by LF), and accepts all recipients but three local parts that show what real relays do:

    sandbox-defers@    450 the first time, accepted from then on
    sandbox-refuses@   550 5.1.1
    sandbox-drops@     filed, and the connection lost before the answer

Standards: those of aiosmtpd (RFC 5321, SMTPUTF8, SIZE). The only file that imports it.

Limits: it listens on loopback only, on a port of its own, while a run lasts.
"""

from __future__ import annotations

import asyncio
import mailbox
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from aiosmtpd.smtp import SMTP, Envelope, Session

DEFERS = "sandbox-defers"
REFUSES = "sandbox-refuses"
DROPS = "sandbox-drops"
SIZE_LIMIT = 64 * 1024 * 1024
HOST = "127.0.0.1"


class Outbox:
    """The handler aiosmtpd calls."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._memory = folder.parent / "sandbox-deferred"
        self._maildir: mailbox.Maildir | None = None
        self._filing = threading.Lock()  # several connections file at once, and the first makes the folders

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer RCPT."""
        local = address.rpartition("@")[0].lower()
        if local == REFUSES:
            return "550 5.1.1 no such user here (this is the sandbox)"
        if local == DEFERS and self._first_time(address):
            return "450 4.2.0 greylisted, try again later (this is the sandbox)"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """File the letter and answer the final dot."""
        key = await asyncio.to_thread(self._file, envelope)
        if any(address.rpartition("@")[0].lower() == DROPS for address in envelope.rcpt_tos):
            cast("asyncio.Transport", server.transport).abort()
            return "421 4.4.2 never read by anyone"
        return f"250 2.0.0 filed as {key.split('.')[0]}"

    def _file(self, envelope: Envelope) -> str:
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        sender = (envelope.mail_from or "").strip("<>")  # the null one comes as "<>"
        head = f"Return-Path: <{sender}>\n"
        head += "".join(f"Delivered-To: {address}\n" for address in envelope.rcpt_tos)
        with self._filing:
            if self._maildir is None:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                for name in ("tmp", "new", "cur"):  # another process may be making them at this moment
                    (self._folder / name).mkdir(mode=0o700, exist_ok=True)
                self._maildir = mailbox.Maildir(self._folder, create=False)
            return self._maildir.add(head.encode() + content.replace(b"\r\n", b"\n"))

    def _first_time(self, address: str) -> bool:
        """Remember across runs whom the sandbox has put off once."""
        known = self._memory.read_text("utf-8").splitlines() if self._memory.exists() else []
        if address in known:
            return False
        self._memory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._memory.open("a", encoding="utf-8") as file:
            file.write(address + "\n")
        return True


@asynccontextmanager
async def sandbox_relay(outbox: Path) -> AsyncIterator[int]:
    """Run the server for as long as the context lasts; gives its port on 127.0.0.1."""
    loop = asyncio.get_running_loop()
    handler = Outbox(outbox)

    def session() -> SMTP:
        return SMTP(
            handler,
            data_size_limit=SIZE_LIMIT,
            enable_SMTPUTF8=True,
            hostname="sandbox",
            ident="campaign sandbox",
            loop=loop,
        )

    server = await loop.create_server(session, HOST, 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await server.wait_closed()
