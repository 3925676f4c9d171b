"""`campaign suppress`: addresses that are not to be written to, by this user's campaigns."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose, Why
from pipeline.cli.place import Place
from pipeline.errors import Unusable

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=False)


@app.command("list")
def list_(context: typer.Context, json: Json = False, verbose: Verbose = 0, quiet: Quiet = False) -> None:
    """Show who is not to be written to, since when, and why."""
    from pipeline.cli.suppressions import opened
    from pipeline.cli.telling import SCHEMA, next_step, out, out_json, table
    from pipeline.store import shared

    place: Place = context.obj
    with opened(place) as world, world.common.reading() as connection:
        entries = list(shared.all_suppressions(connection))
    if json:
        out_json(
            {
                "schema": SCHEMA,
                "suppressions": [
                    {
                        "address": entry.address,
                        "hash": entry.hash,
                        "reason": str(entry.reason),
                        "source": entry.source,
                        "since": entry.since,
                    }
                    for entry in entries
                ],
            }
        )
        return
    _warn_of_the_sandbox(place)
    if not entries:
        out("nobody is suppressed")
        next_step("`campaign suppress add ADDRESS` when somebody asks not to be written to")
        return
    rows = [
        (f"{entry.since:%Y-%m-%d}", entry.address or f"({entry.hash[:12]})", str(entry.reason), entry.source)
        for entry in entries
    ]
    for text in table([("since", "address", "reason", "source"), *rows]):
        out(text)
    next_step("`campaign suppress remove ADDRESS --why ...` if one of them is a mistake")


@app.command("add")
def add(
    context: typer.Context,
    addresses: Annotated[list[str], typer.Argument(help="Addresses not to be written to.")],
    why: Why = "",
    opted_out: Annotated[
        bool, typer.Option("--opted-out", help="Its owner asked not to be written to.")
    ] = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Never write to these addresses again. This holds for every campaign of this user.

    The sandbox has a list of its own.
    """
    from pipeline.cli.suppressions import opened
    from pipeline.cli.telling import SCHEMA, counted, next_step, out, out_json
    from pipeline.recipients.suppression import Reason, Suppression, suppression_hash
    from pipeline.store import shared

    place: Place = context.obj
    keys = [_key(address) for address in addresses]
    with opened(place) as world, world.common.writing() as connection:
        secret = shared.shared_secret(connection)
        number = sum(
            shared.suppress(
                connection,
                Suppression(
                    hash=suppression_hash(secret, key),
                    address=key,
                    reason=Reason.OPTOUT if opted_out else Reason.OPERATOR,
                    source=why or "suppress add",
                    since=place.clock.now(),
                ),
            )
            for key in keys
        )
    if json:
        out_json({"schema": SCHEMA, "added": number})
        return
    _warn_of_the_sandbox(place)
    if not quiet:
        out(f"{counted(number, 'address')} newly suppressed" if number else "suppressed already")
        next_step("`campaign suppress list`")


@app.command("remove")
def remove(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="An address that may be written to again.")],
    why: Why = "",
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Allow writing to an address again. Where its owner asked for silence, a reason is asked for."""
    from pipeline.cli.suppressions import opened, suppressed_keys
    from pipeline.cli.telling import SCHEMA, next_step, out, out_json
    from pipeline.clock import to_us
    from pipeline.recipients.suppression import OWNERS_WORD
    from pipeline.store import operator, shared

    place: Place = context.obj
    key = _key(address)
    entry = suppressed_keys(place, [key]).get(key)
    if entry is None:
        raise Unusable(f"{address} is not suppressed", "`campaign suppress list` shows who is")
    if entry.reason in OWNERS_WORD and not why:
        raise Unusable(
            f"{address} asked not to be written to ({entry.reason}, {entry.since:%Y-%m-%d})",
            "if its owner has changed their mind, say how you know: --why TEXT",
        )
    with opened(place) as world:
        with world.campaign.writing() as connection:
            operator.log(
                connection, None, "suppression lifted", f"{entry.reason}: {why}", to_us(place.clock.now())
            )
        with world.common.writing() as connection:
            shared.lift(connection, entry.hash)
    if json:
        out_json({"schema": SCHEMA, "removed": 1})
    elif not quiet:
        out(f"{key} may be written to again")
        next_step("`campaign send`, if a letter was held back")


def _warn_of_the_sandbox(place: Place) -> None:
    """Say on stderr that the sandbox has its own list: trusting it would send a letter to who opted out."""
    from pipeline.cli.telling import err
    from pipeline.store.world import WorldName

    if place.world_name is WorldName.SANDBOX:
        err("this is the sandbox's own list: it does not hold for a real relay")
        err(" help: name the relay in campaign.toml first, or add --set relay.url=... for this command")


def _key(address: str) -> str:
    from pipeline.mail.address import AddressFault, address_key

    try:
        return address_key(address)
    except AddressFault as fault:
        raise Unusable(str(fault), "give one address, like name@example.org") from None
