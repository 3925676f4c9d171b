"""What `resolve`, `resend` and `cancel` have in common: find letters, decide, log, tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

from pipeline.cli.place import Place
from pipeline.cli.suppressions import opened
from pipeline.cli.telling import SCHEMA, counted, next_step, out, out_json
from pipeline.clock import to_us
from pipeline.delivery.letter import State
from pipeline.errors import AlreadyRunning, Unusable
from pipeline.mail.address import AddressFault, address_key
from pipeline.problem import visible
from pipeline.store import joint, operator, queue
from pipeline.store.database import Connection
from pipeline.store.lock import RunLock
from pipeline.store.world import World

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
    quiet: bool,
    locked: bool,
    next_: str,
) -> list[int]:
    """Apply ``decision`` to the letters in ``states`` that ``names`` name (None: all of them), and tell.

    Return their numbers. ``locked``: no run may be at work meanwhile. Raises Unusable when one of the names
    fits no letter.
    """
    now_us = to_us(place.clock.now())
    with opened(place) as world:
        lock = RunLock(world.lock_path, since=place.local_now) if locked else nullcontext()
        with lock, world.campaign.writing() as connection:
            if locked:
                queue.recover(connection, now_us=now_us)
            ids = (
                operator.in_state(connection, states)
                if names is None
                else _named(connection, states, names, nothing=nothing)
            )
            number = decision(connection, ids, why=why, now_us=now_us)
    if json:
        out_json({"schema": SCHEMA, "letters": number})
        return ids
    if not quiet:
        out(f"{counted(number, 'letter')} {done}" if number else nothing)
        next_step(next_ if number else "`campaign status`")
    return ids


def _named(
    connection: Connection, states: Sequence[State], names: Sequence[str], *, nothing: str
) -> list[int]:
    """Return the letters; Unusable, and nothing is decided, when one of the names fits none."""
    found = {name: operator.find(connection, spellings(name), states) for name in names}
    if unknown := [name for name, ids in found.items() if not ids]:
        together = [words for name in unknown if (words := joint_words(connection, spellings(name)[-1]))]
        raise Unusable(
            f"{nothing}: {', '.join(unknown)}",
            "\n".join(together)
            or "`campaign status` shows where letters are, `campaign show WHO` tells one letter's story",
        )
    return sorted({letter for ids in found.values() for letter in ids})


def joint_words(connection: Connection, key: str) -> str:
    """Return what to do about letters that somebody signs with others; "" where there are none."""
    together = sorted(set(joint.signed_by(connection, key).values()))
    if not together:
        return ""
    word = visible(together[0])
    return (
        f"{visible(key)} signs a joint letter with others, named {', '.join(map(visible, together))}: "
        f"`{word}` names it here\n"
        "to take one name out: exclude = yes in that row, then `campaign plan`"
    )


def spellings(who: str) -> list[str]:
    """Return what ``who`` may stand for: a letter's number, a Message-ID with or without <>, an address."""
    try:
        return [who, f"<{who}>", address_key(who)]
    except AddressFault:
        return [who, f"<{who}>"]


def find_what_a_dead_run_left(place: Place, world: World) -> None:
    """Put letters in doubt whose run died between permission and answer, unless a run is at work."""
    now = place.clock.now()
    try:
        with RunLock(world.lock_path, since=place.local_now), world.campaign.writing() as connection:
            queue.recover(connection, now_us=to_us(now))
    except AlreadyRunning:
        return
