"""`campaign replies list` and `campaign replies show ID`: what came back, and which letter it answers."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose
from pipeline.cli.place import Place
from pipeline.errors import Unusable


def list_(
    context: typer.Context,
    unmatched: Annotated[
        bool, typer.Option("--unmatched", help="Those that answer no known letter.")
    ] = False,
    kind: Annotated[
        str,
        typer.Option("--kind", metavar="KIND", help="human, auto, bounce, optout, ...", show_default=False),
    ] = "",
    review: Annotated[bool, typer.Option("--review", help="Those that a person should look at.")] = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """List what came back, oldest first."""
    from pipeline.cli.replies_telling import reply_document, reply_row
    from pipeline.cli.suppressions import opened
    from pipeline.cli.telling import SCHEMA, next_step, out, out_json, table, terminal_width
    from pipeline.replies.kinds import Kind
    from pipeline.store import replies

    place: Place = context.obj
    if kind and kind not in set(Kind):
        raise Unusable(f"there is no kind of reply called {kind}", "one of: " + ", ".join(Kind))
    with opened(place) as world, world.campaign.reading() as connection:
        found = list(replies.listing(connection, replies.Wanted(unmatched, review, kind)))
    if json:
        out_json({"schema": SCHEMA, "replies": [reply_document(line) for line in found]})
        return
    import sys

    rows = [reply_row(line, place.settings.timezone) for line in found]
    for text in table(rows, width=terminal_width(sys.stdout)):
        out(text)
    if not found and not quiet:
        out("no such reply")
    next_step("`campaign replies show ID`" if found else "`campaign replies fetch`")


def show(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="ID", help="A reply's number in the list.")],
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Show one reply: its words, what it answers, and why."""
    from pipeline.cli.replies_telling import reply_document, reply_lines
    from pipeline.cli.suppressions import opened
    from pipeline.cli.telling import SCHEMA, next_step, out, out_json
    from pipeline.store import replies

    place: Place = context.obj
    with opened(place) as world, world.campaign.reading() as connection:
        line = replies.one(connection, number)
    if line is None:
        raise Unusable(f"there is no reply {number}", "`campaign replies list` shows their numbers")
    if json:
        out_json({"schema": SCHEMA} | reply_document(line))
        return
    for text in reply_lines(line, place.settings.timezone):
        out(text)
    if line.review:
        next_step(f"`campaign replies review {line.id} --optout` or `--keep`")
    elif line.letter is None:
        next_step(f"`campaign replies assign {line.id} LETTER`, or `none`")
    else:
        next_step(f"`campaign show {line.letter}` tells the letter's story")
