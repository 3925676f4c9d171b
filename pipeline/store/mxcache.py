"""What the DNS said of recipients' domains, kept as long as it holds.

Contract: an answer is given back until its time is over and never after; storing one sweeps out those that
are over. What nobody could tell is not stored.

Standards: RFC 2181 8 (time to live), RFC 2308 5 (of "there is none").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

import sqlalchemy as sa

from pipeline.clock import SECOND_US
from pipeline.recipients.mx import Answer, Mail
from pipeline.store.dialect import insert
from pipeline.store.tables import mx

ASKED_AT_ONCE = 500  # domains in one question


def known(connection: sa.Connection, domains: Iterable[str], *, now_us: int) -> dict[str, Mail]:
    """Return what is known of the domains (A-labels) and still holds."""
    found: dict[str, Mail] = {}
    rest = iter(domains)
    while some := list(islice(rest, ASKED_AT_ONCE)):
        query = sa.select(mx.c.domain, mx.c.mail).where(mx.c.domain.in_(some), mx.c.until > now_us)
        found |= {row.domain: Mail(row.mail) for row in connection.execute(query)}
    return found


def remember(connection: sa.Connection, answers: Mapping[str, Answer], *, now_us: int) -> None:
    """Keep answers; those that hold for nothing are passed over."""
    connection.execute(sa.delete(mx).where(mx.c.until <= now_us))
    rows = [
        {"domain": domain, "mail": str(answer.mail), "until": now_us + answer.holds_s * SECOND_US}
        for domain, answer in answers.items()
        if answer.mail is not Mail.UNKNOWN and answer.holds_s > 0
    ]
    if rows:
        new = insert(mx)
        kept = {"mail": new.excluded.mail, "until": new.excluded.until}
        connection.execute(new.on_conflict_do_update(index_elements=["domain"], set_=kept), rows)
