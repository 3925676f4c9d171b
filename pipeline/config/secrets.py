"""Secrets: keys that must not hold one, and lines that must not show one.

A password or token in campaign.toml is an error that says where to put it. Its value is never repeated: not
in the message, and not in the source line under it, not even where the line is broken TOML.

Contract: pure. Masking errs on the side of hiding too much.

Limits: a secret under a name that says nothing of it (``note = "hunter2"``) is not recognised.
"""

from __future__ import annotations

import difflib
import re
from functools import lru_cache

from pipeline.config.positions import Positions

MASK = "***"
# Keys of ours whose names sound secret: what they hold is a place or a command, shown masked all the same,
# because people put the password itself there.
PLACES_OF_SECRETS = ("password_file", "password_command")

_WORDS = ("password", "passwd", "passphrase", "passcode", "secret", "token", "credential", "apikey", "bearer")
_EXACT = ("pass", "pw", "pwd", "psw", "auth")
_WORD = re.compile(r"(?<!\{)[A-Za-z][A-Za-z0-9_-]*")
_BETWEEN = re.compile(r"""["']?[ \t]*[=:]?[ \t]*""")
_URL_SECRET = re.compile(r"(//[^:\[\n]*:)(.*)@|(//[^:@\[\n]*:)(?![0-9]{1,5}(?:[/\"'\s]|$))[^\"'\s]+")


@lru_cache(maxsize=1024)
def looks_secret(key: str) -> bool:
    """Return whether a key of that name would hold a secret, also where it is misspelt ("pasword")."""
    plain = re.sub(r"[^a-z]", "", key.casefold())
    if plain in _EXACT or any(word in plain for word in _WORDS):
        return True
    return 6 <= len(plain) <= 12 and bool(difflib.get_close_matches(plain, _WORDS[:3], 1, cutoff=0.85))


def masked_line(positions: Positions, line: int) -> str:
    """Return a line of the text with everything hidden that may be a secret."""
    start, end = positions.line_bounds(line)
    text = positions.text[start:end].rstrip("\r")
    for path, span in positions.spans.items():
        key = next((part for part in reversed(path) if isinstance(part, str)), "")
        if span.value < end + 1 and span.end > start and looks_secret(key):
            text = text[: max(0, span.value - start)] + MASK
    return _masked_words(_URL_SECRET.sub(_masked_url, text))


def _masked_url(match: re.Match[str]) -> str:
    return f"{match[1]}{MASK}@" if match[1] else f"{match[3]}{MASK}"


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
