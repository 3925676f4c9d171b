"""The head of a letter's file: TOML between two lines of `+++`, then the body.

    +++
    subject = "Release the marchers"
    preheader = "Four demands, and a request for a reply."
    attachments = ["attachments/statement.pdf"]
    source = "en"            # made from that version; without it from the campaign's first language
    differs = ["112"]        # figures and facts that this version has, or lacks, on purpose
    +++
    Dear …

TOML 1.0. Limits: a key stands on a line of its own; the position of a value is that of its key.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pipeline.letters.source import Source
from pipeline.problem import Problem, visible

FENCE = "+++"
KEYS = ("subject", "preheader", "attachments", "source", "differs")

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """What the head of a letter's file says; the lines are those of the file, from 1."""

    subject: str
    subject_line: int
    preheader: str
    preheader_line: int
    attachments: tuple[str, ...]
    attachments_line: int
    body: str
    body_line: int
    source: str = ""  # the language it was made from; empty: the campaign's first
    source_line: int = 1
    differs: tuple[str, ...] = ()  # figures and facts that this version has, or lacks, on purpose


def read_front_matter(source: Source) -> tuple[FrontMatter | None, list[Problem]]:
    """Split a letter's file into head and body; None where no letter can be made of it."""
    end = _closing_fence(source)
    if isinstance(end, Problem):
        return None, [end]
    table, problems = read_toml(source, 2, end - 1)
    if table is None:
        return None, problems
    problems += [_unknown(source, key, end) for key in table if key not in KEYS]
    subject, preheader, names = table.get("subject"), table.get("preheader", ""), table.get("attachments", [])
    if subject is None:
        hint = 'write  subject = "…"  between the two lines +++'
        problems.append(source.problem(1, 1, "no-subject", "the letter has no subject", hint=hint))
    elif not isinstance(subject, str) or not subject.strip():
        problems.append(_wrong(source, "subject", end, "a text that is not empty"))
    if not isinstance(preheader, str):
        problems.append(_wrong(source, "preheader", end, "a text"))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        problems.append(
            _wrong(source, "attachments", end, 'a list of file names: ["attachments/statement.pdf"]')
        )
    made_from, differs = table.get("source", ""), table.get("differs", [])
    if not isinstance(made_from, str):
        problems.append(_wrong(source, "source", end, 'a language: "en"'))
    if not isinstance(differs, list) or not all(isinstance(one, str) for one in differs):
        problems.append(
            _wrong(source, "differs", end, 'a list of figures and facts: ["112", "facts.injured"]')
        )
    if problems:
        return None, sorted(problems, key=lambda problem: problem.line)
    matter = FrontMatter(
        subject=str(subject),
        subject_line=key_line(source, "subject", end),
        preheader=preheader,
        preheader_line=key_line(source, "preheader", end),
        attachments=tuple(names),
        attachments_line=key_line(source, "attachments", end),
        body="\n".join(source.lines[end:]),
        body_line=end + 1,
        source=made_from,
        source_line=key_line(source, "source", end),
        differs=tuple(differs),
    )
    return matter, []


def read_toml(source: Source, first: int, last: int) -> tuple[dict[str, Any] | None, list[Problem]]:
    """Return the TOML table on the lines ``first`` to ``last``; None and the problem where it cannot be
    read."""
    text = "\n".join(source.lines[first - 1 : last]) + "\n"
    try:
        return tomllib.loads(text), []
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        where = _AT.search(str(error))
        line = first + int(where[1]) - 1 if where and where[1] else last
        column = int(where[2]) if where and where[2] else len(source.line(line)) + 1
        message = (
            _AT.sub("", str(error)) if isinstance(error, tomllib.TOMLDecodeError) else "nested too deeply"
        )
        hint = 'a text stands in quotation marks: key = "words"; a list in brackets: key = ["one", "two"]'
        message = f"not TOML: {visible(message, limit=120)}"
        return None, [source.problem(line, column, "toml-syntax", message, hint=hint)]


def key_line(source: Source, key: str, last: int) -> int:
    """Return the line, up to ``last``, that begins with ``key =``; 1 where there is none."""
    wanted = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*=""")
    return next((number for number in range(1, last + 1) if wanted.match(source.line(number))), 1)


def _closing_fence(source: Source) -> int | Problem:
    if source.line(1).rstrip() != FENCE:
        message = "a letter begins with a line +++ and its subject"
        hint = 'begin the file with three lines:  +++   subject = "…"   +++'
        return source.problem(1, 1, "no-front-matter", message, hint=hint)
    for number in range(2, len(source.lines) + 1):
        if source.line(number).rstrip() == FENCE:
            return number
    return source.problem(1, 1, "no-front-matter", "the line +++ that ends the head of the letter is missing")


def _unknown(source: Source, key: str, end: int) -> Problem:
    line = key_line(source, key, end)
    near = get_close_matches(key, KEYS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(KEYS)}"
    column = source.column(line, re.escape(key))
    return source.problem(line, column, "unknown-key", f'unknown key "{visible(key, limit=60)}"', hint=hint)


def _wrong(source: Source, key: str, end: int, wanted: str) -> Problem:
    line = key_line(source, key, end)
    return source.problem(line, source.column(line, re.escape(key)), "wrong-value", f"{key} must be {wanted}")
