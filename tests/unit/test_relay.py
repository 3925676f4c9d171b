"""The relay as a value: its address, its TLS, its names, and secrets that stay secret."""

from __future__ import annotations

import pickle
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.relay import (
    PRESETS,
    Provider,
    Relay,
    RelayAddress,
    RelayKind,
    Secret,
    is_loopback,
    parse_host,
    parse_relay_url,
)

SMTP, SMTPS = RelayKind.SMTP, RelayKind.SMTPS


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("sandbox:", RelayAddress(RelayKind.SANDBOX)),
        ("smtps://smtp.example.org", RelayAddress(SMTPS, "smtp.example.org", 465)),
        ("smtp://smtp.example.org", RelayAddress(SMTP, "smtp.example.org", 587)),
        ("smtp://127.0.0.1:2525", RelayAddress(SMTP, "127.0.0.1", 2525)),
        ("smtp://[::1]:2525/", RelayAddress(SMTP, "::1", 2525)),
        ("SMTP://SMTP.Example.ORG.:25", RelayAddress(SMTP, "smtp.example.org", 25)),
        ("smtps://letters@smtp.example.org:4650", RelayAddress(SMTPS, "smtp.example.org", 4650, "letters")),
        (
            "smtps://l%40example.org@mx.example.org",
            RelayAddress(SMTPS, "mx.example.org", 465, "l@example.org"),
        ),
        ("smtps://l@example.org@mx.example.org", RelayAddress(SMTPS, "mx.example.org", 465, "l@example.org")),
        ("smtps://почта.example", RelayAddress(SMTPS, "xn--80a1acny.example", 465)),
    ],
)
def test_a_relay_url_is_read(url: str, address: RelayAddress) -> None:
    """Default ports are 465 and 587; 25 must be written out; a user may be an address."""
    assert parse_relay_url(url) == address


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "not the address of a relay"),
        ("smtp.example.org", "not the address of a relay"),
        ("smtp:smtp.example.org", "not the address of a relay"),
        ("http://smtp.example.org", "not the address of a relay"),
        ("sandbox://elsewhere", "not the address of a relay"),
        ("smtp://smtp.example.org\r\nRCPT", "not the address of a relay"),
        ("smtp://" + "a" * 1000, "not the address of a relay"),
        ("smtp://", "nothing else"),
        ("smtp://host/path", "nothing else"),
        ("smtp://host?tls=no", "nothing else"),
        ("smtp://host:0", "port must be a number"),
        ("smtp://host:65536", "port must be a number"),
        ("smtp://host:", "port must be a number"),
        ("smtp://-host-", "no host name"),
        ("smtp://ho..st", "no host name"),
        ("smtp://1.2.3", "no host name"),
        ("smtp://@host", "user"),
        ("smtp://%00@host", "user"),
        ("smtp://%ff@host", "user"),
    ],
)
def test_what_is_not_a_relay_is_refused_in_words(url: str, words: str) -> None:
    """The message says which part is wrong."""
    with pytest.raises(ValueError) as caught:
        parse_relay_url(url)
    assert words in str(caught.value).partition("\n")[0]


@pytest.mark.parametrize(
    "url",
    [
        "smtps://letters:hunter2@smtp.example.org",
        "smtps://letters@example.org:hunter2@smtp.example.org",
        "smtps://letters:hun/ter2@smtp.example.org",
        "smtps://:hunter2@smtp.example.org",
        "smtps://letters:hunter2",
    ],
)
def test_a_password_in_the_url_is_refused_and_never_repeated(url: str) -> None:
    """Not even where the URL is malformed besides."""
    with pytest.raises(ValueError) as caught:
        parse_relay_url(url)
    assert "hun" not in str(caught.value)
    assert "ter2" not in str(caught.value)


@given(st.text(max_size=60), st.sampled_from(["", "smtp://", "smtps://u@"]))
def test_reading_a_relay_url_raises_nothing_but_value_errors(text: str, start: str) -> None:
    """Random text is refused in words."""
    with suppress(ValueError):
        assert parse_relay_url(start + text).port >= 0


@pytest.mark.parametrize(
    ("url", "plaintext"),
    [
        ("sandbox:", True),
        ("smtp://127.0.0.1:2525", True),
        ("smtp://localhost:2525", True),
        ("smtp://[::1]:2525", True),
        ("smtp://me@127.0.0.1:2525", False),
        ("smtps://127.0.0.1:2525", False),
        ("smtp://smtp.example.org", False),
        ("smtp://localhost.example.org", False),
        ("smtp://10.0.0.1", False),
    ],
)
def test_plaintext_is_for_this_machine_and_without_a_user(url: str, plaintext: bool) -> None:
    """Everything else is TLS or nothing."""
    address = parse_relay_url(url)
    assert Relay(address.kind, address.host, address.port, address.user).plaintext is plaintext


def test_the_names_of_a_relay() -> None:
    """One for people, with the port; one to count by, the same on both ports of one account."""
    relay = Relay(SMTP, "smtp.example.org", 587, "letters@example.org")
    assert relay.name == "smtp.example.org:587 as letters@example.org"
    assert replace(relay, kind=SMTPS, port=465).account == relay.account
    assert Relay(SMTP, "::1", 25).name == "[::1]:25"
    assert Relay(RelayKind.SANDBOX).name == "sandbox"


def test_every_provider_has_its_limits() -> None:
    """A preset for each name that may be written."""
    assert set(PRESETS) == set(Provider)


def test_hosts_are_compared_as_a_labels() -> None:
    """Lower case, no final dot, IP addresses in their one form."""
    assert parse_host("MX.Example.ORG.") == "mx.example.org"
    assert parse_host("0:0:0:0:0:0:0:1") == "::1"
    assert is_loopback("127.9.9.9")
    assert not is_loopback("128.0.0.1")


def test_a_secret_shows_itself_only_when_asked() -> None:
    """Not in repr, str, a format, a traceback's locals or a pickle."""
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret!r} {secret!s} {secret} {[secret]} {secret:>20}"
    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2")
    assert secret != Secret("hunter3")
    with pytest.raises(TypeError):
        pickle.dumps(secret)
