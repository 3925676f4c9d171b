"""Whether the versions of a letter say the same: a demand lost in translation is the worst fault there is.

Each version is held against the one it was made from: `source` in its head, else the campaign's first
language. They use the same facts; the figures and dates written into them are the same (`quantities`); their
numbered lists have as many demands, in the same order; the words of facts.toml are there in every language,
with the same figures. What a version has for itself, or leaves out on purpose, stands in its head: `differs`.

An order can be told by what the demands hold - facts and figures -, or by a name in front of each, which is
not printed: `1. {# release #} to release …`, the same name in every language.

Contract: pure; every problem names the file and line that lacks something, and the line that has it. A figure
that one may write in words (up to twenty, and tens up to a hundred) and that is only missing is a warning;
one that was changed is an error. Limits: what a shared file says that both versions extend or include counts
for both; prose is not compared. Which entries of a list in facts.toml a letter prints is seen where letters
are written (`printed`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from pipeline.letters.demands import ITEM, Demand, beginning, misnumbered, missing, numbered, order
from pipeline.letters.facts import FILE, Facts, Words
from pipeline.letters.names import Use
from pipeline.letters.quantities import Quantity, quantities, quantities_in
from pipeline.letters.rendering import LetterTemplate
from pipeline.letters.source import Source
from pipeline.positions import Path
from pipeline.problem import Problem, Severity, visible

MOST = 50  # problems of one version
_ENTRY = re.compile(r"\bfacts(?:\.\w+)+(?:\[\d+\]|\.\d+)|\bfacts(?:\.\w+)+\s*\|\s*(?:first|last)\b")


_Found = tuple[Source, Quantity]


def compare_versions(
    letters: Mapping[str, LetterTemplate], facts: Facts, languages: Sequence[str]
) -> list[Problem]:
    """Return where the versions of a letter do not say the same; ``languages`` are the campaign's."""
    problems = [*_words_of_facts(letters, facts, languages)]
    for language in languages:
        letter = letters.get(language)
        if letter is None:
            continue
        origin = letter.matter.source or languages[0]
        source = letter.body.source
        if origin not in languages:
            column = source.column(letter.matter.source_line, r"(?<==)\s*\S")
            hint = f"languages in campaign.toml: {', '.join(languages)}"
            message = f'there is no version in "{visible(origin, limit=40)}" that this could be made from'
            problems.append(
                source.problem(letter.matter.source_line, column, "no-source", message, hint=hint)
            )
        elif origin != language and origin in letters:
            pair = _Pair(letters[origin], origin, letter, language, facts)
            problems += pair.problems()[:MOST]
        problems += _words_of_others(letter, language, facts)
    return problems


def texts_of(letter: LetterTemplate, shared: frozenset[str] = frozenset()) -> list[tuple[Source, list[int]]]:
    """Return the lines that a letter's words stand on, file by file, without files in ``shared``: subject,
    preheader, body, what it extends and includes.
    """
    matter, source = letter.matter, letter.body.source
    texts = [(source, [matter.subject_line])]
    if matter.preheader:
        texts.append((source, [matter.preheader_line]))
    texts.append((source, list(range(matter.body_line, len(source.lines) + 1))))
    texts += [
        (part, list(range(1, len(part.lines) + 1)))
        for file, part in letter.body.parts.items()
        if file not in shared
    ]
    return texts


def counterpart(origin: LetterTemplate, version: LetterTemplate, source: Source, line: int) -> int:
    """Return the line of ``version`` where that stands which stands on a line of a file of ``origin``: the
    paragraph of the same number.
    """
    theirs, ours = origin.matter, version.matter
    if source is not origin.body.source:
        return ours.body_line
    if line < theirs.body_line:
        return (
            ours.preheader_line if theirs.preheader and line == theirs.preheader_line else ours.subject_line
        )
    starts = paragraphs(source, theirs.body_line)
    mine = paragraphs(version.body.source, ours.body_line) or [ours.body_line]
    number = sum(start <= line for start in starts) - 1
    return mine[max(0, min(number, len(mine) - 1))]


