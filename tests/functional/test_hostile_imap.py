"""An IMAP server that means harm, or has gone mad: nothing it says hangs or floods the program, or ends it
otherwise than in words; and what can be fetched is fetched.

Every server is a real socket. The bounds are lowered where a test would otherwise move gigabytes.
"""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.clock import Clock, SystemClock
from pipeline.replies import mailbox_imap_wire
from pipeline.replies.account import Account, MailboxKind
from pipeline.replies.mailbox import Extent, Fetched, MailboxUnreached, MailboxUnusable
from pipeline.replies.mailbox_imap import MOST_CONNECTIONS, ImapMailbox
from tests.clocks import FakeClock
from tests.imap_server import Hangup, ImapServer, Talk, Trick, hangs_up, refuses, says, sends, serving

COMMANDS = ("GREETING", "CAPABILITY", "EXAMINE", "UID SEARCH", "UID FETCH")
BOUND = 100_000  # octets of the largest mail


def a_mail(number: int, size: int = 0) -> bytes:
    """Return a mail that is like no other."""
    return b"Subject: reply %d\r\n\r\nWe have received your letter.\r\n" % number + b"x" * size


@pytest.fixture
def server() -> Iterator[ImapServer]:
    """A server with five mails, which behaves until a test says otherwise."""
    with serving(ImapServer(mails={number: a_mail(number) for number in range(1, 6)})) as running:
        yield running


def fetch(server: ImapServer, clock: Clock | None = None) -> tuple[list[Fetched], str]:
    """Fetch for as long as it goes; return what came, and in which words it ended ("" for well)."""
    account = Account(MailboxKind.IMAP, "127.0.0.1", server.port, mail_bytes=BOUND)
    mailbox = ImapMailbox(account, secret=lambda: None, clock=clock or SystemClock())
    found: list[Fetched] = []
    try:
        for mail in mailbox.new(""):
            found.append(mail)
    except (MailboxUnreached, MailboxUnusable) as trouble:
        return found, trouble.message
    finally:
        mailbox.close()
    return found, ""


def numbers(found: list[Fetched]) -> list[int]:
    """Return the UIDs of what came."""
    return [int(mail.source.partition("/")[2]) for mail in found]


