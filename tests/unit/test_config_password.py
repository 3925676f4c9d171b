"""The relay's secret: where it is looked for, and what is refused."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.config import Settings, password, read_config, read_mailbox_password, read_password
from pipeline.delivery.relay import Secret
from pipeline.errors import Unusable

TEXT = """\
[campaign]
key = "river-2027"
name = "Free the river"
languages = ["en"]
author = "Committee <letters@example.org>"
[relay]
url = "smtps://letters@smtp.example.org"
"""


@pytest.fixture
def campaign(tmp_path: Path) -> Settings:
    """A campaign whose relay wants a login, in a folder of its own."""
    found, _ = read_config(TEXT, file="campaign.toml", root=tmp_path)
    assert found is not None
    return found


def secret_file(campaign: Settings, raw: bytes, mode: int = 0o600) -> Settings:
    """Return the campaign with a password file of that content."""
    path = campaign.root / "relay.password"
    path.write_bytes(raw)
    path.chmod(mode)
    return replace(campaign, password_file=path)


def command(campaign: Settings, program: str) -> Settings:
    """Return the campaign with a Python program as its password command."""
    return replace(campaign, password_command=(sys.executable, "-c", program))


def test_the_environment_comes_first(campaign: Settings) -> None:
    """It is nearest to this run."""
    found = read_password(
        secret_file(campaign, b"from file"), environ={"CAMPAIGN_SMTP_PASSWORD": "from environment"}
    )
    assert found == Secret("from environment")


@pytest.mark.parametrize("raw", [b"hunter2", b"hunter2\n", b"hunter2\r\n", b"\xef\xbb\xbfhunter2\n"])
def test_a_file_holds_one_line(campaign: Settings, raw: bytes) -> None:
    """Its line end is no part of the password."""
    assert read_password(secret_file(campaign, raw), environ={}) == Secret("hunter2")


def test_spaces_in_a_password_are_kept(campaign: Settings) -> None:
    """App passwords are shown in groups of four."""
    assert read_password(secret_file(campaign, b" abcd efgh \n"), environ={}) == Secret(" abcd efgh ")


@pytest.mark.parametrize(
    ("raw", "mode", "words"),
    [
        (b"hunter2", 0o644, "everybody on this machine can read"),
        (b"", 0o600, "empty"),
        (b"\n", 0o600, "empty"),
        (b"hunter2\nand more", 0o600, "more than one line"),
        (b"hunter2\0", 0o600, "control characters"),
        (b"hunter2\xff", 0o600, "not UTF-8"),
        (b"hunter2" * 10_000, 0o600, "too large"),
    ],
)
def test_a_bad_password_file_is_refused_without_repeating_it(
    campaign: Settings, raw: bytes, mode: int, words: str
) -> None:
    """The message says what is wrong with the file."""
    with pytest.raises(Unusable) as caught:
        read_password(secret_file(campaign, raw, mode), environ={})
    assert words in caught.value.message
    assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("name", ["hunter2", "."])
def test_a_password_written_in_place_of_a_file_is_not_repeated(campaign: Settings, name: str) -> None:
    """People do put the password itself there."""
    with pytest.raises(Unusable) as caught:
        read_password(replace(campaign, password_file=campaign.root / name), environ={})
    assert "hunter2" not in caught.value.message + caught.value.hint


def test_a_commands_first_line_is_the_password(campaign: Settings) -> None:
    """As password managers print it."""
    assert read_password(command(campaign, "print('hunter2'); print('user: me')"), environ={}) == Secret(
        "hunter2"
    )


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import sys; print('hunter2'); sys.exit(3)", "exit status 3"),
        ("pass", "empty"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "not UTF-8"),
    ],
)
def test_a_command_that_fails_is_told(campaign: Settings, program: str, words: str) -> None:
    """Never with what it printed."""
    with pytest.raises(Unusable) as caught:
        read_password(command(campaign, program), environ={})
    assert words in caught.value.message
    assert "hunter2" not in caught.value.message + caught.value.hint


def test_a_command_that_does_not_exist_is_told(campaign: Settings) -> None:
    """With the system's reason."""
    with pytest.raises(Unusable, match="cannot be started"):
        read_password(replace(campaign, password_command=("/nonexistent/hunter2",)), environ={})


