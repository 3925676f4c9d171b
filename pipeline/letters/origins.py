"""What a letter is made from, as hashes: its row, the files below templates/, what it carries, its settings.

Two `Origins` of one letter, taken at different times, say which of these changed, by name: the column of the
row, the file, the key of campaign.toml. Whether the letter itself changed is another question, which only its
bytes answer; a fact that changed need not be one that the letter tells.

Contract: files are hashed whole (`sha256sum` gives the same), cells and settings as short marks that do not
show the value. Reading is bounded as the stages that use the files bound it.

Limits: every file below templates/ that is not another language's letter counts as one the letter is made
from.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

MARK = 16  # hexadecimal digits of a cell's hash
GONE = "gone"  # instead of the hash of a file that cannot be read
TEMPLATES = "templates"

_LETTER = re.compile(r"(letter|followup)\.([A-Za-z0-9-]+)\.md")


class Origins(NamedTuple):
    """Hashes by name: cells by column, files by their path in the campaign, settings by their key."""

    row: Mapping[str, str]
    files: Mapping[str, str]
    config: Mapping[str, str]

    def document(self) -> dict[str, dict[str, str]]:
        """Return them as JSON holds them."""
        return {"row": dict(self.row), "files": dict(self.files), "config": dict(self.config)}


def mark(text: str) -> str:
    """Return a short hash that stands for a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:MARK]


def marks(values: Mapping[str, str]) -> dict[str, str]:
    """Return the marks of cells or settings, by name."""
    return {name: mark(value) for name, value in values.items()}


@dataclass(slots=True)
class Files:
    """Hashes of a campaign's files, each read once; make a new one to look again."""

    root: Path
    _known: dict[str, str] = field(default_factory=dict)
    _of_language: dict[tuple[str, bool], dict[str, str]] = field(default_factory=dict)
    _templates: list[str] | None = None

    def of_letter(self, language: str, follows: bool, carried: Sequence[str]) -> dict[str, str]:
        """Return the hashes of the files that a letter in ``language`` is made from, and of those it
        carries."""
        key = language, follows
        if key not in self._of_language:
            stem = "followup" if follows else "letter"
            chosen = [name for name in self._names() if _belongs(name, stem, language)]
            self._of_language[key] = {
                f"{TEMPLATES}/{name}": self._hash(f"{TEMPLATES}/{name}") for name in chosen
            }
        common = self._of_language[key]
        return {**common, **{name: self._hash(name) for name in carried}} if carried else common

    def _names(self) -> list[str]:
        if self._templates is None:
            top = self.root / TEMPLATES
            found = sorted(path.relative_to(top) for path in top.rglob("*") if path.is_file())
            seen = (path for path in found if not any(part.startswith(".") for part in path.parts))
            self._templates = [path.as_posix() for path in seen]
        return self._templates

    def _hash(self, name: str) -> str:
        if name not in self._known:
            try:
                with (self.root / name).open("rb") as stream:
                    self._known[name] = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError:
                self._known[name] = GONE
        return self._known[name]


def _belongs(name: str, stem: str, language: str) -> bool:
    if name == "confirmed.toml":  # what translators said of the versions stands in no letter
        return False
    found = _LETTER.fullmatch(name)
    return found is None or (found[1] == stem and found[2] == language)


def differences(before: Origins, after: Origins, *, row: str) -> list[str]:
    """Return what differs, in words for people; ``row`` names the row ("recipients.csv:7")."""
    cells = _differing(before.row, after.row)
    words = [f"{row} ({', '.join(cells)})"] if cells else []
    for name in _differing(before.files, after.files):
        if after.files.get(name, GONE) == GONE:
            words.append(f"{name} is gone")
        elif name not in before.files:
            words.append(f"{name} is new")
        else:
            words.append(name)
    keys = _differing(before.config, after.config)
    return [*words, f"campaign.toml ({', '.join(keys)})"] if keys else words


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> Iterable[str]:
    if before == after:
        return []
    names = dict.fromkeys([*before, *after])
    return [name for name in names if before.get(name) != after.get(name)]
