"""The number under which a server took a letter, found in what it said to the final dot.

No standard says where it stands: RFC 5321 4.2 leaves the text to the server. Known are the ways of Postfix
(and what speaks like it: SendGrid, Brevo, Yandex, amavis), Exim, Sendmail and OpenSMTPD, Exchange, Gmail,
Amazon SES, qmail, Haraka, Stalwart, KumoMTA and Mimecast. A text that none of them fits has no number here;
the text is kept whole elsewhere, so nothing is lost.
"""

from __future__ import annotations

import re

LONGEST = 200  # characters

_ID = r"<?([A-Za-z0-9][A-Za-z0-9._@+/=:-]*)>?"
_WAYS = tuple(
    re.compile(way, re.IGNORECASE)
    for way in (
        r"\[InternalId=(\d+)",  # Exchange
        rf"\bqueued (?:on \S+ )?as {_ID}",  # Postfix; Yandex names its host first
        r"\bqueued on \S+ (\d[A-Za-z0-9]*-[A-Za-z0-9-]+)",  # Yandex, without "as"
        rf"\bqueued with id {_ID}",  # Stalwart
        r"\bmessage queued \(([A-F0-9-]{8,}[A-F0-9.-]*)\)",  # Haraka
        rf"\bids?[=:] ?{_ID}",  # Exim; KumoMTA
        r"^ok +\d{9,} ([0-9a-z]+-[0-9a-z.]+) - gsmtp\b",  # Gmail
        r"^ok:? (\d{9,} qp \d+)",  # qmail
        r"^ok ([0-9a-f]{16}-[0-9a-f-]{30,})",  # Amazon SES
        r"^([A-Za-z0-9]{6,}) message accepted for delivery",  # Sendmail, OpenSMTPD
        r"\breceived ok \[([A-Za-z0-9._-]+)\]",  # Mimecast
        r"\bfiled as (\S+)",  # our sandbox
    )
)


def queue_id(text: str) -> str:
    """Return the server's number of a letter from the text of its 250, without codes; "" where none is
    recognised."""
    for way in _WAYS:
        if found := way.search(text):
            return found[1].rstrip(".,;:")[:LONGEST]
    return ""
