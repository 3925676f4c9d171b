"""Single values of campaign.toml: from what TOML gives to what the stages take.

Contract: pure; nothing is coerced ("4" is no number). A reader of text raises ValueError: its first line is
what is wrong, the rest what would be right. A reader of anything else raises `wrong(...)`.
"""

from __future__ import annotations

import codecs
import re
import shlex
import zoneinfo
from collections.abc import Callable
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import TypeVar
from zoneinfo import ZoneInfo

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from pipeline.delivery.hours import Hours, parse_hours, parse_zone
from pipeline.delivery.limits import DAY_S, Limit, Pace, Quota, parse_limit
from pipeline.delivery.relay import parse_host
from pipeline.delivery.retry import parse_expires
from pipeline.mail.address import Mailbox, parse_address, parse_mailbox
from pipeline.store.address import SCHEMES, ServerAddress, parse_server

LONGEST_TOKEN = "a" * 22  # letter number and HMAC, as `pipeline.mail.identity` makes them for 10^9 letters
TOKEN = "{token}"  # noqa: S105 - a placeholder
COUNTRIES = {"gr": "el", "ua": "uk", "jp": "ja", "cz": "cs", "dk": "da", "cn": "zh", "rs": "sr", "by": "be"}
DELIMITERS = {"auto": "auto", ",": ",", ";": ";", "\t": "\t", "tab": "\t"}
SIZES = {"b": 1, "kb": 1_000, "mb": 1_000_000, "gb": 10**9, "kib": 1024, "mib": 1024**2, "gib": 1024**3}
LARGEST_SIZE = 10**9
MOST_FORWARDS = 50
STORE_FORMS = 'url = "sqlite:///.campaign/campaign.db" or url = "postgresql://user@host/database"'
UNREADABLE_CODECS = ("undefined", "unicode_escape", "raw_unicode_escape", "idna", "punycode")

T = TypeVar("T")


def wrong(words: str, hint: str = "", code: str = "bad-value") -> PydanticCustomError:
    """Return the error for one value: what is wrong, what would be right, and a word for machines."""
    return PydanticCustomError(code, "{words}", {"words": words, "hint": hint})


def from_text(parse: Callable[[str], T]) -> PlainValidator:
    """Return a validator that takes text and nothing else; a ValueError's first line is what is wrong."""

    def read(value: object) -> T:
        if not isinstance(value, str):
            raise wrong("must be text, in quotes", code="wrong-type")
        try:
            return parse(value)
        except ValueError as error:
            words, _, hint = str(error).partition("\n")
            raise wrong(words, hint) from None

    return PlainValidator(read)


