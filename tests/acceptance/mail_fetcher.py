"""A fetch that dies: the program that `test_dovecot.py` starts. Not a test itself.

    python -m tests.acceptance.mail_fetcher FOLDER PORT CA_FILE KIND N

It fetches from the Dovecot on PORT into the store in FOLDER, and kills itself (SIGKILL) at the Nth point of a
kind: before a statement, before a commit reaches SQLite, behind it (`statement`, `commit`, `committed`), when
a mail comes out of the mailbox (`mail`), or not at all (`none`). What a whole fetch brought goes to stdout.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.clock import SystemClock, SystemDice
from pipeline.delivery.relay import Secret
from pipeline.replies.account import Account, MailboxKind
from pipeline.replies.collecting import Collected, collect
from pipeline.replies.mailbox import Fetched, Mark
from pipeline.replies.mailbox_imap import ImapMailbox
from pipeline.store.mails import Mails
from tests.dovecot import PASSWORD, USER
from tests.functional.store_crasher import counted, watched
from tests.unit.store_support import a_world


class Watched(ImapMailbox):
    """A mailbox that says when a mail comes out of it."""

    at: Callable[[str], None]

    def new(self, since: Mark) -> Iterator[Fetched]:
        """Yield what comes, and say so."""
        for mail in super().new(since):
            self.at("mail")
            yield mail


def fetch(
    folder: Path, port: int, ca_file: Path, *, kind: str = "none", number: int = 0, **changes: object
) -> Collected:
    """Fetch into the store in ``folder``; die where that is asked for."""
    at = counted(kind, number)
    clock = SystemClock()
    world = a_world(folder, clock=clock, dice=SystemDice())
    if kind != "none":
        watched(world.campaign, at)
    account = Account(MailboxKind.IMAPS, "127.0.0.1", port, USER, ca_file=ca_file, **changes)  # type: ignore[arg-type]
    mailbox = Watched(account, secret=lambda: Secret(PASSWORD), clock=clock)
    mailbox.at = at
    try:
        return collect(mailbox, Mails(world.campaign, clock=clock))
    finally:
        world.close()


if __name__ == "__main__":
    where, at_port, trusted, what, times = sys.argv[1:]
    print(fetch(Path(where), int(at_port), Path(trusted), kind=what, number=int(times)))
