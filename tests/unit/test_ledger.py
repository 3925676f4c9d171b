"""The ledger: limits as rows. Never more than N in any window, whatever the clock and the restarts do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.clock import SECOND_US, to_us
from pipeline.delivery.limits import DAY_S, HOUR_S, Limit, Pace, Quota
from pipeline.delivery.rules import Claim, Refusal
from pipeline.store import ledger, migrations, tables
from pipeline.store.address import SHARED_SCHEMA
from pipeline.store.database import Database
from tests.clocks import START, FakeClock
from tests.postgres import BOTH, FILE_ONLY, a_place

pytestmark = BOTH

NOW = to_us(START)
SLOW_DISK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def claim(limit: Limit, name: str = "relay smtp.example:587") -> Claim:
    """Return a claim on a limit."""
    return Claim(name, limit, name, run_wide=True)


def shared_below(folder: Path) -> Database:
    """Open what campaigns share."""
    server = a_place(folder)
    place = folder / "shared.db" if server is None else server.schema(SHARED_SCHEMA)
    return Database(place, (migrations.SHARED,), clock=FakeClock())


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sa.Connection]:
    """A writing transaction on an empty ledger."""
    common = shared_below(tmp_path)
    with common.writing() as connection:
        yield connection
    common.close()


def granted(connection: sa.Connection, limit: Limit, *, at: int, times: int = 1) -> int:
    """Return how many of so many letters the limit lets go at one moment."""
    answers = [ledger.take(connection, [claim(limit)], now_us=at) for _ in range(times)]
    return answers.count(None)


def test_a_pace_lets_one_letter_go_at_a_time(connection: sa.Connection) -> None:
    """60 a minute is one a second, and the refusal says when the next slot is."""
    pace = Pace(60, 60)
    assert ledger.take(connection, [claim(pace)], now_us=NOW) is None
    assert ledger.take(connection, [claim(pace)], now_us=NOW) == Refusal(claim(pace), NOW + SECOND_US)
    assert ledger.take(connection, [claim(pace)], now_us=NOW + SECOND_US) is None


def test_a_quota_lets_as_many_go_as_it_says(connection: sa.Connection) -> None:
    """The letters of a quota may go at once; the next one waits until the first is forgotten."""
    quota = Quota(5, HOUR_S)
    assert granted(connection, quota, at=NOW, times=9) == 5
    refusal = ledger.take(connection, [claim(quota)], now_us=NOW)
    assert refusal is not None
    assert refusal.opens_us > NOW + HOUR_S * SECOND_US
    assert granted(connection, quota, at=refusal.opens_us - 1) == 0
    assert granted(connection, quota, at=refusal.opens_us, times=9) == 5


@pytest.mark.parametrize("limit", [Pace(2, 3_600), Quota(1, DAY_S)], ids=["pace", "quota"])
def test_limits_survive_reopening(tmp_path: Path, limit: Limit) -> None:
    """A limit is a row: a restart frees nothing."""
    for expected in (1, 0, 0):
        common = shared_below(tmp_path)
        with common.writing() as connection:
            assert granted(connection, limit, at=NOW) == expected
        common.close()


def test_a_letter_takes_all_its_limits_or_none(connection: sa.Connection) -> None:
    """A refusal by one limit leaves the others as they were."""
    full, free, pace = (
        claim(Quota(1, DAY_S), "a full"),
        claim(Quota(2, DAY_S), "b free"),
        claim(Pace(1, 60), "c pace"),
    )
    assert ledger.take(connection, [full], now_us=NOW) is None
    for _ in range(5):
        refusal = ledger.take(connection, [pace, free, full], now_us=NOW)
        assert refusal is not None
        assert refusal.claim == full
    assert ledger.take(connection, [free, pace], now_us=NOW) is None
    assert ledger.take(connection, [free], now_us=NOW) is None
    assert ledger.take(connection, [free], now_us=NOW) is not None


def test_the_refusal_names_the_limit_that_opens_last(connection: sa.Connection) -> None:
    """What the letter really waits for is what people are told."""
    soon, late = claim(Pace(1, 60), "relay"), claim(Quota(1, DAY_S), "day")
    assert ledger.take(connection, [soon, late], now_us=NOW) is None
    refusal = ledger.take(connection, [soon, late], now_us=NOW)
    assert refusal is not None
    assert refusal.claim == late


def test_a_letter_without_limits_may_go(connection: sa.Connection) -> None:
    """No claims, no refusal."""
    assert ledger.take(connection, [], now_us=NOW) is None


def test_limits_of_different_names_do_not_share(connection: sa.Connection) -> None:
    """Two relays have a quota each."""
    quota = Quota(1, DAY_S)
    assert ledger.take(connection, [claim(quota, "day one")], now_us=NOW) is None
    assert ledger.take(connection, [claim(quota, "day two")], now_us=NOW) is None
    assert ledger.take(connection, [claim(quota, "day one")], now_us=NOW) is not None


def test_campaigns_that_count_over_windows_of_different_length_share_one_count(
    connection: sa.Connection,
) -> None:
    """A short window's asking does not make a long window forget."""
    day, hour = Quota(10, DAY_S), Quota(10, HOUR_S)
    assert granted(connection, day, at=NOW, times=10) == 10
    later = NOW + 2 * HOUR_S * SECOND_US
    assert granted(connection, hour, at=later, times=3) == 3
    assert granted(connection, day, at=later) == 0


