"""Which relay, and how it is spoken to: `[relay]` as a value.

    sandbox:                    a server in the process that files letters into .campaign/outbox/
    smtps://user@host[:465]     TLS from the first byte (RFC 8314 section 3.3)
    smtp://user@host:587        STARTTLS required (RFC 3207); plaintext only to loopback without a user

A relay's address never holds a password: one is refused, and nothing repeats it.
Port 25 is spoken to only where it is written out (RFC 6409 section 3.1).

Contract: values in, values out. Errors are ValueErrors in plain words; what follows the first newline is the
help; neither ever repeats a part of the URL that could be a secret.

Limits: the names of presets say what providers publish or are known to allow at the time of writing; the
operator's own figures win.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

import idna

from pipeline.delivery.limits import Pace, Quota

URL_FORMS = (
    'write "sandbox:", "smtps://user@smtp.example.org" (TLS, port 465)\n'
    'or "smtp://user@smtp.example.org:587" (STARTTLS); the user may be an address: "smtps://me@example.org@smtp…"'
)
SAFE_PLACES = (
    'put it in a file that nobody else can read (mode 0600) and name that file: password_file = "…";\n'
    'or write password_command = "pass show smtp", or set CAMPAIGN_SMTP_PASSWORD in the environment,\n'
    "or give it as the systemd credential smtp_password"
)
LONGEST_URL = 1_000
MOST_CONNECTIONS = 50


class RelayKind(StrEnum):
    """How the connection begins."""

    SANDBOX = "sandbox"  # our own server, in the process: nothing leaves the machine
    SMTP = "smtp"  # STARTTLS, required
    SMTPS = "smtps"  # TLS from the first byte


class BodyEncoding(StrEnum):
    """How the text parts travel."""

    QP = "qp"  # quoted-printable: survives every relay
    EIGHT_BIT = "8bit"  # as it is, where the relay offers 8BITMIME (RFC 6152)


class Pipelining(StrEnum):
    """How many commands wait for one answer (RFC 2920)."""

    AUTO = "auto"  # chained where the relay offers it, fewer as soon as it dislikes that
    GROUPED = "grouped"  # the envelope of one letter at once
    OFF = "off"  # one command at a time


class Auth(StrEnum):
    """What the secret is."""

    PASSWORD = "password"  # noqa: S105 - the name of a method; PLAIN or LOGIN
    XOAUTH2 = "xoauth2"  # an access token


class Provider(StrEnum):
    """Relays whose quotas are known."""

    GMAIL = "gmail"  # a personal Gmail account
    WORKSPACE = "workspace"  # Google Workspace
    M365 = "m365"  # Exchange Online
    YANDEX = "yandex"  # a personal Yandex account
    MAILRU = "mailru"  # a personal Mail.ru account


@dataclass(frozen=True, slots=True)
class Preset:
    """The limits of a provider, used where the campaign gives none."""

    day: Quota
    pace: Pace


_DAY = 86_400
PRESETS = {
    # Per day: as Google, Microsoft and Yandex publish it; Mail.ru publishes none. Paces: 30 a minute is
    # Exchange Online's own; the others are cautious.
    Provider.GMAIL: Preset(Quota(500, _DAY), Pace(20, 60)),
    Provider.WORKSPACE: Preset(Quota(2_000, _DAY), Pace(30, 60)),
    Provider.M365: Preset(Quota(10_000, _DAY), Pace(30, 60)),
    Provider.YANDEX: Preset(Quota(500, _DAY), Pace(20, 60)),
    Provider.MAILRU: Preset(Quota(200, _DAY), Pace(10, 60)),
}


class Secret:
    """A password or token: shown nowhere, compared in constant time, read only through `reveal`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself; for the login and nothing else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment] # a secret is no key

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


