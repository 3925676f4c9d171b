"""What is told of signatories together: words that several of them use, rows that the rule pairs with nobody.

An office that gets the same words from twenty people reads them once, or not at all. So signatories who write
to the same recipients in the same or nearly the same words are told, and one joint letter with the names
below is offered (the column ``joint``).

Contract: pure; nothing here stops a send. Words are compared without case and signs, as sets of three words
in a row; `ALIKE` of all that two texts have must be common to both (the Jaccard index). Each text is compared
with one of each group only that shares one of its rare threesomes with it, so the time grows with the number
of texts and not with its square.

Limits: `MOST_TOLD` groups and rows of a kind are told, the others counted; at most `MOST_COMPARED` groups are
compared with a text.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.problem import Problem, Severity, visible
from pipeline.recipients.pairing import Choice, Pairing
from pipeline.recipients.rows import Listing
from pipeline.recipients.signatories import WORDS, Rule, Signatories, Signatory

ALIKE = 0.6
MOST_TOLD = 20
MOST_COMPARED = 50
_WORD = re.compile(r"\w+")


def same_words(signatories: Signatories, pairing: Pairing) -> list[Problem]:
    """Return a warning for each group of signatories who write the same to the same recipients."""
    if pairing.signatories is None or pairing.rule is Rule.ROUND_ROBIN:  # nobody gets two letters
        return []
    groups = [group for circle in _circles(pairing) for group in alike(circle) if len(group) > 1]
    told = [_told(signatories, group) for group in groups[:MOST_TOLD]]
    if more := len(groups) - len(told):
        message = f"{more} more groups of signatories use the same words"
        told.append(Problem(signatories.file, 0, 0, "same-words", message, severity=Severity.WARNING))
    return told


def unpaired(signatories: Signatories, choice: Choice, listing: Listing) -> Iterator[Problem]:
    """Yield a warning for recipients whom nobody writes to, and for signatories who write to nobody."""
    what = "country" if choice.pairing.rule is Rule.COUNTRY else "language"
    for line in choice.nobody[:MOST_TOLD]:
        message = f"nobody writes to this recipient: no signatory has this {what}"
        yield listing.problem(line, what, "no-signatory-fits", message, severity=Severity.WARNING)
    if (more := choice.without - len(choice.nobody[:MOST_TOLD])) > 0:
        message = f"nobody writes to {more} further recipients"
        yield Problem(listing.file, 0, 0, "no-signatory-fits", message, severity=Severity.WARNING)
    for number, one in enumerate(choice.idle()):
        if number == MOST_TOLD:
            message = "further signatories write to nobody"
            yield Problem(signatories.file, 0, 0, "no-recipient-fits", message, severity=Severity.WARNING)
            return
        message = f"{visible(one.name, limit=60)} writes to nobody: no recipient has this {what}"
        yield signatories.problem(one.line, what, "no-recipient-fits", message, severity=Severity.WARNING)


def alike(signatories: Iterable[Signatory]) -> list[list[Signatory]]:
    """Return signatories in groups whose words are the same or nearly so, as they stand in the file."""
    same: dict[str, list[Signatory]] = {}
    for one in signatories:
        same.setdefault(" ".join(_WORD.findall(one.values[WORDS].casefold())), []).append(one)
    texts = {text: _threesomes(text) for text in same}
    rarity = Counter(part for parts in texts.values() for part in parts)
    heads = _Heads()
    groups: dict[str, list[Signatory]] = {}
    for text, group in same.items():
        head = heads.like(text, sorted(texts[text], key=lambda part: (rarity[part], part)))
        groups.setdefault(head, []).extend(group)
    return list(groups.values())


@dataclass(slots=True)
class _Heads:
    """The first text of each group, found by its rare threesomes.

    Two texts that are `ALIKE` share one of the rarest of each: of as many as may not be common to both, and
    one more.
    """

    parts: dict[str, frozenset[str]] = field(default_factory=dict)
    by_part: dict[str, list[str]] = field(default_factory=dict)

    def like(self, text: str, parts: Sequence[str]) -> str:
        """Return the head that a text is like, or make it one itself."""
        whole = frozenset(parts)
        rare = parts[: len(parts) - math.ceil(ALIKE * len(parts)) + 1]
        compared: set[str] = set()
        for part in rare:
            for head in self.by_part.get(part, ()):
                if head in compared or len(compared) >= MOST_COMPARED:
                    continue
                compared.add(head)
                common = len(whole & self.parts[head])
                if common >= ALIKE * (len(whole) + len(self.parts[head]) - common):
                    return head
        self.parts[text] = whole
        for part in rare:
            self.by_part.setdefault(part, []).append(text)
        return text


def _threesomes(text: str) -> frozenset[str]:
    words = text.split()
    return (
        frozenset(" ".join(words[at : at + 3]) for at in range(max(1, len(words) - 2)))
        if words
        else frozenset()
    )


def _circles(pairing: Pairing) -> Iterable[Sequence[Signatory]]:
    """Return the signatories who write to the same recipients."""
    return pairing.circles if pairing.rule in (Rule.COUNTRY, Rule.LANGUAGE) else [pairing.signatories or ()]


def _told(signatories: Signatories, group: Sequence[Signatory]) -> Problem:
    first, second = group[0], group[1]
    names = ", ".join(visible(one.name, limit=40) for one in group[:3])
    names += f" and {len(group) - 3} more" if len(group) > 3 else ""
    if first.values[WORDS]:
        message = f"the same words as in line {first.line}: {names} write them to the same recipients"
    else:
        message = f"no words of their own: {names} write the same letter to the same recipients"
    hint = (
        f"one letter with {len(group)} names below is read sooner than {len(group)} that are alike:\n"
        f'write the same word, say "joint-{first.line}", into the column joint of these rows'
    )
    return signatories.problem(
        second.line, "words", "same-words", message, hint=hint, severity=Severity.WARNING
    )
