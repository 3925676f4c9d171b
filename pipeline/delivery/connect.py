"""Open, secure and log in: aiosmtplib's part of a session. The only file that imports it.

`connect` tries a relay a few times (tenacity) as long as nothing was said about any letter, and returns a
`Session` on the transport that aiosmtplib opened. The aiosmtplib object is kept for as long as the session
lives and never called again: its protocol drops replies nobody waits for, ours does not.

TLS or nothing: `smtps:` is TLS from the first octet (RFC 8314), `smtp:` needs STARTTLS to succeed (RFC 3207),
except to loopback without a user. TLS 1.2 at least, the system's trust store or `ca_file`, the host's name
checked (RFC 8997, RFC 9325, RFC 9525). Login with PLAIN, LOGIN or XOAUTH2 inside TLS only (RFC 4954). The
greeting is given five minutes.

Limits: no SCRAM, no CRAM-MD5 (it cannot be told from a downgrade), no client certificates.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

import aiosmtplib
import tenacity

from pipeline.clock import Clock, Dice
from pipeline.delivery.relay import Relay, RelayKind
from pipeline.delivery.session import Manner, Session
from pipeline.delivery.verdict import LOGIN
from pipeline.delivery.wire import Timeouts, Wire
from pipeline.errors import RelayRefusedUs
from pipeline.mail.response import Response, response
from pipeline.problem import visible

TRIES = 3
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 15.0


class Unreached(Exception):
    """The relay could not be reached, or was not ready; nothing was said about any letter."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What the relay's EHLO offered, as far as we use it."""

    pipelining: bool = False
    eightbit: bool = False
    smtputf8: bool = False
    dsn: bool = False
    announces_size: bool = False
    size: int | None = None  # octets; None when the relay names no limit (RFC 1870 4)


