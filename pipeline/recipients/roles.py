"""Role addresses that a letter should not go to: machines, postmasters, list commands.

Contract: `refused_role` names the role; a row that says ``role_ok = yes`` is let through by the caller.
Offices are not refused: info, office, press, consul, embassy and the like are whom one writes to (DESIGN 5).

Standards: RFC 2142 5 and 6 (postmaster, hostmaster, abuse, -request).

Limits: English names; a plus tag does not hide a role.
"""

from __future__ import annotations

REFUSED = frozenset(
    {
        "abuse",
        "postmaster",
        "hostmaster",
        "mailer-daemon",
        "noreply",
        "no-reply",
        "do-not-reply",
        "bounce",
        "bounces",
    }
)
REFUSED_ENDINGS = ("-request", "-owner")


def refused_role(key: str) -> str:
    """Return the refused role of an address, or ''.

    Args:
        key: ``Address.key``.
    """
    local = key.rpartition("@")[0].partition("+")[0]
    if local in REFUSED:
        return local
    return next((f"*{ending}" for ending in REFUSED_ENDINGS if local.endswith(ending)), "")
