"""The leading process of several: what it makes of their reports, and how it starts and ends them."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli.child import Line, in_whole_lines
from pipeline.cli.processes import Processes, Share, death_words, shares
from pipeline.cli.reports import Order, Outcome, Reader, Report, packed
from pipeline.delivery.letter import Parcel, Phase, Result, State
from pipeline.delivery.session import Manner
from pipeline.delivery.supply import Progress, Stop
from pipeline.errors import ExitCode
from pipeline.store.lock import in_turn

REFUSED = Stop("the relay refused us: 550 no", ExitCode.RELAY_REFUSED)
UNREACHED = Stop("the relay cannot be reached", ExitCode.WAITING)
LONG = "x" * 20_000  # more than a pipe takes at once from one of several writers


def test_connections_are_shared_out_whole() -> None:
    """Every process has one at least, none is lost, none is invented."""
    assert shares(3, 8) == [Share(0, 3, 3), Share(1, 3, 3), Share(2, 3, 2)]
    assert [share.sessions for share in shares(4, 4)] == [1, 1, 1, 1]


def test_reports_are_read_however_they_come_in_pieces() -> None:
    """Whole ones are yielded; of one that was cut off by a death nothing is left."""
    reading, writing = os.pipe()
    said = packed(Report(Progress(sent=1))) + packed(Report(Progress(sent=2)))
    reader, found = Reader(reading), []
    for octet in said[:-1]:
        os.write(writing, bytes([octet]))
        found += [report.progress.sent for report in reader.reports()]
    os.close(writing)
    found += [report.progress.sent for report in reader.reports()]
    assert found == [1]
    assert reader.ended
    os.close(reading)


def test_a_child_waits_for_nobody_who_does_not_read() -> None:
    """The pipe is full: reports are left out, and those that are read later are whole."""
    orders, _ = ends = os.pipe()
    reading, writing = os.pipe()
    line = Line(orders, writing)
    for number in range(2_000):
        line.report(Report(Progress(sent=number), Stop(LONG, ExitCode.WAITING)))
    ending = threading.Thread(target=line.report_end, args=(Report(outcome=Outcome()),))
    ending.start()
    reader, last = Reader(reading), None
    while last is None or last.outcome is None:
        for last in reader.reports():
            assert last.outcome is not None or last.stop is not None
    ending.join()
    for end in (*ends, reading, writing):
        os.close(end)


def run_to_the_end(*work: Callable[[Line], None]) -> tuple[Stop | None, Processes, Progress]:
    """Fork a process for each piece of work; return what the leading one makes of them."""
    progress = Progress(total=9)
    parts = shares(len(work), len(work))
    with Processes(progress) as processes:
        processes.start(parts, lambda share, line: work[share.which](line))
        stop = asyncio.run(processes.go())
    return stop, processes, progress


def ends_with(report: Report) -> Callable[[Line], None]:
    """Return work that says one last word."""
    return lambda line: line.report_end(report)


def ends_when_told(line: Line) -> None:
    """Wind up when that is the order, and say so."""
    os.set_blocking(line.orders, True)
    order = os.read(line.orders, 1)
    stop = Stop("interrupted", ExitCode.INTERRUPTED) if order == Order.WIND_UP.value else None
    line.report_end(Report(Progress(sent=1), stop=stop, outcome=Outcome(stop)))


def test_what_stops_one_stops_the_others_and_is_the_reason() -> None:
    """The one that was told to end did not end for a reason of its own."""
    stop, processes, _ = run_to_the_end(
        ends_when_told, ends_with(Report(stop=REFUSED, opened=True, outcome=Outcome(REFUSED)))
    )
    assert stop == REFUSED
    assert processes.dead == []


def test_a_relay_that_is_to_be_left_alone_stops_the_others() -> None:
    """Its own quota is used up: whoever asks next is refused too."""
    held = Report(stop=UNREACHED, opened=True, relay_held=True, outcome=Outcome(UNREACHED))
    stop, _, _ = run_to_the_end(ends_when_told, ends_with(held))
    assert stop == UNREACHED


def test_of_several_stops_the_first_that_applies_counts() -> None:
    """As the exit codes have it."""
    broken = Stop("the store cannot be written", ExitCode.STORE_UNWRITABLE)
    ends = [
        ends_with(Report(stop=stop, opened=True, outcome=Outcome(stop)))
        for stop in (UNREACHED, REFUSED, broken)
    ]
    stop, _, _ = run_to_the_end(*ends)
    assert stop == broken


def test_counts_are_added_up_and_the_total_stays() -> None:
    """Letters left for later too, by their reasons."""
    one = Progress(sent=2, failed=1, left_for_later=Counter({"hours": 2}))
    other = Progress(sent=3, deferred=1, left_for_later=Counter({"hours": 1, "a quota": 4}))
    _, _, progress = run_to_the_end(*(ends_with(Report(each, outcome=Outcome())) for each in (one, other)))
    assert (progress.total, progress.sent, progress.failed, progress.deferred) == (9, 5, 1, 1)
    assert progress.left_for_later == {"hours": 3, "a quota": 4}


def test_one_that_ends_without_a_last_word_is_dead() -> None:
    """Its signal, or its exit code, is told; the others' words stand."""

    def is_killed(line: Line) -> None:
        os.kill(os.getpid(), 9)

    _, processes, _ = run_to_the_end(is_killed, ends_with(Report(outcome=Outcome(notes=("a note",)))))
    assert processes.dead == [-9]
    assert processes.outcome(None).notes == ("a note",)
    assert "killed (signal 9)" in death_words(-9)
    assert "exit code 1" in death_words(1)


