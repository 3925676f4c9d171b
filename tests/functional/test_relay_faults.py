"""What goes wrong before the first letter: names, certificates, STARTTLS, logins.

The numbers are those of the project's list of faults.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from pipeline.delivery.connect import Credentials
from pipeline.delivery.letter import State
from pipeline.delivery.relay import Auth, Relay, RelayKind
from pipeline.errors import ExitCode
from tests.postgres import BOTH
from tests.scripted_relay import ScriptedRelay
from tests.sending import Case, Outcome, Sending, account_for

pytestmark = BOTH

USER, PASSWORD = "letters@author.example", "a-canary-4711"
AUTH = "AUTH PLAIN " + base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
TAKES_ADA = ("-- takes ada --", "-- bye --")
STARTTLS = (
    "-- hello: STARTTLS --",
    "C: STARTTLS",
    "S: 220 2.0.0 go ahead",
    "-- starttls --",
    "C: EHLO client.example",
)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority of our own."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    """Its certificate, as relay.ca_file names it."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def server_context(
    authority: trustme.CA, name: str = "127.0.0.1", *, until: datetime | None = None
) -> ssl.SSLContext:
    """Return the context of a server that calls itself ``name``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_after=until).configure_cert(context)
    return context


def secured(kind: RelayKind, ca_file: Path | None, *, auth: Auth = Auth.PASSWORD) -> Relay:
    """Return a relay on 127.0.0.1 that needs TLS and a login."""
    return Relay(kind, "127.0.0.1", user=USER, ehlo="client.example", ca_file=ca_file, auth=auth)


class Vault:
    """Gives one secret after the other, and counts how often it was asked."""

    def __init__(self, *secrets: str) -> None:
        self._secrets: Iterator[str] = iter(secrets)
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        return next(self._secrets)


async def send(
    root: Path,
    case: Case,
    *connections: Sequence[str],
    tls: ssl.SSLContext | None = None,
    at_once: bool = False,
) -> Outcome:
    """Send ``case`` to a relay that plays ``connections``; the letters are accounted for."""
    relay = ScriptedRelay(tuple(tuple(lines) for lines in connections), case=case, tls=tls)
    async with relay.listening(tls_at_once=at_once) as port:
        sending = relay.sending = Sending(root, case, port=port)
        try:
            outcome = await asyncio.wait_for(sending.go(), 30)
        finally:
            sending.close()
    account_for(outcome, relay.accepted)
    return outcome


def assert_refused(outcome: Outcome, words: str) -> None:
    """Assert that the run stopped with exit code 4 for a reason with these words, and all letters wait."""
    assert outcome.stop is not None
    assert outcome.stop.exit_code is ExitCode.RELAY_REFUSED
    assert words in outcome.stop.reason
    assert PASSWORD not in outcome.stop.reason + outcome.stop.hint
    assert set(outcome.states().values()) == {State.QUEUED}


# -- 11: the password is wrong


async def test_fault_11_refused_login_stops_the_run_after_one_try(
    tmp_path: Path, authority: trustme.CA, ca_file: Path
) -> None:
    """535: exit code 4, the letters stay queued, and the password is tried once, whatever the connections."""
    vault = Vault(*[PASSWORD] * 4)
    case = Case(
        ["ada", "ben"],
        connections=4,
        relay=secured(RelayKind.SMTPS, ca_file),
        credentials=Credentials(USER, vault),
    )
    script = ("-- hello: AUTH PLAIN LOGIN --", f"C: {AUTH}", "S: 535 5.7.8 bad credentials", "-- silence --")
    outcome = await send(tmp_path, case, script, tls=server_context(authority), at_once=True)
    assert_refused(outcome, "refused the login: 535 5.7.8 bad credentials")
    assert outcome.stop is not None
    assert "password_file" in outcome.stop.hint
    assert vault.asked == 1


async def test_fault_11_login_refused_in_mid_run(
    tmp_path: Path, authority: trustme.CA, ca_file: Path
) -> None:
    """The password stops working between two connections: what was sent is sent, the rest waits: exit 4."""
    case = Case(
        ["ada", "ben"], letters_per_connection=1, relay=secured(RelayKind.SMTPS, ca_file),
        credentials=Credentials(USER, Vault(PASSWORD, PASSWORD)),
    )  # fmt: skip
    hello = ("-- hello: AUTH PLAIN --", f"C: {AUTH}")
    outcome = await send(
        tmp_path, case, (*hello, "S: 235 2.7.0 welcome", *TAKES_ADA),
        (*hello, "S: 535 5.7.8 no longer", "-- silence --"), tls=server_context(authority), at_once=True,
    )  # fmt: skip
    assert outcome.stop is not None
    assert outcome.stop.exit_code is ExitCode.RELAY_REFUSED
    assert outcome.states() == {"ada": State.SENT, "ben": State.QUEUED}


async def test_login_that_cannot_be_checked_now_is_tried_again(
    tmp_path: Path, authority: trustme.CA, ca_file: Path
) -> None:
    """454: the relay cannot check passwords now; the client comes back within the run."""
    case = Case(
        ["ada"], relay=secured(RelayKind.SMTPS, ca_file), tries=2,
        credentials=Credentials(USER, Vault(PASSWORD, PASSWORD)),
    )  # fmt: skip
    hello = ("-- hello: AUTH PLAIN --", f"C: {AUTH}")
    outcome = await send(
        tmp_path, case, (*hello, "S: 454 4.7.0 try later", "-- silence --"),
        (*hello, "S: 235 2.7.0 welcome", *TAKES_ADA), tls=server_context(authority), at_once=True,
    )  # fmt: skip
    assert outcome.states() == {"ada": State.SENT}


async def test_login_is_used_where_only_login_is_offered(
    tmp_path: Path, authority: trustme.CA, ca_file: Path
) -> None:
    """A relay without AUTH PLAIN gets AUTH LOGIN."""
    case = Case(
        ["ada"], relay=secured(RelayKind.SMTPS, ca_file), credentials=Credentials(USER, Vault(PASSWORD))
    )
    script = (
        "-- hello: AUTH LOGIN --", f"C: AUTH LOGIN {base64.b64encode(USER.encode()).decode()}",
        "S: 334 UGFzc3dvcmQ6", f"C: {base64.b64encode(PASSWORD.encode()).decode()}", "S: 235 2.7.0 ok",
        *TAKES_ADA,
    )  # fmt: skip
    outcome = await send(tmp_path, case, script, tls=server_context(authority), at_once=True)
    assert outcome.states() == {"ada": State.SENT}


async def test_no_login_offered_is_refused_before_the_password_is_asked_for(
    tmp_path: Path, authority: trustme.CA, ca_file: Path
) -> None:
    """A relay without AUTH is not the relay that was meant."""
    vault = Vault(PASSWORD)
    case = Case(["ada"], relay=secured(RelayKind.SMTPS, ca_file), credentials=Credentials(USER, vault))
    script = ("-- hello: SIZE --", "-- silence --")
    outcome = await send(tmp_path, case, script, tls=server_context(authority), at_once=True)
    assert_refused(outcome, "does not offer a login with PLAIN")
    assert vault.asked == 0


def _xoauth2(token: str) -> str:
    return "AUTH XOAUTH2 " + base64.b64encode(f"user={USER}\x01auth=Bearer {token}\x01\x01".encode()).decode()


async def test_fault_11_refused_token_is_asked_for_once_more(
    tmp_path: Path, authority: trustme.CA, ca_file: Path
) -> None:
    """XOAUTH2: after 535 a fresh token is asked for, and with it the login succeeds."""
    vault = Vault("stale", "fresh")
    case = Case(
        ["ada"],
        relay=secured(RelayKind.SMTPS, ca_file, auth=Auth.XOAUTH2),
        credentials=Credentials(USER, vault),
    )
    script = (
        "-- hello: AUTH XOAUTH2 --", f"C: {_xoauth2('stale')}", "S: 334 eyJzdGF0dXMiOiI0MDAifQ==", "C: ",
        "S: 535 5.7.8 expired", f"C: {_xoauth2('fresh')}", "S: 235 2.7.0 ok", *TAKES_ADA,
    )  # fmt: skip
    outcome = await send(tmp_path, case, script, tls=server_context(authority), at_once=True)
    assert outcome.states() == {"ada": State.SENT}
    assert vault.asked == 2


async def test_fault_11_second_refused_token_stops_the_run(
    tmp_path: Path, authority: trustme.CA, ca_file: Path
) -> None:
    """XOAUTH2: a fresh token that is refused too is the end."""
    vault = Vault("stale", "stale too", "never")
    case = Case(
        ["ada"],
        relay=secured(RelayKind.SMTPS, ca_file, auth=Auth.XOAUTH2),
        credentials=Credentials(USER, vault),
    )
    script = (
        "-- hello: AUTH XOAUTH2 --", f"C: {_xoauth2('stale')}", "S: 535 5.7.8 expired",
        f"C: {_xoauth2('stale too')}", "S: 535 5.7.8 expired", "-- silence --",
    )  # fmt: skip
    outcome = await send(tmp_path, case, script, tls=server_context(authority), at_once=True)
    assert_refused(outcome, "refused the login")
    assert vault.asked == 2


# -- 21: STARTTLS


async def test_starttls_then_login_then_letters(tmp_path: Path, authority: trustme.CA, ca_file: Path) -> None:
    """STARTTLS, a second EHLO, the login, and the letters, all inside TLS."""
    case = Case(
        ["ada"], relay=secured(RelayKind.SMTP, ca_file), credentials=Credentials(USER, Vault(PASSWORD))
    )
    script = (
        *STARTTLS,
        "S: 250-relay.example",
        "S: 250 AUTH PLAIN",
        f"C: {AUTH}",
        "S: 235 2.7.0 ok",
        *TAKES_ADA,
    )
    outcome = await send(tmp_path, case, script, tls=server_context(authority))
    assert outcome.states() == {"ada": State.SENT}


async def test_fault_21_starttls_not_offered(tmp_path: Path, ca_file: Path) -> None:
    """No STARTTLS, no login and no letter: exit code 4, and the password was not even asked for."""
    vault = Vault(PASSWORD)
    case = Case(["ada"], relay=secured(RelayKind.SMTP, ca_file), credentials=Credentials(USER, vault))
    outcome = await send(tmp_path, case, ("-- hello: AUTH PLAIN --", "-- silence --"))
    assert_refused(outcome, "did not offer TLS (STARTTLS)")
    assert vault.asked == 0


async def test_fault_21_starttls_refused(tmp_path: Path, ca_file: Path) -> None:
    """STARTTLS is offered and then refused for good: exit code 4."""
    case = Case(
        ["ada"], relay=secured(RelayKind.SMTP, ca_file), credentials=Credentials(USER, Vault(PASSWORD))
    )
    script = ("-- hello: STARTTLS --", "C: STARTTLS", "S: 554 5.7.3 not you", "-- silence --")
    assert_refused(await send(tmp_path, case, script), "does not want us")


async def test_fault_21_plaintext_behind_the_220_is_not_believed(
    tmp_path: Path, authority: trustme.CA, ca_file: Path
) -> None:
    """What comes in plaintext behind STARTTLS's 220 never counts as an answer inside TLS (RFC 3207 6).

    The injected EHLO answer offers a login; the real one does not. Whether the handshake fails or the octets
    are dropped, no password leaves.
    """
    vault = Vault(PASSWORD)
    case = Case(["ada"], relay=secured(RelayKind.SMTP, ca_file), credentials=Credentials(USER, vault))
    script = (
        "-- hello: STARTTLS --", "C: STARTTLS", "S: 220 2.0.0 go ahead", "S: 250-relay.example",
        "S: 250 AUTH PLAIN", "-- starttls --", "C: EHLO client.example",
        "S: 250 relay.example", "-- silence --",
    )  # fmt: skip
    outcome = await send(tmp_path, case, script, tls=server_context(authority))
    assert_refused(outcome, "does not offer a login")
    assert vault.asked == 0


# -- 22: certificates


@pytest.mark.parametrize("kind", [RelayKind.SMTPS, RelayKind.SMTP])
@pytest.mark.parametrize(
    ("name", "until", "words"),
    [
        ("other.example", None, "not valid for"),
        ("127.0.0.1", datetime(2001, 1, 1, tzinfo=UTC), "expired"),
    ],
    ids=["wrong-host", "expired"],
)
async def test_fault_22_certificate_that_does_not_do(
    tmp_path: Path,
    authority: trustme.CA,
    ca_file: Path,
    kind: RelayKind,
    name: str,
    until: datetime | None,
    words: str,
) -> None:
    """A certificate for another name, or one that has expired: exit code 4 with the reason, nothing sent."""
    vault = Vault(PASSWORD)
    case = Case(["ada"], relay=secured(kind, ca_file), credentials=Credentials(USER, vault))
    context = server_context(authority, name, until=until)
    at_once = kind is RelayKind.SMTPS  # then the handshake comes before the first line of a conversation
    scripts = [] if at_once else [(*STARTTLS[:3], "-- starttls fails --")]
    assert_refused(await send(tmp_path, case, *scripts, tls=context, at_once=at_once), words)
    assert vault.asked == 0


async def test_fault_22_authority_nobody_knows(tmp_path: Path, authority: trustme.CA) -> None:
    """A certificate of the relay's own making: exit code 4, and the hint names the CA-file option."""
    case = Case(["ada"], relay=secured(RelayKind.SMTPS, None), credentials=Credentials(USER, Vault(PASSWORD)))
    outcome = await send(tmp_path, case, tls=server_context(authority), at_once=True)
    assert_refused(outcome, "unable to get local issuer certificate")
    assert outcome.stop is not None
    assert "relay.ca_file" in outcome.stop.hint


