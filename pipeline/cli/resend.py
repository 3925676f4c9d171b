"""`campaign resend WHO`: queue failed, cancelled or expired letters again."""

from __future__ import annotations

from collections.abc import Collection
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
    ids = decide(
        place,
        None if who == ["all"] else who,
        operator.RESENDABLE,
        operator.resend,
        why=why,
        done="queued again",
        nothing="no such letter has failed, been cancelled or expired, or it holds the name of somebody who "
        "signs it no longer",
        json=json,
        quiet=quiet,
        locked=False,
        next_="`campaign send`",
    )
    if not json:
        _tell_of_suppressed(place, ids)


def _tell_of_suppressed(place: Place, ids: Collection[int]) -> None:
    """Say on stderr which of the letters will not go all the same: their address is suppressed."""
    from pipeline.cli.suppressions import opened, suppressed_keys
    from pipeline.cli.telling import err
    from pipeline.delivery.letter import State
    from pipeline.problem import visible
    from pipeline.store import queue

    with opened(place) as world, world.campaign.reading() as connection:
        keys = queue.recipients_in(connection, State.QUEUED)
    for key in sorted(suppressed_keys(place, [keys[letter] for letter in ids if letter in keys])):
        err(visible(f"{key} is suppressed and gets no letter before `campaign suppress remove {key}`"))
