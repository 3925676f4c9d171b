"""A mail read whole, and what follows from it: nothing is raised, and nobody is harmed on a guess."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.clock import to_us
from pipeline.mail.mime import Mail
from pipeline.replies.acting import acts
from pipeline.replies.kinds import Kind
from pipeline.replies.matching import SentLetter
from pipeline.replies.reading import Ourselves, read_reply
from pipeline.replies.second_opinion import second_opinion
from pipeline.replies.text import ReplyText, new_text
from pipeline.store import mails, replies
from pipeline.store.mails import Mails
from tests.clocks import START, FakeClock
from tests.postgres import BOTH
from tests.unit.store_support import a_world
from tests.unit.test_mail_readers import _LINES, _nested

pytestmark = BOTH

LETTER = SentLetter(7, "abc@committee.example", "ada@office.example", "The eleven", START)
US = Ourselves(frozenset({"letters@committee.example"}), "committee.example", b"k" * 32)


class OneLetter:
    """A campaign that has written one letter."""

    def by_number(self, number: int) -> SentLetter | None:
        """Return it."""
        return LETTER if number == LETTER.number else None

    def by_message_id(self, message_id: str) -> SentLetter | None:
        """Return it."""
        return LETTER if message_id == LETTER.message_id else None

    def by_recipient(self, address: str) -> list[SentLetter]:
        """Return it."""
        return [LETTER] if address.lower() in (LETTER.recipient, "@office.example") else []

    def by_topic(self, topic: str) -> list[SentLetter]:
        """Return it."""
        return [LETTER] if topic == "the eleven" else []

    def text_of(self, letter: SentLetter) -> str:
        """Return its words."""
        return "We write to you about the trial of the fourth of May."


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [*_LINES, "In-Reply-To: <abc@committee.example>\n", "Message-ID: <x@y.example>\n"]
            ),
            st.text(max_size=20),
            st.just("From: letters@committee.example\nSubject: Fwd: x\n"),
            st.just("---------- Forwarded message ---------\nFrom: ada@office.example\n"),
        ),
        max_size=40,
    )
)
def test_whatever_came_is_read_and_acts_on_nobody_but_its_writer_and_the_letters_recipient(
    lines: list[str],
) -> None:
    """No structure is an exception; an action has an address and a reason."""
    reading = read_reply("".join(lines).encode("utf-8", "surrogatepass"), OneLetter(), US)
    letter = LETTER if reading.match.letter is not None else None
    for one in acts(reading, letter, US.addresses).bar:
        assert one.key in {LETTER.recipient, reading.address.lower()}
        assert one.source


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2_000))
def test_octets_of_chance_are_read(raw: bytes) -> None:
    """Any bytes in, a reading out."""
    assert read_reply(raw, OneLetter(), US).why


BOMBS = {
    "nested": _nested(1_000),
    "addresses": b"From: a@o.example\nTo: " + b"someone@office.example, " * 20_000 + b"\n\nhello",
    "tags": b"From: a@o.example\nContent-Type: text/html\n\n" + b"<a " * 20_000,
    "charset": b"From: a@o.example\nContent-Type: text/plain; charset=x-klingon\n\n" + b"\xfe" * 50_000,
    "NULs": b"From: a@o.example\nSubject: \0\0\n\n" + b"\0" * 200_000,
    "forwards": b"From: letters@committee.example\nSubject: Fwd: x\n\n"
    + b"---------- Forwarded message ---------\nFrom: a@b.example\n" * 3_000,
    "one word": b"From: " + b"a" * 100_000 + b"\n\nhello",
    "references": b"From: a@o.example\nReferences: " + b"<a@b.example>\n " * 8_000 + b"\n\nhello",
    "quotations": b"From: ada@office.example\nSubject: Re: The eleven\n\n"
    + b"> " * 30_000
    + b"\n> x" * 9_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_less_than_a_second_and_200_megabytes(name: str) -> None:
    """Read whole: sorted, matched, unwrapped, its words found; traced memory slows it down a few times."""
    started = time.process_time()
    read_reply(BOMBS[name], OneLetter(), US)
    assert time.process_time() - started < 1.0
    tracemalloc.start()
    read_reply(BOMBS[name], OneLetter(), US)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000_000


@pytest.mark.parametrize(("about", "times"), [(b"", 1), (b"In-Reply-To: <abc@committee.example>\n", 2)])
def test_the_words_of_a_mail_are_found_once_and_once_more_beside_its_letter(
    about: bytes, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a long mail nothing takes longer."""
    asked: list[Mail] = []

    def counted(mail: Mail, letter: str = "") -> ReplyText:
        asked.append(mail)
        return new_text(mail, letter)

    for place in ("reading", "sorting"):
        monkeypatch.setattr(f"pipeline.replies.{place}.new_text", counted)
    read_reply(about + b"From: joe@home.example\nSubject: Re: x\n\nWe shall look into it.\n", OneLetter(), US)
    assert len(asked) == times


