"""Reading the list, beside email-validator called for every row: ``python -m bench.intake WHO LIST``.

WHO is ``campaign`` (`Listing`, all that `check` does to a row of the list) or ``email-validator`` (csv and
`validate_email`, strict as ours is, without DNS). Prints one line of JSON: the rows, the seconds from opening
the file to the last verdict, how many rows were accepted, a digest of which, and the most memory the process
took. Without the start of the interpreter.

The list has every kind of address that both must judge alike: ASCII, names and domains beyond it, and one row
in a hundred that is no address. No two rows are of one person or look so: ours would read a list a second
time for those.

Limits: ours also checks every other cell, and compares rows; email-validator's time has none of that.
"""

from __future__ import annotations

import csv
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import median

from bench.figures import Figure, in_turn, paired
from bench.material import COLUMNS, rows
from bench.processes import Failed, environment
from bench.sink import REPOSITORY

OURS, PEER = "campaign", "email-validator"
FAULTY = (
    "no-at-sign.example",
    "two..dots@office.example",
    "ends.with.dot.@office.example",
    "nobody@-office.example",
    "@office.example",
    "a b@office.example",
    f"{'x' * 65}@office.example",
)


@dataclass(frozen=True, slots=True)
class Reading:
    """How one of the two read the list."""

    rows: int
    seconds: float
    accepted: int
    digest: str  # of the numbers of the accepted rows
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Compared:
    """Both, over the rounds: microseconds a row, the ratio inside a round; rows, how many were accepted, and
    our memory at most."""

    ours_us: float
    peer_us: float
    ratio: Figure
    rows: int
    accepted: int
    peak_mib: float


def compare(
    scratch: Path, *, count: int, rounds: int, patience_s: float, tell: Callable[[str], None]
) -> Compared:
    """Read a list of ``count`` rows in turn. Raises Failed where the two do not judge every row alike."""
    path = write_list(scratch / "intake.csv", count)
    taken: list[dict[str, Reading]] = []
    for number in range(rounds):
        taken.append({who: _read(who, path, scratch, patience_s) for who in in_turn((OURS, PEER), number)})
        ours, peer = taken[-1][OURS], taken[-1][PEER]
        if (ours.rows, ours.accepted, ours.digest) != (peer.rows, peer.accepted, peer.digest):
            raise Failed(
                f"the verdicts differ: {ours.accepted} and {peer.accepted} of {ours.rows} rows accepted"
            )
        tell(f"intake, round {number + 1} of {rounds}: {ours.seconds:.2f} s, {PEER} {peer.seconds:.2f} s")
    return Compared(
        ours_us=1e6 * median(one[OURS].seconds for one in taken) / count,
        peer_us=1e6 * median(one[PEER].seconds for one in taken) / count,
        ratio=paired([one[PEER].seconds for one in taken], [one[OURS].seconds for one in taken]),
        rows=count,
        accepted=taken[0][OURS].accepted,
        peak_mib=max(one[OURS].peak_mib for one in taken),
    )


def write_list(path: Path, count: int) -> Path:
    """Write a list of so many rows, no address twice, one row in a hundred faulty."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for number, row in enumerate(rows(count)):
            writer.writerow((address(number, row[0]), *row[1:]))
    return path


def address(number: int, usual: str) -> str:
    """Return the address of row ``number``: ``usual``, or one of the other kinds."""
    local, _, domain = usual.partition("@")
    if number % 100 == 99:
        return FAULTY[number // 100 % len(FAULTY)]
    if number % 50 == 7:
        return f"{local}@bücher{number % 13}.example"
    if number % 50 == 13:
        return f"jörg.{local}@{domain}"
    if number % 50 == 21:
        return f"O'Hara.{local}+letters@{domain}"
    return usual


def read_ours(path: Path) -> Iterator[int]:
    """Yield the numbers of the rows, from 0, that our intake accepts."""
    from pipeline.recipients.rows import Listing

    listing = Listing(
        lambda: path.open("rb"), octets=path.stat().st_size, file="intake.csv", languages=["en"]
    )
    for _, recipient in chain(listing.clear(), listing.settled()):
        yield recipient.line - 2


def read_peer(path: Path) -> Iterator[int]:
    """Yield the numbers of the rows, from 0, whose address email-validator accepts."""
    from email_validator import EmailNotValidError, validate_email

    with path.open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream)):
            try:
                validate_email(row["email"], check_deliverability=False, strict=True)
            except EmailNotValidError:
                continue
            yield number


def main(arguments: Sequence[str]) -> None:
    """Read a list one way, and tell."""
    who, name = arguments
    path = Path(name)
    read = read_ours if who == OURS else read_peer
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as small:  # imports, and what is made once, are not
        small.write("email\none@office.example\n")  # what is compared
        small.flush()
        list(read(Path(small.name)))
    accepted, digest = 0, hashlib.sha256()
    began = time.perf_counter()
    for number in read(path):
        accepted += 1
        digest.update(b"%d " % number)
    seconds = time.perf_counter() - began
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with path.open("rb") as stream:
        rows = sum(1 for _ in stream) - 1
    told = {"rows": rows, "seconds": seconds, "accepted": accepted, "digest": digest.hexdigest()}
    print(json.dumps(told | {"peak_mib": peak_mib}))


def _read(who: str, path: Path, scratch: Path, patience_s: float) -> Reading:
    words = [sys.executable, "-m", "bench.intake", who, str(path)]
    try:
        done = subprocess.run(
            words,
            cwd=REPOSITORY,
            env=environment(scratch),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{who}: stopped after {patience_s:g} s") from None
    if done.returncode:
        raise Failed(f"{who} ended with code {done.returncode}: {done.stderr.strip().splitlines()[-1][:200]}")
    return Reading(**json.loads(done.stdout))


if __name__ == "__main__":
    main(sys.argv[1:])
