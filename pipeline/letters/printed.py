"""Which entries of a list in facts.toml a written letter says: the demands that its reader will see.

Whether a version uses `facts.demands` stands in its template; which of them it prints does not: `[:2]`, an
index, an `if` in the loop lose one that every other version has. So the words themselves are looked for in a
letter that was written, and what one version says is held against what the one it was made from says to the
same row.

Contract: pure. Words are known by their letters and digits alone, so that line breaks, quotation marks, marks
of direction and another full stop make no difference. Limits: a demand that a template prints in other words
than those of facts.toml (`replace`) is not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from pipeline.letters.facts import Facts
from pipeline.letters.parity import facts_of
from pipeline.letters.rendering import LetterTemplate
from pipeline.problem import Problem

Said = Mapping[str, Sequence[int]]  # the numbers of entries, by the name of their list, in the letter's order
Version = tuple[LetterTemplate, str]  # a version and a text written with it


def has_lists(facts: Facts) -> bool:
    """Say whether there is a list of words, of which a letter could lose an entry."""
    return any(isinstance(path[-1], int) for path, _ in facts.words())


def said(text: str, facts: Facts, language: str) -> Said:
    """Return which entries of each list of words a text in ``language`` says, from 0."""
    lists: dict[str, dict[str, int]] = {}
    for path, words in facts.words():
        if isinstance(path[-1], int) and (key := _bare(words.get(language, ""))):
            name = ".".join(("facts", *map(str, path[:-1])))
            lists.setdefault(name, {}).setdefault(key, path[-1])
    bare = _bare(text)
    return {name: _in_order(bare, entries) for name, entries in lists.items()}


def compare_said(
    origin: Version, its_language: str, version: Version, language: str, facts: Facts
) -> list[Problem]:
    """Return which entries a version does not say, or says in another order, than the one it was made from.

    A list that its head has in `differs` is left alone.
    """
    there = said(origin[1], facts, its_language)
    here = said(version[1], facts, language)
    problems: list[Problem] = []
    for name in there.keys() & here.keys() - set(version[0].matter.differs):
        theirs, ours = (list(dict.fromkeys(one[name])) for one in (there, here))
        problems += _differing(name, theirs, ours, origin[0], version[0], facts)
    return problems


def _differing(
    name: str,
    theirs: Sequence[int],
    ours: Sequence[int],
    origin: LetterTemplate,
    version: LetterTemplate,
    facts: Facts,
) -> Iterator[Problem]:
    uses = facts_of(version, facts)
    if name not in uses:  # told by what compares the templates
        return
    use, file = uses[name], origin.body.source.file
    hint = f'print it, or write into the head of {version.body.source.file}: differs = ["{name}"]'

    def problem(message: str, hint: str = hint) -> Problem:
        return use.source.problem(use.line, 1, "parity-demand", message, hint=hint)

    for number in theirs:
        if number not in ours:
            yield problem(f"{_called(name, number)} is not in the letter: {file} prints it")
    for number in ours:
        if number not in theirs:
            yield problem(f"{_called(name, number)} is in the letter, and not in that of {file}")
    common = [number for number in ours if number in theirs]
    wanted = [number for number in theirs if number in ours]
    if common != wanted:
        first, other = next((a, b) for a, b in zip(common, wanted, strict=True) if a != b)
        message = f"{_called(name, first)} comes before {_called(name, other)} here: {file} has another order"
        yield problem(message, "put them into the same order")


def _called(name: str, number: int) -> str:
    return f"demand {number + 1}" if name == "facts.demands" else f"entry {number + 1} of {name}"


def _in_order(bare: str, entries: Mapping[str, int]) -> list[int]:
    pattern = "|".join(re.escape(key) for key in sorted(entries, key=len, reverse=True))
    return [entries[match[0]] for match in re.finditer(pattern, bare)]


def _bare(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
