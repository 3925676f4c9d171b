"""The part of Jinja that letters may use, and the values it works with.

A template is written by people we trust with words, not with the machine; a value comes from a table
anybody may have filled in. So everything is a short list of what is allowed: statements, filters, tests,
methods. Letters include and extend nothing but what was put on the shelf for them (`parts`); there is no
import, no macro, no attribute that is not a key of one of our tables.

Bounded for every render, in any thread: turns of loops and items of ranges together, characters of output,
size of any text that an operator or a filter makes. In the main thread also the time.

An empty cell is a value of its own kind (`Empty`): false and equal to '', so that `if` and `default('…',
true)` work with it; printed, or joined to other words, it is a fault. "Dear ," cannot come about.

Limits: outside the main thread a render is bounded in work, not in seconds (POSIX signals reach only the main
thread); numbers have at most 64 bits; dates are printed as ISO 8601, but by the filters of
`formats`.
"""

from __future__ import annotations

import math
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any, NoReturn, cast

from jinja2 import BaseLoader, StrictUndefined, Undefined, nodes, pass_context
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from markupsafe import Markup

from pipeline.letters.direction import isolated

LARGEST_TEXT = 256 * 1024  # characters a render, an operator or a filter may make
MOST_TURNS = 10_000  # of all loops and ranges of one render
MOST_VALUES = 50_000  # printed in one render
SECONDS = 2.0  # for one letter, in the main thread
NUMBER_BITS = 64

PLACE = 0xF0000  # stands in for the first value of a body; the next for the second, and so on
STATE = "(state)"  # a name no template can write

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\r\n\v\f\x85\u2028\u2029]+")
_BREAKS = re.compile("(\n+)")  # between the parts of `Paragraphs`
_PARAGRAPH, _LINE = "\x1c", "\x1d"  # stand for them until `set_apart`; no template holds one
_BEFORE = re.compile(r"[ \t>]*(?:(?:[-*+]|[0-9]{1,9}[.)]) +)?")

