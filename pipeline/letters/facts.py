"""templates/facts.toml: what all letters have in common, each thing written once.

    detained = 47                       figures and dates that are the same in every language
    march_date = 2026-05-01

    [prisoners]                         words, one line for each language
    en = "Irena Talvos and Marek Osselin"
    ru = "Ирена Талвос и Марек Осселин"

    [[demands]]                         a list: a block for each entry, in their order
    en = "to release the prisoners;"
    ru = "освободить заключённых;"

    [[salutation]]                      how a row is addressed: the first block that fits it
    office = "ambassador"               every column that is named must say so
    gender = "f"
    ru = "Уважаемая госпожа посол!"

A letter prints `facts.prisoners` and gets the words of its own language; `facts.prisoners.ru` says which. A
table is taken for words where its keys are languages, one of the campaign's among them.

TOML 1.0. Contract: pure; every problem has the line and column of what it is about. Limits: 256 KiB, eight
tables deep, 2,000 entries in all, 200 blocks of salutation.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from difflib import get_close_matches
from typing import Any

from pipeline.letters.sandbox import Empty, Worded
from pipeline.letters.source import Source
from pipeline.positions import Path, Positions, find_positions
from pipeline.problem import Problem, Severity, visible

FILE = "templates/facts.toml"
SALUTATION = "salutation"
DEEPEST = 8
MOST_ENTRIES = 2_000
MOST_SALUTATIONS = 200

_TAG = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_COLUMN = re.compile(r"\{\s*(\w+)\s*\}")


class Words(dict[str, Any]):
    """A table of words by language."""


@dataclass(frozen=True, slots=True)
class Salutation:
    """One block of salutation: what a row must say, column by column, and the words by language."""

    conditions: tuple[tuple[str, frozenset[str]], ...]
    words: Mapping[str, str]

    def fits(self, recipient: Mapping[str, str]) -> bool:
        """Say whether a row says what it must; upper case and spaces at the ends make no difference."""
        return all(
            recipient.get(column, "").strip().casefold() in wanted for column, wanted in self.conditions
        )

    def address(self, language: str, recipient: Mapping[str, str]) -> str:
        """Return the words for a row; an empty text where they need a cell that is empty."""
        text = self.words.get(language, "")
        cells = [recipient.get(column, "").strip() for column in _COLUMN.findall(text)]
        return _COLUMN.sub(lambda _: cells.pop(0), text) if all(cells) else ""


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a campaign; tables of words are `Words`."""

    entries: Mapping[str, Any] = field(default_factory=dict)
    salutations: tuple[Salutation, ...] = ()
    source: Source | None = None
    places: Positions | None = None

    def in_language(self, language: str) -> dict[str, Any]:
        """Return the facts as letters in ``language`` see them."""
        return {key: _spoken_in(language, value, f"facts.{key}") for key, value in self.entries.items()}

    def address(self, language: str, recipient: Mapping[str, str]) -> str:
        """Return the salutation for a row; `Empty`, which cannot be printed, where no block fits."""
        for salutation in self.salutations:
            if salutation.fits(recipient) and (text := salutation.address(language, recipient)):
                return text
        columns = dict.fromkeys(column for one in self.salutations for column, _ in one.conditions)
        said = ", ".join(
            f'{column} "{visible(recipient.get(column, ""), limit=40)}"' for column in list(columns)[:6]
        )
        return Empty(
            SALUTATION,
            f"recipient.{SALUTATION}",
            f"no [[{SALUTATION}]] of facts.toml fits this row in {language}" + (f": {said}" if said else ""),
            f"add a block with {language} = …, mend the row, or fill in its column {SALUTATION}",
        )

    def problem(
        self,
        path: Path,
        code: str,
        message: str,
        hint: str = "",
        *,
        severity: Severity = Severity.ERROR,
        value: bool = False,
    ) -> Problem:
        """Return a problem about an entry, at its key, or at its ``value``."""
        if self.source is None or self.places is None:
            return Problem(FILE, 0, 0, code, message, hint, severity)
        at = self.places.of_value(path) if value else self.places.of_key(path)
        line, column = self.places.place(at or 0)
        return self.source.problem(line, column, code, message, hint=hint, severity=severity)

    def words(self) -> Iterator[tuple[Path, Words]]:
        """Yield every table of words with its path, in the order of the file."""
        yield from _words_in((), self.entries)


