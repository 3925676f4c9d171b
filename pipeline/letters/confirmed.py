"""templates/confirmed.toml: which text of the source a translator has confirmed a version against.

    [ru]
    source = "en"
    by = "M. Ivanova"
    at = 2026-11-26T10:20:00Z
    version = "<SHA-256 of the version>"
    passages = ["<of each passage of the source, twelve figures>", …]

When the source is changed afterwards, its changed passages are known by line, and the version is older than
its source until somebody confirms it again. A version that was changed itself since is worth a look. Of a
campaign in which nobody has confirmed anything nothing is asked.

Contract: pure; what stands in the file is believed only as far as it has this form. What a fact is (47) is no
part of a passage: it changes in all versions at once; the words of a fact are.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.letters.facts import Facts
from pipeline.letters.frontmatter import key_line, read_toml
from pipeline.letters.parity import counterpart, facts_of, paragraphs, texts_of
from pipeline.letters.rendering import LetterTemplate
from pipeline.letters.source import Source
from pipeline.problem import Problem, Severity, visible

FILE = "templates/confirmed.toml"
CODES = frozenset({"unconfirmed", "older-than-source"})  # what confirming mends
MOST = 10  # changed passages that are told of one version
LONGEST_NAME = 100
_HEAD = "# Written by `campaign approve --translation LANGUAGE --by NAME`: do not edit.\n"


@dataclass(frozen=True, slots=True)
class Confirmation:
    """That a version says what its source says: the hash of the one, the passages of the other."""

    language: str
    source: str
    by: str
    at: datetime
    version: str
    passages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Passage:
    """A piece of a source that is confirmed as one: its hash, its file and line."""

    hash: str
    source: Source
    line: int


def read_confirmed(source: Source) -> tuple[dict[str, Confirmation], list[Problem]]:
    """Return the confirmations of a file by language, and what is wrong with it."""
    table, problems = read_toml(source, 1, len(source.lines))
    found: dict[str, Confirmation] = {}
    for language, entry in (table or {}).items():
        if (one := _confirmation(language, entry)) is not None:
            found[language] = one
            continue
        line = source.first_line_with(rf'^\s*\[\s*"?{re.escape(language)}') or key_line(source, language, 1)
        message = f'this is no confirmation of "{visible(language, limit=40)}"'
        hint = "the file is written by `campaign approve --translation LANGUAGE --by NAME`"
        problems.append(source.problem(line, 1, "confirmed", message, hint=hint))
    return found, problems


def written(confirmations: Mapping[str, Confirmation]) -> str:
    """Return the text of the file."""
    blocks = []
    for language, one in sorted(confirmations.items()):
        at = one.at.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()
        blocks.append(
            f"[{language}]\nsource = {_text(one.source)}\nby = {_text(one.by)}\nat = {at}Z\n"
            f"version = {_text(one.version)}\npassages = [{', '.join(map(_text, one.passages))}]\n"
        )
    return "\n".join([_HEAD, *blocks])


def confirmation(
    letters: Mapping[str, LetterTemplate],
    facts: Facts,
    language: str,
    *,
    first: str,
    by: str,
    at: datetime,
) -> Confirmation:
    """Return the confirmation of a version as it stands, by ``by`` at ``at``.

    ``first`` is the campaign's first language. ValueError, in words, where there is nothing to confirm.
    """
    by = " ".join(by.split())
    if not by or len(by) > LONGEST_NAME or not by.isprintable():
        raise ValueError(f"a name of 1 to {LONGEST_NAME} characters is needed")
    letter = letters.get(language)
    if letter is None:
        raise ValueError(f'there is no letter in "{visible(language, limit=40)}" that could be confirmed')
    origin = letter.matter.source or first
    if origin == language:
        raise ValueError(f'the letter in "{language}" was made from no other')
    if origin not in letters:
        raise ValueError(f'the letter in "{visible(origin, limit=40)}", which it was made from, is not there')
    passages = _passages(letters[origin], origin, facts)
    return Confirmation(language, origin, by, at, _whole(letter), tuple(passage.hash for passage in passages))


def older_versions(
    letters: Mapping[str, LetterTemplate],
    facts: Facts,
    languages: Sequence[str],
    confirmed: Mapping[str, Confirmation],
) -> list[Problem]:
    """Return the versions that are older than the source they were made from, and those nobody confirmed."""
    problems: list[Problem] = []
    for language in languages if confirmed else ():
        letter = letters.get(language)
        origin = (letter.matter.source if letter else "") or languages[0]
        if letter is None or origin == language or origin not in letters:
            continue
        one = confirmed.get(language)
        if one is None or one.source != origin:
            message = f"nobody has confirmed this version against {letters[origin].body.source.file}"
            problems.append(_at_top(letter, "unconfirmed", message, language))
            continue
        changed = list(_changed(letters[origin], letter, origin, facts, one))
        problems += changed
        if not changed and one.version != _whole(letter):
            message = f"this version was changed since {_who(one)} confirmed it"
            problems.append(_at_top(letter, "unconfirmed", message, language))
    return problems


def _changed(
    origin: LetterTemplate, letter: LetterTemplate, its_language: str, facts: Facts, one: Confirmation
) -> Iterator[Problem]:
    """Yield the passages of the source that were changed since a version was confirmed."""
    passages = _passages(origin, its_language, facts)
    known = set(one.passages)
    new = [passage for passage in passages if passage.hash not in known]
    source = letter.body.source
    hint = f"read both again, then `campaign approve --translation {one.language} --by NAME`"
    for passage in new[:MOST]:
        message = f"{passage.source.file}:{passage.line} was changed since {_who(one)} confirmed this version"
        line = counterpart(origin, letter, passage.source, passage.line)
        yield source.problem(line, 1, "older-than-source", message, hint=hint)
    gone = known - {passage.hash for passage in passages}
    if not new and (gone or list(one.passages) != [passage.hash for passage in passages]):
        what = "something was taken out of" if gone else "the order was changed of"
        message = f"{what} {origin.body.source.file} since {_who(one)} confirmed this version"
        yield source.problem(letter.matter.body_line, 1, "older-than-source", message, hint=hint)


def _passages(letter: LetterTemplate, language: str, facts: Facts) -> list[_Passage]:
    """Return the passages of a version: subject, preheader, paragraphs, the words of the facts it uses."""
    found = []
    for source, lines in texts_of(letter):
        starts = [line for line in paragraphs(source, lines[0]) if line in lines] if len(lines) > 1 else lines
        for number, start in enumerate(starts):
            end = starts[number + 1] if number + 1 < len(starts) else lines[-1] + 1
            found.append(_Passage(_hash(source.line(line) for line in range(start, end)), source, start))
    used = facts_of(letter, facts)
    for path, words in facts.words():
        name = ".".join(["facts", *(part for part in path if isinstance(part, str))])
        if name in used and facts.source is not None and facts.places is not None:
            line, _ = facts.places.place(facts.places.of_value((*path, language)) or 0)
            found.append(_Passage(_hash([name, words.get(language, "")]), facts.source, line))
    return found


def _whole(letter: LetterTemplate) -> str:
    """Return the hash of all of a version's own words."""
    digest = hashlib.sha256()
    for source, lines in texts_of(letter):
        digest.update(b"\n".join(source.line(line).rstrip().encode() for line in lines) + b"\0")
    return digest.hexdigest()


