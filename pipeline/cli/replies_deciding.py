"""`campaign replies assign` and `campaign replies review`: what a person says about a reply; logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose, Why
from pipeline.cli.place import Place
from pipeline.errors import Unusable

if TYPE_CHECKING:
    from pipeline.store.history import LetterLine
    from pipeline.store.replies import ReplyLine
    from pipeline.store.world import World

Number = Annotated[int, typer.Argument(metavar="ID", help="A reply's number in `campaign replies list`.")]


def assign(
    context: typer.Context,
    number: Number,
    who: Annotated[
        str,
        typer.Argument(
            metavar="WHO", help="The letter it answers: an address, a number, a Message-ID; `none` for none."
        ),
    ],
    why: Why = "",
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Lay a reply beside the letter it answers. Sorting again does not change it.

    An opt-out then holds for the letter's recipient, too.
    """
    from pipeline.cli.suppressions import opened
    from pipeline.cli.telling import SCHEMA, next_step, out, out_json
    from pipeline.clock import to_us
    from pipeline.store import replies

    place: Place = context.obj
    with opened(place) as world:
        line = _reply(world, number)
        letter = None if who == "none" else _letter(world, who)
        barred = []
        if letter is not None and line.kind == "optout":  # first: a crash leaves it to be done
            barred = _bar(place, world, number, "", _key(letter.email))
        with world.campaign.writing() as connection:
            letter_id = letter.id if letter is not None else None
            replies.assign(connection, number, letter_id, why=why, now_us=to_us(place.clock.now()))
    if json:
        out_json({"schema": SCHEMA, "reply": number, "letter": letter_id, "suppressed": barred})
    elif not quiet:
        out(
            f"reply {number} answers "
            + (f"letter {letter_id}" if letter is not None else "no letter of ours")
        )
        if barred:
            out(f"not to be written to any more: {', '.join(barred)}")
        next_step("`campaign replies list --unmatched`")


def review(
    context: typer.Context,
    number: Number,
    optout: Annotated[
        bool, typer.Option("--optout", help="It asks for no more letters: none are sent any more.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="It is what it is said to be; go on writing.")] = False,
    why: Why = "",
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Say of a doubtful reply whether it is an opt-out."""
    from pipeline.cli.suppressions import opened
    from pipeline.cli.telling import SCHEMA, next_step, out, out_json
    from pipeline.clock import to_us
    from pipeline.store import replies

    place: Place = context.obj
    if optout == keep:
        raise Unusable("say what it is", "--optout: no more letters; --keep: it stays as it is")
    with opened(place) as world:
        line = _reply(world, number)
        barred = _bar(place, world, number, line.address, _key(line.to)) if optout else []
        kind = "optout" if optout else line.kind
        with world.campaign.writing() as connection:
            replies.reviewed(connection, number, kind=kind, why=why, now_us=to_us(place.clock.now()))
    if json:
        out_json({"schema": SCHEMA, "reply": number, "kind": kind, "suppressed": barred})
    elif not quiet:
        out(f"not to be written to any more: {', '.join(barred)}" if barred else f"reply {number} is {kind}")
        next_step("`campaign replies list --review`")


def _reply(world: World, number: int) -> ReplyLine:
    from pipeline.store import replies

    with world.campaign.reading() as connection:
        line = replies.one(connection, number)
    if line is None:
        raise Unusable(f"there is no reply {number}", "`campaign replies list` shows their numbers")
    return line


def _letter(world: World, who: str) -> LetterLine:
    """Return the one letter that ``who`` names."""
    from pipeline.cli.deciding import spellings
    from pipeline.store import history

    with world.campaign.reading() as connection:
        found = history.find_letters(connection, spellings(who)[-1], who)
    if len(found) != 1:
        raise Unusable(
            f"there is no letter to {who}" if not found else f"there are {len(found)} letters to {who}",
            "give a letter's number: `campaign show ADDRESS` tells it",
        )
    return found[0]


def _bar(place: Place, world: World, number: int, writer: str, recipient: str) -> list[str]:
    """Suppress whoever wrote a reply, and the recipient key of the letter it answers ("" for none of them).

    Return their keys.
    """
    from pipeline.cli.collecting import ourselves
    from pipeline.replies.acting import Acts, opt_out
    from pipeline.store import strikes

    now = place.clock.now()
    why = [f"reply {number}, looked at by a person"]
    barring = opt_out(writer, recipient, why, ourselves(place.settings, world).addresses)
    with world.common.writing() as connection:
        strikes.carry_out(connection, Acts(barring), source="", at=now, now=now)
    return [one.key for one in barring]


def _key(address: str) -> str:
    from pipeline.mail.address import address_key

    return address_key(address) if address else ""
