"""Tokens and keyed hashes: what makes a letter recognisable for life."""

from __future__ import annotations

import base64
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.mail.identity import LARGEST_NUMBER, keyed_hash, letter_token, read_token

KEY = b"k" * 32


@given(key=st.binary(min_size=1, max_size=200), text=st.binary(max_size=300))
def test_the_keyed_hash_is_the_hmac_of_the_library(key: bytes, text: bytes) -> None:
    """Keys shorter than a block, as long and longer, and any text: the same as Python's own HMAC-SHA256."""
    assert keyed_hash(key, text) == hmac.digest(key, text, "sha256")


@given(number=st.integers(1, LARGEST_NUMBER))
def test_a_token_gives_its_number_back(number: int) -> None:
    """In any case of letters, and to its own key alone."""
    token = letter_token(number, KEY)
    assert read_token(token.upper(), KEY) == number
    assert read_token(token, b"x" * 32) is None


@pytest.mark.parametrize("token", ["", "a", "b" * 17, "é" * 20, "b" + "a" * 16])
def test_what_nobody_made_is_no_token(token: str) -> None:
    """Too short, foreign letters, or a guess."""
    assert read_token(token, KEY) is None


@given(st.integers(1, LARGEST_NUMBER))
def test_a_token_ends_in_the_hmac_in_base32(number: int) -> None:
    """Its first 80 bits, as the library writes them."""
    mac = hmac.digest(KEY, b"letter %d" % number, "sha256")
    assert letter_token(number, KEY)[-16:] == base64.b32encode(mac[:10]).decode().lower()
