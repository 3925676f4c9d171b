"""The command line: one file per command, no decisions.

`main` runs the command and turns every `CampaignError` into its message and exit code. Heavy modules are imported inside
commands, so that `--help` and `status` answer at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

EXIT_CODES = """
Exit codes, the first that applies:
  130  interrupted
    6  the store cannot be written
    2  usage, config or data: nothing was sent
    4  the relay refused us (login, TLS, policy): stopped, nothing lost
    5  another run on this host holds this campaign
    1  in this run a letter failed for good, or letters are in doubt
    3  letters wait for a later run (deferred, limit, quota, hours)
    0  nothing left to do now
"""


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: list[str]) -> int:
    """Run one command; return its exit code. Nothing but `KeyboardInterrupt` inside a child escapes."""
    from pipeline.cli.app import app
    from pipeline.cli.telling import err, error_json, out_json, tell_error
    from pipeline.errors import CampaignError, ExitCode

    try:
        code = app(args=arguments, prog_name="campaign", standalone_mode=True)
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else (1 if ending.code else 0)
    except CampaignError as error:
        if "--json" in arguments:
            out_json(error_json(error))
        else:
            tell_error(error)
        return int(error.exit_code)
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.DONE)
    except KeyboardInterrupt:
        err("interrupted")
        return int(ExitCode.INTERRUPTED)
    except Exception as fault:  # noqa: BLE001 - the last line of defence: no traceback with people's data in it
        place = traceback.extract_tb(fault.__traceback__)[-1]
        err(
            f"error: a fault of this program: {type(fault).__name__} at {Path(place.filename).name}:{place.lineno}"
        )
        err(" help: nothing more was sent; please report this line, and what you did, to its makers")
        if os.environ.get("CAMPAIGN_TRACEBACK"):
            traceback.print_exc()
        return int(ExitCode.FAILED)
    return code if isinstance(code, int) else 0
