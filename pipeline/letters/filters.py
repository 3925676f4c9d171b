"""The filters that letters may use, each on the short list of `sandbox`.

`date`, `number`, `percent`, `money`, `ordinal` and `plural` write as the letter's language does (`formats`);
the others are few of Jinja's own, bounded. An empty cell goes through them and is refused where it is
printed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from jinja2 import Undefined, pass_context
from jinja2.filters import do_default, do_title
from jinja2.runtime import Context

from pipeline.letters import formats
from pipeline.letters.sandbox import LARGEST_TEXT, STATE, Empty, State, Trouble, kind_of, spoken


def _text_filter(change: Callable[[str], str]) -> Callable[[Any], Any]:
    def apply(value: Any) -> Any:
        return value if isinstance(value, Empty) else change(spoken(value))

    return apply


def _replace(value: Any, old: str, new: str) -> Any:
    if isinstance(value, Empty):
        return value
    text, old, new = spoken(value), spoken(old), spoken(new)
    if not old or len(text) + text.count(old) * len(new) > LARGEST_TEXT:
        raise Trouble("too-large", "replace needs a text to look for, and a result of reasonable size")
    return text.replace(old, new)


def _join(values: Any, between: str = "") -> str:
    if not isinstance(values, (list, tuple, range)):
        raise Trouble("not-a-list", f"a {kind_of(values)} cannot be joined, only a list")
    texts = [spoken(value) for value in values]
    if sum(map(len, texts)) + len(between) * len(texts) > LARGEST_TEXT:
        raise Trouble("too-large", "the joined text is too large")
    return between.join(texts)


def _length(value: Any) -> int:
    if isinstance(value, (str, list, tuple, dict)):
        return len(value)
    raise Trouble("not-a-list", f"a {kind_of(value)} has no length")


def _whole_number(value: Any) -> int:
    text = spoken(value).strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise Trouble("no-number", f'"{text[:40]}" is not a whole number')
    return int(text)


def _end(position: int) -> Callable[[Any], Any]:
    def apply(value: Any) -> Any:
        if not isinstance(value, (str, list, tuple)) or not value:
            raise Trouble("not-a-list", f"a {kind_of(value)} with nothing in it has no first or last")
        return value[position]

    return apply


@pass_context
def _counted(context: Context, values: Any) -> Iterator[Any]:
    if isinstance(values, Undefined):
        str(values)
    if not isinstance(values, (list, tuple, range)):
        raise Trouble("not-a-list", f"a {kind_of(values)} cannot be gone through, only a list")
    state: State = context.parent[STATE]
    for value in values:
        state.spend(1)
        yield value


def _formatted(form: Callable[..., str], *, mapping: bool = False) -> Callable[..., Any]:
    """Return a filter that writes a value as the letter's language does."""

    @pass_context
    def apply(context: Context, value: Any, *arguments: Any, **named: Any) -> Any:
        if isinstance(value, Empty):
            return value
        if isinstance(value, Undefined):
            str(value)
        state: State = context.parent[STATE]
        try:
            if mapping:
                return form(state.language, value, {name: spoken(text) for name, text in named.items()})
            return form(state.language, value, *arguments, **named)
        except formats.Unformattable as fault:
            raise Trouble("unformattable", str(fault), hint=fault.hint) from None
        except TypeError:
            message = f"a filter was given what it does not take: {', '.join(map(str, arguments))[:80]}"
            raise Trouble("unformattable", message) from None

    return apply


FILTERS: dict[str, Callable[..., Any]] = {
    "capitalize": _text_filter(str.capitalize),
    "count": _length,
    "d": do_default,
    "date": _formatted(formats.date_in),
    "default": do_default,
    "first": _end(0),
    "int": _whole_number,
    "join": _join,
    "last": _end(-1),
    "length": _length,
    "lower": _text_filter(str.lower),
    "money": _formatted(formats.money_in),
    "number": _formatted(formats.number_in),
    "ordinal": _formatted(formats.ordinal_in),
    "percent": _formatted(formats.percent_in),
    "plural": _formatted(formats.plural_in, mapping=True),
    "replace": _replace,
    "title": _text_filter(do_title),
    "trim": _text_filter(str.strip),
    "upper": _text_filter(str.upper),
    "(counted)": _counted,
    "(joined)": _join,
}
