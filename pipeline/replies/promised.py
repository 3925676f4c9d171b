"""What a letter tells its reader to answer who wants no more of them, and whether that would be understood.

Letters to officials have no List-Unsubscribe; a sentence at their end says which words to answer with. A user
may choose any words there, and an answer of words that `opt_out` does not know is a person's answer.

Looked at are words in quotation marks, few enough to be such words, in the last paragraphs of a letter, next
to one that asks for an answer.

Limits: a sentence without quotation marks, or with a verb that is not among `ASKS`, is not found; nothing
says that a letter has no such sentence.
"""

from __future__ import annotations

import re

from pipeline.replies.optouts import opt_out

LAST = 3  # paragraphs
MOST_WORDS = 6
ASKS = (  # beginnings of words that ask for an answer, lower case
    "reply", "replies", "answer", "respond", "antwort", "répon", "contest", "rispond", "ответ", "відпов",
    "απαντ", "odpowied", "odpis", "odpově", "cevap", "yanıt", "svar", "vastaa", "antwoord", "válasz",
    "răspun", "رد", "أجب", "پاسخ", "השב", "返信", "回信", "回复", "답장", "회신",
)  # fmt: skip
_QUOTED = re.compile(r"[“„«\"‘‚”]\s?([^“”„«»\"‘’‚\n]{2,80}?)\s?[”“»\"’‘]")
_WORD = re.compile(r"\w+")


def unknown_words(letter: str) -> list[str]:
    """Return the words that the end of ``letter``, its plain text, asks for and that would be no opt-out."""
    return [words for words in _asked_for(letter) if not _understood(words)]


def _asked_for(letter: str) -> list[str]:
    paragraphs = [" ".join(one.split()) for one in re.split(r"\n\s*\n", letter.strip())]
    found: list[str] = []
    for paragraph in paragraphs[-LAST:]:
        around = _QUOTED.sub(" ", paragraph).casefold()
        if any(word.startswith(ASKS) for word in _WORD.findall(around)):
            found += [words for words in _QUOTED.findall(paragraph) if len(words.split()) <= MOST_WORDS]
    return list(dict.fromkeys(found))


def _understood(words: str) -> bool:
    answer = opt_out(("", ""), "", words)
    return answer is not None and answer.certain
