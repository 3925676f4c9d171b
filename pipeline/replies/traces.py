"""What a mail carries that may tie it to a letter of ours.

Contract: `traces` takes a `Mail`, `traces_of_forwarded` an inner mail that somebody passed on; both give
`Traces`, values only, which `pipeline.replies.matching` weighs. Nothing here believes anything: a token is
text in an address, an id is text between brackets.

RFC 3464 2.2.1 (Original-Envelope-Id), RFC 3461 4 (xtext), RFC 3462 (text/rfc822-headers), RFC 5322 3.6.4
(identification fields); Delivered-To, X-Original-To, Envelope-To and X-Envelope-To are what deliverers write.

Limits: 200 addresses, 100 ids of each sort; of notifications without machine-readable parts the first
100,000 characters are searched for the returned header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from pipeline.mail.fields import Fields, HeaderBound, read_fields
from pipeline.mail.mime import Mail
from pipeline.replies.dates import header_date
from pipeline.replies.forwarded import Forwarded
from pipeline.replies.subject import is_forward, topic
from pipeline.replies.text import reply_of, text_lines

MOST_ADDRESSES = 200
MOST_IDS = 100
SEARCHED = 100_000  # characters of a notification's text

_CAME_TO = (
    *("Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "X-Delivered-To", "X-Rcpt-To"),
    *("To", "Cc", "Resent-To", "Apparently-To"),
)
_WENT_FROM = ("Return-Path", "X-Return-Path", "Reply-To", "Errors-To", "Sender", "X-Envelope-From")
_IDS = r"[ \t]*:[ \t]*(?:\n[ \t]{1,20})?(<[^\n]{1,2000}(?:\n[ \t>|]{1,20}<[^\n]{1,2000}){0,20})"
_RETURNED_ID = re.compile(r"^[ \t>|]{0,20}Message-ID" + _IDS, re.I | re.M)
_RETURNED_REFERENCES = re.compile(r"^[ \t>|]{0,20}References" + _IDS, re.I | re.M)
_RETURNED_PATH = re.compile(
    r"^[ \t>|]{0,20}(?:Return-Path|Reply-To|Errors-To)[ \t]*:([^\n]{1,1000})", re.I | re.M
)
_ENVELOPE_ID = re.compile(r"^[ \t>|]{0,20}Original-Envelope-Id[ \t]*:[ \t]*(\S{1,200})", re.I | re.M)
_ID = re.compile(r"<([^<>\s]{1,500})>")
_BARE = re.compile(r"[^\s<>()\[\]:;,\"@]{1,64}@[^\s<>()\[\]:;,\"@]{1,255}")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")


@dataclass(frozen=True, slots=True)
class Traces:
    """Where a mail went, what it names, whom it is from and what it repeats."""

    came_to: tuple[str, ...] = ()  # addresses, of the mail and of what it returns
    envelope_ids: tuple[str, ...] = ()
    returned_ids: tuple[str, ...] = ()  # Message-ID of a returned message
    returned_references: tuple[str, ...] = ()  # its References: a relay may have put another id over ours
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()  # oldest first
    topic: str = ""
    author: str = ""  # address
    quoted: str = ""
    written: datetime | None = None
    forwarded_by: str = ""  # address of who passed it on; "" where nobody did


def traces(mail: Mail) -> Traces:
    """Return what a mail carries; of one that could not be read, what its header does."""
    returned = list(_returned(mail))
    lines = text_lines(mail)
    text = "\n".join(line.text for line in lines)[:SEARCHED]
    ids = [found for fields in returned for found in fields.message_ids("Message-ID")]
    ids += [found for line in _RETURNED_ID.findall(text) for found in _ID.findall(line)]
    references = [found for fields in returned for found in fields.message_ids("References")]
    references += [found for line in _RETURNED_REFERENCES.findall(text) for found in _ID.findall(line)]
    came_to = [address for _, address in mail.headers.addresses(*_CAME_TO)]
    for fields in returned:
        came_to += [address for _, address in fields.addresses(*_WENT_FROM)]
    came_to += [address for line in _RETURNED_PATH.findall(text) for address in _BARE.findall(line)]
    return Traces(
        _few(came_to, MOST_ADDRESSES),
        _few([*_envelope_ids(mail), *map(_undone, _ENVELOPE_ID.findall(text))], MOST_IDS),
        _few(ids, MOST_IDS),
        _few(references, MOST_IDS),
        _few(mail.headers.message_ids("In-Reply-To"), MOST_IDS),
        mail.headers.message_ids("References")[-MOST_IDS:],
        topic(mail.subject),
        mail.author[1],
        reply_of(lines, forward=is_forward(mail.subject)).quoted,
        header_date(mail.headers.get("Date")),
    )


def traces_of_forwarded(inner: Forwarded) -> Traces:
    """Return what an inner mail carries, as its forwarder shows it."""
    by = inner.by[1]
    if inner.mail is not None:
        return replace(traces(inner.mail), forwarded_by=by)
    return Traces(
        came_to=inner.to[:MOST_ADDRESSES],
        topic=topic(inner.subject),
        author=inner.address,
        quoted=inner.text.quoted,
        written=inner.date,
        forwarded_by=by,
    )


def _returned(mail: Mail) -> Iterator[Fields]:
    """Yield the headers of messages that a mail holds: returned by a server, or attached to an answer."""
    for part in mail.walk():
        if part.is_message:
            yield part.children[0].headers
        elif part.type in {"text/rfc822-headers", "message/rfc822-headers", "message/global-headers"}:
            yield _fields(part.content)


def _fields(content: bytes) -> Fields:
    """Return the fields at the front of some octets; where there are too many, those that were read."""
    try:
        return read_fields(content)[0]
    except HeaderBound as bound:
        return Fields(bound.fields)


def _envelope_ids(mail: Mail) -> Iterator[str]:
    for part in mail.walk(into_messages=False):
        if part.type in {"message/delivery-status", "message/global-delivery-status"}:
            for value in _fields(part.content).all("Original-Envelope-Id"):
                yield _undone(value.strip())


def _undone(text: str) -> str:
    """Return what xtext stands for (RFC 3461 4)."""
    return _XTEXT.sub(lambda found: chr(int(found[1], 16)), text)


def _few(found: Iterable[str], most: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found))[:most]