class _Pair:
    """A version and the one it was made from."""

    def __init__(
        self, origin: LetterTemplate, its_language: str, version: LetterTemplate, language: str, facts: Facts
    ) -> None:
        self._origin, self._version, self._facts = origin, version, facts
        self._languages = its_language, language
        self._shared = frozenset(origin.body.parts) & frozenset(version.body.parts)
        self._differs = frozenset(version.matter.differs)

    def problems(self) -> list[Problem]:
        """Return what one has and the other has not."""
        found = [*self._uses(), *self._figures(), *self._lists()]
        return sorted(found, key=lambda problem: (problem.file, problem.line, problem.column))

    def _uses(self) -> Iterator[Problem]:
        there, here = (facts_of(letter, self._facts) for letter in (self._origin, self._version))
        for name in there.keys() - here.keys() - self._differs:
            use = there[name]
            hint = f'print it, or write into the head of this file: differs = ["{name}"]'
            yield self._lacking(use.source, use.line, name, "parity-fact", hint)
        for name in here.keys() - there.keys() - self._differs:
            use = here[name]
            message = f"{name} is used here, and not in {self._file}"
            hint = f'use it there too, or write into the head of {self._here}: differs = ["{name}"]'
            yield use.source.problem(use.line, use.column, "parity-fact", message, hint=hint)

    def _figures(self) -> Iterator[Problem]:
        there, here = self._quantities(self._origin, 0), self._quantities(self._version, 1)
        changed, lacking, extra = _changed(*_without_pairs(there, here), self._counterpart)
        for one, (source, quantity) in changed:
            message = f'"{quantity.shown}" stands here; {one[0].file}:{one[1].line} has "{one[1].shown}"'
            yield source.problem(
                quantity.line, quantity.column, "parity-figure", message, hint=self._hint(quantity)
            )
        for source, quantity in lacking:
            if not any(quantity.means(known) for _, known in here):
                hint = f'write it, or into the head of this file: differs = ["{quantity.shown}"]'
                if quantity.is_small:
                    hint = f"is it there in words? else {hint}"
                shown = f'"{quantity.shown}"'
                yield self._lacking(
                    source, quantity.line, shown, "parity-figure", hint, small=quantity.is_small
                )
        for source, quantity in extra:
            if not any(quantity.means(known) for _, known in there):
                message = f'"{quantity.shown}" stands here, and not in {self._file}'
                severity = Severity.WARNING if quantity.is_small else Severity.ERROR
                yield source.problem(
                    quantity.line,
                    quantity.column,
                    "parity-figure",
                    message,
                    hint=self._hint(quantity),
                    severity=severity,
                )

    def _lists(self) -> Iterator[Problem]:
        there, here = (
            numbered(texts_of(one, self._shared), language)
            for one, language in zip((self._origin, self._version), self._languages, strict=True)
        )
        if _prints_entries(there) != _prints_entries(
            here
        ):  # one in a loop: told by what letters say (`printed`)
            there, here = (_without_entries(lists) for lists in (there, here))
        if len(there) != len(here):  # "1. Mai" at the beginning of a paragraph is no list of demands
            there, here = ([one for one in lists if len(one) > 1] for lists in (there, here))
        for theirs, ours in zip_longest(there, here, fillvalue=()):
            yield from self._list(theirs, ours)

    def _list(self, theirs: Sequence[Demand], ours: Sequence[Demand]) -> Iterator[Problem]:
        if len(ours) < len(theirs):
            for number in missing(theirs, ours):
                item = theirs[number]
                before = ours[min(number, len(ours) - 1)] if ours else None
                message = f"demand {number + 1} is missing here: {item.source.file}:{item.line} has it"
                hint = beginning(item)
                if before is None:
                    yield self._at(item.source, item.line, "parity-demand", message, hint)
                else:
                    yield before.source.problem(before.line, 1, "parity-demand", message, hint=hint)
            return
        if len(ours) > len(theirs):
            for number in missing(ours, theirs):
                item = ours[number]
                message = f"demand {number + 1} stands here, and not in {self._file}"
                if theirs:
                    message += f", whose list begins on line {theirs[0].line}"
                yield item.source.problem(item.line, 1, "parity-demand", message, hint=beginning(item))
            return
        yield from order(theirs, ours)
        yield from misnumbered(ours)

    def _quantities(self, letter: LetterTemplate, which: int) -> list[_Found]:
        language = self._languages[which]
        own = [one for text in self._differs for one in quantities(text, language)]
        return [
            (source, quantity)
            for source, lines in texts_of(letter, self._shared)
            for quantity in quantities_in(source, lines, language)
            if not any(quantity.means(one) for one in own)
        ]

    def _counterpart(self, source: Source, line: int) -> int:
        return counterpart(self._origin, self._version, source, line)

    @property
    def _file(self) -> str:
        return self._origin.body.source.file

    @property
    def _here(self) -> str:
        return self._version.body.source.file

    def _hint(self, quantity: Quantity) -> str:
        """Return what to do about a figure that stands in one version only."""
        same = next(_scalars(self._facts.entries, quantity), "")
        if same:
            return f"print it from facts.toml: {{{{ {same} }}}}"
        return f'mend it, or write into the head of {self._here}: differs = ["{quantity.shown}"]'

    def _lacking(
        self, source: Source, line: int, what: str, code: str, hint: str, *, small: bool = False
    ) -> Problem:
        message = f"{what} is missing here: {source.file}:{line} has it"
        return self._at(source, line, code, message, hint, Severity.WARNING if small else Severity.ERROR)

    def _at(
        self,
        source: Source,
        line: int,
        code: str,
        message: str,
        hint: str,
        severity: Severity = Severity.ERROR,
    ) -> Problem:
        """Return a problem at the paragraph of this version that should have what ``line`` has."""
        here = self._version.body.source
        number = self._counterpart(source, line)
        return here.problem(number, 1, code, message, hint=hint, severity=severity)