_TEXT_METHODS = frozenset({"upper", "lower", "title", "capitalize", "strip", "lstrip", "rstrip"})
_QUESTIONS = frozenset({"startswith", "endswith", "isdigit", "isalpha", "isupper", "islower"})
METHODS = _TEXT_METHODS | _QUESTIONS
DATE_PARTS = frozenset({"year", "month", "day", "hour", "minute"})
LOOP_PARTS = frozenset(
    {"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "cycle"}
)

TESTS = frozenset(
    {"==", "!=", "<", "<=", ">", ">=", "eq", "equalto", "ne", "lt", "le", "gt", "ge", "in"}
    | {"defined", "undefined", "none", "string", "number", "even", "odd", "divisibleby"}
)


class Trouble(Exception):
    """Why a render stopped: a stable code, words for the user, and a pattern of what to point at on the
    line."""

    def __init__(self, code: str, message: str, *, hint: str = "", pattern: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.pattern = code, message, hint, pattern


class Empty(str):
    """A cell or entry with nothing in it; ``name`` says which, ``path`` how templates write it.

    ``why`` and ``hint`` say more, where it is not simply empty.
    """

    __slots__ = ("hint", "name", "path", "why")
    name: str
    path: str
    why: str
    hint: str

    def __new__(cls, name: str, path: str, why: str = "", hint: str = "") -> Empty:
        empty = super().__new__(cls)
        empty.name, empty.path, empty.why, empty.hint = name, path, why, hint
        return empty

    def __str__(self) -> str:
        return self.refuse()

    def refuse(self) -> NoReturn:
        """Raise what is said when this is printed."""
        raise Trouble(
            "empty-value",
            self.why or f"{self.name} is empty, and this line prints it",
            hint=self.hint
            or f'fill it in, or say what to write instead: {{{{ {self.path}|default("…", true) }}}}',
            pattern=pattern_of(self.path),
        )


class Worded(str):
    """A fact in the letter's language; its words in the others, by language, are entries of it."""

    __slots__ = ("path", "words")
    path: str
    words: Mapping[str, str]

    def __new__(cls, text: str, words: Mapping[str, str], path: str) -> Worded:
        worded = super().__new__(cls, text.strip())
        worded.words, worded.path = words, path
        return worded


class Paragraphs(str):
    """A text of several lines or paragraphs, which a body keeps."""

    __slots__ = ()


class Table:
    """A scope of names (`recipient`, `facts.date`), read by key and in no other way."""

    __slots__ = ("entries", "kind", "path")

    def __init__(self, path: str, entries: Mapping[str, Any], kind: str = "key") -> None:
        self.path, self.entries, self.kind = path, entries, kind

    def value(self, key: str) -> Any:
        """Return the entry, a text without the spaces round it; KeyError where there is none."""
        return _wrapped(
            self.entries[key], f"{self.path}.{key}", f'column "{key}"' if self.kind == "column" else ""
        )


@dataclass(slots=True)
class State:
    """What one render has used up, and the values whose places are in its output."""

    turns: int = MOST_TURNS
    values: list[str] = field(default_factory=list)
    language: str = "en"
    rtl: bool = False  # the language runs from right to left

    def spend(self, turns: int) -> None:
        """Take from the turns that are left; Trouble where there are not as many."""
        self.turns -= turns
        if self.turns < 0:
            raise Trouble("too-many-turns", f"loops and ranges go round more than {MOST_TURNS:,} times")


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja with the short lists above; ``finalize`` is one of `placed` and `plain`, ``filters`` the list
    of `filters`, ``shelf`` what may be included and extended.
    """

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(
        self,
        *,
        finalize: Callable[[Context, Any], Any],
        filters: Mapping[str, Callable[..., Any]],
        shelf: BaseLoader | None = None,
        autoescape: bool = False,
    ) -> None:
        super().__init__(
            loader=shelf,
            undefined=StrictUndefined,
            autoescape=autoescape,
            finalize=finalize,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            optimized=False,  # nothing is computed while compiling, where nothing is bounded
            cache_size=0,
        )
        self.globals = {"range": _range}
        self.filters = dict(filters)
        self.tests = {name: test for name, test in self.tests.items() if name in TESTS}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a key of a table, or one of the few methods and parts; anything else is undefined."""
        if isinstance(obj, Table):
            return self._entry(obj, attribute)
        if isinstance(obj, Worded) and attribute in obj.words:
            return _wrapped(obj.words[attribute], f"{obj.path.rpartition('.')[0]}.{attribute}", "")
        allowed = (
            (isinstance(obj, str) and attribute in METHODS)
            or (isinstance(obj, (date, time)) and attribute in DATE_PARTS)
            or (isinstance(obj, LoopContext) and attribute in LOOP_PARTS)
        )
        if isinstance(obj, Empty) and attribute in _TEXT_METHODS:
            return lambda *_: obj
        if allowed and (value := getattr(obj, attribute, None)) is not None:
            return value
        return self.undefined(f'a {kind_of(obj)} has no "{attribute}" here')

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return an entry of a table, list, text or dictionary; never an attribute."""
        if isinstance(obj, Table) and isinstance(argument, str):
            return self._entry(obj, argument)
        if isinstance(obj, Worded) and isinstance(argument, str):
            return self.getattr(obj, argument)
        if isinstance(obj, (list, tuple, str, dict)) and not isinstance(obj, Empty):
            try:
                return obj[argument]
            except (TypeError, LookupError):
                pass
        return self.undefined(f"a {kind_of(obj)} has no such entry")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute +, *, ** and % within bounds."""
        for operand in (left, right):
            if isinstance(operand, Empty):
                operand.refuse()
        if operator == "%" and isinstance(left, str):
            raise Trouble(
                "no-formatting", "% does not put values into a text here", hint="write the value as {{ … }}"
            )
        numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        if not (_small_number if numbers else _small_text)(operator, left, right):
            raise Trouble("too-large", f"the result of {operator} is too large")
        return super().call_binop(context, operator, left, right)

    def _entry(self, table: Table, key: str) -> Any:
        try:
            return table.value(key)
        except KeyError:
            return self.undefined(f'{table.path} has no {table.kind} "{key}"')


class Bounded(NodeTransformer):
    """Rewrites a syntax tree so that `~` and `for` go through filters that are bounded."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "(joined)", node)

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.iter = _filtered(cast("nodes.Expr", node.iter), "(counted)", node)
        return node


def pattern_of(path: str) -> str:
    """Return a pattern that finds `a.b` as templates write it, in any of the ways."""
    first, *rest = path.split(".")
    return rf"\b{re.escape(first)}" + "".join(
        rf"\s*(?:\.\s*{re.escape(key)}\b|\[\s*['\"]{re.escape(key)}['\"]\s*\])" for key in rest
    )


@pass_context
def placed(context: Context, value: Any) -> str:
    """Return what a body prints for a value: a character that stands in for it until Markdown has been read.

    So no value is ever seen by Markdown: it can open no link, list, heading, code or HTML. Whole numbers
    are written as they are, for `{{ loop.index }}.` is meant to number a list.
    """
    if type(value) is int and value >= 0:
        return str(value)
    state: State = context.parent[STATE]
    text = spoken(value)
    if type(value) is Paragraphs and "\n" in text:
        parts = _BREAKS.split(text)
        parts[1::2] = [_LINE if between == "\n" else _PARAGRAPH for between in parts[1::2]]
        parts[::2] = [_placed(state, part.strip()) for part in parts[::2]]
        return "".join(parts)
    return _placed(state, text)


def _placed(state: State, text: str) -> str:
    if "  " in text or not text.isprintable():
        text = _SPACE.sub(" ", text)
    if not text:
        return ""
    values = state.values
    if len(values) >= MOST_VALUES:
        raise Trouble("too-large", f"the letter prints more than {MOST_VALUES:,} values")
    values.append(isolated(text) if state.rtl else text)
    return chr(PLACE + len(values) - 1)


def set_apart(markdown: str) -> str:
    """Return what a body printed with the lines and paragraphs of its `Paragraphs` where they belong.

    They stay in the quotation or the point of a list that they begin in.
    """
    if _PARAGRAPH not in markdown and _LINE not in markdown:
        return markdown
    lines = markdown.split("\n")
    for number, line in enumerate(lines):
        if _PARAGRAPH in line or _LINE in line:
            found = _BEFORE.match(line)
            before = re.sub(r"[^> ]", " ", found[0]) if found else ""
            paragraph = f"\n{before.rstrip()}\n{before}"
            lines[number] = line.replace(_PARAGRAPH, paragraph).replace(_LINE, f"\\\n{before}")
    return "\n".join(lines)


@pass_context
def plain(_: Context, value: Any) -> str:
    """Return what a subject or a layout prints for a value: its words as they are."""
    return value if isinstance(value, Markup) else spoken(value)


def spoken(value: Any) -> str:
    """Return the words for a value; Trouble for one that has none (an empty cell, a table, yes or no)."""
    if isinstance(value, Empty):
        value.refuse()
    if isinstance(value, str):
        if found := _CONTROL.search(value):
            raise Trouble("control-character", f"a value holds the character U+{ord(found[0]):04X}")
        return str(value) if type(value) is Worded else value
    if isinstance(value, Undefined):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, date, time)):
        raise _wordless(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise Trouble("no-number", "the number is not finite")
    return value.isoformat(" ") if isinstance(value, datetime) else str(value)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise Trouble when the block takes more than ``seconds`` of processor time; nothing outside the main
    thread.

    Processor time, so that a busy machine or a closed lid stops no letter.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _too_slow)
    left, interval = signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        if left:
            signal.setitimer(signal.ITIMER_VIRTUAL, left, interval)


def _too_slow(*_: object) -> NoReturn:
    raise Trouble("too-slow", f"the letter takes longer than {SECONDS:g} seconds")


def _wrapped(value: Any, path: str, name: str) -> Any:
    """Return a value of a table as templates see it."""
    if isinstance(value, Empty):
        return value
    if isinstance(value, str):
        text = value if isinstance(value, Worded) else value.strip()
        seen = text.isprintable() or any(
            character.isprintable() and not character.isspace() for character in text
        )
        if not text or not seen:
            return Empty(name or getattr(value, "path", path), path)
        return Paragraphs(text) if type(value) is Paragraphs else text
    if isinstance(value, Mapping):
        return Table(path, value)
    if isinstance(value, list):
        return [_wrapped(item, f"{path}[{number}]", "") for number, item in enumerate(value)]
    return value


def _wordless(value: Any) -> Trouble:
    if isinstance(value, Table):
        keys = ", ".join(f"{value.path}.{key}" for key in list(value.entries)[:6])
        return Trouble(
            "not-words", f"{value.path} is a table", hint=f"say which: {keys}", pattern=pattern_of(value.path)
        )
    return Trouble(
        "not-words", f"a {kind_of(value)} cannot be printed", hint="print one of its entries, or ask with if"
    )


def kind_of(value: Any) -> str:
    """Return the word for a value's kind."""
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "yes or no"),
        (str, "text"),
        ((int, float), "number"),
        ((list, tuple, range), "list"),
        (Table, "table"),
        ((date, time), "date"),
    )
    return next((word for kind, word in kinds if isinstance(value, kind)), "value of this kind")


