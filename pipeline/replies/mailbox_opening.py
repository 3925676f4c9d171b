"""The mailbox that an account names, ready to be read."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.clock import Clock
from pipeline.delivery.relay import Secret
from pipeline.replies.account import Account, MailboxKind
from pipeline.replies.mailbox import Mailbox


def open_mailbox(account: Account, *, secret: Callable[[], Secret | None], clock: Clock) -> Mailbox:
    """Return the mailbox of ``account``; nothing is opened before it is read.

    ``secret`` returns password or token whenever a login needs it; it may raise.
    """
    if account.kind is MailboxKind.MAILDIR:
        from pipeline.replies.mailbox_maildir import MaildirMailbox

        return MaildirMailbox(account)
    if account.kind is MailboxKind.MBOX:
        from pipeline.replies.mailbox_mbox import MboxMailbox

        return MboxMailbox(account, clock=clock)
    from pipeline.replies.mailbox_imap import ImapMailbox

    return ImapMailbox(account, secret=secret, clock=clock)