def test_what_they_remember_becomes_one_memory() -> None:
    """Notes once, the mildest manner, and when one was refused by everybody, nobody's word is believed."""
    result = Result(7, 1, Phase.DOT, "accepted", State.SENT)
    _, processes, _ = run_to_the_end(
        ends_with(
            Report(
                outcome=Outcome(
                    notes=("a", "b"), manner=Manner.CHAINED, mistrusted=("k1", "k2"), suppressed=("k2",)
                )
            )
        ),
        ends_with(
            Report(
                outcome=Outcome(notes=("b",), manner=Manner.GROUPED, suppressed=("k3",), unrecorded=(result,))
            )
        ),
    )
    said = processes.outcome(None)
    assert said.notes == ("a", "b")
    assert said.manner is Manner.GROUPED
    assert said.mistrusted == ("k1", "k2", "k3")
    assert said.unrecorded == (result,)


def test_leaving_early_ends_and_waits_for_all_of_them() -> None:
    """Something went wrong before anybody listened: nobody is left behind."""
    processes = Processes(Progress())

    def begin() -> None:
        with processes:
            processes.start(shares(2, 2), lambda share, line: ends_when_told(line))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        begin()
    assert processes.dead == [0, 0]


# -- turns


def test_long_lines_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    """Each is written in its turn, however long it is."""
    words = tmp_path / "words"
    words.touch()
    reading, writing = os.pipe()

    def tell(parcel: Parcel, result: Result) -> None:
        line = json.dumps({"letter": result.letter, "text": LONG}).encode() + b"\n"
        for start in range(0, len(line), 3_000):
            os.write(writing, line[start : start + 3_000])

    def says_a_lot(line: Line) -> None:
        whole = in_whole_lines(tell, words)
        for number in range(20):
            whole(None, Result(number, 1, Phase.DOT, "accepted", State.SENT))  # type: ignore[arg-type]
        line.report_end(Report(outcome=Outcome()))

    said: list[bytes] = []

    def listen() -> None:
        with os.fdopen(reading, "rb") as pipe:
            said.extend(pipe)

    with Processes(Progress()) as processes:
        processes.start(shares(2, 2), lambda share, line: says_a_lot(line))
        os.close(writing)
        listening = threading.Thread(target=listen)
        listening.start()
        asyncio.run(processes.go())
    listening.join()
    assert Counter(json.loads(line)["letter"] for line in said) == dict.fromkeys(range(20), 2)


def test_a_turn_is_waited_for(tmp_path: Path) -> None:
    """Who comes second goes second."""
    place, order = tmp_path / "turns", []
    place.touch()

    def second() -> None:
        order.append("asks")
        with in_turn(place):
            order.append("second")

    with in_turn(place):
        thread = threading.Thread(target=second)
        thread.start()
        while not order:
            pass
        order.append("first")
    thread.join()
    assert order == ["asks", "first", "second"]


def test_nobody_waits_where_there_is_no_place_for_it(tmp_path: Path) -> None:
    """A courtesy, and nothing rests on it."""
    with in_turn(tmp_path / "nowhere"), in_turn(tmp_path / "nowhere"):
        pass
