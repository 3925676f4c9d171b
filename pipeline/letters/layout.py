"""The page round a letter's HTML.

The built-in page is plain on purpose: a readable width, the reader's own fonts, nothing fetched from
anywhere. A campaign may bring its own as templates/layout.html; it prints `body`, and may use `subject`,
`preheader`, `language` and `direction`.

HTML Living Standard (lang, dir); RFC 2557 is left unused: no part of a letter refers to another. Limits: a
campaign's own layout is searched for remote content by its spelling, which finds the usual, not the hidden.
"""

from __future__ import annotations

import re

from pipeline.letters.source import Source
from pipeline.problem import Problem, Severity

FILE = "templates/layout.html"
NAMES = frozenset({"body", "subject", "preheader", "language", "direction"})

_REMOTE = re.compile(
    r"<(?:script|link|iframe|object|embed)\b|@import|\b(?:src|background)\s*=\s*[\"']?\s*(?:https?:)?//|"
    r"url\(\s*[\"']?\s*(?:https?:)?//",
    re.IGNORECASE,
)

BUILT_IN = """\
<!doctype html>
<html lang="{{ language }}" dir="{{ direction }}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ subject }}</title>
</head>
<body style="margin:0;padding:1.5em 1em;background:#fff;color:#1a1a1a">
{% if preheader %}
<div style="display:none;max-height:0;overflow:hidden">{{ preheader }}</div>
{% endif %}
<div style="max-width:40em;margin:0 auto;\
font:1em/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif">
{{ body }}
</div>
</body>
</html>
"""


def remote_content(source: Source) -> list[Problem]:
    """Return a warning for each line of a layout that makes the reader's program fetch or run something."""
    message = "this makes the reader's program fetch or run something; many block it, and it tells who reads"
    return [
        source.problem(number, found.start() + 1, "remote-content", message, severity=Severity.WARNING)
        for number, line in enumerate(source.lines, 1)
        if (found := _REMOTE.search(line))
    ]
