"""What stands below the words: the signature.

Contract: the lines of a new passage in, the same lines in two parts out. Cut off are, from the end:
    what an HTML mail marks as its signature;
    what stands below "-- " (RFC 3676 4.3), at most 15 lines, or below "--", at most 10 short ones;
    a line that a telephone or a program adds ("Sent from my iPhone");
    a closing alone on its line ("Kind regards,") with at most 12 short lines of names and addresses below.
Where it is not certain, words are kept: a "P.S.", a sentence or a question below a closing keeps all of it,
and nothing but a telephone's line is cut off where no words would be left in the whole reply.

The phrases stand in `phrases/*.toml`. Limits: a name without a closing above it stays. Work is bounded by
the last 60 lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.replies.layout import Line, Mark
from pipeline.replies.wording import PUNCTUATION, phrases, plain

LOOKED_AT = 60  # lines from the end
AFTER_DELIMITER = 15  # lines
AFTER_DASHES = 10
AFTER_CLOSING = 12
LONGEST_LINE = 90  # characters of a line in a signature
ROUNDS = 5

_LINK = re.compile(r"\s*[<(\[]?(?:https?://|mailto:)[^\s<>]{1,500}[>)\]]?\.?$")
_CONTACT = re.compile(r"\d|@|www\.|https?:")
_POSTSCRIPT = re.compile(
    r"\s*(?:p\.?\s?s\b|n\.?b\b|nb:|ps:|p\.p\.s|пс\b|постскриптум|зы\b|p\.d\.)", re.IGNORECASE
)
_QUESTION = ("?", "？", "؟", "!", "！")
_STOP = (".", "。", "।", "…")


def without_signature(lines: Sequence[Line], *, elsewhere: bool = False) -> tuple[list[Line], list[Line]]:
    """Return the lines of the words and the lines of the signature below them.

    Args:
        lines: of one passage.
        elsewhere: the reply has words in other passages, so that this one may be nothing but a signature.
    """
    words = list(lines)
    for _ in range(ROUNDS):
        at = _cut(words, elsewhere=elsewhere)
        if at is None:
            break
        words = words[:at]
    return words, list(lines[len(words) :])


def _cut(lines: Sequence[Line], *, elsewhere: bool) -> int | None:
    """Return where the last part of a signature begins; None where there is none."""
    filled = [at for at in range(max(0, len(lines) - LOOKED_AT), len(lines)) if lines[at].text.strip()]
    if not filled:
        return None
    if is_device_line(lines[filled[-1]].text):
        return filled[-1]
    for found in (_marked(lines, filled), _delimited(lines, filled), _closed(lines, filled)):
        if found is not None and (elsewhere or any(line.text.strip() for line in lines[:found])):
            return found
    return None


def is_device_line(text: str) -> bool:
    """Say whether a line is one that a telephone or a mail program adds."""
    if len(text) > 600:
        return False
    words = plain(_LINK.sub("", text.strip(" \t_*.-"))).rstrip(" .")
    words = re.sub(r"\s?<https?:[^\s<>]{1,500}>", "", words)
    return 0 < len(words) <= 100 and phrases().device.fullmatch(words) is not None


def is_closing(text: str) -> bool:
    """Say whether a line is a closing and nothing else."""
    return len(text) <= LONGEST_LINE and plain(text).strip(PUNCTUATION) in phrases().closing


def _marked(lines: Sequence[Line], filled: Sequence[int]) -> int | None:
    start = None
    for at in reversed(filled):
        if lines[at].mark is not Mark.SIGNATURE:
            break
        start = at
    return start


def _delimited(lines: Sequence[Line], filled: Sequence[int]) -> int | None:
    for place in range(len(filled) - 1, -1, -1):
        text = lines[filled[place]].text
        below = filled[place + 1 :]
        if text == "-- " and len(below) <= AFTER_DELIMITER:
            return filled[place]
        if text.strip() in {"--", "—"} and len(below) <= AFTER_DASHES and _short(lines, below):
            return filled[place]
    return None


def _closed(lines: Sequence[Line], filled: Sequence[int]) -> int | None:
    for place in range(max(0, len(filled) - 1 - AFTER_CLOSING), len(filled)):
        if is_closing(lines[filled[place]].text) and _is_block(lines, filled[place + 1 :]):
            return filled[place]
    return None


def _is_block(lines: Sequence[Line], below: Sequence[int]) -> bool:
    """Say whether the lines below a closing are names, titles and ways to be reached, not words."""
    if not _short(lines, below):
        return False
    paragraphs: list[list[int]] = []
    for at in below:
        if paragraphs and at == paragraphs[-1][-1] + 1:
            paragraphs[-1].append(at)
        else:
            paragraphs.append([at])
    return all(
        any(_CONTACT.search(lines[at].text) or is_closing(lines[at].text) for at in part)
        for part in paragraphs[1:]
    )


def _short(lines: Sequence[Line], below: Sequence[int]) -> bool:
    return not any(_is_sentence(lines[at].text) for at in below)


def _is_sentence(text: str) -> bool:
    text = text.strip()
    if len(text) > LONGEST_LINE or text.endswith(_QUESTION) or _POSTSCRIPT.match(text):
        return True
    return text.endswith(_STOP) and len(text.split()) >= 5
