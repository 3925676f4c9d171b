"""What can be known about a template before anything is rendered: which names it uses, and which statements.

The syntax tree is walked once. A column that the list does not have, a fact that facts.toml does not have,
a misspelt name, a filter that does not exist: each is a problem with its line and column, and with the name
that was probably meant. So a misspelling is found even in a branch that no recipient of today takes.

Limits: what a loop variable or `{% set %}` holds is known only when rendering.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from jinja2 import TemplateSyntaxError, meta, nodes

from pipeline.letters.facts import Words
from pipeline.letters.filters import FILTERS
from pipeline.letters.sandbox import METHODS, TESTS, Sandbox, pattern_of
from pipeline.letters.source import Source
from pipeline.problem import Problem

_OF_PARTS = (nodes.Block, nodes.Extends, nodes.Include)
RECIPIENT, CAMPAIGN, FACTS, SIGNATORY = "recipient", "campaign", "facts", "signatory"

_ALLOWED: tuple[type[nodes.Node], ...] = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Assign, nodes.CondExpr),
    *(
        nodes.Name,
        nodes.Const,
        nodes.Getattr,
        nodes.Getitem,
        nodes.Slice,
        nodes.List,
        nodes.Tuple,
        nodes.Dict,
    ),
    *(
        nodes.Pair,
        nodes.Filter,
        nodes.Test,
        nodes.Call,
        nodes.Keyword,
        nodes.Compare,
        nodes.Operand,
        nodes.And,
    ),
    *(nodes.Or, nodes.Not, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow),
    *(nodes.Neg, nodes.Pos, nodes.Concat),
)
_STATEMENTS: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "from",
    nodes.Extends: "extends",
    nodes.Block: "block",
    nodes.Macro: "macro",
    nodes.CallBlock: "call",
    nodes.FilterBlock: "filter",
    nodes.AssignBlock: "set",
    nodes.Scope: "autoescape",
    nodes.With: "with",
}


@dataclass(frozen=True, slots=True)
class Known:
    """The names a template may use: the list's columns, the campaign's keys, the facts, ``own`` bare names,
    and those of a signatory; None where the campaign writes in its own name."""

    columns: tuple[str, ...]
    campaign: Mapping[str, str]
    facts: Mapping[str, Any]
    own: frozenset[str] = frozenset()
    signatory: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """One place where a fact is used: its path below `facts`, file and line."""

    path: tuple[str, ...]
    source: Source
    line: int

    @property
    def name(self) -> str:
        """The fact as templates write it."""
        return ".".join((FACTS, *self.path))

    @property
    def column(self) -> int:
        """The column where it stands."""
        return self.source.column(self.line, pattern_of(self.name))


@dataclass(slots=True)
class _Walk:
    source: Source
    first_line: int
    known: Known
    parts: bool = False  # blocks, extends and include are open
    uses: list[Use] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    seen: Counter[tuple[int, str]] = field(default_factory=Counter)
    loads: list[tuple[str, int]] = field(default_factory=list)

    def walk(self, node: nodes.Node) -> None:
        allowed = isinstance(node, _ALLOWED) or (self.parts and isinstance(node, _OF_PARTS))
        if not allowed or (isinstance(node, nodes.For) and node.recursive):
            self._statement(node)
            return
        if isinstance(node, (nodes.Getattr, nodes.Getitem)) and self._path(node):
            return
        if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
            message = f'"{node.attr}" is not open to templates'
            self._report(node.lineno, rf"\.\s*{re.escape(node.attr)}\b", "forbidden-attribute", message)
        elif isinstance(node, nodes.Filter):
            self._listed(node, FILTERS, "filter")
        elif isinstance(node, nodes.Test):
            self._listed(node, TESTS, "test")
        elif isinstance(node, nodes.Name) and node.ctx == "load":
            self._name(node)
        for child in node.iter_child_nodes():
            printed = isinstance(node, nodes.Output) and isinstance(child, (nodes.Getattr, nodes.Getitem))
            if not (printed and self._path(child, printed=True)):
                self.walk(child)

    def _path(self, node: nodes.Node, *, printed: bool = False) -> bool:
        """Check `scope.a.b` from the left; False where the node is not such a path at all."""
        keys: list[str] = []
        base: nodes.Node = node
        while True:
            if isinstance(base, nodes.Getattr):
                keys.append(base.attr)
                base = base.node
            elif isinstance(base, nodes.Getitem) and isinstance(base.arg, nodes.Const):
                keys.append(str(base.arg.value))
                base = base.node
            else:
                break
        if not isinstance(base, nodes.Name) or base.name not in _SCOPES:
            return False
        self._resolve(base.name, keys[::-1], node.lineno, printed=printed)
        return True

    def _resolve(self, scope: str, keys: list[str], line: int, *, printed: bool) -> None:
        if scope == SIGNATORY and self.known.signatory is None:
            hint = "write signatories.csv, or take campaign.author for the name under the letter"
            message = "the campaign writes in its own name: there is no signatories.csv"
            self._report(line, rf"\b{SIGNATORY}\b", "no-signatory", message, hint)
            return
        table: Any = {
            RECIPIENT: dict.fromkeys(self.known.columns, ""),
            CAMPAIGN: self.known.campaign,
            FACTS: self.known.facts,
            SIGNATORY: dict.fromkeys(self.known.signatory or (), ""),
        }[scope]
        path = scope
        if scope == FACTS and keys:
            self.uses.append(Use(tuple(keys), self.source, self.first_line + line - 1))
        for key in keys:
            if isinstance(table, Words) and key not in table and key in METHODS:
                break
            if not isinstance(table, Mapping):
                if key.startswith("_"):
                    message = f'"{key}" is not open to templates'
                    self._report(line, pattern_of(f"{path}.{key}"), "forbidden-attribute", message)
                    return
                break
            if key not in table:
                self._unknown_key(path, key, table, line)
                return
            table, path = table[key], f"{path}.{key}"
        if printed and isinstance(table, Mapping) and not isinstance(table, Words):
            hint = "say which: " + ", ".join(f"{path}.{key}" for key in list(table)[:6])
            self._report(line, pattern_of(path), "not-words", f"{path} is a table", hint)
        else:
            self.seen[line, pattern_of(path)] += 1

    def _unknown_key(self, path: str, key: str, table: Mapping[str, Any], line: int) -> None:
        if path == RECIPIENT:
            code, what = "unknown-column", f'the list has no column "{key}"'
        elif path == SIGNATORY:
            code, what = "unknown-signatory-column", f'signatories.csv has no column "{key}"'
        elif path.startswith(FACTS):
            code, what = "unknown-fact", f'facts.toml has no "{f"{path}.{key}".removeprefix("facts.")}"'
        else:
            code, what = "unknown-name", f'{path} has no "{key}"'
        near = get_close_matches(key, list(table), n=1)
        names = ", ".join(list(table)[:12]) or "none"
        kind = "the columns are" if path in (RECIPIENT, SIGNATORY) else "there are"
        hint = f"did you mean {path}.{near[0]}?" if near else f"{kind}: {names}"
        if path == FACTS and not table:
            hint = f'write it into templates/facts.toml: {key} = "..."'
        self._report(line, pattern_of(f"{path}.{key}"), code, what, hint)

    def _name(self, node: nodes.Name) -> None:
        if node.name in _SCOPES:
            tables = {RECIPIENT: self.known.columns, SIGNATORY: self.known.signatory or ()}
            names = tables.get(node.name, ())
            hint = f"say which value: {node.name}.{names[0] if names else '…'}"
            pattern = rf"\b{node.name}\b(?!\s*[.\[])"
            self._report(node.lineno, pattern, "not-words", f"{node.name} is a table, not a value", hint)
        else:
            self.loads.append((node.name, node.lineno))

    def _listed(self, node: nodes.Filter | nodes.Test, allowed: Collection[str], kind: str) -> None:
        if node.name in allowed:
            return
        names = sorted(name for name in allowed if name[0].isalpha() and len(name) > 1)
        near = get_close_matches(node.name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the {kind}s are {', '.join(names)}"
        pattern = rf"(?<![\w.]){re.escape(node.name)}\b"
        self._report(node.lineno, pattern, f"unknown-{kind}", f'there is no {kind} "{node.name}"', hint)

    def _statement(self, node: nodes.Node) -> None:
        word = "for … recursive" if isinstance(node, nodes.For) else _STATEMENTS.get(type(node), "this")
        pattern = rf"\{{%[+-]?\s*{word.split()[0]}\b"
        hint = "if, for and set are" + (", and block, extends and include" if self.parts else "")
        self._report(node.lineno, pattern, "forbidden-statement", f"{word} is not open to letters", hint)

    def undeclared(self, names: Iterable[str]) -> None:
        """Report each use of a name that nothing defines."""
        unknown = set(names) - self.known.own
        for name, line in self.loads:
            if name in unknown or name in ("self", "super", "caller"):
                pattern = rf"(?<![\w.]){re.escape(name)}\b"
                self._report(line, pattern, "unknown-variable", f'unknown name "{name}"', self._meant(name))

    def _meant(self, name: str) -> str:
        if name in ("super", "self"):
            return "say the words in the block itself, or leave the block out to have those of the file above"
        tables: dict[str, Collection[str]] = {
            RECIPIENT: self.known.columns,
            FACTS: self.known.facts,
            CAMPAIGN: self.known.campaign,
            SIGNATORY: self.known.signatory or (),
        }
        for scope, keys in tables.items():
            if name in keys:
                return f"names are written with where they come from: {scope}.{name}"
        if near := get_close_matches(name, [*_SCOPES[:3], *self.known.own], n=1):
            return f"did you mean {near[0]}?"
        for scope, keys in tables.items():
            if near := get_close_matches(name, list(keys), n=1):
                return f"did you mean {scope}.{near[0]}?"
        return "values come from recipient.…, campaign.… and facts.…"

    def _report(self, line: int | None, pattern: str, code: str, message: str, hint: str = "") -> None:
        if line is None:  # Jinja gives some statements no line
            line = self.source.first_line_with(pattern, self.first_line) - self.first_line + 1
        nth = self.seen[line, pattern]
        self.seen[line, pattern] += 1
        number = self.first_line + line - 1
        column = self.source.column(number, pattern, nth)
        self.problems.append(self.source.problem(number, column, code, message, hint=hint))


_SCOPES = (RECIPIENT, CAMPAIGN, FACTS, SIGNATORY)


def check_names(
    tree: nodes.Template,
    source: Source,
    *,
    first_line: int,
    known: Known,
    sandbox: Sandbox,
    parts: bool = False,
) -> tuple[list[Problem], list[Use]]:
    """Return what is wrong with the names and statements of a template that begins on ``first_line`` of its
    file, and where it uses facts. ``parts``: it may have blocks, and extend and include files."""
    walk = _Walk(source, first_line, known, parts)
    walk.walk(tree)
    try:
        undeclared = meta.find_undeclared_variables(tree) if tree.environment is sandbox else set()
    except TemplateSyntaxError:  # an unknown filter, reported already
        undeclared = set()
    walk.undeclared(undeclared)
    return sorted(walk.problems, key=lambda problem: (problem.line, problem.column)), walk.uses