def campaign_key(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{4,64}", text):
        raise ValueError(
            'must be 4 to 64 of a-z, 0-9 and "-"\n'
            "the key is part of each letter's identity; once letters were planned it must not change"
        )
    return text


def line(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    if len(text) > 500 or not text.isprintable():
        raise ValueError("must be one line of at most 500 characters, without control characters")
    return text.strip()


def language(text: str) -> str:
    parts = text.replace("_", "-").split("-")
    shapes = {2: str.upper, 3: str.upper, 4: str.title}
    usual = "-".join([parts[0].lower(), *(shapes.get(len(part), str.lower)(part) for part in parts[1:])])
    if not re.fullmatch(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?", usual):
        raise ValueError('not a language tag\nlanguages are written "en", "ru", "pt-BR", "sr-Latn" (BCP 47)')
    if usual in COUNTRIES:
        raise ValueError(f'"{usual}" is a country, not a language\ndid you mean "{COUNTRIES[usual]}"?')
    if usual != text:
        raise ValueError(f'languages are written in one way only\nwrite "{usual}"')
    return text


def languages(found: list[str]) -> list[str]:
    if not found:
        raise wrong("there must be at least one language", 'languages = ["en"]')
    twice = next((language for language in found if found.count(language) > 1), None)
    if twice:
        raise wrong(f'the language "{twice}" stands twice')
    return found


def return_path(text: str) -> str:
    """Return the template with its domain as A-labels."""
    local, _, domain = text.strip().rpartition("@")
    if text.count(TOKEN) > 1 or TOKEN in domain:
        raise ValueError("{token} stands once, before the @\nletters+{token}@example.org")
    if re.search(r"[{}]", text.replace(TOKEN, "")):
        raise ValueError("{token} is the only placeholder\nletters+{token}@example.org")
    filled = parse_address(f"{local.replace(TOKEN, LONGEST_TOKEN)}@{domain}" if domain else text)
    return f"{local}@{filled.domain}"


def zone(text: str) -> ZoneInfo:
    try:
        return parse_zone(text)
    except ValueError as error:
        near = get_close_matches(text.title(), zoneinfo.available_timezones(), 1, cutoff=0.75)
        raise ValueError(f'no such time zone\ndid you mean "{near[0]}"?' if near else str(error)) from None


def expires(value: object) -> str | date:
    if not isinstance(value, str | date):
        raise wrong("must be a day or a moment", 'expires = "2027-05-01"', "wrong-type")
    try:
        parse_expires(value, ZoneInfo("UTC"))
    except ValueError as error:
        words, _, hint = str(error).partition("\n")
        raise wrong(words, hint) from None
    return value


def day(value: object) -> date:
    """Return a day, written as TOML writes one or as text."""
    found = value
    if isinstance(value, str):
        try:
            found = date.fromisoformat(value.strip())
        except ValueError:
            found = None
    if not isinstance(found, date) or isinstance(found, datetime):
        raise wrong("must be a day", 'since = "2027-03-01"', "wrong-type")
    return found


def path(text: str) -> str:
    if not text.strip() or len(text) > 1_000 or not text.isprintable():
        raise ValueError("must be the path of a file, without control characters")
    return text


def from_name(text: str) -> str:
    said = line(text)
    if "{name}" not in said or re.search(r"[{}]", said.replace("{name}", "").replace("{author}", "")):
        raise ValueError('must hold {name}, and may hold {author}\n"{name} via {author}"')
    if re.search(r"[@<>]", said):
        raise ValueError('is a name and holds no address\n"{name} via {author}"')
    return said


def attachment(text: str) -> str:
    below = PurePosixPath(path(text).replace("\\", "/"))
    if below.is_absolute() or ".." in below.parts or re.match(r"[A-Za-z]:", text):
        raise ValueError('attachments lie below the campaign\'s folder\n"attachments/statement.pdf"')
    return text


def encoding(text: str) -> str:
    try:
        codec = codecs.lookup(text)
    except (LookupError, ValueError):
        raise ValueError('no such encoding\n"utf-8", "windows-1251", "iso-8859-7", "utf-16"') from None
    if not getattr(codec, "_is_text_encoding", True) or codec.name.replace("-", "_") in UNREADABLE_CODECS:
        raise ValueError('this is not an encoding of text\n"utf-8", "windows-1251", "iso-8859-7", "utf-16"')
    return codec.name


def delimiter(text: str) -> str:
    if text.casefold() not in DELIMITERS:
        raise ValueError('no such delimiter\n"auto" (as the header line has it), ",", ";" or "TAB"')
    return DELIMITERS[text.casefold()]


def command(value: object) -> tuple[str, ...]:
    """Return the argument list of a command written as text or as a list; no shell reads it."""
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError:
        raise wrong("the quotes in this command do not match") from None
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise wrong("must be a command", 'password_command = "pass show smtp"', "wrong-type")
    if any("\0" in word for word in words):
        raise wrong("a command holds no NUL")
    return tuple(words)


def ehlo(text: str) -> str:
    """Return a name fit for EHLO (RFC 5321 sections 4.1.1.1 and 4.1.3)."""
    if text.startswith("[") and text.endswith("]"):
        return f"[{_literal(text[1:-1])}]"
    name = parse_host(text)
    if "." not in name or ":" in name or name.replace(".", "").isdigit():
        raise ValueError(
            'must be a full host name or an address in brackets\n"mail.example.org", "[192.0.2.1]"'
        )
    return name


def _literal(text: str) -> str:
    prefix = "IPv6:" if text.startswith("IPv6:") else ""
    address = parse_host(text.removeprefix("IPv6:"))
    if (":" in address) != bool(prefix) or not re.fullmatch(r"[0-9a-f:.]+", address):
        raise ValueError('an address is written "[192.0.2.1]" or "[IPv6:2001:db8::1]"')
    return prefix + address


def limit(text: str) -> Limit | None:
    return None if text.strip() == "off" else parse_limit(text)


def hours(text: str) -> Hours | None:
    return None if text.strip() == "off" else parse_hours(text)


def quota(text: str) -> Quota | None:
    found = limit(text)
    if isinstance(found, Pace):
        raise ValueError('must be a quota, over hours or a day\n"20/h", "500/day"')  # noqa: TRY004 - words for a person
    return found


def day_quota(text: str) -> Quota | None:
    found = quota(text)
    if found is not None and found.window_s != DAY_S:
        raise ValueError('must be a quota over a day\n"500/day"; shorter ones belong to relay = "100/h"')
    return found


def domain_limit(text: str) -> Limit:
    found = limit(text)
    if found is None:
        raise ValueError('a domain\'s own limit cannot be "off"\nleave the line out, or write a larger limit')
    return found


def size(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,12}) ?([A-Za-z]{1,3})", text.strip())
    if match is None or match[2].casefold() not in SIZES:
        raise ValueError('this is not a size\nwrite a number and a unit: "500kB", "10MB", "20MiB"')
    size = int(match[1]) * SIZES[match[2].casefold()]
    if not 0 < size <= LARGEST_SIZE:
        raise ValueError("a size is more than nothing and at most 1GB")
    return size


def addresses(value: object) -> tuple[Mailbox, ...]:
    """Return addresses written as one text or as a list of texts."""
    written = [value] if isinstance(value, str) else value
    if not isinstance(written, list) or not all(isinstance(one, str) for one in written):
        raise wrong("must be an address, or a list of them", 'forward_to = ["me@example.org"]', "wrong-type")
    if not 0 < len(written) <= MOST_FORWARDS:
        raise wrong(f"must be 1 to {MOST_FORWARDS} addresses", "leave the line out where nobody wants them")
    found: dict[str, Mailbox] = {}
    for one in written:
        try:
            mailbox = parse_mailbox(one)
        except ValueError as error:
            words, _, hint = str(error).partition("\n")
            raise wrong(words, hint) from None
        if mailbox.address.key in found:
            raise wrong("an address stands twice")
        found[mailbox.address.key] = mailbox
    return tuple(found.values())


def store_url(text: str) -> str | ServerAddress:
    if text.strip().lower().startswith(SCHEMES):
        return parse_server(text)
    if not text.startswith("sqlite:///"):
        raise ValueError(f"must name an SQLite file or a PostgreSQL database\n{STORE_FORMS}")
    path = text.removeprefix("sqlite:///")
    if not path.strip("/") or ":memory:" in path or re.search(r"[?#]", path) or not path.isprintable():
        raise ValueError('must name a file and nothing else\nurl = "sqlite:///.campaign/campaign.db"')
    return path
