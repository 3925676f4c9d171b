"""`campaign pause` and `campaign resume`: stop all sending, and let it go on."""

from __future__ import annotations

import typer

from pipeline.cli.options import Json, Quiet, Verbose, Why
from pipeline.cli.place import Place


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("pause")(pause)
    app.command("resume")(resume)


def pause(
    context: typer.Context,
    why: Why = "",
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Stop all sending within seconds. A running send stops too; letters stay where they are."""
    from pipeline.cli.suppressions import opened
    from pipeline.cli.telling import SCHEMA, next_step, out, out_json
    from pipeline.clock import to_us
    from pipeline.store import operator

    place: Place = context.obj
    with opened(place) as world, world.campaign.writing() as connection:
        operator.pause(connection, why=why, now_us=to_us(place.clock.now()))
    if json:
        out_json({"schema": SCHEMA, "paused": True})
    elif not quiet:
        out("paused: nothing is sent until `campaign resume`")
        next_step("`campaign resume` when letters may go again")


def resume(context: typer.Context, json: Json = False, verbose: Verbose = 0, quiet: Quiet = False) -> None:
    """Let sending go on. Also says that this store is the one in use, after a copy or a restored backup."""
    from pipeline.cli.suppressions import opened
    from pipeline.cli.telling import SCHEMA, next_step, out, out_json
    from pipeline.clock import to_us
    from pipeline.store import operator
    from pipeline.store.world import accept_place, why_not_here

    place: Place = context.obj
    with opened(place) as world:
        elsewhere = why_not_here(world)
        if elsewhere:
            accept_place(world, clock=place.clock)
        with world.campaign.writing() as connection:
            was_paused = operator.resume(connection, now_us=to_us(place.clock.now()), why=elsewhere)
    if json:
        out_json({"schema": SCHEMA, "paused": False, "accepted_place": elsewhere})
        return
    if elsewhere:
        out(f"this store is now the one in use ({elsewhere})")
        out("what another copy has sent since would be sent again: `campaign cancel` those you know of")
    if not quiet:
        out("sending may go on" if was_paused or elsewhere else "nothing was paused")
        next_step("`campaign send`")
