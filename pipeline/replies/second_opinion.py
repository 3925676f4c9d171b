"""flufl.bounce, Mailman's detector, asked where our own readers found no recipient.

It knows addresses only: no status, no reason; what it finds is classified from the text and never suppresses.
It is asked only about mail that a mail system wrote, for it takes a person's quotation of a bounce for one.

Limits: mail of more than 1 MiB is not shown to it; an exception of its is no opinion.
"""

from __future__ import annotations

import logging

LARGEST = 1024 * 1024  # octets
_log = logging.getLogger(__name__)


def second_opinion(raw: bytes) -> tuple[frozenset[str], frozenset[str]]:
    """Return the addresses flufl.bounce takes for failed for now and for good."""
    if not raw or len(raw) > LARGEST:
        return frozenset(), frozenset()
    import email

    from flufl.bounce import all_failures

    try:
        temporary, permanent = all_failures(email.message_from_bytes(raw))
    except Exception as fault:  # a foreign parser on hostile bytes
        _log.debug("flufl.bounce gave no opinion: %s", type(fault).__name__)
        return frozenset(), frozenset()
    return _addresses(temporary), _addresses(permanent)


def _addresses(found: object) -> frozenset[str]:
    if not isinstance(found, set | frozenset):
        return frozenset()
    texts = (item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in found)
    return frozenset(text for text in texts if "@" in text)
