"""Making one letter ready for the wire, beside `EmailMessage`: ``python -m bench.compose``.

Everybody makes the same letters of the benchmark's material, in turn, within one process and on one core; the
first in a round is another one each time. Ours is `Packing.pack`: words, header, octets, proof, SHA-256, dots
doubled, envelope with the letter's token. Beside it stand the plain way to the same octets, `check` (which
writes none), and the letter through Jinja and `email.message.EmailMessage`, without hash, dots and envelope.

Prints microseconds of the thread's processor time for a letter, the median of the rounds and the best, and
the median of the ratio to EmailMessage inside a round. It fails where the quick and the plain way differ in
an octet.

Limits: the material has few names, so whatever is kept by value is warm; --fresh gives every letter a name
and an office of its own. Everybody reads rows that are in memory already.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from email.policy import SMTP
from functools import partial
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo

from bench.figures import in_turn
from bench.material import AUTHOR, AUTHOR_NAME, COLUMNS, write_material
from bench.python_peers import builder
from pipeline.clock import SystemClock
from pipeline.delivery.compose import Composer, Draft
from pipeline.delivery.connect import Offer
from pipeline.delivery.letter import Letter
from pipeline.delivery.parcel import Packing
from pipeline.letters.templates import compile_templates
from pipeline.mail.address import Mailbox, parse_address
from pipeline.mail.identity import letter_token

KEY = b"benchmark" * 4
OFFER = Offer(pipelining=True, eightbit=True, size=10_000_000, announces_size=True)
PEER = "EmailMessage"

Work = Callable[[], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell; return the exit code, 1 where both ways of ours are not alike."""
    parser = argparse.ArgumentParser(prog="python -m bench.compose", description=__doc__.partition("\n")[0])
    parser.add_argument("--letters", type=int, default=1_000, help="in a round (default 1,000)")
    parser.add_argument("--rounds", type=int, default=7, help="default 7")
    parser.add_argument("--fresh", action="store_true", help="no name or office comes twice")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name) / "campaign"
        write_material(folder, given.letters)
        return _measure(folder, rounds=given.rounds, fresh=given.fresh)


def composer(folder: Path) -> Composer:
    """Return the composer of the material's campaign."""
    name = "templates/letter.en.md"
    templates, problems = compile_templates(
        {name: (folder / name).read_text("utf-8")},
        columns=COLUMNS,
        campaign={"name": "A benchmark"},
        languages=("en",),
    )
    assert not problems
    return Composer(
        templates=templates,
        author=Mailbox(AUTHOR_NAME, parse_address(AUTHOR)),
        reply_to=None,
        zone=ZoneInfo("UTC"),
        clock=SystemClock(),
        find_attachments=lambda names, line: (),
        list_file="recipients.csv",
    )


def _measure(folder: Path, *, rounds: int, fresh: bool) -> int:
    made = composer(folder)
    letters = _letters(folder, fresh=fresh)
    drafts = [Draft(one.values, one.language, one.email, one.line, one.message_id) for one in letters]
    now = made.clock.now()
    for draft in drafts[:100]:
        for eightbit in (False, True):
            quick = made.write(draft, now=now, eightbit=eightbit)
            if quick != made.write_plainly(draft, now=now, eightbit=eightbit):
                print(f"row {draft.line}: the quick way and the plain one differ", file=sys.stderr)
                return 1
    build = builder(folder)
    ways: dict[str, Callable[[int], object]] = {
        "pack, quoted-printable": _packed(made, letters, eightbit=False),
        "pack, 8bit": _packed(made, letters, eightbit=True),
        "check": lambda number: made.check(drafts[number]),
        "written plainly": lambda number: made.write_plainly(drafts[number], now=now),
        PEER: lambda number: build(dict(letters[number].values)).as_bytes(policy=SMTP),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way in in_turn(list(ways), number):
            taken[way].append(_cpu_us(partial(_all, ways[way], len(letters)), len(letters)))
    for way, figures in taken.items():
        ratio = median(peer / own for own, peer in zip(figures, taken[PEER], strict=True))
        print(f"{way:24}{median(figures):9.1f} us a letter, best {min(figures):7.1f}   {ratio:6.1f} x {PEER}")
    return 0


def _packed(made: Composer, letters: Sequence[Letter], *, eightbit: bool) -> Callable[[int], object]:
    def token(letter: Letter) -> str:
        return letter_token(letter.id, KEY)

    packing = Packing(made, lambda letter: f"letters+{token(letter)}@example.org", token, eightbit)
    return lambda number: packing.pack(letters[number], OFFER)


def _letters(folder: Path, *, fresh: bool) -> list[Letter]:
    with (folder / "recipients.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [_letter(number, row, fresh=fresh) for number, row in enumerate(rows, 1)]


def _letter(number: int, row: dict[str, str], *, fresh: bool) -> Letter:
    if fresh:
        row = {**row, "name": f"{row['name']} the {number}th", "office": f"{row['office']}, room {number}"}
    email = row["email"]
    message_id = f"<k{number:06}.{number * 7919 % 999_983:06}@example.org>"
    domain = email.rpartition("@")[2]
    return Letter(number, message_id, email, email, domain, "en", "", 0, 0, number + 1, row)


def _all(make: Callable[[int], object], letters: int) -> None:
    for number in range(letters):
        make(number)


def _cpu_us(work: Work, letters: int) -> float:
    start = time.thread_time()
    work()
    return (time.thread_time() - start) / letters * 1e6


if __name__ == "__main__":
    sys.exit(main())
