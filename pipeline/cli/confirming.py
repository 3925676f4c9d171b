"""The question before a real send: author, relay, letters per language, pace and end; the number is typed."""

from __future__ import annotations

import sys

from pipeline.cli.folder import Checked
from pipeline.cli.outlook import Outlook, departures, last_departure, look_ahead
from pipeline.cli.pacing import effective_limits, show_limits
from pipeline.cli.place import Place, Voice
from pipeline.cli.sending import Wishes
from pipeline.cli.suppressions import suppressed_keys
from pipeline.cli.telling import ask, counted, err, table
from pipeline.delivery.letter import State
from pipeline.errors import Unusable
from pipeline.store.approvals import why_withheld
from pipeline.store.upcoming import in_order
from pipeline.store.world import World


def confirm(place: Place, world: World, checked: Checked, wishes: Wishes, voice: Voice) -> None:
    """Show what is about to leave, and have the number of new letters typed.

    Raises Unusable when it is not typed or nobody is there to type it; nothing was released then.
    """
    barred = suppressed_keys(place, (recipient.address.key for recipient in checked.recipients()))
    with world.campaign.reading() as connection:
        letters = in_order(connection, [State.PLANNED, State.QUEUED])
        withheld = why_withheld(connection)
        outlook = look_ahead(
            letters, checked, wishes, barred=barred, withheld=withheld, now=place.clock.now()
        )
    new = outlook.new
    if not new:
        return
    if voice.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Unusable(
            f"{counted(new, 'letter')} would leave this machine, and nobody is here to confirm it",
            "look at `campaign send --dry-run`, then say `campaign send --yes`",
        )
    for line in table(_facts(place, checked, outlook, new)):
        err(line)
    if ask(f"Type {new} to send") != str(new):
        raise Unusable(
            "not confirmed; nothing was sent", "the letters are still planned; `campaign send` asks again"
        )


def _authors(checked: Checked) -> str:
    """Return who the letters are from."""
    author, signatories = checked.settings.author, checked.pairing.signatories
    named = f"{author.name} <{author.address.wire}>".strip()
    if signatories is None:
        return named
    first = checked.settings.signing.from_name.replace("{author}", author.name)
    others = f", and {len(signatories) - 1} more" if len(signatories) > 1 else ""
    name = first.replace("{name}", signatories[0].name) if signatories else author.name
    return f"{name}{others} <{author.address.wire}>"


def _facts(place: Place, checked: Checked, outlook: Outlook, new: int) -> list[tuple[str, str]]:
    settings, now = checked.settings, place.clock.now()
    before = outlook.leaving - new
    per_language = ", ".join(f"{language} {number}" for language, number in sorted(outlook.languages.items()))
    number = f"{new} new" + (f", {before} queued before" if before else "") + f" ({per_language})"
    if outlook.suppressed:
        number += f"; {outlook.suppressed} more suppressed"
    whens = departures(outlook.going, checked, now=now)
    end = last_departure(outlook, whens, now=now).astimezone(settings.timezone)
    done = f"about {end:%Y-%m-%d %H:%M} {settings.timezone.key}, if the relay keeps up"
    return [
        ("Campaign", settings.name),
        ("From", _authors(checked)),
        ("Relay", settings.relay.name),
        ("Letters", number),
        ("Pace", show_limits(effective_limits(settings))),
        ("Done", done),
    ]
