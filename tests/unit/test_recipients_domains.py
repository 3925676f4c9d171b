"""Lookalikes: slips of the finger and letters of two scripts."""

from __future__ import annotations

import pytest

from pipeline.recipients.domains import MAIL_DOMAINS, meant_domain, mixed_scripts


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("gmial.com", "gmail.com"),
        ("gmai.com", "gmail.com"),
        ("gmaill.com", "gmail.com"),
        ("gnail.com", "gmail.com"),
        ("gmail.con", "gmail.com"),
        ("gmail.co", "gmail.com"),
        ("hotmial.com", "hotmail.com"),
        ("yahooo.com", "yahoo.com"),
        ("outlok.com", "outlook.com"),
        ("yandx.ru", "yandex.ru"),
    ],
)
def test_one_slip_from_a_known_domain_is_seen(written: str, meant: str) -> None:
    """FAULTS 27: a letter left out, doubled, mistaken or swapped."""
    assert meant_domain(written) == meant


@pytest.mark.parametrize(
    "domain",
    [
        *MAIL_DOMAINS,
        "mail.com",
        "ymail.com",
        "gmx.at",
        "email.com",
        "yahoo.gr",
        "hotmail.gr",
        "outlook.fr",
        "embassy.example",
        "mfa.gov.example",
        "x.org",
    ],
)
def test_real_domains_are_left_alone(domain: str) -> None:
    """Also those that happen to be one slip away, and the same name in another country."""
    assert meant_domain(domain) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("аdmin", 'a Cyrillic "а" among Latin letters'),
        ("gmаil.com", 'a Cyrillic "а" among Latin letters'),
        ("cοnsul", 'a Greek "ο" among Latin letters'),
        ("сосо.example", 'Cyrillic letters that look like Latin ones: "сосо"'),
    ],
)
def test_letters_of_two_scripts_are_named(text: str, words: str) -> None:
    """UTS 39 5.1, where it matters here."""
    assert mixed_scripts(text) == words


@pytest.mark.parametrize(
    "text", ["consul", "посольство.рф", "пример.example", "υπουργείο.example", "bücher", "日本語テスト"]
)
def test_words_of_one_script_are_plain(text: str) -> None:
    """A label in one script is what it seems, also next to a Latin label."""
    assert mixed_scripts(text) == ""
