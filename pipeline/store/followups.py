"""Second letters: to whom one is due, and which of them must not go after all.

A follow-up is the next round of a letter's identity, in the thread of the letters before it. It is due where
the latest letter was sent long enough ago and nobody truly answered: an absence note, an acknowledgement by a
program or a receipt is no answer, what a person wrote is. Where a letter bounced, its reader wants no more,
or a reply waits for a person to look at it, none is due; and one that was drafted before such a thing came is
withdrawn, or held.

Limits: what came back is known as far as mail was fetched and sorted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa

from pipeline.clock import from_us
from pipeline.delivery.letter import State
from pipeline.store.operator import log, read_meta
from pipeline.store.queue import WAITING, take_out
from pipeline.store.tables import letters, replies, written

BATCH = 500
Identity = tuple[str, str]  # keys of signatory and recipient
ANSWERED, OPTED_OUT, BOUNCED, COMPLAINED = "answered", "opted out", "bounced", "complained"
LOOK = "a reply waits for a person"
_WORDS = {"human": ANSWERED, "optout": OPTED_OUT, "bounce": BOUNCED, "complaint": COMPLAINED, "unknown": LOOK}
_ORDER = (ANSWERED, OPTED_OUT, COMPLAINED, BOUNCED, LOOK)  # the first that is true is told


@dataclass(frozen=True, slots=True)
class Back:
    """What came back of an identity's letters, in a word; ``reply`` is its number."""

    word: str
    reply: int

    @property
    def holds(self) -> bool:
        """Whether a person has to look first, and a follow-up may be due all the same."""
        return self.word == LOOK


@dataclass(frozen=True, slots=True)
class Earlier:
    """The latest letter of an identity that was sent: what a follow-up takes over from it."""

    id: int
    recipient: str
    signatory: str
    email: str
    domain: str
    language: str
    timezone: str
    line: int
    row: str
    round: int
    message_id: str
    thread: str
    subject: str
    sent: datetime
    seen: int


def came_back(connection: sa.Connection, *, campaign: str) -> dict[Identity, Back]:
    """Return of every identity what came back that speaks against a second letter."""
    query = (
        sa.select(letters.c.signatory, letters.c.recipient, replies.c.id, replies.c.kind, replies.c.review)
        .join(letters, letters.c.id == replies.c.letter)
        .where(letters.c.campaign == campaign, replies.c.ours.is_(False))
        .where(sa.or_(replies.c.kind.in_(list(_WORDS)), replies.c.review != ""))
        .order_by(replies.c.id)
    )
    found: dict[Identity, Back] = {}
    for row in connection.execute(query):
        back = Back(_WORDS.get(row.kind, LOOK), row.id)
        known = found.get((row.signatory, row.recipient))
        if known is None or _ORDER.index(back.word) < _ORDER.index(known.word):
            found[row.signatory, row.recipient] = back
    for identity, reply in _perhaps(connection, campaign=campaign):
        found.setdefault(identity, Back(LOOK, reply))
    return found


def _perhaps(connection: sa.Connection, *, campaign: str) -> Iterator[tuple[Identity, int]]:
    """Yield identities that an unmatched reply may be for: those its author was written to under, else those
    that the matching thought likeliest."""
    query = sa.select(replies.c.id, replies.c.address, replies.c.candidates).where(
        replies.c.letter.is_(None),
        replies.c.ours.is_(False),
        replies.c.assigned_at.is_(None),
        replies.c.kind.in_(("human", "optout", "unknown")),
    )
    for row in connection.execute(query).all():
        those = sa.select(letters.c.signatory, letters.c.recipient).where(letters.c.campaign == campaign)
        found = connection.execute(those.where(letters.c.recipient == row.address.casefold())).all()
        if not found:
            candidates = json.loads(row.candidates)
            best = max((score for _, score in candidates), default=0)
            likeliest = [letter for letter, score in candidates if score == best]
            found = connection.execute(those.where(letters.c.id.in_(likeliest))).all()
        for signatory, recipient in found:
            yield (signatory, recipient), row.id


