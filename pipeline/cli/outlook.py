"""What a send would do now: which letters would go and when, which would not and why.

Limits: what earlier runs have used up of a quota is not looked at; see `delivery/forecast.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.cli.folder import Checked
from pipeline.cli.pacing import effective_limits
from pipeline.cli.sending import Wishes
from pipeline.cli.telling import local_moment
from pipeline.delivery.forecast import Passing, forecast
from pipeline.delivery.letter import State
from pipeline.store.upcoming import Upcoming

LOOKED_AT = 20_000  # letters that pass one by one; the end of a longer queue is extrapolated


@dataclass(slots=True)
class Outlook:
    """The first letters that would go, in the order of the queue, the first that would not, and all of them
    as numbers.
    """

    going: list[Upcoming] = field(default_factory=list)  # at most `LOOKED_AT`
    staying: list[tuple[Upcoming, str]] = field(default_factory=list)  # with the reason; as many
    leaving: int = 0
    not_leaving: int = 0
    new: int = 0  # of those that leave
    suppressed: int = 0  # of those that do not
    languages: Counter[str] = field(default_factory=Counter)  # of those that leave

    def goes(self, letter: Upcoming) -> None:
        """Count a letter that would go."""
        self.leaving += 1
        self.new += letter.state is State.PLANNED
        self.languages[letter.language] += 1
        if len(self.going) < LOOKED_AT:
            self.going.append(letter)

    def stays(self, letter: Upcoming, why: str) -> None:
        """Count one that would not."""
        self.not_leaving += 1
        self.suppressed += why.startswith("suppressed")
        if len(self.staying) < LOOKED_AT:
            self.staying.append((letter, why))


def look_ahead(
    letters: Iterable[Upcoming],
    checked: Checked,
    wishes: Wishes,
    *,
    barred: Collection[str],
    withheld: Mapping[int, str],
    now: datetime,
) -> Outlook:
    """Sort letters, given in the order of the queue, into those that a send would take now and the others.

    ``barred`` are suppressed keys, ``withheld`` the letters that no send may release, by number, and why.
    """
    outlook = Outlook()
    for letter in letters:
        if wishes.only is not None and not {letter.key, letter.signatory} & set(wishes.only):
            continue
        why = _why_not(letter, checked, wishes, suppressed=letter.key in barred, now=now)
        if why := why or withheld.get(letter.id, ""):
            outlook.stays(letter, why)
        elif wishes.most is not None and outlook.leaving >= wishes.most:
            outlook.stays(letter, f"beyond --limit {wishes.most}")
        else:
            outlook.goes(letter)
    return outlook


def departures(going: Sequence[Upcoming], checked: Checked, *, now: datetime) -> list[datetime]:
    """Return when each letter would leave at the earliest."""
    settings = checked.settings
    passing = [Passing(one.key, one.domain, one.timezone) for one in going]
    return forecast(passing, effective_limits(settings), zone=settings.timezone, now=now)


def last_departure(outlook: Outlook, whens: Sequence[datetime], *, now: datetime) -> datetime:
    """Return about when the last one would leave; ``whens`` are the departures of ``outlook.going``."""
    last = max(whens, default=now)
    return now + (last - now) * (outlook.leaving / len(whens)) if whens else now


def _why_not(line: Upcoming, checked: Checked, wishes: Wishes, *, suppressed: bool, now: datetime) -> str:
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
