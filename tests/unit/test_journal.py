"""The journal: permissions only after their commit, results never forgotten, one commit for many."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa

from pipeline.delivery.letter import State
from pipeline.delivery.limits import Limit, Pace, Quota
from pipeline.delivery.rules import Claim
from pipeline.store import postgres, shared, sqlite_file
from pipeline.store.database import Database
from pipeline.store.journal import RETRY_WAITS_S, Journal
from pipeline.store.stock import StoreStock
from tests.clocks import START, FakeClock
from tests.postgres import BOTH, is_at_server, outside
from tests.unit.store_support import (
    ACCEPTED,
    GREYLISTED,
    UNKNOWN_USER,
    Bench,
    at_attempt,
    each_commit,
    parcel,
    result,
    watch,
)

pytestmark = BOTH

NAMES = [f"name{number}" for number in range(1, 51)]
T = TypeVar("T")
PATIENCE_S = 20  # only for a test that hangs


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A store with fifty queued letters that waits for a lock no longer than a tenth of a second."""
    monkeypatch.setattr(sqlite_file, "BUSY_MS", 100)
    monkeypatch.setitem(postgres.SESSION, "lock_timeout", "100ms")
    bench = Bench(tmp_path, names=NAMES)
    yield bench
    bench.close()


@asynccontextmanager
async def journal_of(bench: Bench, clock: FakeClock | None = None) -> AsyncIterator[Journal]:
    """A journal whose writer is running."""
    journal = Journal(
        bench.world.campaign,
        bench.world.common,
        run=bench.run,
        clock=clock or FakeClock(sleeps_pass=True),
        keep_bytes=True,
    )
    writer = asyncio.create_task(journal.write_for_ever())
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield journal
    finally:
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
        journal.close()


@contextmanager
def broken(database: Database, what: str) -> Iterator[None]:
    """Make a kind of writing fail, as a damaged disk would."""
    with outside(database) as connection:
        if is_at_server(database):
            connection.execute(
                "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql "
                "AS $$ BEGIN RAISE EXCEPTION 'disk on fire'; END $$"
            )
            event, _, when = what.partition(" WHEN ")
            of_row = f"WHEN ({when})" if when else ""
            connection.execute(
                f"CREATE TRIGGER broken BEFORE {event} FOR EACH ROW {of_row} EXECUTE FUNCTION broken()"
            )
        else:
            connection.execute(
                f"CREATE TRIGGER broken BEFORE {what} BEGIN SELECT RAISE(ABORT, 'disk on fire'); END"
            )
    try:
        yield
    finally:
        with outside(database) as connection:
            if is_at_server(database):
                connection.execute("DROP FUNCTION broken() CASCADE")
            else:
                connection.execute("DROP TRIGGER broken")


@contextmanager
def locked(database: Database) -> Iterator[None]:
    """Hold the store as a backup program might."""
    with outside(database) as connection:
        if is_at_server(database):
            connection.execute("BEGIN")
            ours = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
            names = [str(name) for (name,) in connection.execute(ours).fetchall()]
            connection.execute(f"LOCK TABLE {', '.join(names)} IN EXCLUSIVE MODE")
        else:
            connection.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


async def until_waiting(clock: FakeClock) -> None:
    """Let the loop run until somebody waits for the clock."""
    while not clock.timers:  # noqa: ASYNC110 - the clock has no event for it
        await asyncio.sleep(0)


class Commits:
    """Counts the writing transactions of a store; the first can be held up."""

    def __init__(self, bench: Bench) -> None:
        self.count = 0
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        database = bench.world.campaign
        if is_at_server(database):
            sa.event.listen(database._engine, "commit", self._note)
        else:
            watch(database, each_commit(self._note))

    def _note(self, *_connection: sa.Connection) -> None:
        self.count += 1
        self.begun.set()
        assert self.go_on.wait(PATIENCE_S)


