"""`campaign export --evidence LETTER|all`: what was sent, answered and came back, in one file.

Limits: the reading is one transaction for as long as it takes; a send beside it goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose, level
from pipeline.cli.place import Place, Voice
from pipeline.errors import CampaignError, ExitCode, Unusable

if TYPE_CHECKING:
    from pipeline.store.database import Connection
    from pipeline.store.world import World

ALL = "all"
TELL_EVERY = 500  # letters


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    context: typer.Context,
    evidence: Annotated[
        str | None,
        typer.Option(
            "--evidence",
            metavar="LETTER",
            help="Evidence of a letter: its number, Message-ID or address; `all` for every letter.",
            show_default=False,
        ),
    ] = None,
    out_file: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The file to write; without it, evidence-LETTER.zip here.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Write what was sent and came back into a file to show."""
    from pipeline.cli.telling import SCHEMA, out_json

    if not evidence:
        raise Unusable(
            "what is to be exported?",
            "`campaign export --evidence LETTER`, or `campaign export --evidence all` for every letter",
        )
    voice = Voice(json, level(verbose, quiet))
    written = _evidence(context.obj, evidence, out_file, voice)
    if json:
        out_json(
            {
                "schema": SCHEMA,
                "file": str(written.file),
                "letters": written.letters,
                "entries": written.entries,
                "octets": written.octets,
                "head": written.head,
                "problems": written.problems,
            }
        )
    else:
        _tell(written, quiet=quiet)
    if written.problems:
        raise typer.Exit(int(ExitCode.FAILED))


def _tell(written: Written, *, quiet: bool) -> None:
    from pipeline.cli.telling import counted, err, next_step, out

    for problem in written.problems:
        err(f"error: {problem}")
    if not quiet:
        out(f"{written.file}: {counted(written.letters, 'letter')}, {written.octets} octets")
    out(f"head {written.head}")
    if not quiet:
        next_step("note the head where others can vouch for the date; `campaign verify FILE --head HEAD`")


@dataclass(frozen=True, slots=True)
class Written:
    """A file of evidence."""

    file: Path
    letters: int
    entries: int
    octets: int
    head: str
    problems: list[str]


def _evidence(place: Place, who: str, file: Path | None, voice: Voice) -> Written:
    from pipeline.cli.reading import reading_shown
    from pipeline.cli.suppressions import opened
    from pipeline.report import evidence
    from pipeline.report.archive import ArchiveWriter
    from pipeline.store import evidence as kept

    with opened(place) as world, world.campaign.reading() as connection:
        asked = None if who == ALL else _named(connection, who, world)
        target = file or Path(f"evidence-{ALL if asked is None else '-'.join(map(str, asked[:5]))}.zip")
        about = kept.about(connection, asked) | {"world": str(world.name)}
        if not about["letters"]:
            raise Unusable(
                f"there is no letter in this world ({world.name})", "`campaign send` plans and sends letters"
            )
        problems: list[str] = []
        with _new_file(target) as out, reading_shown(voice, "writing", "letters") as progress:
            archive = ArchiveWriter(out)
            try:
                decisions = kept.events_of_the_campaign(connection) if asked is None else None
                evidence.write_head(archive, about, decisions)
                for done, letter in enumerate(kept.letter_files(connection, asked), 1):
                    problems += evidence.write_letter(archive, letter, kept.Damaged)
                    if progress is not None and not done % TELL_EVERY:
                        progress(done, done, about["letters"])
                title = f"Campaign {about['campaign']} ({world.name}): what happened to {_which(asked)}"
                happenings = kept.happenings(connection, asked)
                evidence.write_tail(archive, kept.runs_of(connection, asked), happenings, title)
                head = archive.finish()
            finally:
                archive.close()
        return Written(target, int(about["letters"]), archive.count, archive.size, head, problems)


def _which(asked: list[int] | None) -> str:
    if asked is None:
        return "all its letters"
    return ("letter " if len(asked) == 1 else "letters ") + ", ".join(map(str, asked))


def _named(connection: Connection, who: str, world: World) -> list[int]:
    from pipeline.cli.deciding import spellings
    from pipeline.store import history

    found = [line.id for line in history.find_letters(connection, spellings(who)[-1], who)]
    if not found:
        raise Unusable(
            f"there is no letter to {who} in this world ({world.name})",
            "give an address of the list, a letter's number or a Message-ID, or `all`",
        )
    return found


@contextmanager
def _new_file(target: Path) -> Iterator[IO[bytes]]:
    """Hand out a file, readable for its owner only; it gets its name when it is whole and on the disk."""
    if target.exists():
        raise Unusable(
            f"{target} is there already", "`--out FILE` names another; evidence is never written over"
        )
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb", buffering=1 << 20) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.link(part, target)  # unlike a rename it never replaces what came meanwhile
    except FileExistsError:
        raise Unusable(f"{target} is there already", "`--out FILE` names another") from None
    except OSError as trouble:
        raise CampaignError(
            f"{target} cannot be written: {trouble.strerror}",
            "nothing is left of it; make room or name another",
        ) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
