"""`campaign check`: is everything in order?"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import Json, Quiet, Verbose, level
from pipeline.cli.place import Place, Voice
from pipeline.errors import BadInput, CampaignError, ExitCode, Unusable

if TYPE_CHECKING:
    from pipeline.cli.folder import Checked
    from pipeline.problem import Problem


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


def check(
    context: typer.Context,
    online: Annotated[
        bool,
        typer.Option(
            "--online", help="Ask the DNS about the recipients' domains, and try the relay's login."
        ),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 for warnings.")] = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Check everything, and write every letter in memory. Sends nothing."""
    place: Place = context.obj
    raise typer.Exit(check_campaign(place, Voice(json, level(verbose, quiet)), online=online, strict=strict))


def check_campaign(place: Place, voice: Voice, *, online: bool, strict: bool) -> int:
    """Check, tell, and return the exit code. Raises StoreUnwritable after all else was told."""
    from pipeline.cli.folder import check_folder, has_warnings
    from pipeline.cli.preparing import turns_taken
    from pipeline.cli.promises import misleading_footers
    from pipeline.cli.reading import reading_shown
    from pipeline.cli.suppressions import count_suppressed
    from pipeline.cli.telling import out_json
    from pipeline.problem import errors

    domains = None
    if online:
        from pipeline.cli.online import Domains

        domains = Domains()
    try:
        with reading_shown(voice) as progress:
            checked = check_folder(
                place.settings,
                clock=place.clock,
                progress=progress,
                watch=domains.add if domains else None,
                turns=turns_taken(place),
            )
    except Unusable as bad:
        if not voice.json:
            raise
        out_json(_document(None, _problems_of(bad), suppressed=0))
        return int(ExitCode.UNUSABLE)
    problems = [*checked.problems, *misleading_footers(checked)]
    if domains is not None:
        from pipeline.cli.online import check_online

        problems += check_online(place, checked, domains)
    trouble = None
    suppressed = 0
    try:
        suppressed = count_suppressed(place, (recipient.address.key for recipient in checked.recipients()))
    except CampaignError as unwritable:
        trouble = unwritable
    if voice.json:
        out_json(_document(checked, [*problems, *_problems_of(trouble)], suppressed=suppressed))
    else:
        _tell(checked, problems, voice, suppressed=suppressed, ready=trouble is None and not errors(problems))
    if trouble is not None:
        if not voice.json:
            raise trouble
        return int(trouble.exit_code)
    if errors(problems):
        return int(ExitCode.UNUSABLE)
    return int(ExitCode.FAILED) if strict and has_warnings(problems) else int(ExitCode.DONE)


def _problems_of(error: CampaignError | None) -> list[Problem]:
    """Return what ended the check as problems, for those who read JSON."""
    from pipeline.config import FILE
    from pipeline.problem import Problem

    if error is None:
        return []
    code = "store" if error.exit_code is ExitCode.STORE_UNWRITABLE else "unusable"
    found = list(error.problems) if isinstance(error, BadInput) else []
    return found or [Problem(FILE, 0, 0, code, error.message, error.hint)]


def _tell(
    checked: Checked, problems: Sequence[Problem], voice: Voice, *, suppressed: int, ready: bool
) -> None:
    from pipeline.cli.telling import next_step, out, tell_problems

    tell_problems(problems, sys.stdout)
    if voice.level < 0:
        return
    if problems:
        out()
    for line in _words(checked, problems, suppressed=suppressed, ready=ready):
        out(line)
    next_step(
        "`campaign preview`, then `campaign send`" if ready else "mend the errors, then `campaign check`"
    )


def _words(checked: Checked, problems: Sequence[Problem], *, suppressed: int, ready: bool) -> Iterator[str]:
    from pipeline.cli.telling import counted
    from pipeline.problem import errors

    intake, letters = checked.intake, counted(checked.letters, "letter")
    each = ", ".join(f"{number} {language}" for language, number in sorted(checked.by_language.items()))
    yield f"{intake.file}: {counted(intake.rows, 'row')}, {letters} can be written" + (
        f" ({each})" if each else ""
    )
    if (signed := checked.signatories) is not None:
        yield f"{signed.file}: {counted(signed.rows, 'row')}, {len(signed.accepted)} may sign"
    for number, word in (
        (intake.rejected, "rejected"),
        (intake.duplicates, "merged into an equal row"),
        (intake.left_out, "left out by exclude = yes"),
        (suppressed, "suppressed: not to be written to"),
    ):
        if number:
            yield f"  {number} {word}"
    bad = len(errors(problems))
    if problems:
        yield f"{counted(bad, 'error')}, {counted(len(problems) - bad, 'warning')}"
    elif ready:
        yield "everything is in order"


def _document(checked: Checked | None, problems: Sequence[Problem], *, suppressed: int) -> dict[str, Any]:
    from pipeline.cli.telling import SCHEMA, problem_json
    from pipeline.problem import errors

    intake, signed = (checked.intake, checked.signatories) if checked else (None, None)
    return {
        "schema": SCHEMA,
        "ok": not errors(problems),
        "recipients": {
            "rows": intake.rows if intake else 0,
            "accepted": intake.accepted if intake else 0,
            "rejected": intake.rejected if intake else 0,
            "duplicates": intake.duplicates if intake else 0,
            "suppressed": suppressed,
        },
        "signatories": {
            "rows": signed.rows if signed else 0,
            "accepted": len(signed.accepted) if signed else 0,
            "rejected": signed.rejected if signed else 0,
            "duplicates": signed.duplicates if signed else 0,
            "left_out": signed.left_out if signed else 0,
        },
        "letters": checked.letters if checked else 0,
        "problems": [problem_json(problem) for problem in problems],
    }
