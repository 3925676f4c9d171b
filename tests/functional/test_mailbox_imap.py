"""An IMAP folder is read over a real socket: order, marks, TLS and logins, lost connections, `after`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from pipeline.clock import SystemClock
from pipeline.delivery.relay import Auth, Secret
from pipeline.replies import mailbox_imap
from pipeline.replies.account import Account, After, Afterwards, MailboxKind
from pipeline.replies.mailbox import Extent, Fetched, MailboxUnreached, MailboxUnusable, fingerprint
from pipeline.replies.mailbox_imap import ImapMailbox
from tests.imap_server import ImapServer, Talk, hangs_up, refuses, says, serving


def a_mail(number: int, size: int = 0) -> bytes:
    """Return a mail that is like no other."""
    return b"Subject: reply %d\r\n\r\nWe have received your letter.\r\n" % number + b"x" * size


def mails(count: int, step: int = 1) -> dict[int, bytes]:
    """Return mails by UID."""
    return {number * step: a_mail(number) for number in range(1, count + 1)}


def no_secret() -> Secret | None:
    """Fail: nobody may ask."""
    pytest.fail("the secret was asked for")


def box(
    server: ImapServer, *, secret: Callable[[], Secret | None] = no_secret, **changes: Any
) -> ImapMailbox:
    """Return a mailbox at the server."""
    kind = MailboxKind.IMAPS if server.implicit_tls else MailboxKind.IMAP
    account = Account(kind, "127.0.0.1", server.port, server.user)
    return ImapMailbox(replace(account, **changes), secret=secret, clock=SystemClock())


def fetched(server: ImapServer, mark: str = "", **changes: Any) -> tuple[list[Fetched], str]:
    """Return what is new, and the mark once it is stored."""
    with closing(box(server, **changes)) as mailbox:
        found = list(mailbox.new(mark))
        return found, mailbox.mark(found)


@pytest.fixture
def server() -> Iterator[ImapServer]:
    """A server with five mails."""
    with serving(ImapServer(mails=mails(5, step=10))) as running:
        yield running


# -- reading


def test_mails_come_in_the_order_of_their_uids_and_leave_no_trace(server: ImapServer) -> None:
    """The folder is opened for reading only, and no command could change a flag."""
    server.flags[20] = {"\\Seen", "\\Answered", "$Junk", "Custom"}
    found, _ = fetched(server)
    assert [(mail.source, mail.raw) for mail in found] == [
        (f"7/{number * 10}", a_mail(number)) for number in range(1, 6)
    ]
    assert found[1].flags == {"seen", "answered"}
    assert {mail.received_at for mail in found} == {datetime(2027, 5, 1, 8, tzinfo=UTC)}
    assert {mail.extent for mail in found} == {Extent.WHOLE}
    assert server.count("EXAMINE") == 1
    assert not any(server.count(word) for word in ("SELECT", "UID STORE", "UID EXPUNGE", "UID MOVE"))
    bodies = [command for command in server.commands if "BODY" in command]
    assert all("BODY.PEEK[" in command for command in bodies)


def test_a_second_fetch_brings_what_came_since(server: ImapServer) -> None:
    """The server answers "above the last" with the last all the same; it is not taken again."""
    _, mark = fetched(server)
    assert fetched(server, mark) == ([], mark)
    server.mails[51] = a_mail(6)
    found, _ = fetched(server, mark)
    assert [mail.source for mail in found] == ["7/51"]


def test_the_mark_covers_what_is_stored_and_nothing_else(server: ImapServer) -> None:
    """What was yielded and not stored comes again."""
    mailbox = box(server)
    found = list(mailbox.new(""))
    mark = mailbox.mark(found[:2])
    mailbox.close()
    assert [mail.source for mail in fetched(server, mark)[0]] == ["7/30", "7/40", "7/50"]


def test_when_uidvalidity_changes_all_is_read_again(server: ImapServer) -> None:
    """The numbers mean other mails now; these are known again by their bytes."""
    before, mark = fetched(server)
    server.uidvalidity = 8
    server.mails = dict(enumerate(server.mails.values(), 1))
    after, mark = fetched(server, mark)
    assert list(map(fingerprint, after)) == list(map(fingerprint, before))
    assert [mail.source for mail in after] == [f"8/{number}" for number in range(1, 6)]
    assert fetched(server, mark)[0] == []


@pytest.mark.parametrize("mark", ["{", "[]", "3", '{"uid": "x"}', '{"uid": -1}', '{"owed": 3}', "[" * 99_999])
def test_a_mark_that_cannot_be_read_is_none(server: ImapServer, mark: str) -> None:
    """Everything comes again, and is known again by its bytes."""
    assert len(fetched(server, mark)[0]) == 5


def test_of_a_large_mail_only_the_headers_travel(server: ImapServer) -> None:
    """Its size is asked before its body."""
    server.mails[30] = a_mail(3, 50_000)
    found, _ = fetched(server, mail_bytes=10_000)
    assert found[2].raw == b"Subject: reply 3\r\n\r\n"
    assert (found[2].extent, found[2].size) == (Extent.HEADERS, len(server.mails[30]))
    assert found[2].why == "larger than 10 000 octets: only its headers were kept"
    assert [mail.extent for mail in found].count(Extent.WHOLE) == 4
    bodies = [command for command in server.commands if "PEEK[]" in command]
    assert not any("30" in command for command in bodies)


def test_older_mail_is_left_alone(server: ImapServer) -> None:
    """The server is asked for days, and the moment decides."""
    assert fetched(server, since=datetime(2027, 5, 1, 9, tzinfo=UTC))[0] == []
    assert len(fetched(server, since=datetime(2027, 5, 1, 7, tzinfo=UTC))[0]) == 5
    assert server.count("UID SEARCH UID 1:* SINCE 29-Apr-2027") == 2


def test_many_mails_take_few_commands(server: ImapServer) -> None:
    """Each command costs a round trip."""
    server.mails = mails(1_200)
    found, _ = fetched(server)
    assert [mail.raw for mail in found] == list(server.mails.values())
    assert server.count("UID FETCH") == 5 + 24


def test_a_mail_that_goes_away_meanwhile_is_passed_over(server: ImapServer) -> None:
    """Another mail program deleted it between the listing and the fetch."""

    def expunge(talk: Talk, rest: bytes) -> bool:
        if b"BODY" in rest:
            server.mails.pop(30, None)
        return False

    server.tricks["UID FETCH"] = expunge
    found, _ = fetched(server)
    assert [mail.source for mail in found] == ["7/10", "7/20", "7/40", "7/50"]


def test_an_empty_folder_has_nothing(server: ImapServer) -> None:
    """And no mark that would hide what comes."""
    server.mails = {}
    found, mark = fetched(server)
    server.mails = mails(1)
    assert (found, len(fetched(server, mark)[0])) == ([], 1)


def test_a_folder_that_is_not_there_is_told(server: ImapServer) -> None:
    """A person has to correct the name."""
    with pytest.raises(MailboxUnusable, match="NONEXISTENT"):
        fetched(server, folder="Réponses")
    assert server.count('EXAMINE "R&AOk-ponses"') == 1


# -- connections that are lost


def test_a_connection_cut_in_the_middle_is_opened_again_behind_the_last_mail(
    server: ImapServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as long as each connection brings something."""
    monkeypatch.setattr(mailbox_imap, "GROUP_MAILS", 2)
    fetches: list[bytes] = []

    def cut_every_other(talk: Talk, rest: bytes) -> bool:
        fetches.append(rest)
        return talk.hang_up() if b"BODY" in rest and len(fetches) % 3 == 0 else False

    server.tricks["UID FETCH"] = cut_every_other
    found, _ = fetched(server)
    assert [mail.raw for mail in found] == list(server.mails.values())
    assert server.connections > 1


