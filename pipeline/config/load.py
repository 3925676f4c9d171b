"""campaign.toml to `Settings`: read, check everything, and say all that is wrong at once.

Contract: `read_config` is pure and never raises on any text; `load_config` reads the one file and raises
BadInput with every problem, or Unusable where there is no file. Neither ever repeats a secret.

Limits: the file is at most 256 KiB of UTF-8; a byte order mark is let pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from pipeline.config.faults import (
    Faults,
    table_faults,
    take_secrets,
    take_unquoted_domains,
    unknown_table,
)
from pipeline.config.model import (
    TABLES,
    CampaignTable,
    LimitsTable,
    RecipientsTable,
    RelayTable,
    RepliesTable,
    RetryTable,
    SignatoriesTable,
    StoreTable,
    Table,
)
from pipeline.config.overrides import apply_overrides
from pipeline.config.settings import Settings
from pipeline.config.syntax import MOST_PROBLEMS, Source, read_toml
from pipeline.delivery.limits import Limits
from pipeline.delivery.relay import PRESETS, Auth, Relay, RelayKind, is_loopback
from pipeline.delivery.retry import parse_expires
from pipeline.errors import BadInput, Unusable
from pipeline.mail.address import AddressFault, parse_address
from pipeline.problem import Problem, Severity, errors, visible
from pipeline.recipients.signatories import Signing
from pipeline.replies.account import Account, Afterwards, MailboxKind
from pipeline.store.address import ServerAddress

FILE = "campaign.toml"
LARGEST_FILE = 256 * 1024
MOST_DOMAINS = 1_000
INIT_HINT = "`campaign init` writes one; `campaign -C DIR` looks in another folder"

T = TypeVar("T", bound=Table)


def load_config(root: Path, overrides: Sequence[str] = ()) -> Settings:
    """Return the settings of the campaign in the folder ``root``.

    ``overrides`` are the values of ``--set KEY=VALUE``. Raises BadInput with all problems; Unusable where
    there is no campaign.toml or it cannot be read.
    """
    settings, problems = read_config(_read(root / FILE), file=FILE, root=root, overrides=overrides)
    if settings is None:
        raise BadInput(problems)
    named = {
        "relay.ca_file": settings.relay.ca_file,
        "replies.ca_file": settings.mailbox.ca_file if settings.mailbox is not None else None,
    }
    missing = [name for name, path in named.items() if path is not None and not path.is_file()]
    if missing:
        raise BadInput(
            [Problem(FILE, 0, 0, "no-such-file", f"{name}: there is no such file") for name in missing]
        )
    return settings


def _read(path: Path) -> str:
    where = visible(str(path.parent), limit=200)
    if not path.is_file():
        raise Unusable(f"there is no {FILE} in {where}", INIT_HINT)
    try:
        with path.open("rb") as stream:
            raw = stream.read(LARGEST_FILE + 1)
    except OSError as error:
        raise Unusable(f"{FILE} in {where} cannot be read: {error.strerror}") from None
    if len(raw) > LARGEST_FILE:
        raise BadInput(
            [Problem(FILE, 0, 0, "too-large", f"the file is larger than {LARGEST_FILE // 1024} KiB")]
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput([_not_utf8(raw, error)]) from None


def _not_utf8(raw: bytes, error: UnicodeDecodeError) -> Problem:
    # With a byte order mark the codec counts from behind it; the object it names is what it counted in.
    before = error.object[: error.start].decode("utf-8", errors="replace")
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    utf16 = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    message = "the file is UTF-16, not UTF-8" if utf16 else "this byte is not UTF-8"
    return Problem(FILE, line, column, "not-utf8", message, "save the file as UTF-8")


def read_config(
    text: str, *, file: str, root: Path, overrides: Sequence[str] = ()
) -> tuple[Settings | None, list[Problem]]:
    """Return the settings (None where there is an error) and every problem, in the order of the file.

    ``file`` is the name problems are shown under; ``root`` is what relative paths are relative to. Never
    raises.
    """
    if len(text) > LARGEST_FILE:
        return None, [Problem(file, 0, 0, "too-large", f"the file is larger than {LARGEST_FILE // 1024} KiB")]
    source = Source(file, text.removeprefix("\ufeff"))
    data, problems, whole = read_toml(source)
    labels, bad_overrides = apply_overrides(data, overrides)
    problems += bad_overrides
    if not whole:
        return None, _in_order(problems)
    faults = Faults(source, labels)
    problems += take_secrets(faults, data)
    problems += take_unquoted_domains(faults, data)
    problems += _unknown_tables(faults, data)
    reader = _Reader(faults, data, problems)
    settings = reader.settings(root)
    return (None if errors(problems) else settings), _in_order(problems)


def _in_order(problems: list[Problem]) -> list[Problem]:
    return sorted(
        problems, key=lambda problem: (problem.file.startswith("--set"), problem.line, problem.column)
    )


def _unknown_tables(faults: Faults, data: dict[str, Any]) -> list[Problem]:
    unknown = [name for name in data if name not in TABLES][:MOST_PROBLEMS]
    return [unknown_table(faults, name, data[name]) for name in unknown]


class _Reader:
    """From checked TOML to Settings; gathers what is wrong into ``problems``."""

    def __init__(self, faults: Faults, data: dict[str, Any], problems: list[Problem]) -> None:
        self.faults = faults
        self.data = data
        self.problems = problems

    def settings(self, root: Path) -> Settings | None:
        campaign = self._table("campaign", CampaignTable)
        recipients = self._table("recipients", RecipientsTable)
        signatories = self._table("signatories", SignatoriesTable)
        relay = self._table("relay", RelayTable)
        limits = self._table("limits", LimitsTable)
        retry = self._table("retry", RetryTable)
        replies = self._table("replies", RepliesTable)
        store = self._table("store", StoreTable)
        domains = self._domains()
        if relay:
            self._check_relay(relay)
        if replies:
            self._check_replies(replies)
        if store:
            self._check_store(store)
        if not (campaign and recipients and relay and limits and retry and replies and store):
            return None
        if signatories is None:
            return None
        zone = campaign.timezone
        command = relay.password_command
        return Settings(
            root=root,
            key=campaign.key,
            name=campaign.name,
            kind=campaign.kind,
            languages=tuple(campaign.languages),
            author=campaign.author,
            return_path=campaign.return_path or campaign.author.address.wire,
            reply_to=campaign.reply_to,
            attachments=tuple(campaign.attachments),
            expires=parse_expires(campaign.expires, zone) if campaign.expires is not None else None,
            timezone=zone,
            auto_release=campaign.auto_release,
            approval=campaign.approval,
            recipients_file=recipients.file,
            encoding=recipients.encoding,
            delimiter=recipients.delimiter,
            signing=Signing(
                file=signatories.file,
                named="file" in signatories.model_fields_set,
                encoding=signatories.encoding,
                delimiter=signatories.delimiter,
                rule=signatories.rule,
                from_name=signatories.from_name,
                reply_to=signatories.reply_to,
            ),
            relay=_relay(relay, root),
            password_file=_below(root, relay.password_file),
            password_command=command or (),
            limits=_limits(limits, relay, domains),
            attachment_bytes=limits.attachments,
            schedule=retry.schedule,
            in_doubt=retry.in_doubt,
            mailbox=_account(replies, root, zone),
            mailbox_password_file=_below(root, replies.password_file),
            mailbox_password_command=replies.password_command or (),
            forward_to=replies.forward_to,
            forward=replies.forward,
            store_file=_store_file(root, store.url),
            store_server=store.url if isinstance(store.url, ServerAddress) else None,
            store_password_file=_below(root, store.password_file),
            store_password_command=store.password_command or (),
            shared=_below(root, store.shared),
            keep_bytes=store.bytes,
            warnings=tuple(one for one in self.problems if one.severity is Severity.WARNING),
        )

    def _table(self, name: str, model: type[T]) -> T | None:
        if name not in self.data and model is not CampaignTable:
            return model.model_construct()  # the defaults
        value = self.data.get(name)
        if isinstance(value, list):
            self._tell_list(name)
            return None
        if name not in self.data:
            hint = "it needs key, name, languages and author; `campaign init` writes it"
            self.problems.append(
                Problem(
                    self.faults.source.file, 0, 0, "missing-table", "the table [campaign] is missing", hint
                )
            )
            return None
        try:
            return model.model_validate(value)
        except ValidationError as error:
            self.problems += table_faults(self.faults, name, error)
            return None

    def _tell_list(self, name: str) -> None:
        path = (name, 0) if (name, 0) in self.faults.source.positions.tables else (name,)
        if name == "relay":
            words, hint = "several relays are not supported by this version", "write one [relay]"
        else:
            words, hint = f"there is only one [{name}]", f"write [{name}], with single brackets"
        self.problems.append(self.faults.at(path, "several-tables", words, hint, value=False))

    def _domains(self) -> dict[str, str]:
        """Return the domains of [limits.domain] as A-labels, with the key each is written under."""
        limits = self.data.get("limits")
        written = limits.get("domain") if isinstance(limits, dict) else None
        domains: dict[str, str] = {}
        for name in list(written)[:MOST_DOMAINS] if isinstance(written, dict) else ():
            path = ("limits", "domain", name)
            try:
                domain = parse_address(f"someone@{name}").domain
            except AddressFault:
                message = f'"{visible(name, limit=80)}" is not the name of a domain'
                hint = 'only the part after the @: "gmail.com" = "20/h"; no * and no @'
                self.problems.append(self.faults.at(path, "bad-domain", message, hint, value=False))
                continue
            if domain in domains:
                message = f"the domain {domain} stands twice, spelt in two ways"
                self.problems.append(
                    self.faults.at(path, "duplicate-key", message, "keep one of the two", value=False)
                )
            domains[domain] = name
        return domains

    def _check_relay(self, relay: RelayTable) -> None:
        """Check what the keys of [relay] say about each other."""
        self._check_password("relay", relay)
        if relay.url.kind is RelayKind.SANDBOX or relay.url.user is not None:
            return
        if relay.auth is Auth.XOAUTH2:
            self._tell("relay", "auth", "xoauth2 needs a user", 'url = "smtps://user@host"')
        for name in ("password_file", "password_command"):
            if getattr(relay, name) is not None and not is_loopback(relay.url.host):
                words = f"{name} is not used, for the relay's address names no user"
                self._tell("relay", name, words, 'url = "smtps://user@host"', severity=Severity.WARNING)

    def _check_replies(self, replies: RepliesTable) -> None:
        """Check what the keys of [replies] say about each other."""
        self._check_password("replies", replies)
        mailbox = replies.mailbox
        if mailbox is None:
            if replies.forward_to:
                words, hint = "nothing is forwarded without a mailbox", 'mailbox = "imaps://user@host/INBOX"'
                self._tell("replies", "forward_to", words, hint, severity=Severity.WARNING)
            return
        if mailbox.kind is MailboxKind.MBOX and replies.after.action is not Afterwards.KEEP:
            words, hint = (
                "an mbox file is only read",
                'after = "keep"; move or delete its mail with a mail program',
            )
            self._tell("replies", "after", words, hint)
        if mailbox.user is not None:
            return
        if replies.auth is Auth.XOAUTH2:
            self._tell("replies", "auth", "xoauth2 needs a user", 'mailbox = "imaps://user@host/INBOX"')
        for name in ("password_file", "password_command"):
            if getattr(replies, name) is not None:
                words = f"{name} is not used, for the mailbox's address names no user"
                self._tell("replies", name, words, severity=Severity.WARNING)

    def _check_store(self, store: StoreTable) -> None:
        """Check what the keys of [store] say about each other."""
        self._check_password("store", store)
        if isinstance(store.url, ServerAddress):
            if store.shared is not None:
                words = "shared is not used: what campaigns share lies in the PostgreSQL database as well"
                self._tell("store", "shared", words, severity=Severity.WARNING)
            return
        for name in ("password_file", "password_command"):
            if getattr(store, name) is not None:
                words = f"{name} is not used, for the store is a file"
                self._tell("store", name, words, severity=Severity.WARNING)

    def _check_password(self, table: str, said: RelayTable | RepliesTable | StoreTable) -> None:
        if said.password_file is not None and said.password_command is not None:
            self._tell(table, "password_command", "give password_file or password_command, not both")

    def _tell(
        self, table: str, key: str, words: str, hint: str = "", *, severity: Severity = Severity.ERROR
    ) -> None:
        problem = self.faults.at((table, key), "contradiction", words, hint, value=False, severity=severity)
        self.problems.append(problem)


def _relay(table: RelayTable, root: Path) -> Relay:
    return Relay(
        kind=table.url.kind,
        host=table.url.host,
        port=table.url.port,
        user=table.url.user,
        ehlo=table.ehlo,
        ca_file=_below(root, table.ca_file),
        connections=table.connections,
        encoding=table.encoding,
        pipelining=table.pipelining,
        letters_per_connection=table.letters_per_connection,
        auth=table.auth,
        provider=table.provider,
    )


def _account(table: RepliesTable, root: Path, zone: ZoneInfo) -> Account | None:
    address = table.mailbox
    if address is None:
        return None
    path = _below(root, address.path) if not address.remote else None
    return Account(
        kind=address.kind,
        host=address.host,
        port=address.port,
        user=address.user,
        folder=address.folder,
        path=path.absolute()
        if path is not None
        else None,  # its mark must not depend on where we were started
        auth=table.auth,
        ca_file=_below(root, table.ca_file),
        after=table.after,
        mail_bytes=table.fetch_limit,
        since=_beginning(table.since, zone) if table.since is not None else None,
    )


def _beginning(day: date, zone: ZoneInfo) -> datetime | None:
    """Return when a day begins in a zone; None for one before the calendar's beginning there."""
    try:
        return datetime.combine(day, time.min, zone).astimezone(UTC)
    except OverflowError:
        return None


def _limits(table: LimitsTable, relay: RelayTable, domains: dict[str, str]) -> Limits:
    """Return the limits; the provider's hold where the file is silent ("off" is not silence)."""
    preset = PRESETS[relay.provider] if relay.provider is not None else None
    given = table.model_fields_set
    return Limits(
        relay=preset.pace if preset and "relay" not in given else table.relay,
        day=preset.day if preset and "day" not in given else table.day,
        per_domain=table.per_domain,
        domains=MappingProxyType({domain: table.domain[name] for domain, name in domains.items()}),
        per_recipient=table.per_recipient,
        hours=table.hours,
        in_sandbox=table.in_sandbox,
    )


def _below(root: Path, written: str | None) -> Path | None:
    """Return a path of the file: absolute or from home as it stands, else below the campaign's folder."""
    if written is None:
        return None
    try:
        return root / Path(written).expanduser()
    except RuntimeError:  # no home of that name
        return root / written


def _store_file(root: Path, url: str | ServerAddress | None) -> Path | None:
    path = _below(root, url) if isinstance(url, str) else None
    return path.absolute() if path is not None else None
