"""Several hosts at one store: in any order they may ask, answer late, die, and be taken for dead while they
are not. And at the same moment.

The model is the relay's own book. Whatever hosts and people do, it takes a letter once, and once more for
each time that a person said so.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from unittest import TestCase

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.delivery.letter import Parcel, Result, State
from pipeline.delivery.limits import DAY_S, Pace, Quota
from pipeline.delivery.rules import Claim
from pipeline.mail.response import Response
from pipeline.store import fence, history, ledger, operator, queue
from pipeline.store.world import begin_run
from tests.clocks import START
from tests.postgres import POSTGRESQL, SQLITE, stores_are
from tests.unit.store_support import (
    ACCEPTED,
    GREYLISTED,
    UNKNOWN_USER,
    Bench,
    parcel,
    result,
    rows,
)

NAMES = ("ada", "bob", "eve")
HOSTS = 3
IN_RAM = Path("/dev/shm")
NEXT_YEAR = START + timedelta(days=365)
hosts = st.integers(0, HOSTS - 1)
numbers = st.integers(1, len(NAMES))
answers = st.sampled_from([ACCEPTED, ACCEPTED, GREYLISTED, UNKNOWN_USER, None])


class Host:
    """A sending host, as the relay and the store see it."""

    def __init__(self, run: int) -> None:
        self.run = run
        self.in_hand: dict[int, Parcel] = {}  # read, perhaps long ago
        self.at_relay: set[tuple[int, int]] = set()  # attempts whose final dot was handed over, unanswered
        self.unsaid: list[tuple[int, int, Response | None]] = []  # answers the store has not heard of yet


class Hosts(RuleBasedStateMachine):
    """Three letters, three hosts. `KIND` is the kind of store."""

    KIND = SQLITE

    @initialize()
    def begin(self) -> None:
        """Plan and release everybody."""
        self.stores = stores_are(self.KIND)
        self.stores.__enter__()
        self.folder = Path(tempfile.mkdtemp(dir=IN_RAM if IN_RAM.is_dir() else None))
        self.bench = Bench(self.folder, names=NAMES)
        self.hosts = [Host(self.new_run()) for _ in range(HOSTS)]
        self.taken: Counter[int] = Counter()  # how often the relay took a letter
        self.allowed: Counter[int] = Counter()  # how often a person allowed one more

    def teardown(self) -> None:
        """Let every host die; then each letter that the relay has is sent or in doubt."""
        if not hasattr(self, "bench"):
            return
        try:
            for host in self.hosts:
                self.take_for_dead(self.hosts.index(host))
            for line in self.bench.lines():
                if self.taken[line.id] and not self.allowed[line.id]:
                    assert line.state in (State.SENT, State.IN_DOUBT), line
                attempts = self.bench.attempts(line.id)
                assert all(attempt.ended_at for attempt in attempts)
        finally:
            self.bench.close()
            shutil.rmtree(self.folder)
            self.stores.__exit__(None, None, None)

    def new_run(self) -> int:
        """Return the number of a further host's run."""
        world, clock = self.bench.world, self.bench.clock
        return begin_run(world, command="send", relay="smtps://relay", limits="", clock=clock)

    # -- hosts

    @rule(which=hosts)
    def read(self, which: int) -> None:
        """Read what is due."""
        found = self.bench.due(at=NEXT_YEAR)
        self.hosts[which].in_hand = {letter.id: parcel(letter) for letter in found}

    @rule(which=hosts, number=numbers, ahead=st.sampled_from([0, 0, 0, 1]))
    def ask(self, which: int, number: int, ahead: int) -> None:
        """Ask for a permission with what was read, however long ago; hand the letter over with it."""
        host = self.hosts[which]
        wanted = host.in_hand.get(number)
        if wanted is not None:
            asked = wanted._replace(attempt=wanted.attempt + ahead)
            host.at_relay |= self.write(host, permits=[asked, asked]).granted

    @rule(first=hosts, second=hosts, number=numbers)
    def race(self, first: int, second: int, number: int) -> None:
        """Two hosts read the same and ask one behind the other."""
        for which in (first, second):
            self.read(which)
        for which in (first, second):
            self.ask(which, number, 0)

    @precondition(lambda self: any(host.at_relay for host in self.hosts))
    @rule(which=hosts, answer=answers, late=st.booleans())
    def answer(self, which: int, answer: Response | None, *, late: bool) -> None:
        """The relay decides about what it was handed, or the line is cut; the store hears now or later."""
        host = self.hosts[which]
        for number, attempt in sorted(host.at_relay):
            if answer is ACCEPTED:
                self.taken[number] += 1
            host.unsaid.append((number, attempt, answer))
        host.at_relay.clear()
        if not late:
            self.tell(which)

    @rule(which=hosts)
    def tell(self, which: int) -> None:
        """Write down what the relay said, also when others took this host for dead; twice changes nothing."""
        host = self.hosts[which]
        said = [result(number, answer, attempt=attempt) for number, attempt, answer in host.unsaid]
        for _ in range(2):
            self.write(host, results=said)
        host.unsaid.clear()

    @rule(which=hosts)
    def take_for_dead(self, which: int) -> None:
        """Others put what it had permission for in doubt; it may live on and not know."""
        with self.bench.world.campaign.writing() as connection:
            queue.recover(connection, now_us=self.bench.now_us, run=self.hosts[which].run)

    @rule(which=hosts, took=st.booleans())
    def die(self, which: int, *, took: bool) -> None:
        """Killed; the relay took what it had, or not. Another takes its place under a new run."""
        host = self.hosts[which]
        if took:
            self.taken.update(number for number, _ in host.at_relay)
        self.take_for_dead(which)
        self.hosts[which] = Host(self.new_run())

    def write(
        self, host: Host, *, permits: Sequence[Parcel] = (), results: Sequence[Result] = ()
    ) -> fence.Written:
        """Commit as that host's journal does."""
        writing = fence.Writing(host.run, permits, results, self.bench.now_us, keep_bytes=True)
        with self.bench.world.campaign.writing() as connection:
            return fence.write(connection, writing)

    # -- people

    @rule(number=numbers)
    def cancel(self, number: int) -> None:
        """Withdraw a letter."""
        self.bench.cancel(number)

    @rule(number=numbers)
    def resend(self, number: int) -> None:
        """Queue a failed or withdrawn letter again."""
        self.allowed[number] += self.bench.resend(number)

    @rule(number=numbers)
    def settle(self, number: int) -> None:
        """Say that a letter in doubt may be sent again."""
        with self.bench.world.campaign.writing() as connection:
            settled = operator.settle_as_unsent(connection, [number], why="", now_us=self.bench.now_us)
        self.allowed[number] += settled

    @rule(which=hosts, number=numbers)
    def pause(self, which: int, number: int) -> None:
        """While a person stopped all sending, no host gets a permission."""
        self.bench.pause()
        wanted = self.hosts[which].in_hand.get(number)
        assert wanted is None or not self.write(self.hosts[which], permits=[wanted]).granted
        self.bench.resume()

    @rule()
    def plan_again(self) -> None:
        """A further host brings the letters in line with the same list."""
        self.bench.plan(rows(*reversed(NAMES)))

    # -- what always holds

    @invariant()
    def no_letter_is_taken_twice(self) -> None:
        """Once, and once more for each time that a person said so."""
        for number, times in self.taken.items():
            assert times <= 1 + self.allowed[number]

    @invariant()
    def no_two_hosts_have_one_letter(self) -> None:
        """What is at the relay for one host is for no other, unless others were told that it is dead."""
        at_relay = Counter(attempt for host in self.hosts for attempt in host.at_relay)
        assert all(times == 1 for times in at_relay.values())

    @invariant()
    def every_letter_is_somewhere_once(self) -> None:
        """The eight states add up, and attempts are 1, 2, 3, ..., all ended but the last."""
        with self.bench.world.campaign.reading() as connection:
            counts = history.counts(connection, now_us=self.bench.now_us)
        assert counts.total == len(NAMES)
        assert all(number >= 0 for number in counts.by_state.values())
        for line in self.bench.lines():
            attempts = self.bench.attempts(line.id)
            assert [attempt.n for attempt in attempts] == list(range(1, line.attempts + 1))
            assert all(attempt.ended_at for attempt in attempts[:-1])


