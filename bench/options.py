"""The command line of the benchmark."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

PRIVATE = ("--cache", "--work")  # options that name a folder of this machine
MOST_LETTERS, MOST_ROUNDS, MOST_CONNECTIONS, MOST_KILLS, LONGEST_S = 1_000_000, 50, 50, 1_000, 7_200
FEWEST_PLANNED = 1_000  # letters
QUICK = {"letters": 200, "rounds": 1, "large": 2_000, "rows": 5_000, "kills": 5}

_SCENARIOS = {
    "race": "everybody over loopback: what is run when no scenario is named",
    "tls": "over TLS, by way of stunnel",
    "postfix": "a real Postfix as the relay; as root",
    "memory": "peak memory of a small and a large send",
    "resume": "start to first letter of a small and a large campaign",
    "status": "`campaign status` on a small and a large campaign, idle and during a send",
    "intake": "reading the list, beside email-validator",
    "storm": "kill -9 at random moments",
}


def parse(arguments: Sequence[str] | None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """Return the parser and what was given; ends the program where that is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure this checkout beside its peers, in the same run."
    )
    add = parser.add_argument
    for name, help_text in _SCENARIOS.items():
        add(f"--{name}", action="store_true", help=help_text)
    add("--delay", type=float, nargs="?", const=50.0, metavar="MS", help="a relay MS away (50)")
    add("--everything", action="store_true", help="all of these")
    add("--quick", action="store_true", help="all of these, small, one round: does it run? No figure to keep")
    add("--letters", type=_between(1, MOST_LETTERS), default=20_000, help="in a race (20,000)")
    add("--rounds", type=_between(1, MOST_ROUNDS), default=5, help="of every scenario (5)")
    add("--connections", type=_between(1, MOST_CONNECTIONS), default=50, help="ours, to the relay (50)")
    add("--pool", type=_between(1, MOST_CONNECTIONS), default=10, help="connections of the peers (10)")
    add(
        "--large",
        type=_between(FEWEST_PLANNED, MOST_LETTERS),
        default=1_000_000,
        help="letters of the large campaign, for --memory, --resume, --status (1,000,000)",
    )
    add("--rows", type=_between(100, MOST_LETTERS), default=1_000_000, help="for --intake (1,000,000)")
    add("--kills", type=_between(1, MOST_KILLS), default=60, help="for --storm (60)")
    add("--patience", type=_between(1, LONGEST_S), default=900, metavar="S", help="for one process (900 s)")
    add("--only", type=_names, default=frozenset(), metavar="A,B", help="these contenders only")
    add("--list", action="store_true", help="name the contenders, and who is left out; measure nothing")
    add("--cache", type=Path, help="where installed peers are kept (the user's cache folder)")
    add("--work", type=Path, help="where campaigns are made while measuring (the system's temporary folder)")
    add("--write", action="store_true", help="write the report into RESULTS.md beside this program, too")
    given = parser.parse_args(arguments)
    if given.quick:
        for name, value in QUICK.items():
            if getattr(given, name) == parser.get_default(name):
                setattr(given, name, value)
    return parser, given


def shown_command(arguments: Sequence[str]) -> str:
    """Return the command line for the report, without the folders: they are nobody's business."""
    kept: list[str] = []
    skip = False
    for word in arguments:
        if not skip and word.partition("=")[0] not in PRIVATE:
            kept.append(word)
        skip = word in PRIVATE
    return " ".join(["python -m bench", *kept])


def _between(low: int, high: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{number} is not between {low:,} and {high:,}")
        return number

    return whole_number


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())
