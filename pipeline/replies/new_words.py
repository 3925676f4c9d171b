"""What the writer of a mail wrote themselves: its text without what it quotes.

Limits: lines that are marked as quoted, and all behind the line that leads to them.
"""

from __future__ import annotations

import re

from pipeline.mail.mime import Mail

_LEADS = re.compile(
    r"\s*(-{2,}\s?(original message|forwarded message|ursprüngliche nachricht|исходное сообщение|"
    r"mensaje original|message d'origine)\s?-{2,}|_{10,}|-- ?$)",
    re.IGNORECASE,
)


def new_words(mail: Mail, text: str) -> str:
    """Return ``text``, the mail's own, without its quotations and signature."""
    lines = text.split("\n")
    stop = next((at for at, line in enumerate(lines) if _LEADS.match(line)), len(lines))
    kept = lines[:stop]
    while kept and (not kept[-1].strip() or kept[-1].startswith(">")):
        kept.pop()
    if len(kept) < stop and kept and kept[-1].rstrip().endswith((":", "：")):
        kept.pop()
    return "\n".join(line for line in kept if not line.startswith(">")).strip()
