"""`campaign resend WHO`: queue failed, cancelled or expired letters again."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose, Why
from pipeline.cli.place import Place


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("resend")(resend)


def resend(
    context: typer.Context,
    who: Annotated[
        list[str],
        typer.Argument(metavar="WHO", help="Addresses, numbers or Message-IDs; `all` for every one."),
    ],
    why: Why = "",
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Queue failed, cancelled or expired letters again. A letter that was sent is never sent again."""
    from pipeline.cli.deciding import decide
    from pipeline.store import operator

    place: Place = context.obj
    decide(
        place,
        None if who == ["all"] else who,
        operator.RESENDABLE,
        operator.resend,
        why=why,
        done="queued again",
        nothing="no such letter has failed, been cancelled or expired",
        json=json,
        quiet=quiet,
        locked=False,
        next_="`campaign send`",
    )
