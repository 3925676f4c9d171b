"""The header line of a list: which columns it has, and which it cannot have.

Contract: `header_faults` gives every fault of the line. A name must be usable as
``recipient.name`` in a template. A name that is nearly one of ours is an error and not a value column:
``exlude`` would write to somebody who was to be left out.

Limits: only the English names of DESIGN 5 are known.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.problem import visible

# DESIGN 5; every other column is a template value.
KNOWN = (
    "email",
    "language",
    "name",
    "salutation",
    "office",
    "country",
    "timezone",
    "attachments",
    "role_ok",
    "exclude",
)
# What these say decides who gets what: one of them misspelt is never just another column.
DECIDING = ("email", "language", "timezone", "attachments", "role_ok", "exclude")
MAX_COLUMNS = 200
MAX_NAME = 64

_ALIASES = {
    "mail": "email",
    "emailaddress": "email",
    "mailaddress": "email",
    "emails": "email",
    "lang": "language",
    "tz": "timezone",
    "attachment": "attachments",
    "excluded": "exclude",
}
# A template that says recipient.items would get the mapping's method and not the cell.
_TAKEN = frozenset(dir(dict))


@dataclass(frozen=True, slots=True)
class Columns:
    """What a list's header may say: the known names, those that decide something, what others mean.

    ``scope`` is how templates call a row; ``taken`` are names of its values that no column can have.
    """

    known: tuple[str, ...]
    deciding: tuple[str, ...]
    aliases: Mapping[str, str]
    scope: str
    taken: frozenset[str] = frozenset()


RECIPIENTS = Columns(KNOWN, DECIDING, _ALIASES, "recipient")


def header_faults(names: Sequence[str], of: Columns = RECIPIENTS) -> list[tuple[int, str, str, str]]:
    """Check the names of a header.

    Args:
        names: the cells of the header line as they stand, spaces included.
        of: the columns that such a list has.

    Returns:
        a tuple (which cell, from 0; code; message; hint) for every fault.
    """
    faults: list[tuple[int, str, str, str]] = []
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        fault = _fault_of(name, names, of)
        if fault is None and name in seen:
            hint = "rename or remove one of them"
            message = f'column "{name}" stands twice: as cell {seen[name] + 1} and as cell {index + 1}'
            fault = ("duplicate-column", message, hint)
        seen.setdefault(name, index)
        if fault is not None:
            faults.append((index, *fault))
    if "email" not in names and not any(intended(name, of) == "email" for name in names):
        hint = "the first line names the columns; one of them must be email"
        faults.append((0, "no-email-column", "there is no column email", hint))
    if len(names) > MAX_COLUMNS:
        faults.append((MAX_COLUMNS, "too-many-columns", f"there are more than {MAX_COLUMNS} columns", ""))
    return faults


def intended(name: str, of: Columns = RECIPIENTS) -> str:
    """Return the known column that ``name`` means, whatever its case, spaces and hyphens; '' for none."""
    plain = re.sub(r"[\W_]+", "", name.casefold())
    for known in of.known:
        if plain == known.replace("_", ""):
            return known
    if plain in of.aliases:
        return of.aliases[plain]
    close = difflib.get_close_matches(plain[:MAX_NAME], of.deciding, n=1, cutoff=0.8)
    return close[0] if close else ""


def readable(names: Sequence[str], of: Columns = RECIPIENTS) -> tuple[str, ...]:
    """Return the names, misspelt ones as they were meant, so that the rows can be checked all the same."""
    return tuple(
        meant if name not in of.known and (meant := intended(name, of)) and meant not in names else name
        for name in names
    )


def _fault_of(name: str, names: Sequence[str], of: Columns) -> tuple[str, str, str] | None:
    if name in of.known:
        return None
    if not name.strip():
        return "empty-column", "a column without a name", "name it, or remove the column"
    shown = visible(name, limit=MAX_NAME)
    known = intended(name, of)
    if known and known not in names:
        return "unknown-column", f'no such column "{shown}"', f"rename to {known}"
    if len(name) > MAX_NAME:
        return "bad-column", f"a column name longer than {MAX_NAME} characters", "give it a short name"
    if not name.isidentifier() or name.startswith("_"):
        hint = (
            f"rename to {usable}: templates say {of.scope}.{usable}"
            if (usable := _usable(name))
            else "rename it"
        )
        message = f'column "{shown}" cannot be used in a template'
        return "bad-column", message, hint
    if name in _TAKEN or name in of.taken:
        return (
            "bad-column",
            f'column "{shown}" has a name that templates need themselves',
            f"rename to {name}_",
        )
    return None


def _usable(name: str) -> str:
    """Return the nearest name that a template can say; '' where nothing is left."""
    plain = re.sub(r"\W+", "_", name.strip()).strip("_")
    plain = f"n{plain}" if plain[:1].isdigit() else plain
    return plain if plain.isidentifier() and plain not in _TAKEN else ""
