"""`campaign show WHO`: one recipient or letter: attempts, responses, replies, and why it is in its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import Json, Quiet, Verbose
from pipeline.cli.place import Place
from pipeline.errors import Unusable

if TYPE_CHECKING:
    from pipeline.store.history import LetterLine
    from pipeline.store.world import World


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("show")(show)


def show(
    context: typer.Context,
    who: Annotated[
        str, typer.Argument(metavar="WHO", help="An address, a letter's number, or a Message-ID.")
    ],
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Tell one letter's story: attempts, answers, replies, state."""
    from pipeline.cli.deciding import spellings
    from pipeline.cli.suppressions import opened, suppressed_keys
    from pipeline.cli.telling import SCHEMA, next_step, out, out_json
    from pipeline.store import history

    place: Place = context.obj
    key = spellings(who)[-1]  # the address key, where it is an address
    with opened(place) as world:
        with world.campaign.reading() as connection:
            found = history.find_letters(connection, key, who)
        stories = [_story(world, line) for line in found]
        named = str(world.name)
    barred = suppressed_keys(place, [key])
    if not stories and not barred:
        raise Unusable(
            f"there is no letter to {who} in this world ({named})",
            "give an address of the list, a letter's number or a Message-ID; `campaign send` plans letters",
        )
    if json:
        suppression = barred.get(key)
        out_json(
            {
                "schema": SCHEMA,
                "world": named,
                "letters": stories,
                "suppressed": {
                    "reason": str(suppression.reason),
                    "source": suppression.source,
                    "since": suppression.since,
                }
                if suppression
                else None,
            }
        )
        return
    if key in barred:
        entry = barred[key]
        out(f"{who} is suppressed since {entry.since:%Y-%m-%d}: {entry.reason} ({entry.source})")
    for story in stories:
        for text in _lines(story, place):
            out(text)
    next_step(_next(stories[0]["state"] if stories else "suppressed"))


def _next(state: str) -> str:
    match state:
        case "in_doubt":
            return "`campaign resolve`"
        case "failed" | "cancelled" | "expired":
            return "`campaign resend WHO` to try it again"
        case "planned" | "queued":
            return "`campaign send`"
        case "suppressed":
            return "`campaign suppress list`"
        case _:
            return "`campaign status`"


def _story(world: World, line: LetterLine) -> dict[str, Any]:
    from dataclasses import asdict

    from pipeline.cli.replies_telling import reply_document
    from pipeline.delivery.letter import State
    from pipeline.store import approvals, history, replies

    with world.campaign.reading() as connection:
        approved = approvals.of_letters(connection, [line.id]).get(line.id)
        approval = approvals.approval(connection, approved.approval) if approved else None
        withheld = approvals.why_withheld(connection, [line.id]).get(line.id, "")
        attempts = history.attempts_of(connection, line.id)
        events = history.events_of(connection, line.id)
        sha256 = history.content_hash(connection, line.id)
        thread = list(replies.listing(connection, replies.Wanted(letters=[line.id])))
    return {
        **asdict(line),
        "state": str(line.state),
        "sha256": sha256,
        "approved_by": approval.by if approval else None,
        "approved_at": approval.at if approval else None,
        "approved_sha256": approved.approved.sha256 if approved else None,
        "draft": approved.approved.file if approved else None,
        "withheld": withheld if line.state is State.PLANNED else "",
        "bounced": any(reply.kind == "bounce" for reply in thread),
        "replies": [reply_document(reply) for reply in thread],
        "attempts": [asdict(attempt) for attempt in attempts],
        "events": [asdict(event) for event in events],
    }


def _lines(story: dict[str, Any], place: Place) -> list[str]:
    from pipeline.cli.telling import local_moment, table
    from pipeline.problem import visible

    zone = place.settings.timezone

    def local(value: Any) -> str:
        return local_moment(value, zone) if value else "-"

    why = f": {story['why']}" if story["why"] else ""
    kind = "follow-up" if story["round"] else "letter"
    where = f"{story['language']}, line {story['line']} of the list"
    by = f"of {story['signatory']} " if story["signatory"] else ""
    lines = [
        f"{kind} {story['id']} {by}to {story['email']} ({where})",
        f"  {story['state']}{why}",
        f"  Message-ID {story['message_id']}",
    ]
    if story["due_at"]:
        lines.append(f"  due {local(story['due_at'])}")
    if story["withheld"]:
        lines.append(f"  not released: {story['withheld']}")
    happened = [(local(story["planned_at"]), "planned", "")]
    if story["approved_by"]:
        happened.append((local(story["approved_at"]), "approved", _approved_words(story)))
    if story["released_at"]:
        happened.append((local(story["released_at"]), "released", ""))
    for attempt in story["attempts"]:
        answer = " ".join(
            str(part) for part in (attempt["code"], attempt["enhanced"], attempt["text"]) if part
        )
        where = f" at {attempt['phase'].upper()}" if attempt["phase"] else ""
        happened.append(
            (
                local(attempt["began_at"]),
                f"attempt {attempt['n']}",
                f"{attempt['verdict'] or 'under way'}{where}: {answer or 'no answer'} ({attempt['relay']})",
            )
        )
    happened += [(local(event["at"]), event["what"], event["why"]) for event in story["events"]]
    happened += [
        (local(reply["received_at"]), f"reply {reply['id']}", _reply_words(reply))
        for reply in story["replies"]
    ]
    happened.sort(key=lambda row: row[0])
    lines += [f"  {text}" for text in table(happened)]
    for reply in story["replies"]:
        if reply["kind"] in ("human", "optout") and reply["text"]:
            lines += ["", f"  reply {reply['id']}, {visible(_whose(reply))}:"]
            lines += [f"    {visible(text)}" for text in reply["text"].splitlines()]
    return lines


def _approved_words(story: dict[str, Any]) -> str:
    """Return who approved a letter, and whether these very bytes were permitted to go."""
    same = {None: "", story["approved_sha256"]: "; these bytes went"}
    words = f"by {story['approved_by']}, {story['draft']}"
    return words + same.get(story["sha256"], "; its Date was set anew when it went")


def _reply_words(reply: dict[str, Any]) -> str:
    """Return what a reply is, in a line."""
    said = next((one["reason"] for one in reply["recipients"] if one["reason"]), "")
    more = ", ".join(
        part
        for part in (
            reply["form"],
            str(said),
            f"case {reply['case']}" if reply["case"] else "",
            f"until {reply['returns']}" if reply["returns"] else "",
            f"forwarded by {reply['forwarded_by']}" if reply["forwarded_by"] else "",
        )
        if part
    )
    return f"{reply['kind']}{f' ({more})' if more else ''} from {_whose(reply)}"


def _whose(reply: dict[str, Any]) -> str:
    name, address = reply["from"]["name"], reply["from"]["address"]
    return f"{name} <{address}>" if name else address or "nobody"
