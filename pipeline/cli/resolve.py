"""`campaign resolve`: settle letters in doubt."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose
from pipeline.cli.place import Place
from pipeline.errors import Unusable


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("resolve")(resolve)


def resolve(
    context: typer.Context,
    who: Annotated[
        list[str] | None, typer.Argument(help="Addresses, numbers or Message-IDs; `all` for every one.")
    ] = None,
    sent: Annotated[
        bool, typer.Option("--sent", help="The relay had taken them: count them as sent.")
    ] = False,
    resend: Annotated[
        bool, typer.Option("--resend", help="The relay had not taken them: queue the same letters again.")
    ] = False,
    why: Annotated[
        str, typer.Option("--why", metavar="TEXT", help="How you know; it is kept with the letter.")
    ] = "",
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """List letters in doubt, or settle them. In doubt is a letter whose connection was lost behind its final dot."""
    from pipeline.cli.deciding import decide
    from pipeline.cli.show import key_of
    from pipeline.delivery.letter import State
    from pipeline.store import operator

    place: Place = context.obj
    if sent and resend:
        raise Unusable(
            "--sent and --resend say opposite things", "settle some letters with the one, some with the other"
        )
    if not (sent or resend):
        _list(place, json=json, quiet=quiet)
        return
    if not who:
        raise Unusable(
            "say which letters", "an address, a number or a Message-ID of `campaign resolve`'s list, or all"
        )
    settle = operator.settle_as_sent if sent else operator.settle_as_unsent
    names = None if who == ["all"] else [key_of(name) for name in who]
    decide(
        place,
        names,
        (State.IN_DOUBT,),
        settle,
        why=why,
        done="settled: they count as sent" if sent else "queued again, with the same bytes and Message-ID",
        nothing="no such letter is in doubt",
        json=json,
        locked=True,
        next_="`campaign send`" if resend else "`campaign status`",
    )


def _list(place: Place, *, json: bool, quiet: bool) -> None:
    from pipeline.cli.suppressions import opened
    from pipeline.cli.telling import moment, next_step, out, out_json, table
    from pipeline.delivery.letter import State
    from pipeline.store import history

    with opened(place) as world, world.campaign.reading() as connection:
        doubts = history.letters_in(connection, [State.IN_DOUBT])
        relays = {line.id: history.attempts_of(connection, line.id)[-1].relay for line in doubts}
    if json:
        out_json(
            {
                "schema": 1,
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
        return
    head = ("letter", "to", "handed over", "relay", "Message-ID")
    rows = [
        (
            str(line.id),
            line.email,
            moment(line.last_attempt_at) if line.last_attempt_at else "-",
            relays[line.id],
            line.message_id,
        )
        for line in doubts
    ]
    for text in table([head, *rows]):
        out(text)
    out(
        "\nThe relay may have taken them or not. Look for the Message-ID in its log, in your Sent folder or in a copy you"
    )
    out("get, then: `campaign resolve --sent LETTER...` or `campaign resolve --resend LETTER...`")
    next_step("`campaign resolve --sent` or `--resend`, with the letters' numbers")
