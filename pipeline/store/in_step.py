"""Work on a database in a thread, in step with the one that makes the work ready.

SQLite lets the interpreter go while it puts rows in; meanwhile the next rows can be made. It pays where there
are thousands of them.

Ctrl-C is heard between two jobs, and at the end: a connection that is closed under a statement of another
thread ends the whole program, and rows put in behind a rollback would stay.

Limits: one job at a time, and one that waits; the database's connection is the jobs' until the end.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

HANDOVER_S = 0.0002  # the interpreter is asked for so soon by a thread that wants it back, and not after 5 ms


@contextmanager
def in_step() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Hand out what takes a job and runs it while the caller goes on; it waits for the job before that.

    At the end all are done. A job's exception is raised where the next is handed over, or at the end.
    """
    under_way: Future[object] | None = None

    def hand_over(job: Callable[[], object]) -> None:
        nonlocal under_way
        if under_way is not None:
            under_way.result()
        hear()
        under_way = thread.submit(job)

    with _interrupts_held() as hear, _handed_over_soon():
        with ThreadPoolExecutor(1, thread_name_prefix="store") as thread:
            yield hand_over
        if under_way is not None:
            under_way.result()


@contextmanager
def _interrupts_held() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back; what is handed out raises it, where it was said."""
    told: list[int] = []

    def hear() -> None:
        if told:
            raise KeyboardInterrupt

    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or usual is None:
        yield hear  # it is somebody else's
        return
    signal.signal(signal.SIGINT, lambda number, _frame: told.append(number))
    try:
        yield hear
    finally:
        signal.signal(signal.SIGINT, usual)
    hear()


@contextmanager
def _handed_over_soon() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(HANDOVER_S)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
