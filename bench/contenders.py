"""Who takes part, and the command line of each peer; ours are in `ours`.

A contender that cannot take part is named with the reason; `assemble` leaves nobody out in silence.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench import peers
from bench.material import AUTHOR, Material
from bench.processes import Command, environment
from bench.sink import REPOSITORY

SOURCE_OCTETS = 2_900  # of the text that smtp-source sends; its header makes it
FAST = "+uvloop"
SLOW_PART = 4


@dataclass(frozen=True, slots=True)
class Turn:
    """What a contender is given for one turn."""

    material: Material
    port: int
    connections: int  # ours
    pool: int  # the peers'
    notes: Path  # a file it may leave a line in
    ca_file: Path | None = None  # the relay speaks TLS, with this certificate


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to send the letters.

    ``prepare`` is run before, outside of what is measured, and sends ``prepared`` letters. One in ``part``
    of the letters is enough for a slow one that decides no goal. An ``extra`` one takes part only where it
    is named.
    """

    name: str
    what: str
    command: Callable[[Turn], Command]
    sending: Callable[[Turn], float | None] | None = None  # seconds of the sending phase alone
    constant: bool = False  # sends one constant letter to one address
    prepare: Callable[[Turn], Command] | None = None
    prepared: int = 0
    part: int = 1
    extra: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """Everybody, and why some are missing; ``versions`` are those of the peers."""

    contenders: tuple[Contender, ...]
    left_out: dict[str, str]
    versions: dict[str, str]

    def chosen(self, names: Iterable[str]) -> list[Contender]:
        """Return those of ``names`` that take part, in the order of the field."""
        wanted = set(names)
        return [one for one in self.contenders if one.name in wanted]


Maker = Callable[[Path], tuple[list[Contender], str]]


def assemble(cache: Path, ours: tuple[list[Contender], dict[str, str]], only: Collection[str] = ()) -> Field:
    """Find everybody, installing what npm and pip can bring into ``cache``.

    Args:
        cache: the folder.
        ours: our variants, and why some are missing.
        only: the names wanted, so that nobody else is looked for; all when empty.
    """
    found, left_out = list(ours[0]), dict(ours[1])
    versions: dict[str, str] = {}
    for names, make in _MAKERS.items():
        label = ", ".join(names)
        if only and not set(only) & set(names):
            continue
        try:
            contenders, its_version = make(cache)
        except peers.Absent as absent:
            left_out[label] = str(absent)
        else:
            found += contenders
            versions[label] = its_version
    return Field(tuple(found), left_out, versions)


def known_names(ours: Iterable[Contender]) -> set[str]:
    """Return the names of all that there may be, found or not."""
    return {one.name for one in ours} | {name for names in _MAKERS for name in names}


def _nodemailer(cache: Path) -> tuple[list[Contender], str]:
    peer = peers.find_nodemailer(cache)
    script = str(Path(__file__).with_name("nodemailer.mjs"))

    def command(turn: Turn) -> Command:
        material = turn.material
        words = ["node", script, peer.path, str(turn.port), str(material.root), str(turn.pool)]
        words += [str(turn.ca_file)] if turn.ca_file else []
        return Command(words, material.root, environment(material.home))

    return [Contender("nodemailer", "Nodemailer, pool, no journal", command)], peer.version


def _mailmerge(cache: Path) -> tuple[list[Contender], str]:
    peer = peers.find_mailmerge(cache)

    def command(turn: Turn) -> Command:
        material = turn.material
        config = material.write_mailmerge_server(turn.port)
        words = [peer.path, "--no-dry-run", "--no-limit", "--output-format", "text", "--config", str(config)]
        words += ["--template", str(material.peers / "mailmerge.txt"), "--database", str(material.recipients)]
        return Command(words, material.root, environment(material.home))

    return [Contender("mailmerge", "mailmerge, a connection a letter, no journal", command)], peer.version


def _python_peers(_cache: Path) -> tuple[list[Contender], str]:
    try:
        found = f"aiosmtplib {version('aiosmtplib')}, Jinja2 {version('jinja2')}"
    except PackageNotFoundError as missing:
        raise peers.Absent(f"{missing.name} is not installed") from None

    def contender(way: str, what: str) -> Contender:
        def command(turn: Turn) -> Command:
            words = [way, str(turn.port), str(turn.material.root), str(turn.pool)]
            python = [sys.executable, "-m", "bench.python_peers", *words]
            return Command(python, REPOSITORY, environment(turn.material.home))

        return Contender(way, what, command, part=SLOW_PART)

    return [
        contender("smtplib", "smtplib, one connection, EmailMessage"),
        contender("aiosmtplib", "aiosmtplib, pool, EmailMessage"),
    ], found


def _smtp_source(_cache: Path) -> tuple[list[Contender], str]:
    peer = peers.find_postfix("smtp-source")

    def contender(name: str, what: str, *options: str) -> Contender:
        def command(turn: Turn) -> Command:
            words = [peer.path, *options, "-s", str(turn.pool), "-m", str(turn.material.letters)]
            words += ["-l", str(SOURCE_OCTETS), "-f", AUTHOR, "-t", "desk@office.example"]
            return Command(
                [*words, f"127.0.0.1:{turn.port}"], turn.material.root, environment(turn.material.home)
            )

        return Contender(name, what, command, constant=True)

    return [
        contender("smtp-source", "Postfix's smtp-source, fresh sessions, constant letter"),
        contender("smtp-source-kept", "the same, kept sessions (-d)", "-d"),
    ], f"Postfix {peer.version}"


_MAKERS: dict[tuple[str, ...], Maker] = {
    ("nodemailer",): _nodemailer,
    ("mailmerge",): _mailmerge,
    ("smtplib", "aiosmtplib"): _python_peers,
    ("smtp-source", "smtp-source-kept"): _smtp_source,
}
