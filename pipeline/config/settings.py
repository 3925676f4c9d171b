"""What campaign.toml says, as policies and values that the stages take.

Limits: what belongs to one stage only (password, attachments) is still carried here; nothing reads the file
twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from pipeline.config.model import Approval, CampaignKind, Forward, InDoubt
from pipeline.delivery.limits import Limits
from pipeline.delivery.relay import Relay
from pipeline.delivery.retry import Schedule
from pipeline.mail.address import Mailbox
from pipeline.problem import Problem
from pipeline.recipients.signatories import Signing
from pipeline.replies.account import Account
from pipeline.store.address import ServerAddress


@dataclass(frozen=True, slots=True)
class Settings:
    """One campaign's settings; paths are absolute or relative to where the program was started, never to
    `root`.

    Exceptions: ``recipients_file`` and ``attachments`` are as written, relative to ``root``; their stages
    open them and check that they may.
    """

    root: Path
    key: str
    name: str
    kind: CampaignKind
    languages: tuple[str, ...]  # the first is the default
    author: Mailbox
    return_path: str  # may hold {token} once, in the local part; the domain is an A-label
    reply_to: Mailbox | None
    attachments: tuple[str, ...]  # of every letter
    expires: datetime | None  # aware, UTC: from this moment on letters are not wanted
    timezone: ZoneInfo
    auto_release: bool
    approval: Approval
    recipients_file: str
    encoding: str  # of the list: a Python codec
    delimiter: str  # "auto", ",", ";" or TAB
    signing: Signing  # in whose names letters are written
    relay: Relay
    password_file: Path | None
    password_command: tuple[str, ...]  # empty: none
    limits: Limits
    attachment_bytes: int  # all attachments of one letter together
    schedule: Schedule
    in_doubt: InDoubt
    mailbox: Account | None  # where replies come to; None: nobody looks
    mailbox_password_file: Path | None
    mailbox_password_command: tuple[str, ...]  # empty: none
    forward_to: tuple[Mailbox, ...]  # who gets human replies; no address twice
    forward: Forward
    store_file: Path | None  # absolute; None: .campaign/campaign.db below root, or a server
    store_server: ServerAddress | None  # None: a file
    store_password_file: Path | None
    store_password_command: tuple[str, ...]  # empty: none
    shared: Path | None  # None: the user's data folder
    keep_bytes: bool
    warnings: tuple[Problem, ...] = ()