def floods(unit: bytes) -> Trick:
    """Return the trick of sending the same for ever."""

    def flood(talk: Talk, rest: bytes) -> None:
        while True:
            talk.send(unit * (65_536 // len(unit)))

    return flood


# -- floods


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "unit",
    [
        b"x",
        b"* 1 EXISTS\r\n",
        b"* OK x\r\n",
        b"\r\n",
        b"+ \r\n",
        b"* 1 FETCH (UID 1)\r\n",
        b"* SEARCH 1\r\n",
        b"(",
    ],
    ids=["a-line-without-end", "exists", "ok", "empty-lines", "continuations", "fetch", "search", "parens"],
)
def test_a_flood_ends_the_fetch(server: ImapServer, command: str, unit: bytes) -> None:
    """In words, after a bounded number of octets and lines, and in bounded memory."""
    server.tricks[command] = floods(unit)
    tracemalloc.start()
    try:
        found, words = fetch(server)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == []
    assert words
    assert peak < 60_000_000


@pytest.mark.parametrize("size", [b"200000", b"99999999999999", b"9" * 5_000])
@pytest.mark.parametrize("command", ["EXAMINE", "UID SEARCH", "UID FETCH"])
def test_a_literal_that_is_too_large_is_not_read(server: ImapServer, command: str, size: bytes) -> None:
    """No memory is set aside for what a server only announces."""
    if size == b"200000":
        size = b"20000000"
    server.tricks[command] = sends(b"* 1 FETCH (UID 1 BODY[] {" + size + b"}\r\n")
    tracemalloc.start()
    try:
        found, words = fetch(server)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (found, bool(words)) == ([], True)
    assert peak < 20_000_000


def test_a_server_that_drips_is_too_slow(server: ImapServer) -> None:
    """It says an octet every second, and never comes to the end of a line."""
    clock = FakeClock()

    def drip(talk: Talk, rest: bytes) -> None:
        while True:
            clock.advance(1)
            talk.send(b"*")

    server.tricks["UID SEARCH"] = drip
    found, words = fetch(server, clock)
    assert (found, "too slow" in words) == ([], True)


def test_a_server_that_falls_silent_is_given_up(server: ImapServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute; here after a moment."""
    monkeypatch.setattr(mailbox_imap_wire, "SILENCE_S", 0.1)

    def silent(talk: Talk, rest: bytes) -> None:
        with suppress(Hangup):
            talk.read()

    server.tricks["UID SEARCH"] = silent
    found, words = fetch(server)
    assert (found, "fell silent" in words) == ([], True)


# -- ends and garbage at any time


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "trick",
    [
        hangs_up,
        says("* BYE go away"),
        says("* bye"),
        sends(b"\0\xff\xfe\r\n"),
        says(""),
        says("HTTP/1.1 400 Bad Request"),
    ],
    ids=["cut", "bye", "small-bye", "garbage", "empty", "http"],
)
def test_an_end_at_any_time_ends_the_fetch(server: ImapServer, command: str, trick: Trick) -> None:
    """In words; a later fetch goes on."""

    def once_and_gone(talk: Talk, rest: bytes) -> object:
        trick(talk, rest)
        return talk.hang_up()

    server.tricks[command] = once_and_gone
    found, words = fetch(server)
    assert (found, bool(words)) == ([], True)
    assert "\0" not in words
    server.tricks.clear()
    assert numbers(fetch(server)[0]) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("command", COMMANDS[1:])
@pytest.mark.parametrize("answer", ["NO", "BAD", "PREAUTH", "MAYBE"])
def test_any_refusal_is_told(server: ImapServer, command: str, answer: str) -> None:
    """Also one in a word that is none."""

    def tagged(talk: Talk, rest: bytes) -> None:
        talk.say(talk.tag, answer, "because")

    server.tricks[command] = tagged
    found, words = fetch(server)
    assert (found, bool(words)) == ([], True)


def test_a_server_that_says_nothing_of_uidvalidity_is_read_each_time(server: ImapServer) -> None:
    """Its numbers cannot be relied on; what comes again is known by its bytes."""

    def bare(talk: Talk, rest: bytes) -> None:
        talk.done()

    server.tricks["EXAMINE"] = bare
    for _ in range(2):
        found, words = fetch(server)
        assert ([mail.raw for mail in found], words) == (list(server.mails.values()), "")


@given(
    command=st.sampled_from(COMMANDS),
    lines=st.lists(
        st.binary(max_size=40)
        | st.from_regex(rb"\* [0-9]{1,12} (FETCH|EXISTS|EXPUNGE) ?[ ()\[\]{}\"A-Z0-9]{0,30}", fullmatch=True)
        | st.from_regex(rb"\* (SEARCH|OK|BYE|NO|FLAGS|LIST) [ ()\[\]{}\"A-Z0-9]{0,30}", fullmatch=True)
        | st.from_regex(rb"\* 1 FETCH \(UID [0-9]{1,3} BODY\[\] (NIL|\"x\"|17|\(\))\)", fullmatch=True),
        max_size=6,
    ),
    ending=st.sampled_from([b"", b"\r\n", b"\n", b"{5}\r\n"]),
    tagged=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120, deadline=None)
def test_no_answer_makes_the_program_fail(
    server: ImapServer, command: str, lines: list[bytes], ending: bytes, tagged: bool
) -> None:
    """Whatever comes in place of an answer: mails or words."""

    def answer(talk: Talk, rest: bytes) -> object:
        talk.send(b"".join(line + b"\r\n" for line in lines) + ending)
        if tagged:
            talk.done()
            return True
        return talk.hang_up()

    server.tricks = {command: answer}
    found, _ = fetch(server)
    assert all(mail.source.startswith("7/") or mail.source.startswith("0/") for mail in found)


# -- lies about mails


def test_uids_that_do_not_exist_bring_nothing(server: ImapServer) -> None:
    """And the mark does not move to them, so that what comes later is not lost."""

    def lie(talk: Talk, rest: bytes) -> None:
        talk.say("* SEARCH 0 5 4 3 3 77 4294967295 4294967296 99999999999999999999")
        talk.done()

    server.tricks["UID SEARCH"] = lie
    found, words = fetch(server)
    assert numbers(found)[:3] == [3, 4, 5]
    assert all(mail.extent is Extent.NOTHING for mail in found[3:])
    assert words == ""


def test_mails_nobody_asked_for_are_not_taken(server: ImapServer) -> None:
    """Unasked answers are allowed (RFC 9051 section 7), and worth nothing."""

    def more(talk: Talk, rest: bytes) -> bool:
        if b"BODY" in rest:
            talk.send(b"* 9 FETCH (UID 9 BODY[] {5}\r\nnever)\r\n* 9 FETCH (FLAGS (\\Seen))\r\n")
        return False

    server.tricks["UID FETCH"] = more
    found, _ = fetch(server)
    assert [mail.raw for mail in found] == list(server.mails.values())


def test_a_size_that_is_too_small_does_not_hide_a_mail(server: ImapServer) -> None:
    """Some servers only guess sizes: the group is fetched again, mail by mail."""
    server.mails[3] = a_mail(3, BOUND - 1_000)
    lying_about_sizes(server)
    found, words = fetch(server)
    assert ([mail.raw for mail in found], words) == (list(server.mails.values()), "")


def test_a_mail_over_the_bound_whose_size_was_said_to_be_small(server: ImapServer) -> None:
    """Its headers are kept, and the others come whole."""
    server.mails[3] = a_mail(3, 3_000_000)
    lying_about_sizes(server)
    found, words = fetch(server)
    assert words == ""
    assert [mail.extent for mail in found] == [Extent.WHOLE] * 2 + [Extent.HEADERS] + [Extent.WHOLE] * 2
    assert found[2].raw == b"Subject: reply 3\r\n\r\n"
    assert found[2].why == "larger than 100 000 octets: only its headers were kept"


def lying_about_sizes(server: ImapServer) -> None:
    """Let the server say of every mail that it is small."""

    def lie(talk: Talk, rest: bytes) -> bool:
        if b"RFC822.SIZE" not in rest:
            return False
        for uid in map(int, rest.partition(b" ")[0].split(b",")):
            server.give(talk, uid, rest, mail=b"small")
        talk.done()
        return True

    server.tricks["UID FETCH"] = lie


def about(uid: int, trick: Trick) -> Trick:
    """Return a trick that is played where the body of one mail is asked for."""

    def only(talk: Talk, rest: bytes) -> object:
        uids = rest.partition(b" ")[0].split(b",")
        return trick(talk, rest) if b"BODY.PEEK[]" in rest and b"%d" % uid in uids else False

    return only


def test_a_mail_that_the_server_refuses_is_kept_without_its_body(server: ImapServer) -> None:
    """A damaged mail must not hold up the others for ever."""
    server.tricks["UID FETCH"] = about(3, refuses("[SERVERBUG] the mail is damaged"))
    found, words = fetch(server)
    assert (numbers(found), words) == ([1, 2, 3, 4, 5], "")
    assert (found[2].extent, found[2].raw) == (Extent.HEADERS, b"Subject: reply 3\r\n\r\n")
    assert "the mail is damaged" in found[2].why


def test_a_mail_that_is_listed_and_not_given_is_told(server: ImapServer) -> None:
    """It is there, and it cannot be had."""

    def omit(talk: Talk, rest: bytes) -> object:
        for uid in map(int, rest.partition(b" ")[0].split(b",")):
            if uid != 3:
                server.give(talk, uid, rest)
        return talk.done("all of them")  # type: ignore[func-returns-value]

    server.tricks["UID FETCH"] = lambda talk, rest: omit(talk, rest) if b"BODY" in rest else False
    found, words = fetch(server)
    assert (numbers(found), words) == ([1, 2, 3, 4, 5], "")
    assert (found[2].extent, found[2].raw) == (Extent.NOTHING, b"")
    assert found[2].why == "the server lists it and does not give it"


def test_a_refusal_for_now_stops_and_skips_nothing(server: ImapServer) -> None:
    """What the server cannot give now it may give later."""
    server.tricks["UID FETCH"] = about(3, refuses("[UNAVAILABLE] try later"))
    found, words = fetch(server)
    assert found == []
    assert "UNAVAILABLE" in words


def test_a_body_that_is_no_text_is_not_taken_for_one(server: ImapServer) -> None:
    """A number, nothing, a list: none of them is a mail."""
    for value in ("NIL", "17", "(1 2)"):

        def give(talk: Talk, rest: bytes, value: str = value) -> None:
            talk.say(f"* 3 FETCH (UID 3 BODY[] {value})")
            talk.done()

        server.tricks["UID FETCH"] = about(3, give)
        found, _ = fetch(server)
        assert not [mail for mail in found if mail.source == "7/3" and mail.extent is Extent.WHOLE]


def test_a_folder_that_is_numbered_anew_at_every_connection_ends(server: ImapServer) -> None:
    """Each connection seems to bring something; there is an end to it all the same."""

    def renumber(talk: Talk, rest: bytes) -> bool:
        server.uidvalidity += 1
        return False

    def give_one(talk: Talk, rest: bytes) -> object:
        if b"BODY" not in rest:
            return False
        server.give(talk, 1, rest)
        return talk.hang_up()

    server.tricks |= {"EXAMINE": renumber, "UID FETCH": give_one}
    found, words = fetch(server)
    assert words
    assert len(found) < 2 * MOST_CONNECTIONS


def test_words_of_a_server_are_shown_without_their_control_characters(server: ImapServer) -> None:
    """They go to a terminal."""
    server.tricks["EXAMINE"] = refuses("\x1b]0;owned\x07 \u202e" + "x" * 10_000)
    _, words = fetch(server)
    assert words.isprintable()
    assert len(words) < 500
    assert re.search("owned", words)
