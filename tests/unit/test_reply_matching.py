"""Which letter a mail answers: each sort of evidence, alone and against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.mail.identity import letter_token
from pipeline.mail.mime import read_mail
from pipeline.replies.forwarded import unwrap
from pipeline.replies.kinds import Kind
from pipeline.replies.matching import (
    ENOUGH,
    FROM_ADDRESS,
    FROM_DOMAIN,
    IN_TIME,
    MOST_CANDIDATES,
    NOTIFICATIONS,
    SUBJECT,
    Match,
    SentLetter,
    match,
)
from pipeline.replies.passage import likeness
from pipeline.replies.subject import topic
from pipeline.replies.traces import Traces, traces, traces_of_forwarded

KEY = b"0123456789abcdef"
OTHER_KEY = b"fedcba9876543210"
SENT = datetime(2026, 5, 3, 18, tzinfo=UTC)
WRITTEN = SENT + timedelta(days=2)

TEXT = (
    "Dear Consul, we ask you to release the four detained teachers of the village school. They were arrested"
    " on the second of March for a strike that the law of your country allows. {} We ask for a fair trial and"
    " for visits by their families, and we ask you to pass this letter on to the ministry of justice."
)
OWN = {
    1: "My sister worked with one of them for eleven years and sends her greetings to all.",
    2: "As a union of bus drivers we know what a strike costs and what it is worth to people.",
    3: "Our choir sang for them in the town hall last week, and three hundred people came to hear it.",
}


@dataclass(frozen=True)
class Archive:
    """Letters in memory."""

    letters: tuple[SentLetter, ...]
    texts: dict[int, str]

    def by_number(self, number: int) -> SentLetter | None:
        return next((one for one in self.letters if one.number == number), None)

    def by_message_id(self, message_id: str) -> SentLetter | None:
        return next((one for one in self.letters if one.message_id == message_id), None)

    def by_recipient(self, address: str) -> Sequence[SentLetter]:
        wanted = address.lower()
        return [
            one
            for one in self.letters
            if one.recipient == wanted or (wanted[0] == "@" and one.recipient.endswith(wanted))
        ]

    def by_topic(self, topic_: str) -> Sequence[SentLetter]:
        return [one for one in self.letters if topic(one.subject) == topic_]

    def text_of(self, letter: SentLetter) -> str:
        return self.texts.get(letter.number, "")


def letter(number: int, recipient: str = "", subject: str = "The four teachers") -> SentLetter:
    return SentLetter(
        number,
        f"letter-{number}@example.org",
        recipient or f"office{number}@house{number}.example",
        subject,
        SENT,
    )


LETTERS = Archive(
    (letter(1), letter(2), letter(3)), {number: TEXT.format(own) for number, own in OWN.items()}
)
STRANGER = Traces(author="somebody@elsewhere.example", written=WRITTEN, topic="hello there")


def matched(found: Traces, letters: Archive = LETTERS, *, notification: bool = False) -> Match:
    return match(found, letters, key=KEY, notification=notification)


def token_address(number: int, key: bytes = KEY) -> str:
    return f"letters+{letter_token(number, key)}@example.org"


def quoting(number: int, words: slice = slice(None)) -> str:
    return " ".join(TEXT.format(OWN[number]).split()[words])


# -- what ties

TIES = {
    "token": replace(STRANGER, came_to=("letters@example.org", token_address(2))),
    "token in capitals": replace(STRANGER, came_to=(token_address(2).upper(),)),
    "token behind another separator": replace(STRANGER, came_to=(token_address(2).replace("+", "-"),)),
    "envelope id": replace(STRANGER, envelope_ids=(letter_token(2, KEY),)),
    "envelope id that is the Message-ID": replace(STRANGER, envelope_ids=("<letter-2@example.org>",)),
    "returned Message-ID": replace(
        STRANGER, returned_ids=("letter-2@example.org",), returned_references=("letter-1@example.org",)
    ),
    "returned References, behind a rewriting relay": replace(
        STRANGER,
        returned_ids=("x@relay.example",),
        returned_references=("letter-1@example.org", "letter-2@example.org"),
    ),
}


@pytest.mark.parametrize("notification", [True, False])
@pytest.mark.parametrize("found", TIES.values(), ids=TIES)
def test_what_ties_a_mail_to_a_letter(found: Traces, notification: bool) -> None:
    """For people and machines alike, and it says why."""
    result = matched(found, notification=notification)
    assert (result.letter, result.score, result.tied) == (2, 100, True)
    assert result.why


FORGED = {
    "another campaign's token": (token_address(2, OTHER_KEY),),
    "an invented token": ("letters+caaaaaaaaaaaaaaaa@example.org",),
    "a token with one letter changed": (token_address(2)[:-15] + "a" + token_address(2)[-14:],),
    "a token of a letter that is not": (token_address(77),),
    "half a token": (f"letters+{letter_token(2, KEY)[:9]}@example.org",),
    "the token in the domain": (f"letters@{letter_token(2, KEY)}.example",),
}


@pytest.mark.parametrize("came_to", FORGED.values(), ids=FORGED)
def test_a_forged_or_foreign_token_matches_nothing(came_to: tuple[str, ...]) -> None:
    """Nor does it count for anything beside weaker evidence."""
    assert matched(replace(STRANGER, came_to=came_to)) == Match(None)
    assert matched(replace(STRANGER, came_to=came_to), notification=True) == Match(None)


@pytest.mark.parametrize("came_to", FORGED.values(), ids=FORGED)
def test_a_forged_envelope_id_matches_nothing(came_to: tuple[str, ...]) -> None:
    """It is read like a token."""
    ids = tuple(address.partition("@")[0].removeprefix("letters+") for address in came_to)
    assert matched(replace(STRANGER, envelope_ids=ids), notification=True) == Match(None)


def test_tokens_of_two_letters_match_neither() -> None:
    """Nobody guesses; both are in the holding list."""
    result = matched(replace(STRANGER, came_to=(token_address(1), token_address(2))), notification=True)
    assert result.letter is None
    assert [one.letter for one in result.candidates] == [2, 1]


def test_what_machines_write_is_a_notification_and_what_people_and_their_programs_answer_is_not() -> None:
    """An out-of-office note is an answer to something its writer got."""
    assert set(Kind) - NOTIFICATIONS == {Kind.HUMAN, Kind.AUTO, Kind.OPTOUT, Kind.UNKNOWN}


# -- what names

NAMES = {
    "In-Reply-To": replace(STRANGER, in_reply_to=("letter-2@example.org",)),
    "References": replace(STRANGER, references=("letter-2@example.org",)),
    "References with the relay's id behind ours": replace(
        STRANGER, in_reply_to=("x@relay.example",), references=("letter-2@example.org", "x@relay.example")
    ),
    "a follow-up, whose References name the first letter too": replace(
        STRANGER,
        in_reply_to=("letter-2@example.org",),
        references=("letter-1@example.org", "letter-2@example.org"),
    ),
    "References of a follow-up behind a rewriting relay": replace(
        STRANGER, references=("letter-1@example.org", "letter-2@example.org", "x@relay.example")
    ),
}


@pytest.mark.parametrize("found", NAMES.values(), ids=NAMES)
def test_what_names_a_letter(found: Traces) -> None:
    """A reply names what it answers (RFC 5322 3.6.4); the last of ours is the one."""
    result = matched(found)
    assert (result.letter, result.tied) == (2, False)
    assert result.score >= ENOUGH


def test_a_reply_to_a_follow_up_that_repeats_both_letters_answers_the_later() -> None:
    """However much of the first it repeats."""
    both = Archive((letter(1, "office@house.example"), letter(2, "office@house.example")), LETTERS.texts)
    found = Traces(
        author="office@house.example",
        in_reply_to=("letter-2@example.org",),
        references=("letter-1@example.org", "letter-2@example.org"),
        quoted=f"{quoting(2)}\n> {quoting(1)}",
        topic="the four teachers",
        written=WRITTEN,
    )
    assert matched(found, both).letter == 2


# -- what is weak by itself

WEAK: dict[str, tuple[Traces, int | None]] = {
    "nothing": (STRANGER, None),
    "the address": (replace(STRANGER, author="office2@house2.example"), None),
    "the address in capitals and the subject": (
        replace(STRANGER, author="Office2@House2.example", topic="the four teachers"),
        2,
    ),
    "the address and a passage": (replace(STRANGER, author="office2@house2.example", quoted=quoting(2)), 2),
    "the domain": (replace(STRANGER, author="minister@house2.example"), None),
    "the domain and the subject": (
        replace(STRANGER, author="minister@house2.example", topic="the four teachers"),
        None,
    ),
    "the domain and a passage": (replace(STRANGER, author="minister@house2.example", quoted=quoting(2)), 2),
    "the subject, which three letters have": (replace(STRANGER, topic="the four teachers"), None),
    "the subject and the passage that only one letter has": (
        replace(STRANGER, topic="the four teachers", quoted=OWN[2]),
        2,
    ),
    "the subject and a passage that all letters have": (
        replace(STRANGER, topic="the four teachers", quoted=quoting(2, slice(0, 25))),
        None,
    ),
}


@pytest.mark.parametrize(("found", "number"), WEAK.values(), ids=WEAK)
def test_weak_evidence_adds_up(found: Traces, number: int | None) -> None:
    """Enough of it, and clearly more than for another letter, or it is held for a person."""
    assert matched(found).letter == number


@pytest.mark.parametrize("found", [*(found for found, _ in WEAK.values()), *NAMES.values()])
def test_a_notification_never_matches_by_what_is_weak(found: Traces) -> None:
    """A bounce acts on a letter only when it is tied to it."""
    assert matched(found, notification=True) == Match(None)


def test_the_holding_list_says_why() -> None:
    """A person decides with it."""
    result = matched(replace(STRANGER, author="office2@house2.example"))
    (held,) = result.candidates
    assert result.letter is None
    assert (held.letter, held.score) == (2, FROM_ADDRESS + IN_TIME)
    assert held.why == (
        "From is the address the letter went to",
        "it was written within 90 days of the letter",
    )


def test_two_letters_to_one_office_with_one_subject_are_held() -> None:
    """From two signatories, say: who is answered is not known."""
    both = Archive((letter(1, "office@house.example"), letter(2, "office@house.example")), {})
    found = Traces(author="office@house.example", topic="the four teachers", written=WRITTEN)
    result = matched(found, both)
    assert result.letter is None
    assert [one.score for one in result.candidates] == [FROM_ADDRESS + SUBJECT + IN_TIME] * 2


def test_a_domain_that_anybody_can_have_is_no_office() -> None:
    """Two people at one provider have nothing in common."""
    public = Archive((letter(1, "consul@gmail.com"),), {})
    result = matched(Traces(author="other@gmail.com", topic="the four teachers", written=WRITTEN), public)
    assert [one.score for one in result.candidates] == [SUBJECT + IN_TIME]
    assert FROM_DOMAIN > 0


def test_the_holding_list_is_bounded() -> None:
    """A thousand letters have one subject."""
    many = Archive(tuple(letter(number) for number in range(1, 1000)), {})
    assert len(matched(replace(STRANGER, topic="the four teachers"), many).candidates) == MOST_CANDIDATES


# -- time


def test_a_mail_written_before_the_letter_does_not_answer_it() -> None:
    """However much it looks so."""
    found = replace(
        STRANGER, author="office2@house2.example", topic="the four teachers", written=SENT - timedelta(days=3)
    )
    assert matched(found) == Match(None)


def test_a_day_is_allowed_for_wrong_clocks() -> None:
    """And for zones that were left out."""
    found = replace(
        STRANGER,
        author="office2@house2.example",
        topic="the four teachers",
        written=SENT - timedelta(hours=20),
    )
    assert matched(found).letter == 2


def test_a_mail_that_names_the_letter_has_a_wrong_clock() -> None:
    """Nobody knows a Message-ID before it was sent."""
    found = replace(STRANGER, in_reply_to=("letter-2@example.org",), written=SENT - timedelta(days=3_000))
    result = matched(found)
    assert result.letter == 2
    assert "it is dated before the letter: a wrong clock" in result.why


def test_a_letter_not_yet_sent_is_not_answered_by_what_is_weak() -> None:
    """It may be in doubt; a mail that names it settles that."""
    waiting = Archive((replace(letter(2), sent=None),), {})
    weak = replace(STRANGER, author="office2@house2.example", topic="the four teachers")
    assert matched(weak, waiting) == Match(None)
    assert matched(replace(weak, in_reply_to=("letter-2@example.org",)), waiting).letter == 2


# -- passages


@pytest.mark.parametrize(
    ("passage", "low", "high"),
    [
        (TEXT.format(OWN[1]), 1.0, 1.0),
        ("> " + TEXT.format(OWN[1]).replace(" ", "\n> "), 1.0, 1.0),
        (TEXT.format(OWN[1])[100:250], 0.9, 1.0),
        (TEXT.format(OWN[2]), 0.5, 0.9),
        (
            "Something else that has nothing to do with it, and is long enough to be compared with it.",
            0,
            0,
        ),
        ("the four detained teachers", 0, 0),
        ("", 0, 0),
    ],
)
def test_how_much_of_a_passage_is_a_letters(passage: str, low: float, high: float) -> None:
    """Line ends, marks and case do not count; a few words say nothing."""
    assert low <= likeness(passage.upper(), TEXT.format(OWN[1])) <= high


def test_a_passage_without_spaces_is_compared_by_characters() -> None:
    """Chinese, Japanese, Thai."""
    text = "尊敬的领事先生我们请求释放四位教师他们于三月二日因罢工被捕该罢工为贵国法律所允许"
    assert likeness(text[4:30], text) == 1.0
    assert likeness("今天的天气很好我们去公园散步然后回家吃晚饭再看一部电影", text) == 0.0


# -- traces of real mails


def test_the_traces_of_a_reply() -> None:
    """All that its header and its text have."""
    raw = (
        b"Delivered-To: letters+tok@example.org\nFrom: Consul <office@house.example>\n"
        b"To: letters@example.org\nDate: Mon, 04 May 2026 09:30:00 +0200\nSubject: AW: The four  teachers\n"
        b"In-Reply-To: <letter-2@example.org>\nReferences: <letter-1@example.org> <letter-2@example.org>\n\n"
        b"No.\n\n> we ask\n"
    )
    assert traces(read_mail(raw)) == Traces(
        came_to=("letters+tok@example.org", "letters@example.org"),
        in_reply_to=("letter-2@example.org",),
        references=("letter-1@example.org", "letter-2@example.org"),
        topic="the four teachers",
        author="office@house.example",
        quoted="we ask",
        written=datetime(2026, 5, 4, 7, 30, tzinfo=UTC),
    )


DSN = (
    "From: MAILER-DAEMON@mx.example.org\nTo: letters@example.org\nSubject: Undelivered\n"
    'Content-Type: multipart/report; report-type=delivery-status; boundary="=_b"\n\n'
    "--=_b\nContent-Type: text/plain\n\nfailed\n"
    "--=_b\nContent-Type: message/delivery-status\n\nOriginal-Envelope-Id: a+3Db\nReporting-MTA: dns; mx\n\n"
    "Final-Recipient: rfc822; x@house.example\nAction: failed\nStatus: 5.1.1\n\n"
    "--=_b\nContent-Type: {}\n\nReturn-Path: <letters+tok@example.org>\nMessage-ID: <x@relay.example>\n"
    "References: <letter-2@example.org>\nSubject: s\n\n{}\n--=_b--\n"
)


@pytest.mark.parametrize(("type_", "body"), [("message/rfc822", "words"), ("text/rfc822-headers", "")])
def test_the_traces_of_a_notification(type_: str, body: str) -> None:
    """Its envelope id (RFC 3461: xtext undone), and the header of what it returns, whole or not."""
    found = traces(read_mail(DSN.format(type_, body).encode()))
    assert found.envelope_ids == ("a=b",)
    assert found.returned_ids == ("x@relay.example",)
    assert found.returned_references == ("letter-2@example.org",)
    assert found.came_to == ("letters@example.org", "letters+tok@example.org")


def test_the_traces_of_a_notification_without_parts() -> None:
    """qmail puts the returned message into the text."""
    raw = (
        b"From: MAILER-DAEMON@mx.example.org\nTo: letters@example.org\n\nHi.\n"
        b"--- Below this line is a copy of the message.\n\nReturn-Path: <letters+tok@example.org>\n"
        b"Message-ID:\n <x@relay.example>\nReferences: <letter-1@example.org>\n <letter-2@example.org>\n"
        b"Subject: s\n\nDear Consul\n"
    )
    found = traces(read_mail(raw))
    assert found.returned_ids == ("x@relay.example",)
    assert found.returned_references == ("letter-1@example.org", "letter-2@example.org")
    assert "letters+tok@example.org" in found.came_to


def test_a_mail_that_cannot_be_read_still_has_the_traces_of_its_header() -> None:
    """It is kept, and lands beside its letter."""
    raw = (
        b"To: letters+tok@example.org\nContent-Type: multipart/mixed; boundary=x\n\n"
        + b"--x\nContent-Type: text/plain\n\nhello\n" * 600
        + b"--x--\n"
    )
    mail = read_mail(raw)
    assert mail.unreadable
    assert traces(mail) == Traces(came_to=("letters+tok@example.org",))


def test_many_addresses_are_bounded() -> None:
    """Twenty thousand in To."""
    raw = b"To: " + b", ".join(b"a%d@example.org" % number for number in range(20_000)) + b"\n\nx"
    assert len(traces(read_mail(raw)).came_to) <= 200


@pytest.mark.parametrize("attached", [True, False])
def test_a_forwarded_answer_is_matched_like_any_and_stays_marked(attached: bool) -> None:
    """By its inner author, words and fields; the forwarder is named."""
    fields = (
        "From: Consul <office2@house2.example>\nDate: Tue, 05 May 2026 09:30:00 +0200\n"
        "Subject: Re: The four teachers\n"
    )
    if attached:
        inner = (
            'Content-Type: multipart/mixed; boundary="=_b"\n\n'
            f"--=_b\nContent-Type: message/rfc822\n\n{fields}\nNo.\n--=_b--\n"
        )
    else:
        inner = f"\n---------- Forwarded message ---------\n{fields}To: Ann\n\nNo.\n"
    mail = read_mail(
        f"From: ann@signatory.example\nTo: letters@example.org\nSubject: Fwd: x\n{inner}".encode()
    )
    (forwarded,) = unwrap(mail)
    result = matched(traces_of_forwarded(forwarded))
    assert (result.letter, result.forwarded_by) == (2, "ann@signatory.example")
