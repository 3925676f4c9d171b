"""`campaign approve`: somebody says that words may go as they are: a translator, of a version."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose, level
from pipeline.cli.place import Place, Voice


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("approve")(approve)


def approve(
    context: typer.Context,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who approves; it is kept.")],
    translation: Annotated[
        str,
        typer.Option(
            "--translation", metavar="LANG", help="This version says what the one it was made from says."
        ),
    ],
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Confirm that a version says what its source says."""
    from pipeline.cli.translation import confirm_translation

    place: Place = context.obj
    confirm_translation(place, Voice(json, level(verbose, quiet)), translation, by)
