"""What letters share: files below templates/ that they extend and include, and the blocks they fill in.

    templates/base.md                  a letter with blocks: {% block salutation %}…{% endblock %}
    templates/letter.ru.md             {% extends "base.md" %}, and the blocks it says in its own words
    templates/parts/closing.ru.md      {% include "parts/closing.ru.md" %}

Nothing is looked for on the disk: the files were read before, only from below templates/, and stand on a
`Shelf`. A name is a text in quotation marks, so that all that a letter is made of is known before one is
rendered: a file that is not there, a block that nobody prints, a block that must be filled and is not, words
outside of blocks, which would be lost without a trace.

Limits: 8 files deep; no super(), no self, no `ignore missing`, no `without context`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from jinja2 import BaseLoader, Environment, Template, TemplateNotFound, nodes

from pipeline.letters.source import Source
from pipeline.problem import Problem, visible

FOLDER = "templates/"
DEEPEST = 8

_LETTER = re.compile(r"(?:letter|followup)\.[^/]*\.md")
_INVISIBLE = (nodes.Block, nodes.Extends, nodes.Assign)


@dataclass(frozen=True, slots=True)
class Part:
    """A shared file: its text, what it extends and includes, the blocks it has, which of them must be filled
    in.
    """

    source: Source
    extends: str
    uses: tuple[str, ...]  # all it extends and includes, itself
    blocks: Mapping[str, bool]


class Shelf(BaseLoader):
    """The compiled files that letters may extend and include, by their name below templates/."""

    def __init__(self) -> None:
        self.templates: dict[str, Template] = {}

    def load(self, environment: Environment, name: str, globals: Any = None) -> Template:  # noqa: A002
        """Return a file's template; TemplateNotFound where it is not there."""
        try:
            return self.templates[name]
        except KeyError:
            raise TemplateNotFound(name) from None


def blocks_of(tree: nodes.Template) -> dict[str, bool]:
    """Return the blocks of a file, and whether each must be filled in."""
    return {block.name: block.required for block in tree.find_all(nodes.Block)}


def check_parts(
    tree: nodes.Template, source: Source, *, first_line: int, shared: Collection[str]
) -> tuple[str, tuple[str, ...], list[Problem]]:
    """Return what a file extends, all it extends and includes, and what is wrong with that.

    ``shared`` are the files there are, by their names below templates/.
    """
    check = _Check(source, first_line, shared)
    extends = ""
    names = []
    found: list[nodes.Extends | nodes.Include] = [
        *tree.find_all(nodes.Extends),
        *tree.find_all(nodes.Include),
    ]
    for node in sorted(found, key=lambda node: node.lineno):
        name = check.name(node)
        if name:
            names.append(name)
        if isinstance(node, nodes.Extends):
            if node not in tree.body:
                check.tell(node.lineno, "extends", "extends stands in no condition, loop or block")
            elif extends:
                check.tell(node.lineno, "extends", "a letter extends one file")
            extends = extends or name
    if any(isinstance(node, nodes.Extends) for node in tree.body):
        check.lost_words(tree)
    return extends, tuple(dict.fromkeys(names)), check.problems


def check_blocks(
    tree: nodes.Template,
    source: Source,
    *,
    first_line: int,
    extends: str,
    part: Callable[[str], Part | None],
    whole: bool,
) -> list[Problem]:
    """Return the blocks that a file fills in vain, and in a ``whole`` letter those that it must fill in and
    does not.

    ``extends`` is the file that it extends, ``part`` gives a file by its name.
    """
    above = list(_above(extends, part))
    there = {name for one in above for name in one.blocks}
    own = {node.name: node for node in tree.body if isinstance(node, nodes.Block)}
    check = _Check(source, first_line, ())
    for name, node in own.items():
        if name not in there:
            near = get_close_matches(name, sorted(there), n=1)
            hint = (
                f"did you mean {near[0]}?" if near else f"its blocks are {', '.join(sorted(there)) or 'none'}"
            )
            message = f'{FOLDER}{extends} has no block "{name}": these words would be lost'
            check.tell(node.lineno, "block", message, hint, rf"\b{re.escape(name)}\b")
    filled = {name for one in above for name, required in one.blocks.items() if not required} | set(own)
    needed = {name for one in above for name, required in one.blocks.items() if required}
    for name in sorted(needed - filled) if whole else ():
        hint = f"{{% block {name} %}} … {{% endblock %}}"
        message = f'{FOLDER}{extends} needs the block "{name}", which this letter does not have'
        check.tell(1, "block", message, hint)
    return check.problems


