"""The command line: one file per command, no decisions.

`main` runs the command and turns every `CampaignError` into its message and exit code. Heavy modules are
imported inside commands, so that `--help` and `status` answer at once.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, cast

from pipeline.errors import CampaignError, ExitCode, Unusable

# Modules are loaded and letters are written without making garbage that reference counts would not free: to
# look for it after every 700 objects takes a tenth of the start, once after 100,000 still 25 ms. All that is
# loaded is less than this.
GARBAGE_AFTER = 250_000
SHOW_TRACEBACK = "CAMPAIGN_TRACEBACK"  # set it to see where a fault of this program comes from
BEFORE_COMMAND = ("-C", "--directory", "--set")
BEHIND_COMMAND = ("--json", "-v", "--verbose", "-q", "--quiet")


def main() -> None:
    """Run the command line and exit with its code."""
    gc.set_threshold(GARBAGE_AFTER)
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal without our letters shows their numbers
            stream.reconfigure(errors="backslashreplace")
    sys.exit(invoke(sys.argv[1:]))


def _open_closed_streams() -> None:
    """Put /dev/null where this was started with a stream closed, or the store would get its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))


def invoke(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code. Faults of any kind are told, none escapes."""
    from pipeline.cli.telling import lost_output

    code = _run(arguments)
    if lost_output() and code == ExitCode.DONE:
        return int(ExitCode.FAILED)
    return code


def _run(arguments: Sequence[str]) -> int:
    from typer.exceptions import Abort, TyperException

    from pipeline.cli.app import app

    try:
        code = cast(Callable[..., Any], app)(
            args=list(arguments), prog_name="campaign", standalone_mode=False
        )
    except CampaignError as error:
        return _tell(error, arguments)
    except TyperException as misuse:
        return _tell(_as_unusable(misuse), arguments)
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else int(ExitCode.FAILED)
    except (KeyboardInterrupt, Abort):
        return int(ExitCode.INTERRUPTED)
    except Exception as fault:  # no traceback: it could show people's data
        return _tell(as_fault(fault), arguments)
    return code if isinstance(code, int) else int(ExitCode.DONE)


def _tell(error: CampaignError, arguments: Sequence[str]) -> int:
    from pipeline.cli.telling import error_json, out_json, tell_error

    if "--json" in arguments:
        out_json(error_json(error))
    else:
        tell_error(error)
    return int(error.exit_code)


def _as_unusable(misuse: Any) -> Unusable:
    """Return a mistake on the command line in our words: what, and where help is."""
    context = getattr(misuse, "ctx", None)
    command = context.command_path if context is not None else "campaign"
    message = misuse.format_message().rstrip(".")
    hint = f"`{command} --help` shows what there is"
    option = getattr(misuse, "option_name", "")
    if option in BEFORE_COMMAND and command != "campaign":
        hint = f"it stands before the command: `campaign {option} ... {command.removeprefix('campaign ')}`"
    elif option in BEHIND_COMMAND and command == "campaign":
        hint = f"it stands behind the command: `campaign status {option}`"
    return Unusable(message[:1].lower() + message[1:], hint)


def as_fault(fault: Exception) -> CampaignError:
    """Return a fault of this program as one line that holds nobody's data."""
    if os.environ.get(SHOW_TRACEBACK):
        traceback.print_exception(fault)
    place = traceback.extract_tb(fault.__traceback__)[-1]
    return CampaignError(
        f"a fault of this program: {type(fault).__name__} at {Path(place.filename).name}:{place.lineno}",
        "nothing more was sent; please report this line, and what you did, to its makers",
    )
