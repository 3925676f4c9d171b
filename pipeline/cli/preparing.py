"""Before a run of sending: what an earlier run left open is found, the letters follow the list."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.cli import alike, heap, unchanged
from pipeline.cli.folder import Checked
from pipeline.cli.place import Place
from pipeline.cli.suppressions import opened
from pipeline.cli.unchanged import Found
from pipeline.clock import to_us
from pipeline.config import InDoubt
from pipeline.delivery.letter import State
from pipeline.delivery.plan import plan_letters
from pipeline.errors import Unusable
from pipeline.recipients.pairing import Turns
from pipeline.recipients.signatories import Rule
from pipeline.store import followups, joint, operator, planning, queue, shared
from pipeline.store.dialect import alone
from pipeline.store.world import World, accept_place, bury_earlier_runs, why_not_here

if TYPE_CHECKING:
    from pipeline.store.database import Connection


def prepare(place: Place, world: World, found: Found) -> None:
    """Find what an earlier run left open, and bring the letters in line with the list, unless they are. Call
    it with the lock held.

    Raises Unusable when this store may not be the one in use.
    """
    if why := why_not_here(world):
        raise Unusable(
            f"this campaign's store may have been sent from elsewhere: {why}",
            "it could send letters twice; if this is the one to go on with, say so: `campaign resume`",
        )
    accept_place(world, clock=place.clock)
    now_us = to_us(place.clock.now())
    freed = no_longer_suppressed(world)
    with world.campaign.writing() as connection:
        bury_earlier_runs(connection, world, now_us=now_us)
        queue.recover(connection, now_us=now_us)
        settle_standing_orders(place, connection, freed=freed, now_us=now_us)
        if found.checked is not None and world.several:
            _bring_in_line_among_several(place, world, found.checked, connection, now_us=now_us)
        elif found.checked is not None:
            bring_in_line(place, world, found.checked, connection, now_us=now_us)
            unchanged.remember(place, connection, found)
        followups.withdraw_answered(connection, campaign=place.settings.key, now_us=now_us)


def turns_taken(place: Place) -> Turns | None:
    """Return who has had whose letter; None where that decides nothing, or there is no store yet."""
    if place.settings.signing.rule is not Rule.ROUND_ROBIN or not place.has_store:
        return None
    with opened(place) as world, world.campaign.reading() as connection:
        return Turns(planning.turns(connection, campaign=place.settings.key))


def _bring_in_line_among_several(
    place: Place, world: World, checked: Checked, connection: Connection, *, now_us: int
) -> None:
    """Bring the letters in line with this folder, unless another host has just done so with the same."""
    alone(connection, "plan")
    if not alike.is_done(place, connection, checked):
        bring_in_line(place, world, checked, connection, now_us=now_us)
        alike.remember(place, connection, checked)


def no_longer_suppressed(world: World) -> list[int]:
    """Return the suppressed letters whose address may be written to again."""
    with world.campaign.reading() as connection:
        keys = queue.recipients_in(connection, State.SUPPRESSED)
    if not keys:
        return []
    with world.common.reading() as connection:
        barred = shared.suppressed(connection, set(keys.values()), shared.shared_secret(connection))
    return [letter for letter, key in keys.items() if key not in barred]


def settle_standing_orders(
    place: Place, connection: Connection, *, freed: Collection[int], now_us: int
) -> None:
    """Do what settings and suppressions say of letters, whatever the list says, in the caller's transaction.

    ``freed`` are the suppressed letters whose address may be written to again.
    """
    if place.settings.in_doubt is InDoubt.RESEND:
        operator.resend_doubts(connection, now_us=now_us)
    operator.plan_again(connection, freed, now_us=now_us)


def bring_in_line(
    place: Place, world: World, checked: Checked, connection: Connection, *, now_us: int
) -> planning.Planning:
    """Bring the letters in line with the lists, in the caller's transaction."""
    settings = place.settings
    turns = None
    if checked.pairing.in_turn:  # others may have been taken since the check
        turns = Turns(planning.turns(connection, campaign=settings.key))
    planned = plan_letters(
        checked.pairs(turns),
        campaign=settings.key,
        author_domain=settings.author.address.domain,
        secret=world.secret,
    )
    heap.share_one()
    done = planning.plan(connection, planned, campaign=settings.key, now_us=now_us)
    together = {one.key: one.members for one in checked.pairing.signatories or () if one.joint}
    if together:
        left = joint.withdraw_left(connection, together, campaign=settings.key, now_us=now_us)
        done = replace(done, cancelled=done.cancelled + left)
    return done
