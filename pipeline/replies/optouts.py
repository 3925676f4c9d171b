"""Opt-outs: somebody asks for no more letters.

Certain: a mail to the address or with the subject that List-Unsubscribe named (`unsubscribe-<token>`), or one
in which the word is all that is written ("stop", "unsubscribe", "отпишите меня"). Doubtful: such words within
a longer mail; it stays human, with a review.

RFC 2369 3.2, RFC 8058 (the mailto form). The words of each language stand in `rules/languages/`.

Limits: the token is not checked here; that is the matching's part.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.mail.mime import Mail
from pipeline.replies.phrase import find
from pipeline.replies.rulebook import all_phrases

MOST_WORDS = 12  # of a mail whose subject is the word
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


def opt_out(mail: Mail, new_text: str) -> OptOut | None:
    """Return whether a person's mail asks for no more letters; ``new_text`` is what they wrote themselves."""
    words = _bare(new_text)
    stop = {_bare(phrase) for phrase in all_phrases("stop")}
    if words in stop:
        return OptOut(True, "an opt-out is all that is written")
    subject = _bare(mail.subject)
    if subject in stop:
        few = len(words.split()) <= MOST_WORDS
        return OptOut(few, "its subject is an opt-out" + ("" if few else ", and more is written"))
    if found := find(all_phrases("stop_within"), f"{mail.subject}\n{new_text[:4_000]}"):
        return OptOut(False, f'perhaps an opt-out: "{" ".join(found[0].split())}"')
    return None


def _bare(text: str) -> str:
    """Return words alone, in lower case; "" for a text too long to be only an opt-out."""
    return _NOT_WORDS.sub(" ", text).strip().casefold() if len(text) < 2_000 else text[:2_000]