def test_what_is_put_back_may_be_taken_again(connection: sa.Connection) -> None:
    """A letter of which nothing was said to the relay does not count."""
    quota = claim(Quota(2, DAY_S))
    assert [ledger.take(connection, [quota], now_us=NOW) for _ in range(2)] == [None, None]
    ledger.put_back(connection, [quota])
    assert ledger.take(connection, [quota], now_us=NOW) is None
    assert ledger.take(connection, [quota], now_us=NOW) is not None


def test_putting_back_never_makes_room_that_was_not_there(connection: sa.Connection) -> None:
    """More put back than taken leaves a quota empty, not negative."""
    quota = claim(Quota(2, DAY_S))
    assert ledger.take(connection, [quota], now_us=NOW) is None
    for _ in range(5):
        ledger.put_back(connection, [quota])
    assert granted(connection, quota.limit, at=NOW, times=5) == 2


def test_a_paces_slot_is_not_given_back(connection: sa.Connection) -> None:
    """Two letters never leave together because a third did not go."""
    pace = claim(Pace(60, 60))
    assert ledger.take(connection, [pace], now_us=NOW) is None
    ledger.put_back(connection, [pace])
    assert ledger.take(connection, [pace], now_us=NOW) is not None


def test_a_pause_is_not_saved_up(connection: sa.Connection) -> None:
    """After a night without letters they still leave one by one."""
    assert granted(connection, Pace(60, 60), at=NOW, times=5) == 1
    assert granted(connection, Pace(60, 60), at=NOW + DAY_S * SECOND_US, times=5) == 1