class HostsAtServer(Hosts):
    """The same, with a PostgreSQL."""

    KIND = POSTGRESQL


Hosts.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
HostsAtServer.TestCase.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestHosts: type[TestCase] = Hosts.TestCase
TestHostsAtServer: type[TestCase] = HostsAtServer.TestCase


# -- at the same moment


@pytest.fixture
def several(tmp_path: Path) -> Iterator[list[Bench]]:
    """Three hosts with one store of a hundred letters at a server, each with connections of its own."""
    with stores_are(POSTGRESQL):
        benches = [Bench(tmp_path, names=[f"name{number}" for number in range(100)])]
        benches += [Bench(tmp_path) for _ in range(HOSTS - 1)]
        yield benches
        for bench in benches:
            bench.close()


def together(*jobs: Callable[[], None]) -> None:
    """Do jobs at the same moment; fail with the first that fails."""
    gate = threading.Barrier(len(jobs))
    failed: list[BaseException] = []

    def do(job: Callable[[], None]) -> None:
        gate.wait()
        try:
            job()
        except BaseException as fault:
            failed.append(fault)

    threads = [threading.Thread(target=do, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def test_hosts_that_ask_for_the_same_letters_at_once_get_each_once(several: list[Bench]) -> None:
    """Ten at a time, in the same order; whoever gets one records that it went."""
    granted: list[Counter[int]] = [Counter() for _ in several]

    def send(bench: Bench, got: Counter[int]) -> None:
        letters = bench.due()
        for start in range(0, len(letters), 10):
            wanted = [parcel(letter) for letter in letters[start : start + 10]]
            written = bench.write(wanted)
            got.update(number for number, _ in written.granted)
            bench.record(*(result(number, ACCEPTED, attempt=n) for number, n in sorted(written.granted)))

    pairs = zip(several, granted, strict=True)
    together(*(lambda bench=bench, got=got: send(bench, got) for bench, got in pairs))
    assert sum(granted, Counter()) == Counter(range(1, 101))
    with several[0].world.campaign.reading() as connection:
        counts = history.counts(connection, now_us=several[0].now_us)
    assert counts.by_state[State.SENT] == 100


def test_a_permission_and_a_withdrawal_at_once_come_one_after_the_other(several: list[Bench]) -> None:
    """A letter that is withdrawn has no permission, or had it before."""
    one, other, _ = several
    wanted = [parcel(letter) for letter in one.due()]
    got: list[frozenset[tuple[int, int]]] = []

    def ask() -> None:
        for each in wanted:
            got.append(one.write([each]).granted)

    def withdraw() -> None:
        for each in reversed(wanted):
            other.cancel(each.letter.id)

    together(ask, withdraw)
    granted = {number for some in got for number, _ in some}
    assert granted
    for line in one.lines():
        assert line.state is State.CANCELLED
        assert line.attempts == (1 if line.id in granted else 0)


def test_hosts_that_plan_at_once_make_each_letter_once(several: list[Bench]) -> None:
    """The list of each holds the same rows and one of its own."""
    names = [f"name{number}" for number in range(100)]
    together(*(lambda bench=bench: bench.plan(rows(*names, "new")) for bench in several))
    assert len(several[0].lines()) == 101
    with several[0].world.campaign.reading() as connection:
        assert history.counts(connection, now_us=several[0].now_us).total == 101


@pytest.mark.parametrize("limit", [Quota(50, DAY_S), Pace(50, 3_600)], ids=["quota", "pace"])
def test_places_in_a_limit_are_given_once_however_many_hosts_ask(
    several: list[Bench], limit: Quota | Pace
) -> None:
    """A hundred and fifty are wanted, a few at a time, of a limit that is written by one at a time."""
    claim = Claim("day relay.example", limit, "day", run_wide=True)
    answers: list[object] = []

    def take(bench: Bench) -> None:
        for _ in range(10):
            with bench.world.common.at_once() as connection:
                answers.extend(ledger.take_in_turn(connection, [(claim,)] * 5, now_us=None))

    together(*(lambda bench=bench: take(bench) for bench in several))
    assert answers.count(None) == (50 if isinstance(limit, Quota) else 1)
    with several[0].world.common.reading() as connection:
        held = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        assert connection.scalar(held) == 0
