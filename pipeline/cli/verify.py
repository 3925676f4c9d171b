"""`campaign verify FILE`: whether a file of evidence is as it was written."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose
from pipeline.errors import ExitCode, Unusable


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(verify)


def verify(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `campaign export --evidence` wrote.")],
    head: Annotated[
        str, typer.Option("--head", metavar="HASH", help="The head that was noted.", show_default=False)
    ] = "",
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Say whether a file of evidence is as it was written."""
    from pipeline.cli.telling import SCHEMA, err, out, out_json
    from pipeline.problem import visible
    from pipeline.report import verification

    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise Unusable(f"{file} is no file", "name what `campaign export --evidence` wrote")
        with file.open("rb") as opened:
            found = verification.verify(opened, head=head)
    except OSError as trouble:
        raise Unusable(f"{file} cannot be read: {trouble.strerror}") from None
    if json:
        out_json(
            {
                "schema": SCHEMA,
                "ok": found.ok,
                "file": str(file),
                "entries": found.entries,
                "octets": found.octets,
                "head": found.head,
                "problems": [{"entry": fault.entry, "what": fault.what} for fault in found.faults],
                "more_problems": found.more_faults,
            }
        )
    else:
        for fault in found.faults:
            err(f"error: {visible(f'{fault.entry}: ' if fault.entry else '')}{visible(fault.what)}")
        if found.more_faults:
            err(f"error: and {found.more_faults} more")
        if found.ok and not quiet:
            out(f"{file}: as it was written; {found.entries} entries, {found.octets} octets")
            out(f"head {found.head}{' is the one that was noted' if head else ''}")
            if not head:
                out("compare it with the head that was noted then: a file made anew has another")
        elif not quiet:
            err(f"{visible(str(file))} does NOT verify")
    if not found.ok:
        raise typer.Exit(int(ExitCode.FAILED))
