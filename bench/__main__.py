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
from pathlib import Path

from bench import large, machine, scenarios
from bench.contenders import Field, assemble, known_names
from bench.goals import standings
from bench.options import parse, shown_command
from bench.ours import our_contenders
from bench.peers import default_cache
from bench.report import Part, whole
from bench.scenarios import Wishes

RESULTS = Path(__file__).with_name("RESULTS.md")

Scenario = Callable[[Wishes, Field], Part]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell; return the exit code: 0 whatever the verdicts, they are for the reader."""
    parser, given = parse(arguments)
    ours = our_contenders()
    unknown = given.only - known_names(ours[0])
    if unknown:
        parser.error(f"no such contender: {', '.join(sorted(unknown))}; --list names them")
    tell("finding the contenders")
    field = assemble(given.cache or default_cache(), ours, given.only)
    if given.list:
        print("\n".join(f"{one.name:32} {one.what}" for one in field.contenders))
        print("\n".join(f"{name:32} left out: {why}" for name, why in field.left_out.items()))
        return 0
    with tempfile.TemporaryDirectory(prefix="bench-", dir=given.work, ignore_cleanup_errors=True) as name:
        described = [*machine.describe(Path(name)), *field.versions.items()]
        wishes = _wishes(given, Path(name))
        parts = [scenario(wishes, field) for scenario in _wanted(given)]
    figures = {figure: value for part in parts for figure, value in part.figures.items()}
    absent = {figure: why for part in parts for figure, why in part.absent.items()}
    page = whole(
        command=shown_command(sys.argv[1:] if arguments is None else arguments),
        machine=described,
        parts=parts,
        standing=[one for one in standings(figures, absent) if one.figure or not given.only],
    )
    print(page, end="")
    if given.write:
        RESULTS.write_text(page, "utf-8")
        tell(f"written to {RESULTS}")
    return 0


def tell(line: str) -> None:
    """Show progress."""
    print(line, file=sys.stderr, flush=True)


def _wishes(given: argparse.Namespace, scratch: Path) -> Wishes:
    return Wishes(
        letters=given.letters,
        rounds=given.rounds,
        connections=given.connections,
        pool=given.pool,
        delay_ms=50.0 if given.delay is None else given.delay,
        large=given.large,
        rows=given.rows,
        kills=given.kills,
        patience_s=given.patience,
        only=given.only,
        scratch=scratch,
        tell=tell,
    )


def _wanted(given: argparse.Namespace) -> list[Scenario]:
    asked: list[tuple[bool, Scenario]] = [
        (given.race, scenarios.race),
        (given.delay is not None, scenarios.far),
        (given.tls, scenarios.tls),
        (given.postfix, scenarios.real_postfix),
        (given.memory, large.memory),
        (given.resume, large.resume),
        (given.status, large.status),
        (given.intake, large.intake),
        (given.storm, large.storm),
    ]
    everything = given.everything or given.quick
    return [scenario for wanted, scenario in asked if wanted or everything] or [scenarios.race]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started here is stopped
    sys.exit(main())
