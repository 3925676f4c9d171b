"""Every mistake in the values of campaign.toml as a Problem: where it stands, what is wrong, what would be
right.

Contract: pure. Values are never repeated in a message, except for a policy's own words about short text;
names of keys are shown through `visible`. What came from ``--set KEY=VALUE`` is located there.

Limits: at most `MOST_PROBLEMS` per table.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline.config.model import TABLES
from pipeline.config.secrets import PLACES_OF_SECRETS, looks_secret
from pipeline.config.syntax import MOST_PROBLEMS, Source, dotted
from pipeline.delivery.relay import SAFE_PLACES
from pipeline.positions import Path
from pipeline.problem import Problem, Severity, visible
from pipeline.replies.account import MAILBOX_SECRETS
from pipeline.store.address import SECRETS as STORE_SECRETS

MISSING_HINTS = {
    "key": 'key = "may-day-7f3a", made up once and never changed; `campaign init` writes one',
    "name": 'name = "Freedom for the May Day marchers"',
    "languages": 'languages = ["en"]',
    "author": 'author = "Solidarity Committee <letters@example.org>"',
}
LATER_TABLES = ("publish",)
TYPES = {
    "bool_type": ("must be true or false", "without quotes"),
    "int_type": ("must be a whole number", "without quotes"),
    "list_type": ("must be a list", '["first", "second"]'),
    "string_type": ("must be text, in quotes", ""),
}


@dataclass(frozen=True, slots=True)
class Faults:
    """Where values came from: the file, or ``--set``, whose paths have the name they are shown under."""

    source: Source
    overridden: Mapping[Path, str]

    def at(
        self,
        path: Path,
        code: str,
        message: str,
        hint: str = "",
        *,
        value: bool = True,
        severity: Severity = Severity.ERROR,
    ) -> Problem:
        """Return the problem at a value (``value``) or at its key."""
        for given, label in self.overridden.items():
            if path[: len(given)] == given:
                return Problem(label, 0, 0, code, message, hint, severity)
        positions = self.source.positions
        offset = positions.of_value(path) if value else positions.of_key(path)
        if offset is not None:
            return self.source.problem(offset, code, message, hint, severity=severity)
        label = next(
            (name for given, name in self.overridden.items() if given[: len(path)] == path), self.source.file
        )
        return Problem(label, 0, 0, code, message, hint, severity)


def table_faults(faults: Faults, table: str, error: ValidationError) -> list[Problem]:
    """Return the problems of one table."""
    found = error.errors(include_url=False)[:MOST_PROBLEMS]
    return [_fault(faults, table, detail) for detail in found]


def _fault(faults: Faults, table: str, detail: ErrorDetails) -> Problem:
    path: Path = (table, *detail["loc"])
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown_key(faults, path)
    if kind == "missing":
        return _missing(faults, path)
    name = visible(dotted(path), limit=80)
    if kind in TYPES:
        words, hint = TYPES[kind]
        return faults.at(path, "wrong-type", f"{name} {words}", hint)
    if kind in ("model_type", "dict_type"):
        return faults.at(path, "wrong-type", f"{name} must be a table", f"[{name}] on a line of its own")
    if kind == "enum":
        return _not_one_of(faults, path, name, str(context["expected"]), detail["input"])
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
        return faults.at(path, "bad-value", f"{name} must be {bound}")
    words, hint = str(context.get("words", detail["msg"])), str(context.get("hint", ""))
    if kind == "wrong-type":
        hint = hint or _example(path)
    return faults.at(path, kind, f"{name} {words}" if words.startswith("must ") else f"{name}: {words}", hint)


def _example(path: Path) -> str:
    """Return a key with a value as `campaign init` writes it."""
    field = TABLES[str(path[0])].model_fields[str(path[1])]
    extra = field.json_schema_extra
    sample = extra.get("sample") if isinstance(extra, dict) else ""
    return MISSING_HINTS.get(str(path[1]), f"{path[1]} = {sample}" if sample and len(path) == 2 else "")


def _not_one_of(faults: Faults, path: Path, name: str, expected: str, value: object) -> Problem:
    expected = expected.replace("'", '"')
    short = isinstance(value, str) and len(value) <= 64
    near = (
        get_close_matches(str(value).casefold(), expected.split('"')[1::2], 1, cutoff=0.75) if short else []
    )
    hint = f'did you mean "{near[0]}"?' if near else ""
    return faults.at(path, "bad-value", f"{name} must be {expected}", hint)


def _missing(faults: Faults, path: Path) -> Problem:
    name = str(path[-1])
    return faults.at(
        path[:1], "missing-key", f"{dotted(path)} is missing", MISSING_HINTS.get(name, ""), value=False
    )


def unknown_key(faults: Faults, path: Path) -> Problem:
    """Return the problem of a key that its table does not know."""
    table, key = str(path[0]), str(path[-1])
    known = list(TABLES[table].model_fields)
    near = near_key(key, known)
    elsewhere = [name for name, model in TABLES.items() if key in model.model_fields]
    if near:
        hint = f'did you mean "{near}"?'
    elif elsewhere:
        hint = f"it belongs below {' or '.join(f'[{name}]' for name in elsewhere)}"
    else:
        hint = f"keys of [{table}]: {', '.join(known)}"
    shown = visible(key, limit=60)
    return faults.at(path, "unknown-key", f'unknown key "{shown}" in [{table}]', hint, value=False)


def unknown_table(faults: Faults, name: str, value: object) -> Problem:
    """Return the problem of a table, or of a key outside of all tables, that is not known."""
    shown = visible(name, limit=60)
    if not isinstance(value, dict | list):
        homes = [table for table, model in TABLES.items() if name in model.model_fields]
        hint = f"it belongs below {' or '.join(f'[{table}]' for table in homes)}" if homes else _tables_hint()
        return faults.at((name,), "unknown-key", f'unknown key "{shown}" above all tables', hint, value=False)
    if name in LATER_TABLES:
        message = f"[{name}] is not supported by this version"
        return faults.at((name,), "unknown-table", message, "take it out", value=False)
    near = near_key(name, list(TABLES))
    hint = f"did you mean [{near}]?" if near else _tables_hint()
    return faults.at((name,), "unknown-table", f"unknown table [{shown}]", hint, value=False)


def _tables_hint() -> str:
    return f"tables: {', '.join(f'[{name}]' for name in TABLES)}"


def near_key(key: str, known: Collection[str]) -> str:
    """Return the known name that ``key`` was probably meant to be; '' where there is none."""
    if len(key) > 64:
        return ""
    return next(iter(get_close_matches(key.casefold().replace("-", "_"), known, 1, cutoff=0.75)), "")


_SECRETS: Mapping[object, str] = {"replies": MAILBOX_SECRETS, "store": STORE_SECRETS}


def take_secrets(faults: Faults, data: dict[str, Any]) -> list[Problem]:
    """Take keys that would hold a secret out of ``data``, at any depth, and return the problem of each."""
    found: list[Problem] = []
    waiting: list[tuple[Path, dict[str, Any]]] = [((), data)]
    while waiting and len(found) < MOST_PROBLEMS:
        path, table = waiting.pop()
        for key, value in list(table.items()):
            if _holds_secret(path, key):
                del table[key]
                message = f'a secret does not belong in this file: "{visible(key, limit=60)}"'
                places = _SECRETS.get(path[0] if path else "", SAFE_PLACES)
                found.append(faults.at((*path, key), "secret-in-file", message, places, value=False))
            elif isinstance(value, dict):
                waiting.append(((*path, key), value))
            elif isinstance(value, list):
                inner = [(index, item) for index, item in enumerate(value) if isinstance(item, dict)]
                waiting += [((*path, key, index), item) for index, item in inner]
    return found


def _holds_secret(path: Path, key: str) -> bool:
    """Return whether a key would hold a secret. Our own keys do not; what is nearly one of them is a slip."""
    if path and path[0] in TABLES and len(path) == 1 and key in TABLES[str(path[0])].model_fields:
        return False
    if path[:2] == ("limits", "domain"):
        return False
    slip = len(key) <= 64 and get_close_matches(key.casefold(), PLACES_OF_SECRETS, 1, cutoff=0.85)
    return looks_secret(key) and not slip


def take_unquoted_domains(faults: Faults, data: dict[str, Any]) -> list[Problem]:
    """Take ``gmail.com = "20/h"`` under [limits.domain], nested tables to TOML, out of ``data``."""
    limits = data.get("limits")
    domains = limits.get("domain") if isinstance(limits, dict) else None
    if not isinstance(domains, dict):
        return []
    found: list[Problem] = []
    for name in [name for name, value in domains.items() if isinstance(value, dict)]:
        for leaf, value in _leaves((name,), domains.pop(name)):
            written = visible(".".join(leaf), limit=80)
            limit = visible(value, limit=20) if isinstance(value, str) else "20/h"
            message = f"the domain {written} must stand in quotes"
            hint = f'"{written}" = "{limit}"'
            found.append(
                faults.at(("limits", "domain", *leaf), "unquoted-domain", message, hint, value=False)
            )
    return found[:MOST_PROBLEMS]


def _leaves(path: tuple[str, ...], value: object, depth: int = 0) -> list[tuple[tuple[str, ...], object]]:
    if not isinstance(value, dict) or not value or depth > 10:
        return [(path, value)]
    return [leaf for key, inner in value.items() for leaf in _leaves((*path, key), inner, depth + 1)]
