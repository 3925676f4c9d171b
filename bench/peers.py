"""Other people's programs: found on this machine, or installed into a cache folder with their own clients.

Nodemailer comes from npm, mailmerge from PyPI into a virtual environment of its own; neither touches the
system. What is there already is not fetched again. Postfix and stunnel come from the system's packages.
`Absent` says why something is left out, and how to install it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Failed
from bench.sink import find_program

NODEMAILER = "nodemailer@10"
MAILMERGE = "mailmerge==2.3.*"
INSTALL_S = 300


class Absent(Failed):
    """A peer that cannot take part; the message says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A program that takes part: its path, and its version as it tells it."""

    path: str
    version: str


def default_cache() -> Path:
    """Return where peers are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "letter-campaign-bench"


def find_nodemailer(cache: Path) -> Peer:
    """Return the folder Nodemailer is installed in, installing it if need be. Raises Absent."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise Absent(f"{program} is not installed: apt-get install nodejs npm")
    folder = cache / "nodemailer"
    package = folder / "node_modules" / "nodemailer" / "package.json"
    if not package.exists():
        folder.mkdir(parents=True, exist_ok=True)
        npm = ["npm", "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund"]
        run_briefly([*npm, NODEMAILER], "npm")
    version = run_briefly(["node", "-p", "require(process.argv[1]).version", str(package)], "node")
    return Peer(
        str(folder), f"{version} on Node.js {run_briefly(['node', '--version'], 'node').removeprefix('v')}"
    )


def find_mailmerge(cache: Path) -> Peer:
    """Return mailmerge's path, installing it if need be. Raises Absent."""
    folder = cache / "mailmerge"
    program = folder / "bin" / "mailmerge"
    if not program.exists():
        run_briefly([sys.executable, "-m", "venv", "--clear", str(folder)], "venv")
        run_briefly([str(folder / "bin" / "pip"), "install", "--quiet", MAILMERGE], "pip")
    words = run_briefly([str(program), "--version"], "mailmerge").split()
    return Peer(str(program), words[-1])


def find_postfix(name: str) -> Peer:
    """Return one of Postfix's test programs. Raises Absent."""
    path = find_program(name)
    if path is None:
        raise Absent(f"{name} is not installed: apt-get install --no-install-recommends postfix")
    config = find_program("postconf")
    version = (
        run_briefly([config, "-d", "-h", "mail_version"], "postconf") if config else "of unknown version"
    )
    return Peer(path, version)


def find_stunnel() -> Peer:
    """Return stunnel. Raises Absent."""
    path = find_program("stunnel4") or find_program("stunnel")
    if path is None:
        raise Absent("stunnel is not installed: apt-get install --no-install-recommends stunnel4")
    done = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"stunnel (\S+)", done.stderr + done.stdout)
    tls = re.search(r"with (OpenSSL \S+)", done.stderr + done.stdout)
    return Peer(path, f"{found[1] if found else 'of unknown version'}, {tls[1] if tls else 'TLS'}")


def run_briefly(words: list[str], name: str) -> str:
    """Run an installer or ask for a version; return what it said. Raises Absent with its last words."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=INSTALL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as trouble:
        raise Absent(f"{name}: {type(trouble).__name__}") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise Absent(
            f"{name} ended with code {done.returncode}: {said[-1][:200] if said else 'it said nothing'}"
        )
    return done.stdout.strip()
