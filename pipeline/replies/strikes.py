"""When does a bounce stop letters to an address? The one table, with the one set of numbers.

    what came back                                        what follows
    the server's own words: no such address or domain     suppressed at once (`Recipient.suppress`)
    full                                                  suppressed after `TIMES` of them, the first and the
                                                          last `SPAN` or more apart
    no such address, no such domain, disabled, moved,     the same: words that a living address may get, too
        but not in clear words
    rate, content, policy, relay, loop, unreachable,      never: they speak of the letter, of us, or of a
        expired, system, unclassified                     server

A sign of life - a mail from the address, an automatic one too, or a delivery notice - forgets the strikes.
Strikes are counted over all campaigns, for a campaign writes to an address once. They count within `MEMORY`.

Pure: values in, values out. The words of reasons are `pipeline.replies.reasons`' business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.recipients import suppression
from pipeline.replies.kinds import Reason

TIMES = 3  # bounces
SPAN = timedelta(days=30)  # between the first and the last of them, at least
MEMORY = timedelta(days=365)
ABOUT_THE_ADDRESS = frozenset({Reason.NO_ADDRESS, Reason.NO_DOMAIN, Reason.DISABLED, Reason.MOVED})


@dataclass(frozen=True, slots=True)
class Strike:
    """A bounce that may mean the address; ``at`` is aware."""

    reason: Reason
    at: datetime


def counts(reason: Reason | None) -> bool:
    """Say whether a bounce for this reason is a strike."""
    return reason is Reason.FULL or reason in ABOUT_THE_ADDRESS


def suppressing(strikes: Iterable[Strike], *, now: datetime) -> suppression.Reason | None:
    """Return why an address with these strikes is not to be written to any more; None where it may be."""
    recent = sorted((one for one in strikes if one.at >= now - MEMORY), key=lambda one: one.at)
    if _enough([one.at for one in recent if one.reason is Reason.FULL]):
        return suppression.Reason.FULL
    if _enough([one.at for one in recent if one.reason in ABOUT_THE_ADDRESS]):
        return suppression.Reason.BOUNCED
    return None


def _enough(moments: list[datetime]) -> bool:
    return len(moments) >= TIMES and moments[-1] - moments[0] >= SPAN
