"""Addresses: what is one, what goes on the wire, and which are the same."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.mail.address import (
    AddressFault,
    address_key,
    holds_encoded_word,
    parse_address,
    parse_mailbox,
    unsafe_character,
)

LOCAL = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=20)
INTERNATIONAL_LOCAL = st.text("abcжщюяλωψéñ0", min_size=1, max_size=20)
DOMAIN = st.sampled_from(["example.org", "пример.рф", "bücher.example", "παράδειγμα.example", "a.b.example"])
SPACES = st.text(" \t\u00a0", max_size=3)


def test_the_local_part_keeps_its_case_on_the_wire() -> None:
    """RFC 5321 2.4: only the receiving host may say what case means."""
    address = parse_address("Consul.General@Embassy.EXAMPLE")
    assert address.wire == "Consul.General@embassy.example"
    assert address.written == "Consul.General@Embassy.EXAMPLE"
    assert address.key == "consul.general@embassy.example"


def test_names_of_rfc_2142_keep_their_case_too() -> None:
    """The library would fold Info to info; the wire carries what was written."""
    assert parse_address("Info@example.org").wire == "Info@example.org"


def test_an_idn_domain_becomes_a_labels_and_is_shown_in_its_own_letters() -> None:
    """RFC 5890: A-labels on the wire, U-labels for people."""
    address = parse_address("consul@Пример.рф")
    assert (address.domain, address.domain_shown) == ("xn--e1afmkfd.xn--p1ai", "пример.рф")
    assert address.wire == "consul@xn--e1afmkfd.xn--p1ai"
    assert not address.smtputf8


def test_a_local_part_beyond_ascii_needs_smtputf8() -> None:
    """RFC 6531: only the local part decides, for the domain has an ASCII form."""
    assert parse_address("посол@example.org").smtputf8


def test_a_decomposed_local_part_goes_out_in_nfc() -> None:
    """RFC 6532 3.1."""
    assert parse_address("jose\u0301@example.org").wire == "josé@example.org"


@pytest.mark.parametrize("domain", ["example.org", "example.com", "embassy.example", "mail.embassy.example"])
def test_the_example_domains_are_accepted(domain: str) -> None:
    """The sample campaign lives in them (RFC 6761 6.5)."""
    assert parse_address(f"consul@{domain}").domain == domain


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there is no address"),
        ("consul", "there is no @"),
        ("consul@embassy", "there is no dot after the @"),
        ("consul@localhost", "there is no dot after the @"),
        ("consul@a.localhost", "no mail can go to a domain in .localhost"),
        ("consul@embassy.test", "no mail can go to a domain in .test"),
        ("consul@embassy.invalid", "no mail can go to a domain in .invalid"),
        ("Consul <consul@embassy.example>", "only the bare address"),
        ("mailto:consul@embassy.example", 'without "mailto:"'),
        ("a@embassy.example, b@embassy.example", "more than one address"),
        ("co nsul@embassy.example", "there is a space"),
        ('"consul"@embassy.example', "quoting"),
        ("consul@[192.0.2.1]", "bracketed IP address"),
        ("consul@embassy..example", "two periods"),
        ("=?utf-8?q?consul?=@embassy.example", "encoded-word"),
        ("c" * 65 + "@embassy.example", "too long before the @"),
    ],
)
def test_what_is_no_address_is_refused_in_plain_words(text: str, words: str) -> None:
    """Each of the mistakes that lists are full of has its own sentence."""
    with pytest.raises(AddressFault, match=r"^[^\n]+$") as caught:
        parse_address(text)
    assert words in str(caught.value)


def test_control_characters_are_named_and_never_repeated() -> None:
    """A hostile cell must not write to the terminal through an error."""
    with pytest.raises(AddressFault) as caught:
        parse_address("a@example.org\r\nBcc: b@example.org")
    assert str(caught.value) == "it holds a line break"


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_a_fault_that_can_be_shown(text: str) -> None:
    """Nothing else is ever raised, and the words are printable."""
    try:
        address = parse_address(text)
    except AddressFault as fault:
        words = str(fault)
    else:
        words = address.wire
    assert words.isprintable()


@given(st.binary(max_size=40), LOCAL)
def test_hostile_punycode_is_an_address_or_a_fault(tail: bytes, local: str) -> None:
    """The IDN code underneath gets random labels after xn--."""
    words = ""
    try:
        parse_address(f"{local}@xn--{tail.decode('latin-1')}.example")
    except AddressFault as fault:
        words = str(fault)
    assert words.isprintable()


@given(LOCAL, DOMAIN, SPACES, SPACES)
def test_the_key_is_stable_under_case_spaces_and_idn_form(
    local: str, domain: str, left: str, right: str
) -> None:
    """DESIGN 3: an address is the same however a list happens to write it."""
    wanted = address_key(f"{local}@{domain}")
    a_labels = parse_address(f"{local}@{domain}").domain
    for written in (
        f"{left}{local.upper()}@{domain}{right}",
        f"{local}@{domain.upper()}",
        f"{local.title()}@{a_labels}",
        f"{local}@{a_labels.upper()}",
        f"{local}@{unicodedata.normalize('NFD', domain)}",
    ):
        assert address_key(written) == wanted


@given(INTERNATIONAL_LOCAL)
def test_the_key_is_stable_beyond_ascii(local: str) -> None:
    """Case and Unicode form of an international local part do not make a second recipient."""
    wanted = address_key(f"{local}@example.org")
    assert address_key(f"{local.upper()}@example.org") == wanted
    assert address_key(f"{unicodedata.normalize('NFD', local)}@example.org") == wanted


@given(LOCAL, DOMAIN)
def test_the_wire_form_is_its_own_wire_form(local: str, domain: str) -> None:
    """Reading an address again changes nothing."""
    address = parse_address(f"{local}@{domain}")
    assert parse_address(address.wire).wire == address.wire
    assert parse_address(address.key).key == address.key


def test_plus_tags_are_part_of_the_key() -> None:
    """Only the owner of a domain knows whether a tag matters."""
    assert address_key("a+b@example.org") != address_key("a@example.org")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Solidarity Committee <letters@example.org>", "Solidarity Committee"),
        ("letters@example.org", ""),
        ("<letters@example.org>", ""),
        ('"Committee, Berlin" <letters@example.org>', "Committee, Berlin"),
        ('"The \\"May\\" Committee" <letters@example.org>', 'The "May" Committee'),
        ('"Help @ Home" <letters@example.org>', "Help @ Home"),
        ("Committee, Berlin <letters@example.org>", "Committee, Berlin"),
        ("Комитет солидарности <letters@example.org>", "Комитет солидарности"),
    ],
)
def test_a_mailbox_is_a_name_and_an_address(text: str, name: str) -> None:
    """RFC 5322 3.4, and the way people write it without quotes."""
    mailbox = parse_mailbox(text)
    assert (mailbox.name, mailbox.address.wire) == (name, "letters@example.org")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Committee",
        "Committee <letters@example.org",
        "letters@example.org>",
        "A <a@example.org>, B <b@example.org>",
        "a@example.org, b@example.org",
        '"Committee <letters@example.org>',
        "Committee\n <letters@example.org>",
        "=?utf-8?q?x=0d=0aBcc:?= <letters@example.org>",
        "Commit\u202etee <letters@example.org>",
        "C" * 1000 + " <letters@example.org>",
    ],
)
def test_what_is_no_single_mailbox_is_refused(text: str) -> None:
    """Lists, open quotes and brackets, controls and encoded-words."""
    with pytest.raises(AddressFault):
        parse_mailbox(text)


@given(st.text(max_size=60))
def test_any_text_is_a_mailbox_or_a_fault(text: str) -> None:
    """Nothing else is raised, whatever stands before the address."""
    try:
        mailbox = parse_mailbox(f"{text} <letters@example.org>")
    except AddressFault:
        return
    assert unsafe_character(mailbox.name) is None


@pytest.mark.parametrize(
    "character", ["\x00", "\x1b", "\x85", "\u202e", "\u2066", "\u200b", "\ufeff", "\ufffd", "\u2028"]
)
def test_characters_that_hide_are_found(character: str) -> None:
    """Controls, direction overrides, invisible and broken characters."""
    found = unsafe_character(f"ab{character}c")
    assert found is not None
    assert found[0] == 2


def test_joiners_that_scripts_need_are_no_danger() -> None:
    """Persian and emoji use the zero-width joiners."""
    assert unsafe_character("می\u200cخواهم \U0001f468\u200d\U0001f469") is None


def test_a_line_feed_passes_only_where_it_may() -> None:
    """A template value can have lines; a carriage return passes nowhere."""
    assert unsafe_character("a\nb", newline=True) is None
    assert unsafe_character("a\r\nb", newline=True) == (1, "a line break")


@pytest.mark.parametrize("text", ["=?utf-8?q?x?=", "=?UTF-8?B?eA==?=", "a =?koi8-r?q?never closed"])
def test_encoded_words_are_recognised(text: str) -> None:
    """RFC 2047 2, closed or not."""
    assert holds_encoded_word(text)


def test_a_question_is_no_encoded_word() -> None:
    """What people write stays free."""
    assert not holds_encoded_word("2 + 2 =? 4? quite?")
