"""The versions of a letter side by side: for translators and signatories, who read each other's languages.

Passages that answer each other stand in one row: subject, preheader, each paragraph and list item of the text
part, by their number. The page is of our own making and holds nothing but words; a letter's own page, whose
layout may come from anybody, stands in a frame that can run and fetch nothing.

HTML Living Standard (iframe srcdoc, sandbox), CSP Level 3 (meta element). Contract: pure. Limits: a version
with a paragraph more than the others is out of step from there on; the heading says how many each has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise, zip_longest

WIDTH = 72  # of the text part
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-src 'none'"
)
_ITEM = re.compile(r"^(?=(?:[\u200f]?\s{0,3})(?:\d{1,3}[.)]|[-•])\s)", re.MULTILINE)
_STYLE = """\
body{margin:0;padding:1.5em;background:#fff;color:#1a1a1a;\
font:1em/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif}
h1{font-size:1.3em;margin:0 0 .8em}
table{border-collapse:collapse;width:100%;table-layout:fixed}
th,td{vertical-align:top;text-align:start;padding:.5em .8em;border:1px solid #d5d5d5;overflow-wrap:anywhere}
th{background:#f2f2f2;position:sticky;top:0}
th small{display:block;font-weight:normal;color:#555}
td.none{background:#fff3e0;color:#8a4b00}
td p{margin:0;white-space:pre-line}
tr.head td{font-weight:600}"""
_FRAME = """\
html,body{margin:0;height:100%;background:#e8e8e8}
iframe{display:block;border:0;width:100%;height:100vh;background:#fff}"""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a letter as one reader gets it; ``source`` is the language it was made from."""

    language: str
    direction: str
    source: str
    to: str
    subject: str
    preheader: str
    text: str
    html: str

    @property
    def passages(self) -> list[str]:
        """The paragraphs and list items of its text part."""
        blocks = re.split(r"\n[ \t]*\n", self.text.strip("\n"))
        parts = (part for block in blocks for part in _ITEM.split(block))
        return [_unwrapped(part.strip("\n")) for part in parts if part.strip()]


def rows(versions: Sequence[Version]) -> list[tuple[str, ...]]:
    """Return what stands side by side: subjects, preheaders where there are any, then the passages; an empty
    text where a version has none.
    """
    head = [tuple(version.subject for version in versions)]
    if any(version.preheader for version in versions):
        head.append(tuple(version.preheader for version in versions))
    return [*head, *zip_longest(*(version.passages for version in versions), fillvalue="")]


def page(name: str, versions: Sequence[Version]) -> str:
    """Return a page with the versions in columns."""
    heads = "".join(
        f'<th lang="{escape(one.language)}">{escape(one.language)}'
        f"<small>{len(one.passages)} passages"
        + (f", from {escape(one.source)}" if one.source != one.language else "")
        + (f"<br>to {escape(one.to)}" if one.to else "")
        + "</small></th>"
        for one in versions
    )
    lead = 1 + any(version.preheader for version in versions)
    body = "\n".join(
        f"<tr{' class=head' if number < lead else ''}>{_cells(versions, row)}</tr>"
        for number, row in enumerate(rows(versions))
    )
    title = escape(f"{name}: {', '.join(version.language for version in versions)}")
    return (
        f'<!doctype html>\n<html lang="en">\n{_head(title, _STYLE)}<body>\n<h1>{title}</h1>\n'
        f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</body>\n</html>\n"
    )


def framed(html: str, title: str) -> str:
    """Return a page that shows a letter's own page in a frame: no script runs in it, nothing is fetched, no
    form is sent, and it leads nowhere else.
    """
    return (
        f"<!doctype html>\n<html>\n{_head(escape(title), _FRAME, frames=True)}<body>\n"
        f'<iframe sandbox="" title="{escape(title)}" srcdoc="{escape(html)}"></iframe>\n</body>\n</html>\n'
    )


def _head(title: str, style: str, *, frames: bool = False) -> str:
    policy = POLICY.replace("frame-src 'none'", "frame-src 'self'") if frames else POLICY
    return (
        f'<head>\n<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="referrer" content="no-referrer">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>\n{style}\n</style>\n</head>\n"
    )


def _cells(versions: Sequence[Version], row: Sequence[str]) -> str:
    return "".join(
        f'<td lang="{escape(version.language)}" dir="{version.direction}"><p>{escape(text)}</p></td>'
        if text
        else '<td class="none">—</td>'
        for version, text in zip(versions, row, strict=True)
    )


def _unwrapped(text: str) -> str:
    """Return a passage without the line ends of the text part's 72 columns; a line that had room for more
    ends where it was meant to.
    """
    lines = text.split("\n")
    joined = lines[0]
    for before, line in pairwise(lines):
        room = WIDTH - len(before) > len(line.strip().split(" ", 1)[0])
        joined += f"\n{line}" if room else f" {line.strip()}"
    return joined
