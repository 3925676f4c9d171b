"""Reading the list, beside email-validator called for every row: ``python -m bench.intake WHO LIST``.

WHO is ``campaign`` (`read_recipients`, all that `check` does to a row of the list) or ``email-validator``
(csv and `validate_email`, strict as ours is, without DNS). Prints one line of JSON: the
rows, the seconds from the file's octets to the last verdict, how many rows were accepted, and a digest of
which. Without the start of the interpreter.

The list has every kind of address that both must judge alike: ASCII, names and domains beyond it, and one row
in a hundred that is no address.

Limits: ours also checks every other cell, and compares rows; email-validator's time has none of that.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Compared:
    """Both, over the rounds: microseconds a row, the ratio inside a round; rows, and how many accepted."""

    ours_us: float
    peer_us: float
    ratio: Figure
    rows: int
    accepted: int


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
        return f"O'Hara+{local}@{domain}"
    return usual


def read_ours(data: bytes) -> Iterator[int]:
    """Yield the numbers of the rows, from 0, that our intake accepts."""
    from pipeline.recipients.rows import read_recipients

    intake = read_recipients(data, file="intake.csv", languages=["en"])
    return (recipient.line - 2 for recipient in intake.recipients)


def read_peer(data: bytes) -> Iterator[int]:
    """Yield the numbers of the rows, from 0, whose address email-validator accepts."""
    from email_validator import EmailNotValidError, validate_email

    for number, row in enumerate(csv.DictReader(io.StringIO(data.decode(), newline=""))):
        try:
            validate_email(row["email"], check_deliverability=False, strict=True)
        except EmailNotValidError:
            continue
        yield number


def main(arguments: Sequence[str]) -> None:
    """Read a list one way, and tell."""
    who, name = arguments
    data = Path(name).read_bytes()
    read = read_ours if who == OURS else read_peer
    list(read(b"email\none@office.example\n"))  # imports, and what is made once, are not what is compared
    began = time.perf_counter()
    accepted = list(read(data))
    seconds = time.perf_counter() - began
    digest = hashlib.sha256(repr(accepted).encode()).hexdigest()
    told = {"rows": data.count(b"\n") - 1, "seconds": seconds, "accepted": len(accepted), "digest": digest}
    print(json.dumps(told))


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
