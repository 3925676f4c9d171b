"""The rules: phrases and patterns that tell bounces, automatic answers and opt-outs, read from `rules/`.

Three sorts of TOML files, which a contributor can extend without touching code; every rule carries a sample,
and the tests run them all:

    rules/reasons.toml          what servers say when they refuse, and what it means
    rules/bounces.toml          bounces without a machine-readable part, by mail system
    rules/languages/<tag>.toml  words of automatic answers and opt-outs in one language

Phrases are written as `pipeline.replies.phrase` tells. The files are part of the package and are read once.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from pipeline.replies.kinds import Kind, Reason
from pipeline.replies.phrase import ADDRESS


@dataclass(frozen=True, slots=True)
class ReasonRule:
    """What servers say for one reason."""

    reason: Reason
    phrases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BounceRule:
    """How one mail system writes a report in plain words.

    The report begins where one of ``begin`` stands and ends where one of ``end`` does. A line that one of
    ``recipients`` matches at its beginning names a recipient; what is said of it stands behind the address
    and below ("below"), above ("above"), or anywhere in the report ("all").
    """

    name: str
    kind: Kind
    begin: tuple[str, ...]
    end: tuple[str, ...]
    recipients: tuple[re.Pattern[str], ...]
    said: str
    samples: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Language:
    """The words of one language."""

    tag: str
    certain_subjects: tuple[str, ...]  # what programs put before a subject; decide alone
    subjects: tuple[str, ...]  # likely; need a sign in the header
    away: tuple[str, ...]  # out of office
    received: tuple[str, ...]  # acknowledgement
    declares: tuple[str, ...]  # the mail calls itself automatic; decides alone in a short mail
    case: tuple[str, ...]  # what stands before a case number
    until: tuple[str, ...]  # what stands before the date of return
    polite: tuple[str, ...]  # may stand round an opt-out that is all that is written
    read_subjects: tuple[str, ...]  # what programs put before the subject of a receipt in words
    read: tuple[str, ...]  # and what they then say
    stop: tuple[str, ...]  # opt-out, when it is all that is written
    stop_within: tuple[str, ...]  # perhaps an opt-out, wherever it stands
    samples: tuple[dict[str, Any], ...]


@cache
def reason_rules() -> tuple[ReasonRule, ...]:
    """Return what refusals say, the more telling first."""
    table = _read("reasons.toml")["reason"]
    return tuple(ReasonRule(Reason(row["name"]), tuple(row["phrases"])) for row in table)


@cache
def bounce_rules() -> tuple[BounceRule, ...]:
    """Return the mail systems' rules, in the order in which they are tried."""
    return tuple(_bounce_rule(row) for row in _read("bounces.toml")["rule"])


@cache
def bounce_words() -> dict[str, tuple[str, ...]]:
    """Return the subjects and the general words of bounces and delays (`[words]` in bounces.toml)."""
    return {name: tuple(phrases) for name, phrases in _read("bounces.toml")["words"].items()}


@cache
def languages() -> tuple[Language, ...]:
    """Return the languages, by tag."""
    folder = resources.files("pipeline.replies").joinpath("rules", "languages")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return tuple(_language(name.removesuffix(".toml"), _read("languages", name)) for name in names)


@cache
def all_phrases(name: str) -> tuple[str, ...]:
    """Return the phrases called ``name`` of all languages together."""
    return tuple(dict.fromkeys(phrase for language in languages() for phrase in getattr(language, name)))


def _read(*path: str) -> dict[str, Any]:
    text = resources.files("pipeline.replies").joinpath("rules", *path).read_text("utf-8")
    return tomllib.loads(text)


def _bounce_rule(row: dict[str, Any]) -> BounceRule:
    return BounceRule(
        name=row["name"],
        kind=Kind(row.get("kind", "bounce")),
        begin=tuple(row["begin"]),
        end=tuple(row.get("end", ())),
        recipients=tuple(
            re.compile(line.replace("{address}", f"(?P<address>{ADDRESS})"), re.IGNORECASE)
            for line in row.get("recipients", ())
        ),
        said=row.get("said", "below"),
        samples=tuple(row.get("sample", ())),
    )


def _language(tag: str, table: dict[str, Any]) -> Language:
    def phrases(name: str) -> tuple[str, ...]:
        return tuple(table.get(name, ()))

    return Language(
        tag=tag,
        certain_subjects=phrases("certain_subjects"),
        subjects=phrases("subjects"),
        away=phrases("away"),
        received=phrases("received"),
        declares=phrases("declares"),
        case=phrases("case"),
        until=phrases("until"),
        polite=phrases("polite"),
        read_subjects=phrases("read_subjects"),
        read=phrases("read"),
        stop=phrases("stop"),
        stop_within=phrases("stop_within"),
        samples=tuple(table.get("sample", ())),
    )
