"""Passwords and tokens of the relay, the mailbox and the store: from the environment, a file, a command, or
systemd; never from campaign.toml.

In this order, the first that is there:

    CAMPAIGN_SMTP_PASSWORD                   the environment of this run
    [relay] password_file                    a file nobody else may read (0600)
    [relay] password_command                 its first line of output; no shell, 30 seconds
    $CREDENTIALS_DIRECTORY/smtp_password     a systemd credential (LoadCredential=)

So for the mailbox with IMAP and [replies], for the store with STORE and [store].

Contract: I/O at the edge; the only way to the value is `Secret.reveal`. Raises Unusable in plain words that
never hold the value, nor the command's output.

Limits: one line of UTF-8, at most 64 KiB. A file that the group may read is let pass (containers mount them
so). On Windows modes are not looked at.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.settings import Settings
from pipeline.delivery.relay import SAFE_PLACES, Secret
from pipeline.errors import Unusable
from pipeline.replies.account import MAILBOX_SECRETS

VARIABLE = "CAMPAIGN_SMTP_PASSWORD"
CREDENTIAL = "smtp_password"
MAILBOX_VARIABLE = "CAMPAIGN_IMAP_PASSWORD"
MAILBOX_CREDENTIAL = "imap_password"
STORE_VARIABLE = "CAMPAIGN_STORE_PASSWORD"
STORE_CREDENTIAL = "store_password"
COMMAND_TIMEOUT_S = 30
LONGEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Places:
    """Where one secret may be."""

    variable: str
    credential: str
    file: Path | None
    command: tuple[str, ...]
    root: Path  # where the command runs


def read_password(settings: Settings, *, environ: Mapping[str, str]) -> Secret | None:
    """Return the secret for the relay's login; None where the relay names no user.

    ``environ`` is the environment of the process. Raises Unusable where a user is named and no secret is
    found, or the place that should hold it cannot be read.
    """
    if settings.relay.user is None:
        return None
    places = _Places(VARIABLE, CREDENTIAL, settings.password_file, settings.password_command, settings.root)
    if (found := _first(places, environ)) is not None:
        return found
    raise Unusable("the relay's address names a user, and there is no password for it", SAFE_PLACES)


def read_mailbox_password(settings: Settings, *, environ: Mapping[str, str]) -> Secret | None:
    """Return the secret for the mailbox's login; None where the mailbox names no user. As `read_password`."""
    if settings.mailbox is None or settings.mailbox.user is None:
        return None
    places = _Places(
        MAILBOX_VARIABLE,
        MAILBOX_CREDENTIAL,
        settings.mailbox_password_file,
        settings.mailbox_password_command,
        settings.root,
    )
    if (found := _first(places, environ)) is not None:
        return found
    raise Unusable("the mailbox's address names a user, and there is no password for it", MAILBOX_SECRETS)


def read_store_password(settings: Settings, *, environ: Mapping[str, str]) -> Secret | None:
    """Return the secret for the PostgreSQL server; None where none is found here: libpq has ways of its own.

    ``environ`` is the environment of the process. Raises Unusable where the place that should hold it cannot
    be read.
    """
    places = _Places(
        STORE_VARIABLE,
        STORE_CREDENTIAL,
        settings.store_password_file,
        settings.store_password_command,
        settings.root,
    )
    return _first(places, environ)


def _first(places: _Places, environ: Mapping[str, str]) -> Secret | None:
    if environ.get(places.variable):
        return _secret(environ[places.variable], places.variable)
    if places.file is not None:
        return _from_file(places.file, "password_file", private=True)
    if places.command:
        return _from_command(places)
    credential = Path(environ.get("CREDENTIALS_DIRECTORY", "")) / places.credential
    if environ.get("CREDENTIALS_DIRECTORY") and credential.is_file():
        return _from_file(credential, f"the systemd credential {places.credential}", private=False)
    return None


def _from_file(path: Path, name: str, *, private: bool) -> Secret:
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise Unusable(f"{name} does not name a file")
            raw = stream.read(LONGEST + 1)
    except OSError as error:
        raise Unusable(
            f"{name} cannot be read: {error.strerror}", "the file holds the password and nothing else"
        ) from None
    if private and os.name == "posix" and mode & (stat.S_IROTH | stat.S_IWOTH):
        raise Unusable(
            f"everybody on this machine can read {name}", "chmod 600 that file; then change the password"
        )
    if len(raw) > LONGEST:
        raise Unusable(f"{name} names a file that is too large for a password")
    return _secret(_text(raw, name), name)


def _from_command(places: _Places) -> Secret:
    name = "password_command"
    try:
        done = subprocess.run(
            places.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=COMMAND_TIMEOUT_S,
            cwd=places.root,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unusable(f"{name} gave no answer in {COMMAND_TIMEOUT_S} seconds") from None
    except OSError as error:
        raise Unusable(
            f"{name} cannot be started: {error.strerror}", "the program's full path always works"
        ) from None
    if done.returncode != 0:
        raise Unusable(f"{name} failed with exit status {done.returncode}", "run it by hand to see why")
    return _secret(_text(done.stdout[:LONGEST], name).partition("\n")[0].rstrip("\r"), name)


def _text(raw: bytes, name: str) -> str:
    try:
        return raw.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise Unusable(f"{name} gives something that is not UTF-8") from None


def _secret(value: str, name: str) -> Secret:
    if not value:
        raise Unusable(f"{name} gives an empty password")
    if not value.isprintable():
        raise Unusable(f"{name} gives more than one line, or control characters", "one line: the password")
    return Secret(value)
