"""A password the relay refuses: told once, tried once, and never shown, stored or passed on.

The relay is aiosmtpd with TLS and a certificate of its own CA; while it refuses the login it looks at the
command lines of all processes, as any user of the machine could.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from tests.campaign_folder import CampaignFolder, make_campaign
from tests.peers import free_port

CANARY = "canary-Xy7pQ"
SPELLINGS = (CANARY.encode(), base64.b64encode(CANARY.encode()), base64.b64encode(f"\0me\0{CANARY}".encode()))
WAYS = ("password_file", "password_command", "environment", "systemd credential")


@dataclass
class Refusing:
    """A relay that refuses every login, and remembers what it saw."""

    logins: int = 0
    knew_it: bool = False  # the secret arrived, so the test tests something
    command_lines: list[bytes] = field(default_factory=list)
    letters: int = 0

    def __call__(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, auth_data: object
    ) -> AuthResult:
        """Refuse, and look around."""
        self.logins += 1
        self.knew_it = getattr(auth_data, "password", b"") == CANARY.encode()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                self.command_lines.append(path.read_bytes())
            except OSError:
                continue
        return AuthResult(success=False, handled=False)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Count a letter that should not have come."""
        self.letters += 1
        return "250 OK"


@contextmanager
def refusing_relay(folder: Path, relay: Refusing | None = None) -> Iterator[tuple[Refusing, int, Path]]:
    """Run the relay; gives what it saw, its port, and the file of its CA."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    relay = relay or Refusing()
    controller = Controller(
        relay,
        hostname="127.0.0.1",
        port=free_port(),
        ssl_context=context,
        authenticator=relay,
        auth_require_tls=False,  # it is TLS from the first octet, which aiosmtpd does not count as such
    )
    controller.start()
    try:
        yield relay, controller.port, ca_file
    finally:
        controller.stop()


def with_secret(tmp_path: Path, way: str, port: int, ca_file: Path) -> CampaignFolder:
    """Make a campaign whose relay wants a login, with the canary kept in that ``way``."""
    secret = tmp_path / "smtp_password"
    secret.write_text(f"{CANARY}\n", "utf-8")
    secret.chmod(0o600)
    lines = [f'ca_file = "{ca_file}"']
    environment: dict[str, str] = {}
    match way:
        case "password_file":
            lines.append(f'password_file = "{secret}"')
        case "password_command":
            lines.append(f'password_command = "cat {secret}"')
        case "environment":
            environment["CAMPAIGN_SMTP_PASSWORD"] = CANARY
        case _:
            environment["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    folder = make_campaign(tmp_path, 3, relay=f"smtps://me@localhost:{port}", environment=environment)
    config = folder.root / "campaign.toml"
    config.write_text(
        config.read_text("utf-8").replace("[limits]", "\n".join((*lines, "", "[limits]"))), "utf-8"
    )
    return folder


@pytest.mark.parametrize("way", WAYS)
def test_fault_37_a_refused_password_is_shown_nowhere(tmp_path: Path, way: str) -> None:
    """Not on stdout or stderr, with -vv or --json, not in the store, not in any command line."""
    with refusing_relay(tmp_path) as (relay, port, ca_file):
        folder = with_secret(tmp_path, way, port, ca_file)
        said = "".join(
            finished.said
            for finished in (
                folder.send("-vv"),
                folder.send("--json"),
                folder.run("send", "--to", "me@example.org", "-vv"),
            )
        )
    assert relay.knew_it
    kept = [path.read_bytes() for path in folder.root.rglob("*") if path.is_file()]
    kept += [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert len(kept) > 4
    for spelling in SPELLINGS:
        assert spelling not in said.encode()
        assert not any(spelling in content for content in kept)
        assert not any(spelling in line for line in relay.command_lines)
    assert "Traceback" not in said


def test_fault_11_a_refused_login_is_tried_once_and_all_letters_stay_queued(tmp_path: Path) -> None:
    """Exit 4 with what to look at; no hammering, whatever the number of connections."""
    with refusing_relay(tmp_path) as (relay, port, ca_file):
        folder = with_secret(tmp_path, "password_file", port, ca_file)
        done = folder.send()
    assert done.code == 4
    assert "refused the login" in done.err
    assert "password_file" in done.err
    assert (relay.logins, relay.letters) == (1, 0)
    assert folder.states() == {"queued": 3}


def test_fault_22_a_certificate_nobody_vouches_for_stops_the_send_before_the_login(
    tmp_path: Path,
) -> None:
    """Without the CA's file: exit 4, the reason, and the key that names the file; the password stays here."""
    with refusing_relay(tmp_path) as (relay, port, ca_file):
        folder = with_secret(tmp_path, "password_file", port, ca_file)
        config = folder.root / "campaign.toml"
        config.write_text(config.read_text("utf-8").replace(f'ca_file = "{ca_file}"', ""), "utf-8")
        done = folder.send()
    assert done.code == 4
    assert "could not prove who it is" in done.err
    assert "relay.ca_file" in done.err
    assert relay.logins == 0
    assert folder.states() == {"queued": 3}
