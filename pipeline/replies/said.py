"""What a mail itself says, for recognising it: its own words, not those of the messages inside it.

For reading by programs: HTML is stripped, not shown. The text of a human reply, for people, is
`pipeline.replies.text`.

Limits: 64,000 characters; of alternatives the plain one counts, HTML only where there is no plain text.
"""

from __future__ import annotations

import html
import re

from pipeline.mail.mime import Mail, Part

LONGEST = 64_000  # characters
_HIDDEN = re.compile(r"<(style|script|head|title)\b[^<>]{0,500}>[^<]*(?:</\1\s*>)?", re.IGNORECASE)
_BREAKS = re.compile(r"<\s*/?\s*(?:br|p|div|tr|li|h\d|table|blockquote|pre)\b[^<>]{0,2000}>", re.IGNORECASE)
_TAG = re.compile(r"<(?![^<>\s]{1,64}@)[^<>]{0,4000}>")
_BLANKS = re.compile(r"[ \t\u00a0]+")


def own_text(mail: Mail) -> str:
    """Return the mail's own text, line ends LF; "" where it has none."""
    plain = [part for part in _shown(mail) if part.type == "text/plain" or part.type.startswith("text/en")]
    text = "\n".join(part.text[:LONGEST] for part in plain)
    if not text.strip():
        text = "\n".join(stripped(part.text[:LONGEST]) for part in _shown(mail) if part.type == "text/html")
    if not text.strip() and mail.root.children:
        text = mail.root.content[:LONGEST].decode("utf-8", "replace")  # the preamble
    return text[:LONGEST].replace("\u00a0", " ").replace("\0", "")


def stripped(markup: str) -> str:
    """Return HTML without its tags; what breaks a line there breaks one here. Linear in the markup."""
    markup = _HIDDEN.sub(" ", markup.replace("\n", " "))
    text = html.unescape(_TAG.sub(" ", _BREAKS.sub("\n", markup)))
    return "\n".join(_BLANKS.sub(" ", line).strip() for line in text.split("\n"))


def _shown(mail: Mail) -> list[Part]:
    return [
        part
        for part in mail.walk(into_messages=False)
        if not part.children and part.disposition != "attachment" and part.type.startswith("text/")
    ][:50]
