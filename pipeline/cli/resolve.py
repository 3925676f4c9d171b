"""`campaign resolve`: settle letters in doubt."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose, Why
from pipeline.cli.place import Place
from pipeline.errors import Unusable


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("resolve")(resolve)


def resolve(
    context: typer.Context,
    who: Annotated[
        list[str] | None,
        typer.Argument(metavar="WHO", help="Addresses, numbers or Message-IDs; `all` for every one."),
    ] = None,
    sent: Annotated[
        bool, typer.Option("--sent", help="The relay had taken them: count them as sent.")
    ] = False,
    resend: Annotated[
        bool, typer.Option("--resend", help="The relay had not taken them: queue the same letters again.")
    ] = False,
    why: Why = "",
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """List letters in doubt, or settle them. In doubt: all of it went out, and no answer came."""
    from pipeline.cli.deciding import decide
    from pipeline.delivery.letter import State
    from pipeline.store import operator

    place: Place = context.obj
    if sent and resend:
        raise Unusable(
            "--sent and --resend say opposite things", "settle some letters with the one, some with the other"
        )
    if who and not (sent or resend):
        raise Unusable("say what became of them", "--sent: they were taken; --resend: they were not")
    if not (sent or resend):
        _list(place, json=json, quiet=quiet)
        return
    if not who:
        raise Unusable(
            "say which letters", "an address, a number or a Message-ID of `campaign resolve`'s list, or all"
        )
    settle = operator.settle_as_sent if sent else operator.settle_as_unsent
    names = None if who == ["all"] else who
    decide(
        place,
        names,
        (State.IN_DOUBT,),
        settle,
        why=why,
        done="settled as sent" if sent else "queued again, with the same bytes and Message-ID",
        nothing="no such letter is in doubt",
        json=json,
        quiet=quiet,
        locked=True,
        next_="`campaign send`" if resend else "`campaign status`",
    )


def _list(place: Place, *, json: bool, quiet: bool) -> None:
    from pipeline.cli.deciding import find_what_a_dead_run_left
    from pipeline.cli.suppressions import opened
    from pipeline.cli.telling import SCHEMA, local_moment, next_step, out, out_json
    from pipeline.delivery.letter import State
    from pipeline.problem import visible
    from pipeline.store import history

    with opened(place) as world:
        find_what_a_dead_run_left(place, world)
        with world.campaign.reading() as connection:
            doubts = history.letters_in(connection, [State.IN_DOUBT])
            relays = {line.id: history.attempts_of(connection, line.id)[-1].relay for line in doubts}
    if json:
        out_json(
            {
                "schema": SCHEMA,
                "in_doubt": [
                    {
                        "letter": line.id,
                        "to": line.email,
                        "message_id": line.message_id,
                        "relay": relays[line.id],
                        "at": line.last_attempt_at,
                        "why": line.why,
                    }
                    for line in doubts
                ],
            }
        )
        return
    if not doubts:
        if not quiet:
            out("no letter is in doubt")
            next_step("`campaign status`")
        return
    zone = place.settings.timezone
    for line in doubts:
        at = local_moment(line.last_attempt_at, zone) if line.last_attempt_at else "-"
        out(visible(f"letter {line.id} to {line.email}"))
        out(visible(f"  handed to {relays[line.id]} at {at}"))
        out(f"  Message-ID {line.message_id}")
    out()
    out("The relay may have taken them or not. Look for the Message-ID in its log, in your Sent folder or")
    out("in a copy you get. Then, with letter numbers or addresses:")
    out("  campaign resolve --sent LETTER...      it was taken: count it as sent")
    out("  campaign resolve --resend LETTER...    it was not: send the same letter again")
    next_step("`campaign resolve --sent ...` or `campaign resolve --resend ...`")
