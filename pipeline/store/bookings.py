"""Slots of paces that several hosts share: booked some at a time, ahead, by one statement each.

Asked letter by letter, hosts would meet at the same slot, and all but one come again later: slots would pass
unused. So a host books the next few slots of a pace, wherever they lie within `HORIZON_US`, and lets letters
go as their times come. A slot that is not used at its time, within `LATE_US`, is lost and never made up for.

What leaves late, by `LATE_US` or on its way to the relay, must not meet what comes after it: slots are dealt
out as if the window were longer by `SLACK_US`. So "300/s" lets 284 letters go in a second, and never 301.

The server's clock says what time it is, in the statement that books. No lock outlives the statement.

Limits: hosts must be given the same pace (`cli/alike.py` sees to that). PostgreSQL only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from pipeline.clock import SECOND_US
from pipeline.delivery.limits import Pace
from pipeline.delivery.rules import Claim, Refusal
from pipeline.store.database import Database
from pipeline.store.dialect import insert
from pipeline.store.tables import paces

SLACK_US = 55_000
LATE_US = 25_000
HORIZON_US = 250_000
AHEAD_US = 60_000  # booking begins so long before the last slot: meanwhile the others are used
TOGETHER_US = 3_500  # slots within so short a time are booked together
MOST = 200


class Bookings:
    """The slots that this host has booked. `book` asks the store, and may do so in a thread of its own."""

    def __init__(self, common: Database, now_us: Callable[[], int]) -> None:
        self._common = common
        self._now_us = now_us
        self._slots: dict[str, deque[int]] = {}
        self._full_until: dict[str, int] = {}

    def lacks(self, claim: Claim) -> bool:
        """Say whether further slots of ``claim``, a pace's, should be booked by now."""
        assert isinstance(claim.limit, Pace)
        slots = self._slots.setdefault(claim.name, deque())
        now_us = self._now_us()
        while slots and slots[0] < now_us - LATE_US:
            slots.popleft()
        ahead_us = slots[-1] - now_us if slots else 0
        return ahead_us < AHEAD_US and now_us >= self._full_until.get(claim.name, 0)

    def is_out(self, claim: Claim) -> bool:
        """Say whether nothing is booked of ``claim``, a pace's."""
        return not self._slots[claim.name]

    def book(self, claim: Claim) -> None:
        """Book the next slots; where they lie too far ahead none, and then we know until when."""
        assert isinstance(claim.limit, Pace)
        gap, want = gap_us(claim.limit), _together(claim.limit)
        found = book(self._common, claim.name, gap_us=gap, want=want)
        if isinstance(found, Full):
            self._full_until[claim.name] = self._now_us() + max(found.wait_us, 1_000)
        else:
            self._slots[claim.name].extend(found + index * gap for index in range(want))

    def opens_us(self, claim: Claim) -> int:
        """Return when the next letter may leave; not after now: at once."""
        slots = self._slots[claim.name]
        return slots[0] if slots else max(self._full_until.get(claim.name, 0), self._now_us() + 1)

    def refusal(self, claims: Sequence[Claim]) -> Refusal | None:
        """Return which of the paces is closed now, and until when: the one that opens last; None: none is.

        Where nothing is booked a pace is closed, also when the time has passed until which it was full.
        """
        now_us = self._now_us()
        closed = [
            Refusal(claim, opens_us)
            for claim in claims
            if (opens_us := self.opens_us(claim)) > now_us or self.is_out(claim)
        ]
        return max(closed, key=lambda refusal: refusal.opens_us, default=None)

    def use(self, claim: Claim) -> None:
        """Use the slot that `opens_us` said is open."""
        self._slots[claim.name].popleft()


class Full(int):
    """So many microseconds until slots may be booked."""

    @property
    def wait_us(self) -> int:
        """The wait."""
        return int(self)


def gap_us(pace: Pace) -> int:
    """Return the microseconds between slots that several hosts share."""
    return -(-(pace.window_s * SECOND_US + SLACK_US) // pace.count)


def _together(pace: Pace) -> int:
    return max(1, min(MOST, -(-TOGETHER_US // gap_us(pace))))


def book(common: Database, name: str, *, gap_us: int, want: int) -> int | Full:
    """Book ``want`` slots of a pace, ``gap_us`` apart; return when the first is, by the server's clock."""
    with common.at_once() as connection:
        given = {"p_name": name, "p_gap": gap_us, "p_want": want}
        free_at = connection.scalar(_BOOK, given)
        if free_at is None:
            connection.execute(insert(paces).values(name=name, free_at=0).on_conflict_do_nothing())
            free_at = connection.scalar(_BOOK, given)
        if free_at is None:
            return Full(max(0, connection.scalar(_WAIT, given) or 0))
    return int(free_at) - want * gap_us


_clock = sa.select(
    sa.cast(sa.extract("epoch", sa.func.clock_timestamp()) * SECOND_US, sa.BigInteger).label("now_us")
).cte("clock")
_name = sa.bindparam("p_name", type_=sa.Text())
_gap, _want = sa.bindparam("p_gap", type_=sa.BigInteger()), sa.bindparam("p_want", type_=sa.BigInteger())
# A time that only a clock far ahead can have written is brought near, as `limits.mended_free_at` does.
_furthest = _clock.c.now_us + HORIZON_US + sa.func.greatest(_gap * _want, 60 * SECOND_US)
_start = sa.func.greatest(sa.func.least(paces.c.free_at, _furthest), _clock.c.now_us)
_BOOK = (
    sa.update(paces)
    .where(paces.c.name == _name, _start <= _clock.c.now_us + HORIZON_US)
    .values(free_at=_start + _gap * _want)
    .returning(paces.c.free_at)
)
_WAIT = (
    sa.select(paces.c.free_at - HORIZON_US - _clock.c.now_us)
    .select_from(paces.join(_clock, sa.true()))
    .where(paces.c.name == _name)
)
