"""The manifest of drafts: which letters were written, as JSON lines, with a hash of each and of what it was
made from.

    {"type": "manifest", "schema": 1, "campaign": "mayday", "world": "real", "rendered_at": "…"}
    {"type": "letter", "letter": 1, "message_id": "<…>", "to": "…", "file": "0000/…eml", "sha256": "…", …}
    …
    {"type": "end", "letters": 12}

Lines are in the order of the letters' numbers. docs/approval.md tells each key.

Contract: what `letter_line` writes, `read_letter` reads again as the same `DraftLine`. A manifest is hostile
until it was read: a line is bounded, names of files stay below their folder, and one without its last line
is not whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.letters.origins import Origins

SCHEMA = 1
LONGEST_LINE = 1 << 20  # characters
_FILE = re.compile(r"[0-9]{4,}/[A-Za-z0-9@._+-]{1,160}\.eml")
_DRAFT = re.compile(r"[0-9]{4,}/[0-9]{6,}-[A-Za-z0-9@._-]{1,100}-[0-9a-f]{8}\.eml")
_HASH = re.compile(r"[0-9a-f]{64}")


class NotAManifest(ValueError):
    """What was read is no manifest, or not a whole one; the text says why."""


@dataclass(frozen=True, slots=True)
class DraftLine:
    """One letter of a manifest: its bytes lie in ``file``; ``date`` is the moment in its Date."""

    letter: int
    message_id: str
    to: str
    recipient: str
    signatory: str
    round: int
    language: str
    line: int
    file: str
    size: int
    sha256: str
    date: datetime
    encoding: str
    made_from: Origins


@dataclass(frozen=True, slots=True)
class Heading:
    """The first line of a manifest."""

    campaign: str
    world: str
    rendered_at: datetime


def heading_line(heading: Heading) -> str:
    """Return the first line, with its line end."""
    document = {
        "campaign": heading.campaign,
        "world": heading.world,
        "rendered_at": _moment(heading.rendered_at),
    }
    return _line({"type": "manifest", "schema": SCHEMA} | document)


def letter_line(draft: DraftLine) -> str:
    """Return a letter's line, with its line end."""
    document = asdict(draft) | {"date": _moment(draft.date), "made_from": draft.made_from.document()}
    return _line({"type": "letter"} | document)


def end_line(letters: int) -> str:
    """Return the last line, with its line end."""
    return _line({"type": "end", "letters": letters})


def read_manifest(lines: Iterable[str]) -> Iterator[DraftLine]:
    """Yield the letters of a manifest, one by one. Raises NotAManifest at the first line that is wrong, or at
    the end where the last line is missing.
    """
    number, last, ended = 0, 0, False
    for number, text in enumerate(lines, 1):
        document = _document(text, number)
        kind = document.get("type")
        if ended:
            raise NotAManifest(f"line {number}: there is more behind its end")
        if number == 1:
            if kind != "manifest" or document.get("schema") != SCHEMA:
                raise NotAManifest("line 1: not the beginning of a manifest of this version")
        elif kind == "end":
            ended = document.get("letters") == number - 2
            if not ended:
                raise NotAManifest(f"line {number}: it counts other letters than it has")
        else:
            draft = read_letter(document, number)
            if draft.letter <= last:
                raise NotAManifest(f"line {number}: letter {draft.letter} is not in its place")
            last = draft.letter
            yield draft
    if not ended:
        raise NotAManifest(f"it breaks off behind line {number}" if number else "it is empty")


def read_letter(document: Mapping[str, Any], number: int) -> DraftLine:
    """Return what a line says. Raises NotAManifest."""
    try:
        made = document["made_from"]
        draft = DraftLine(
            letter=_whole(document["letter"]),
            message_id=_text(document["message_id"]),
            to=_text(document["to"]),
            recipient=_text(document["recipient"]),
            signatory=_text(document["signatory"]),
            round=_whole(document["round"]),
            language=_text(document["language"]),
            line=_whole(document["line"]),
            file=_text(document["file"]),
            size=_whole(document["size"]),
            sha256=_text(document["sha256"]),
            date=datetime.fromisoformat(document["date"]).astimezone(UTC),
            encoding=_text(document["encoding"]),
            made_from=Origins(*(_texts(made[name]) for name in ("row", "files", "config"))),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as fault:
        raise NotAManifest(f"line {number}: {type(fault).__name__}: not a letter's line") from None
    if (
        not _FILE.fullmatch(draft.file)
        or not _HASH.fullmatch(draft.sha256)
        or draft.encoding not in ("qp", "8bit")
    ):
        raise NotAManifest(f"line {number}: its file, hash or encoding is none")
    return draft


def file_name(letter: int, language: str, address: str, sha256: str) -> str:
    """Return the name of a draft below the folder of drafts: a thousand to a folder, readable, and another
    one for other bytes."""
    plain = "".join(
        c if c.isascii() and (c.isalnum() or c in "@.-_") else "_" for c in f"{language}-{address}"
    )
    return f"{letter // 1000:04d}/{letter:06d}-{plain[:100]}-{sha256[:8]}.eml"


def is_draft_name(file: str) -> bool:
    """Say whether a file below the folder of drafts has a name as `file_name` gives it."""
    return _DRAFT.fullmatch(file) is not None


def _document(text: str, number: int) -> dict[str, Any]:
    try:
        document = json.loads(text) if len(text) <= LONGEST_LINE else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise NotAManifest(f"line {number}: not a JSON object")
    return document


def _line(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=True, separators=(",", ":")) + "\n"


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise ValueError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(value: Any) -> dict[str, str]:
    return {_text(name): _text(text) for name, text in value.items()}
