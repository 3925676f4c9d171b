"""The address of a PostgreSQL server, as `[store] url` has it, and the names of our schemas there.

Contract: pure. A password in the address is refused, and nothing of the address is repeated in a message.
What libpq would take from the address and we do not know is refused: `options` could undo what the store
relies on.

A campaign's tables lie in a schema of its own, those of its notices in another, and what campaigns share
(opt-outs, limits) in one for all, so that several campaigns of an organisation can be in one database.

Limits: one server; host names are not looked up here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode

from pipeline.delivery.relay import is_loopback, parse_host

SCHEMES = ("postgresql://", "postgres://")
FORM = 'url = "postgresql://user@host:5432/database"'
SECRETS = (
    'put it in a file that nobody else can read (mode 0600) and name that file: password_file = "…";\n'
    'or write password_command = "pass show postgresql", or set CAMPAIGN_STORE_PASSWORD in the environment,\n'
    "or give it as the systemd credential store_password; libpq's own ways (~/.pgpass) work as well"
)
OPTIONS = (
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "channel_binding",
    "gssencmode",
    "krbsrvname",
    "host",  # a folder: the socket of a server on this machine
    "passfile",
    "connect_timeout",
)
LONGEST = 1_000
SHARED_SCHEMA = "campaigns"
LONGEST_NAMED = 40  # of a key that stands whole in the name of a schema, which has 63 octets at most


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a database is: libpq's words, without a password."""

    database: str
    host: str = ""  # "" where a socket is named, or libpq's own default holds
    port: int | None = None
    user: str | None = None
    options: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The address for people."""
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql://{user}{host}{f':{self.port}' if self.port else ''}/{self.database}"

    @property
    def url(self) -> str:
        """The address as campaign.toml has it."""
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        options = f"?{urlencode(self.options, safe='/:')}" if self.options else ""
        port = f":{self.port}" if self.port else ""
        return f"postgresql://{user}{host}{port}/{quote(self.database, safe='')}{options}"

    def words(self) -> dict[str, str]:
        """Return what libpq is told. A server on another machine is spoken to over TLS, unless the address
        says otherwise."""
        said = {"host": self.host, "port": str(self.port or ""), "user": self.user or ""}
        words = {name: value for name, value in said.items() if value} | {"dbname": self.database}
        if self.host and not is_loopback(self.host):
            words["sslmode"] = "require"
        return words | dict(self.options)


def parse_server(text: str) -> ServerAddress:
    """Return what ``text`` says; ValueError in plain words (first line) and what would be right."""
    text = text.strip()
    scheme = next((scheme for scheme in SCHEMES if text.lower().startswith(scheme)), None)
    if scheme is None or len(text) > LONGEST or not text.isprintable():
        raise ValueError(f"this is not the address of a PostgreSQL database\n{FORM}")
    match = re.fullmatch(r"(?:([^/?#]*)@)?([^@/?#]*)/([^/?#@]+)(?:\?([^#]*))?", text[len(scheme) :])
    if match is None:
        raise ValueError(f"after the user comes host:port/database and nothing else\n{FORM}")
    userinfo, place, database, query = match.groups()
    if userinfo is not None and ":" in userinfo:
        raise ValueError(f"a password does not belong in the store's address\n{SECRETS}")
    host, port = _place(place)
    user = _text(userinfo, "user") if userinfo is not None else None
    return ServerAddress(_text(database, "database"), host, port, user, _options(query or ""))


def _text(text: str, what: str) -> str:
    found = unquote(text, errors="replace")
    if not found or len(found) > 63 or not found.isprintable() or "\ufffd" in found:
        raise ValueError(f"the name of the {what} in the store's address is no name\n{FORM}")
    return found


def _place(text: str) -> tuple[str, int | None]:
    """Return host and port; nothing of ``text`` is repeated."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:,]*))(?::([0-9]{1,5}))?", text)
    if match is None or (match[3] is not None and not 0 < int(match[3]) < 65_536):
        raise ValueError(f"there must be one host, and a port from 1 to 65535\n{FORM}")
    named = match[1] or match[2]
    try:
        return (parse_host(named) if named else ""), int(match[3]) if match[3] else None
    except ValueError:
        raise ValueError(f"the host in the store's address is no host name\n{FORM}") from None


def _options(query: str) -> tuple[tuple[str, str], ...]:
    try:
        found = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    except (ValueError, UnicodeError):
        raise ValueError(f'after "?" come words like sslmode=verify-full\n{FORM}') from None
    for name, value in found:
        if "password" in name.lower():
            raise ValueError(f"a password does not belong in the store's address\n{SECRETS}")
        if name not in OPTIONS:
            raise ValueError(f'only these may stand after "?": {", ".join(OPTIONS)}\n{FORM}')
        if not value.isprintable() or not value:
            raise ValueError(f'{name} after "?" has no value\n{FORM}')
        if name == "host" and not value.startswith("/"):
            raise ValueError(
                f'host after "?" names the folder of a socket; a host stands before the "/"\n{FORM}'
            )
    return tuple(found)


def campaign_schema(key: str) -> str:
    """Return the name of the schema of the campaign with this key."""
    return f"campaign_{_word(key)}"


def notices_schema(key: str) -> str:
    """Return the name of the schema of the notices of the campaign with this key."""
    return f"notices_{_word(key)}"


def _word(key: str) -> str:
    """Return a key as part of a name. Keys have no "_", so two of them never give the same."""
    plain = key.replace("-", "_")
    if len(key) <= LONGEST_NAMED:
        return plain
    return f"{plain[:31]}_{hashlib.sha256(key.encode()).hexdigest()[:16]}"