def test_two_connections_in_a_row_that_bring_nothing_end_the_fetch(server: ImapServer) -> None:
    """A later one goes on; nothing turns in a circle."""
    server.tricks["UID FETCH"] = hangs_up
    with pytest.raises(MailboxUnreached, match="closed the connection"):
        fetched(server)
    assert server.connections == 2


def test_what_came_before_the_connection_was_lost_for_good_is_yielded(server: ImapServer) -> None:
    """So that it is stored."""
    server.mails[30] = a_mail(3)

    def cut(talk: Talk, rest: bytes) -> bool:
        return talk.hang_up() if b"BODY" in rest and b"30" in rest and b"," not in rest else False

    server.tricks["UID FETCH"] = cut
    mailbox = box(server, mail_bytes=10_000)
    server.mails[20] = a_mail(2, 20_000)  # stands alone, and so do those beside it
    server.mails = {uid: server.mails[uid] for uid in (10, 20, 30)}
    stored: list[Fetched] = []
    with pytest.raises(MailboxUnreached):
        deque(map(stored.append, mailbox.new("")), 0)
    mailbox.close()
    assert [mail.source for mail in stored] == ["7/10", "7/20"]


def test_nobody_listening_is_tried_later() -> None:
    """The server is being restarted."""
    with serving(ImapServer()) as gone:
        pass
    with pytest.raises(MailboxUnreached, match="Connection refused"):
        fetched(gone)


