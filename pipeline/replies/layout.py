"""The lines of a text with how deeply each is quoted, whatever the mail wrote them in.

Plain text, format=flowed text and HTML (`pipeline.replies.html`) all come out as `Line`s, so that what is
new, quoted or a signature is decided in one place (`pipeline.replies.quotation`).

RFC 3676 4.1 to 4.6: in format=flowed a line that ends in a space goes on in the next of the same depth,
one space in front is stuffing, `DelSp=yes` takes the last space away, and "-- " never flows.

Limits: 500,000 characters of a text are read and 50,000 lines; `readable` says whether something was
left off. Marks deeper than 50 count as 50. Work is linear in the characters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from pipeline.replies.wording import phrases

TEXT_LIMIT = 500_000  # characters
LINES_LIMIT = 50_000
DEEPEST = 50

_MARKS = re.compile(r"[ \t]{0,3}>(?:[ \t]{0,3}>)*")
_OPEN_ADDRESS = re.compile(r"<\s?[^<>\s]{1,320}@[^<>\s]{0,255}$|[\s<][^<>\s]{1,64}@[^<>\s]{1,255}$")
_DASHES_AND_MORE = re.compile(r"(\s{0,10}-{5,10}\s?[^\s-][^-\n]{1,60}\s?-{5,10})\s{1,5}[^\s-]")
LONGEST_RUN = 2_000  # characters
_COLONS = (":", "：")
_INITIALS = re.compile(r"\s?([^\W\d_]{1,4})>(?=[\s>]|$)")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")


class Mark(StrEnum):
    """What the markup of an HTML mail says about a line; plain text says nothing."""

    NONE = ""
    ATTRIBUTION = "attribution"  # the line above a quotation
    CUT = "cut"  # from here on all is quoted
    RULE = "rule"  # a horizontal rule
    SIGNATURE = "signature"
    PERHAPS = "perhaps"  # in a blockquote that may be a mail's or the writer's own


class Line(NamedTuple):
    """One line without its quotation marks: ``depth`` is how many it had."""

    text: str
    depth: int = 0
    mark: Mark = Mark.NONE


def readable(text: str) -> tuple[str, bool]:
    """Return ``text`` within the limits, its line ends LF and without controls; and whether it was cut."""
    cut = len(text) > TEXT_LIMIT
    text = text[:TEXT_LIMIT].replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
    text = text.replace("\u2028", "\n").replace("\u2029", "\n\n")
    if text.count("\n") >= LINES_LIMIT:
        cut = True
        text = "\n".join(text.split("\n", LINES_LIMIT)[:LINES_LIMIT])
    return _CONTROLS.sub("", text), cut


def plain_lines(text: str) -> list[Line]:
    """Return the lines of a plain text; it has gone through `readable`."""
    written = _with_wrapped_addresses(_one_field_a_line(text.split("\n")))
    initials = _initials(written)
    lines = [_unquoted(line, initials) for line in written]
    for at, line in enumerate(lines):
        if line.depth == 1 and line.text.startswith("From ") and _stands_alone(lines, at):
            lines[at] = Line(line.text)  # a mailbox file put the mark there (RFC 4155)
    return lines


def flowed_lines(text: str, *, delete_space: bool = False) -> list[Line]:
    """Return the lines of a format=flowed text with its paragraphs put together (RFC 3676)."""
    lines: list[Line] = []
    words: list[str] = []
    depth = 0

    def close() -> None:
        if words:
            lines.append(Line("".join(words), depth))
            words.clear()

    for written in text.split("\n"):
        rest = written.lstrip(">")
        level = min(len(written) - len(rest), DEEPEST)
        rest = rest.removeprefix(" ")
        if level != depth:
            close()
            depth = level
        if rest == "-- ":
            close()
            lines.append(Line(rest, level))
        elif rest.endswith(" "):
            words.append(rest[:-1] if delete_space else rest)
        else:
            words.append(rest)
            close()
    close()
    return lines


def shown(lines: Sequence[Line], *, above: int = 0) -> str:
    """Return lines as text, ``above`` levels of quotation left away; no empty lines at either end."""
    return "\n".join("> " * max(0, line.depth - above) + line.text.rstrip() for line in lines).strip("\n")


def _one_field_a_line(lines: list[str]) -> list[str]:
    """Break up what Yahoo writes into one line: "----- Forwarded message ----- From: aTo: bSubject: c"."""
    out: list[str] = []
    for line in lines:
        found = _DASHES_AND_MORE.match(line) if "-----" in line[:20] and len(line) < LONGEST_RUN else None
        names = list(phrases().fields.finditer(line, found.end(1))) if found else []
        if found is None or len(names) < 3:
            out.append(line)
            continue
        starts = [found.end(1), *(name.start() for name in names), len(line)]
        out.append(found[1])
        out += [piece for at, end in pairwise(starts) if (piece := line[at:end].strip())]
    return out


def _with_wrapped_addresses(lines: list[str]) -> list[str]:
    """Put back together "<letters@example.org" and ">:", which a program wrapped into a mark."""
    out: list[str] = []
    for line in lines:
        if (
            line.startswith(">")
            and out
            and _OPEN_ADDRESS.search(out[-1][-330:])
            and line.rstrip().endswith(_COLONS)
        ):
            out[-1] += line
        else:
            out.append(line)
    return out


def _initials(lines: list[str]) -> frozenset[str]:
    """Return the initials that a program puts before quoted lines ("AB> text"), where two lines have them."""
    counted = Counter(found[1] for line in lines if ">" in line[:7] and (found := _INITIALS.match(line)))
    return frozenset(name for name, lines_with in counted.items() if lines_with > 1)


def _unquoted(line: str, initials: frozenset[str]) -> Line:
    if initials and (named := _INITIALS.match(line)) and named[1] in initials:
        rest = line[named.end() :]
        marks = len(rest) - len(rest.lstrip(">"))
        return Line(rest[marks:].removeprefix(" "), min(1 + marks, DEEPEST))
    found = _MARKS.match(line)
    if found is None:
        return Line(line)
    depth = found[0].count(">")
    if not found[0].startswith(">") and depth == 1 and line[found.end() : found.end() + 1] not in ("", " "):
        return Line(line)  # "  >word" is how somebody wrote it
    return Line(line[found.end() :].removeprefix(" "), min(depth, DEEPEST))


def _stands_alone(lines: list[Line], at: int) -> bool:
    return all(not lines[near].depth for near in (at - 1, at + 1) if 0 <= near < len(lines))
