"""The verdict table, row by row: whose fault a refusal is, what becomes of letter, address and run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.letter import Phase
from pipeline.delivery.verdict import (
    ACCEPTED,
    CLOSING,
    DEFERRED,
    FULL,
    LETTER_REFUSED,
    LOGIN,
    LOST_AFTER,
    LOST_BEFORE,
    OUT_OF_STEP,
    POLICY,
    QUOTA,
    RATE,
    REFUSED,
    RELAY_BUSY,
    SENDER_REFUSED,
    TOO_LARGE,
    UNKNOWN_ADDRESS,
    Effect,
    Fault,
    Next,
    Verdict,
    dislikes_chaining,
    judge,
    judge_loss,
)
from pipeline.mail.response import Response, response

MAIL, RCPT, DATA, DOT = Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT
PHASES = (MAIL, RCPT, DATA, DOT)

ROWS = [
    # 2yz to the dot
    (DOT, "250 2.0.0 Ok: queued as 4F2ABCD", ACCEPTED),
    (DOT, "299 fine", ACCEPTED),
    (DOT, "250 daily sending quota nearly reached", ACCEPTED),
    # an answer that does not fit its command
    (DATA, "250 2.1.5 Ok", OUT_OF_STEP),
    (RCPT, "354 go ahead", OUT_OF_STEP),
    (MAIL, "354 go ahead", OUT_OF_STEP),
    (DOT, "354 go ahead", LOST_AFTER),
    # login
    (MAIL, "530 5.7.0 Authentication Required", LOGIN),
    (MAIL, "530 5.7.57 Client not authenticated to send mail", LOGIN),
    (RCPT, "530 5.7.1 authenticate first", LOGIN),
    (MAIL, "534 5.7.9 Application-specific password required", LOGIN),
    (MAIL, "535 5.7.8 Username and Password not accepted", LOGIN),
    (MAIL, "538 5.7.11 Encryption required", LOGIN),
    (MAIL, "550 5.7.30 Basic authentication is not supported", LOGIN),
    (DOT, "554 5.7.8 credentials invalid", LOGIN),
    # what is said of the sender is no word about the recipient, whatever the code
    (RCPT, "550 5.1.2 Sender domain not found", POLICY),
    (RCPT, "550 5.1.1 Sender address rejected: User unknown", POLICY),
    (DOT, "550 5.1.1 sender refused", POLICY),
    # the account's quota
    (MAIL, "550 5.4.5 Daily user sending limit exceeded", QUOTA),
    (DOT, "550 5.4.5 Daily SMTP relay limit exceeded", QUOTA),
    (RCPT, "452 4.5.3 Too many recipients", QUOTA),
    (MAIL, "550 5.1.90 Your message can't be sent because you've reached your daily limit", QUOTA),
    (DOT, "550 5.7.232 tenant exceeded its external recipient rate", QUOTA),
    (DOT, "550 5.7.233 exceeded", QUOTA),
    (MAIL, "421 4.4.5 come back tomorrow", QUOTA),
    (RCPT, "550 Sending quota exceeded for this account", QUOTA),
    (DOT, "554 you have exceeded your daily sending limit", QUOTA),
    (DOT, "450 max 100 messages per hour", QUOTA),
    # rate
    (RCPT, "450 4.7.28 unusual rate of unsolicited mail", RATE),
    (RCPT, "550 5.7.28 unusual rate", RATE),
    (MAIL, "451 4.3.0 rate limit exceeded", RATE),
    (RCPT, "450 too many messages, slow down", RATE),
    (MAIL, "421 4.7.0 Too many connections", RATE),
    (DOT, "451 throttled", RATE),
    # 421
    (MAIL, "421 4.3.2 closing", CLOSING),
    (RCPT, "421 4.7.0 try again later", CLOSING),
    (DATA, "421 closing", CLOSING),
    (DOT, "421 4.4.2 timeout", CLOSING),
    # MAIL
    (MAIL, "550 5.7.60 client does not have permissions to send as this sender", SENDER_REFUSED),
    (MAIL, "553 5.7.1 Sender address rejected: not owned by user", SENDER_REFUSED),
    (MAIL, "550 5.1.1 no such sender", SENDER_REFUSED),
    (MAIL, "552 5.2.2 mailbox full", SENDER_REFUSED),
    (MAIL, "501 5.1.7 Bad sender address syntax", SENDER_REFUSED),
    (MAIL, "451 4.3.0 busy", RELAY_BUSY),
    (MAIL, "452 4.3.1 insufficient system storage", RELAY_BUSY),
    (MAIL, "552 5.3.4 Message size exceeds fixed limit", TOO_LARGE),
    (MAIL, "552 message size exceeds fixed maximum message size", TOO_LARGE),
    # full
    (RCPT, "552 5.2.2 mailbox full", FULL),
    (RCPT, "552 over quota", FULL),
    (DOT, "552 exceeded storage allocation", FULL),
    (RCPT, "550 5.2.2 The email account is over quota", FULL),
    (RCPT, "452 4.2.2 over quota", FULL),
    (RCPT, "450 4.2.2 full", FULL),
    (RCPT, "452 insufficient storage", FULL),
    (DOT, "452 4.3.1 insufficient storage", FULL),
    (RCPT, "550 5.1.1 recipient's mailbox is full", FULL),
    (RCPT, "550 5.1.1 user over quota", FULL),
    # policy
    (RCPT, "554 5.7.1 Service unavailable; Client host blocked", POLICY),
    (DOT, "550 5.7.26 Unauthenticated email is not accepted due to DMARC policy", POLICY),
    (DOT, "550 5.7.515 Access denied", POLICY),
    (DOT, "554 Message rejected as spam", POLICY),
    (RCPT, "550 listed on our blacklist", POLICY),
    (DOT, "550 SPF check failed", POLICY),
    (DOT, "552 5.7.0 dangerous attachment", FULL),  # a 552 without 5.3.4 is temporary; see the table's order
    # size and content
    (DOT, "552 5.3.4 message too big", TOO_LARGE),
    (RCPT, "550 5.2.3 message length exceeds limit", TOO_LARGE),
    (DATA, "554 5.6.1 media not supported", TOO_LARGE),
    (DOT, "550 5.6.0 bad header", TOO_LARGE),
    (DATA, "523 message length exceeds limit", TOO_LARGE),
    # dead addresses
    (RCPT, "550 5.1.1 user unknown", UNKNOWN_ADDRESS),
    (DOT, "550 5.1.1 user unknown", UNKNOWN_ADDRESS),
    (RCPT, "550 4.1.1 user unknown", UNKNOWN_ADDRESS),  # the basic code wins
    (RCPT, "550 5.1.2 bad destination system", UNKNOWN_ADDRESS),
    (RCPT, "553 5.1.3 bad address syntax", UNKNOWN_ADDRESS),
    (RCPT, "550 5.1.6 mailbox has moved", UNKNOWN_ADDRESS),
    (RCPT, "550 5.1.10 recipient not found; null MX", UNKNOWN_ADDRESS),
    (RCPT, "556 domain does not accept mail", UNKNOWN_ADDRESS),
    (RCPT, "550 5.1.1 blocked by our policy: no such user", UNKNOWN_ADDRESS),
    # other 4yz
    (RCPT, "450 4.7.1 greylisted", DEFERRED),
    (RCPT, "451 4.1.1 try later", DEFERRED),
    (DATA, "451 4.3.0 error in processing", DEFERRED),
    (DOT, "459 hm", DEFERRED),
    # other 5yz
    (RCPT, "550 no", REFUSED),
    (RCPT, "550 user unknown", REFUSED),  # in words only: the letter has failed, the address lives
    (RCPT, "550 5.2.1 mailbox disabled", REFUSED),
    (RCPT, "553 mailbox name not allowed", REFUSED),
    (RCPT, "599 no", REFUSED),
    (DATA, "550 5.1.1 no valid recipients", LETTER_REFUSED),
    (DATA, "554 no", LETTER_REFUSED),
    (DOT, "554 transaction failed", LETTER_REFUSED),
    (DOT, "599 no", LETTER_REFUSED),
]  # fmt: skip


def said(line: str) -> tuple[int, str]:
    """Take a line as it is written apart."""
    return int(line[:3]), line[4:]


@pytest.mark.parametrize(
    ("phase", "line", "verdict"), ROWS, ids=[f"{phase}-{line[:40]}" for phase, line, _ in ROWS]
)
def test_row(phase: Phase, line: str, verdict: Verdict) -> None:
    """Each answer finds its row."""
    assert judge(phase, response(*said(line))) is verdict


@pytest.mark.parametrize(
    ("verdict", "fault", "following", "effect"),
    [
        (ACCEPTED, Fault.NOBODY, Next.SENT, Effect.NONE),
        (OUT_OF_STEP, Fault.RELAY, Next.NOT_BEGUN, Effect.SLOW),
        (LOGIN, Fault.US, Next.KEEP, Effect.STOP),
        (QUOTA, Fault.US, Next.KEEP, Effect.PAUSE),
        (RATE, Fault.US, Next.LATER, Effect.SLOW),
        (CLOSING, Fault.RELAY, Next.LATER, Effect.SLOW),
        (SENDER_REFUSED, Fault.US, Next.KEEP, Effect.STOP),
        (RELAY_BUSY, Fault.RELAY, Next.LATER, Effect.SLOW),
        (FULL, Fault.RECIPIENT, Next.LATER, Effect.NONE),
        (POLICY, Fault.US, Next.LATER, Effect.TRIP),
        (TOO_LARGE, Fault.LETTER, Next.FAIL, Effect.NONE),
        (UNKNOWN_ADDRESS, Fault.RECIPIENT, Next.FAIL, Effect.TRIP),
        (DEFERRED, Fault.RECIPIENT, Next.LATER, Effect.NONE),
        (REFUSED, Fault.RECIPIENT, Next.FAIL, Effect.TRIP),
        (LETTER_REFUSED, Fault.LETTER, Next.FAIL, Effect.TRIP),
        (LOST_BEFORE, Fault.RELAY, Next.NOT_BEGUN, Effect.SLOW),
        (LOST_AFTER, Fault.RELAY, Next.DOUBT, Effect.SLOW),
    ],
    ids=lambda value: value.word if isinstance(value, Verdict) else "",
)
def test_consequences(verdict: Verdict, fault: Fault, following: Next, effect: Effect) -> None:
    """Whose fault, what next, what becomes of the run: the columns of the table."""
    assert (verdict.fault, verdict.next, verdict.effect) == (fault, following, effect)


@pytest.mark.parametrize("verdict", [LOGIN, SENDER_REFUSED, QUOTA, RATE, POLICY])
def test_what_a_person_must_do_is_said(verdict: Verdict) -> None:
    """Where it is our fault there is advice."""
    assert verdict.advice


@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.CONTENT])
def test_lost_before_the_dot_was_not_begun(phase: Phase) -> None:
    """Before the final dot was handed over the relay cannot have the letter."""
    assert judge_loss(phase) is LOST_BEFORE


def test_fault_16_lost_at_the_dot_is_in_doubt() -> None:
    """From the final dot on nobody can know (RFC 1047)."""
    assert judge_loss(Phase.DOT) is LOST_AFTER


ANSWERS = st.builds(
    lambda code, status, text: response(code, f"{status} {text}".strip()),
    st.integers(200, 599),
    st.just("") | st.from_regex(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True),
    st.text(max_size=30)
    | st.sampled_from(["mailbox full", "over quota", "rate limited", "spam", "daily sending quota exceeded"]),
)


@given(st.sampled_from(PHASES), ANSWERS)
def test_only_a_2yz_to_the_dot_is_sent(phase: Phase, answer: Response) -> None:
    """Nothing else ever counts as sent, and every answer has a verdict."""
    verdict = judge(phase, answer)
    assert (verdict.next is Next.SENT) == (phase is Phase.DOT and answer.accepted)


@given(st.sampled_from(PHASES), ANSWERS)
def test_an_address_dies_of_a_5yz_about_it_alone(phase: Phase, answer: Response) -> None:
    """Only class 5 with one of five codes, or 556, at RCPT or the dot, suppresses; and not if it is full."""
    if judge(phase, answer).suppress:
        assert phase in {Phase.RCPT, Phase.DOT}
        assert answer.permanent
        assert answer.status in {"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"} or answer.code == 556
        assert not any(word in answer.text.lower() for word in ("full", "quota", "rate limit"))


@given(st.sampled_from(PHASES), ANSWERS)
def test_a_4yz_never_fails_a_letter_for_good(phase: Phase, answer: Response) -> None:
    """What is temporary is tried again."""
    if answer.temporary:
        assert judge(phase, answer).next in {Next.LATER, Next.KEEP}


@pytest.mark.parametrize(
    ("line", "first", "disliked"),
    [
        ("503 5.5.1 bad sequence of commands", False, True),
        ("554 5.5.0 SMTP synchronization error", False, True),
        ("554 SMTP synchronization error", True, True),
        ("500 pipelining is not allowed", True, True),
        ("550 5.5.2 what", False, True),
        ("503 5.5.1 authenticate first", True, False),
        ("550 5.1.1 user unknown", False, False),
        ("421 synchronization lost", False, False),
        ("250 pipelining is fine", False, False),
    ],
)
def test_dislike_of_chaining(line: str, first: bool, disliked: bool) -> None:
    """503, 5.5.x or words about it; for a command that nothing was sent ahead of, words alone."""
    assert dislikes_chaining(response(*said(line)), first=first) is disliked
