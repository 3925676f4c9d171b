"""What a person decides about letters: settle doubts, send again, pause, cancel.

Each decision is logged with its reason.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from pipeline.delivery.letter import State
from pipeline.store.dialect import Connected, Prepared, insert, is_shared
from pipeline.store.tables import attempts, events, letters, meta, runs

IN_DOUBT = "in doubt"  # the verdict of an attempt nobody can know the end of
CONNECTIONS_LAST_US = 3_600_000_000  # no relay waits longer for the rest of a letter
RESENDABLE = (State.FAILED, State.CANCELLED, State.EXPIRED)
WITHOUT_CONSENT = "signs it no longer, and it was written with that name"  # how the reason ends


def read_meta(connection: sa.Connection, name: str, default: str = "") -> str:
    """Return a value kept about the store."""
    return connection.scalar(sa.select(meta.c.value).where(meta.c.name == name)) or default


def write_meta(connection: sa.Connection, name: str, value: str) -> None:
    """Keep a value about the store."""
    row = insert(meta).values(name=name, value=value)
    connection.execute(row.on_conflict_do_update(index_elements=["name"], set_={"value": row.excluded.value}))


def is_paused(connection: Connected) -> bool:
    """Say whether a person stopped all sending."""
    return any(value for (value,) in _PAUSED.run(connection))


PAUSED = sa.exists().where(meta.c.name == "paused", meta.c.value != "")
_PAUSED = Prepared(sa.select(meta.c.value).where(meta.c.name == "paused"))


def pause(connection: sa.Connection, *, why: str, now_us: int) -> None:
    """Stop all sending from the next permission on."""
    write_meta(connection, "paused", why or "by the operator")
    log(connection, None, "paused", why, now_us)


def resume(connection: sa.Connection, *, now_us: int, why: str = "") -> bool:
    """Allow sending again; return whether it was stopped."""
    was = is_paused(connection)
    write_meta(connection, "paused", "")
    if was or why:
        log(connection, None, "resumed", why, now_us)
    return was


def find(connection: sa.Connection, who: Collection[str], states: Collection[State]) -> list[int]:
    """Return the letters in ``states`` whose recipient or signatory key, number or Message-ID is among
    ``who``."""
    numbers = [int(word) for word in who if word.isascii() and word.isdigit() and len(word) < 19]
    match = sa.or_(
        letters.c.recipient.in_(list(who)),
        letters.c.signatory.in_([word for word in who if word]),
        letters.c.id.in_(numbers),
        letters.c.message_id.in_(list(who)),
    )
    query = sa.select(letters.c.id).where(match, letters.c.state.in_(list(states))).order_by(letters.c.id)
    return list(connection.execute(query).scalars())


def in_state(connection: sa.Connection, states: Collection[State]) -> list[int]:
    """Return all letters in ``states``."""
    query = sa.select(letters.c.id).where(letters.c.state.in_(list(states))).order_by(letters.c.id)
    return list(connection.execute(query).scalars())


def settle_as_sent(connection: sa.Connection, ids: Collection[int], *, why: str, now_us: int) -> int:
    """Settle letters in doubt: the relay had taken them."""
    return _settle(connection, ids, State.SENT, "settled: sent", why, now_us)


def settle_as_unsent(connection: sa.Connection, ids: Collection[int], *, why: str, now_us: int) -> int:
    """Settle letters in doubt: the relay had not taken them; they are queued again, with the same bytes."""
    return _settle(connection, ids, State.QUEUED, "settled: send again", why, now_us)


def resend_doubts(connection: sa.Connection, *, now_us: int) -> int:
    """Queue every letter in doubt again, once: the operator's standing order `retry.in_doubt = "resend"`.

    Call it with the campaign's lock held, so that no process that may have sent them still lives. On another
    host one may live that was only stopped: unless it said itself that it was in doubt, the order waits until
    its run has ended, or has not been seen for so long that the relay has given up its connections. A letter
    whose second try ended in doubt as well stays for a person. Return how many were queued.
    """
    doubts = sa.select(sa.func.count()).where(
        attempts.c.letter == letters.c.id, attempts.c.verdict == IN_DOUBT
    )
    once = sa.select(letters.c.id).where(letters.c.state == State.IN_DOUBT, doubts.scalar_subquery() < 2)
    if is_shared(connection):
        last = sa.and_(attempts.c.letter == letters.c.id, attempts.c.n == letters.c.attempts)
        over = sa.or_(
            attempts.c.phase.is_not(None),
            runs.c.ended_at.is_not(None),
            runs.c.seen_at < now_us - CONNECTIONS_LAST_US,
        )
        owner = sa.select(runs.c.id).join(attempts, attempts.c.run == runs.c.id).where(last, over)
        once = once.where(owner.exists())
    ids = list(connection.execute(once).scalars())
    return settle_as_unsent(connection, ids, why='retry.in_doubt = "resend"', now_us=now_us)


def plan_again(connection: sa.Connection, ids: Collection[int], *, now_us: int) -> int:
    """Plan suppressed letters again whose address may be written to once more; return how many."""
    moved = 0
    for letter in ids:
        change = (
            sa.update(letters)
            .where(letters.c.id == letter, letters.c.state == State.SUPPRESSED)
            .values(state=State.PLANNED, why="", ended_at=None)
        )
        if connection.execute(change).rowcount:
            moved += 1
            log(connection, letter, "planned again", "its suppression was lifted", now_us)
    return moved


def resend(connection: sa.Connection, ids: Collection[int], *, why: str, now_us: int) -> int:
    """Queue failed, cancelled or expired letters again, from the start of their schedule.

    Not those that hold the name of somebody who signs them no longer: nobody's name is used without consent.
    """
    moved = 0
    for letter in ids:
        change = (
            sa.update(letters)
            .where(letters.c.id == letter, letters.c.state.in_(RESENDABLE))
            .where(~letters.c.why.endswith(WITHOUT_CONSENT))
            .values(state=State.QUEUED, why="queued again", due_at=now_us, deferrals=0, ended_at=None)
        )
        if connection.execute(change).rowcount:
            moved += 1
            log(connection, letter, "resend", why, now_us)
    return moved


def cancel(connection: sa.Connection, ids: Collection[int], *, why: str, now_us: int) -> int:
    """Withdraw letters that wait.

    One that is on the wire at this moment may still be sent, and then counts as sent.
    """
    moved = 0
    for letter in ids:
        change = (
            sa.update(letters)
            .where(letters.c.id == letter, letters.c.state.in_((State.PLANNED, State.QUEUED)))
            .values(state=State.CANCELLED, why=why or "by the operator", due_at=None, ended_at=now_us)
        )
        if connection.execute(change).rowcount:
            moved += 1
            log(connection, letter, "cancel", why, now_us)
    return moved


def _settle(
    connection: sa.Connection, ids: Collection[int], state: State, what: str, why: str, now_us: int
) -> int:
    settled = 0
    for letter in ids:
        change = (
            sa.update(letters)
            .where(letters.c.id == letter, letters.c.state == State.IN_DOUBT)
            .values(
                state=state,
                why=f"{what} ({why})" if why else what,
                due_at=now_us if state is State.QUEUED else None,
                ended_at=now_us if state is State.SENT else None,
            )
        )
        if connection.execute(change).rowcount:
            settled += 1
            log(connection, letter, what, why, now_us)
    return settled


def log(connection: sa.Connection, letter: int | None, what: str, why: str, now_us: int) -> None:
    """Write a decision down; ``letter`` is None where it concerns the campaign."""
    connection.execute(sa.insert(events).values(at=now_us, letter=letter, what=what, why=why))
