"""Which lines of a reply are new, and which repeat what was written before.

Contract: lines in (`pipeline.replies.layout`), one truth value a line out; nothing is dropped or reordered.

What counts as quoted:
    marked lines (">", an HTML quotation) and the line above them that says who wrote them;
    everything below "-----Original Message-----", below a block of header fields ("From: ... Sent: ...
    Subject: ...") or below a line such as "On Sunday at 10:15, Ann <ann@example.org> wrote:", when what
    follows carries no marks: these programs put the old text last.
Answers between marked lines are new and stay in their places. Where it is not certain, words are kept: a
block of fields without an address at the very top is how a ministry writes its letters, a blockquote in HTML
without a sign of a mail program is the writer's own, and "You asked:" is the writer's too.

The words looked for stand in `phrases/*.toml`; a line with an address in brackets, a date and a time that
ends in a colon is understood in any language.

Limits: answers typed into an unmarked quotation (in red, say) cannot be told from it here
(`pipeline.replies.within` can, where it knows the letter). A line above a
quotation has at most 4 lines and 400 characters, and of lines that end in a colon 5,000 are looked at; a
block of fields has at most 25 lines. Work is linear.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from pipeline.replies.layout import Line, Mark
from pipeline.replies.wording import phrases, plain

LONGEST_ATTRIBUTION = 400  # characters
MOST_LINES = 4
MOST_TRIED = 5_000  # lines that end in a colon are looked at
SHORT = 4  # words of a line that has a verb and nothing else: "Ann Example wrote:"
LONGEST_BLOCK = 25  # lines
LONGEST_NAME = 40  # characters of a field's name

_FIELD = re.compile(r"[\s*_|•]{0,8}([^\W\d_][^:：\n<>@]{0,40}?)[\s*_\u200f\u200e]{0,4}[:：]")
_DASHED = re.compile(r"[-_=*~—–]{2,40}\s{0,10}([^\s-].{1,100}?)\s{0,10}[-_=*~—–]{2,40}:?")
_TWO_LANGUAGES = re.compile(r" (?:-{2,5}|/) ")
_RULE = re.compile(r"[\s*]{0,4}(?:_{10,}|-{20,}|={20,}|[—–─]{10,})[\s*]{0,4}")
_ADDRESS = re.compile(r"[^\s<>()\[\]:;,\"@]{1,64}@[^\s<>()\[\]:;,\"@]{1,255}")
_IN_BRACKETS = re.compile(r"[<(\[](?:mailto:)?[^\s<>()\[\]:;,\"@]{1,64}@|@[^\s<>()\[\]:;,\"@]{1,255}[>)\]]")
_COLON = re.compile(r"[:：][\s*_\u200e\u200f\u202a-\u202e\u2066-\u2069]{0,19}$")
_DATE = re.compile(
    r"\d{4}|\d{1,2}[./-] ?\d{1,2}[./-] ?\d{2}|\d{1,2}[./ -]{1,2}[^\W\d_]{3,12}[./ -]{1,2}\d{2}"
)
_CLOCK = re.compile(r"\d{1,2} ?[:.h時点시] ?\d{2}|\d{1,2} ?[ap]\.?m")
_SENTENCE_END = (".", "!", "?", "…", "。", ":", ";", "؟", "।")


def quoted_lines(lines: Sequence[Line], *, forward: bool = False) -> list[bool]:
    """Say of each line whether it is quoted; an empty line is not.

    Args:
        lines: of one reply.
        forward: the subject says that a mail is passed on: a block of fields at the top is believed then.
    """
    return _Reader(lines, forward=forward).read()


def separator(text: str) -> str:
    """Return "original" or "forwarded" for a line such as "-----Original Message-----", else ""."""
    text = text.strip(" \t>*")
    if not 4 <= len(text) <= 200:
        return ""
    if dashed := _DASHED.fullmatch(text):
        several = [plain(words) for words in _TWO_LANGUAGES.split(dashed[1])]
        if any(phrases().forwarded.fullmatch(words) for words in several):
            return "forwarded"
        return "original" if any(phrases().original.fullmatch(words) for words in several) else ""
    if text.endswith((":", "：")):
        words = plain(text[:-1])
        return "forwarded" if " " in words and phrases().forwarded.fullmatch(words) else ""
    return ""


def is_forwarded_end(text: str) -> bool:
    """Say whether a line is one such as "------ End of forwarded message ------"."""
    text = text.strip(" \t>*")
    dashed = _DASHED.fullmatch(text) if 4 <= len(text) <= 200 else None
    return dashed is not None and phrases().forwarded_end.fullmatch(plain(dashed[1])) is not None


def is_rule(line: Line) -> bool:
    """Say whether a line is nothing but a rule."""
    return line.mark is Mark.RULE or _RULE.fullmatch(line.text[:200]) is not None


def field_name(text: str) -> str:
    """Return which header field a line begins with (`HEADER_KEYS`), "" where it begins with none."""
    found = _FIELD.match(text[: LONGEST_NAME + 20])
    return phrases().headers.get(plain(found[1]), "") if found else ""


def field_value(text: str) -> str:
    """Return what follows the name and the colon of a header field."""
    found = _FIELD.match(text[: LONGEST_NAME + 20])
    return text[found.end() :].strip(" \t*_") if found else ""


def attribution_end(lines: Sequence[Line], at: int) -> int | None:
    """Return where a line that says who wrote when ends, if it begins at ``at`` and has an address."""
    known = Evidence()
    for end in range(at, min(at + MOST_LINES, len(lines))):
        text = lines[end].text
        if not text.strip() or len(text) > LONGEST_ATTRIBUTION or lines[end].depth != lines[at].depth:
            return None
        known = known.joined(evidence(text))
        if _COLON.search(text[-20:]):
            return end + 1 if known.certain and known.address else None
    return None


def field_block(names: Sequence[str], lines: Sequence[Line], at: int) -> int:
    """Return where the block of header fields that begins at ``at`` ends; 0 where none begins there.

    A block says from whom, and two of when, to whom and about what. Values may be wrapped; one empty line
    may stand between two fields.
    """
    if names[at] not in {"from", "sent", "to", "subject"}:
        return 0
    found: set[str] = set()
    end = gap = 0
    depth = lines[at].depth
    for here in range(at, min(at + LONGEST_BLOCK, len(lines))):
        if lines[here].depth != depth:
            break
        name = names[here]
        if name and name in found and name not in {"other", "cc"} and len(found) >= 3 and gap:
            break
        if name:
            found.add(name)
            end, gap = here + 1, 0
        elif gap >= 3 or (not lines[here].text.strip() and gap and not lines[here - 1].text.strip()):
            break
        else:
            gap += 1
    return end if "from" in found and len(found & {"sent", "to", "subject"}) >= 2 else 0


class Evidence(NamedTuple):
    """What a line above a quotation may hold."""

    verb: bool = False
    address: bool = False
    bracketed: bool = False  # the address, in brackets
    date: bool = False
    clock: bool = False

    def joined(self, other: Evidence) -> Evidence:
        return Evidence(*(one or another for one, another in zip(self, other, strict=True)))

    @property
    def enough(self) -> bool:
        """Whether this makes a line above marked text."""
        return (self.verb and (self.date or self.clock or self.address)) or (
            self.address and (self.date or self.clock)
        )

    @property
    def certain(self) -> bool:
        """Whether this makes a line above text that carries no marks."""
        return (self.verb and self.date and (self.clock or self.bracketed)) or (
            self.bracketed and self.clock and (self.date or self.verb)
        )


def evidence(text: str) -> Evidence:
    """Return what a line, or a part of one, says of who wrote when."""
    words = plain(text[:LONGEST_ATTRIBUTION])
    if "@" in words:
        address, bracketed = _ADDRESS.search(words) is not None, _IN_BRACKETS.search(words) is not None
    else:
        address = bracketed = False
    return Evidence(
        has_verb(words), address, bracketed, _DATE.search(words) is not None, _CLOCK.search(words) is not None
    )


def has_verb(words: str) -> bool:
    """Say whether a text, as `plain` gives it, holds a verb such as "wrote"."""
    return any(verb in words and _apart(verb, words) for verb in phrases().wrote)


def _apart(verb: str, words: str) -> bool:
    """Say whether a verb stands for itself; scripts that write without spaces are not asked."""
    if verb[0] > "\u0e00" and not "\u10a0" <= verb[0] <= "\u10ff":
        return True
    return re.search(rf"(?<!\w){re.escape(verb)}(?!\w)", words) is not None


class _Reader:
    """Reads one text from top to bottom."""

    __slots__ = ("first_words", "flags", "following", "forward", "lines", "names", "seen", "senders", "tried")

    def __init__(self, lines: Sequence[Line], *, forward: bool) -> None:
        self.lines = lines
        self.forward = forward
        self.flags = [line.depth > 0 for line in lines]
        self.names = [
            field_name(line.text) if ":" in line.text or "：" in line.text else "" for line in lines
        ]
        self.senders = [at for at, name in enumerate(self.names) if name == "from"]
        self.following = _following(lines)
        worded = (at for at, line in enumerate(lines) if line.text.strip() and not is_rule(line))
        self.first_words = next(worded, len(lines))
        self.tried = 0
        self.seen: dict[int, Evidence] = {}

    def read(self) -> list[bool]:
        at = 0
        while at < len(self.lines):
            line = self.lines[at]
            if line.depth == 0 and line.text.strip():
                stop = self._quotation_at(at)
                if stop is None:
                    return self._quoted_from(at)
                at = max(at + 1, stop)
            else:
                at += 1
        return self.flags

    def _quotation_at(self, at: int) -> int | None:
        """Flag the head of a quotation that stands at ``at``.

        Return where to go on; None: all that is below is quoted.
        """
        line = self.lines[at]
        if line.mark is Mark.CUT:
            return None
        after = self.following[at]
        if is_rule(line) and after < len(self.lines) and self.lines[after].depth:
            self.flags[at] = True
            return at + 1
        if separator(line.text) or self._separates(at):
            return self._flagged(self._above(at), at + 1)
        if (end := self._block_end(at)) and self._believed(at, end):
            return self._flagged(self._above(at), end)
        if line.mark is Mark.ATTRIBUTION:
            self.flags[at] = True
            return at + 1
        return self._attribution_at(at)

    def _block_end(self, at: int) -> int:
        if not self.names[at]:
            return 0
        near = bisect_left(self.senders, at)
        if near == len(self.senders) or self.senders[near] >= at + LONGEST_BLOCK:
            return 0
        return field_block(self.names, self.lines, at)

    def _flagged(self, start: int, end: int) -> int | None:
        """Flag lines; None where what follows them is not marked by itself."""
        self.flags[start:end] = [True] * (end - start)
        after = self.following[end - 1]
        return end if after < len(self.lines) and self.lines[after].depth else None

    def _quoted_from(self, at: int) -> list[bool]:
        start = self._above(at)
        self.flags[start:] = [True] * (len(self.lines) - start)
        return self.flags

    def _above(self, at: int) -> int:
        """Return where the rules and empty lines above ``at`` begin; rules alone are taken along."""
        start = here = at
        while here > 0 and at - here < 6:
            here -= 1
            if is_rule(self.lines[here]):
                start = here
            elif self.lines[here].text.strip() or self.lines[here].depth:
                break
        return start

    def _separates(self, at: int) -> bool:
        """Say whether dashes with words between them, in a language not known here, stand above fields."""
        text = self.lines[at].text.strip()
        if not 12 <= len(text) <= 120 or not text.startswith("-----") or not _DASHED.fullmatch(text):
            return False
        here, fields, address = self.following[at], 0, False
        for _ in range(4):
            if here >= len(self.lines) or not _FIELD.match(self.lines[here].text[:60]):
                break
            fields += 1
            address = address or _ADDRESS.search(self.lines[here].text[:400]) is not None
            here = self.following[here]
        return fields >= 3 and address

    def _believed(self, at: int, end: int) -> bool:
        """Say whether a block of fields is a mail's: at the very top it may be the head of a letter."""
        if self.forward or self.first_words < at:
            return True
        return any(_ADDRESS.search(line.text[:400]) for line in self.lines[at:end])

    def _attribution_at(self, at: int) -> int | None:
        """Flag the line above a quotation that ends at ``at``, with the lines it is wrapped over."""
        text = self.lines[at].text
        if len(text) > LONGEST_ATTRIBUTION or self.tried > MOST_TRIED or not _COLON.search(text[-20:]):
            return at + 1
        self.tried += 1
        after = self.following[at]
        marked = after < len(self.lines) and (
            self.lines[after].depth > 0 or self.lines[after].mark is Mark.PERHAPS
        )
        start = self._attribution_start(at, marked=marked)
        if start is None:
            return at + 1
        self.flags[start : at + 1] = [True] * (at + 1 - start)
        if not marked:
            return None
        return self._perhaps_run(after) if self.lines[after].mark is Mark.PERHAPS else at + 1

    def _perhaps_run(self, at: int) -> int:
        """Flag the lines of one blockquote; return where it ends."""
        while at < len(self.lines) and (
            self.lines[at].mark is Mark.PERHAPS or not self.lines[at].text.strip()
        ):
            self.flags[at] = True
            at += 1
        return at

    def _attribution_start(self, at: int, *, marked: bool) -> int | None:
        """Return the first line of what ends at ``at`` and says who wrote when; None where nothing does."""
        found: int | None = None
        known = Evidence()
        goes_back = False
        length = 0
        for start in range(at, max(-1, at - MOST_LINES), -1):
            text = self.lines[start].text
            length += len(text)
            if start != at and (self.lines[start].depth or not text.strip() or self.flags[start]):
                break
            if length > LONGEST_ATTRIBUTION:
                break
            before = known
            known = known.joined(self._evidence(start))
            if start == at - 1 and not known.verb:
                known = known._replace(verb=has_verb(plain(f"{text} {self.lines[at].text}")))
            if known.enough if marked else known.certain:
                if found is None or known != before or goes_back:
                    found = start
                goes_back = self._goes_back(start)
                if (known.date or known.clock) and not goes_back:
                    break
            elif start == at and marked and known.verb and len(text.split()) <= SHORT:
                found = at
        return found

    def _evidence(self, at: int) -> Evidence:
        if at not in self.seen:
            self.seen[at] = evidence(self.lines[at].text)
        return self.seen[at]

    def _goes_back(self, start: int) -> bool:
        """Say whether the line above belongs to a wrapped line: the first of its paragraph, unfinished."""
        above = start - 1
        if above < 0 or self.lines[above].depth or self.flags[above]:
            return False
        if above > 0 and self.lines[above - 1].text.strip() and not self.lines[above - 1].depth:
            return False
        text = self.lines[above].text.strip()
        return (
            0 < len(text) <= 120
            and not text.endswith(_SENTENCE_END)
            and (
                "@" in text
                or any(character.isdigit() for character in text)
                or self.lines[start].text.lstrip().startswith("<")
            )
        )


def _following(lines: Sequence[Line]) -> list[int]:
    """Return, for each line, the next one that is not empty; the number of lines where none is."""
    out = [len(lines)] * len(lines)
    after = len(lines)
    for at in range(len(lines) - 1, -1, -1):
        out[at] = after
        if lines[at].text.strip():
            after = at
    return out
