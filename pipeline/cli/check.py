"""`campaign check`: is everything in order?"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from pipeline.cli.options import Json, Quiet, Verbose, level
from pipeline.cli.place import Place, Voice
from pipeline.errors import BadInput, ExitCode


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
    """Check configuration, list and templates; write every letter in memory. Sends nothing."""
    place: Place = context.obj
    raise typer.Exit(check_campaign(place, Voice(json, level(verbose, quiet)), online=online, strict=strict))


def check_campaign(place: Place, voice: Voice, *, online: bool, strict: bool) -> int:
    """Check, tell, and return the exit code."""
    from pipeline.cli.folder import check_folder, has_warnings
    from pipeline.cli.telling import next_step, out, out_json, tell_problems
    from pipeline.problem import errors

    try:
        checked = check_folder(place.settings, clock=place.clock)
    except BadInput as bad:
        if not voice.json:
            raise
        out_json(_document(place, None, bad.problems, suppressed=0))
        return int(ExitCode.UNUSABLE)
    problems = list(checked.problems)
    if online:
        from pipeline.cli.online import check_online

        problems += check_online(place, checked)
    suppressed = _count_suppressed(place, checked)
    failed = bool(errors(problems))
    if voice.json:
        out_json(_document(place, checked, problems, suppressed=suppressed))
    else:
        tell_problems(problems, sys.stdout)
        if problems:
            out()
        if voice.level >= 0:
            for line in _words(
                checked, suppressed, len(errors(problems)), len(problems) - len(errors(problems))
            ):
                out(line)
            next_step(
                "mend the errors above, then `campaign check`"
                if failed
                else "`campaign preview`, then `campaign send`"
            )
    if failed:
        return int(ExitCode.UNUSABLE)
    return int(ExitCode.FAILED) if strict and has_warnings(problems) else int(ExitCode.DONE)


def _words(checked: Any, suppressed: int, bad: int, warned: int) -> list[str]:
    from collections import Counter

    languages = Counter(recipient.language for recipient in checked.ready)
    intake = checked.intake
    lines = [
        f"{intake.file}: {intake.rows} rows, {len(checked.ready)} letters can be written"
        + (
            f" ({', '.join(f'{number} {language}' for language, number in sorted(languages.items()))})"
            if languages
            else ""
        )
    ]
    for number, word in (
        (intake.rejected, "rejected"),
        (intake.duplicates, "merged into an equal row"),
        (len(intake.excluded), "left out by exclude = yes"),
        (suppressed, "suppressed: they will not be written to"),
    ):
        if number:
            lines.append(f"  {number} {word}")
    lines.append("everything is in order" if not bad and not warned else f"{bad} errors, {warned} warnings")
    return lines


def _count_suppressed(place: Place, checked: Any) -> int:
    from pipeline.cli.suppressions import suppressed_keys

    return len(suppressed_keys(place, [recipient.address.key for recipient in checked.ready]))


def _document(place: Place, checked: Any, problems: Any, *, suppressed: int) -> dict[str, Any]:
    from pipeline.cli.telling import SCHEMA, problem_json
    from pipeline.problem import errors

    intake = checked.intake if checked else None
    return {
        "schema": SCHEMA,
        "ok": not errors(problems),
        "recipients": {
            "rows": intake.rows if intake else 0,
            "accepted": len(intake.recipients) if intake else 0,
            "rejected": intake.rejected if intake else 0,
            "duplicates": intake.duplicates if intake else 0,
            "suppressed": suppressed,
        },
        "letters": len(checked.ready) if checked else 0,
        "problems": [problem_json(problem) for problem in problems],
    }