async def test_a_permission_is_given_once_it_is_committed(bench: Bench) -> None:
    """When the future is true, the attempt's row is in the store."""
    async with journal_of(bench) as journal:
        assert await journal.permit(parcel(bench.letter()))
    assert [attempt.n for attempt in bench.attempts()] == [1]


async def test_many_permissions_share_one_commit(bench: Bench) -> None:
    """Fifty connections that ask at once cost one commit."""
    letters = bench.due()
    commits = Commits(bench)
    async with journal_of(bench) as journal:
        answers = await asyncio.gather(*(journal.permit(parcel(letter)) for letter in letters))
    assert answers == [True] * 50
    assert commits.count == 1


async def test_of_two_that_ask_for_one_attempt_in_one_commit_one_gets_it(bench: Bench) -> None:
    """One row, one holder: the second asker is denied although the row is there."""
    wanted = parcel(bench.letter())
    async with journal_of(bench) as journal:
        answers = await asyncio.gather(journal.permit(wanted), journal.permit(wanted), journal.permit(wanted))
    assert list(answers) == [True, False, False]


async def test_what_comes_in_during_a_commit_shares_the_next(bench: Bench) -> None:
    """While one commit is on its way to the disk, all others gather for the one behind it."""
    letters = bench.due()
    commits = Commits(bench)
    commits.go_on.clear()
    async with journal_of(bench) as journal:
        first = journal.permit(parcel(letters[0]))
        await asyncio.to_thread(commits.begun.wait, PATIENCE_S)
        others = [journal.permit(parcel(letter)) for letter in letters[1:]]
        commits.go_on.set()
        assert await asyncio.gather(first, *others) == [True] * 50
    assert commits.count == 2


async def test_a_result_is_committed_before_a_permission_asked_for_later(bench: Bench) -> None:
    """The next attempt may be asked for as soon as the refusal was handed over."""
    letter = bench.letter()
    async with journal_of(bench) as journal:
        assert await journal.permit(parcel(letter))
        journal.record(result(1, GREYLISTED))
        assert await journal.permit(parcel(at_attempt(letter, 1)))


async def test_a_pause_denies_and_says_so(bench: Bench) -> None:
    """The journal tells the desk why, and forgets it when the pause is over."""
    bench.pause()
    async with journal_of(bench) as journal:
        assert not await journal.permit(parcel(bench.letter()))
        assert journal.paused
        bench.resume()
        assert await journal.permit(parcel(bench.letter()))
        assert not journal.paused


async def test_fault_18_a_commit_that_fails_is_permission_denied(bench: Bench) -> None:
    """No row, no final dot; the trouble is named for the run to end with."""
    with broken(bench.world.campaign, "INSERT ON attempts"):
        async with journal_of(bench) as journal:
            assert not await journal.permit(parcel(bench.letter()))
            assert journal.trouble is not None
            assert "disk on fire" in journal.trouble.message
    assert (bench.attempts(), bench.content(), bench.line().attempts) == ([], None, 0)


async def test_one_letter_that_cannot_be_written_denies_the_whole_commit(bench: Bench) -> None:
    """A commit is granted whole or not at all."""
    with broken(bench.world.campaign, "INSERT ON contents WHEN NEW.letter = 7"):
        async with journal_of(bench) as journal:
            answers = await asyncio.gather(*(journal.permit(parcel(letter)) for letter in bench.due()))
    assert not any(answers)
    assert all(line.attempts == 0 for line in bench.lines())


async def test_the_trouble_passes_with_the_first_commit_that_succeeds(bench: Bench) -> None:
    """A store that can be written again is no trouble any more."""
    async with journal_of(bench) as journal:
        with broken(bench.world.campaign, "INSERT ON attempts"):
            assert not await journal.permit(parcel(bench.letter()))
        assert await journal.permit(parcel(bench.letter()))
        assert journal.trouble is None