def read_facts(
    source: Source, *, languages: Sequence[str], columns: Collection[str]
) -> tuple[Facts, list[Problem]]:
    """Return the facts of a file and what is wrong with it.

    ``languages`` are the campaign's, ``columns`` those of the list, which salutations ask about.
    """
    text = "\n".join(source.lines) + "\n"
    places = find_positions(text)
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError):
        return Facts(source=source, places=places), []  # told by who read the syntax
    facts = Facts({}, (), source, places)
    problems = [
        facts.problem(path, "unfit-fact", f"{_dotted(path)} {why}") for path, why in _unfit((), table, 0)
    ]
    if sum(1 for _ in _entries(table)) > MOST_ENTRIES:
        problems.append(facts.problem((), "too-many-facts", f"there are more than {MOST_ENTRIES:,} facts"))
    if problems:
        return facts, problems[:20]
    problems = [
        facts.problem(path, "unfit-fact", f"{_dotted(path)} is no text like those beside it", value=True)
        for path in _wordless((), table, frozenset(languages))
    ]
    salutations: tuple[Salutation, ...] = ()
    if _is_list_of_tables(table.get(SALUTATION)):
        reader = _Salutations(facts, frozenset(languages), frozenset(columns))
        salutations = reader.read(table.pop(SALUTATION))
        problems += reader.problems
    entries = {key: _with_words(value, frozenset(languages)) for key, value in table.items()}
    facts = Facts(entries, salutations, source, places)
    return facts, problems + _unknown_languages(facts, languages)


