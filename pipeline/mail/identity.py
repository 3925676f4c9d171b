"""What makes a letter recognisable for life: its Message-ID, and the token in its return path.

Both are made once, at planning, and stored with the letter. The token lets a notification that quotes
nothing of the letter find it by the address it came to (`letters+TOKEN@example.org`); the HMAC in it keeps
strangers from inventing tokens. Receivers may fold the case of a local part (RFC 5321 2.4), so a token is
lower case when written and read in any case.

RFC 5322 3.6.4 (msg-id: `<dot-atom@dot-atom>`), RFC 5321 4.5.3.1.1 (a local part has at most 64 octets),
RFC 5233 (subaddress), RFC 4648 6 (base32), RFC 2104 (HMAC).

Limits: no quoted local parts and no domain literals; 80 bits of HMAC, which is enough against guessing by
mail.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from functools import lru_cache

MAC_LETTERS = 16  # 80 bits
SMALLEST_KEY = 16  # octets
LARGEST_NUMBER = 2**63 - 1
_BLOCK = 64  # octets of SHA-256

_DIGITS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]  # what ten bits are in base32
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_TOKEN = re.compile(rf"([a-z2-7]{{1,13}})([a-z2-7]{{{MAC_LETTERS}}})")


def message_id(local: str, domain: str) -> str:
    """Return `<local@domain>` (RFC 5322 3.6.4); ValueError where either is not a dot-atom of ASCII."""
    if not _LOCAL.fullmatch(local) or len(local) > 128:
        raise ValueError("not the left side of a Message-ID")
    if not _DOMAIN.fullmatch(domain) or len(domain) > 253:
        raise ValueError("not a domain in ASCII")
    return f"<{local}@{domain}>"


def letter_token(number: int, key: bytes) -> str:
    """Return the token of letter ``number``: the number in base32, then 16 characters of HMAC-SHA256, lower
    case.

    ``number`` is 1 or more and below 2**63, ``key`` at least 16 octets; else ValueError. At most 29
    characters.
    """
    if not 0 < number <= LARGEST_NUMBER:
        raise ValueError("a letter's number is 1 or more")
    if len(key) < SMALLEST_KEY:
        raise ValueError(f"the key has fewer than {SMALLEST_KEY} octets")
    return _in_base32(number) + _mac(number, key)


def read_token(token: str, key: bytes) -> int | None:
    """Return the number of the letter ``token`` was made for; None where it was not made with ``key``.

    Any case is read; the comparison takes the same time for every wrong token.
    """
    if len(key) < SMALLEST_KEY:
        raise ValueError(f"the key has fewer than {SMALLEST_KEY} octets")
    parts = _TOKEN.fullmatch(token.lower()) if token.isascii() else None
    if parts is None:
        return None
    digits, mac = parts.groups()
    number = _from_base32(digits)
    right = hmac.compare_digest(mac, _mac(number, key))
    return number if right and digits == _in_base32(number) else None


def _in_base32(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 32)
        digits = _DIGITS[rest] + digits
    return digits or _DIGITS[0]


def _from_base32(digits: str) -> int:
    number = 0
    for digit in digits:
        number = number * 32 + _DIGITS.index(digit)
    return number


def _mac(number: int, key: bytes) -> str:
    octets = keyed_hash(key, b"letter %d" % number)
    high, low = int.from_bytes(octets[:5], "big"), int.from_bytes(octets[5:10], "big")
    pairs = _PAIRS
    return (  # what `base32` gives, in half the time: each letter has one
        pairs[high >> 30]
        + pairs[high >> 20 & 1023]
        + pairs[high >> 10 & 1023]
        + pairs[high & 1023]
        + pairs[low >> 30]
        + pairs[low >> 20 & 1023]
        + pairs[low >> 10 & 1023]
        + pairs[low & 1023]
    )


def keyed_hash(key: bytes, text: bytes) -> bytes:
    """Return HMAC-SHA256 (RFC 2104); for a key that is used again and again half as long as `hmac` takes."""
    begun = _begun(key)
    inner, outer = begun[0].copy(), begun[1].copy()
    inner.update(text)
    outer.update(inner.digest())
    return outer.digest()


def base32(octets: bytes, letters: int) -> str:
    """Return the first ``letters`` (an even number) of octets in base32 (RFC 4648 6), lower case."""
    used = -(-letters * 5 // 8)
    bits = int.from_bytes(octets[:used], "big") >> used * 8 - letters * 5
    return "".join([_PAIRS[bits >> shift & 1023] for shift in range(letters * 5 - 10, -1, -10)])


@lru_cache(maxsize=4)
def _begun(key: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    """Return the inner and the outer hash of RFC 2104 2 over the key alone."""
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    inner, outer = (hashlib.sha256(bytes(octet ^ pad for octet in block)) for pad in (0x36, 0x5C))
    return inner, outer