# -- TLS and login


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs the servers' certificates."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    """The certificate of the authority."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path / "ca.pem"


@contextmanager
def with_login(authority: trustme.CA, **changes: Any) -> Iterator[ImapServer]:
    """Run a server that wants a user and a password."""
    server = ImapServer(mails=mails(2), user="me@example.org", secrets=["pass wörd"])
    with serving(replace(server, **changes), authority) as running:
        yield running


@pytest.mark.parametrize("implicit", [True, False], ids=["imaps", "STARTTLS"])
def test_a_login_with_a_password(authority: trustme.CA, ca_file: Path, implicit: bool) -> None:
    """PLAIN, in UTF-8, behind TLS."""
    with with_login(authority, implicit_tls=implicit) as server:
        found, _ = fetched(server, ca_file=ca_file, secret=lambda: Secret("pass wörd"))
    assert len(found) == 2
    assert server.count("STARTTLS") == (0 if implicit else 1)
    assert server.count("AUTHENTICATE PLAIN") == 1


def test_a_login_where_plain_is_not_offered(authority: trustme.CA, ca_file: Path) -> None:
    """LOGIN, with user and password in quotes."""
    with with_login(authority, implicit_tls=True, capabilities="IMAP4rev1", secrets=["pass word"]) as server:
        found, _ = fetched(server, ca_file=ca_file, secret=lambda: Secret("pass word"))
    assert len(found) == 2
    assert server.count("LOGIN") == 1


def test_a_token_that_ran_out_is_asked_for_anew(authority: trustme.CA, ca_file: Path) -> None:
    """Once: a command that prints a fresh one works."""
    tokens = [Secret("stale"), Secret("fresh")]
    with with_login(authority, implicit_tls=True, secrets=["fresh"]) as server:
        found, _ = fetched(server, ca_file=ca_file, auth=Auth.XOAUTH2, secret=lambda: tokens.pop(0))
    assert (len(found), server.count("AUTHENTICATE XOAUTH2")) == (2, 2)


@pytest.mark.parametrize("auth", Auth)
def test_a_refused_login_is_told_without_the_secret(authority: trustme.CA, ca_file: Path, auth: Auth) -> None:
    """Not even where the server repeats it."""

    def echo(talk: Talk, rest: bytes) -> None:
        talk.say("+ ")
        talk.read()
        talk.no("[AUTHENTICATIONFAILED] hunter2 is wrong")

    with (
        with_login(authority, implicit_tls=True, tricks={"AUTHENTICATE": echo}) as server,
        pytest.raises(MailboxUnusable, match="refused the login") as caught,
    ):
        fetched(server, ca_file=ca_file, auth=auth, secret=lambda: Secret("hunter2"))
    assert "hunter2" not in caught.value.message + caught.value.hint


