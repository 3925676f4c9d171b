"""The envelope as the relay's offer allows it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from pipeline.delivery.connect import Offer
from pipeline.delivery.letter import Letter
from pipeline.delivery.parcel import Composed, Packing, Unfit, xtext

LETTER = Letter(
    id=7, message_id="<m@author.example>", recipient_key="ada@office.example", email="Ada@office.example",
    domain="office.example", language="en", timezone="", attempts=2, deferrals=0, line=2, values={},
)  # fmt: skip
TEXT = b"Subject: x\r\n\r\n.dot\r\n"
BUILT = datetime(2027, 5, 3, tzinfo=UTC)


def packing(
    text: bytes = TEXT, *, return_path: str = "letters@author.example", eightbit: bool = False
) -> Packing:
    """Return a packing whose every letter is ``text``."""
    return Packing(
        compose=lambda letter, allowed: Composed(text if not allowed else "é".encode(), BUILT),
        return_path=lambda letter: return_path,
        envelope_id=lambda letter: f"may+{letter.id}",
        eightbit=eightbit,
    )


def test_bare_envelope() -> None:
    """Without an offer there is no parameter; the address goes as it is written."""
    parcel = packing().pack(LETTER, Offer())
    assert parcel.mail == b"MAIL FROM:<letters@author.example>"
    assert parcel.rcpt == b"RCPT TO:<Ada@office.example>"


def test_next_attempt_with_the_bytes_to_freeze() -> None:
    """The attempt follows the last; the text is stuffed for the wire and kept unstuffed."""
    parcel = packing().pack(LETTER, Offer())
    assert parcel.attempt == 3
    assert parcel.content == TEXT
    assert parcel.wire == b"Subject: x\r\n\r\n..dot\r\n"
    assert parcel.sha256 == ""  # whoever freezes it reckons it
    assert parcel.built_at == BUILT


@pytest.mark.parametrize(
    ("offer", "words"),
    [
        (Offer(announces_size=True), b" SIZE=20"),
        (Offer(announces_size=True, size=1000), b" SIZE=20"),
        (Offer(dsn=True), b" RET=HDRS ENVID=may+2B7"),
        (Offer(eightbit=True, smtputf8=True, pipelining=True), b""),
    ],
)
def test_parameters_of_mail(offer: Offer, words: bytes) -> None:
    """Each only where it was offered and is needed."""
    assert packing().pack(LETTER, offer).mail == b"MAIL FROM:<letters@author.example>" + words


def test_notices_are_asked_for_with_the_address_as_it_was() -> None:
    """NOTIFY and ORCPT in xtext (RFC 3461 4.1, 4.2)."""
    letter = LETTER._replace(email="ada+may=x@office.example")
    expected = (
        b"RCPT TO:<ada+may=x@office.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;ada+2Bmay+3Dx@office.example"
    )
    assert packing().pack(letter, Offer(dsn=True)).rcpt == expected


def test_eight_bit_body_only_when_wanted_and_offered() -> None:
    """The composer may use 8 bits when both sides can; then MAIL says so."""
    assert packing(eightbit=True).pack(LETTER, Offer()).content == TEXT
    assert packing(eightbit=True).pack(LETTER, Offer(eightbit=True)).mail.endswith(b" BODY=8BITMIME")
    assert packing().pack(LETTER, Offer(eightbit=True)).content == TEXT


@pytest.mark.parametrize(
    ("email", "return_path"),
    [("léa@office.example", "letters@author.example"), ("ada@office.example", "écrire@author.example")],
)
def test_smtputf8_for_any_address_that_needs_it(email: str, return_path: str) -> None:
    """The recipient's or our own; without the offer the letter does not go."""
    letter = LETTER._replace(email=email)
    pack = packing(return_path=return_path).pack
    assert pack(letter, Offer(smtputf8=True)).mail.endswith(b"> SMTPUTF8")
    with pytest.raises(Unfit, match="SMTPUTF8"):
        pack(letter, Offer())


def test_no_original_recipient_for_an_address_beyond_ascii() -> None:
    """rfc822 ORCPT is ASCII."""
    letter = LETTER._replace(email="léa@office.example")
    assert b"ORCPT" not in packing().pack(letter, Offer(smtputf8=True, dsn=True)).rcpt


def test_too_large() -> None:
    """A letter over the relay's limit is not offered; one of exactly that size is."""
    assert packing().pack(LETTER, Offer(size=20, announces_size=True)).content == TEXT
    with pytest.raises(Unfit, match="it has 20 octets; the relay takes 19"):
        packing().pack(LETTER, Offer(size=19, announces_size=True))


def test_frozen_eight_bit_text_and_a_relay_that_lost_8bitmime() -> None:
    """The bytes may not change any more, so the letter does not go."""
    with pytest.raises(Unfit, match="8BITMIME"):
        packing("é\r\n".encode()).pack(LETTER, Offer())


def test_text_that_changed_since_its_first_attempt() -> None:
    """What was permitted once is what goes, or nothing does."""
    with pytest.raises(Unfit, match="changed since its first attempt"):
        packing().pack(LETTER._replace(sha256="0" * 64), Offer())
    same = LETTER._replace(sha256=hashlib.sha256(TEXT).hexdigest())
    assert packing().pack(same, Offer()).content == TEXT


@pytest.mark.parametrize(
    "address",
    ["ada@x.example>\r\nRCPT TO:<eve@x.example", "ada\x00@x.example", "a\x7f@x.example", "a" * 3_000],
)
def test_no_address_adds_a_command(address: str) -> None:
    """Control characters and endless lines never reach the wire, wherever they come from."""
    with pytest.raises(Unfit):
        packing().pack(LETTER._replace(email=address), Offer())
    with pytest.raises(Unfit):
        packing(return_path=address).pack(LETTER, Offer())


def test_xtext() -> None:
    """Printable ASCII stays, but for "+", "=" and the space (RFC 3461 4)."""
    assert xtext("a b+c=d~!") == "a+20b+2Bc+3Dd~!"
