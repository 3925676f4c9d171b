"""The quick way for addresses on plain and on known domains gives what the whole way gives."""

from __future__ import annotations

from unittest import mock

import email_validator
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.mail import address
from pipeline.mail.address import Address, AddressFault, parse_address

DOMAINS = (
    "example.org",
    "Mail.Example.COM",
    "münchen.example",
    "xn--mnchen-3ya.example",
    "d" * 60 + ".example",
)
locals_ = st.text("abcXYZ019.!#$%&'*+/=?^_`{|}~-\"@ é(),:;<>[]\\", max_size=70)
foreign = st.text(st.characters(codec="utf-8"), max_size=70) | st.text("абвßİςé٣Ⅳ²日本.a1", max_size=70)


@pytest.fixture(autouse=True)
def no_known_domains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins with no domain known."""
    monkeypatch.setattr(address, "_KNOWN_DOMAINS", {})


def verdict(text: str) -> Address | str:
    """Return what becomes of a text."""
    try:
        return parse_address(text)
    except AddressFault as fault:
        return str(fault)


def whole(text: str) -> Address | str:
    """Return what becomes of a text that goes the whole way."""
    with mock.patch.object(address, "quick_address", return_value=None):
        return verdict(text)


@given(locals_, st.sampled_from(DOMAINS))
@example("a" * 64, "example.org")
@example("a" * 65, "example.org")
@example("=?utf-8?q?x?=", "example.org")
@example("a..b", "example.org")
@example("mailto:a", "example.org")
@example("O'Neil+x", "example.org")
def test_a_known_domain_changes_no_verdict(local: str, domain: str) -> None:
    """Accepted or refused, and in all its forms: as on a domain seen for the first time."""
    text = f"{local}@{domain}"
    address._KNOWN_DOMAINS.clear()
    found = whole(text)
    address._KNOWN_DOMAINS.clear()
    assert verdict(text) == found
    verdict(f"somebody@{domain}")
    assert verdict(text) == found


@given(foreign, st.sampled_from(DOMAINS))
@example("jörg.meyer", "example.org")
@example("é" * 64, "d" * 60 + ".example")
@example("日" * 64, "münchen.example")
@example("日" * 64, "d" * 60 + ".example")
@example("a\u0301", "example.org")
@example("\u0301a", "example.org")
@example("ß.İ", "münchen.example")
def test_nor_does_it_for_local_parts_of_any_script(local: str, domain: str) -> None:
    """Letters and digits of all kinds, and what looks like them."""
    test_a_known_domain_changes_no_verdict.hypothesis.inner_test(local, domain)  # type: ignore[attr-defined]


labels = st.text("abxn019-A_é", max_size=66) | st.sampled_from(["xn--", "xn--mnchen-3ya", "a" * 63, "a" * 64])
ends = st.sampled_from(["org", "ORG", "o", "0rg", "123", "x" * 64, "", *sorted(address._RESERVED)])


@given(st.lists(labels, max_size=5), labels | ends)
@example(["example"], "org")
@example(["x", "test"], "example")
@example(["example"], "test")
@example(["ab--c"], "org")
@example(["xn--mnchen-3ya"], "example")
@example(["a" * 63] * 3 + ["b" * 57], "org")
@example(["a" * 63] * 3 + ["b" * 56], "org")
@example(["exa mple"], "org")
@example(["example"], "org\n")
def test_a_plain_domain_needs_no_library(before: list[str], last: str) -> None:
    """What is let in without it is what it lets in, in the same forms; it is asked about all others."""
    text = f"a@{'.'.join([*before, last])}"
    found = whole(text)
    address._KNOWN_DOMAINS.clear()
    assert verdict(text) == found
    assert verdict(text) == found


def test_domains_that_the_library_reserves_are_reserved_here() -> None:
    """A newer one that refuses more is found out."""
    assert set(email_validator.SPECIAL_USE_DOMAIN_NAMES) <= address._RESERVED


def test_only_domains_that_were_let_in_are_known() -> None:
    """A refused domain is looked at again each time."""
    for text in ("a@no-dot", "a@example.test", "a@-x.example", "a b@example.org"):
        assert isinstance(verdict(text), str)
    assert address._KNOWN_DOMAINS == {}


def test_known_domains_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list with a new domain in every row costs time, not memory."""
    monkeypatch.setattr(address, "MOST_KNOWN_DOMAINS", 3)
    for number in range(9):
        parse_address(f"a@d{number}.example")
    assert len(address._KNOWN_DOMAINS) == 3
