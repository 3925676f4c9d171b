"""Letters that a supporter sent from the own mailbox: counted as sent, and never sent by us.

Contract: a recorded letter has the identity of its pair, so that planning makes no second one. It is *sent*
without an attempt of ours: the fence lets nothing out for it, for it is not queued. Its bytes and its
Message-ID are the supporter's, so that answers find it; a letter of that pair that waited becomes this one.
One that was sent, or may have been, stays what it is.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass

import sqlalchemy as sa

from pipeline.delivery.letter import State
from pipeline.delivery.plan import FIRST_ROUND, PlannedLetter
from pipeline.store.operator import log, read_meta, write_meta
from pipeline.store.tables import attempts, bundles, contents, letters

RECORDED = "recorded"  # the event, and the first word of why
COUNT = "recorded"  # in meta: how many there are
_REPLACEABLE = tuple(state for state in State if state not in (State.SENT, State.IN_DOUBT))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the supporter sent: its octets, its Message-ID (with <>; "" for none usable), when, and from which
    file we have it.
    """

    content: bytes
    message_id: str
    sent_us: int
    source: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of it; ``was`` is the state of the letter that waited, None where there was none yet."""

    letter: int
    was: State | None
    again: bool = False  # this very mail had been recorded before


class Taken(Exception):
    """The letter was sent, or may have been: it is not replaced."""

    def __init__(self, letter: int, state: State, why: str) -> None:
        super().__init__(f"letter {letter} is {state}: {why}")
        self.letter, self.state, self.why = letter, state, why


class NotOurs(Exception):
    """The Message-ID is that of another letter, whose number this holds."""

    def __init__(self, letter: int) -> None:
        super().__init__(f"it is letter {letter}")
        self.letter = letter


def how_many(connection: sa.Connection) -> int:
    """Return how many letters were recorded; they are counted as sent."""
    return int(read_meta(connection, COUNT, "0"))


def record(
    connection: sa.Connection,
    planned: PlannedLetter,
    evidence: Evidence,
    *,
    campaign: str,
    keep_bytes: bool,
    now_us: int,
) -> Recorded:
    """Write down that a supporter sent a pair's letter. Raises Taken, NotOurs; nothing is changed then."""
    same = connection.execute(
        sa.select(letters.c.id, letters.c.signatory, letters.c.recipient, letters.c.state).where(
            letters.c.message_id == evidence.message_id
        )
    ).first()
    pair = planned.signatory, planned.recipient
    if same is not None and evidence.message_id != planned.message_id:
        if (same.signatory, same.recipient) != pair:
            raise NotOurs(same.id)
        if same.state == State.SENT:
            return Recorded(same.id, State.SENT, again=True)
    words = f"{RECORDED}: sent by the supporter, as {evidence.source} shows"
    letter, was = _as_sent(connection, planned, evidence, campaign, words, now_us)
    _keep(connection, letter, evidence, keep_bytes=keep_bytes)
    log(connection, letter, RECORDED, f"from {evidence.source}: sent by the supporter", now_us)
    write_meta(connection, COUNT, str(how_many(connection) + 1))
    return Recorded(letter, was)


def _as_sent(
    connection: sa.Connection,
    planned: PlannedLetter,
    evidence: Evidence,
    campaign: str,
    words: str,
    now_us: int,
) -> tuple[int, State | None]:
    """Make the pair's letter a sent one; return its number and the state it had."""
    sent = {
        "state": State.SENT,
        "why": words,
        "due_at": None,
        "ended_at": evidence.sent_us,
        "message_id": evidence.message_id or planned.message_id,
    }
    identity = sa.and_(
        letters.c.campaign == campaign,
        letters.c.round == FIRST_ROUND,
        letters.c.signatory == planned.signatory,
        letters.c.recipient == planned.recipient,
    )
    found = connection.execute(
        sa.select(letters.c.id, letters.c.state, letters.c.why).where(identity)
    ).first()
    if found is None:
        row = {name: value for name, value in planned._asdict().items() if name != "message_id"}
        more = {"campaign": campaign, "round": FIRST_ROUND, "seen": 0, "planned_at": now_us}
        counted = {"attempts": 0, "deferrals": 0}
        done = connection.execute(sa.insert(letters).values(**row, **more, **counted, **sent))
        key = done.inserted_primary_key
        assert key is not None
        return int(key[0]), None
    on_the_way = sa.exists().where(attempts.c.letter == letters.c.id, attempts.c.ended_at.is_(None))
    change = sa.update(letters).where(letters.c.id == found.id, letters.c.state.in_(_REPLACEABLE))
    if not connection.execute(change.where(~on_the_way).values(**sent)).rowcount:
        why = found.why if found.state != State.QUEUED else "an attempt is under way"
        raise Taken(found.id, State(found.state), why)
    return found.id, State(found.state)


def _keep(connection: sa.Connection, letter: int, evidence: Evidence, *, keep_bytes: bool) -> None:
    """Keep what was sent, instead of what would have been."""
    bundle = None
    if keep_bytes:
        packed = sa.insert(bundles).values(packed=zlib.compress(evidence.content))
        key = connection.execute(packed).inserted_primary_key
        bundle = int(key[0]) if key is not None else None
    connection.execute(sa.delete(contents).where(contents.c.letter == letter))
    connection.execute(
        sa.insert(contents).values(
            letter=letter,
            sha256=hashlib.sha256(evidence.content).hexdigest(),
            bundle=bundle,
            start=0,
            size=len(evidence.content),
            built_at=evidence.sent_us,
        )
    )
