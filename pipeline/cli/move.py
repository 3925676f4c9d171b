"""`campaign move`: the store, from a file of this machine to a PostgreSQL that several hosts can use."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose, level
from pipeline.cli.place import Place, Voice
from pipeline.errors import Unusable

if TYPE_CHECKING:
    from pipeline.store.address import ServerAddress
    from pipeline.store.moving import Moved
    from pipeline.store.world import World


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("move")(move)


def move(
    context: typer.Context,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="URL", help='The new store, "postgresql://user@host/database"; no password.'
        ),
    ] = None,
    back: Annotated[
        bool, typer.Option("--back", help="Stay with the file after a move that was not finished.")
    ] = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Carry the store over to a PostgreSQL server.

    Letters, attempts, contents, replies, opt-outs and limits go along.

    May be broken off and run again at any time. The file stays, and never sends again.
    """
    place: Place = context.obj
    voice = Voice(json, level(verbose, quiet))
    if back:
        if to is not None:
            raise Unusable("--back stays with the file: it takes no --to")
        _stay(place, voice)
        return
    address = _address(place, to)
    with ExitStack() as stack:
        world = _leave(place, stack)
        moved = _move(place, world, address, voice)
    _tell(place, address, moved, voice)


def _address(place: Place, to: str | None) -> ServerAddress:
    """Return where to; what campaign.toml says will do."""
    from pipeline.store.address import FORM, parse_server

    if to is None:
        if place.settings.store_server is None:
            raise Unusable("where to?", "`campaign move --to postgresql://user@host/database`")
        return place.settings.store_server
    try:
        return parse_server(to)
    except ValueError as wrong:
        words, _, hint = str(wrong).partition("\n")
        hint = hint.replace(FORM, "--to postgresql://user@host:5432/database")
        raise Unusable(f"--to: {words}", hint) from None


def _leave(place: Place, stack: ExitStack) -> World:
    """Open the file, and keep everybody else from it.

    Raises Unusable where there is none; AlreadyRunning while a send or a fetch is at work.
    """
    from pipeline.store.lock import RunLock
    from pipeline.store.world import WorldName, open_world, store_path

    settings = place.settings
    if not store_path(settings.root, WorldName.REAL, settings.store_file).exists():
        raise Unusable(
            "there is nothing to move: no letter of this folder was ever planned for a real relay",
            "put the address into campaign.toml, as url in [store]; the store is made there",
        )
    world = open_world(
        settings.root,
        WorldName.REAL,
        key=settings.key,
        store=settings.store_file,
        shared_folder=settings.shared,
        clock=place.clock,
        dice=place.dice,
        leaving=True,
    )
    stack.callback(world.close)
    for name in (".lock", ".replies.lock"):
        stack.enter_context(RunLock(world.campaign.path.with_suffix(name), since=place.local_now))
    return world


def _move(place: Place, world: World, address: ServerAddress, voice: Voice) -> Moved:
    from pipeline.cli.telling import err
    from pipeline.store.moving import move as carry_over

    def told(table: str, rows: int) -> None:
        if voice.chatty and not voice.json and voice.level > 0:
            err(f"{table}: {rows}")

    return carry_over(world, place.server(address), clock=place.clock, told=told)


def _tell(place: Place, address: ServerAddress, moved: Moved, voice: Voice) -> None:
    from pipeline.cli.telling import SCHEMA, counted, next_step, out, out_json
    from pipeline.store.world import line_for

    written = place.settings.store_server == address
    if voice.json:
        out_json(
            {
                "schema": SCHEMA,
                "to": address.name,
                "again": moved.again,
                "letters": moved.states,
                "tables": moved.tables,
                "notices": moved.notices,
                "shared": moved.shared,
            }
        )
        return
    if voice.level < 0:
        return
    number = sum(moved.states.values())
    if moved.again:
        out(f"{address.name} has all of it already: {counted(number, 'letter')}")
    else:
        states = ", ".join(f"{count} {state}" for state, count in sorted(moved.states.items()))
        out(f"{counted(number, 'letter')} moved to {address.name}{f': {states}' if states else ''}")
        out(f"{counted(sum(moved.tables.values()), 'row')} read back and compared: all of them are there")
        if moved.shared.get("suppressions"):
            out(f"{counted(moved.shared['suppressions'], 'opt-out')} of this machine hold there too")
    out("the old file stays where it is and never sends again")
    if written:
        next_step("`campaign status`")
    else:
        next_step(f"say so in campaign.toml: {line_for(address.url)}; then `campaign status`")


def _stay(place: Place, voice: Voice) -> None:
    from pipeline.cli.telling import SCHEMA, out, out_json
    from pipeline.store.moving import take_back

    with ExitStack() as stack:
        towards = take_back(_leave(place, stack))
    if voice.json:
        out_json({"schema": SCHEMA, "back_from": towards})
    elif voice.level >= 0:
        out(f"the move to {towards} is called off" if towards else "there was no move to call off")