def _prints_entries(lists: Sequence[Sequence[Demand]]) -> bool:
    return any(_ENTRY.search(item.text) for one in lists for item in one)


def _without_entries(lists: Sequence[Sequence[Demand]]) -> list[list[Demand]]:
    """Return lists without the points that print an entry of a list in facts.toml by its number."""
    rest = ([item for item in one if not _ENTRY.search(item.text)] for one in lists)
    return [one for one in rest if one]


def facts_of(letter: LetterTemplate, facts: Facts) -> dict[str, Use]:
    """Return the facts that a letter uses, by the name they have in every language, with the first use."""
    found: dict[str, Use] = {}
    pieces = [letter.subject, letter.body, *([letter.preheader] if letter.preheader else [])]
    for piece in pieces:
        for use in piece.uses:
            found.setdefault(".".join(("facts", *_common(use.path, facts))), use)
    return found


def _common(path: Sequence[str], facts: Facts) -> Sequence[str]:
    """Return the path of a fact without the language, number or part at its end."""
    value: Any = facts.entries
    for number, key in enumerate(path):
        if isinstance(value, Words) or not isinstance(value, Mapping) or key not in value:
            return path[:number]
        value = value[key]
    return path


def _without_pairs(there: list[_Found], here: list[_Found]) -> tuple[list[_Found], list[_Found]]:
    """Return what is left of both when what means the same is taken out, one for one."""
    rest = list(here)
    lacking = []
    for one in there:
        same = next((place for place, other in enumerate(rest) if one[1].readings & other[1].readings), -1)
        if same < 0:
            same = next((place for place, other in enumerate(rest) if one[1].means(other[1])), -1)
        if same < 0:
            lacking.append(one)
        else:
            del rest[same]
    return lacking, rest


def _changed(
    lacking: list[_Found], extra: list[_Found], counterpart_of: Callable[[Source, int], int]
) -> tuple[list[tuple[_Found, _Found]], list[_Found], list[_Found]]:
    """Return which figures stand in the place of which others, what is only lacking and what is only extra.

    A number stands for a number and a date for a date; the nearest one first.
    """
    near = sorted(
        (abs(counterpart_of(one[0], one[1].line) - other[1].line), first, second)
        for first, one in enumerate(lacking[:MOST])
        for second, other in enumerate(extra[:MOST])
        if one[1].kind == other[1].kind
    )
    pairs: dict[int, int] = {}
    for _, first, second in near:
        if first not in pairs and second not in pairs.values():
            pairs[first] = second
    return (
        [(lacking[first], extra[second]) for first, second in pairs.items()],
        [one for number, one in enumerate(lacking) if number not in pairs],
        [one for number, one in enumerate(extra) if number not in pairs.values()],
    )


