"""Which mailbox replies come to, and how it is read: `[replies]` as a value.

    imaps://user@host[:993]/FOLDER   TLS from the first octet (RFC 8314 section 3.2)
    imap://user@host[:143]/FOLDER    STARTTLS required (RFC 9051 section 6.2.1); plaintext only to loopback
                                     without a user, where the server greets with PREAUTH
    maildir:PATH                     a Maildir
    mbox:PATH                        an mbox file

FOLDER is INBOX where it is left out; in it, as in the user, %20 and the like stand for what they encode
(RFC 5092 section 3). The rule for passwords is the relay's: never in the address, never without TLS.

Contract: values in, values out. Errors are ValueErrors in plain words; what follows the first newline is the
help; neither ever repeats a part of the address that could be a secret.

Limits: no UIDVALIDITY, search or partial parts of an IMAP URL; a folder's name is at most 500 characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote

from pipeline.delivery.relay import Auth, is_loopback, parse_host

MAILBOX_FORMS = (
    'write "imaps://user@imap.example.org/INBOX" (TLS), "imap://user@imap.example.org/INBOX" (STARTTLS),\n'
    '"maildir:PATH" or "mbox:PATH"; the user may be an address: "imaps://me@example.org@imap…"'
)
MAILBOX_SECRETS = (
    'put it in a file that nobody else can read (mode 0600) and name that file: password_file = "…";\n'
    'or write password_command = "pass show imap", or set CAMPAIGN_IMAP_PASSWORD in the environment,\n'
    "or give it as the systemd credential imap_password"
)
LONGEST_ADDRESS = 1_000
LONGEST_FOLDER = 500
DEFAULT_MAIL_BYTES = 30_000_000
_PORTS = {"imaps": 993, "imap": 143}


class MailboxKind(StrEnum):
    """Where the mail lies, and how the connection to it begins."""

    IMAPS = "imaps"  # TLS from the first octet
    IMAP = "imap"  # STARTTLS, required
    MAILDIR = "maildir"
    MBOX = "mbox"


class Afterwards(StrEnum):
    """What is done with a mail in the mailbox once it is stored."""

    KEEP = "keep"  # nothing: the mailbox is only read
    SEEN = "seen"  # marked as seen
    MOVE = "move"  # moved to a folder
    DELETE = "delete"  # deleted, if the whole of it is in the store


@dataclass(frozen=True, slots=True)
class After:
    """What is done with a stored mail; ``folder`` says where a moved one goes."""

    action: Afterwards = Afterwards.KEEP
    folder: str = ""

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.action}:{self.folder}" if self.folder else str(self.action)


@dataclass(frozen=True, slots=True)
class MailboxAddress:
    """What `[replies] mailbox` says: a server, user and folder, or a path."""

    kind: MailboxKind
    host: str = ""  # A-label or IP literal without brackets; '' for a path
    port: int = 0
    user: str | None = None
    folder: str = "INBOX"
    path: str = ""  # of a Maildir or mbox, as written

    @property
    def remote(self) -> bool:
        """Return whether a server is asked."""
        return self.kind in (MailboxKind.IMAPS, MailboxKind.IMAP)


@dataclass(frozen=True, slots=True)
class Account:
    """The mailbox replies come to, and how it is read."""

    kind: MailboxKind
    host: str = ""
    port: int = 0
    user: str | None = None
    folder: str = "INBOX"
    path: Path | None = None  # of a Maildir or mbox
    auth: Auth = Auth.PASSWORD
    ca_file: Path | None = None  # trusted instead of the system's authorities
    after: After = After()
    mail_bytes: int = DEFAULT_MAIL_BYTES  # of a larger mail only the headers are kept
    since: datetime | None = None  # aware: what came before is left alone

    @property
    def plaintext(self) -> bool:
        """Return whether the connection goes without TLS: only on this machine, and without a user."""
        return self.kind is MailboxKind.IMAP and self.user is None and is_loopback(self.host)

    @property
    def name(self) -> str:
        """Return the mailbox for people and for what is remembered of it: the same on every port."""
        if self.path is not None:
            return f"{self.kind}:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        return f"imap://{user}{host}/{self.folder}"


def parse_mailbox_url(text: str) -> MailboxAddress:
    """Return what ``text`` says; ValueError in plain words, without repeating what could be a secret."""
    text = text.strip()
    scheme, colon, rest = text.partition(":")
    if not colon or len(text) > LONGEST_ADDRESS or not text.isprintable():
        raise ValueError(f"this is not the address of a mailbox\n{MAILBOX_FORMS}")
    match scheme.lower():
        case "maildir" | "mbox" as kind if rest.strip():
            return MailboxAddress(MailboxKind(kind), path=rest.strip())
        case "imap" | "imaps" as kind if rest.startswith("//"):
            return _server(MailboxKind(kind), rest[2:])
    raise ValueError(f"this is not the address of a mailbox\n{MAILBOX_FORMS}")


def parse_after(text: str) -> After:
    """Return what ``text`` says is done with stored mail; ValueError in plain words."""
    word, colon, folder = text.strip().partition(":")
    if word == Afterwards.MOVE and folder.strip():
        return After(Afterwards.MOVE, _folder(folder.strip()))
    if not colon and word in (Afterwards.KEEP, Afterwards.SEEN, Afterwards.DELETE):
        return After(Afterwards(word))
    raise ValueError(
        'must be "keep", "seen", "move:FOLDER" or "delete"\n'
        '"keep" leaves the mailbox as it is; the others are done to mail that is in the store'
    )


def _server(kind: MailboxKind, rest: str) -> MailboxAddress:
    # The user may be an address: it ends at the last @ before the first "/".
    match = re.fullmatch(r"(?:([^/]*)@)?([^@/]*)(?:/(.*))?", rest)
    if match is None:
        raise ValueError(f"after the user comes host:port/FOLDER and nothing else\n{MAILBOX_FORMS}")
    userinfo, place, folder = match.groups()
    if userinfo is not None and ":" in userinfo:
        raise ValueError(f"a password does not belong in the mailbox's address\n{MAILBOX_SECRETS}")
    host, port = _place(place)
    user = _user(userinfo) if userinfo is not None else None
    if user is None and not (kind is MailboxKind.IMAP and is_loopback(host)):
        raise ValueError(f"the mailbox's address names no user\n{MAILBOX_FORMS}")
    name = _folder(unquote(folder, errors="replace")) if folder else "INBOX"
    return MailboxAddress(kind, host, port or _PORTS[kind], user, name)


def _user(text: str) -> str:
    user = unquote(text, errors="replace")
    if not user or len(user) > 320 or not user.isprintable() or "\ufffd" in user:
        raise ValueError(f"the user in the mailbox's address is empty or no text\n{MAILBOX_FORMS}")
    return user


def _folder(text: str) -> str:
    if len(text) > LONGEST_FOLDER or not text.isprintable() or "\ufffd" in text:
        raise ValueError(
            f"must name a folder of at most {LONGEST_FOLDER} characters, without control characters"
        )
    return text


def _place(text: str) -> tuple[str, int | None]:
    """Return host and port; nothing of ``text`` is repeated, for a password without its "@" ends up here."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/?#]+))(?::([^:/?#]*))?", text)
    if match is None:
        raise ValueError(f"after the user comes host:port/FOLDER and nothing else\n{MAILBOX_FORMS}")
    port = match[3]
    if port is not None and (not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65_536):
        raise ValueError(f"the port must be a number from 1 to 65535\n{MAILBOX_FORMS}")
    try:
        host = parse_host(match[1] or match[2])
    except ValueError:
        raise ValueError(f"the host in the mailbox's address is no host name\n{MAILBOX_FORMS}") from None
    return host, int(port) if port else None