def latest_sent(connection: sa.Connection, *, campaign: str, before_us: int) -> Iterator[Earlier]:
    """Yield the latest letter of each identity, where it was sent before a moment, by number."""
    later = letters.alias()
    follows = sa.exists().where(
        later.c.campaign == letters.c.campaign,
        later.c.round == letters.c.round + 1,
        later.c.signatory == letters.c.signatory,
        later.c.recipient == letters.c.recipient,
    )
    names = ("recipient", "signatory", "email", "domain", "language", "timezone", "line", "row", "round")
    query = (
        sa.select(
            letters.c.id,
            *(letters.c[name] for name in (*names, "message_id", "thread")),
            sa.func.coalesce(written.c.subject, "").label("subject"),
            letters.c.ended_at,
            letters.c.seen,
        )
        .outerjoin(written, written.c.letter == letters.c.id)
        .where(letters.c.campaign == campaign, letters.c.state == State.SENT)
        .where(letters.c.attempts > 0)  # a supporter's own letter, recorded, is the supporter's to follow up
        .where(letters.c.ended_at.is_not(None), letters.c.ended_at <= before_us, ~follows)
        .order_by(letters.c.id)
        .limit(BATCH)
    )
    last = 0
    while rows := connection.execute(query.where(letters.c.id > last)).all():
        last = rows[-1].id
        for row in rows:
            record: dict[str, Any] = dict(row._mapping)
            yield Earlier(sent=from_us(record.pop("ended_at")), **record)


def last_seen(connection: sa.Connection) -> int:
    """Return the number of the planning that looked at the list last."""
    return int(read_meta(connection, "seen", "0"))


def draft(
    connection: sa.Connection, follow: Iterable[tuple[Earlier, str, str]], *, campaign: str, now_us: int
) -> int:
    """Plan follow-ups, in the caller's transaction: to each letter its Message-ID and its thread (JSON).

    Return how many.
    """
    stream, number = iter(follow), 0
    while batch := list(islice(stream, BATCH)):
        connection.execute(sa.insert(letters), [_row(*one, campaign, now_us) for one in batch])
        number += len(batch)
    return number


def _row(earlier: Earlier, message_id: str, thread: str, campaign: str, now_us: int) -> Mapping[str, object]:
    names = ("recipient", "signatory", "email", "domain", "language", "timezone", "line", "row", "seen")
    return {name: getattr(earlier, name) for name in names} | {
        "campaign": campaign,
        "round": earlier.round + 1,
        "message_id": message_id,
        "thread": thread,
        "state": str(State.PLANNED),
        "why": "",
        "attempts": 0,
        "deferrals": 0,
        "planned_at": now_us,
    }


def rounds(connection: sa.Connection, *, campaign: str) -> list[int]:
    """Return the rounds that there are letters of, but for the first."""
    found: list[int] = []
    while True:
        query = sa.select(sa.func.min(letters.c.round)).where(
            letters.c.campaign == campaign, letters.c.round > (found[-1] if found else 0)
        )
        following = connection.scalar(query)
        if following is None:
            return found
        found.append(following)


def withdraw_answered(connection: sa.Connection, *, campaign: str, now_us: int) -> int:
    """Cancel follow-ups that wait and are not wanted any more, because something came back; return how many.

    What was tried already, and may have been taken, is left as it is.
    """
    waiting = _waiting(connection, campaign=campaign)
    if not waiting:
        return 0
    back = came_back(connection, campaign=campaign)
    moved = 0
    for letter, identity in waiting:
        found = back.get(identity)
        if found is not None and not found.holds:
            why = f"{found.word} (reply {found.reply})"
            moved += take_out(connection, [letter], State.CANCELLED, why=why, now_us=now_us)
    return moved


def held(connection: sa.Connection, *, campaign: str) -> dict[int, str]:
    """Return the follow-ups that wait and must not go before a person has looked at a reply, and why."""
    waiting = _waiting(connection, campaign=campaign)
    back = came_back(connection, campaign=campaign) if waiting else {}
    return {
        letter: f"{LOOK} (reply {found.reply}): `campaign replies list --review`"
        for letter, identity in waiting
        if (found := back.get(identity)) is not None and found.holds
    }


def _waiting(connection: sa.Connection, *, campaign: str) -> list[tuple[int, Identity]]:
    """Return the follow-ups that wait; there are fewer of them than of first letters."""
    if not rounds(connection, campaign=campaign):
        return []
    query = sa.select(letters.c.id, letters.c.signatory, letters.c.recipient).where(
        letters.c.campaign == campaign,
        letters.c.round > 0,
        letters.c.state.in_([str(state) for state in WAITING]),
    )
    return [(row.id, (row.signatory, row.recipient)) for row in connection.execute(query)]


def note(connection: sa.Connection, number: int, *, after: str, now_us: int) -> None:
    """Log that follow-ups were drafted."""
    log(connection, None, "follow-ups drafted", f"{number} to letters sent {after} ago or earlier", now_us)
