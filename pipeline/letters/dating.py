"""Set the Date of a finished message anew, and nothing else in it.

RFC 5322 3.6.1 (Date: when the author put it into its final form). A letter that was written weeks before it
leaves looks to receivers like one held up on the way, and is rated as spam; so what was approved long ago
leaves with the day it leaves.

Contract: the header has one Date, on one line, as `message.build_message` writes it; MessageFault otherwise.
"""

from __future__ import annotations

from pipeline.letters.message import MessageFault

_FIELD = b"\r\nDate: "


def with_date(message: bytes, date: bytes) -> bytes:
    """Return the message with another value of its Date field."""
    end = message.find(b"\r\n\r\n")
    start = message.find(_FIELD, 0, end)
    if start < 0 or message.find(_FIELD, start + 1, end) >= 0:
        raise MessageFault("the draft does not have exactly one Date")
    start += len(_FIELD)
    stop = message.index(b"\r\n", start)
    if message[stop + 2 : stop + 3] in (b" ", b"\t"):
        raise MessageFault("the draft's Date goes over several lines")
    return b"".join((message[:start], date, message[stop:]))
