"""`campaign send --dry-run`: who would get what, when, and why not. The plan is made and taken back."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.cli.folder import Checked, draft_of
from pipeline.cli.outlook import Outlook, departures, look_ahead
from pipeline.cli.pacing import effective_limits, relay_words, show_limits
from pipeline.cli.place import Place, Voice
from pipeline.cli.sending import Wishes, bring_in_line, is_paused, no_longer_suppressed
from pipeline.cli.suppressions import opened, suppressed_keys
from pipeline.cli.telling import SCHEMA, counted, moment, next_step, out, out_json, table, terminal_width
from pipeline.clock import to_us
from pipeline.delivery.letter import State
from pipeline.errors import ExitCode
from pipeline.store import history
from pipeline.store.history import LetterLine


@dataclass(frozen=True, slots=True)
class _Departure:
    """A letter that would go."""

    line: LetterLine
    subject: str
    when: datetime


def show_dry_run(place: Place, checked: Checked, wishes: Wishes, voice: Voice) -> int:
    """Show what a send would do; return the exit code."""
    now = place.clock.now()
    lines, paused = _planned(place, checked)
    barred = suppressed_keys(place, [recipient.address.key for recipient in checked.ready])
    outlook = look_ahead(lines, checked, wishes, barred=barred, now=now)
    whens = departures(outlook.going, checked, now=now)
    leaving = sorted(
        (
            _Departure(one.line, checked.composer.render(draft_of(one.recipient)).subject, when)
            for one, when in zip(outlook.going, whens, strict=True)
        ),
        key=lambda departure: departure.when,
    )
    if voice.json:
        out_json(_document(place, leaving, outlook, paused, now))
    else:
        _show(place, checked, leaving, outlook, paused, now)
    return int(ExitCode.DONE)


def _planned(place: Place, checked: Checked) -> tuple[list[LetterLine], str]:
    """Plan as a send would, read the outcome, and take it back; also return why all sending is paused."""
    with opened(place) as world:
        freed = no_longer_suppressed(world)
        with world.campaign.writing() as connection:
            now_us = to_us(place.clock.now())
            bring_in_line(place, world, checked, connection, freed=freed, now_us=now_us)
            lines = history.letters_in(connection, list(State))
            connection.rollback()
        return lines, is_paused(world)


def _show(
    place: Place,
    checked: Checked,
    leaving: Sequence[_Departure],
    outlook: Outlook,
    paused: str,
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
        body = [(shown(one.when), one.line.email, one.line.language, one.subject) for one in leaving]
        for text in table([("when", "to", "in", "subject"), *body], width=width):
            out(text)
        out()
    if outlook.staying or checked.intake.excluded:
        out("not now:")
        left_out = [
            (one.email, f"left out by exclude = yes (line {one.line})") for one in checked.intake.excluded
        ]
        for text in table([*((line.email, why) for line, why in outlook.staying), *left_out]):
            out(f"  {text}")
        out()
    letters, relay = counted(len(leaving), "letter"), relay_words(settings.relay)
    out(f"{letters} would go through {relay}; limits: {show_limits(effective_limits(settings))}")
    if leaving and leaving[-1].when > now:
        last = leaving[-1].when.astimezone(zone)
        out(f"the last one {last:%a %d %b %Y %H:%M:%S} {zone.key}, if the relay keeps up")
    if paused:
        out(f"but all sending is paused: {paused}")
    out("this was a dry run: nothing was sent")
    next_step(
        "`campaign preview` to read them, `campaign send` to send them" if leaving else "`campaign status`"
    )


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
                "to": one.line.email,
                "language": one.line.language,
                "subject": one.subject,
                "line": one.line.line,
                "when": moment(one.when),
            }
            for one in leaving
        ],
        "would_not_send": [
            {"to": line.email, "line": line.line, "state": str(line.state), "why": why}
            for line, why in outlook.staying
        ],
        "at": moment(now),
    }
