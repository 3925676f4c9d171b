"""Work on a database in a thread, in step with the one that makes the work ready.

SQLite lets the interpreter go while it puts rows in; meanwhile the next rows can be made. It pays where there
are thousands of them.

Limits: one job at a time, and one that waits; the database's connection is the jobs' until the end.
"""

from __future__ import annotations

import sys
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
        under_way = thread.submit(job)

    usual = sys.getswitchinterval()
    sys.setswitchinterval(HANDOVER_S)
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="store") as thread:
            yield hand_over
            if under_way is not None:
                under_way.result()
    finally:
        sys.setswitchinterval(usual)
