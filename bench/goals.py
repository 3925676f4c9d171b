"""What must be reached, line by line as issue 3 has it, and whether it was. Pure.

Each line names the figure that decides it. A figure that no scenario of this run gave is "not measured", with
the way to measure it. "Fast" is with uvloop. Sending is judged on cold whole processes: the list checked, the
letters planned and sent, all in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.figures import Figure


@dataclass(frozen=True, slots=True)
class Goal:
    """One line of the table. ``figure`` is the name of what decides; at least ``bound``, or at most."""

    work: str
    against: str
    figure: str
    bound: float
    how: str  # the option that measures it
    at_most: bool = False
    unit: str = "x"


@dataclass(frozen=True, slots=True)
class Standing:
    """A goal and how it stands; ``figure`` is None where it was not measured, then ``why`` says so."""

    goal: Goal
    figure: Figure | None
    why: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether it is reached; None: not measured."""
        if self.figure is None:
            return None
        value = self.figure.value
        return value <= self.goal.bound if self.goal.at_most else value >= self.goal.bound

    @property
    def verdict(self) -> str:
        """The same in words; a goal that is missed says by how much."""
        if self.reached is None:
            return f"not measured: {self.why}"
        assert self.figure is not None
        if self.reached:
            return "reached"
        bound = self.goal.bound
        if not bound:
            return "NOT reached"
        off = self.figure.value / bound - 1
        return f"NOT reached, {'over' if off > 0 else 'short'} by {abs(off):.0%}"


_RACE, _FAR, _TLS, _POSTFIX = "--race", "--delay 50", "--tls", "--postfix"
_SEND, _POOL = "personalised letters, FULL, limits on", "Nodemailer, pool of 10, no journal"
_SMALL = "the small one"

GOALS = (
    Goal(_SEND, _POOL, "nodemailer", 3.0, _RACE),
    Goal(f"{_SEND}, fast", _POOL, "nodemailer+uvloop", 4.5, _RACE),
    Goal("CPU of such a letter", _POOL, "cpu", 1 / 3, _RACE, at_most=True),
    Goal("CPU of such a letter, fast", _POOL, "cpu+uvloop", 1 / 4.5, _RACE, at_most=True),
    Goal(f"{_SEND}, over TLS", "Nodemailer over TLS", "tls nodemailer", 4.0, _TLS),
    Goal(f"{_SEND}, over TLS, fast", "Nodemailer over TLS", "tls nodemailer+uvloop", 4.0, _TLS),
    Goal("two sending processes on one store", "one process", "processes", 1.5, _RACE),
    Goal(_SEND, "mailmerge", "mailmerge", 12.0, _RACE),
    Goal(f"{_SEND}, fast", "mailmerge", "mailmerge+uvloop", 17.0, _RACE),
    Goal(_SEND, "smtp-source, fresh sessions", "smtp-source", 0.45, _RACE),
    Goal(f"{_SEND}, fast", "smtp-source, fresh sessions", "smtp-source+uvloop", 0.65, _RACE),
    Goal("session alone, constant letter", "smtp-source -d", "session", 0.9, _RACE),
    Goal("session alone, fast", "smtp-source -d", "session+uvloop", 1.25, _RACE),
    Goal("50 ms to the relay, 10 connections", "Nodemailer", "far nodemailer", 1.9, _FAR),
    Goal("50 ms to the relay, 10 connections", "aiosmtplib", "far aiosmtplib", 3.8, _FAR),
    Goal("a real Postfix as the relay", "Nodemailer", "postfix", 1.25, _POSTFIX),
    Goal("a real Postfix as the relay, fast", "Nodemailer", "postfix+uvloop", 1.25, _POSTFIX),
    Goal("peak memory of a send, the large campaign", _SMALL, "memory ratio", 1.1, "--memory", at_most=True),
    Goal("peak memory of a send", "80 MiB", "memory peak", 80.0, "--memory", at_most=True, unit="MiB"),
    Goal("journal in FULL", "the same in NORMAL", "normal", 0.85, _RACE),
    Goal("`campaign status`, the large campaign", _SMALL, "status", 1.1, "--status", at_most=True),
    Goal("the same during a send on it", _SMALL, "status sending", 1.1, "--status", at_most=True),
    Goal("resuming, the large campaign", _SMALL, "resume", 1.15, "--resume", at_most=True),
    Goal("check of the list", "email-validator per row, same verdicts", "intake", 2.5, "--intake"),
    Goal("stretch: 8bit bodies, fast", "Nodemailer", "8bit+uvloop", 6.0, _RACE),
    Goal(
        "kill -9 storm: twice or missing", "none", "storm wrong", 0, "--storm", at_most=True, unit="letters"
    ),
    Goal("kill -9 storm: doubts of one kill", "2 a connection", "storm doubts", 2, "--storm", at_most=True),
)


def standings(figures: Mapping[str, Figure], absent: Mapping[str, str]) -> list[Standing]:
    """Return how every goal stands.

    Args:
        figures: what was measured, by name.
        absent: why a figure is missing although its scenario was run, by name.
    """
    return [
        Standing(goal, figures[goal.figure])
        if goal.figure in figures
        else Standing(goal, None, absent.get(goal.figure) or f"python -m bench {goal.how}")
        for goal in GOALS
    ]
