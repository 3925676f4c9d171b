"""Opt-outs: somebody asks for no more letters.

Certain: a mail to the address or with the subject that List-Unsubscribe named (`unsubscribe-<token>`), or one
in which the word is all that is written ("stop", "unsubscribe", "отпишите меня"), but for a greeting, a
please, a thank you and a name. Doubtful: such words within a longer mail; it stays human, with a review.

RFC 2369 3.2, RFC 8058 (the mailto form). The words of each language stand in `rules/languages/`.

Limits: the token is not checked here; that is the matching's part.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from pipeline.mail.mime import Mail
from pipeline.replies.phrase import find
from pipeline.replies.rulebook import all_phrases

LONGEST_ALONE = 200  # characters of an opt-out that is all that is written
MOST_WORDS = 12  # of a mail whose subject is the word
PERHAPS = "perhaps an opt-out"
_TOKEN = re.compile(r"unsubscribe[-_.+: ]+[a-z0-9]{6,80}(?:[-_.][a-z0-9]{6,80})?", re.IGNORECASE)
_NOT_WORDS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class OptOut:
    """An opt-out; ``certain`` ones act at once, the others a person looks at."""

    certain: bool
    why: str


def token_opt_out(mail: Mail) -> OptOut | None:
    """Return the opt-out that a List-Unsubscribe link made, by subject or address."""
    if _TOKEN.fullmatch(mail.subject.strip()):
        return OptOut(True, "its subject is that of an unsubscribe link")
    for _, address in mail.headers.addresses("To", "Delivered-To", "X-Original-To", "Envelope-To"):
        local = address.partition("@")[0]
        if _TOKEN.fullmatch(local) or _TOKEN.fullmatch(local.partition("+")[2]):
            return OptOut(True, "it was sent to an unsubscribe address")
    return None


def opt_out(author: tuple[str, str], subject: str, new_text: str) -> OptOut | None:
    """Return whether what a person wrote asks for no more letters.

    Args:
        author: name and address.
        subject: of their mail.
        new_text: what they wrote themselves.
    """
    stop = _alone(all_phrases("stop"))
    words = _bare(new_text)
    if words in _stop_words() or _plain(words, _names(author)) in stop:
        return OptOut(True, "an opt-out is all that is written")
    if _bare(subject) in _stop_words():
        few = len(words.split()) <= MOST_WORDS
        return OptOut(few, "its subject is an opt-out" + ("" if few else ", and more is written"))
    if found := find(all_phrases("stop_within"), f"{subject}\n{new_text[:4_000]}"):
        return OptOut(False, f'{PERHAPS}: "{" ".join(found[0].split())}"')
    return None


@cache
def _stop_words() -> frozenset[str]:
    return frozenset(_bare(phrase) for phrase in all_phrases("stop"))


@cache
def _alone(phrases: tuple[str, ...]) -> frozenset[str]:
    """Return phrases without what politeness adds, so that "please stop, thanks" is "stop"."""
    return frozenset(filter(None, (_plain(_bare(phrase), frozenset()) for phrase in phrases)))


def _plain(words: str, names: frozenset[str]) -> str:
    """Return ``words`` without polite ones, and without the writer's name at the end."""
    left = words.split()
    while left and left[-1] in names:
        left.pop()
    words = " ".join(left)
    return " ".join(_polite().sub(" ", words).split()) if len(words) < LONGEST_ALONE else words


@cache
def _polite() -> re.Pattern[str]:
    ordered = sorted({_bare(phrase) for phrase in all_phrases("polite")}, key=len, reverse=True)
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, ordered)) + r")(?!\w)")


def _names(author: tuple[str, str]) -> frozenset[str]:
    name, address = author
    return frozenset(_bare(f"{name} {address.partition('@')[0]}").split())


def _bare(text: str) -> str:
    """Return words alone, in lower case; "" for a text too long to be only an opt-out."""
    return _NOT_WORDS.sub(" ", text).strip().casefold() if len(text) < 2_000 else text[:2_000]
