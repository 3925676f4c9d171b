"""What `resolve`, `resend` and `cancel` have in common: find letters, decide, log, tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

from pipeline.cli.place import Place
from pipeline.cli.suppressions import opened
from pipeline.cli.telling import moment, next_step, out, out_json
from pipeline.clock import to_us
from pipeline.delivery.letter import State
from pipeline.errors import Unusable
from pipeline.store import operator, queue
from pipeline.store.lock import RunLock

Decision = Callable[..., int]


def decide(
    place: Place,
    names: Sequence[str] | None,
    states: Sequence[State],
    decision: Decision,
    *,
    why: str,
    done: str,
    nothing: str,
    json: bool,
    locked: bool,
    next_: str,
) -> None:
    """Apply ``decision`` to the letters in ``states`` that ``names`` name (None: all of them), and tell.

    ``locked``: no run may be at work meanwhile. Raises Unusable when no letter fits.
    """
    now_us = to_us(place.clock.now())
    with opened(place) as world:
        lock = RunLock(world.lock_path, since=moment(place.clock.now())) if locked else nullcontext()
        with lock, world.campaign.writing() as connection:
            if locked:
                queue.recover(connection, now_us=now_us)
            ids = (
                operator.in_state(connection, states)
                if names is None
                else operator.find(connection, names, states)
            )
            number = decision(connection, ids, why=why, now_us=now_us)
    if not number and names is not None:
        raise Unusable(
            nothing, "`campaign status` shows where letters are, `campaign show ADDRESS` one of them"
        )
    if json:
        out_json({"schema": 1, "letters": number})
        return
    out(f"{number} letter{'' if number == 1 else 's'} {done}" if number else nothing)
    if number:
        next_step(next_)
