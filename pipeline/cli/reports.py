"""What the processes of one send say to each other: reports to the one that was started, orders from it.

A report is pickled, behind its length in four octets, and is written and read by processes of one program
that were forked from each other; nobody else can open their pipes. An order is one octet.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from pipeline.delivery.letter import Result
from pipeline.delivery.session import Manner
from pipeline.delivery.supply import Progress, Stop

_LENGTH = struct.Struct("!I")
AT_ONCE = 65_536  # octets


class Order(Enum):
    """What a sending process is told. The end of the pipe means WIND_UP: the one that started it is gone."""

    CONNECT = b"c"  # it may open connections
    WIND_UP = b"w"  # finish the letters in flight and end
    STOP = b"s"  # drop the connections and end


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the sending of a process ended, and what is to be remembered of it.

    ``mistrusted`` are the keys that were suppressed on the word of a relay that refused everybody, and
    ``suppressed`` those suppressed since the last accepted letter.
    """

    stop: Stop | None = None
    notes: tuple[str, ...] = ()
    unrecorded: tuple[Result, ...] = ()  # what happened and could not be written down
    manner: Manner | None = None  # the last one; None where none was tried
    mistrusted: tuple[str, ...] = ()
    suppressed: tuple[str, ...] = ()
    lost_output: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """Where a process is; its last one has the outcome."""

    progress: Progress = field(default_factory=Progress)
    stop: Stop | None = None  # it hands out nothing more, and why
    asks: bool = False  # it wants to open connections
    opened: bool = False  # it has opened one
    relay_held: bool = False  # the relay is to be left alone for a while
    outcome: Outcome | None = None


def packed(report: Report) -> bytes:
    """Return a report as it goes through the pipe."""
    said = pickle.dumps(report, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(said)) + said


class Reader:
    """Reads the reports of one process; what it had not finished to say when it was killed is nothing."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._unread = b""
        self.ended = False

    def reports(self) -> Iterator[Report]:
        """Read what has come, and yield the reports that are whole. The pipe has something, or has ended."""
        try:
            read = os.read(self._pipe, AT_ONCE)
        except BlockingIOError:
            return
        self.ended = not read
        self._unread += read
        while len(self._unread) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._unread)[0]
            if len(self._unread) < end:
                return
            said, self._unread = self._unread[_LENGTH.size : end], self._unread[end:]
            report = pickle.loads(said)  # noqa: S301 - from a process that was forked from this one
            assert isinstance(report, Report)
            yield report
