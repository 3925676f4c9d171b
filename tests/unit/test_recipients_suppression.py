"""Suppressions: one hash per address and store, and records that hold together."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.mail.address import address_key
from pipeline.recipients.suppression import Reason, Suppression, suppression_hash

KEY = b"k" * 32
SINCE = datetime(2026, 5, 1, tzinfo=UTC)


def test_the_hash_is_hmac_sha256_in_hexadecimal() -> None:
    """RFC 4231 test case 2, with its key brought to our minimum by the zeros HMAC adds itself."""
    wanted = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert suppression_hash(b"Jefe".ljust(16, b"\0"), "what do ya want for nothing?") == wanted


def test_one_person_has_one_hash_however_written() -> None:
    """The hash is of the key, so case and IDN form do not let anybody through."""
    one, two = address_key("Consul@Пример.рф"), address_key("consul@xn--e1afmkfd.xn--p1ai")
    assert suppression_hash(KEY, one) == suppression_hash(KEY, two)


@given(st.binary(min_size=16, max_size=64), st.binary(min_size=16, max_size=64))
def test_another_store_has_other_hashes(one: bytes, two: bytes) -> None:
    """Hashes of two stores cannot be compared; HMAC pads keys with zeros, so those count as the same."""
    same = one.rstrip(b"\0") == two.rstrip(b"\0")
    hashes = {suppression_hash(key, "a@example.org") for key in (one, two)}
    assert len(hashes) == (1 if same else 2)


def test_a_short_key_is_refused() -> None:
    """It could be guessed together with the address."""
    with pytest.raises(ValueError, match="at least 16 octets"):
        suppression_hash(b"short", "a@example.org")


def test_a_record_without_a_time_zone_is_refused() -> None:
    """Dates in the store are instants."""
    with pytest.raises(ValueError, match="no time zone"):
        Suppression("0" * 64, None, Reason.OPTOUT, "reply 7", datetime(2026, 5, 1))  # noqa: DTZ001


def test_a_record_takes_only_a_hash() -> None:
    """An address in the hash's place would survive its erasure."""
    with pytest.raises(ValueError, match="64 lower-case"):
        Suppression("a@example.org", None, Reason.ERASED, "erase", SINCE)


def test_an_erased_record_still_knows_the_person() -> None:
    """The hash alone keeps an address suppressed after `erase`."""
    record = Suppression(suppression_hash(KEY, "a@example.org"), None, Reason.ERASED, "erase", SINCE)
    assert record.hash == suppression_hash(KEY, address_key("A@example.org"))
    assert record.address is None
