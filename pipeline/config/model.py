"""The keys of campaign.toml: type, default, unit and help of each, on its field.

`campaign init` writes its sample from these fields, and the documentation is checked against them. Each
table of the file is one model. Values arrive as tomllib gives them and leave as policies (`Limit`, `Hours`,
`Schedule`, `RelayAddress`); words for what is wrong come from the policies.

Contract: pure; nothing is coerced ("4" is no number), no key is unknown. A validator raises
`PydanticCustomError` with ``words`` and ``hint`` in its context.

Limits: [[relay]], [replies], [publish] and approval are not known to this version.
"""

from __future__ import annotations

import codecs
import re
import shlex
import zoneinfo
from collections.abc import Callable
from datetime import date
from difflib import get_close_matches
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError

from pipeline.delivery.hours import Hours, parse_hours, parse_zone
from pipeline.delivery.limits import DAY_S, Limit, Pace, Quota, parse_limit
from pipeline.delivery.relay import (
    MOST_CONNECTIONS,
    Auth,
    BodyEncoding,
    Pipelining,
    Provider,
    RelayAddress,
    RelayKind,
    parse_host,
    parse_relay_url,
)
from pipeline.delivery.retry import DEFAULT_SCHEDULE, Schedule, parse_expires, parse_schedule
from pipeline.mail.address import Mailbox, parse_address, parse_mailbox

LONGEST_TOKEN = "a" * 22  # letter number and HMAC, as `pipeline.mail.identity` makes them for 10^9 letters
TOKEN = "{token}"  # noqa: S105 - a placeholder
COUNTRIES = {"gr": "el", "ua": "uk", "jp": "ja", "cz": "cs", "dk": "da", "cn": "zh", "rs": "sr", "by": "be"}
DELIMITERS = {"auto": "auto", ",": ",", ";": ";", "\t": "\t", "tab": "\t"}
SIZES = {"b": 1, "kb": 1_000, "mb": 1_000_000, "gb": 10**9, "kib": 1024, "mib": 1024**2, "gib": 1024**3}
LARGEST_SIZE = 10**9
UNREADABLE_CODECS = ("undefined", "unicode_escape", "raw_unicode_escape", "idna", "punycode")

T = TypeVar("T")


class CampaignKind(StrEnum):
    """What is sent."""

    LETTERS = "letters"  # letters to officials
    MAILING = "mailing"  # a newsletter to members


class InDoubt(StrEnum):
    """What happens to a letter of which nobody can know whether it was accepted."""

    HOLD = "hold"  # held and listed, until evidence or the operator settles it
    RESEND = "resend"  # sent again, the same bytes: somebody may get it twice


# --- readers of single values -------------------------------------------------------------------------


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


