"""Pairs of a recipient and a signatory become letters: identity, and the Message-ID that is fixed for life.

Pure. The identity of a letter is (campaign key, round, signatory key, recipient key); its Message-ID is
derived from that identity and the store's secret, so a restored backup that sends a letter again gives it the
same Message-ID and receivers can tell. Nobody can guess it, and it names nobody (RFC 5322 3.6.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from json.encoder import encode_basestring as _quoted
from typing import NamedTuple

from pipeline.mail.identity import base32, keyed_hash, message_id
from pipeline.recipients.cells import Cells
from pipeline.recipients.pairing import Pair

FIRST_ROUND = 0
MEMBERS = "signatory.members"  # in a joint letter's row: the keys of those who sign, a space round each
CAMPAIGN_ITSELF = ""  # the signatory key when the campaign writes in its own name


class PlannedLetter(NamedTuple):
    """What the store needs of a pair: its identity, and what today's letter is made from."""

    recipient: str
    message_id: str
    email: str
    domain: str
    language: str
    timezone: str
    line: int
    row: str  # JSON: the recipient's cells, and the signatory's under "signatory.name" and so on
    signatory: str = CAMPAIGN_ITSELF


def plan_letters(
    pairs: Iterable[Pair], *, campaign: str, author_domain: str, secret: bytes
) -> Iterator[PlannedLetter]:
    """Yield a planned letter for each pair, in order; ``secret`` is the store's, at least 16 octets."""
    for recipient, signatory in pairs:
        key = recipient.address.key
        signed_by = signatory.key if signatory is not None else CAMPAIGN_ITSELF
        cells = _cells(recipient.values)
        if signatory is not None:
            cells |= signatory.values
            if signatory.joint:
                cells[MEMBERS] = f" {' '.join(signatory.members)} "
        yield PlannedLetter(
            recipient=key,
            message_id=message_id(
                _local_part(campaign, FIRST_ROUND, signed_by, key, secret=secret), author_domain
            ),
            email=recipient.address.wire,
            domain=recipient.address.domain,
            language=recipient.language,
            timezone=recipient.timezone,
            line=recipient.line,
            row=_as_json(cells),
            signatory=signed_by,
        )


def message_id_of(
    campaign: str, round_: int, signatory: str, recipient: str, *, secret: bytes, domain: str
) -> str:
    """Return the Message-ID of an identity; ``secret`` is the store's, ``domain`` the author's."""
    return message_id(_local_part(campaign, round_, signatory, recipient, secret=secret), domain)


def _cells(values: Mapping[str, str]) -> dict[str, str]:
    return values.as_dict() if isinstance(values, Cells) else dict(values)


def _as_json(cells: Mapping[str, str]) -> str:
    """Return a JSON object, as `json` writes it without spaces; in half the time."""
    return "{" + ",".join([f"{_quoted(name)}:{_quoted(text)}" for name, text in cells.items()]) + "}"


def _local_part(campaign: str, round_: int, signatory: str, recipient: str, *, secret: bytes) -> str:
    """Return 26 letters and digits (130 bits) that stand for the identity."""
    text = f"{campaign}\x00{round_}\x00{signatory}\x00{recipient}"
    return base32(keyed_hash(secret, text.encode()), 26)