async def test_fault_19_a_result_waits_for_the_lock_to_go(bench: Bench) -> None:
    """Accepted, but the store is locked: the result is kept, tried again and written."""
    clock = FakeClock()
    async with journal_of(bench, clock) as journal:
        assert await journal.permit(parcel(bench.letter()))
        with locked(bench.world.campaign):
            journal.record(result(1, ACCEPTED))
            await until_waiting(clock)
            assert journal.trouble is not None
            assert ("close it" in journal.trouble.hint) or ("another host" in journal.trouble.hint)
        clock.advance(RETRY_WAITS_S[0])
        assert await journal.flush() == ()
    assert bench.state() is State.SENT


async def test_fault_19_a_permission_beyond_the_lock_is_denied(bench: Bench) -> None:
    """A lock held longer than we wait means: do not send."""
    async with journal_of(bench) as journal:
        with locked(bench.world.campaign):
            assert not await journal.permit(parcel(bench.letter()))
        assert bench.attempts() == []
        assert await journal.permit(parcel(bench.letter()))


async def test_a_result_is_tried_again_on_its_schedule_and_then_handed_out(bench: Bench) -> None:
    """After the last wait `flush` names what could not be written, and the attempt stays open."""
    clock = FakeClock(sleeps_pass=True)
    accepted = result(1, ACCEPTED)
    async with journal_of(bench, clock) as journal:
        assert await journal.permit(parcel(bench.letter()))
        with broken(bench.world.campaign, "UPDATE ON letters"):
            journal.record(accepted)
            assert await journal.flush() == (accepted,)
    assert clock.slept == list(RETRY_WAITS_S)
    assert bench.recover() == 1
    assert bench.state() is State.IN_DOUBT


async def test_a_result_that_was_given_up_is_written_with_the_next_commit(bench: Bench) -> None:
    """Given up is not forgotten while the process lives."""
    async with journal_of(bench) as journal:
        await journal.permit(parcel(bench.letter()))
        with broken(bench.world.campaign, "UPDATE ON letters"):
            journal.record(result(1, ACCEPTED))
            assert len(await journal.flush()) == 1
        assert await journal.permit(parcel(bench.letter(2)))
        assert await journal.flush() == ()
    assert bench.state() is State.SENT


async def test_results_keep_their_order_over_a_failed_commit(bench: Bench) -> None:
    """What came first is written first: the second attempt's result needs the first one's."""
    clock = FakeClock()
    letter = bench.letter()
    async with journal_of(bench, clock) as journal:
        assert await journal.permit(parcel(letter))
        with broken(bench.world.campaign, "UPDATE ON attempts"):
            journal.record(result(1, GREYLISTED))
            await until_waiting(clock)
            journal.record(result(1, UNKNOWN_USER))
        clock.advance(RETRY_WAITS_S[0])
        assert await journal.flush() == ()
    assert bench.state() is State.QUEUED


async def test_a_dead_address_is_suppressed_before_its_result_is_written(bench: Bench) -> None:
    """If only one of the two gets to the disk, it is the suppression."""
    refused = result(1, UNKNOWN_USER)._replace(suppress="name1@office.example")
    async with journal_of(bench) as journal:
        assert await journal.permit(parcel(bench.letter()))
        with broken(bench.world.campaign, "UPDATE ON letters"):
            journal.record(refused)
            assert await journal.flush() == (refused,)
    assert suppressed(bench, "name1@office.example") == ["bounced: refused: 550 5.1.1 user unknown"]
    assert bench.state() is State.QUEUED


async def test_a_result_waits_while_its_suppression_cannot_be_written(bench: Bench) -> None:
    """The letter does not become failed before its address is on the list."""
    refused = result(1, UNKNOWN_USER)._replace(suppress="name1@office.example")
    clock = FakeClock()
    async with journal_of(bench, clock) as journal:
        assert await journal.permit(parcel(bench.letter()))
        with locked(bench.world.common):
            journal.record(refused)
            await until_waiting(clock)
            assert bench.state() is State.QUEUED
        clock.advance(RETRY_WAITS_S[0])
        assert await journal.flush() == ()
    assert bench.state() is State.FAILED
    assert len(suppressed(bench, "name1@office.example")) == 1