def _above(extends: str, part: Callable[[str], Part | None]) -> Iterator[Part]:
    """Yield the file that is extended, the one that it extends, and so on."""
    for _ in range(DEEPEST):
        found = part(extends) if extends else None
        if found is None:
            return
        yield found
        extends = found.extends


class _Check:
    """Gathers the problems of one file."""

    def __init__(self, source: Source, first_line: int, shared: Collection[str]) -> None:
        self._source, self._first, self._shared = source, first_line, shared
        self.problems: list[Problem] = []

    def tell(self, line: int, code: str, message: str, hint: str = "", pattern: str = "") -> None:
        """Note a problem on a line of the body."""
        number = self._first + line - 1
        column = self._source.column(number, pattern or rf"\{{%[+-]?\s*{code}\b")
        self.problems.append(self._source.problem(number, column, code, message, hint=hint))

    def name(self, node: nodes.Extends | nodes.Include) -> str:
        """Return the name of the file that is meant; empty, and a problem, where it cannot be used."""
        word = "extends" if isinstance(node, nodes.Extends) else "include"
        named = node.template
        if not isinstance(named, nodes.Const) or not isinstance(named.value, str):
            message = "the file's name stands in quotation marks, one file"
            self.tell(node.lineno, word, message, f'{{% {word} "closing.md" %}}')
            return ""
        if isinstance(node, nodes.Include) and (node.ignore_missing or not node.with_context):
            message = "nothing stands behind the file's name"
            self.tell(node.lineno, word, message, f'{{% {word} "{visible(named.value, limit=60)}" %}}')
            return ""
        if named.value in self._shared:
            return named.value
        self.tell(node.lineno, word, *self._missing(named.value), rf"['\"]{re.escape(named.value)}['\"]")
        return ""

    def _missing(self, name: str) -> tuple[str, str]:
        """Return message and hint for a file that cannot be had."""
        shown = visible(name, limit=80)
        if name.startswith(("/", "\\", "~")) or ".." in name.split("/") or re.match(r"[A-Za-z]:", name):
            return f'"{shown}" lies outside of {FOLDER}', f"what letters share lies below {FOLDER}"
        if _LETTER.fullmatch(name):
            return f'"{shown}" is a letter of its own', "put what both share into a file without a subject"
        inside = name.removeprefix(FOLDER)
        if inside != name and inside in self._shared:
            return f"there is no {FOLDER}{shown}", f'names begin below {FOLDER}: "{inside}"'
        near = get_close_matches(name, sorted(self._shared), n=1)
        known = ", ".join(sorted(self._shared)[:6])
        hint = f'did you mean "{near[0]}"?' if near else f"there are: {known}" if known else ""
        return f"there is no {FOLDER}{shown}", hint or f"write {FOLDER}{shown}"

    def lost_words(self, tree: nodes.Template) -> None:
        """Note the first words outside of blocks of a file that extends another."""
        for node in tree.body:
            if isinstance(node, _INVISIBLE):
                continue
            line = node.lineno
            if isinstance(node, nodes.Output):
                for child in node.nodes:
                    text = child.data if isinstance(child, nodes.TemplateData) else "x"
                    line = child.lineno
                    if text.strip():
                        line += len(text[: len(text) - len(text.lstrip())].split("\n")) - 1
                        break
                else:
                    continue
            hint = "put them into a block of the file that is extended"
            message = "these words stand outside of every block, and would be lost"
            self.tell(line, "lost-words", message, hint, r"\S")
            return


def reached(names: Iterable[str], part: Callable[[str], Part | None]) -> list[Part]:
    """Return every file that is reached from ``names``, each once."""
    found: dict[str, Part] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        one = part(name) if name not in found else None
        if one is not None:
            found[name] = one
            waiting += one.uses
    return list(found.values())
