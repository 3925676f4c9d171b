"""The keys of campaign.toml: type, default, unit and help of each, on its field.

`campaign init` writes its sample from these fields, and the documentation is checked against them. Each
table of the file is one model. Values arrive as tomllib gives them and leave as policies (`Limit`, `Hours`,
`Schedule`, `RelayAddress`, `MailboxAddress`); words for what is wrong come from `values` and the policies.

Contract: pure; nothing is coerced ("4" is no number), no key is unknown. A validator raises
`PydanticCustomError` with ``words`` and ``hint`` in its context.

Limits: [[relay]] and [publish] are not known to this version.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator

from pipeline.config import values
from pipeline.config.values import from_text
from pipeline.delivery.hours import Hours
from pipeline.delivery.limits import Limit, Quota
from pipeline.delivery.relay import (
    MOST_CONNECTIONS,
    Auth,
    BodyEncoding,
    Pipelining,
    Provider,
    RelayAddress,
    RelayKind,
    parse_relay_url,
)
from pipeline.delivery.retry import DEFAULT_SCHEDULE, Schedule, parse_schedule
from pipeline.mail.address import Mailbox, parse_mailbox
from pipeline.recipients.signatories import DEFAULT_FILE, DEFAULT_FROM_NAME, ReplyTo, Rule
from pipeline.replies.account import DEFAULT_MAIL_BYTES, After, MailboxAddress, parse_after, parse_mailbox_url
from pipeline.store.address import ServerAddress


class CampaignKind(StrEnum):
    """What is sent."""

    LETTERS = "letters"  # letters to officials
    MAILING = "mailing"  # a newsletter to members


class Approval(StrEnum):
    """Whether letters wait until somebody has approved them."""

    OFF = "off"  # they just go; an approval that was given is honoured all the same
    REQUIRED = "required"  # nothing goes that was not approved


class Forward(StrEnum):
    """How replies of people are passed on."""

    EACH = "each"  # a notice for each
    DIGEST = "digest"  # one notice a run


class InDoubt(StrEnum):
    """What happens to a letter of which nobody can know whether it was accepted."""

    HOLD = "hold"  # held and listed, until evidence or the operator settles it
    RESEND = "resend"  # sent again, the same bytes: somebody may get it twice


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
    """One table: no unknown keys, nothing coerced.

    How it is read is worked out when it is read first: most files hold three tables of eight.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True, defer_build=True
    )


Text = Annotated[str, from_text(values.line)]


class CampaignTable(Table):
    """What this campaign is, and who writes."""

    key: Annotated[str, from_text(values.campaign_key)] = setting(
        "part of each letter's identity: never change it later", unit='4 to 64 of a-z, 0-9, "-"'
    )
    name: Text = setting("shown in reports; {{ campaign.name }} in the templates")
    kind: Annotated[CampaignKind, Field(strict=False)] = setting(
        '"letters" to officials, or "mailing" for a newsletter to members',
        CampaignKind.LETTERS,
        sample='"letters"',
    )
    languages: Annotated[
        list[Annotated[str, from_text(values.language)]], AfterValidator(values.languages)
    ] = setting("a templates/letter.<language>.md each; the first is the default", unit="BCP 47 tags")
    author: Annotated[Mailbox, from_text(parse_mailbox)] = setting(
        "From; your relay must allow it", unit="name <address>"
    )
    timezone: Annotated[ZoneInfo, from_text(values.zone)] = setting(
        "your own, for dates and for recipients without one",
        ZoneInfo("UTC"),
        sample='"UTC"',
        unit="IANA name",
    )
    auto_release: bool = setting(
        "true: `campaign run` also sends rows added since the last send", default=False, sample="false"
    )
    approval: Annotated[Approval, Field(strict=False)] = setting(
        '"required": a letter goes only as `campaign approve` approved it',
        Approval.OFF,
        sample='"off"',
        init=False,
    )
    reply_to: Annotated[Mailbox | None, from_text(parse_mailbox)] = setting(
        "where answers go, if not to the author", None, sample='"replies@example.org"', init=False
    )
    return_path: Annotated[str | None, from_text(values.return_path)] = setting(
        "where bounces go; {token} needs plus addressing",
        None,
        sample='"letters+{token}@example.org"',
        init=False,
        unit="address; default: the author's",
    )
    attachments: list[Annotated[str, from_text(values.attachment)]] = setting(
        "sent with every letter; below this folder", (), sample='["attachments/statement.pdf"]', init=False
    )
    expires: Annotated[str | date | None, PlainValidator(values.expires)] = setting(
        "what is not sent by the end of that day is not sent at all", None, sample='"2027-03-15"', init=False
    )