def test_a_login_that_is_refused_for_now_is_tried_later(authority: trustme.CA, ca_file: Path) -> None:
    """The server says so (RFC 5530)."""

    def busy(talk: Talk, rest: bytes) -> None:
        talk.no("[UNAVAILABLE] the backend is down")

    with (
        with_login(authority, implicit_tls=True, tricks={"AUTHENTICATE": busy}) as server,
        pytest.raises(MailboxUnreached, match="UNAVAILABLE"),
    ):
        fetched(server, ca_file=ca_file, secret=lambda: Secret("x"))


def test_a_certificate_nobody_vouches_for_is_refused(authority: trustme.CA, tmp_path: Path) -> None:
    """Before the password is sent."""
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    for implicit in (True, False):
        with (
            with_login(authority, implicit_tls=implicit) as server,
            pytest.raises(MailboxUnusable, match="could not prove who it is"),
        ):
            fetched(server, ca_file=tmp_path / "other.pem")


def test_a_ca_file_that_holds_no_certificate_is_told(authority: trustme.CA, tmp_path: Path) -> None:
    """It is for a person to put right."""
    (tmp_path / "ca.pem").write_text("not a certificate")
    words = r"replies\.ca_file holds no certificate"
    with with_login(authority, implicit_tls=True) as server, pytest.raises(MailboxUnusable, match=words):
        fetched(server, ca_file=tmp_path / "ca.pem")
    assert server.connections == 0


def test_a_server_that_hides_starttls_gets_no_password(authority: trustme.CA, ca_file: Path) -> None:
    """Somebody between may have taken it out."""
    with (
        with_login(authority, capabilities="IMAP4rev1 AUTH=PLAIN") as server,
        pytest.raises(MailboxUnusable, match="does not offer TLS"),
    ):
        fetched(server, ca_file=ca_file)


def test_a_server_that_refuses_starttls_gets_no_password(authority: trustme.CA, ca_file: Path) -> None:
    """Whatever it says."""
    with (
        with_login(authority, tricks={"STARTTLS": refuses("no TLS")}) as server,
        pytest.raises(MailboxUnusable, match="refused TLS"),
    ):
        fetched(server, ca_file=ca_file)


def test_preauth_instead_of_starttls_is_refused(authority: trustme.CA, ca_file: Path) -> None:
    """STARTTLS is no longer possible then (RFC 9051 section 11.1): a way around it."""
    greeting = {"GREETING": says("* PREAUTH hello")}
    with with_login(authority, tricks=greeting) as server, pytest.raises(MailboxUnusable, match="PREAUTH"):
        fetched(server, ca_file=ca_file)


def test_what_was_said_before_tls_is_not_believed(authority: trustme.CA, ca_file: Path) -> None:
    """Answers sent ahead in the clear would be taken for the server's own."""

    def inject(talk: Talk, rest: bytes) -> None:
        talk.send(talk.tag + b" OK begin\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n")
        talk.secure()

    with (
        with_login(authority, tricks={"STARTTLS": inject}) as server,
        pytest.raises(MailboxUnreached, match="before TLS"),
    ):
        fetched(server, ca_file=ca_file)


def test_logindisabled_is_honoured(authority: trustme.CA, ca_file: Path) -> None:
    """No password is sent where the server says that it takes none."""
    with (
        with_login(authority, implicit_tls=True, capabilities="IMAP4rev1 LOGINDISABLED") as server,
        pytest.raises(MailboxUnusable, match="offers no login"),
    ):
        fetched(server, ca_file=ca_file, secret=lambda: Secret("x"))
    assert server.count("LOGIN") == 0


