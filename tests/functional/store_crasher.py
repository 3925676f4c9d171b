"""A sender that dies: the program that `test_store_crash.py` starts and kills. Not a test itself.

    python -m tests.functional.store_crasher FOLDER

It reads one line a life from stdin and forks: the child sends what is queued, four letters at a time, through
the journal to a relay that is a file, and dies without a word

    statement N    before its Nth SQL statement
    step N         N times fifty steps into what SQLite does for the statements that are a whole commit
    commit N       before its Nth commit reaches SQLite
    committed N    behind its Nth commit, before anybody is told
    relay N        when the relay has its Nth letter in hand, before the answer
    moment N       N tenths of a millisecond after it began, wherever it is, in the middle of a write
    none 0         not at all

The relay's book is the file `relay` in FOLDER: a line a letter, written in one piece before the answer is
given, so it outlives the sender as a real relay does. The child's exit code is a line on stdout.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from pipeline.delivery.letter import Letter
from pipeline.mail.response import Response
from pipeline.store.database import Database
from pipeline.store.journal import Journal
from tests.clocks import FakeClock
from tests.unit.store_support import (
    ACCEPTED,
    GREYLISTED,
    UNKNOWN_USER,
    Bench,
    each_commit,
    parcel,
    result,
    watch,
)

AT_ONCE = 4
STEPS_AT_ONCE = 50  # of SQLite's machine
LETTERS = 40
NAMES = [f"name{number:02}" for number in range(1, LETTERS + 1)]


def counted(kind: str, limit: int) -> Callable[[str], None]:
    """Return what is called at every point where a life may end; it ends at the ``limit``th of its kind."""
    seen = 0

    def at(point: str) -> None:
        nonlocal seen
        if point == kind:
            seen += 1
            if seen == limit:
                os.kill(os.getpid(), signal.SIGKILL)

    return at


def watched(database: Database, at: Callable[[str], None]) -> None:
    """Call ``at`` round everything that a database does."""

    before_a_commit = each_commit(lambda: at("commit"))

    def before(statement: str) -> None:
        at("statement")
        before_a_commit(statement)

    def before_commit(_connection: sa.Connection) -> None:
        at("commit")

    def behind_commit(*_arguments: object) -> None:
        at("committed")

    watch(database, before)
    sa.event.listen(database._engine, "commit", before_commit)
    sa.event.listen(database._engine, "checkin", behind_commit)
    straight = database._straight
    assert straight is not None
    unwatched = straight.transaction

    @contextmanager
    def transaction(begin: str) -> Iterator[sqlite3.Connection]:
        with unwatched(begin) as connection:
            yield connection
        behind_commit()

    straight.transaction = transaction  # type: ignore[method-assign]
    unwatched_stroke = straight.alone

    @contextmanager
    def alone() -> Iterator[sqlite3.Connection]:
        with unwatched_stroke() as connection:
            connection.set_progress_handler(lambda: at("step"), STEPS_AT_ONCE)
            yield connection
        behind_commit()

    straight.alone = alone  # type: ignore[method-assign]


def answer_to(letter: Letter) -> Response:
    """Return what the relay says: most are taken, some put off once, some refused."""
    if letter.id % 7 == 0 and letter.attempts == 0:
        return GREYLISTED
    return UNKNOWN_USER if letter.id % 11 == 0 else ACCEPTED


async def send(bench: Bench, relay: int, at: Callable[[str], None]) -> None:
    """Send what is due, as a run does: permission, final dot, answer, result."""
    journal = Journal(
        bench.world.campaign,
        bench.world.common,
        run=bench.run,
        clock=FakeClock(sleeps_pass=True),
        keep_bytes=True,
    )
    writer = asyncio.create_task(journal.write_for_ever())
    waiting = iter(bench.due())

    async def session() -> None:
        for letter in waiting:
            if await journal.permit(parcel(letter)):
                answer = answer_to(letter)
                if answer is ACCEPTED:
                    os.write(relay, b"%d\n" % letter.id)
                at("relay")
                journal.record(result(letter.id, answer, attempt=letter.attempts + 1))

    await asyncio.gather(*(session() for _ in range(AT_ONCE)))
    assert await journal.flush() == ()
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)
    journal.close()


def live(folder: Path, kind: str, limit: int) -> None:
    """One life: open the store, recover, make deferred letters due, send."""
    if kind == "moment":
        signal.setitimer(signal.ITIMER_REAL, limit / 10_000)  # nobody handles SIGALRM: it ends the process
    bench = Bench(folder)
    at = counted(kind, limit)
    watched(bench.world.campaign, at)
    bench.recover()
    bench.clock.advance(3_600)
    relay = os.open(folder / "relay", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    asyncio.run(send(bench, relay, at))
    bench.close()


def main() -> None:
    """Live once for every line on stdin."""
    folder = Path(sys.argv[1])
    for line in sys.stdin:
        kind, limit = line.split()
        child = os.fork()
        if child == 0:
            try:
                live(folder, kind, int(limit))
            except BaseException:
                sys.excepthook(*sys.exc_info())
                sys.stderr.flush()
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
