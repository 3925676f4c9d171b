"""Whose fault is a refusal, and what comes next? One table.

`judge` takes the phase and the server's response; `judge_loss` the phase in which an answer failed to come.
The first row that fits decides:

    answer                                               whose     next             address   run
    2yz to the dot                                       nobody    sent                       goes on
    530 534 535 538, x.7.8, x.7.9, x.7.11, 5.7.30        us        queued                     stops (exit 4)
    x.4.5, 5.1.90, 5.7.232/233, "daily ... limit",       us        queued                     pauses an hour
      "sending quota", 452 4.5.3
    4yz or 5yz that speaks of rate, too many,            us        due later                  slows down
      throttling, x.7.28
    421                                                  relay     due later                  reconnects
    5.3.4, 5.2.3 or 552 "... size ..." at MAIL           letter    failed
    5yz at MAIL                                          us        queued                     stops (exit 4)
    4yz at MAIL                                          relay     due later                  slows down
    5.7.x, "spam", "blocked", "blacklist", "policy",     us        due later                  trips the switch
      5yz that speaks of the sender, whatever its code
    5.2.2, 552 without 5.3.4, 452, "full", "quota"       recipient due later
    552 5.3.4, 5.2.3, 5.3.4, 5.6.x, 523                  letter    failed
    5.1.1 5.1.2 5.1.3 5.1.6 5.1.10, 556 (RCPT or dot)    recipient failed          suppressed trips the switch
    any other 4yz                                        recipient due later
    any other 5yz at RCPT                                recipient failed                     trips the switch
    any other 5yz                                        letter    failed                     trips the switch
    3yz to the dot: the answer to it is still to come    relay     in doubt                   new connection
    any other answer that does not fit the command       relay     not begun                  new connection
    lost before the final dot was handed over            relay     not begun                  new connection
    lost at or after it                                  relay     in doubt                   new connection

A relay that calls ten addresses in a row unknown is not believed: the run stops, and those ten are not
suppressed. "Due later" is the next step of the schedule; after the last step the letter has failed ("gave
up"). A policy refusal keeps its letter in the queue although it is a 5yz: it speaks about us, and once SPF or
the relay's opinion is mended the letter can still go. RFC 5321 4.2.1 and 4.5.3.1.10 (452/552 are temporary
here: one recipient a transaction), RFC 1870 6.1, RFC 3463, RFC 5248, RFC 7504 (556); the vendors' codes are
those of their sender guidelines.

Limits: texts are read in English only, as servers write them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from pipeline.delivery.letter import Phase
from pipeline.mail.response import Response


class Fault(StrEnum):
    """Who the answer is about."""

    NOBODY = "nobody"
    US = "us"  # login, policy, quota, rate
    RELAY = "relay"  # connection, TLS, 421
    RECIPIENT = "recipient"
    LETTER = "letter"  # size, content


class Next(StrEnum):
    """What happens to the letter."""

    SENT = "sent"
    KEEP = "keep"  # stays queued as it is; nothing was decided about it
    LATER = "later"  # due at the next step of the schedule
    FAIL = "fail"
    DOUBT = "doubt"
    NOT_BEGUN = "not begun"  # the relay has not taken it, surely; may go again at once


class Effect(StrEnum):
    """What happens to the run."""

    NONE = "none"
    SLOW = "slow"  # back off, then go on
    TRIP = "trip"  # counts for the trip switch of the domain and of the run
    PAUSE = "pause"  # stop now; a later run may try again after an hour
    STOP = "stop"  # stop now, exit 4; a person has to do something


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision: ``word`` is stored and shown, ``advice`` tells a person what to do."""

    word: str
    fault: Fault
    next: Next
    effect: Effect = Effect.NONE
    suppress: bool = False
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    fits: Callable[[Phase, Response], bool]
    verdict: Verdict