def _campaign_key(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{4,64}", text):
        raise ValueError(
            'must be 4 to 64 of a-z, 0-9 and "-"\n'
            "the key is part of each letter's identity; once letters were planned it must not change"
        )
    return text


def _line(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    if len(text) > 500 or not text.isprintable():
        raise ValueError("must be one line of at most 500 characters, without control characters")
    return text.strip()


def _language(text: str) -> str:
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


def _languages(found: list[str]) -> list[str]:
    if not found:
        raise wrong("there must be at least one language", 'languages = ["en"]')
    twice = next((language for language in found if found.count(language) > 1), None)
    if twice:
        raise wrong(f'the language "{twice}" stands twice')
    return found


def _return_path(text: str) -> str:
    """Return the template with its domain as A-labels."""
    local, _, domain = text.strip().rpartition("@")
    if text.count(TOKEN) > 1 or TOKEN in domain:
        raise ValueError("{token} stands once, before the @\nletters+{token}@example.org")
    if re.search(r"[{}]", text.replace(TOKEN, "")):
        raise ValueError("{token} is the only placeholder\nletters+{token}@example.org")
    filled = parse_address(f"{local.replace(TOKEN, LONGEST_TOKEN)}@{domain}" if domain else text)
    return f"{local}@{filled.domain}"


def _zone(text: str) -> ZoneInfo:
    try:
        return parse_zone(text)
    except ValueError as error:
        near = get_close_matches(text.title(), zoneinfo.available_timezones(), 1, cutoff=0.75)
        raise ValueError(f'no such time zone\ndid you mean "{near[0]}"?' if near else str(error)) from None


def _expires(value: object) -> str | date:
    if not isinstance(value, str | date):
        raise wrong("must be a day or a moment", 'expires = "2027-05-01"', "wrong-type")
    try:
        parse_expires(value, ZoneInfo("UTC"))
    except ValueError as error:
        words, _, hint = str(error).partition("\n")
        raise wrong(words, hint) from None
    return value


def _path(text: str) -> str:
    if not text.strip() or len(text) > 1_000 or not text.isprintable():
        raise ValueError("must be the path of a file, without control characters")
    return text


def _attachment(text: str) -> str:
    path = PurePosixPath(_path(text).replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", text):
        raise ValueError('attachments lie below the campaign\'s folder\n"attachments/statement.pdf"')
    return text


def _encoding(text: str) -> str:
    try:
        codec = codecs.lookup(text)
    except (LookupError, ValueError):
        raise ValueError('no such encoding\n"utf-8", "windows-1251", "iso-8859-7", "utf-16"') from None
    if not getattr(codec, "_is_text_encoding", True) or codec.name.replace("-", "_") in UNREADABLE_CODECS:
        raise ValueError('this is not an encoding of text\n"utf-8", "windows-1251", "iso-8859-7", "utf-16"')
    return codec.name


def _delimiter(text: str) -> str:
    if text.casefold() not in DELIMITERS:
        raise ValueError('no such delimiter\n"auto" (as the header line has it), ",", ";" or "TAB"')
    return DELIMITERS[text.casefold()]


def _command(value: object) -> tuple[str, ...]:
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


def _ehlo(text: str) -> str:
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


def _limit(text: str) -> Limit | None:
    return None if text.strip() == "off" else parse_limit(text)


def _hours(text: str) -> Hours | None:
    return None if text.strip() == "off" else parse_hours(text)


def _quota(text: str) -> Quota | None:
    limit = _limit(text)
    if isinstance(limit, Pace):
        raise ValueError('must be a quota, over hours or a day\n"20/h", "500/day"')  # noqa: TRY004 - words for a person
    return limit


def _day_quota(text: str) -> Quota | None:
    limit = _quota(text)
    if limit is not None and limit.window_s != DAY_S:
        raise ValueError('must be a quota over a day\n"500/day"; shorter ones belong to relay = "100/h"')
    return limit


def _domain_limit(text: str) -> Limit:
    limit = _limit(text)
    if limit is None:
        raise ValueError('a domain\'s own limit cannot be "off"\nleave the line out, or write a larger limit')
    return limit


def _size(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,12}) ?([A-Za-z]{1,3})", text.strip())
    if match is None or match[2].casefold() not in SIZES:
        raise ValueError('this is not a size\nwrite a number and a unit: "500kB", "10MB", "20MiB"')
    size = int(match[1]) * SIZES[match[2].casefold()]
    if not 0 < size <= LARGEST_SIZE:
        raise ValueError("a size is more than nothing and at most 1GB")
    return size


def _store_url(text: str) -> str:
    if not text.startswith("sqlite:///"):
        raise ValueError('this version keeps its store in SQLite\nurl = "sqlite:///.campaign/campaign.db"')
    path = text.removeprefix("sqlite:///")
    if not path.strip("/") or ":memory:" in path or re.search(r"[?#]", path) or not path.isprintable():
        raise ValueError('must name a file and nothing else\nurl = "sqlite:///.campaign/campaign.db"')
    return text


# --- tables -------------------------------------------------------------------------------------------


def setting(help_: str, default: Any = ..., *, sample: str = "", init: bool = True, unit: str = "") -> Any:
    """Return the field of one key.

    ``sample`` is its value in `campaign init`'s file, as TOML; with ``init`` false it is written there
    commented out. ``unit`` says what the value counts or which forms it has.
    """
    extra = {"sample": sample, "init": init, "unit": unit}
    if default is ...:
        return Field(description=help_, json_schema_extra=extra)  # type: ignore[arg-type]
    return Field(default=default, description=help_, json_schema_extra=extra)  # type: ignore[arg-type]


class Table(BaseModel):
    """One table: no unknown keys, nothing coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)


Text = Annotated[str, from_text(_line)]


class CampaignTable(Table):
    """What this campaign is, and who writes."""

    key: Annotated[str, from_text(_campaign_key)] = setting(
        "part of each letter's identity: never change it later", unit='4 to 64 of a-z, 0-9, "-"'
    )
    name: Text = setting("shown in reports; {{ campaign.name }} in the templates")
    kind: Annotated[CampaignKind, Field(strict=False)] = setting(
        '"letters" to officials, or "mailing" for a newsletter to members',
        CampaignKind.LETTERS,
        sample='"letters"',
    )
    languages: Annotated[list[Annotated[str, from_text(_language)]], AfterValidator(_languages)] = setting(
        "a templates/letter.<language>.md each; the first is the default", unit="BCP 47 tags"
    )
    author: Annotated[Mailbox, from_text(parse_mailbox)] = setting(
        "From; your relay must allow it", unit="name <address>"
    )
    timezone: Annotated[ZoneInfo, from_text(_zone)] = setting(
        "your own, for dates and for recipients without one",
        ZoneInfo("UTC"),
        sample='"UTC"',
        unit="IANA name",
    )
    auto_release: bool = setting(
        "true: `campaign run` also sends rows added since the last send", default=False, sample="false"
    )
    reply_to: Annotated[Mailbox | None, from_text(parse_mailbox)] = setting(
        "where answers go, if not to the author", None, sample='"replies@example.org"', init=False
    )
    return_path: Annotated[str | None, from_text(_return_path)] = setting(
        "where bounces go; {token} needs plus addressing",
        None,
        sample='"letters+{token}@example.org"',
        init=False,
        unit="address; default: the author's",
    )
    attachments: list[Annotated[str, from_text(_attachment)]] = setting(
        "sent with every letter; below this folder", (), sample='["attachments/statement.pdf"]', init=False
    )
    expires: Annotated[str | date | None, PlainValidator(_expires)] = setting(
        "what is not sent by the end of that day is not sent at all", None, sample='"2027-03-15"', init=False
    )


class RecipientsTable(Table):
    """The list."""

    file: Annotated[str, from_text(_path)] = setting(
        'a row for each recipient; only the column "email" is required',
        "recipients.csv",
        sample='"recipients.csv"',
    )
    encoding: Annotated[str, from_text(_encoding)] = setting(
        '"windows-1251" and the like, if a spreadsheet saved it so', "utf-8", sample='"utf-8"'
    )
    delimiter: Annotated[str, from_text(_delimiter)] = setting(
        '"," or ";" or "TAB"; "auto": as the header line has it', "auto", sample='"auto"'
    )


class RelayTable(Table):
    """The submission server that takes the letters."""

    url: Annotated[RelayAddress, from_text(parse_relay_url)] = setting(
        'for real: "smtps://user@host" (TLS) or "smtp://user@host:587" (STARTTLS)',
        RelayAddress(RelayKind.SANDBOX),
        sample='"sandbox:"',
    )
    password_file: Annotated[str | None, from_text(_path)] = setting(
        "mode 0600, outside git", None, sample='"~/.config/campaign/relay.password"', init=False
    )
    password_command: Annotated[tuple[str, ...] | None, PlainValidator(_command)] = setting(
        "its first line of output is the password", None, sample='"pass show smtp"', init=False
    )
    auth: Annotated[Auth, Field(strict=False)] = setting(
        '"xoauth2": the secret is an access token', Auth.PASSWORD, sample='"password"', init=False
    )
    connections: Annotated[int, Field(ge=1, le=MOST_CONNECTIONS)] = setting(
        "at most so many connections at a time", 4, sample="4", unit=f"1 to {MOST_CONNECTIONS}"
    )
    encoding: Annotated[BodyEncoding, Field(strict=False)] = setting(
        '"qp" passes every relay; "8bit" is smaller, where the relay offers it',
        BodyEncoding.QP,
        sample='"qp"',
    )
    provider: Annotated[Provider | None, Field(strict=False)] = setting(
        "gmail, workspace, m365, yandex or mailru: its limits hold where [limits] gives none",
        None,
        sample='"workspace"',
        init=False,
    )
    ehlo: Annotated[str | None, from_text(_ehlo)] = setting(
        "the name given to the relay; default: this machine's", None, sample='"mail.example.org"', init=False
    )
    ca_file: Annotated[str | None, from_text(_path)] = setting(
        "trusted instead of the system's authorities", None, sample='"relay-ca.pem"', init=False, unit="PEM"
    )
    pipelining: Annotated[Pipelining, Field(strict=False)] = setting(
        '"grouped" or "off" for a relay that dislikes several commands at once',
        Pipelining.AUTO,
        sample='"auto"',
        init=False,
    )
    letters_per_connection: Annotated[int, Field(ge=1, le=100_000)] = setting(
        "then it is closed and opened anew", 100, sample="100", init=False, unit="letters"
    )


class LimitsTable(Table):
    """Good manners: N/s, N/m, N/5m are an even pace; N/h, N/day quotas kept from run to run; "off" none."""

    relay: Annotated[Limit | None, from_text(_limit)] = setting(
        "all letters together", None, sample='"50/5m"'
    )
    day: Annotated[Quota | None, from_text(_day_quota)] = setting(
        "in any 24 hours: stay below your relay's own quota", None, sample='"500/day"'
    )
    per_domain: Annotated[Limit | None, from_text(_limit)] = setting(
        "letters to one domain", None, sample='"10/m"'
    )
    per_recipient: Annotated[Quota | None, from_text(_quota)] = setting(
        "letters to one address, whoever they are from", Quota(20, 86_400), sample='"20/day"'
    )
    hours: Annotated[Hours | None, from_text(_hours)] = setting(
        "office hours, in the recipient's time zone", None, sample='"Mon-Fri 09:00-17:00 recipient"'
    )
    attachments: Annotated[int, from_text(_size)] = setting(
        "all attachments of one letter together", 10_000_000, sample='"10MB"'
    )
    in_sandbox: bool = setting("true: the limits hold in the sandbox as well", default=False, sample="false")
    domain: dict[str, Annotated[Limit, from_text(_domain_limit)]] = setting(
        "a limit for one domain; keep the quotation marks", {}, sample='"gmail.com" = "20/h"', init=False
    )


class RetryTable(Table):
    """What happens after "try again later", and after no answer at all."""

    schedule: Annotated[Schedule, from_text(parse_schedule)] = setting(
        'waits after each "try again later"; then failed',
        DEFAULT_SCHEDULE,
        sample='"30m 1h 4h 12h 24h 24h 24h"',
    )
    in_doubt: Annotated[InDoubt, Field(strict=False)] = setting(
        'perhaps accepted, perhaps not: held for `campaign resolve`; "resend" may send twice',
        InDoubt.HOLD,
        sample='"hold"',
    )


class StoreTable(Table):
    """Where is kept what was sent."""

    url: Annotated[str | None, from_text(_store_url)] = setting(
        "default: .campaign/campaign.db in this folder",
        None,
        sample='"sqlite:///.campaign/campaign.db"',
        init=False,
    )
    shared: Annotated[str | None, from_text(_path)] = setting(
        "suppressions and relay limits of all campaigns; default: your data folder",
        None,
        sample='"~/.local/share/letter-campaign"',
        init=False,
        unit="folder",
    )
    bytes: bool = setting(
        "false: keep only the hash of each letter; then none can be sent again after an edit",
        default=True,
        sample="true",
        init=False,
    )


TABLES: dict[str, type[Table]] = {
    "campaign": CampaignTable,
    "recipients": RecipientsTable,
    "relay": RelayTable,
    "limits": LimitsTable,
    "retry": RetryTable,
    "store": StoreTable,
}