class RecipientsTable(Table):
    """The list."""

    file: Annotated[str, from_text(values.path)] = setting(
        'a row for each recipient; only the column "email" is required',
        "recipients.csv",
        sample='"recipients.csv"',
    )
    encoding: Annotated[str, from_text(values.encoding)] = setting(
        '"windows-1251" and the like, if a spreadsheet saved it so', "utf-8", sample='"utf-8"'
    )
    delimiter: Annotated[str, from_text(values.delimiter)] = setting(
        '"," or ";" or "TAB"; "auto": as the header line has it', "auto", sample='"auto"'
    )


class SignatoriesTable(Table):
    """In whose names letters are written. Without a signatories.csv the campaign writes in its own name."""

    file: Annotated[str, from_text(values.path)] = setting(
        "a row for each signatory; without such a file the campaign itself writes",
        DEFAULT_FILE,
        sample='"signatories.csv"',
        init=False,
    )
    encoding: Annotated[str, from_text(values.encoding)] = setting(
        '"windows-1251" and the like, if a spreadsheet saved it so', "utf-8", sample='"utf-8"', init=False
    )
    delimiter: Annotated[str, from_text(values.delimiter)] = setting(
        '"," or ";" or "TAB"; "auto": as the header line has it', "auto", sample='"auto"', init=False
    )
    rule: Annotated[Rule, Field(strict=False)] = setting(
        'who writes to whom: "all", those of the same "country" or "language", "round-robin": one each',
        Rule.ALL,
        sample='"all"',
        init=False,
    )
    from_name: Annotated[str, from_text(values.from_name)] = setting(
        "the name in From; its address stays the campaign's",
        DEFAULT_FROM_NAME,
        sample='"{name} via {author}"',
        init=False,
    )
    reply_to: Annotated[ReplyTo, Field(strict=False)] = setting(
        'where answers go: "campaign", or "signatory", which the program then does not see',
        ReplyTo.CAMPAIGN,
        sample='"campaign"',
        init=False,
    )


