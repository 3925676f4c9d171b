"""This checkout's `campaign` as a contender, in the variants that the issue asks for.

It is run by the interpreter that runs the benchmark. "+uvloop" takes part once uvloop can be imported and
the program's source speaks of it; the variant without the suffix then runs with uvloop barred, so that both
are what they say. "-warm" has its list checked, its letters planned and released and one of them sent before
it is measured: what is left is what a script does that keeps no journal, and our journal.

Limits: children that the program starts itself are not barred, so two processes are measured with uvloop
where it is there.
"""

from __future__ import annotations

import importlib.util
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from bench.contenders import FAST, Contender, Turn
from bench.processes import Command, environment
from bench.sink import REPOSITORY

TEN = 10  # connections of the line that is shown at Nodemailer's number
SESSION_POOL = 10  # connections of the bare session and of smtp-source: the number at which both are fastest
CONSTANT_OCTETS = 3_040  # of the letter of our bare session: as much as smtp-source sends
WITHOUT_UVLOOP = "import sys; sys.modules['uvloop'] = None; from pipeline.cli import main; main()"
BARRED = ("-c", WITHOUT_UVLOOP)
PROGRAM = ("-m", "pipeline")
NORMAL = ("-m", "bench.journal_normal")
LIMITS = (
    "limits.per_recipient=20/day",
    "limits.per_domain=1000000/day",
    "limits.day=1000000/day",
    "limits.relay=1000000/h",
)  # quotas that are never reached: the bookkeeping is what is measured
PACE = "limits.relay=1000000/s"  # an even pace that nobody could feel, so again the bookkeeping


def campaign_command(
    root: Path,
    home: Path,
    words: Sequence[str],
    *,
    settings: Sequence[str] = (),
    start: Sequence[str] = PROGRAM,
) -> Command:
    """Return the command line of this checkout's `campaign` in the folder ``root``."""
    options = [word for setting in settings for word in ("--set", setting)]
    return Command([sys.executable, *start, "-C", str(root), *options, *words], REPOSITORY, environment(home))


def relay_settings(port: int, connections: int, ca_file: Path | None = None) -> list[str]:
    """Return the settings that point a campaign at the sink."""
    scheme = "smtps" if ca_file else "smtp"
    settings = [f"relay.url={scheme}://127.0.0.1:{port}", f"relay.connections={connections}"]
    return [*settings, f"relay.ca_file={ca_file}"] if ca_file else settings


def our_contenders() -> tuple[list[Contender], dict[str, str]]:
    """Return our variants, and why some are missing."""
    left_out: dict[str, str] = {}
    why = why_no_uvloop()
    variants = _variants("", PROGRAM if why else BARRED) + _extras("" if why else FAST)
    if why:
        left_out[FAST] = why
    else:
        variants += _variants(FAST, PROGRAM)
    best = "" if why else FAST
    variants.append(
        _campaign("campaign-normal" + best, "limits on, journal in NORMAL", *LIMITS, start=NORMAL)
    )
    if send_has("--processes"):
        two = ("--processes", "2")
        what = "limits on, two processes"
        variants += [
            _campaign("campaign-processes" + best, what, *LIMITS, words=two),
            _campaign("campaign-processes-warm" + best, f"{what}, warm", *LIMITS, words=two, warm=True),
        ]
    else:
        left_out["campaign-processes" + best] = "`campaign send` has no --processes"
    return variants, left_out


def _variants(suffix: str, start: Sequence[str]) -> list[Contender]:
    how = ", uvloop" if suffix else ""
    ten = f"relay.connections={TEN}"
    return [
        _campaign(f"campaign{suffix}", f"campaign send{how}, no limits", start=start),
        _campaign(f"campaign-limits{suffix}", f"limits on{how}", *LIMITS, start=start),
        _campaign(
            f"campaign-limits-10{suffix}", f"limits on{how}, 10 connections", *LIMITS, ten, start=start
        ),
        _campaign(f"campaign-limits-warm{suffix}", f"limits on{how}, warm", *LIMITS, start=start, warm=True),
        _campaign(
            f"campaign-8bit{suffix}", f"limits on{how}, 8bit", *LIMITS, "relay.encoding=8bit", start=start
        ),
        _session(f"session{suffix}", f"our session alone{how}", loop="uvloop" if suffix else "asyncio"),
    ]


def _extras(suffix: str) -> list[Contender]:
    grouped, off = "relay.pipelining=grouped", "relay.pipelining=off"
    return [
        _campaign("campaign-pace" + suffix, "no limits but a pace of a million a second", PACE, extra=True),
        _campaign("campaign-4" + suffix, "no limits, 4 connections", "relay.connections=4", extra=True),
        _campaign("campaign-grouped" + suffix, "limits on, not chained", *LIMITS, grouped, extra=True),
        _campaign("campaign-off" + suffix, "limits on, a command at a time", *LIMITS, off, extra=True),
    ]


def _campaign(
    name: str,
    what: str,
    *settings: str,
    start: Sequence[str] = PROGRAM,
    words: Sequence[str] = (),
    warm: bool = False,
    extra: bool = False,
) -> Contender:
    def command(turn: Turn) -> Command:
        return told(turn, *words)

    def prepare(turn: Turn) -> Command:
        return told(turn, "--limit", "1")

    def told(turn: Turn, *more: str) -> Command:
        given = [*relay_settings(turn.port, turn.connections, turn.ca_file), *settings]
        send = ["send", "--yes", "--quiet", *more]
        return campaign_command(turn.material.root, turn.material.home, send, settings=given, start=start)

    return Contender(
        name,
        what,
        command,
        sending_seconds_warm if warm else sending_seconds,
        prepare=prepare if warm else None,
        prepared=1 if warm else 0,
        extra=extra,
    )


def sending_seconds(turn: Turn) -> float | None:
    """Return the seconds from the first permission to the last answer, as our journal has them; None where it
    does not tell."""
    return _sending(turn.material.store, "run >= ?")


def sending_seconds_warm(turn: Turn) -> float | None:
    """Return the same without the run that prepared."""
    return _sending(turn.material.store, "run > ?")


def _sending(path: Path, runs: str) -> float | None:
    query = f"SELECT min(began_at), max(ended_at) FROM attempts WHERE {runs}"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
            (earliest,) = store.execute("SELECT min(run) FROM attempts").fetchone()
            first, last = store.execute(query, (earliest,)).fetchone()
    except sqlite3.Error:
        return None
    return (last - first) / 1e6 if first is not None and last is not None else None


def _session(name: str, what: str, *, loop: str) -> Contender:
    def command(turn: Turn) -> Command:
        numbers = [str(n) for n in (turn.port, turn.material.letters, SESSION_POOL, CONSTANT_OCTETS)]
        words = [sys.executable, "-m", "bench.session_alone", *numbers, loop, str(turn.notes)]
        return Command(words, REPOSITORY, environment(turn.material.home))

    def sending(turn: Turn) -> float | None:
        return float(turn.notes.read_text("ascii"))

    return Contender(name, f"{what}, constant letter", command, sending, constant=True)


def why_no_uvloop() -> str:
    """Say why variants with uvloop cannot take part; empty when they can."""
    if importlib.util.find_spec("uvloop") is None:
        return "uvloop is not installed: pip install uvloop"
    sources = (REPOSITORY / "pipeline").rglob("*.py")
    if not any(b"uvloop" in source.read_bytes() for source in sources):
        return "the program does not use uvloop"
    return ""


def send_has(option: str) -> bool:
    """Say whether `campaign send` has an option."""
    done = subprocess.run(
        [sys.executable, *PROGRAM, "send", "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    return option in done.stdout
