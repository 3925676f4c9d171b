"""`python -m bench`: measure this checkout beside its peers, in the same run.

Without a scenario the race over loopback is run. Progress goes to stderr, the report to stdout, and with
--write into bench/RESULTS.md. Everything is bounded: so many rounds, so many letters, so many seconds for
each process.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from bench import machine, scenarios
from bench.contenders import Field, assemble
from bench.goals import standings
from bench.peers import default_cache
from bench.report import Part, whole
from bench.scenarios import Wishes

PRIVATE = ("--cache", "--work")  # options that name a folder of this machine
RESULTS = Path(__file__).with_name("RESULTS.md")
FEWEST_PLANNED = 200  # letters: a resumed send takes 20 a round
MOST_LETTERS, MOST_ROUNDS, MOST_CONNECTIONS, LONGEST_S = 1_000_000, 50, 50, 3_600

Scenario = Callable[[Wishes, Field], Part]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell; return the exit code: 0 whatever the verdicts, they are for the reader."""
    parser = _parser()
    given = parser.parse_args(arguments)
    delay_ms = given.delay if given.delay is not None else 50.0
    wanted = _wanted(given)
    cache = given.cache or default_cache()
    tell("finding the contenders")
    field = assemble(cache)
    if given.list:
        print("\n".join(f"{one.name:20} {one.what}" for one in field.contenders))
        print("\n".join(f"{name:20} left out: {why}" for name, why in field.left_out.items()))
        return 0
    unknown = given.only - {one.name for one in field.contenders}
    if unknown:
        parser.error(f"no such contender: {', '.join(sorted(unknown))}; --list names them")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=given.work, ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        described = [*machine.describe(scratch), *field.versions.items()]
        wishes = Wishes(
            letters=given.letters,
            rounds=given.rounds,
            pool=given.connections,
            delay_ms=delay_ms,
            sizes=given.sizes,
            peak_sizes=given.peak_sizes,
            rows=given.rows,
            patience_s=given.patience,
            only=given.only,
            scratch=scratch,
            tell=tell,
        )
        parts = [scenario(wishes, field) for scenario in wanted]
    figures = {figure: value for part in parts for figure, value in part.figures.items()}
    absent = {figure: why for part in parts for figure, why in part.absent.items()}
    page = whole(
        command=shown_command(sys.argv[1:] if arguments is None else arguments),
        day=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=described,
        parts=parts,
        standing=standings(figures, absent),
    )
    print(page, end="")
    if given.write:
        RESULTS.write_text(page, "utf-8")
        tell(f"written to {RESULTS}")
    return 0


def shown_command(arguments: Sequence[str]) -> str:
    """Return the command line for the report, without the folders: they are nobody's business."""
    kept: list[str] = []
    skip = False
    for word in arguments:
        if not skip and word.partition("=")[0] not in PRIVATE:
            kept.append(word)
        skip = word in PRIVATE
    return " ".join(["python -m bench", *kept])


def tell(line: str) -> None:
    """Show progress."""
    print(line, file=sys.stderr, flush=True)


def _wanted(given: argparse.Namespace) -> list[Scenario]:
    asked: list[tuple[bool, Scenario]] = [
        (given.race, scenarios.race),
        (given.delay is not None, scenarios.far),
        (given.tls, scenarios.tls),
        (given.memory, scenarios.memory),
        (given.status, scenarios.status),
        (given.resume, scenarios.resume),
        (given.intake, scenarios.intake),
    ]
    chosen = [scenario for wanted, scenario in asked if wanted or given.everything]
    return chosen or [scenarios.race]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--letters", type=_between(1, MOST_LETTERS), default=20_000, help="in a race (default 20,000)")
    add("--rounds", type=_between(1, MOST_ROUNDS), default=5, help="of every scenario (default 5)")
    add("--connections", type=_between(1, MOST_CONNECTIONS), default=10, help="to the relay (default 10)")
    add("--only", type=_names, default=frozenset(), metavar="A,B", help="these contenders only")
    add(
        "--list",
        action="store_true",
        help="name the contenders, and who is left out and why; measure nothing",
    )
    add("--race", action="store_true", help="everybody over loopback: what is run when no scenario is named")
    add("--delay", type=float, nargs="?", const=50.0, metavar="MS", help="a relay MS away (50)")
    add("--tls", action="store_true", help="over TLS")
    add("--memory", action="store_true", help="peak memory of a small and a large send")
    add("--status", action="store_true", help="`campaign status` on a small and a large campaign")
    add("--resume", action="store_true", help="start to first letter of a small and a large campaign")
    add("--intake", action="store_true", help="reading the list, beside email-validator")
    add("--everything", action="store_true", help="all of these")
    add(
        "--sizes",
        type=_sizes,
        default=(1_000, 100_000),
        metavar="S,L",
        help="letters, for --status, --resume",
    )
    add("--peak-sizes", type=_sizes, default=(10_000, 100_000), metavar="S,L", help="letters, for --memory")
    add("--rows", type=_between(100, MOST_LETTERS), default=100_000, help="for --intake (100,000)")
    add("--patience", type=_between(1, LONGEST_S), default=600, metavar="S", help="for one process (600 s)")
    add("--cache", type=Path, help="where installed peers are kept (the user's cache folder)")
    add("--work", type=Path, help="where campaigns are made while measuring (the system's temporary folder)")
    add("--write", action="store_true", help=f"write the report into {RESULTS.name} beside this program, too")
    return parser


def _between(low: int, high: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{number} is not between {low:,} and {high:,}")
        return number

    return whole_number


def _sizes(text: str) -> tuple[int, int]:
    check = _between(FEWEST_PLANNED, MOST_LETTERS)
    with suppress(ValueError):
        small, large = (check(part) for part in text.split(","))
        if small < large:
            return small, large
    raise argparse.ArgumentTypeError("two sizes, the smaller first: 1000,100000")


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started here is stopped
    sys.exit(main())
