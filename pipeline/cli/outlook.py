"""What a send would do now: which letters would go and when, which would not and why.

Limits: what earlier runs have used up of a quota is not looked at; see `delivery/forecast.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.cli.folder import Checked
from pipeline.cli.pacing import effective_limits
from pipeline.cli.sending import Wishes
from pipeline.cli.telling import local_moment
from pipeline.delivery.forecast import Passing, forecast
from pipeline.delivery.letter import State
from pipeline.recipients.rows import Recipient
from pipeline.store.history import LetterLine

LOOKED_AT = 20_000  # letters that pass one by one; the end of a longer queue is extrapolated


@dataclass(frozen=True, slots=True)
class Going:
    """A letter that would go, and its recipient."""

    line: LetterLine
    recipient: Recipient


@dataclass(frozen=True, slots=True)
class Outlook:
    """``going`` in the order of the queue; ``staying`` with the reason."""

    going: Sequence[Going]
    staying: Sequence[tuple[LetterLine, str]]


def look_ahead(
    lines: Sequence[LetterLine],
    checked: Checked,
    wishes: Wishes,
    *,
    barred: Collection[str],
    now: datetime,
) -> Outlook:
    """Sort ``lines`` into those that a send would take now and the others; ``barred`` are suppressed keys."""
    recipients = {recipient.address.wire: recipient for recipient in checked.ready}
    going: list[Going] = []
    staying: list[tuple[LetterLine, str]] = []
    for line in sorted(lines, key=_place_in_queue):
        recipient = recipients.get(line.email)
        if wishes.only is not None and (recipient is None or recipient.address.key not in wishes.only):
            continue
        suppressed = recipient is not None and recipient.address.key in barred
        why = _why_not(line, checked, wishes, suppressed=suppressed, now=now)
        if why or recipient is None:
            staying.append((line, why or f"its row is gone ({line.state})"))
        elif wishes.most is not None and len(going) >= wishes.most:
            staying.append((line, f"beyond --limit {wishes.most}"))
        else:
            going.append(Going(line, recipient))
    return Outlook(going, staying)


def departures(going: Sequence[Going], checked: Checked, *, now: datetime) -> list[datetime]:
    """Return when each letter would leave at the earliest."""
    settings = checked.settings
    passing = [
        Passing(one.recipient.address.key, one.recipient.address.domain, one.recipient.timezone)
        for one in going
    ]
    return forecast(passing, effective_limits(settings), zone=settings.timezone, now=now)


def last_departure(going: Sequence[Going], checked: Checked, *, now: datetime) -> datetime:
    """Return about when the last one would leave."""
    looked_at = going[:LOOKED_AT]
    last = max(departures(looked_at, checked, now=now), default=now)
    return now + (last - now) * (len(going) / len(looked_at)) if looked_at else now


def _place_in_queue(line: LetterLine) -> tuple[bool, datetime, int, int]:
    """Return what the queue is ordered by: queued before planned, by due time; planned as in the list."""
    if line.state is State.QUEUED:
        return False, line.due_at or line.planned_at, line.id, 0
    return True, line.planned_at, line.line, line.id


def _why_not(line: LetterLine, checked: Checked, wishes: Wishes, *, suppressed: bool, now: datetime) -> str:
    """Return why a letter would not go now; "" when it would."""
    zone = checked.settings.timezone
    match line.state:
        case State.SENT:
            return "sent already" + (f" ({local_moment(line.ended_at, zone)})" if line.ended_at else "")
        case State.IN_DOUBT:
            return "in doubt: `campaign resolve`"
        case State.PLANNED | State.QUEUED:
            pass
        case _:
            return f"{line.state}: {line.why}"
    if suppressed:
        return "suppressed: not to be written to"
    expires = checked.settings.expires
    if expires is not None and expires <= now:
        return "campaign.expires has passed"
    if line.due_at is not None and line.due_at > now and not wishes.now:
        return f"put off until {local_moment(line.due_at, zone)}: {line.why}"
    return ""
