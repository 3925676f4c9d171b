"""`campaign approve`: somebody says that letters may go as rendered, or that a version is well translated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose, level
from pipeline.cli.place import Place, Voice
from pipeline.errors import Unusable

if TYPE_CHECKING:
    from collections import Counter

    from pipeline.letters.drafts import DraftFolder
    from pipeline.letters.manifest import DraftLine
    from pipeline.store.approvals import Approval
    from pipeline.store.database import Connection
    from pipeline.store.world import World

LONGEST_NAME = 200
MOST_TOLD = 50
By = Annotated[
    str, typer.Option("--by", metavar="NAME", help="Who approves; it is kept.", show_default=False)
]


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("approve")(approve)


def approve(
    context: typer.Context,
    by: By,
    manifest: Annotated[
        str,
        typer.Option("--manifest", metavar="SHA256", help="Only if the manifest is the one with this hash."),
    ] = "",
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Take every approval back; nothing more goes on its strength.")
    ] = False,
    translation: Annotated[
        str,
        typer.Option(
            "--translation", metavar="LANG", help="This version says what the one it was made from says."
        ),
    ] = "",
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Approve the rendered letters, or a translation."""
    place: Place = context.obj
    voice = Voice(json, level(verbose, quiet))
    if translation:
        from pipeline.cli.translation import confirm_translation

        if withdraw or manifest:
            raise Unusable("--translation stands alone", "letters are approved by a command of its own")
        confirm_translation(place, voice, translation, by)
        return
    name = _name(by)
    if withdraw:
        _withdraw(place, voice, name)
    else:
        _approve_letters(place, voice, name, manifest.strip().lower())


def _name(by: str) -> str:
    name = " ".join(by.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise Unusable("--by: say who approves", 'campaign approve --by "R. B."')
    return name


def _approve_letters(place: Place, voice: Voice, name: str, wanted: str) -> None:
    from pipeline.cli.gate import drafts_of
    from pipeline.cli.suppressions import opened
    from pipeline.cli.telling import SCHEMA, out_json
    from pipeline.clock import to_us
    from pipeline.store import approvals
    from pipeline.store.lock import RunLock

    with opened(place) as world, RunLock(world.lock_path, since=place.local_now):
        drafts = drafts_of(world)
        sha256 = _manifest(drafts, world, wanted)
        with world.campaign.writing() as connection:
            _refuse_while_others_send(place, world, connection)
            try:
                done, languages = approvals.approve(
                    connection,
                    _verified(drafts),
                    by=name,
                    manifest=sha256,
                    now_us=to_us(place.clock.now()),
                )
            except approvals.NotItsDraft as fault:
                raise Unusable(
                    f"the drafts are not of these letters: {fault}; nothing was approved",
                    "were they copied from another folder or world? `campaign render` writes them anew",
                ) from None
            if drafts.sha256() != sha256:
                raise Unusable("the manifest was changed while it was read", "run it again")
            if not done.letters:
                raise Unusable(
                    "no draft is of a letter that still waits", "`campaign render` writes those that do"
                )
            _refuse_while_others_send(place, world, connection)  # that was not done in a moment
    if voice.json:
        out_json(
            {
                "schema": SCHEMA,
                "world": str(world.name),
                "by": done.by,
                "at": done.at,
                "letters": done.letters,
                "languages": dict(sorted(languages.items())),
                "manifest": done.manifest,
            }
        )
    elif voice.level >= 0:
        _tell(done, languages, world)


def _refuse_while_others_send(place: Place, world: World, connection: Connection) -> None:
    """Raise Unusable where another host sends: it would go on with what held when it began. Call it with the
    lock held."""
    from pipeline.clock import to_us
    from pipeline.store.hosts import others_alive
    from pipeline.store.world import bury_earlier_runs

    if not world.several:
        return
    now_us = to_us(place.clock.now())
    bury_earlier_runs(connection, world, now_us=now_us)
    if others := others_alive(connection, None, now_us=now_us):
        raise Unusable(
            f"other hosts send this campaign now: {', '.join(others)}; no approval was changed",
            "`campaign pause` stops them; approve, then `campaign resume`, and start them again",
        )


def _tell(done: Approval, languages: Counter[str], world: World) -> None:
    from pipeline.cli.telling import counted, next_step, out
    from pipeline.delivery.approved import STALE
    from pipeline.problem import visible
    from pipeline.store.world import WorldName

    each = ", ".join(f"{language} {number}" for language, number in sorted(languages.items()))
    out(visible(f"{counted(done.letters, 'letter')} approved by {done.by} ({each})"))
    out(f"manifest {done.manifest}")
    out(
        f"they go byte for byte as they lie in the drafts; only where one leaves more than {STALE.days} days "
        "after it was rendered, its Date is set anew"
    )
    if world.name is WorldName.SANDBOX:
        out("this holds for the sandbox; for a real relay they are rendered and approved again")
    next_step("`campaign send`")


def _manifest(drafts: DraftFolder, world: World, wanted: str) -> str:
    """Return the manifest's hash. Raises Unusable where there is none, or another one was meant."""
    sha256 = drafts.sha256()
    if not sha256:
        raise Unusable(
            f"nothing was rendered in this world ({world.name})",
            "`campaign render` writes the letters to be read",
        )
    if wanted and wanted != sha256:
        raise Unusable(
            f"the manifest is another one: {sha256}",
            "look at the drafts again, and approve what they are now",
        )
    return sha256


def _verified(drafts: DraftFolder) -> Iterator[DraftLine]:
    """Yield the drafts, each read and found to be what the manifest says.

    Raises Unusable at the end, naming them, where some are not.
    """
    from pipeline.letters.drafts import NotTheDraft, has_message_id

    wrong: list[str] = []
    for draft in drafts.letters():
        try:
            content = drafts.read(draft.file, size=draft.size, sha256=draft.sha256)
            what = "" if has_message_id(content, draft.message_id) else f"its draft {draft.file} is another's"
        except NotTheDraft as fault:
            what = str(fault)
        if what:
            wrong.append(f"letter {draft.letter} to {draft.to}: {what}")
        else:
            yield draft
    if wrong:
        more = [f"... and {len(wrong) - MOST_TOLD} more"] if len(wrong) > MOST_TOLD else []
        raise Unusable(
            "the drafts are not what was rendered; nothing was approved",
            "\n".join([*wrong[:MOST_TOLD], *more, "`campaign render` writes them anew"]),
        )


def _withdraw(place: Place, voice: Voice, name: str) -> None:
    from pipeline.cli.suppressions import opened
    from pipeline.cli.telling import SCHEMA, counted, next_step, out, out_json
    from pipeline.clock import to_us
    from pipeline.store import approvals
    from pipeline.store.lock import RunLock

    now = place.clock.now()
    with (
        opened(place) as world,
        RunLock(world.lock_path, since=place.local_now),
        world.campaign.writing() as connection,
    ):
        _refuse_while_others_send(place, world, connection)
        number = approvals.withdraw(connection, by=name, now_us=to_us(now))
    if voice.json:
        out_json({"schema": SCHEMA, "world": str(world.name), "by": name, "withdrawn": number})
    elif voice.level >= 0:
        out(f"no approval holds any longer; {counted(number, 'letter')} lost it")
        next_step("`campaign render`, then `campaign approve --by NAME`")