LOGIN = Verdict(
    "login", Fault.US, Next.KEEP, Effect.STOP,
    advice="check relay.url's user and the password (password_file, password_command); some providers want "
    'an app password or auth = "xoauth2"',
)  # fmt: skip
SENDER_REFUSED = Verdict(
    "sender refused", Fault.US, Next.KEEP, Effect.STOP,
    advice="the relay does not let this account send as campaign.author or campaign.return_path",
)  # fmt: skip
QUOTA = Verdict(
    "quota", Fault.US, Next.KEEP, Effect.PAUSE,
    advice="the relay's sending quota is used up; set limits.day to what your provider allows",
)  # fmt: skip
RATE = Verdict(
    "rate", Fault.US, Next.LATER, Effect.SLOW, advice="the relay asks for a slower pace; lower limits.relay"
)
POLICY = Verdict(
    "policy", Fault.US, Next.LATER, Effect.TRIP,
    advice="the letter was refused as unwanted; check SPF, DKIM and DMARC of the author's domain and "
    "the relay's reputation",
)  # fmt: skip
CLOSING = Verdict("closing", Fault.RELAY, Next.LATER, Effect.SLOW)
RELAY_BUSY = Verdict("relay busy", Fault.RELAY, Next.LATER, Effect.SLOW)
FULL = Verdict("full", Fault.RECIPIENT, Next.LATER)
TOO_LARGE = Verdict("content", Fault.LETTER, Next.FAIL, advice="size or content of this letter was refused")
UNKNOWN_ADDRESS = Verdict("no such address", Fault.RECIPIENT, Next.FAIL, Effect.TRIP, suppress=True)
DEFERRED = Verdict("deferred", Fault.RECIPIENT, Next.LATER)
REFUSED = Verdict("refused", Fault.RECIPIENT, Next.FAIL, Effect.TRIP)
LETTER_REFUSED = Verdict("letter refused", Fault.LETTER, Next.FAIL, Effect.TRIP)
ACCEPTED = Verdict("accepted", Fault.NOBODY, Next.SENT)
OUT_OF_STEP = Verdict("out of step", Fault.RELAY, Next.NOT_BEGUN, Effect.SLOW)
LOST_BEFORE = Verdict("not begun", Fault.RELAY, Next.NOT_BEGUN, Effect.SLOW)
LOST_AFTER = Verdict("in doubt", Fault.RELAY, Next.DOUBT, Effect.SLOW)
UNUSED = Verdict("not begun", Fault.NOBODY, Next.NOT_BEGUN)  # given up before its content went out

_LOGIN_CODES = {530, 534, 535, 538}
_LOGIN_STATUS = {"7.8", "7.9", "7.11", "7.30"}
_QUOTA_STATUS = {"4.5", "1.90", "7.232", "7.233"}
_DEAD_STATUS = {"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"}
_QUOTA_TEXT = re.compile(
    r"(daily|hourly|user|account|mailbox)\b.{0,20}\bsend(ing)?\b.{0,20}\b(limit|quota)"
    r"|send(ing|er)?\b.{0,12}\b(limit|quota)\b.{0,20}\b(exceed|reach|hit)"
    r"|(exceed|reach)\w*\b.{0,30}\bsend(ing)?\b.{0,12}\b(limit|quota)"
    r"|(message|recipient)s? (per|a) (day|hour)", re.IGNORECASE,
)  # fmt: skip
_RATE_TEXT = re.compile(
    r"\brate\b.{0,12}\b(limit|exceed)"
    r"|\btoo (many|fast|much)\b.{0,30}\b(message|mail|connection|recipient|request|session|quick)"
    r"|\bthrottl|\bslow down\b|\btoo fast\b|\bunusual rate\b", re.IGNORECASE,
)  # fmt: skip
_FULL_TEXT = re.compile(
    r"\b(full|quota|over ?quota|rate)\b|\bexceed\w*\b.{0,30}\b(storage|size limit|mailbox)", re.IGNORECASE
)
_POLICY_TEXT = re.compile(
    r"\bspam\b|\bblacklist|\bblock ?list|\bblocked\b|\bdmarc\b|\bspf\b|\bdkim\b|\breputation\b|\bpolicy\b",
    re.IGNORECASE,
)
_SENDER_TEXT = re.compile(
    r"\bsender(?:'s)? (address|domain|host|mailbox)\b"
    r"|\bsender\b.{0,20}\b(reject|refus|unknown|invalid|not found)",
    re.IGNORECASE,
)
_CHAINING_TEXT = re.compile(r"synchroni|pipelin", re.IGNORECASE)


def _detail(answer: Response) -> str:
    """Return subject and detail of the enhanced code: "7.1" of 5.7.1."""
    return answer.status[2:]