@dataclass(slots=True)
class Connection:
    """An open session and what the relay offered on it."""

    session: Session
    offer: Offer
    opener: aiosmtplib.SMTP = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to get the password or token when it is needed; asked again after a refused token."""

    user: str
    secret: Callable[[], str] = field(repr=False)


def tls_context(relay: Relay) -> ssl.SSLContext:
    """Return the context every connection of a run shares (making one takes 20 ms)."""
    context = ssl.create_default_context(cafile=str(relay.ca_file) if relay.ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Opener:
    """Opens connections to one relay."""

    def __init__(
        self,
        relay: Relay,
        *,
        credentials: Credentials | None,
        clock: Clock,
        dice: Dice,
        timeouts: Timeouts | None = None,
        tries: int = TRIES,
    ) -> None:
        self._relay = relay
        self._credentials = credentials
        self._clock = clock
        self._dice = dice
        self._timeouts = timeouts or Timeouts()
        self._tries = tries
        self._context = None if relay.plaintext else tls_context(relay)
        self._ehlo = relay.ehlo or _own_name()

    async def connect(self, manner: Manner) -> Connection:
        """Return a connection ready for MAIL.

        Raises Unreached after a few tries, RelayRefusedUs when the relay will not have us (login, TLS).
        """
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self._tries),
            retry=tenacity.retry_if_exception_type(Unreached),
            wait=self._wait,
            sleep=self._clock.sleep,
            reraise=True,
        )
        return await retrying(self._open, manner)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Return seconds before the next try: doubled each time, with full jitter."""
        ceiling = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (state.attempt_number - 1))
        return self._dice.uniform(ceiling / 2, ceiling)

    async def _open(self, manner: Manner) -> Connection:
        relay = self._relay
        client = aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.port,
            use_tls=relay.kind is RelayKind.SMTPS,
            start_tls=False,  # done by us below, so that a refusal says what it is
            tls_context=self._context,
            local_hostname=self._ehlo,
            timeout=self._timeouts.greeting,
        )
        try:
            await self._secure(client)
            await self._log_in(client)
        except BaseException:
            client.close()
            raise
        return self._hand_over(client, manner)

    async def _secure(self, client: aiosmtplib.SMTP) -> None:
        relay = self._relay
        try:
            await self._ask(client.connect())
            client.timeout = self._timeouts.other
            await self._hello(client)
            if relay.plaintext or relay.kind is RelayKind.SMTPS:
                return
            if not client.supports_extension("starttls"):
                raise RelayRefusedUs(
                    f"the relay {relay.name} did not offer TLS (STARTTLS)",
                    "nothing was sent; use smtps:// if the relay has it, or ask its operator",
                )
            await self._ask(client.starttls())
            await self._hello(client)
        except _Answered as refusal:
            if refusal.answer.permanent:
                raise RelayRefusedUs(
                    f"the relay {relay.name} does not want us: {refusal.answer}",
                    "nothing was sent; ask the relay's operator what this means",
                ) from None
            raise Unreached(f"the relay {relay.name} is not ready: {refusal.answer}") from None

    async def _hello(self, client: aiosmtplib.SMTP) -> None:
        """EHLO; HELO only where neither TLS nor a login is needed (RFC 5321 3.2)."""
        try:
            await self._ask(client.ehlo())
        except _Answered as refusal:
            if not refusal.answer.permanent or not self._relay.plaintext or self._credentials is not None:
                raise
            await self._ask(client.helo())

    async def _log_in(self, client: aiosmtplib.SMTP) -> None:
        """Log in; an access token that is refused is asked for once more (it may have run out)."""
        if self._credentials is None:
            return
        tries = 2 if self._relay.auth == "xoauth2" else 1
        for attempt in range(1, tries + 1):
            try:
                await self._try_login(client, self._credentials)
            except _Answered as refusal:
                answer = refusal.answer
                if not answer.permanent:
                    raise Unreached(f"the relay {self._relay.name} cannot log us in now: {answer}") from None
                if attempt < tries and answer.code == 535:
                    continue
                raise RelayRefusedUs(
                    f"the relay {self._relay.name} refused the login: {answer}", LOGIN.advice
                ) from None
            return

    async def _try_login(self, client: aiosmtplib.SMTP, credentials: Credentials) -> None:
        offered = client.server_auth_methods
        method = self._method(offered)
        if method not in offered:
            raise RelayRefusedUs(
                f"the relay {self._relay.name} does not offer a login with {method.upper()}",
                f"it offers: {', '.join(offered).upper() or 'no login at all'}",
            )
        secret = await asyncio.to_thread(credentials.secret)
        login = {"xoauth2": client.auth_xoauth2, "plain": client.auth_plain, "login": client.auth_login}[
            method
        ]
        await self._ask(login(credentials.user, secret))

    def _method(self, offered: list[str]) -> str:
        if self._relay.auth == "xoauth2":
            return "xoauth2"
        return "login" if "login" in offered and "plain" not in offered else "plain"

    async def _ask(self, question: Awaitable[aiosmtplib.SMTPResponse]) -> None:
        """Carry out one of aiosmtplib's commands; raise what went wrong in our words."""
        name = self._relay.name
        try:
            await question
        except aiosmtplib.SMTPResponseException as refusal:
            raise _Answered(response(refusal.code, refusal.message)) from None
        except (aiosmtplib.SMTPException, OSError) as trouble:
            if certificate := _certificate_trouble(trouble):
                raise RelayRefusedUs(
                    f"the relay {name} could not prove who it is: {certificate}",
                    "nothing was sent; if the relay has a certificate of its own making, name its CA file in "
                    "relay.ca_file",
                ) from None
            raise Unreached(
                f"the relay {name} cannot be reached: {visible(str(trouble), limit=200)}"
            ) from None

    def _hand_over(self, client: aiosmtplib.SMTP, manner: Manner) -> Connection:
        """Give the transport to our protocol; aiosmtplib's has nothing unread and is not called again."""
        transport = client.transport
        if transport is None or transport.is_closing():
            raise Unreached(f"the relay {self._relay.name} closed the connection")
        offer = _offer(client.esmtp_extensions)
        wire = Wire(cast("asyncio.Transport", transport), self._clock, self._timeouts)
        transport.set_protocol(wire)
        spoken = manner if offer.pipelining else Manner.SINGLE
        session = Session(wire, manner=spoken, letters=self._relay.letters_per_connection)
        return Connection(session, offer, client)


class _Answered(Exception):
    """The relay answered with a refusal."""

    def __init__(self, answer: Response) -> None:
        super().__init__(str(answer))
        self.answer = answer


def _offer(extensions: dict[str, str]) -> Offer:
    """Read the EHLO keywords (RFC 5321 4.1.1.1); a SIZE of 0 is no limit (RFC 1870 4)."""
    size = extensions.get("size", "").strip()
    return Offer(
        pipelining="pipelining" in extensions,
        eightbit="8bitmime" in extensions,
        smtputf8="smtputf8" in extensions,
        dsn="dsn" in extensions,
        announces_size="size" in extensions,
        size=int(size) or None if size.isascii() and size.isdigit() else None,
    )


def _certificate_trouble(error: BaseException) -> str:
    """Return why the relay's certificate did not do; "" when something else went wrong."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return visible(seen.verify_message, limit=200)
        if isinstance(seen, ssl.SSLError):
            return visible(str(seen.reason or seen), limit=200)
        seen = seen.__cause__ or seen.__context__
    return ""


def _own_name() -> str:
    """Return what to say in EHLO: a dotted host name, else the address literal (RFC 5321 4.1.1.1, 2.3.5)."""
    name = socket.gethostname()
    fit = name.isascii() and name.isprintable() and " " not in name
    return name if fit and "." in name.strip(".") and not name.startswith("localhost") else "[127.0.0.1]"