def test_a_server_that_wants_a_login_without_a_user_is_told() -> None:
    """Without TLS there is none."""
    with (
        serving(ImapServer(tricks={"GREETING": says("* OK hi")})) as server,
        pytest.raises(MailboxUnusable, match="wants a login"),
    ):
        fetched(server)


# -- after


def settled(server: ImapServer, after: After, **changes: Any) -> str | None:
    """Fetch everything, and do what is asked for."""
    with closing(box(server, after=after, **changes)) as mailbox:
        mailbox.mark(list(mailbox.new("")))
        return mailbox.settle()


def test_keep_does_nothing(server: ImapServer) -> None:
    """It is the default."""
    assert settled(server, After()) is None
    assert (server.count("SELECT"), server.flags) == (0, {})


def test_seen_sets_that_flag_and_no_other(server: ImapServer) -> None:
    """The folder is opened for writing then, and only then."""
    assert settled(server, After(Afterwards.SEEN)) is not None
    assert server.flags == {uid: {"\\Seen"} for uid in server.mails}
    assert (server.count("SELECT"), server.count("EXAMINE")) == (1, 0)


@pytest.mark.parametrize("capabilities", ["IMAP4rev1 MOVE", "IMAP4rev1 UIDPLUS", "IMAP4rev1"])
def test_move_makes_the_folder_and_moves(server: ImapServer, capabilities: str) -> None:
    """With MOVE, or a copy and a deletion; nobody else's deletions are carried out."""
    server.capabilities = capabilities
    before = set(server.mails)
    settled(server, After(Afterwards.MOVE, "Done"))
    assert server.moved == dict.fromkeys(before, "Done")
    assert set(server.mails) == (before if capabilities == "IMAP4rev1" else set())
    assert server.count("EXPUNGE") == 0


def test_delete_spares_what_is_not_whole_in_the_store(server: ImapServer) -> None:
    """Of the large one only the headers were kept."""
    server.mails[30] = a_mail(3, 50_000)
    settled(server, After(Afterwards.DELETE), mail_bytes=10_000)
    assert set(server.mails) == {30}


def test_what_was_not_done_before_a_crash_is_done_at_the_next_fetch(server: ImapServer) -> None:
    """The mark that was stored with the mails says so."""
    mailbox = box(server, after=After(Afterwards.SEEN))
    mark = mailbox.mark(list(mailbox.new("")))
    mailbox.close()
    assert server.flags == {}
    fetched(server, mark, after=After(Afterwards.SEEN))
    assert set(server.flags) == {10, 20, 30, 40, 50}


def test_what_is_owed_is_forgotten_when_uidvalidity_changes(server: ImapServer) -> None:
    """The numbers mean other mails now, and none of those may be deleted."""
    mailbox = box(server, after=After(Afterwards.DELETE))
    mark = mailbox.mark(list(mailbox.new("")))
    mailbox.close()
    server.uidvalidity = 8
    server.mails = dict.fromkeys(server.mails, a_mail(99))
    fetched(server, mark, after=After(Afterwards.DELETE))
    assert len(server.mails) == 5


def test_a_refusal_of_what_after_asks_for_is_told(server: ImapServer) -> None:
    """The mail is stored; only `after` failed."""
    server.tricks["UID STORE"] = refuses("no rights")
    with pytest.raises(MailboxUnusable, match=r"replies\.after asks for"):
        settled(server, After(Afterwards.SEEN))


def test_a_folder_for_reading_only_is_told(server: ImapServer) -> None:
    """A shared folder without the rights."""

    def readonly(talk: Talk, rest: bytes) -> None:
        talk.say("* 5 EXISTS")
        talk.done("[READ-ONLY] only for reading")

    server.tricks["SELECT"] = readonly
    with pytest.raises(MailboxUnusable, match="for reading only"):
        settled(server, After(Afterwards.SEEN))


def test_a_connection_lost_at_settling_leaves_it_owed(server: ImapServer) -> None:
    """The next fetch does it."""
    server.tricks["UID STORE"] = hangs_up
    assert settled(server, After(Afterwards.SEEN)) is None
