"""`campaign cancel`: withdraw letters that wait."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose, Why
from pipeline.cli.place import Place
from pipeline.errors import Unusable


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("cancel")(cancel)


def cancel(
    context: typer.Context,
    who: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WHO", help="Addresses, numbers or Message-IDs; without any, every letter that waits."
        ),
    ] = None,
    why: Why = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before withdrawing all.")] = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Withdraw letters that wait. Also while a send is running; what was accepted cannot be called back."""
    from pipeline.cli.deciding import decide
    from pipeline.cli.telling import ask
    from pipeline.delivery.letter import State
    from pipeline.store import operator

    place: Place = context.obj
    names = None if not who or who == ["all"] else who
    if names is None and not yes:
        if not sys.stdin.isatty():
            raise Unusable("this would withdraw every letter that waits", "say `campaign cancel --yes`")
        if ask("Withdraw every letter that waits? Type yes").lower() not in ("y", "yes"):
            raise Unusable("not confirmed; nothing was withdrawn")
    decide(
        place,
        names,
        (State.PLANNED, State.QUEUED),
        operator.cancel,
        why=why,
        done="withdrawn",
        nothing="no such letter waits",
        json=json,
        quiet=quiet,
        locked=False,
        next_="`campaign status`; `campaign resend ADDRESS` takes it back",
    )
