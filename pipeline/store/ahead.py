"""What is known ahead of letters that wait for their slot at a server: opt-outs, quotas, how many there are.

A letter that leaves as a pace says is looked at alone, and at its time. A server is too far away to be asked
three times for each: `AskedAhead` asks for some letters at a time, a second ahead, and `Meter` lets a feed
have no more letters of a paced domain than will go soon.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipeline.delivery.letter import Letter
from pipeline.delivery.limits import Pace
from pipeline.delivery.rules import Claim, Rules
from pipeline.store import ledger, shared
from pipeline.store.database import Database

ASKED_S = 1.0  # for so long an answer about opt-outs holds
STILL_S = 2.0  # where none of them has gone for so long, they are not what is waited for


class AskedAhead:
    """What the store said of letters that the feed has not come to yet."""

    def __init__(self, common: Database, rules: Rules) -> None:
        self._common = common
        self._rules = rules
        self._barred: dict[str, str] = {}  # "" for those that may be written to
        self._asked_at = 0.0
        self._room: Counter[tuple[str, ...]] = Counter()  # quotas that were taken, by their names
        self._claims: dict[tuple[str, ...], tuple[Claim, ...]] = {}

    def ask(self, letters: Sequence[Letter], now: float) -> None:
        """Ask for opt-outs, and take the quotas; in the journal's thread. ``now`` in monotonic seconds."""
        names = {letter.id: self._rules.recipient_name(letter.recipient_key) for letter in letters}
        with self._common.reading() as connection:
            barred = shared.barred(connection, list(names.values()))
        self._barred = {name: barred.get(name, "") for name in names.values()}
        self._asked_at = now
        if self._rules.limits.hours is not None:
            return  # a letter may not go before tomorrow
        wanted = [
            tuple(
                claim
                for claim in self._rules.claims(letter, names[letter.id])
                if not isinstance(claim.limit, Pace)
            )
            for letter in letters
            if not barred.get(names[letter.id])
        ]
        if not any(wanted):
            return
        with self._common.at_once() as connection:
            refusals = ledger.take_in_turn(connection, wanted, now_us=None)
        for claims, refusal in zip(wanted, refusals, strict=False):
            if refusal is None and claims:
                self._room[key := tuple(map(_name, claims))] += 1
                self._claims[key] = claims

    def had_room(self, claims: Sequence[Claim]) -> bool:
        """Say whether a letter's quotas were taken, and use them."""
        key = tuple(map(_name, claims))
        if not self._room[key]:
            del self._room[key]
            return False
        self._room[key] -= 1
        if not self._room[key]:
            del self._room[key], self._claims[key]
        return True

    def barred(self, names: Sequence[str], now: float) -> dict[str, str] | None:
        """Return which of the recipients must not be written to; None where that is not known any more."""
        if now - self._asked_at > ASKED_S or any(name not in self._barred for name in names):
            return None
        return {name: why for name in names if (why := self._barred[name])}

    def unused(self) -> list[Claim]:
        """Return the quotas that were taken and not used, and forget them."""
        left = [claim for key, number in self._room.items() for claim in self._claims[key] * number]
        self._room.clear()
        self._claims.clear()
        return left


class Meter:
    """How many letters of a paced lane the feed has, of which none has had its slot yet."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._out: set[int] = set()
        self._number = 0
        self._gone_at = 0.0

    def room(self, now: float) -> int:
        """Return how many more it may have; ``now`` in monotonic seconds."""
        if now - self._gone_at > STILL_S:  # they were left for later, or set aside for another reason
            self._number, self._gone_at = 0, now
            self._out.clear()
        return max(0, self._most - self._number)

    def hand_out(self, letters: Sequence[Letter]) -> None:
        """Count letters that the feed gets."""
        self._out.update(letter.id for letter in letters)
        self._number += len(letters)

    def gone(self, now: float) -> None:
        """Count one that has its slot."""
        self._number, self._gone_at = max(0, self._number - 1), now

    def forget(self, letters: Sequence[int]) -> None:
        """Count those no longer that will not go."""
        for letter in letters:
            if letter in self._out:
                self._out.discard(letter)
                self._number = max(0, self._number - 1)


def _name(claim: Claim) -> str:
    return claim.name