async def test_a_fault_of_our_own_denies_and_does_not_stop_the_writer(bench: Bench) -> None:
    """Whatever goes wrong in a commit, nobody waits for ever and nothing is permitted."""
    naive = parcel(bench.letter())._replace(built_at=START.replace(tzinfo=None))
    async with journal_of(bench) as journal:
        assert not await journal.permit(naive)
        assert journal.trouble is not None
        assert "ValueError" in journal.trouble.message
        assert await journal.permit(parcel(bench.letter()))


async def test_a_writer_that_is_stopped_denies_what_is_on_its_way(bench: Bench) -> None:
    """A permission whose commit was cut off is not given."""
    commits = Commits(bench)
    commits.go_on.clear()
    async with journal_of(bench) as journal:
        answer = journal.permit(parcel(bench.letter()))
        await asyncio.to_thread(commits.begun.wait, PATIENCE_S)
        commits.go_on.set()
    assert not await answer


async def test_flush_waits_for_what_is_on_its_way(bench: Bench) -> None:
    """When it returns with nothing left, all is in the store."""
    async with journal_of(bench) as journal:
        await asyncio.gather(*(journal.permit(parcel(letter)) for letter in bench.due()))
        for number in range(1, 51):
            journal.record(result(number, ACCEPTED))
        assert await journal.flush() == ()
        assert set(bench.states().values()) == {State.SENT}


async def test_flush_of_an_idle_journal_returns_at_once(bench: Bench) -> None:
    """Nothing asked, nothing owed."""
    async with journal_of(bench) as journal:
        assert await journal.flush() == ()


def suppressed(bench: Bench, key: str) -> list[str]:
    """Return why a key is suppressed, if it is."""
    with bench.world.common.reading() as connection:
        found = shared.suppressed(connection, [key], shared.shared_secret(connection))
    return [f"{entry.reason}: {entry.source}" for entry in found.values()]


async def test_limits_are_asked_while_permissions_go_on_being_committed(bench: Bench) -> None:
    """What is asked beside the journal holds no letter up, and is done in its order."""
    permitted, done = threading.Event(), list[str]()

    def wait_for_a_permission() -> bool:
        done.append("first")
        return permitted.wait(PATIENCE_S)

    async with journal_of(bench) as journal:
        asked = asyncio.create_task(journal.beside(wait_for_a_permission))
        then = asyncio.create_task(journal.beside(lambda: done.append("second")))
        await asyncio.sleep(0)
        assert await journal.permit(parcel(bench.letter()))
        assert done == ["first"]
        permitted.set()
        assert await asked
        await then
        assert done == ["first", "second"]


class Noting:
    """Does every job at once, and notes where it was to be done."""

    def __init__(self) -> None:
        self.where: list[str] = []

    async def call(self, job: Callable[[], T]) -> T:
        """Between commits."""
        self.where.append("between")
        return job()

    async def beside(self, job: Callable[[], T]) -> T:
        """While commits go on."""
        self.where.append("beside")
        return job()

    async def flush(self) -> None:
        """Nothing is on its way."""


@pytest.mark.parametrize(
    ("limit", "where"), [(Quota(5, 3600), "beside"), (Pace(5, 1), "between")], ids=["quota", "pace"]
)
async def test_slots_of_a_pace_are_taken_between_commits(bench: Bench, limit: Limit, where: str) -> None:
    """Letters that had theirs while a commit takes long would leave together."""
    noting = Noting()
    stock = StoreStock(bench.world.campaign, bench.world.common, noting, clock=bench.clock)
    assert await stock.take([[Claim("relay", limit, "limit relay")]]) == [None]
    assert noting.where == [where]
