"""What a contender sends to: a fresh relay for every turn, which counts, and what lies before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from bench.postfix import postfix
from bench.sink import proxy, smtp_sink
from bench.tls import make_certificate, stunnel


class Way(StrEnum):
    """What takes the letters, and what lies between it and a contender."""

    DIRECT = "loopback"
    FAR = "far"  # a proxy that delays
    TLS = "tls"  # stunnel
    POSTFIX = "postfix"  # a real Postfix, nothing between


class Counts(Protocol):
    """A relay that says how many letters it has taken."""

    def count(self) -> int: ...

    def settled(self, expected: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Relay:
    """Where to send to; ``counter`` tells how many letters came, ``ca_file`` is there when it speaks TLS."""

    counter: Counts
    port: int
    ca_file: Path | None = None


@contextmanager
def relay(
    way: Way, scratch: Path, *, delay_ms: float = 0.0, letters_in: Path | None = None
) -> Iterator[Relay]:
    """Start a relay and what lies before it; both end with the context. Raises Failed.

    Args:
        way: which. With ``letters_in`` smtp-sink takes the place of Postfix, so that letters can be looked
            at.
        scratch: a folder for notes.
        delay_ms: the round trip, for `Way.FAR`.
        letters_in: a folder; each letter is filed there.
    """
    with ExitStack() as stack:
        if way is Way.POSTFIX and letters_in is None:
            instance = stack.enter_context(postfix())
            yield Relay(instance, instance.port)
            return
        sink = stack.enter_context(smtp_sink(scratch, letters_in=letters_in))
        if way is Way.FAR:
            oneway = str(delay_ms / 2)
            yield Relay(sink, stack.enter_context(proxy(scratch, "delay_proxy", sink.port, [oneway])))
        elif way is Way.TLS:
            pem, certificate = make_certificate(scratch)
            yield Relay(sink, stack.enter_context(stunnel(scratch, sink.port, pem)), certificate)
        else:
            yield Relay(sink, sink.port)
