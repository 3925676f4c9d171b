"""Work in a thread while the next is made ready."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable

import pytest

from pipeline.store.in_step import in_step

PATIENCE_S = 20  # only for a test that hangs


def test_jobs_are_done_in_order_and_all_of_them() -> None:
    """The last one too, before the context ends."""
    done: list[int] = []
    with in_step() as hand_over:
        for number in range(50):
            hand_over(lambda number=number: done.append(number))  # type: ignore[misc]
    assert done == list(range(50))


def test_the_caller_goes_on_while_a_job_is_done() -> None:
    """A job may even wait for what the caller does next."""
    ready = threading.Event()
    with in_step() as hand_over:
        hand_over(lambda: ready.wait(PATIENCE_S) or pytest.fail("the caller had to wait"))
        ready.set()


def test_the_next_job_begins_when_the_one_before_has_ended() -> None:
    """Two never use the connection together."""
    at_work: list[bool] = []
    most: list[int] = []

    def job() -> None:
        at_work.append(True)
        most.append(len(at_work))
        at_work.pop()

    with in_step() as hand_over:
        for _ in range(50):
            hand_over(job)
    assert set(most) == {1}


def run(*jobs: Callable[[], object], then: Callable[[], object] = lambda: None) -> None:
    """Hand jobs over, and do something more."""
    with in_step() as hand_over:
        for job in jobs:
            hand_over(job)
        then()


@pytest.mark.parametrize("behind", [[], [lambda: None]])
def test_trouble_of_a_job_is_the_callers(behind: list[Callable[[], object]]) -> None:
    """At the next hand-over, or at the end."""
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 // 0, *behind)


def test_trouble_of_the_caller_waits_for_the_job_under_way() -> None:
    """Then the transaction may be rolled back; and the interpreter is handed over as it was before."""
    usual = sys.getswitchinterval()
    begun, ended = threading.Event(), threading.Event()

    def job() -> None:
        begun.wait(PATIENCE_S)
        ended.set()

    def break_off() -> None:
        begun.set()
        raise KeyError

    with pytest.raises(KeyError):
        run(job, then=break_off)
    assert ended.is_set()
    assert sys.getswitchinterval() == usual


def test_ctrl_c_is_heard_when_the_job_under_way_has_ended() -> None:
    """However often it is pressed; no other job is begun."""
    ready = threading.Event()
    done: list[str] = []

    def first() -> None:
        ready.wait(PATIENCE_S)
        done.append("first")

    def press() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        ready.set()

    def work() -> None:
        with in_step() as hand_over:
            hand_over(first)
            press()
            hand_over(lambda: done.append("second"))

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["first"]


def test_ctrl_c_behind_the_last_job_is_heard_at_the_end() -> None:
    """And by whoever hears it as a rule, from then on."""
    usual = signal.getsignal(signal.SIGINT)
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        run(lambda: done.append(1), then=lambda: signal.raise_signal(signal.SIGINT))
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is usual


def test_a_thread_leaves_ctrl_c_alone() -> None:
    """Only the main thread may say what a signal does."""
    done: list[int] = []
    thread = threading.Thread(target=run, args=(lambda: done.append(1),))
    thread.start()
    thread.join(PATIENCE_S)
    assert done == [1]
