"""What a mail itself says, for recognising it: its own words, not those of the messages inside it.

For recognising by rules. The text of a human reply, for people, is
`pipeline.replies.text`.

Limits: 64,000 characters; of alternatives the plain one counts, HTML only where there is no plain text.
"""

from __future__ import annotations

from pipeline.mail.mime import Mail, Part
from pipeline.replies.html import html_lines
from pipeline.replies.layout import shown

LONGEST = 64_000  # characters


def own_text(mail: Mail) -> str:
    """Return the mail's own text, line ends LF; "" where it has none."""
    plain = [part for part in _shown(mail) if part.type == "text/plain" or part.type.startswith("text/en")]
    text = "\n".join(part.text[:LONGEST] for part in plain)
    if not text.strip():
        text = "\n".join(
            shown(html_lines(part.text[:LONGEST])[0]) for part in _shown(mail) if part.type == "text/html"
        )
    if not text.strip() and mail.root.children:
        text = mail.root.content[:LONGEST].decode("utf-8", "replace")  # the preamble
    return text[:LONGEST].replace("\u00a0", " ").replace("\0", "")


def _shown(mail: Mail) -> list[Part]:
    return [
        part
        for part in mail.walk(into_messages=False)
        if not part.children and part.disposition != "attachment" and part.type.startswith("text/")
    ][:50]