@pytest.mark.parametrize("back_s", [1, 1_800, 2 * HOUR_S, 366 * DAY_S], ids=["second", "half", "two", "year"])
@pytest.mark.parametrize("limit", [Pace(2, HOUR_S), Quota(2, HOUR_S)], ids=["pace", "quota"])
def test_fault_38_a_clock_set_back_releases_nothing_and_blocks_for_two_windows_at_most(
    connection: sa.Connection, limit: Limit, back_s: int
) -> None:
    """A used-up limit stays used up when the clock jumps back, and opens again before that clock's year."""
    assert granted(connection, limit, at=NOW, times=3) == (2 if isinstance(limit, Quota) else 1)
    back = NOW - back_s * SECOND_US
    assert granted(connection, limit, at=back) == 0
    window_us = HOUR_S * SECOND_US
    opened = [
        moment for moment in range(4 * 24) if granted(connection, limit, at=back + moment * window_us // 24)
    ]
    assert opened
    assert opened[0] <= 2 * 24 + 1


def test_fault_38_a_clock_that_comes_back_to_its_hour_finds_what_was_spent(connection: sa.Connection) -> None:
    """Set back half an hour and forward again: the letters sent before still count."""
    quota = Quota(10, HOUR_S)
    assert granted(connection, quota, at=NOW, times=5) == 5
    assert granted(connection, quota, at=NOW - 1_800 * SECOND_US, times=9) == 5
    assert granted(connection, quota, at=NOW + 1_810 * SECOND_US, times=9) == 5


limits = st.one_of(
    st.builds(Pace, st.integers(1, 9), st.integers(1, 600)),
    st.builds(Quota, st.integers(1, 9), st.sampled_from([HOUR_S, 2 * HOUR_S, DAY_S])),
)


@FILE_ONLY  # of the arithmetic, which is the same
@SLOW_DISK
@given(limit=limits, data=st.data())
def test_never_more_than_n_in_any_window(limit: Limit, data: st.DataObject) -> None:
    """Letters asked for at random moments, time running forward and restarts between: no window holds N+1."""
    steps = data.draw(st.lists(st.floats(0, 0.6), min_size=1, max_size=60))
    moments, clock_us = [], NOW
    with TemporaryDirectory() as folder:
        common = shared_below(Path(folder))
        with common.writing() as connection:
            for step in steps:
                clock_us += int(step * limit.window_s * SECOND_US)
                moments += [clock_us] * granted(connection, limit, at=clock_us, times=limit.count + 1)
        common.close()
    assert most_in_a_window(moments, limit) <= limit.count


@FILE_ONLY  # of the arithmetic, which is the same
@SLOW_DISK
@given(limit=limits, data=st.data())
def test_fault_38_no_burst_however_often_the_clock_is_set_back(limit: Limit, data: st.DataObject) -> None:
    """Real time runs on while the clock is set back again and again: no real window holds N+1."""
    steps = data.draw(st.lists(st.tuples(st.floats(0, 0.6), st.floats(0, 3)), min_size=1, max_size=40))
    moments, real_us, behind_us = [], NOW, 0
    with TemporaryDirectory() as folder:
        common = shared_below(Path(folder))
        with common.writing() as connection:
            for forward, back in steps:
                real_us += int(forward * limit.window_s * SECOND_US)
                behind_us += int(back * limit.window_s * SECOND_US) if back > 2 else 0
                times = granted(connection, limit, at=real_us - behind_us, times=limit.count + 1)
                moments += [real_us] * times
        common.close()
    assert most_in_a_window(moments, limit) <= limit.count


@SLOW_DISK
@given(data=st.data())
def test_a_batch_gets_what_its_letters_would_get_one_by_one(data: st.DataObject) -> None:
    """Read once and written once, the answers and the rows are the same; a refusal for all ends the list."""
    kinds = [
        Claim("relay", data.draw(limits), "relay", run_wide=True),
        Claim("office.example", data.draw(limits), "office.example"),
        *(Claim(f"recipient {n}", Quota(data.draw(st.integers(1, 3)), DAY_S), "recipient") for n in range(3)),
    ]
    batches = data.draw(
        st.lists(st.lists(st.sets(st.sampled_from(range(5))), min_size=1, max_size=8), min_size=1, max_size=6)
    )
    steps = data.draw(st.lists(st.floats(0, 0.4), min_size=len(batches), max_size=len(batches)))
    found: list[list[Refusal | None]] = []
    rows: list[object] = []
    for together in (True, False):
        clock_us, answers = NOW, list[Refusal | None]()
        with TemporaryDirectory() as folder:
            common = shared_below(Path(folder))
            with common.writing() as connection:
                for batch, step in zip(batches, steps, strict=True):
                    clock_us += int(step * DAY_S * SECOND_US)
                    wanted = [[kinds[kind] for kind in sorted(letter)] for letter in batch]
                    if together:
                        answers += ledger.take_in_turn(connection, wanted, now_us=clock_us)
                        continue
                    for claims in wanted:
                        answers.append(refusal := ledger.take(connection, claims, now_us=clock_us))
                        if refusal is not None and refusal.claim.run_wide:
                            break
                rows.append(
                    [sorted(connection.execute(sa.select(table))) for table in (tables.spent, tables.paces)]
                )
            common.close()
        found.append(answers)
    assert found[0] == found[1]
    assert rows[0] == rows[1]


def most_in_a_window(moments: list[int], limit: Limit) -> int:
    """Return the most letters any window of the limit's length holds, its end excluded."""
    length = limit.window_s * SECOND_US
    return max((sum(start <= other < start + length for other in moments) for start in moments), default=0)


def test_a_hold_keeps_a_relay_until_its_time(connection: sa.Connection) -> None:
    """Held: until when, and why; free again at that moment."""
    ledger.hold(connection, "relay one", until_us=NOW + 60, why="daily limit")
    assert ledger.held(connection, ["relay one", "relay two"], now_us=NOW) == {
        "relay one": (NOW + 60, "daily limit")
    }
    assert ledger.held(connection, ["relay one"], now_us=NOW + 60) == {}


def test_a_later_hold_replaces_an_earlier_one(connection: sa.Connection) -> None:
    """The relay's last word counts."""
    ledger.hold(connection, "relay", until_us=NOW + 60, why="quota")
    ledger.hold(connection, "relay", until_us=NOW + 90, why="rate")
    assert ledger.held(connection, ["relay"], now_us=NOW) == {"relay": (NOW + 90, "rate")}


def test_a_hold_can_be_lifted(connection: sa.Connection) -> None:
    """`send --now` tries all the same."""
    ledger.hold(connection, "relay", until_us=NOW + 60, why="quota")
    ledger.lift(connection, "relay")
    assert ledger.held(connection, ["relay"], now_us=NOW) == {}


def test_forgetting_drops_only_what_no_quota_can_count(connection: sa.Connection) -> None:
    """A month's quota still counts what was spent 30 days ago; 41 days ago is nothing."""
    month = Quota(2, 31 * DAY_S)
    assert granted(connection, month, at=NOW, times=2) == 2
    ledger.forget(connection, now_us=NOW + 30 * DAY_S * SECOND_US)
    assert granted(connection, month, at=NOW + 30 * DAY_S * SECOND_US) == 0
    ledger.forget(connection, now_us=NOW + 41 * DAY_S * SECOND_US)
    assert connection.scalar(sa.select(sa.func.count()).select_from(tables.spent)) == 0


@FILE_ONLY
def test_taking_from_a_used_quota_writes_one_row(connection: sa.Connection) -> None:
    """The cost of a letter does not grow with the letters before it."""
    quota = Quota(1_000, DAY_S)
    for minute in range(100):
        assert granted(connection, quota, at=NOW + minute * 60 * SECOND_US) == 1
    before = _changes(connection)
    assert granted(connection, quota, at=NOW + 100 * 60 * SECOND_US) == 1
    assert _changes(connection) - before == 1


def _changes(connection: sa.Connection) -> int:
    """Return how many rows this connection has written."""
    return int(connection.exec_driver_sql("SELECT total_changes()").scalar_one())
