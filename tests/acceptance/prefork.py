"""A process that has imported the program once and forks a copy of itself for each run.

Most of the time of a short run is Python reading the program's modules. A test that starts the command
hundreds of times asks a `Prefork` for its processes instead: each is a process of its own, runs
`pipeline.cli.invoke` with the arguments it is given, and can be killed like any other; only the imports are
shared.

Limits: a copy's output goes to a file; POSIX only.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pipeline
from tests.campaign_folder import REPOSITORY, CampaignFolder


@dataclass(frozen=True, slots=True)
class Prefork:
    """The test's end of it."""

    process: subprocess.Popen[str]

    def start(self, folder: CampaignFolder, *arguments: str, output: Path) -> int:
        """Start a copy that runs the command; return its process number."""
        return int(
            self._ask(
                {
                    "arguments": folder.arguments(*arguments),
                    "folder": str(folder.root),
                    "environment": folder.environ,
                    "output": str(output),
                }
            )
        )

    def has_ended(self, pid: int) -> bool:
        """Say whether a copy has ended; one that has not been asked for by `wait` stays as a zombie."""
        status = Path(f"/proc/{pid}/stat").read_text("ascii")
        return status.rpartition(")")[2].split()[0] == "Z"

    def wait(self, pid: int) -> int:
        """Wait for a copy's end; return its exit code, or minus the signal that killed it."""
        return int(self._ask({"wait": pid}))

    def _ask(self, question: Mapping[str, object]) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()


@contextmanager
def prefork() -> Iterator[Prefork]:
    """Start the process; it ends with the context."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.acceptance.prefork"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Prefork(process)


def _serve() -> None:
    """Read a question a line from stdin, answer with a number a line, until stdin ends."""
    for module in pkgutil.walk_packages(pipeline.__path__, "pipeline."):
        if module.name != "pipeline.__main__":
            importlib.import_module(module.name)
    for line in sys.stdin:
        question = json.loads(line)
        if "wait" in question:
            _, status = os.waitpid(question["wait"], 0)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = os.fork()
            if not answer:
                _run(**question)
        print(answer, flush=True)


def _run(arguments: Sequence[str], folder: str, environment: Mapping[str, str], output: str) -> None:
    """Become the command. Does not return."""
    from pipeline.cli import invoke

    code = 70
    try:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        with Path(os.devnull).open("rb") as nothing, Path(output).open("ab") as file:
            os.dup2(nothing.fileno(), 0)
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        code = invoke(list(arguments))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve()
