"""flufl.bounce, Mailman's detector, asked where our own readers found no recipient.

It knows addresses only: no status, no reason; what it finds is classified from the text and never suppresses.
It is asked only about mail that a mail system wrote, for it takes a person's quotation of a bounce for one.

Limits: it is shown the first 200,000 octets and 5,000 lines; an exception of its is no opinion.
"""

from __future__ import annotations

import logging

LARGEST = 200_000  # octets
MOST_LINES = 5_000
_log = logging.getLogger(__name__)
# A detector that stumbles over a hostile mail tells the whole traceback to whoever listens; nobody need.
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)


def second_opinion(raw: bytes) -> tuple[frozenset[str], frozenset[str]]:
    """Return the addresses flufl.bounce takes for failed for now and for good."""
    if not raw:
        return frozenset(), frozenset()
    import email

    from flufl.bounce import all_failures

    front = b"\n".join(raw[:LARGEST].split(b"\n")[:MOST_LINES])
    try:
        temporary, permanent = all_failures(email.message_from_bytes(front))
    except Exception as fault:  # a foreign parser on hostile bytes
        _log.debug("flufl.bounce gave no opinion: %s", type(fault).__name__)
        return frozenset(), frozenset()
    return _addresses(temporary), _addresses(permanent)


def _addresses(found: object) -> frozenset[str]:
    if not isinstance(found, set | frozenset):
        return frozenset()
    texts = (item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in found)
    return frozenset(text for text in texts if "@" in text)