# -- 23: names and places


def _unused_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def test_fault_23_connection_refused(tmp_path: Path) -> None:
    """Nobody listens: tried a few times with growing waits, then the letters wait for a later run: exit 3."""
    case = Case(["ada"], tries=3)
    sending = Sending(tmp_path, case, port=_unused_port())
    outcome = await asyncio.wait_for(sending.go(), 30)
    sending.close()
    assert outcome.stop is not None
    assert outcome.stop.exit_code is ExitCode.WAITING
    assert "cannot be reached" in outcome.stop.reason
    assert outcome.states() == {"ada": State.QUEUED}
    assert sending.wire_clock.slept == [0.75, 1.5]


async def test_fault_23_name_that_does_not_resolve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay's name cannot be resolved: the letters wait; no address is to blame."""

    async def nobody(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nobody)
    relay = Relay(RelayKind.SMTPS, "relay.invalid", user=USER, ehlo="client.example")
    case = Case(["ada"], relay=relay, tries=1, credentials=Credentials(USER, Vault(PASSWORD)))
    sending = Sending(tmp_path, case, port=465)
    outcome = await asyncio.wait_for(sending.go(), 30)
    sending.close()
    assert outcome.stop is not None
    assert outcome.stop.exit_code is ExitCode.WAITING
    assert "Temporary failure in name resolution" in outcome.stop.reason
    assert outcome.states() == {"ada": State.QUEUED}
    assert not outcome.suppressed
