"""When bounces stop letters to an address: the table, and how strikes are kept over campaigns."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipeline.recipients.suppression import Reason as Why
from pipeline.replies.acting import Acts
from pipeline.replies.kinds import Reason
from pipeline.replies.strikes import ABOUT_THE_ADDRESS, MEMORY, SPAN, TIMES, Strike, counts, suppressing
from pipeline.store import strikes
from tests.clocks import START
from tests.postgres import BOTH
from tests.unit.store_support import a_world

pytestmark = BOTH

NOW = START + timedelta(days=400)


def at(days: float, reason: Reason = Reason.FULL) -> Strike:
    """Return a strike so many days before now."""
    return Strike(reason, NOW - timedelta(days=days))


def test_a_mailbox_full_three_times_in_thirty_days_is_left_alone() -> None:
    """Three of them, the first and the last that far apart."""
    assert TIMES == 3
    assert timedelta(days=30) == SPAN
    assert suppressing([at(30), at(10), at(0)], now=NOW) is Why.FULL


@pytest.mark.parametrize(
    "found",
    [
        [],
        [at(40), at(0)],
        [at(29), at(20), at(10), at(5), at(0)],
        [at(40), at(20, Reason.DISABLED), at(0)],
        [at(MEMORY.days + 1), at(20), at(0)],
    ],
    ids=["none", "two", "a bad month", "two reasons", "long ago"],
)
def test_less_than_that_is_a_living_address(found: list[Strike]) -> None:
    """Too few, too close together, of too many sorts, too old."""
    assert suppressing(found, now=NOW) is None


def test_what_is_about_the_address_counts_together() -> None:
    """An address that is disabled, then missing in unclear words, then moved."""
    found = [at(31, Reason.DISABLED), at(9, Reason.NO_ADDRESS), at(0, Reason.MOVED)]
    assert suppressing(found, now=NOW) is Why.BOUNCED


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_that_is_not_about_the_address_is_no_strike(reason: Reason) -> None:
    """Rate, content, policy, relay, loop, unreachable, expired, system, unclassified: never."""
    about = {"no such address", "no such domain", "disabled", "moved", "full"}
    assert counts(reason) == (reason.value in about)
    if not counts(reason):
        assert suppressing([at(day, reason) for day in (90, 60, 30, 0)], now=NOW) is None


def test_every_reason_about_the_address_is_one() -> None:
    """The table and the set say the same."""
    assert {reason for reason in Reason if counts(reason)} == ABOUT_THE_ADDRESS | {Reason.FULL}


class TestKept:
    """Over the shared store."""

    KEY = "ada@office.example"

    def strike(self, folder: Path, source: str, when: datetime) -> int:
        """Strike once, in the name of a campaign's mail; return how many addresses are newly suppressed."""
        world = a_world(folder)
        acts = Acts(strike=(self.KEY, Reason.FULL, "mailbox full"))
        with world.common.writing() as connection:
            new = strikes.carry_out(connection, acts, source=source, at=when, now=when)
        world.close()
        return len(new)

    def test_three_campaigns_make_three_strikes(self, tmp_path: Path) -> None:
        """Each writes to an address once."""
        days = [0, 20, 40]
        found = [self.strike(tmp_path, f"campaign {day}", START + timedelta(days=day)) for day in days]
        assert found == [0, 0, 1]

    def test_one_mail_strikes_once_however_often_it_is_sorted(self, tmp_path: Path) -> None:
        """A crash between two commits is made up for by doing it again."""
        found = [self.strike(tmp_path, "the same", START + timedelta(days=day)) for day in (0, 20, 40)]
        assert found == [0, 0, 0]

    def test_a_sign_of_life_forgets_them(self, tmp_path: Path) -> None:
        """Its owner has made room, and answered."""
        for day in (0, 20):
            self.strike(tmp_path, f"campaign {day}", START + timedelta(days=day))
        world = a_world(tmp_path)
        alive = START + timedelta(days=30)
        with world.common.writing() as connection:
            strikes.carry_out(connection, Acts(alive=self.KEY), source="", at=alive, now=alive)
        world.close()
        assert self.strike(tmp_path, "campaign 40", START + timedelta(days=40)) == 0
