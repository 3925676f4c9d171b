"""`campaign approve --translation LANGUAGE --by NAME`: a translator says that a version says what its source
says. It is written into templates/confirmed.toml, beside the letters it speaks of.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from pipeline.cli.place import Place, Voice
from pipeline.errors import BadInput, Unusable

if TYPE_CHECKING:
    from pipeline.letters.confirmed import Confirmation


def confirm_translation(place: Place, voice: Voice, language: str, by: str) -> None:
    """Confirm the version in ``language`` as it stands, write it down and tell it.

    Raises BadInput where the versions differ, Unusable where there is nothing to confirm or the file cannot
    be written.
    """
    from pipeline.cli.folder import templates_of
    from pipeline.cli.telling import SCHEMA, next_step, out, out_json, tell_problems
    from pipeline.letters import confirmed
    from pipeline.problem import errors

    templates, problems = templates_of(place.settings, place.clock)
    old = [problem for problem in problems if problem.code not in confirmed.CODES]
    file = f"templates/letter.{language}.md"
    if wrong := [problem for problem in errors(old) if problem.file in (file, confirmed.FILE)]:
        raise BadInput(wrong, f"the letter in {language} cannot be confirmed", "mend this, then confirm it")
    if not (voice.json or voice.level < 0):
        tell_problems([problem for problem in old if problem.file == file])
    try:
        made = confirmed.confirmation(
            templates.letters,
            templates.facts,
            language,
            first=place.settings.languages[0],
            by=by,
            at=place.clock.now(),
        )
    except ValueError as fault:
        raise Unusable(str(fault), f"languages: {', '.join(place.settings.languages)}") from None
    _write(place, {**templates.confirmed, language: made})
    if voice.json:
        out_json(
            {
                "schema": SCHEMA,
                "language": language,
                "source": made.source,
                "by": made.by,
                "file": confirmed.FILE,
            }
        )
    elif voice.level >= 0:
        out(f"the letter in {language} says what the letter in {made.source} says: confirmed by {made.by}")
        next_step("`campaign check` tells when the source is changed after this")


def _write(place: Place, confirmations: dict[str, Confirmation]) -> None:
    from pipeline.letters import confirmed

    path = place.root / confirmed.FILE
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(confirmed.written(confirmations), "utf-8")
        beside.replace(path)
    except OSError as trouble:
        with suppress(OSError):
            beside.unlink()
        raise Unusable(f"{path} cannot be written: {trouble.strerror}") from None
