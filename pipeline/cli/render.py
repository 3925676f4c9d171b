"""`campaign render`: every letter that waits, as the bytes that would go, with a manifest of their hashes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose, level
from pipeline.cli.place import Place, Voice

if TYPE_CHECKING:
    from pipeline.delivery.compose import Composer
    from pipeline.delivery.letter import Letter
    from pipeline.letters.drafts import DraftFolder, ManifestWriter
    from pipeline.letters.manifest import DraftLine
    from pipeline.letters.origins import Origins
    from pipeline.store.world import World

BATCH = 500  # letters read together


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("render")(render)


def render(
    context: typer.Context,
    anew: Annotated[
        bool, typer.Option("--all", help="Write also those again that have not changed, with a new Date.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows with errors, and list them.")
    ] = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Write every letter as an .eml file, to be approved. Sends nothing."""
    from pipeline.cli.gate import drafts_of
    from pipeline.cli.planning import planned_world
    from pipeline.cli.telling import SCHEMA, counted, next_step, out, out_json

    place: Place = context.obj
    voice = Voice(json, level(verbose, quiet))
    with planned_world(place, voice, skip_bad=skip_bad) as (world, composer):
        drafts = drafts_of(world)
        done = write_drafts(place, world, composer, drafts, anew=anew)
    manifest = drafts.sha256()
    if json:
        out_json(
            {
                "schema": SCHEMA,
                "world": str(world.name),
                "folder": str(drafts.folder),
                "letters": done.written + done.kept,
                "written": done.written,
                "unchanged": done.kept,
                "manifest": manifest,
            }
        )
        return
    if quiet:
        return
    total = done.written + done.kept
    out(f"{counted(total, 'letter')} in {drafts.folder}, {done.written} of them written now")
    out(f"manifest {manifest}")
    next_step("read them, then `campaign approve --by NAME`" if total else "`campaign status`")


@dataclass(slots=True)
class Done:
    """How many drafts were written, and how many were kept as they were."""

    written: int = 0
    kept: int = 0


def write_drafts(
    place: Place, world: World, composer: Composer, drafts: DraftFolder, *, anew: bool = False
) -> Done:
    """Write the letters that wait and were never permitted, and a manifest of all of them. Call it with the
    lock held.

    Raises Unusable for a letter, or a folder, that cannot be written.
    """
    from pipeline.cli.gate import Sources
    from pipeline.letters.manifest import Heading
    from pipeline.store import approvals

    done, now = Done(), place.clock.now().replace(microsecond=0)
    before = _Earlier(drafts, wanted=not anew)
    sources = Sources(place.settings, composer)
    heading = Heading(place.settings.key, str(world.name), now)
    with drafts.writing(heading) as writer:
        for letter in _waiting(world):
            made_from = sources.of(letter)
            earlier = before.still_good(letter)
            if earlier is not None and _is_same(composer, letter, earlier, made_from):
                writer.keep(replace(earlier, line=letter.line, made_from=made_from))
                done.kept += 1
                continue
            _write(place, writer, composer, letter, made_from, now)
            done.written += 1
    with world.campaign.reading() as connection:
        drafts.tidy(lambda number, file: approvals.is_approved_file(connection, number, file))
    return done


def _write(
    place: Place,
    writer: ManifestWriter,
    composer: Composer,
    letter: Letter,
    made_from: Origins,
    now: datetime,
) -> None:
    """Write one letter as it would leave now. Raises Unusable."""
    from pipeline.delivery.parcel import Unfit
    from pipeline.delivery.relay import BodyEncoding
    from pipeline.errors import Unusable
    from pipeline.letters.manifest import DraftLine
    from pipeline.letters.thread import read_thread

    eightbit = place.settings.relay.encoding is BodyEncoding.EIGHT_BIT
    try:
        content = composer(letter._replace(built_at=now), eightbit).content
    except Unfit as fault:
        raise Unusable(
            f"{place.settings.recipients_file}:{letter.line}: {fault}",
            "`campaign check` says what is wrong; the earlier drafts are as they were",
        ) from None

    def line(file: str, size: int, sha256: str) -> DraftLine:
        return DraftLine(
            letter=letter.id,
            message_id=letter.message_id,
            to=letter.email,
            recipient=letter.recipient_key,
            signatory=letter.values.get("signatory.email", ""),
            round=thread.round if (thread := read_thread(letter.thread)) else 0,
            language=letter.language,
            line=letter.line,
            file=file,
            size=size,
            sha256=sha256,
            date=now,
            encoding="8bit" if eightbit else "qp",
            made_from=made_from,
        )

    writer.add(content, line, (letter.id, letter.language, letter.email))


def _is_same(composer: Composer, letter: Letter, earlier: DraftLine, made_from: Origins) -> bool:
    """Say whether a letter would be written as its draft is, but for the Date."""
    import hashlib

    from pipeline.delivery.parcel import Unfit

    if earlier.made_from == made_from:
        return True
    try:
        content = composer(letter._replace(built_at=earlier.date), earlier.encoding == "8bit").content
    except Unfit:
        return False
    return hashlib.sha256(content).hexdigest() == earlier.sha256


def _waiting(world: World) -> Iterator[Letter]:
    """Yield the letters that wait and were never permitted, by number."""
    from pipeline.store import queue

    last = 0
    while True:
        with world.campaign.reading() as connection:
            found = queue.read_unpermitted(connection, behind=last, most=BATCH)
        yield from found
        if not found:
            return
        last = found[-1].id


class _Earlier:
    """The drafts of the manifest before, read beside the letters: both are in the order of the numbers."""

    def __init__(self, drafts: DraftFolder, *, wanted: bool) -> None:
        self._drafts = drafts
        self._lines = drafts.letters() if wanted else iter(())
        self._line: DraftLine | None = None
        self._over = not wanted
        self._next()

    def still_good(self, letter: Letter) -> DraftLine | None:
        """Return a letter's earlier draft, if its file is what it was."""
        from pipeline.letters.drafts import NotTheDraft

        while self._line is not None and self._line.letter < letter.id:
            self._next()
        line = self._line
        if line is None or line.letter != letter.id or line.message_id != letter.message_id:
            return None
        try:
            self._drafts.read(line.file, size=line.size, sha256=line.sha256)
        except NotTheDraft:
            return None
        return line

    def _next(self) -> None:
        """Go on to the next line; a manifest that is none any more is written anew."""
        from pipeline.errors import Unusable

        if self._over:
            return
        try:
            self._line = next(self._lines, None)
        except Unusable:
            self._line = None
        self._over = self._line is None