class RelayTable(Table):
    """The submission server that takes the letters."""

    url: Annotated[RelayAddress, from_text(parse_relay_url)] = setting(
        'for real: "smtps://user@host" (TLS) or "smtp://user@host:587" (STARTTLS)',
        RelayAddress(RelayKind.SANDBOX),
        sample='"sandbox:"',
    )
    password_file: Annotated[str | None, from_text(values.path)] = setting(
        "mode 0600, outside git", None, sample='"~/.config/campaign/relay.password"', init=False
    )
    password_command: Annotated[tuple[str, ...] | None, PlainValidator(values.command)] = setting(
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
    ehlo: Annotated[str | None, from_text(values.ehlo)] = setting(
        "the name given to the relay; default: this machine's", None, sample='"mail.example.org"', init=False
    )
    ca_file: Annotated[str | None, from_text(values.path)] = setting(
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

    relay: Annotated[Limit | None, from_text(values.limit)] = setting(
        "all letters together", None, sample='"50/5m"'
    )
    day: Annotated[Quota | None, from_text(values.day_quota)] = setting(
        "in any 24 hours: stay below your relay's own quota", None, sample='"500/day"'
    )
    per_domain: Annotated[Limit | None, from_text(values.limit)] = setting(
        "letters to one domain", None, sample='"10/m"'
    )
    per_recipient: Annotated[Quota | None, from_text(values.quota)] = setting(
        "letters to one address, whoever they are from", Quota(20, 86_400), sample='"20/day"'
    )
    hours: Annotated[Hours | None, from_text(values.hours)] = setting(
        "office hours, in the recipient's time zone", None, sample='"Mon-Fri 09:00-17:00 recipient"'
    )
    attachments: Annotated[int, from_text(values.size)] = setting(
        "all attachments of one letter together", 10_000_000, sample='"10MB"'
    )
    in_sandbox: bool = setting("true: the limits hold in the sandbox as well", default=False, sample="false")
    domain: dict[str, Annotated[Limit, from_text(values.domain_limit)]] = setting(
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


class RepliesTable(Table):
    """Where answers, bounces and opt-outs come back. Mail there stays as it is, unless `after` says more."""

    mailbox: Annotated[MailboxAddress | None, from_text(parse_mailbox_url)] = setting(
        '"imaps://user@host/INBOX" (TLS), "imap://…" (STARTTLS), "maildir:PATH" or "mbox:PATH"',
        None,
        sample='"imaps://user@imap.example.org/INBOX"',
        init=False,
    )
    password_file: Annotated[str | None, from_text(values.path)] = setting(
        "mode 0600, outside git", None, sample='"~/.config/campaign/imap.password"', init=False
    )
    password_command: Annotated[tuple[str, ...] | None, PlainValidator(values.command)] = setting(
        "its first line of output is the password", None, sample='"pass show imap"', init=False
    )
    auth: Annotated[Auth, Field(strict=False)] = setting(
        '"xoauth2": the secret is an access token', Auth.PASSWORD, sample='"password"', init=False
    )
    ca_file: Annotated[str | None, from_text(values.path)] = setting(
        "trusted instead of the system's authorities", None, sample='"imap-ca.pem"', init=False, unit="PEM"
    )
    forward_to: Annotated[tuple[Mailbox, ...], PlainValidator(values.addresses)] = setting(
        "who gets each human reply", (), sample='["organisers@example.org"]', init=False, unit="one or a list"
    )
    forward: Annotated[Forward, Field(strict=False)] = setting(
        '"each": a notice for each reply; "digest": one a run', Forward.EACH, sample='"each"', init=False
    )
    after: Annotated[After, from_text(parse_after)] = setting(
        'done to mail that is stored: "keep" (nothing), "seen", "move:FOLDER", "delete"',
        After(),
        sample='"keep"',
        init=False,
    )
    fetch_limit: Annotated[int, from_text(values.size)] = setting(
        "of a larger mail only the headers are fetched", DEFAULT_MAIL_BYTES, sample='"30MB"', init=False
    )
    since: Annotated[date | None, PlainValidator(values.day)] = setting(
        "mail that came before that day is left alone", None, sample='"2027-03-01"', init=False, unit="a day"
    )


class StoreTable(Table):
    """Where is kept what was sent."""

    url: Annotated[str | ServerAddress | None, from_text(values.store_url)] = setting(
        'default: .campaign/campaign.db in this folder; for several hosts "postgresql://user@host/database"',
        None,
        sample='"sqlite:///.campaign/campaign.db"',
        init=False,
    )
    password_file: Annotated[str | None, from_text(values.path)] = setting(
        "of the PostgreSQL role; mode 0600, outside git",
        None,
        sample='"~/.config/campaign/store.password"',
        init=False,
    )
    password_command: Annotated[tuple[str, ...] | None, PlainValidator(values.command)] = setting(
        "its first line of output is the password", None, sample='"pass show postgresql"', init=False
    )
    shared: Annotated[str | None, from_text(values.path)] = setting(
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
    "signatories": SignatoriesTable,
    "relay": RelayTable,
    "limits": LimitsTable,
    "retry": RetryTable,
    "replies": RepliesTable,
    "store": StoreTable,
}
