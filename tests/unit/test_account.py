"""Which mailbox: addresses as people write them, and what they must not hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.replies.account import (
    Account,
    After,
    Afterwards,
    MailboxAddress,
    MailboxKind,
    parse_after,
    parse_mailbox_url,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("imaps://me@h.example", MailboxAddress(MailboxKind.IMAPS, "h.example", 993, "me")),
        ("imaps://me@h.example/", MailboxAddress(MailboxKind.IMAPS, "h.example", 993, "me")),
        ("imap://me@h.example:144/A/B", MailboxAddress(MailboxKind.IMAP, "h.example", 144, "me", "A/B")),
        (
            "IMAPS://a@b.example@H.example/I",
            MailboxAddress(MailboxKind.IMAPS, "h.example", 993, "a@b.example", "I"),
        ),
        (
            "imaps://a%40b.example@h.example",
            MailboxAddress(MailboxKind.IMAPS, "h.example", 993, "a@b.example"),
        ),
        ("imaps://me@h.example/a%20b@c", MailboxAddress(MailboxKind.IMAPS, "h.example", 993, "me", "a b@c")),
        ("imaps://me@[::1]:9/x", MailboxAddress(MailboxKind.IMAPS, "::1", 9, "me", "x")),
        ("imap://127.0.0.1:1143", MailboxAddress(MailboxKind.IMAP, "127.0.0.1", 1143)),
        ("maildir:~/Maildir", MailboxAddress(MailboxKind.MAILDIR, path="~/Maildir")),
        ("mbox:/var/mail/me", MailboxAddress(MailboxKind.MBOX, path="/var/mail/me")),
    ],
)
def test_an_address_is_read(text: str, address: MailboxAddress) -> None:
    """A server, user and folder, or a path."""
    assert parse_mailbox_url(text) == address


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not the address of a mailbox"),
        ("INBOX", "not the address of a mailbox"),
        ("pop3://me@h.example", "not the address of a mailbox"),
        ("imaps:me@h.example", "not the address of a mailbox"),
        ("maildir:", "not the address of a mailbox"),
        ("imaps://me:CANARY@h.example", "a password does not belong"),
        ("imaps://me:CAN/ARY@h.example", "the port must be a number"),
        ("imaps://h.example/INBOX", "names no user"),
        ("imap://h.example/INBOX", "names no user"),
        ("imaps://@h.example", "user in the mailbox's address is empty"),
        ("imaps://me@h.example:99999", "the port must be a number"),
        ("imaps://me@-h-/x", "no host name"),
        ("imaps://me@h.example/a%00b", "control characters"),
        ("imaps://me@h.example/%FF", "control characters"),
        ("imaps://m%0Ae@h.example/x", "user in the mailbox's address"),
    ],
)
def test_a_bad_address_is_told_without_its_secrets(text: str, words: str) -> None:
    """What is wrong, and the forms there are."""
    with pytest.raises(ValueError, match=words) as caught:
        parse_mailbox_url(text)
    assert "CAN" not in str(caught.value).replace("CAMPAIGN", "")


@given(st.text(max_size=60) | st.from_regex(r"imaps?://[^ ]{0,40}", fullmatch=True))
def test_no_address_makes_the_reader_fail(text: str) -> None:
    """It is read or refused in words."""
    try:
        address = parse_mailbox_url(text)
    except ValueError:
        return
    assert bool(address.path) != address.remote


@pytest.mark.parametrize("text", ["keep", "seen", "delete", "move:Done/2027"])
def test_what_is_done_afterwards_is_read_and_written_alike(text: str) -> None:
    """What the file says is what the page of keys shows."""
    assert str(parse_after(text)) == text
    assert (parse_after(text) == After()) == (text == "keep")


@pytest.mark.parametrize("text", ["", "move", "move:", "move: ", "seen:x", "Keep", "burn", "move:a\nb"])
def test_anything_else_is_refused(text: str) -> None:
    """Nothing is done to a mailbox on a guess."""
    with pytest.raises(ValueError, match="must"):
        parse_after(text)


def test_only_loopback_without_a_user_goes_without_tls() -> None:
    """The relay's rule."""
    assert Account(MailboxKind.IMAP, "127.0.0.1", 143).plaintext
    assert not Account(MailboxKind.IMAP, "127.0.0.1", 143, "me").plaintext
    assert not Account(MailboxKind.IMAPS, "127.0.0.1", 993).plaintext
    assert not Account(MailboxKind.IMAP, "h.example", 143).plaintext


def test_a_mailbox_keeps_its_name_on_another_port() -> None:
    """So what is remembered of it holds after a change from STARTTLS to TLS."""
    one = Account(MailboxKind.IMAP, "h.example", 143, "me", "INBOX", after=After(Afterwards.SEEN))
    other = Account(MailboxKind.IMAPS, "h.example", 993, "me", "INBOX")
    assert one.name == other.name == "imap://me@h.example/INBOX"