def _scalars(value: Any, quantity: Quantity, path: str = "facts") -> Iterator[str]:
    """Yield the facts that are just this figure or date."""
    if isinstance(value, Mapping) and not isinstance(value, Words):
        for key, item in value.items():
            yield from _scalars(item, quantity, f"{path}.{key}")
    elif not isinstance(value, (str, list, bool, Mapping)) and str(value) in quantity.readings:
        yield path


def paragraphs(source: Source, first_line: int) -> list[int]:
    """Return the first lines of the paragraphs of a text that begins on a line; a list item is one."""
    starts, blank = [], True
    for number in range(first_line, len(source.lines) + 1):
        line = source.line(number)
        if line.strip() and (blank or ITEM.match(line)):
            starts.append(number)
        blank = not line.strip()
    return starts


def _words_of_others(letter: LetterTemplate, language: str, facts: Facts) -> Iterator[Problem]:
    """Yield where a letter prints a fact's words in a language that is not its own."""
    for piece in (letter.subject, letter.body):
        for use in piece.uses:
            common = _common(use.path, facts)
            words, said = _value(facts, common), "".join(use.path[len(common) : len(common) + 1])
            own = use.source is letter.body.source and said != language
            if own and isinstance(words, Words) and said in words:
                message = f'this prints the words in "{said}" in a letter in "{language}"'
                hint = f"{{{{ {'.'.join(('facts', *common))} }}}} prints those of each letter's language"
                yield use.source.problem(
                    use.line, use.column, "other-language", message, hint=hint, severity=Severity.WARNING
                )


def _value(facts: Facts, path: Sequence[str]) -> Any:
    value: Any = facts.entries
    for key in path:
        value = value[key]
    return value


def _words_of_facts(
    letters: Mapping[str, LetterTemplate], facts: Facts, languages: Sequence[str]
) -> Iterator[Problem]:
    """Yield which words of facts.toml are missing in a language, and which figures in them differ."""
    used = {language: facts_of(letter, facts) for language, letter in letters.items()}
    for path, words in facts.words():
        name = ".".join(("facts", *_keys(path)))
        origin = next((language for language in languages if words.get(language, "").strip()), "")
        there = quantities(words[origin], origin) if origin else []
        for language in languages:
            if not words.get(language, "").strip():
                yield _unsaid(facts, path, language, used.get(language, {}).get(name))
            elif language != origin:
                yield from _figures_of_words(facts, path, there, language, origin)


def _keys(path: Path) -> list[str]:
    """Return the keys of a path up to its first number: `facts.demands` for each of its entries."""
    keys: list[str] = []
    for part in path:
        if isinstance(part, int):
            break
        keys.append(part)
    return keys


def _unsaid(facts: Facts, path: Path, language: str, use: Use | None) -> Problem:
    what = f"demand {path[-1] + 1}" if isinstance(path[-1], int) else f"facts.{'.'.join(map(str, path))}"
    if isinstance(path[-1], int) and path[0] != "demands":
        what = f"entry {path[-1] + 1} of facts.{'.'.join(map(str, path[:-1]))}"
    message = f'{what} has no words in "{language}"'
    if use is not None:
        message += f", and {use.source.file}:{use.line} prints them"
    severity = Severity.ERROR if use is not None else Severity.WARNING
    hint = f'write below it: {language} = "…"'
    return facts.problem(path, "parity-words", message, hint, severity=severity)


def _figures_of_words(
    facts: Facts, path: Path, there: Sequence[Quantity], language: str, origin: str
) -> Iterator[Problem]:
    words: Any = facts.entries
    for key in path:
        words = words[key]
    here = quantities(words[language], language)
    source = Source(FILE, ())
    lacking, extra = _without_pairs([(source, one) for one in there], [(source, one) for one in here])
    if not lacking and not extra:
        return
    line, _ = facts.places.place(facts.places.of_value((*path, origin)) or 0) if facts.places else (0, 0)
    ours, theirs = (", ".join(f'"{one.shown}"' for _, one in some) for some in (extra, lacking))
    if extra and lacking:
        message = f"{ours} stands here; line {line} has {theirs}"
    elif extra:
        message = f"{ours} stands here, and not on line {line}"
    else:
        message = f"{theirs} is missing here: line {line} has it"
    small = not (extra and lacking) and all(one.is_small for _, one in [*extra, *lacking])
    severity = Severity.WARNING if small else Severity.ERROR
    yield facts.problem((*path, language), "parity-figure", message, severity=severity, value=True)
