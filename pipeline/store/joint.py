"""Letters that several sign together: who is found under them, and what goes no more when one of them leaves.

A joint letter's signatory key is a word and nobody's address, so whose names stand in it is kept in its row
(`delivery.plan.MEMBERS`). Until its first permission a letter has the names of today; after that its bytes
are frozen. One that waits then, deferred, and holds the name of somebody who signs no longer, is withdrawn:
nobody's name is used without consent.

Limits: letters in doubt stay as they are; they may have been accepted with those names.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

import sqlalchemy as sa

from pipeline.delivery.letter import State
from pipeline.delivery.plan import MEMBERS
from pipeline.store.operator import WITHOUT_CONSENT, read_meta, write_meta
from pipeline.store.queue import take_out
from pipeline.store.tables import letters

LABELS = "joint letters"  # in meta: the words of all joint letters there have been


def withdraw_left(
    connection: sa.Connection, signers: Mapping[str, Collection[str]], *, campaign: str, now_us: int
) -> int:
    """Cancel joint letters whose bytes are frozen and hold somebody who is not among the ``signers`` (keys by
    the letter's word) any more; return how many. Call it when letters were planned.
    """
    known = read_meta(connection, LABELS)
    words = " ".join(sorted({*known.split(), *signers}))
    if words != known:
        write_meta(connection, LABELS, words)
    query = sa.select(letters.c.id, letters.c.signatory, letters.c.row).where(
        letters.c.campaign == campaign,
        letters.c.signatory.in_(list(signers)),
        letters.c.state == State.QUEUED,
        letters.c.attempts > 0,
    )
    moved = 0
    for row in connection.execute(query).all():
        left = set(json.loads(row.row).get(MEMBERS, "").split()) - set(signers[row.signatory])
        if left:
            why = f"{', '.join(sorted(left))} {WITHOUT_CONSENT}"
            moved += take_out(connection, [row.id], State.CANCELLED, why=why, now_us=now_us)
    return moved


def signed_by(connection: sa.Connection, key: str) -> dict[int, str]:
    """Return the joint letters that somebody signs with others, with the word of each."""
    words = read_meta(connection, LABELS).split()
    if not words or "@" not in key:
        return {}
    inside = letters.c.row.contains(f" {key} ", autoescape=True)
    query = sa.select(letters.c.id, letters.c.signatory, letters.c.row)
    rows = connection.execute(query.where(letters.c.signatory.in_(words), inside)).all()
    return {row.id: row.signatory for row in rows if key in json.loads(row.row).get(MEMBERS, "").split()}