def _is_login(phase: Phase, answer: Response) -> bool:
    return answer.code in _LOGIN_CODES or (answer.permanent and _detail(answer) in _LOGIN_STATUS)


def _is_quota(phase: Phase, answer: Response) -> bool:
    return (
        (_detail(answer) in _QUOTA_STATUS and not answer.accepted)
        or (answer.code == 452 and _detail(answer) == "5.3")
        or bool(_QUOTA_TEXT.search(answer.text))
    )


def _is_rate(phase: Phase, answer: Response) -> bool:
    return _detail(answer) == "7.28" or bool(_RATE_TEXT.search(answer.text))


def _is_policy(phase: Phase, answer: Response) -> bool:
    if not answer.permanent:
        return False
    if _SENDER_TEXT.search(answer.text):
        return True
    if answer.status in _DEAD_STATUS:
        return False
    return answer.status.startswith("5.7.") or (not answer.status and bool(_POLICY_TEXT.search(answer.text)))


def _is_full(phase: Phase, answer: Response) -> bool:
    if answer.status in {"5.2.2", "4.2.2"} or answer.code == 452:
        return True
    if answer.code == 552:
        return _detail(answer) not in {"3.4", "2.3"}
    return answer.status in _DEAD_STATUS and bool(_FULL_TEXT.search(answer.text))


def _is_content(phase: Phase, answer: Response) -> bool:
    detail = _detail(answer)
    return answer.permanent and (detail in {"3.4", "2.3"} or detail.startswith("6.") or answer.code == 523)


def _is_size_at_mail(phase: Phase, answer: Response) -> bool:
    """The one 5yz at MAIL that is not about us: SIZE= was too much for the relay (RFC 1870 6.1)."""
    said = answer.status in {"5.3.4", "5.2.3"} or (answer.code == 552 and "size" in answer.text.lower())
    return phase is Phase.MAIL and answer.permanent and said


def _is_dead(phase: Phase, answer: Response) -> bool:
    return phase in {Phase.RCPT, Phase.DOT} and (answer.status in _DEAD_STATUS or answer.code == 556)


TABLE: tuple[Row, ...] = (
    Row(lambda phase, answer: phase is Phase.DOT and answer.accepted, ACCEPTED),
    Row(lambda phase, answer: phase is Phase.DOT and answer.code < 400, LOST_AFTER),
    Row(lambda phase, answer: answer.code < 400, OUT_OF_STEP),
    Row(_is_login, LOGIN),
    Row(_is_quota, QUOTA),
    Row(_is_rate, RATE),
    Row(lambda phase, answer: answer.code == 421, CLOSING),
    Row(_is_size_at_mail, TOO_LARGE),
    Row(lambda phase, answer: phase is Phase.MAIL and answer.permanent, SENDER_REFUSED),
    Row(lambda phase, answer: phase is Phase.MAIL, RELAY_BUSY),
    Row(_is_full, FULL),
    Row(_is_policy, POLICY),
    Row(_is_content, TOO_LARGE),
    Row(_is_dead, UNKNOWN_ADDRESS),
    Row(lambda phase, answer: answer.temporary, DEFERRED),
    Row(lambda phase, answer: phase is Phase.RCPT, REFUSED),
    Row(lambda phase, answer: True, LETTER_REFUSED),
)


def judge(phase: Phase, answer: Response) -> Verdict:
    """Return what ``answer`` in ``phase`` (MAIL, RCPT, DATA or DOT) means for letter, address and run."""
    for row in TABLE:
        if row.fits(phase, answer):
            return row.verdict
    raise AssertionError("the last row fits whatever comes")


def judge_loss(phase: Phase) -> Verdict:
    """Return what it means that no answer came in ``phase``: doubt begins with the final dot (RFC 1047)."""
    return LOST_AFTER if phase is Phase.DOT else LOST_BEFORE


def dislikes_chaining(answer: Response, *, first: bool = False) -> bool:
    """Say whether this answer to grouped commands may only mean that they came too early (RFC 2920 3.1).

    ``first``: nothing was sent ahead of the command it answers, so only words about pipelining count.
    """
    if not answer.permanent:
        return False
    wordy = bool(_CHAINING_TEXT.search(answer.text))
    return wordy or (not first and (answer.code == 503 or _detail(answer).startswith("5.")))
