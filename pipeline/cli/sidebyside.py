"""`campaign preview --language ru`, `--side-by-side`: versions of the letter beside each other.

In a terminal wide enough each version has its column; else, and where one runs from right to left, which no
terminal shows in columns, the passages stand below each other. Files go to --out. A version that no
recipient gets yet is shown with its gaps: [name], [office].
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.place import Place, Voice
from pipeline.errors import BadInput, Unusable

if TYPE_CHECKING:
    from pipeline.cli.folder import Checked
    from pipeline.delivery.compose import Draft
    from pipeline.report.versions import Version

LEAST_COLUMN = 30  # cells; narrower columns are stacked
WIDEST_COLUMN = 72
BETWEEN = " │ "


def show_versions(
    place: Place, voice: Voice, checked: Checked, languages: Sequence[str], out_dir: Path | None
) -> None:
    """Show the versions in ``languages`` and those they were made from; all without any.

    Raises Unusable for a language there is no letter in, BadInput where no version can be shown.
    """
    from pipeline.cli.telling import SCHEMA, counted, next_step, out, out_json

    wanted = _wanted(checked, languages)
    drafts = _drafts(checked, wanted)
    versions = _versions(checked, wanted, drafts)
    if out_dir is not None:
        names = _written(place, checked, versions, drafts, out_dir)
        if voice.json:
            out_json({"schema": SCHEMA, "written": names})
        elif voice.level >= 0:
            out(f"{counted(len(names), 'file')} written to {out_dir}")
            next_step(f"open {out_dir / names[0]} in a browser; it fetches nothing and runs nothing")
        return
    if voice.json:
        out_json({"schema": SCHEMA, "versions": [_document(version) for version in versions]})
        return
    for line in shown(versions, shutil.get_terminal_size().columns):
        out(line)
    first = place.settings.languages[0]
    mine = next((one.language for one in versions if one.language != first), first)
    next_step(f"`campaign check`, then `campaign approve --translation {mine} --by NAME`")


def shown(versions: Sequence[Version], width: int) -> Iterator[str]:
    """Yield the versions as lines of a terminal of ``width`` cells."""
    from pipeline.report.versions import rows

    each = min((width - len(BETWEEN) * (len(versions) - 1)) // len(versions), WIDEST_COLUMN)
    titles = [_title(version) for version in versions]
    passages = [tuple(_plain(text) for text in row) for row in rows(versions)]
    if each < LEAST_COLUMN or any(version.direction == "rtl" for version in versions):
        yield from _stacked(versions, titles, passages, min(width, WIDEST_COLUMN))
        return
    yield from _columns(titles, each)
    yield "─┼─".join("─" * each for _ in versions)
    for number, row in enumerate(passages):
        if number:
            yield from _columns([""] * len(versions), each)
        yield from _columns([text or "(none)" for text in row], each)


def _stacked(
    versions: Sequence[Version], titles: Sequence[str], passages: Sequence[Sequence[str]], width: int
) -> Iterator[str]:
    yield from titles
    for row in passages:
        yield "─" * width
        for version, text in zip(versions, row, strict=True):
            for number, line in enumerate(_wrapped(text or "(none)", max(width - 6, 10))):
                yield f"{version.language if not number else '':<5} {line}"


def _columns(texts: Sequence[str], width: int) -> Iterator[str]:
    from itertools import zip_longest

    from rich.cells import set_cell_size

    for line in zip_longest(*(_wrapped(text, width) for text in texts), fillvalue=""):
        yield BETWEEN.join(set_cell_size(part, width) for part in line).rstrip()


def _wrapped(text: str, width: int) -> list[str]:
    """Return a text in lines of at most ``width`` cells, broken at spaces, and in a word that is longer."""
    from rich.cells import cell_len, chop_cells

    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            joined = f"{line} {word}" if line else word
            if cell_len(joined) <= width:
                line = joined
                continue
            if line:
                lines.append(line)
            *full, line = chop_cells(word, width) or [""]
            lines += full
        lines.append(line)
    return lines


def _plain(text: str) -> str:
    """Return a passage without marks of direction and with other invisible characters shown."""
    from pipeline.letters.direction import unmarked
    from pipeline.problem import visible

    return "\n".join(visible(line) for line in unmarked(text).split("\n"))


def _title(version: Version) -> str:
    from pipeline.problem import visible

    made = f", from {version.source}" if version.source != version.language else ""
    to = f", to {visible(version.to, limit=60)}" if version.to else ", with gaps: nobody gets it yet"
    return f"{version.language}{made}{to}"


def _wanted(checked: Checked, languages: Sequence[str]) -> list[str]:
    known = list(dict.fromkeys(checked.settings.languages))
    if not languages:
        return known
    wanted: list[str] = []
    for language in languages:
        if language not in known:
            raise Unusable(f"no letter is written in {language}", f"languages: {', '.join(known)}")
        letter = checked.templates.letters.get(language)
        origin = (letter.matter.source if letter else "") or known[0]
        wanted += [origin, language] if origin in known else [language]
    return list(dict.fromkeys(wanted))


def _drafts(checked: Checked, languages: Sequence[str]) -> dict[str, Draft]:
    """Return what each version is made from: its first recipient, or a row of gaps."""
    from pipeline.cli.folder import draft_of
    from pipeline.delivery.compose import Draft

    found: dict[str, Draft] = {}
    choice = checked.pairing.begin(checked.turns)
    for _, recipient in checked.listing.recipients():
        for signatory in choice.of(recipient):
            if recipient.language in languages and recipient.language not in found:
                found[recipient.language] = draft_of(recipient, signatory=signatory)
        if len(found) == len(languages):
            break
    gaps = {column: f"[{column}]" for column in (*checked.listing.columns, "salutation")}
    gaps = {**gaps, "attachments": "", "timezone": ""}
    if checked.signatories is not None:
        gaps |= {f"signatory.{column}": f"[{column}]" for column in checked.signatories.columns}
    for language in languages:
        if language not in found:
            found[language] = Draft(gaps, language, "nobody@example.org", 0, "<preview@example.org>")
    return found


def _versions(checked: Checked, languages: Sequence[str], drafts: dict[str, Draft]) -> list[Version]:
    from pipeline.cli.telling import tell_problems
    from pipeline.letters.direction import direction
    from pipeline.letters.templates import TemplateFault
    from pipeline.report.versions import Version

    versions, faults = [], []
    for language in languages:
        draft = drafts[language]
        try:
            words = checked.composer.render(draft)
        except TemplateFault as fault:
            faults.append(fault.problem)
            continue
        letter = checked.templates.letters[language]
        versions.append(
            Version(
                language,
                direction(language),
                letter.matter.source or checked.settings.languages[0],
                draft.email if draft.line else "",
                words.subject,
                words.preheader,
                words.text,
                words.html,
            )
        )
    if not versions:
        raise BadInput(faults, "no version can be shown", "`campaign check` says what is wrong")
    tell_problems([fault for fault in faults if fault not in checked.problems])
    return versions


def _document(version: Version) -> dict[str, object]:
    return {
        "language": version.language,
        "source": version.source,
        "to": version.to,
        "subject": version.subject,
        "preheader": version.preheader,
        "text": version.text,
        "html": version.html,
        "passages": version.passages,
    }


def _written(
    place: Place, checked: Checked, versions: Sequence[Version], drafts: dict[str, Draft], folder: Path
) -> list[str]:
    """Write the versions side by side, and each as a page and as a message; return the names."""
    from pipeline.report.versions import framed, page

    texts = {
        "side-by-side.html": page(place.settings.name, versions),
        "side-by-side.txt": "\n".join(shown(versions, 2 * WIDEST_COLUMN + len(BETWEEN))) + "\n",
    }
    texts |= {f"letter.{one.language}.html": framed(one.html, one.subject) for one in versions}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, "utf-8")
        messages = _messages(place, checked, versions, drafts)
        for name, content in messages:
            (folder / name).write_bytes(content)
    except OSError as trouble:
        raise Unusable(f"{folder} cannot be written: {trouble.strerror}") from None
    return [*texts, *(name for name, _ in messages)]


def _messages(
    place: Place, checked: Checked, versions: Iterable[Version], drafts: dict[str, Draft]
) -> list[tuple[str, bytes]]:
    """Return the versions that somebody gets as messages."""
    return [
        (f"letter.{one.language}.eml", checked.composer.write(drafts[one.language], now=place.clock.now()))
        for one in versions
        if one.to
    ]
