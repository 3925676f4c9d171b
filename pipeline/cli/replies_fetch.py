"""`campaign replies fetch`: new mail from the mailbox, sorted, laid beside its letter, acted upon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import JsonLines, Quiet, Verbose, level
from pipeline.cli.place import Place, Voice
from pipeline.errors import CampaignError, ExitCode, Unusable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.cli.collecting import Brought, Sorted


def fetch(
    context: typer.Context,
    again: Annotated[
        bool, typer.Option("--again", help="Sort all mail that was ever fetched anew, too.")
    ] = False,
    json: JsonLines = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Fetch new mail, sort it, act upon it. The mailbox is only read.

    Certain opt-outs, complaints and bounces of ours hold at once for every letter that waits.
    """
    place: Place = context.obj
    voice = Voice(json, level(verbose, quiet))
    if not voice.json:
        raise typer.Exit(_fetch(place, voice, again=again))
    from pipeline.cli.telling import error_json, out_json

    try:
        code = _fetch(place, voice, again=again)
    except CampaignError as error:
        from pipeline.cli.collecting import Brought

        out_json(error_json(error))
        code = int(error.exit_code)
        out_json(_summary(Brought(), code))
    raise typer.Exit(code)


def _fetch(place: Place, voice: Voice, *, again: bool) -> int:
    from pipeline.cli.collecting import collect_replies
    from pipeline.cli.deciding import find_what_a_dead_run_left
    from pipeline.cli.suppressions import opened
    from pipeline.cli.telling import error_json, out_json, tell_error

    if place.settings.mailbox is None:
        raise Unusable(
            "campaign.toml names no mailbox that replies come to",
            '[replies] mailbox = "imaps://user@imap.example.org/INBOX", "maildir:PATH" or "mbox:PATH"',
        )
    with opened(place) as world:
        find_what_a_dead_run_left(place, world)
        brought = collect_replies(place, world, again=again, told=_told(voice))
    code = int(brought.trouble.exit_code if brought.trouble is not None else ExitCode.DONE)
    if voice.json:
        if brought.trouble is not None:
            out_json(error_json(brought.trouble))
        out_json(_summary(brought, code))
        return code
    if brought.trouble is not None:
        tell_error(brought.trouble)
    if voice.chatty:
        _tell(brought)
    return code


def _told(voice: Voice) -> Callable[[Sorted], None]:
    from pipeline.cli.replies_telling import reply_document
    from pipeline.cli.telling import out, out_json
    from pipeline.problem import visible

    def tell(one: Sorted) -> None:
        if voice.json and not one.ours:
            followed = {"suppressed": [barring.key for barring in one.barred], "settled": one.settled}
            out_json({"type": "reply"} | reply_document(one.line) | followed)
        elif voice.level > 0:
            letter = f"letter {one.line.letter}" if one.line.letter is not None else "no letter"
            out(visible(f"{one.line.kind}: {one.line.address or '-'}: {letter}: {one.line.subject}"))

    return tell


def _summary(brought: Brought, code: int) -> dict[str, object]:
    from pipeline.cli.telling import SCHEMA

    return {
        "type": "summary",
        "schema": SCHEMA,
        "fetched": brought.collected.new,
        "known": brought.collected.known,
        "partial": brought.collected.partial,
        "sorted": brought.sorted,
        "replies": dict(sorted(brought.kinds.items())),
        "unmatched": brought.unmatched,
        "review": brought.review,
        "suppressed": brought.barred,
        "settled": brought.settled,
        "exit": code,
    }


def _tell(brought: Brought) -> None:
    from pipeline.cli.telling import counted, next_step, out

    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(brought.kinds.items()))
    fetched = counted(brought.collected.new, "mail")
    out(f"{fetched} fetched, {brought.sorted} sorted{': ' if kinds else ''}{kinds}")
    for number, words in (
        (brought.barred, "newly suppressed"),
        (brought.settled, "in doubt until now, surely sent: something came back"),
        (brought.unmatched, "without a letter: `campaign replies list --unmatched`"),
        (brought.review, "for a person to look at: `campaign replies list --review`"),
    ):
        if number:
            out(f"{number} {words}")
    next_step("`campaign replies list`" if brought.sorted else "`campaign status`")