def test_a_detector_that_stumbles_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """No traceback of a library reaches the operator's mail: its opinion is none."""
    caplog.set_level("ERROR")
    assert second_opinion(b"Subject: Mail delivery failed\n\nIt could not be delivered.\n")[1] == frozenset()
    assert second_opinion(b"From: \xff\xfe\nSubject: x\n\nIt could not be delivered.\n")[1] == frozenset()
    assert caplog.records == []


def test_a_mail_of_which_not_all_is_there_is_unreadable_and_still_finds_its_letter() -> None:
    """Its header is there."""
    raw = b"From: ada@office.example\nIn-Reply-To: <abc@committee.example>\nSubject: Re: x\n\n"
    reading = read_reply(raw, OneLetter(), US, missing="larger than 30 000 000 octets")
    assert (reading.kind, reading.match.letter) == (Kind.UNKNOWN, 7)
    assert reading.why == ("unreadable: larger than 30 000 000 octets",)


def test_lone_surrogates_and_long_texts_can_be_kept(tmp_path: Path) -> None:
    """What no character stands for becomes a mark in the store."""
    world = a_world(tmp_path)
    shelf = Mails(world.campaign, clock=FakeClock())
    raw = b"From: =?utf-8?b?7aCA?= <a@o.example>\nSubject: \xff\xfe\n\n\xed\xa0\x80 " + b"x" * 100_000
    from pipeline.replies.mailbox import Extent, Fetched

    shelf.keep("box", [Fetched(raw, Extent.WHOLE, len(raw), "1", None, frozenset())], "1")
    with world.campaign.writing() as connection:
        (stored,) = mails.unsorted(connection)
        number = replies.keep(
            connection, stored.id, read_reply(raw, OneLetter(), US), received_us=to_us(START)
        )
        line = replies.one(connection, number)
    world.close()
    assert line is not None
    assert json.dumps(line.text)
    assert line.kind == "human"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n\n",
        b"just words\n",
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40,
        b"%PDF-1.7\nstop\n",
        b"<html>stop",
    ],
    ids=["empty", "lines", "words", "picture", "pdf", "page"],
)
def test_what_has_no_header_is_no_persons_mail(raw: bytes) -> None:
    """A file that is none is kept, and a person may look at it; it is passed on to nobody."""
    reading = read_reply(raw, OneLetter(), US)
    assert (reading.kind, reading.why) == (Kind.UNKNOWN, ("unreadable: it has no header",))
    assert reading.review == "unreadable"


FOOTER = 'If you want no more of these letters, answer "no further letters", and we shall write no more.'


class WithFooter(OneLetter):
    """A campaign whose letter says how to stop."""

    def text_of(self, letter: SentLetter) -> str:
        """Return its words."""
        return f"Dear Ada,\n\nWe write to you about the trial of the fourth of May.\n\n{FOOTER}"


ANSWER = b"From: Ada <ada@office.example>\nIn-Reply-To: <abc@committee.example>\nSubject: Re: The eleven\n\n"


def test_our_own_footer_below_an_answer_is_no_opt_out() -> None:
    """Some programs repeat the letter without a mark; its words are not the writer's."""
    text = f"We have opened a file on the case.\n\nDear Ada,\nWe write to you about the trial.\n\n{FOOTER}\n"
    wrapped = text.replace('answer "no', 'answer\n"no')
    for written in (text, wrapped):
        reading = read_reply(ANSWER + written.encode(), WithFooter(), US)
        assert (reading.kind, reading.review) == (Kind.HUMAN, "")
        assert not [why for why in reading.why if "opt-out" in why]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"Please send no further letters. The file is closed.\n\nDear Ada,\n{FOOTER}\n", Kind.HUMAN),
        ("We have read it.\n\nNo further letters, please: the minister has decided.\n", Kind.HUMAN),
        (f"no further letters\n\n> {FOOTER}\n", Kind.OPTOUT),
    ],
)
def test_words_of_the_footer_that_the_writer_used_are_theirs(text: str, kind: Kind) -> None:
    """They are what the letter asks for."""
    reading = read_reply(ANSWER + text.encode(), WithFooter(), US)
    assert reading.kind is kind
    assert reading.review == ("optout" if kind is Kind.HUMAN else "")
