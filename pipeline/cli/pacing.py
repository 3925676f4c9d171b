"""The relay and the limits that hold in the world a command works in, and how they are shown."""

from __future__ import annotations

from pipeline.config import Settings
from pipeline.delivery.hours import show_hours
from pipeline.delivery.limits import Limits, show_limit
from pipeline.delivery.relay import Relay, RelayKind


def effective_limits(settings: Settings) -> Limits:
    """Return the limits that hold here: none in the sandbox, unless asked for."""
    limits = settings.limits
    if settings.relay.kind is RelayKind.SANDBOX and not limits.in_sandbox:
        return Limits(per_recipient=None)
    return limits


def relay_words(relay: Relay) -> str:
    """Return the relay for people."""
    return "the sandbox: nothing leaves this machine" if relay.kind is RelayKind.SANDBOX else relay.name


def show_limits(limits: Limits) -> str:
    """Return the limits in a line, for people and for the record of a run."""
    named = {
        "relay": limits.relay,
        "day": limits.day,
        "per domain": limits.per_domain,
        "per recipient": limits.per_recipient,
        **limits.domains,
    }
    parts = [f"{name} {show_limit(limit)}" for name, limit in named.items() if limit is not None]
    if limits.hours is not None:
        parts.append(f"hours {show_hours(limits.hours)}")
    return ", ".join(parts) or "none"
