"""`campaign plan`: rows become letters, and none is released."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose, level
from pipeline.cli.place import Place, Voice


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plan")(plan)


def plan(
    context: typer.Context,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows with errors, and list them.")
    ] = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Plan letters; say what is new, changed, cancelled. Sends nothing."""
    from pipeline.cli.planning import plan_letters_of
    from pipeline.cli.telling import SCHEMA, counted, next_step, out, out_json
    from pipeline.problem import visible

    place: Place = context.obj
    voice = Voice(json, level(verbose, quiet))
    found = plan_letters_of(place, voice, skip_bad=skip_bad)
    if json:
        out_json(
            {
                "schema": SCHEMA,
                "world": str(place.world_name),
                "new": found.new,
                "cancelled": found.cancelled,
                "changed": found.changed,
                "changed_letters": [{"to": email, "line": line} for email, line in found.examples],
            }
        )
        return
    if quiet:
        return
    file = place.settings.recipients_file
    for email, line in found.examples:
        out(visible(f"{file}:{line}: {email} has changed, and will be written anew"))
    if more := found.changed - len(found.examples):
        out(f"... and {more} more")
    out(
        f"{counted(found.new, 'new letter')} planned, {found.changed} changed, "
        f"{found.cancelled} cancelled (their rows are gone)"
    )
    next_step("`campaign render` writes them to be read and approved; `campaign send` sends them")
