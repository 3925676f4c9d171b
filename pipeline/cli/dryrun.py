"""`campaign send --dry-run`: who would get what, when, and why not. The plan is made and taken back.

Limits: of a long list the first `MOST_SHOWN` lines of either kind are shown and the others counted.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.cli.folder import Checked, draft_of
from pipeline.cli.gate import keep_back_within
from pipeline.cli.outlook import Outlook, departures, last_departure, look_ahead
from pipeline.cli.pacing import effective_limits, relay_words, show_limits
from pipeline.cli.place import Place, Voice
from pipeline.cli.preparing import bring_in_line, no_longer_suppressed, settle_standing_orders
from pipeline.cli.sending import Wishes, is_paused
from pipeline.cli.suppressions import opened, suppressed_keys
from pipeline.cli.telling import SCHEMA, counted, moment, next_step, out, out_json, table, terminal_width
from pipeline.clock import to_us
from pipeline.delivery.letter import State
from pipeline.errors import ExitCode
from pipeline.store.approvals import why_withheld
from pipeline.store.upcoming import Upcoming, in_order

FOLLOW_UP = "(a follow-up)"  # instead of its subject
MOST_SHOWN = 5_000  # lines; beyond them letters are counted


@dataclass(frozen=True, slots=True)
class _Departure:
    """A letter that would go."""

    letter: Upcoming
    subject: str
    when: datetime


def show_dry_run(place: Place, checked: Checked, wishes: Wishes, voice: Voice) -> int:
    """Show what a send would do; return the exit code."""
    now = place.clock.now()
    outlook, paused = _planned(place, checked, wishes, now)
    whens = departures(outlook.going, checked, now=now)
    first = sorted(zip(outlook.going, whens, strict=True), key=lambda one: one[1])[:MOST_SHOWN]
    subjects = _subjects(checked, {(letter.key, letter.signatory) for letter, _ in first})
    leaving = [
        _Departure(
            letter, FOLLOW_UP if letter.round else subjects.get((letter.key, letter.signatory), ""), when
        )
        for letter, when in first
    ]
    if voice.json:
        out_json(_document(place, leaving, outlook, paused, now))
    else:
        _show(place, checked, leaving, outlook, paused, last_departure(outlook, whens, now=now), now)
    return int(ExitCode.DONE)


def _planned(place: Place, checked: Checked, wishes: Wishes, now: datetime) -> tuple[Outlook, str]:
    """Plan as a send would, look ahead, and take the plan back; also return why all sending is paused."""
    barred = suppressed_keys(place, (recipient.address.key for recipient in checked.recipients()))
    with opened(place) as world:
        freed = no_longer_suppressed(world)
        with world.campaign.writing() as connection:
            now_us = to_us(place.clock.now())
            settle_standing_orders(place, connection, freed=freed, now_us=now_us)
            bring_in_line(place, world, checked, connection, now_us=now_us)
            keep_back_within(place, world, checked.composer, connection)
            letters = in_order(connection, list(State))
            withheld = why_withheld(connection)
            outlook = look_ahead(letters, checked, wishes, barred=barred, withheld=withheld, now=now)
            connection.rollback()
        return outlook, is_paused(world)


def _subjects(checked: Checked, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the subjects of some letters, by the keys of recipient and signatory."""
    found: dict[tuple[str, str], str] = {}
    for recipient, signatory in checked.pairs() if keys else ():
        key = recipient.address.key, signatory.key if signatory is not None else ""
        if key in keys:
            draft = draft_of(recipient, signatory=signatory)
            found[key] = checked.composer.render(draft).subject
            if len(found) == len(keys):
                break
    return found


def _show(
    place: Place,
    checked: Checked,
    leaving: Sequence[_Departure],
    outlook: Outlook,
    paused: str,
    end: datetime,
    now: datetime,
) -> None:
    settings, width = place.settings, terminal_width(sys.stdout)
    zone = settings.timezone

    def shown(when: datetime) -> str:
        local = when.astimezone(zone)
        if when <= now:
            return "now"
        return (
            f"{local:%H:%M:%S}" if local.date() == now.astimezone(zone).date() else f"{local:%a %d %b %H:%M}"
        )

    if leaving:
        signed = checked.signatories is not None
        rows = [("when", "from", "to", "in", "subject")]
        for one in leaving:
            letter = one.letter
            rows.append((shown(one.when), letter.signatory, letter.email, letter.language, one.subject))
        for text in table([row if signed else (row[0], *row[2:]) for row in rows], width=width):
            out(text)
        _tell_more(outlook.leaving - len(leaving))
        out()
    if outlook.staying or checked.intake.excluded:
        out("not now:")
        left_out = [
            (one.email, f"left out by exclude = yes (line {one.line})")
            for one in checked.intake.excluded[:MOST_SHOWN]
        ]
        staying = [(letter.email, why) for letter, why in outlook.staying[:MOST_SHOWN]]
        for text in table([*staying, *left_out]):
            out(f"  {text}")
        _tell_more(outlook.not_leaving + checked.intake.left_out - len(staying) - len(left_out))
        out()
    letters, relay = counted(outlook.leaving, "letter"), relay_words(settings.relay)
    out(f"{letters} would go through {relay}; limits: {show_limits(effective_limits(settings))}")
    if leaving and end > now:
        last = end.astimezone(zone)
        out(f"the last one {last:%a %d %b %Y %H:%M:%S} {zone.key}, if the relay keeps up")
    if paused:
        out(f"but all sending is paused: {paused}")
    out("this was a dry run: nothing was sent")
    next_step(
        "`campaign preview` to read them, `campaign send` to send them" if leaving else "`campaign status`"
    )


def _tell_more(number: int) -> None:
    if number:
        out(f"... and {number} more")


def _document(
    place: Place, leaving: Sequence[_Departure], outlook: Outlook, paused: str, now: datetime
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "type": "dry-run",
        "world": str(place.world_name),
        "relay": place.settings.relay.name,
        "paused": paused,
        "would_send": [
            {
                "to": one.letter.email,
                "signatory": one.letter.signatory,
                "language": one.letter.language,
                "subject": one.subject,
                "line": one.letter.line,
                "when": moment(one.when),
            }
            for one in leaving
        ],
        "would_not_send": [
            {
                "to": line.email,
                "signatory": line.signatory,
                "line": line.line,
                "state": str(line.state),
                "why": why,
            }
            for line, why in outlook.staying[:MOST_SHOWN]
        ],
        "would_send_more": outlook.leaving - len(leaving),
        "would_not_send_more": max(0, outlook.not_leaving - MOST_SHOWN),
        "at": moment(now),
    }
