"""One connection to an IMAP server: opened, secured, logged in, asked. The only file that imports IMAPClient.

TLS or nothing, as for the relay: `imaps:` is TLS from the first octet (RFC 8314), `imap:` needs STARTTLS to
succeed (RFC 9051 section 6.2.1), except to loopback without a user, where the server has to greet with
PREAUTH. TLS 1.2 at least, the host's name checked. A PREAUTH greeting where STARTTLS is required is refused
(RFC 9051 section 11.1), and LOGINDISABLED honoured. Login with AUTHENTICATE PLAIN (RFC 4616), LOGIN, or
XOAUTH2 (an access token, asked for anew once when it is refused).

What comes over the wire is bounded by `mailbox_imap_wire`.

Limits: no SCRAM, no client certificates, no COMPRESS, no IDLE. IMAPClient 4's `_create_IMAP4` is its seam
for another transport; it is private, hence the ceiling in pyproject.toml.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from imapclient import IMAPClient

from pipeline.clock import Clock
from pipeline.delivery.relay import Auth, Secret
from pipeline.problem import visible
from pipeline.replies.account import Account, MailboxKind
from pipeline.replies.mailbox import HEADER_BYTES, MailboxUnreached, MailboxUnusable
from pipeline.replies.mailbox_imap_wire import Lost, Refused, Wire, translated, words_of

GOODBYE_S = 5.0
LONGEST_SEARCH = 8 * 1024 * 1024  # a line of about a million UIDs
LARGEST_UID = 2**32 - 1
HINT = "nothing is lost: the next fetch goes on from here"


@dataclass(frozen=True, slots=True)
class Listed:
    """What a server says of a mail before it is fetched."""

    size: int
    received_at: datetime | None
    flags: frozenset[str]


class _Client(IMAPClient):  # type: ignore[misc] # IMAPClient has no types
    """IMAPClient on our wire, and without its log: that would render every mail for it."""

    def __init__(self, wire: Wire) -> None:
        self._ours = wire
        super().__init__(wire.host, wire.port, ssl=False)
        wire.debug = 0
        self.normalise_times = False  # times with their zone

    def _create_IMAP4(self) -> Wire:  # noqa: N802 - IMAPClient's name
        return self._ours

    def _set_read_timeout(self) -> None:
        """Leave it to the wire."""


class Session:
    """A connection that is logged in, with a folder open.

    Every method raises Lost or Refused. Made by `open_session`.
    """

    def __init__(self, client: _Client, wire: Wire) -> None:
        self._client = client
        self._wire = wire

    def open_folder(self, name: str, *, writing: bool) -> int:
        """Open a folder with EXAMINE, or with SELECT where something is to be changed.

        Return its UIDVALIDITY; 0 where the server does not say.
        """
        with self._asking():
            found = self._client.select_folder(name, readonly=not writing)
        return _number(found.get(b"UIDVALIDITY"))

    def search(self, above: int, since: datetime | None) -> list[int]:
        """Return the UIDs above ``above``, ascending; of mail since ``since``, or of the days just before."""
        criteria: list[Any] = ["UID", f"{above + 1}:*"]
        if since is not None:  # the server compares days, in whatever zone it thinks (RFC 9051 section 6.4.4)
            criteria += ["SINCE", since.date() - timedelta(days=2)]
        with self._asking(line=LONGEST_SEARCH):
            found = self._client.search(criteria)
        # "n:*" always holds the last mail, whatever its UID (RFC 9051 section 9).
        return sorted({uid for uid in found if above < uid <= LARGEST_UID})

    def describe(self, uids: Sequence[int]) -> dict[int, Listed]:
        """Return what the server says of each mail that is still there."""
        with self._asking(octets=1_000 * len(uids), lines=4 * len(uids) + 2_000):
            found = self._client.fetch(uids, ["RFC822.SIZE", "INTERNALDATE", "FLAGS"])
            return {uid: _listed(items) for uid, items in found.items() if b"RFC822.SIZE" in items}

    def bodies(self, uids: Sequence[int], octets: int) -> dict[int, bytes]:
        """Return mails by UID, all together at most about ``octets``; those that went away are missing."""
        with self._asking(octets=octets, lines=8 * len(uids) + 2_000):
            found = self._client.fetch(uids, ["BODY.PEEK[]"])
            return {
                uid: raw for uid, items in found.items() if (raw := _octets(items, b"BODY[]")) is not None
            }

    def header(self, uid: int) -> bytes | None:
        """Return the headers of one mail, at most `HEADER_BYTES` of them; None where it went away."""
        with self._asking(octets=2 * HEADER_BYTES):
            found = self._client.fetch([uid], [f"BODY.PEEK[HEADER]<0.{HEADER_BYTES}>"])
            return _octets(found.get(uid, {}), b"BODY[HEADER]")

    def mark_seen(self, uids: Sequence[int]) -> None:
        """Set the flag \\Seen."""
        with self._asking():
            self._client.add_flags(uids, [b"\\Seen"], silent=True)

    def move(self, uids: Sequence[int], folder: str) -> None:
        """Move mails, with MOVE (RFC 6851) or a copy and a deletion; the folder is made if there is none."""
        try:
            self._move(uids, folder)
        except Refused as refusal:
            if "TRYCREATE" not in str(refusal).upper():
                raise
            with self._asking():
                self._client.create_folder(folder)
            self._move(uids, folder)

    def _move(self, uids: Sequence[int], folder: str) -> None:
        with self._asking(lines=8 * len(uids) + 2_000):
            atomic = self._client.has_capability("MOVE")
            (self._client.move if atomic else self._client.copy)(uids, folder)
        if not atomic:
            self.delete(uids)

    def delete(self, uids: Sequence[int]) -> None:
        """Flag mails as \\Deleted and, with UIDPLUS (RFC 4315), expunge these and no others.

        Without UIDPLUS they stay flagged: an EXPUNGE would take other people's deletions along.
        """
        with self._asking():
            self._client.add_flags(uids, [b"\\Deleted"], silent=True)
            if self._client.has_capability("UIDPLUS"):
                self._client.uid_expunge(uids)

    def close(self) -> None:
        """Say goodbye if the server still listens, and close the connection."""
        # Whatever goes wrong here, the mail is fetched and the connection is gone.
        with suppress(Exception):
            self._wire.allow(seconds=GOODBYE_S)
            if not self._wire.ended:
                self._client.logout()
                return
        with suppress(Exception):
            self._wire.shutdown()

    @contextmanager
    def _asking(self, **allowance: int) -> Iterator[None]:
        self._wire.forget()
        with translated(self._wire):
            self._wire.allow(**allowance)
            yield


def open_session(account: Account, secret: Callable[[], Secret | None], clock: Clock) -> Session:
    """Return a session that is logged in.

    ``secret`` is asked when the server wants it. Raises MailboxUnusable where a person has to do something,
    MailboxUnreached and Lost where it may work later.
    """
    context = None if account.plaintext else _tls_context(account)
    wire = _connected(account, context, clock)
    try:
        with translated(wire):
            client = _Client(wire)
        session = Session(client, wire)
        _secure(account, client, wire, context)
        _log_in(account, client, wire, secret)
    except BaseException:
        with suppress(Exception):
            wire.shutdown()
        raise
    return session


def _tls_context(account: Account) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(account.ca_file) if account.ca_file else None)
    except OSError as trouble:
        raise MailboxUnusable(
            f"replies.ca_file holds no certificate that can be read: {words_of(trouble)}", "it is a PEM file"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _connected(account: Account, context: ssl.SSLContext | None, clock: Clock) -> Wire:
    try:
        return Wire(account, context, clock)
    except ssl.SSLCertVerificationError as trouble:
        raise _unproven(account, trouble) from None
    except Exception as trouble:
        raise Lost(f"cannot be reached: {words_of(trouble)}") from None


def _unproven(account: Account, trouble: ssl.SSLCertVerificationError) -> MailboxUnusable:
    return MailboxUnusable(
        f"{account.name}: the server could not prove who it is: {visible(trouble.verify_message, limit=200)}",
        "if it has a certificate of its own making, name its CA file in replies.ca_file",
    )


def _secure(account: Account, client: _Client, wire: Wire, context: ssl.SSLContext | None) -> None:
    if account.kind is MailboxKind.IMAPS or context is None:
        return
    if wire.state != "NONAUTH":
        raise MailboxUnusable(
            f"{account.name}: the server logged us in before TLS could begin (PREAUTH)",
            "use imaps://, or ask its operator",
        )
    try:
        with translated(wire):
            wire.allow()
            if not client.has_capability("STARTTLS"):
                raise MailboxUnusable(
                    f"{account.name}: the server does not offer TLS (STARTTLS)",
                    "use imaps:// if it has it, or ask its operator",
                )
            client.starttls(context)
    except ssl.SSLCertVerificationError as trouble:
        raise _unproven(account, trouble) from None
    except Refused as refusal:
        raise MailboxUnusable(f"{account.name}: the server refused TLS: {refusal}") from None


def _log_in(account: Account, client: _Client, wire: Wire, secret: Callable[[], Secret | None]) -> None:
    if wire.state == "AUTH":
        return
    if account.user is None:
        raise MailboxUnusable(f"{account.name}: the server wants a login", "name the user: imap://user@host")
    tries = 2 if account.auth is Auth.XOAUTH2 else 1
    for attempt in range(1, tries + 1):
        password = secret()
        hidden = password.reveal() if password is not None else ""
        try:
            with translated(wire):
                wire.allow()
                _say_who(account, account.user, client, hidden)
        except Refused as refusal:
            words = _hiding(str(refusal), hidden)
            if refusal.temporary:
                raise MailboxUnreached(f"{account.name}: no login now: {words}", HINT) from None
            if attempt < tries:
                continue
            raise MailboxUnusable(
                f"{account.name}: the server refused the login: {words}",
                "see user and password; many providers want an app password, or XOAUTH2, for IMAP",
            ) from None
        except Lost as lost:
            raise Lost(_hiding(str(lost), hidden)) from None
        return


def _say_who(account: Account, user: str, client: _Client, secret: str) -> None:
    if account.auth is Auth.XOAUTH2:
        answers = [f"user={user}\1auth=Bearer {secret}\1\1".encode()]
        # A second challenge explains the refusal and wants an empty answer before the server says NO.
        client.sasl_login("XOAUTH2", lambda _: answers.pop() if answers else b"")
    elif client.has_capability("AUTH=PLAIN"):
        client.plain_login(user, secret)
    elif client.has_capability("LOGINDISABLED"):
        raise MailboxUnusable(
            f"{account.name}: the server offers no login with a password", 'perhaps auth = "xoauth2"'
        )
    elif not (user + secret).isascii():
        raise MailboxUnusable(f"{account.name}: the server takes user and password in ASCII only")
    else:
        quoted = user.replace("\\", "\\\\").replace('"', '\\"')
        client.login(f'"{quoted}"', secret)


def _hiding(text: str, secret: str) -> str:
    return text.replace(secret, "***") if secret else text


def _listed(items: Mapping[bytes, Any]) -> Listed:
    flags = items.get(b"FLAGS")
    return Listed(
        size=_number(items.get(b"RFC822.SIZE")),
        received_at=_moment(items.get(b"INTERNALDATE")),
        flags=_flags(flags if isinstance(flags, tuple) else ()),
    )


def _moment(value: object) -> datetime | None:
    if not isinstance(value, datetime) or value.tzinfo is None:
        return None
    try:
        return value.astimezone(UTC)
    except OverflowError:
        return None


def _flags(found: Sequence[object]) -> frozenset[str]:
    """Return the system flags (RFC 9051 section 2.3.2) without their backslash, in lower case."""
    known = {"seen", "answered", "flagged", "deleted", "draft"}
    names = {
        flag.decode("ascii", "replace").removeprefix("\\").lower()
        for flag in found
        if isinstance(flag, bytes)
    }
    return frozenset(names & known)


def _octets(items: Mapping[bytes, Any], key: bytes) -> bytes | None:
    """Return the part ``key``, with or without the octet it begins at (``<0>``)."""
    value = items.get(key, items.get(key + b"<0>"))
    return value if isinstance(value, bytes) else None


def _number(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**63 else 0
