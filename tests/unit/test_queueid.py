"""The relay's own number of a letter, out of the words of its 250."""

from __future__ import annotations

import pytest

from pipeline.mail.queueid import LONGEST, queue_id
from pipeline.mail.response import response

SAID = [
    ("2.0.0 Ok: queued as 4Zl1fD2xYzz9sV", "4Zl1fD2xYzz9sV"),
    ("2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 3F1A22C0E1", "3F1A22C0E1"),
    ("OK id=1tFs4B-000000087Xz-2QkA", "1tFs4B-000000087Xz-2QkA"),
    ("Requested mail action okay, completed: id=1MpDnj-1tLqJU0jWb-00ZWxr", "1MpDnj-1tLqJU0jWb-00ZWxr"),
    (
        "2.6.0 <a@b.example> [InternalId=80217629950126, Hostname=AM0PR04MB4131.eurprd04.prod.outlook.com] "
        "12345 bytes in 0.123, 97.9 KB/sec Queued mail for delivery",
        "80217629950126",
    ),
    (
        "2.0.0 OK  1732616305 5b1f17b1804b1-434b0d9b6f3si12345678f8f.12 - gsmtp",
        "5b1f17b1804b1-434b0d9b6f3si12345678f8f.12",
    ),
    (
        "Ok 0102019367a1b2c3-5f0c0f7e-1d2c-4a3b-9e8d-7c6b5a493827-000000",
        "0102019367a1b2c3-5f0c0f7e-1d2c-4a3b-9e8d-7c6b5a493827-000000",
    ),
    ("2.0.0 4AQB0Xbc012345 Message accepted for delivery", "4AQB0Xbc012345"),
    ("2.0.0 3c1f9e2a Message accepted for delivery", "3c1f9e2a"),
    ("ok 1732616305 qp 12345", "1732616305 qp 12345"),
    (
        "Message Queued (5AD8B2D6-9E31-4A52-8B1F-3F6F3E1D9E11.1)",
        "5AD8B2D6-9E31-4A52-8B1F-3F6F3E1D9E11.1",
    ),
    (
        "2.0.0 Ok: queued on mail-nwsmtp-smtp-production-main-45.sas.yp-c.yandex.net as 1732616305-AbCdEf12",
        "1732616305-AbCdEf12",
    ),
    ("2.0.0 Message queued with id 1a2b3c4d.", "1a2b3c4d"),
    ("OK ids=d7ef132b5d7711eea8c8000c29c33806", "d7ef132b5d7711eea8c8000c29c33806"),
    ("SmtpThread-12-1732616305@uk-mta.example Received OK [dq4XpB9iNLW3.uk140]", "dq4XpB9iNLW3.uk140"),
    ("2.0.0 OK: queued as <202611261018.12345@smtp-relay.example>", "202611261018.12345@smtp-relay.example"),
    ("2.0.0 filed as 1795688712", "1795688712"),
]
WITHOUT = ["OK", "2.0.0 Ok", "Message accepted for delivery", "Queued mail for delivery", "ok dirdel", ""]


@pytest.mark.parametrize(("said", "number"), SAID, ids=[number for _, number in SAID])
def test_the_number_is_found(said: str, number: str) -> None:
    """As Postfix, Exim, Exchange, Gmail, Amazon and others write it."""
    assert queue_id(response(250, said).text) == number


@pytest.mark.parametrize("said", WITHOUT)
def test_words_that_are_no_number_are_not_taken_for_one(said: str) -> None:
    """No guess: the whole text is kept anyway."""
    assert queue_id(response(250, said).text) == ""


def test_a_number_is_bounded() -> None:
    """A server may say what it likes."""
    assert len(queue_id("queued as " + "A" * 5_000)) == LONGEST
