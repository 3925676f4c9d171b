"""How much of a quoted passage is a letter's? Runs of words compared, whatever the line breaks and marks.

Contract: two texts in, a share from 0 to 1 out; linear work.

Both texts become runs of five words (of eight characters where a script writes without spaces); the share is
that of the passage's runs which the letter has (the containment of A. Broder, "On the resemblance and
containment of documents", 1997).

Limits: the first 20,000 characters of each. A passage of fewer than eight runs says nothing: 0.
"""

from __future__ import annotations

import re
import unicodedata

LOOKED_AT = 20_000  # characters
WORDS = 5
CHARACTERS = 8
FEWEST = 8  # runs
LONG_WORDS = 12  # characters; a text with longer words on average has no spaces

_WORD = re.compile(r"[^\W_]+")


def likeness(passage: str, letter: str) -> float:
    """Return which share of a passage stands in a letter."""
    words = words_of(passage)
    whole = sum(map(len, words)) > LONG_WORDS * len(words)
    runs = _runs(words, whole=whole)
    if len(runs) < FEWEST:
        return 0.0
    return len(runs & _runs(words_of(letter), whole=whole)) / len(runs)


def words_of(text: str) -> list[str]:
    """Return the words of a text in the form in which they are compared."""
    return _WORD.findall(unicodedata.normalize("NFKC", text[:LOOKED_AT]).casefold())


def _runs(words: list[str], *, whole: bool) -> set[str]:
    if whole:
        text = "".join(words)
        return {text[at : at + CHARACTERS] for at in range(len(text) - CHARACTERS + 1)}
    return {" ".join(words[at : at + WORDS]) for at in range(len(words) - WORDS + 1)}