def test_a_command_that_hangs_is_stopped(campaign: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 30 seconds; here after a moment."""
    monkeypatch.setattr(password, "COMMAND_TIMEOUT_S", 0.2)
    with pytest.raises(Unusable, match="no answer"):
        read_password(command(campaign, "import time; time.sleep(60)"), environ={})


def test_a_systemd_credential_comes_last(campaign: Settings, tmp_path: Path) -> None:
    """LoadCredential=smtp_password:…"""
    (tmp_path / "smtp_password").write_text("hunter2\n", encoding="utf-8")
    assert read_password(campaign, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}) == Secret("hunter2")


def test_a_user_without_a_password_is_told_where_to_put_it(campaign: Settings) -> None:
    """All four places."""
    with pytest.raises(Unusable) as caught:
        read_password(campaign, environ={})
    places = ("password_file", "password_command", "CAMPAIGN_SMTP_PASSWORD", "smtp_password")
    assert all(place in caught.value.hint for place in places)


def test_a_relay_without_a_user_needs_none(campaign: Settings) -> None:
    """Nothing is looked for."""
    relay = replace(campaign.relay, user=None)
    assert read_password(replace(campaign, relay=relay), environ={"CAMPAIGN_SMTP_PASSWORD": "x"}) is None


# --- the mailbox --------------------------------------------------------------------------------------


@pytest.fixture
def with_mailbox(tmp_path: Path) -> Settings:
    """A campaign whose mailbox wants a login."""
    text = f'{TEXT}[replies]\nmailbox = "imaps://me@imap.example.org/INBOX"\n'
    found, _ = read_config(text, file="campaign.toml", root=tmp_path)
    assert found is not None
    return found


def test_the_mailbox_has_places_of_its_own(with_mailbox: Settings, tmp_path: Path) -> None:
    """The relay's secret is not the mailbox's."""
    (tmp_path / "imap_password").write_text("of systemd\n", encoding="utf-8")
    (tmp_path / "smtp_password").write_text("of the relay\n", encoding="utf-8")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "CAMPAIGN_SMTP_PASSWORD": "of the relay"}
    assert read_mailbox_password(with_mailbox, environ=environ) == Secret("of systemd")
    by_command = replace(
        with_mailbox, mailbox_password_command=(sys.executable, "-c", "print('of the command')")
    )
    assert read_mailbox_password(by_command, environ=environ) == Secret("of the command")
    file = tmp_path / "file"
    file.touch(mode=0o600)
    file.write_text("of the file\n", encoding="utf-8")
    by_file = replace(by_command, mailbox_password_file=file)
    assert read_mailbox_password(by_file, environ=environ) == Secret("of the file")
    environ["CAMPAIGN_IMAP_PASSWORD"] = "of the environment"
    assert read_mailbox_password(by_file, environ=environ) == Secret("of the environment")


def test_a_mailbox_without_a_password_is_told_where_to_put_it(with_mailbox: Settings) -> None:
    """In the mailbox's own words."""
    with pytest.raises(Unusable, match="the mailbox's address names a user") as caught:
        read_mailbox_password(with_mailbox, environ={"CAMPAIGN_SMTP_PASSWORD": "x"})
    places = ("password_file", "password_command", "CAMPAIGN_IMAP_PASSWORD", "imap_password")
    assert all(place in caught.value.hint for place in places)


def test_no_mailbox_needs_no_password(campaign: Settings) -> None:
    """Nothing is looked for."""
    assert read_mailbox_password(campaign, environ={"CAMPAIGN_IMAP_PASSWORD": "x"}) is None
