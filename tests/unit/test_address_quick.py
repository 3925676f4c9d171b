"""The quick way for addresses on known domains gives what the whole way gives."""

from __future__ import annotations

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
    first = verdict(text)
    verdict(f"somebody@{domain}")
    assert verdict(text) == first


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
