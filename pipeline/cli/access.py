"""How a relay is spoken to: the login and the manner, from the settings."""

from __future__ import annotations

import os

from pipeline.config import Settings, read_password
from pipeline.delivery.connect import Credentials
from pipeline.delivery.relay import Pipelining
from pipeline.delivery.session import Manner

_MANNERS = {
    Pipelining.AUTO: Manner.CHAINED,
    Pipelining.GROUPED: Manner.GROUPED,
    Pipelining.OFF: Manner.SINGLE,
}


def manner(settings: Settings) -> Manner:
    """Return how commands are put on the wire at first."""
    return _MANNERS[settings.relay.pipelining]


def credentials(settings: Settings) -> Credentials | None:
    """Return how to log in; None where no user is named or no password.

    The password is read now, so that a missing one ends the command before anything happens, and read anew
    for each later login: a token may have been renewed. Raises Unusable.
    """
    password = read_password(settings, environ=os.environ)
    if password is None or settings.relay.user is None:
        return None
    first = [password]

    def secret() -> str:
        fresh = first.pop() if first else read_password(settings, environ=os.environ)
        return fresh.reveal() if fresh is not None else ""

    return Credentials(settings.relay.user, secret)
