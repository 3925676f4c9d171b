"""What must be reached, line by line as issue 3 has it, and whether it was. Pure.

Each line names the figure that decides it. A figure that no scenario of this run gave is "not measured", with
the way to measure it or the reason why nothing here does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NOT_BUILT = "nothing here measures it"


@dataclass(frozen=True, slots=True)
class Goal:
    """One line of the table. ``figure`` is the name of what decides; at least ``bound``, or at most."""

    work: str
    against: str
    figure: str
    bound: float
    how: str  # how to measure it, or why not
    at_most: bool = False
    unit: str = "x"


@dataclass(frozen=True, slots=True)
class Standing:
    """A goal and how it stands; ``figure`` is None where it was not measured, then ``why`` says so."""

    goal: Goal
    figure: float | None
    why: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether it is reached; None: not measured."""
        if self.figure is None:
            return None
        return self.figure <= self.goal.bound if self.goal.at_most else self.figure >= self.goal.bound

    @property
    def verdict(self) -> str:
        """The same in words; a goal that is missed says by how much."""
        if self.reached is None:
            return f"not measured: {self.why}"
        assert self.figure is not None
        if self.reached:
            return "reached"
        bound = self.goal.bound
        short = self.figure / bound - 1 if self.goal.at_most else 1 - self.figure / bound
        return f"NOT reached, {'over' if self.goal.at_most else 'short'} by {short:.0%}"


_RACE, _FAR, _TLS = "--race", "--delay 50", "--tls"
_SEND, _POOL = "personalised letters, FULL, limits on", "Nodemailer, pool of 10, no journal"

GOALS = (
    Goal(_SEND, _POOL, "nodemailer", 3.0, _RACE),
    Goal(f"{_SEND}, fast", _POOL, "nodemailer+uvloop", 4.5, _RACE),
    Goal("CPU of such a letter", _POOL, "cpu", 1 / 3, _RACE, at_most=True),
    Goal("CPU of such a letter, fast", _POOL, "cpu+uvloop", 1 / 4.5, _RACE, at_most=True),
    Goal(f"{_SEND}, over TLS", "Nodemailer over TLS", "tls nodemailer", 4.0, _TLS),
    Goal("two sending processes on one store", "one process", "processes", 1.5, _RACE),
    Goal(_SEND, "mailmerge", "mailmerge", 12.0, _RACE),
    Goal(f"{_SEND}, fast", "mailmerge", "mailmerge+uvloop", 17.0, _RACE),
    Goal(_SEND, "smtp-source, fresh sessions", "smtp-source", 0.45, _RACE),
    Goal(f"{_SEND}, fast", "smtp-source, fresh sessions", "smtp-source+uvloop", 0.65, _RACE),
    Goal("session alone, constant letter", "smtp-source -d", "session", 0.9, _RACE),
    Goal("session alone, fast", "smtp-source -d", "session+uvloop", 1.25, _RACE),
    Goal("50 ms to the relay, 10 connections", "Nodemailer", "far nodemailer", 1.9, _FAR),
    Goal("50 ms to the relay, 10 connections", "aiosmtplib", "far aiosmtplib", 3.8, _FAR),
    Goal("a real Postfix as the relay", "Nodemailer", "postfix", 1.25, NOT_BUILT),
    Goal("peak memory, the larger campaign", "the smaller", "memory ratio", 1.1, "--memory", at_most=True),
    Goal("peak memory of a send", "80 MiB", "memory peak", 80.0, "--memory", at_most=True, unit="MiB"),
    Goal("journal in FULL", "the same in NORMAL", "normal", 0.85, _RACE),
    Goal("campaign status, the larger campaign", "the smaller", "status", 1.1, "--status", at_most=True),
    Goal(
        "resuming, start to first letter, the larger", "the smaller", "resume", 1.15, "--resume", at_most=True
    ),
    Goal("check of the list", "email-validator per row, same verdicts", "intake", 2.5, "--intake"),
    Goal("stretch: 8bit bodies, fast", "Nodemailer", "8bit+uvloop", 6.0, _RACE),
)


def standings(figures: Mapping[str, float], absent: Mapping[str, str]) -> list[Standing]:
    """Return how every goal stands.

    Args:
        figures: what was measured, by name.
        absent: why a figure is missing although its scenario was run, by name.
    """
    return [
        Standing(goal, figures[goal.figure])
        if goal.figure in figures
        else Standing(goal, None, absent.get(goal.figure) or _how(goal))
        for goal in GOALS
    ]


def _how(goal: Goal) -> str:
    return f"python -m bench {goal.how}" if goal.how.startswith("--") else goal.how
