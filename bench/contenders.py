"""Who takes part, and the command line of each.

Ours are this checkout, run by the interpreter that runs the benchmark, in the variants that the issue asks
for. A contender that cannot take part is named with the reason; `assemble` leaves nobody out in silence.

uvloop: a variant "+uvloop" takes part once uvloop can be imported and the program's source speaks of it. Then
the variant without the suffix runs with uvloop barred, so that both are what they say. Children that the
program starts itself are not barred.
"""

from __future__ import annotations

import importlib.util
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench import peers
from bench.material import AUTHOR, Material
from bench.processes import Command, environment
from bench.sink import REPOSITORY

SOURCE_OCTETS = 2_900  # of the text that smtp-source sends; its header makes it
CONSTANT_OCTETS = 3_040  # on the wire, and our bare session sends as much
FAST = "+uvloop"
WITHOUT_UVLOOP = "import sys; sys.modules['uvloop'] = None; from pipeline.cli import main; main()"
LIMITS = (
    "limits.per_recipient=20/day",
    "limits.per_domain=1000000/day",
    "limits.day=1000000/day",
    "limits.relay=1000000/h",
)  # quotas that are never reached: the bookkeeping is what is measured
PACE = "limits.relay=1000000/s"  # an even pace that nobody could feel, so again the bookkeeping


@dataclass(frozen=True, slots=True)
class Turn:
    """What a contender is given for one turn."""

    material: Material
    port: int
    pool: int  # connections
    notes: Path  # a file it may leave a line in
    ca_file: Path | None = None  # the relay speaks TLS, with this certificate


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to send the letters."""

    name: str
    what: str
    command: Callable[[Turn], Command]
    sending: Callable[[Turn], float | None] | None = None  # seconds of the sending phase alone
    constant: bool = False  # sends one constant letter to one address


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


def assemble(cache: Path) -> Field:
    """Find everybody, installing what npm and pip can bring into ``cache``."""
    found, left_out = _ours()
    versions: dict[str, str] = {}
    makers: tuple[tuple[str, Callable[[Path], tuple[list[Contender], str]]], ...] = (
        ("nodemailer", _nodemailer),
        ("mailmerge", _mailmerge),
        ("smtplib, aiosmtplib", _python_peers),
        ("smtp-source", _smtp_source),
    )
    for name, make in makers:
        try:
            contenders, its_version = make(cache)
        except peers.Absent as absent:
            left_out[name] = str(absent)
        else:
            found += contenders
            versions[name] = its_version
    return Field(tuple(found), left_out, versions)


# -- ours


def campaign_command(
    root: Path,
    home: Path,
    words: Sequence[str],
    *,
    settings: Sequence[str] = (),
    start: Sequence[str] = ("-m", "pipeline"),
) -> Command:
    """Return the command line of this checkout's `campaign` in the folder ``root``."""
    options = [word for setting in settings for word in ("--set", setting)]
    return Command([sys.executable, *start, "-C", str(root), *options, *words], REPOSITORY, environment(home))


def relay_settings(port: int, pool: int, ca_file: Path | None = None) -> list[str]:
    """Return the settings that point a campaign at the sink."""
    scheme = "smtps" if ca_file else "smtp"
    settings = [f"relay.url={scheme}://127.0.0.1:{port}", f"relay.connections={pool}"]
    return [*settings, f"relay.ca_file={ca_file}"] if ca_file else settings


def sending_seconds(turn: Turn) -> float | None:
    """Return the seconds from the first permission to the last answer, as our journal has them."""
    with closing(sqlite3.connect(f"file:{turn.material.store}?mode=ro", uri=True)) as store:
        first, last = store.execute("SELECT min(began_at), max(ended_at) FROM attempts").fetchone()
    return (last - first) / 1e6 if first is not None and last is not None else None


def _ours() -> tuple[list[Contender], dict[str, str]]:
    left_out: dict[str, str] = {}
    uvloop = _uvloop_in_use()
    if not uvloop:
        left_out[FAST] = uvloop.why
    plain = ("-c", WITHOUT_UVLOOP) if uvloop else ("-m", "pipeline")
    variants = [
        _campaign("campaign", "campaign send", start=plain),
        _campaign("campaign-limits", "the same, every quota on", *LIMITS, start=plain),
        _campaign("campaign-pace", "the same, with a pace of a million a second", PACE, start=plain),
        _campaign("campaign-4", "the same, 4 connections", "relay.connections=4", start=plain),
        _campaign("campaign-grouped", "the same, not chained", "relay.pipelining=grouped", start=plain),
        _campaign("campaign-off", "the same, a command at a time", "relay.pipelining=off", start=plain),
        _campaign("campaign-8bit", "the same, 8bit bodies", "relay.encoding=8bit", start=plain),
        _campaign("campaign-normal", "the same, journal in NORMAL", start=("-m", "bench.journal_normal")),
        _session("session", "our session alone, constant letter", loop="asyncio"),
    ]
    if uvloop:
        variants += [
            _campaign("campaign" + FAST, "campaign send, uvloop"),
            _campaign("campaign-limits" + FAST, "the same, every quota on", *LIMITS),
            _campaign("campaign-8bit" + FAST, "the same, 8bit bodies", "relay.encoding=8bit"),
            _session("session" + FAST, "our session alone, uvloop", loop="uvloop"),
        ]
    if _send_has("--processes"):
        processes = ("--processes", "2")
        variants.append(_campaign("campaign-processes", "the same, two processes", words=processes))
    else:
        left_out["campaign-processes"] = "`campaign send` has no --processes"
    return variants, left_out


def _campaign(
    name: str,
    what: str,
    *settings: str,
    start: Sequence[str] = ("-m", "pipeline"),
    words: Sequence[str] = (),
) -> Contender:
    def command(turn: Turn) -> Command:
        ours = [*relay_settings(turn.port, turn.pool, turn.ca_file), *settings]
        send = ["send", "--yes", "--quiet", *words]
        return campaign_command(turn.material.root, turn.material.home, send, settings=ours, start=start)

    return Contender(name, what, command, sending_seconds)


def _session(name: str, what: str, *, loop: str) -> Contender:
    def command(turn: Turn) -> Command:
        numbers = [str(n) for n in (turn.port, turn.material.letters, turn.pool, CONSTANT_OCTETS)]
        words = [sys.executable, "-m", "bench.session_alone", *numbers, loop, str(turn.notes)]
        return Command(words, REPOSITORY, environment(turn.material.home))

    def sending(turn: Turn) -> float | None:
        return float(turn.notes.read_text("ascii"))

    return Contender(name, what, command, sending, constant=True)


@dataclass(frozen=True, slots=True)
class _Answer:
    why: str = ""

    def __bool__(self) -> bool:
        return not self.why


def _uvloop_in_use() -> _Answer:
    if importlib.util.find_spec("uvloop") is None:
        return _Answer("uvloop is not installed")
    sources = (REPOSITORY / "pipeline").rglob("*.py")
    if not any(b"uvloop" in source.read_bytes() for source in sources):
        return _Answer("the program does not use uvloop")
    return _Answer()


def _send_has(option: str) -> bool:
    words = [sys.executable, "-m", "pipeline", "send", "--help"]
    done = subprocess.run(
        words,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    return option in done.stdout


# -- peers


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

        return Contender(way, what, command)

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
