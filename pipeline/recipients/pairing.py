"""Who writes to whom: recipients and signatories as pairs, each of which is a letter.

Contract: pure. `Pairing.pairs` streams: it keeps the signatories and never a recipient. Without signatories
every recipient is paired with nobody: the campaign writes in its own name. The rules:

    all           every signatory writes to every recipient
    country       those whose country is the recipient's, as it is spelt, whatever its case
    language      those whose language is the recipient's
    round-robin   one writes to each recipient: the one who has had the fewest, in the order of the file

Under round robin a recipient keeps its signatory: `Turns` knows who has had a letter, whatever was reordered
or edited since. One whose letter has gone, or may have, gets no other when its signatory is removed.

How many letters one recipient gets in a day is no rule of pairing but a limit (`limits.per_recipient`).

Limits: who sits where among 64-bit numbers is told by a hash: for two recipients in 10^19 it may be wrong,
which gives a new recipient a signatory out of turn.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heapreplace
from typing import NamedTuple

from pipeline.recipients.row import Recipient
from pipeline.recipients.signatories import Rule, Signatory

MOST_NAMED = 100
_ALONE: tuple[None] = (None,)
_RANK_BITS, _NUMBER_BITS = 8, 32


class Pair(NamedTuple):
    """One letter: whom it goes to, and who signs it; None: the campaign itself."""

    recipient: Recipient
    signatory: Signatory | None = None


class Turn(NamedTuple):
    """Who has a recipient's letter, and whether it has gone or must not be replaced."""

    signatory: str  # key
    done: bool


class Turns:
    """Who has which recipient, in twelve octets each."""

    def __init__(self, letters: Iterable[tuple[str, str, int]]) -> None:
        """Take letters as (recipient key, signatory key, rank); of one recipient's the lowest rank counts.

        Rank 0 means that the letter is done.
        """
        numbers: dict[str, int] = {}
        packed: list[int] = []
        for recipient, signatory, rank in letters:
            number = numbers.setdefault(signatory, len(numbers))
            packed.append((_print(recipient) << _RANK_BITS | rank) << _NUMBER_BITS | number)
        packed.sort()
        self._signatories = list(numbers)
        self._prints, self._held, self._done = array("Q"), array("I"), bytearray()
        self.numbers: Counter[str] = Counter()
        last = -1
        for one in packed:
            key = one >> _RANK_BITS + _NUMBER_BITS
            if key == last:
                continue
            last = key
            held = one & (1 << _NUMBER_BITS) - 1
            self._prints.append(key)
            self._held.append(held)
            self._done.append(not one >> _NUMBER_BITS & (1 << _RANK_BITS) - 1)
            self.numbers[self._signatories[held]] += 1

    def of(self, recipient: str) -> Turn | None:
        """Return who has a recipient, by its key; None: nobody yet."""
        key = _print(recipient)
        at = bisect_left(self._prints, key)
        if at == len(self._prints) or self._prints[at] != key:
            return None
        return Turn(self._signatories[self._held[at]], bool(self._done[at]))


class Pairing:
    """The rule of one campaign."""

    def __init__(self, signatories: Sequence[Signatory] | None, rule: Rule) -> None:
        """``signatories`` is None where the campaign writes in its own name."""
        self.signatories = tuple(signatories) if signatories is not None else None
        self.rule = rule
        self._of: dict[str, tuple[Signatory, ...]] = {}
        if self.signatories and rule in (Rule.COUNTRY, Rule.LANGUAGE):
            for one in self.signatories:
                shared = _spelt(one.country if rule is Rule.COUNTRY else one.language)
                self._of[shared] = (*self._of.get(shared, ()), one)

    @property
    def in_turn(self) -> bool:
        """Whether who writes to a recipient depends on those before it."""
        return self.signatories is not None and self.rule is Rule.ROUND_ROBIN

    @property
    def shared_by(self) -> set[str]:
        """What signatories share with recipients, where the rule asks for it."""
        return set(self._of)

    @property
    def circles(self) -> list[tuple[Signatory, ...]]:
        """Those who share what the rule asks for."""
        return list(self._of.values())

    def begin(self, turns: Turns | None = None) -> Choice:
        """Return the choice of one pass over the recipients, in their order."""
        return Choice(self, turns)

    def pairs(self, recipients: Iterable[Recipient], turns: Turns | None = None) -> Iterator[Pair]:
        """Yield the pairs of all recipients, those of one recipient together."""
        choice = self.begin(turns)
        for recipient in recipients:
            for signatory in choice.of(recipient):
                yield Pair(recipient, signatory)

    def shared(self, recipient: Recipient) -> str:
        """Return what a recipient shares with who writes to it."""
        country = recipient.values.get("country", "")
        return _spelt(country if self.rule is Rule.COUNTRY else recipient.language)

    def sharing(self, shared: str) -> tuple[Signatory, ...]:
        """Return those who share it."""
        return self._of.get(shared, ())


class Choice:
    """Who writes to whom in one pass; ``nobody`` has the lines of the first recipients with no signatory."""

    def __init__(self, pairing: Pairing, turns: Turns | None) -> None:
        self.pairing = pairing
        self.nobody: list[int] = []
        self.without = 0  # recipients with no signatory
        self._met: set[str] = set()  # what recipients share with signatories
        self._turns = turns
        signatories = pairing.signatories or ()
        self._known = {one.key: one for one in signatories} if pairing.in_turn else {}
        numbers = turns.numbers if turns is not None else Counter[str]()
        self._queue = [(numbers[one.key], order) for order, one in enumerate(signatories)]
        heapify(self._queue)

    def of(self, recipient: Recipient) -> Sequence[Signatory | None]:
        """Return who writes to the next recipient."""
        pairing = self.pairing
        if pairing.signatories is None:
            return _ALONE
        if pairing.rule is Rule.ALL:
            return pairing.signatories
        if pairing.rule is not Rule.ROUND_ROBIN:
            return self._sharing(recipient)
        turn = self._turns.of(recipient.address.key) if self._turns is not None else None
        if turn is not None and (known := self._known.get(turn.signatory)) is not None:
            return (known,)
        if (turn is not None and turn.done) or not self._queue:
            return ()
        number, order = self._queue[0]
        heapreplace(self._queue, (number + 1, order))
        return (pairing.signatories[order],)

    def idle(self) -> Iterator[Signatory]:
        """Yield those who write to nobody, once the pass is over."""
        for shared in sorted(self.pairing.shared_by - self._met):
            yield from self.pairing.sharing(shared)

    def _sharing(self, recipient: Recipient) -> Sequence[Signatory]:
        shared = self.pairing.shared(recipient)
        self._met.add(shared)
        found = self.pairing.sharing(shared)
        if not found:
            self.without += 1
            if len(self.nobody) < MOST_NAMED:
                self.nobody.append(recipient.line)
        return found


def _spelt(word: str) -> str:
    return " ".join(word.casefold().split())


def _print(key: str) -> int:
    return hash(key) & (1 << 64) - 1
