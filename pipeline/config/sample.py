"""The commented campaign.toml that `campaign init` writes, made from the fields of `pipeline.config.model`.

Contract: pure; what comes out reads back through `read_config` without a problem.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.fields import FieldInfo

from pipeline.config.model import TABLES, Table

WIDTH = 110
COLUMN = 44  # where the comments begin
HEAD = """\
# A campaign. As it stands it sends to the sandbox: nothing leaves this machine, and no account is needed.
#
#   campaign check      is everything in order?
#   campaign preview    the letters as their readers will see them
#   campaign send       the letters go to .campaign/outbox/, each once
#   campaign status     what was sent, what waits, what to do next
#
# Lines that begin with "# key =" are settings not in use; take the "# " away to use one.
"""


def sample_config(
    *,
    key: str,
    name: str = "My campaign",
    author: str = "Solidarity Committee <letters@example.org>",
    languages: Sequence[str] = ("en",),
    timezone: str = "UTC",
) -> str:
    """Return a campaign.toml with every key, its default or a sensible value, and its help."""
    given = {
        "key": _text(key),
        "name": _text(name),
        "author": _text(author),
        "languages": f"[{', '.join(_text(language) for language in languages)}]",
        "timezone": _text(timezone),
    }
    tables = [_table(table, model, given if table == "campaign" else {}) for table, model in TABLES.items()]
    return "\n".join([HEAD, *tables])


def _table(name: str, model: type[Table], given: Mapping[str, str]) -> str:
    lines = [f"# {(model.__doc__ or '').strip()}", f"[{name}]"]
    subtables: list[str] = []
    for key, field in model.model_fields.items():
        extra: Any = field.json_schema_extra
        if (name, key) == ("limits", "domain"):
            subtables += ["", "# [limits.domain]", *_line(f"# {extra['sample']}", field, extra)]
            continue
        statement = f"{key} = {given.get(key) or extra['sample']}"
        lines += _line(statement if extra["init"] else f"# {statement}", field, extra)
    return "\n".join([*lines, *subtables, ""])


def _line(statement: str, field: FieldInfo, extra: Mapping[str, Any]) -> list[str]:
    """Return a key with its help beside it, or above it where that would be too long."""
    note = "# " + (field.description or "") + (f" ({extra['unit']})" if extra["unit"] else "")
    beside = f"{statement:<{COLUMN - 2}}  {note}"
    return [beside] if len(beside) <= WIDTH else [note, statement]


def _text(value: str) -> str:
    """Return a TOML basic string."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