@dataclass(frozen=True, slots=True)
class RelayAddress:
    """What a relay URL says; ``host`` is an A-label or an IP literal without brackets, '' for the sandbox."""

    kind: RelayKind
    host: str = ""
    port: int = 0
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Relay:
    """The submission server letters are handed to, and how."""

    kind: RelayKind
    host: str = ""
    port: int = 0
    user: str | None = None
    ehlo: str | None = None  # the name we give; None: the machine's own
    ca_file: Path | None = None  # trusted instead of the system's authorities
    connections: int = 4  # 1..50 at once
    encoding: BodyEncoding = BodyEncoding.QP
    pipelining: Pipelining = Pipelining.AUTO
    letters_per_connection: int = 100
    auth: Auth = Auth.PASSWORD
    provider: Provider | None = None

    @property
    def plaintext(self) -> bool:
        """Return whether the connection goes without TLS: only on this machine, and without a user."""
        if self.kind is RelayKind.SANDBOX:
            return True
        return self.kind is RelayKind.SMTP and self.user is None and is_loopback(self.host)

    @property
    def name(self) -> str:
        """Return the relay for people: "smtp.example.org:587 as letters@example.org"."""
        if self.kind is RelayKind.SANDBOX:
            return "sandbox"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" + (f" as {self.user}" if self.user else "")

    @property
    def account(self) -> str:
        """Return what the relay counts by, for limit rows: the same on ports 465 and 587."""
        if self.kind is RelayKind.SANDBOX:
            return "sandbox"
        return f"{self.user}@{self.host}" if self.user else f"{self.host}:{self.port}"


def parse_relay_url(url: str) -> RelayAddress:
    """Return what ``url`` says; ValueError in plain words, without repeating what could be a secret."""
    url = url.strip()
    if len(url) > LONGEST_URL or not url.isprintable() or " " in url:
        raise ValueError(f"this is not the address of a relay\n{URL_FORMS}")
    scheme, colon, rest = url.partition(":")
    if colon and scheme.lower() == RelayKind.SANDBOX and rest.strip("/") == "":
        return RelayAddress(RelayKind.SANDBOX)
    if scheme.lower() not in ("smtp", "smtps") or not rest.startswith("//"):
        raise ValueError(f"this is not the address of a relay\n{URL_FORMS}")
    kind = RelayKind(scheme.lower())
    userinfo, at, place = rest[2:].rpartition("@")  # the last @: an address may be the user
    if ":" in userinfo:
        raise ValueError(f"a password does not belong in the relay's address\n{SAFE_PLACES}")
    host, port = _place(place)
    return RelayAddress(
        kind, host, port or (465 if kind is RelayKind.SMTPS else 587), _user(userinfo) if at else None
    )


def parse_host(text: str) -> str:
    """Return a host name as A-label in lower case, or an IP address in its one form; else ValueError."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        name = (
            idna.encode(text.rstrip("."), uts46=True).decode().lower() if not text.isascii() else text.lower()
        )
    except (idna.IDNAError, UnicodeError):
        raise ValueError("this is not the name of a host") from None
    labels = name.removesuffix(".").split(".")
    well_formed = all(re.fullmatch(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?", label) for label in labels)
    if not well_formed or len(name) > 253 or labels[-1].isdigit():
        raise ValueError("this is not the name of a host")
    return ".".join(labels)


def is_loopback(host: str) -> bool:
    """Return whether ``host`` (as `parse_host` gives it) is this very machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _user(text: str) -> str:
    user = unquote(text, errors="replace")
    if not user or len(user) > 320 or not user.isprintable() or "\ufffd" in user:
        raise ValueError(f"the user in the relay's address is empty or no text\n{URL_FORMS}")
    return user


def _place(text: str) -> tuple[str, int | None]:
    """Return host and port; nothing of ``text`` is repeated, for a password without its "@" ends up here."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/?#]+))(?::([^:/?#]*))?/?", text)
    if match is None:
        raise ValueError(f"after the user comes host:port and nothing else\n{URL_FORMS}")
    port = match[3]
    if port is not None and (not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65_536):
        raise ValueError(f"the port must be a number from 1 to 65535\n{URL_FORMS}")
    try:
        host = parse_host(match[1] or match[2])
    except ValueError:
        raise ValueError(f"the host in the relay's address is no host name\n{URL_FORMS}") from None
    return host, int(port) if port else None