def _hash(lines: Iterator[str] | Sequence[str]) -> str:
    """Return the hash of a passage; how its lines are broken makes no difference."""
    return hashlib.sha256(" ".join(" ".join(lines).split()).encode()).hexdigest()[:12]


def _who(one: Confirmation) -> str:
    return f"{visible(one.by)} on {one.at.astimezone(UTC):%Y-%m-%d}"


def _at_top(letter: LetterTemplate, code: str, message: str, language: str) -> Problem:
    hint = f"read it, then `campaign approve --translation {language} --by NAME`"
    return letter.body.source.problem(
        letter.matter.body_line, 1, code, message, hint=hint, severity=Severity.WARNING
    )


def _confirmation(language: str, entry: Any) -> Confirmation | None:
    if not isinstance(entry, dict):
        return None
    texts = [entry.get(key) for key in ("source", "by", "version")]
    at, passages = entry.get("at"), entry.get("passages")
    if not all(isinstance(text, str) and text for text in texts) or not isinstance(at, datetime):
        return None
    if at.tzinfo is None or not isinstance(passages, list) or not all(isinstance(p, str) for p in passages):
        return None
    source, by, version = map(str, texts)
    return Confirmation(language, source, by[:LONGEST_NAME], at, version, tuple(passages))


def _text(value: str) -> str:
    """Return a TOML basic string."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
