"""What mail programs write between the words of a mail, in the languages of the world.

The phrases stand in `phrases/*.toml`, one file a language, each with samples that the tests run; this file
reads them once and puts them into the tables that the readers of quotations, signatures, forwarded blocks
and subjects look things up in. All languages are looked up at once: a reply does not say which it is in,
and an office in Prague may well have a German mail program.

Limits: phrases are compared without case, without invisible direction marks, and with runs of spaces as one.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

HEADER_KEYS = ("from", "sent", "to", "cc", "subject", "other")

PUNCTUATION = " ,.!;:،、。*_-"  # round a closing

_UNSEEN = dict.fromkeys(
    [*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF, 0xAD, 0x61C]
)
_SPACES = re.compile(r"\s+")


def plain(text: str) -> str:
    """Return ``text`` as phrases are compared: folded case, no direction marks, single spaces."""
    if text.isascii():
        return " ".join(text.split()).lower()
    folded = unicodedata.normalize("NFC", text.translate(_UNSEEN).casefold())  # folding takes "ΐ" apart
    return _SPACES.sub(" ", folded).strip()


@dataclass(frozen=True, slots=True)
class Phrases:
    """The phrases of all languages, ready to look up; every string in it has gone through `plain`."""

    wrote: tuple[str, ...]
    headers: Mapping[str, str]  # name of a header line -> one of HEADER_KEYS
    fields: re.Pattern[str]  # finds the names of header lines within a line, as written
    original: re.Pattern[str]  # matches all of a separator's words
    forwarded: re.Pattern[str]
    forwarded_end: re.Pattern[str]
    device: re.Pattern[str]
    closing: frozenset[str]
    prefixes: re.Pattern[str]  # matches a mark before a subject; its first group is the mark
    forward_prefixes: frozenset[str]
    months: Mapping[str, int]  # name -> 1 to 12


@cache
def languages() -> tuple[Mapping[str, Any], ...]:
    """Return the files of all languages, as written."""
    folder = files("pipeline.replies") / "phrases"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return tuple(tomllib.loads((folder / name).read_text("utf-8")) for name in names)


@cache
def phrases() -> Phrases:
    """Return the phrases of all languages."""
    every = languages()

    def gathered(*keys: str) -> tuple[str, ...]:
        found = {plain(phrase) for language in every for key in keys for phrase in language[key]}
        return tuple(sorted(found, key=lambda phrase: (-len(phrase), phrase)))

    marks = gathered("reply_prefix", "forward_prefix")
    return Phrases(
        wrote=gathered("wrote"),
        headers={
            plain(name): key for language in every for key in reversed(HEADER_KEYS) for name in language[key]
        },
        fields=re.compile(
            "(?:"
            + "|".join(
                sorted(
                    {re.escape(name) for language in every for key in HEADER_KEYS for name in language[key]},
                    key=lambda name: (-len(name), name),
                )
            )
            + r")\s?[:：]\s"
        ),
        original=_one_of(gathered("original")),
        forwarded=_one_of(gathered("forwarded")),
        forwarded_end=_one_of(gathered("forwarded_end")),
        device=_one_of(gathered("device")),
        closing=frozenset(closing.strip(PUNCTUATION) for closing in gathered("closing")),
        prefixes=re.compile(
            rf"({'|'.join(map(re.escape, marks))})(?:\s?[\[(]\d{{1,3}}[\])]|\d{{1,2}})?\s?[:：]\s*"
        ),
        forward_prefixes=frozenset(gathered("forward_prefix")),
        months={
            plain(name): number
            for language in every
            for number, names in enumerate(language["months"], 1)
            for name in names
        },
    )


def _one_of(wanted: Iterable[str]) -> re.Pattern[str]:
    """Return what matches any of the phrases; ``{}`` in one stands for up to 60 characters."""
    return re.compile("|".join(re.escape(phrase).replace(r"\{\}", ".{1,60}?") for phrase in wanted))
