"""One exception tree; each class owns an exit code.

    CampaignError
    ├── Interrupted          130  Ctrl-C
    ├── StoreUnwritable        6  the store (or the shared one) cannot be opened or written
    ├── Unusable               2  usage, config or data: nothing was sent
    │   └── BadInput           2  the same, with the problems that say where
    ├── RelayRefusedUs         4  login, TLS or policy: stopped, nothing lost
    └── AlreadyRunning         5  another run on this host holds this campaign

A message says what happened; ``hint`` says what to do. Both are shown to the user as they are, so neither
ever holds a secret. Outcomes that are not errors (letters that wait, letters that failed) are exit codes of
`ExitCode`, not exceptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.problem import Problem


class ExitCode(IntEnum):
    """What the process says at its end; where several apply, the first in `PRECEDENCE` wins."""

    DONE = 0  # nothing left to do now
    FAILED = 1  # in this run a letter failed for good, or letters are in doubt
    UNUSABLE = 2  # usage, config or data: nothing was sent
    WAITING = 3  # letters wait for a later run (deferred, limit, quota, hours)
    RELAY_REFUSED = 4  # the relay refused us (login, TLS, policy): stopped, nothing lost
    ALREADY_RUNNING = 5  # another run on this host holds this campaign
    STORE_UNWRITABLE = 6  # the store cannot be written
    INTERRUPTED = 130  # Ctrl-C


PRECEDENCE = (
    ExitCode.INTERRUPTED,
    ExitCode.STORE_UNWRITABLE,
    ExitCode.UNUSABLE,
    ExitCode.RELAY_REFUSED,
    ExitCode.ALREADY_RUNNING,
    ExitCode.FAILED,
    ExitCode.WAITING,
    ExitCode.DONE,
)


def first_that_applies(codes: Sequence[ExitCode]) -> ExitCode:
    """Return the one of ``codes`` that comes first in `PRECEDENCE`; DONE where there is none."""
    return min(codes, key=PRECEDENCE.index, default=ExitCode.DONE)


class CampaignError(Exception):
    """The root: nothing of ours raises anything else to the command line."""

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Interrupted(CampaignError):
    """Ctrl-C: letters in flight were finished, the rest is queued."""

    exit_code = ExitCode.INTERRUPTED


class StoreUnwritable(CampaignError):
    """The store cannot be opened, read or written: nobody may send."""

    exit_code = ExitCode.STORE_UNWRITABLE


class Unusable(CampaignError):
    """Usage, config or data are wrong; nothing was sent."""

    exit_code = ExitCode.UNUSABLE


class BadInput(Unusable):
    """The same, with every problem that was found."""

    def __init__(self, problems: Sequence[Problem], message: str = "", hint: str = "") -> None:
        super().__init__(message, hint)
        self.problems = tuple(problems)


class RelayRefusedUs(CampaignError):
    """Login, TLS or policy: the relay does not take letters from us. They stay queued."""

    exit_code = ExitCode.RELAY_REFUSED


class AlreadyRunning(CampaignError):
    """Another run on this host holds this campaign."""

    exit_code = ExitCode.ALREADY_RUNNING