def _small_number(operator: str, left: float, right: float) -> bool:
    if isinstance(left, float) or isinstance(right, float):
        return operator != "**" or abs(right) <= NUMBER_BITS
    bits = left.bit_length(), right.bit_length()
    if operator == "**":
        return 0 <= right <= NUMBER_BITS and bits[0] * right <= NUMBER_BITS
    return sum(bits) <= NUMBER_BITS if operator == "*" else max(bits) <= NUMBER_BITS


def _small_text(operator: str, left: Any, right: Any) -> bool:
    sized = (str, list, tuple)
    if operator == "*":
        length = len(left) if isinstance(left, sized) else len(right) if isinstance(right, sized) else 0
        times = right if isinstance(right, int) else left if isinstance(left, int) else 0
        return length * times <= LARGEST_TEXT
    if isinstance(left, sized) and isinstance(right, sized):
        return len(left) + len(right) <= LARGEST_TEXT
    return True


def _filtered(node: nodes.Expr, name: str, place: nodes.Node) -> nodes.Filter:
    made = nodes.Filter(node, name, [], [], None, None, lineno=place.lineno)
    made.set_environment(place.environment)  # type: ignore[arg-type]
    return made


@pass_context
def _range(context: Context, *bounds: object) -> range:
    if not all(isinstance(bound, int) and abs(bound) < 10**9 for bound in bounds):
        raise Trouble("too-many-turns", "range counts whole numbers of reasonable size")
    made = range(*cast("tuple[int]", bounds))
    context.parent[STATE].spend(len(made))
    return made
