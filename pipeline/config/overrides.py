"""``--set KEY=VALUE``: any key of campaign.toml, for one run, with the same checks.

    --set relay.url=smtp://127.0.0.1:2525      text needs no quotes
    --set relay.connections=1                  numbers, true, false, ["lists"] and "quoted text" are TOML
    --set limits.domain.gmail.com=20/h         a domain needs no quotes here

Contract: pure; problems are located as the file ``--set KEY``; values are never repeated.

Limits: dates are text (`expires` takes them); whole tables cannot be given.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Any

from pipeline.positions import Path
from pipeline.problem import Problem, visible

LONGEST = 4_000
FORM = "--set relay.url=smtp://127.0.0.1:2525"

_KEY = re.compile(r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')(?:\.(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*'))+""")
_DOMAIN = re.compile(r"""limits\.domain\.([^"'\n]+)""")


def apply_overrides(data: dict[str, Any], overrides: Sequence[str]) -> tuple[dict[Path, str], list[Problem]]:
    """Put overrides into ``data``, the last one winning; return where each went, and the problems."""
    labels: dict[Path, str] = {}
    problems: list[Problem] = []
    for override in overrides:
        name, equals, raw = override.partition("=")
        path = _path(name.strip())
        if not equals or path is None or len(override) > LONGEST:
            label = f"--set {visible(name.strip(), limit=80)}" if equals else "--set"
            problems.append(Problem(label, 0, 0, "bad-override", "this is not TABLE.KEY=VALUE", FORM))
        elif _put(data, path, _value(raw)):
            labels[path] = f"--set {visible(name.strip(), limit=80)}"
    return labels, problems


def _path(name: str) -> tuple[str, ...] | None:
    domain = _DOMAIN.fullmatch(name)
    if domain:
        return ("limits", "domain", domain[1])
    if not _KEY.fullmatch(name):
        return None
    try:
        found: Any = tomllib.loads(f"{name} = 0")
    except ValueError:
        return None
    path: list[str] = []
    while isinstance(found, dict):
        key, found = next(iter(found.items()))
        path.append(key)
    return tuple(path)


def _value(raw: str) -> object:
    """Return a number, a truth, a list or quoted text as TOML has it; anything else is the text itself."""
    try:
        found = tomllib.loads(f"value = {raw}") if raw.isprintable() else {}
    except (ValueError, RecursionError):
        return raw
    value = found.get("value")
    return value if len(found) == 1 and isinstance(value, bool | int | float | list | str) else raw


def _put(data: dict[str, Any], path: tuple[str, ...], value: object) -> bool:
    """Set a value; False where the file has something else than a table there, which is told anyway."""
    table = data
    for part in path[:-1]:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            return False
        table = inner
    table[path[-1]] = value
    return True