class _Salutations:
    """Reads the blocks of salutation and gathers what is wrong with them."""

    def __init__(self, facts: Facts, languages: frozenset[str], columns: frozenset[str]) -> None:
        self._facts, self._languages, self._columns = facts, languages, columns
        self.problems: list[Problem] = []

    def read(self, blocks: Sequence[Mapping[str, Any]]) -> tuple[Salutation, ...]:
        if len(blocks) > MOST_SALUTATIONS:
            self._tell(
                (SALUTATION, 0), "too-many-facts", f"more than {MOST_SALUTATIONS} blocks of salutation"
            )
            return ()
        found = [self._block(number, block) for number, block in enumerate(blocks)]
        taken: dict[str, int] = {}
        for number, one in enumerate(found):
            for language in one.words:
                if language in taken:
                    message = f"no row is ever addressed so in {language}: the block above it fits every row"
                    self._tell(
                        (SALUTATION, number, language), "unreachable", message, "put it above that one"
                    )
                elif not one.conditions and not _COLUMN.search(one.words[language]):
                    taken[language] = number
        return tuple(found)

    def _block(self, number: int, block: Mapping[str, Any]) -> Salutation:
        conditions: list[tuple[str, frozenset[str]]] = []
        words: dict[str, str] = {}
        for key, value in block.items():
            path = (SALUTATION, number, key)
            if key in self._languages:
                words[key] = self._words(path, value)
            elif key in self._columns:
                conditions.append((key, self._wanted(path, value)))
            elif re.fullmatch(r"[a-z]{2}(?:-[A-Za-z0-9]{2,8})*", key):
                self.problems.append(_unused(self._facts, path, sorted(self._languages)))
            else:
                known = sorted(self._columns | self._languages)
                near = get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known[:12])}"
                message = f'"{visible(key, limit=60)}" is neither a column of the list nor a language'
                self._tell(path, "unknown-column", message, hint)
        if not words:
            hint = f'write the words: {min(self._languages, default="en")} = "Dear …,"'
            self._tell((SALUTATION, number), "no-words", "this salutation has no words", hint)
        return Salutation(tuple(conditions), words)

    def _words(self, path: Path, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            self._tell(path, "no-words", "a salutation is a text that is not empty")
            return ""
        for column in _COLUMN.findall(value):
            if column not in self._columns:
                near = get_close_matches(column, sorted(self._columns), n=1)
                hint = f"did you mean {{{near[0]}}}?" if near else "the columns are those of the list"
                self._tell(path, "unknown-column", f'the list has no column "{column}"', hint, value=True)
        if "{{" in value:
            hint = "a column stands in single braces here: {name}"
            self._tell(path, "no-template", "facts are words, not templates", hint, value=True)
        return value.strip()

    def _wanted(self, path: Path, value: Any) -> frozenset[str]:
        several = value if isinstance(value, list) else [value]
        if not several or not all(isinstance(one, (str, int)) for one in several):
            self._tell(path, "wrong-value", 'this is a text, or a list of texts: ["consul", "vice consul"]')
        return frozenset(str(one).strip().casefold() for one in several)

    def _tell(self, path: Path, code: str, message: str, hint: str = "", *, value: bool = False) -> None:
        self.problems.append(self._facts.problem(path, code, message, hint, value=value))


def _with_words(value: Any, languages: frozenset[str]) -> Any:
    """Return a value in which tables of words are `Words`."""
    if isinstance(value, list):
        return [_with_words(item, languages) for item in value]
    if not isinstance(value, dict):
        return value
    if (
        languages & set(value)
        and all(map(_TAG.fullmatch, value))
        and all(isinstance(item, str) for item in value.values())
    ):
        return Words(value)
    return {key: _with_words(item, languages) for key, item in value.items()}


def _wordless(path: Path, value: Any, languages: frozenset[str]) -> Iterator[Path]:
    """Yield what is no text in a table that is words by language otherwise."""
    if isinstance(value, dict):
        tags = bool(languages & set(value)) and all(map(_TAG.fullmatch, value))
        texts = [isinstance(item, str) for item in value.values()]
        for key, item in value.items():
            if tags and any(texts) and not isinstance(item, str):
                yield (*path, key)
            elif path or key != SALUTATION:
                yield from _wordless((*path, key), item, languages)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _wordless((*path, number), item, languages)


def _spoken_in(language: str, value: Any, path: str) -> Any:
    if isinstance(value, Words):
        return Worded(value.get(language, ""), value, f"{path}.{language}")
    if isinstance(value, dict):
        return {key: _spoken_in(language, item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_spoken_in(language, item, f"{path}[{number}]") for number, item in enumerate(value)]
    return value


def _words_in(path: Path, value: Any) -> Iterator[tuple[Path, Words]]:
    if isinstance(value, Words):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _words_in((*path, key), item)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _words_in((*path, number), item)


def _unknown_languages(facts: Facts, languages: Sequence[str]) -> list[Problem]:
    """Return a warning for words in a language that the campaign does not have."""
    problems = []
    for path, words in facts.words():
        lacking = [language for language in languages if language not in words]
        problems += [
            _unused(facts, (*path, key), languages, lacking) for key in words if key not in languages
        ]
    return problems[:20]


def _unused(facts: Facts, path: Path, languages: Sequence[str], lacking: Sequence[str] = ()) -> Problem:
    """Return the warning for words in a language that is not one of ``languages``."""
    near = get_close_matches(str(path[-1]), lacking, n=1)
    hint = f"did you mean {near[0]}?" if near else f"languages in campaign.toml: {', '.join(languages)}"
    message = f'"{path[-1]}" is not a language of this campaign; these words are not used'
    return facts.problem(path, "unused-language", message, hint, severity=Severity.WARNING)


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _entries(value: Any) -> Iterator[None]:
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield None
        yield from _entries(item)


def _unfit(path: Path, value: Any, depth: int) -> Iterator[tuple[Path, str]]:
    """Yield path and reason of every fact that is neither text, number, date, yes or no, nor a table or
    list."""
    if depth > DEEPEST:
        yield path, "is nested too deeply"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _unfit((*path, key), item, depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unfit((*path, number), item, depth + 1)
    elif isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        yield path, "is not a number that can be printed"
    elif isinstance(value, int) and value.bit_length() > 64:
        yield path, "is too large a number"
    elif not isinstance(value, (str, int, float, date, time)):
        yield path, "is neither text nor number nor date"


def _dotted(path: Path) -> str:
    """Return a path as templates write it: facts.demands[2].ru."""
    return "facts" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
