"""Secrets: keys that must not hold one, and lines that must not show one.

A password or token in campaign.toml is an error that says where to put it. Its value is never repeated: not
in the message, and not in the source line under it, not even where the line is broken TOML.

Contract: pure. Masking errs on the side of hiding too much: only values of keys we know are shown.

Limits: a secret under a name that says nothing of it (``note = "hunter2"``) is an unknown key like any
other; one written as the value of an ordinary key (``name = "hunter2"``) is shown when that line has a
mistake.
"""

from __future__ import annotations

import difflib
import re
from functools import lru_cache

from pipeline.config.model import TABLES
from pipeline.positions import Path, Positions

MASK = "***"
# Keys of ours whose names sound secret: what they hold is a place or a command, shown masked all the same,
# because people put the password itself there.
PLACES_OF_SECRETS = ("password_file", "password_command")

_WORDS = ("password", "passwd", "passphrase", "passcode", "secret", "token", "credential", "apikey", "bearer")
_EXACT = ("pass", "pw", "pwd", "psw", "auth")
_WORD = re.compile(r"(?<!\{)[A-Za-z][A-Za-z0-9_-]*")
_BETWEEN = re.compile(r"""["']?[ \t]*[=:]?[ \t]*""")
_START = re.compile(r"""[ \t]*["']?([A-Za-z0-9_.-]+)["']?[ \t]*([=:]?)[ \t]*""")
_HEADER = re.compile(r"[ \t]*\[\[?[^\]=]*\]{0,2}")
_PORT = re.compile(r"[0-9]{1,5}(?:[/\"'\s]|$)")


@lru_cache(maxsize=1024)
def looks_secret(key: str) -> bool:
    """Return whether a key of that name would hold a secret, also where it is misspelt ("pasword")."""
    plain = re.sub(r"[^a-z]", "", key.casefold())
    if plain in _EXACT or any(word in plain for word in _WORDS):
        return True
    return 6 <= len(plain) <= 12 and bool(difflib.get_close_matches(plain, _WORDS[:3], 1, cutoff=0.85))


def masked_line(positions: Positions, line: int) -> str:
    """Return a line of the text with everything hidden that may be a secret.

    The value of a key we know is shown, unless the key's name sounds secret; any other value is hidden, and
    so is a line that belongs to no key.
    """
    start, end = positions.line_bounds(line)
    text = positions.text[start:end].rstrip("\r")
    touching = [
        (path, span) for path, span in positions.spans.items() if span.key <= end and span.end > start
    ]
    if not touching:
        return _masked_words(_masked_stray(text))
    hidden = [span.value - start for path, span in touching if not _may_be_shown(path)]
    if hidden:
        text = text[: max(0, min(hidden))] + MASK
    return _masked_words(_masked_url(text))


def _may_be_shown(path: Path) -> bool:
    """Return whether the value at a path holds no secret: that of a key we know, or of a domain."""
    table, *keys = [part for part in path if isinstance(part, str)]
    if table not in TABLES:
        return False
    if not keys or (table, keys[0]) == ("limits", "domain"):
        return True
    return len(keys) == 1 and keys[0] in TABLES[table].model_fields and not looks_secret(keys[0])


def _masked_stray(text: str) -> str:
    """Hide what follows the first word of a line without a key that could be read, or the whole line."""
    if not text.strip() or text.lstrip()[0] == "#":
        return text
    header = _HEADER.match(text)
    if header:
        rest = text[header.end() :].strip()
        return text if not rest or rest[0] == "#" else text[: header.end()] + MASK
    start = _START.match(text)
    if start is None:
        return MASK
    key = start[1]
    known = any(key in model.model_fields for model in TABLES.values())
    if start[2] and known and not looks_secret(key):
        return _masked_url(text)
    return text[: start.end()] + MASK if start[2] or looks_secret(key) else MASK


def _masked_url(text: str) -> str:
    """Hide the password in ``url = "scheme://user:password@host"``, however broken."""
    if not re.search(r"smtp|imap|//|\burl\b", text):
        return text
    colon = re.search(r":(?!//)", text[text.find("=") + 1 :])
    if colon is None:
        return text
    behind = text.find("=") + 1 + colon.end()
    at = text.rfind("@")
    if at >= behind:
        return text[:behind] + MASK + text[at:]
    if "//" not in text[:behind] or "[" in text[:behind] or _PORT.match(text, behind):
        return text
    return text[:behind] + MASK


def _masked_words(text: str) -> str:
    """Hide what follows a secret-looking word, quoted or not, with or without its equals sign."""
    for word in _WORD.finditer(text):
        rest = text[word.end() :]
        if (
            looks_secret(word[0])
            and re.match(r"""["']?\s*[=:]\s*\S|["']?\s+\S""", rest)
            and _is_key(text, word)
        ):
            between = _BETWEEN.match(rest)
            return text[: word.end() + (between.end() if between else 0)] + MASK
    return text


def _is_key(text: str, word: re.Match[str]) -> bool:
    """Return whether the word may be a key: at the start of the line, or after one of ``{ , . " '``."""
    before = text[: word.start()].rstrip(" \t")
    return not before or before[-1] in "{,.\"'#["
