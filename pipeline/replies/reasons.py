"""Why was a letter refused, and does the address die of it?

`classify` takes what a report says of one recipient (status, diagnostic, the text around it) and returns a
`Recipient`. The words decide before the status, for servers lie about the status more often: "5.1.1 mailbox
full" is full. Then:

    suppress = the server's own words say "no such address" or "no such domain", and no other reason, nor does
               anything else in the report speak of a full mailbox or a rate, and
               `pipeline.delivery.verdict` (the one table on refusals) would suppress for it

A status alone never kills: some programs put 5.1.1 on any 550. Where the server said nothing but codes, the
words of the report count as its own. A status is concluded from words only where the report gives none, or
one that says nothing (x.0.0), and the words are clear; a refusal of class 4 never suppresses. RFC 3463;
RFC 5248; RFC 7505 (5.1.10).

Limits: a text of more than 4,000 characters is read to there.
"""

from __future__ import annotations

import re

from pipeline.delivery.letter import Phase
from pipeline.delivery.verdict import judge
from pipeline.mail.response import response
from pipeline.replies.kinds import Reason, Recipient
from pipeline.replies.phrase import find
from pipeline.replies.rulebook import reason_rules

LONGEST = 4_000  # characters
_SAYS_NOTHING = re.compile(r"[245]\.[03]\.0|[245]\.1\.0|[245]\.0\.\d+|")
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,2}\.\d{1,3})(?![\d.])")
_CODE = re.compile(r"(?<![\d.:-])([45]\d\d)(?=[ \-:,)]|\s|$)(?!-\d)")
_CODES = re.compile(r"<[^<>]{0,300}>|#?[245]\.\d{1,3}\.\d{1,3}|smtp;?")
_LETTERS = re.compile(r"[^\W\d_]{3}")
_LETHAL = frozenset({Reason.NO_ADDRESS, Reason.NO_DOMAIN})
_SPARING = frozenset({Reason.FULL, Reason.RATE})
_BY_STATUS = {
    "1.1": Reason.NO_ADDRESS, "1.2": Reason.NO_DOMAIN, "1.3": Reason.NO_ADDRESS, "1.6": Reason.MOVED,
    "1.10": Reason.NO_DOMAIN, "1.8": Reason.POLICY, "2.1": Reason.DISABLED, "2.2": Reason.FULL,
    "2.3": Reason.CONTENT, "3.4": Reason.CONTENT, "3.1": Reason.SYSTEM, "3.2": Reason.SYSTEM,
    "3.5": Reason.SYSTEM, "4.1": Reason.UNREACHABLE, "4.2": Reason.UNREACHABLE, "4.3": Reason.UNREACHABLE,
    "4.4": Reason.UNREACHABLE, "4.5": Reason.RATE, "4.6": Reason.LOOP, "4.7": Reason.EXPIRED,
}  # fmt: skip
_BY_SUBJECT = {"6": Reason.CONTENT, "7": Reason.POLICY}


def classify(
    address: str, *, status: str = "", diagnostic: str = "", around: str = "", permanent: bool = True
) -> Recipient:
    """Say what became of one recipient of a refused letter.

    Args:
        address: whom the letter was for.
        status: RFC 3463 as the report gives it, "" where it gives none.
        diagnostic: what the refusing server said.
        around: what else the report says, where it can only be about this recipient or all; words in it can
            spare an address and name a reason, but not kill.
        permanent: the report says that nothing more will be tried.
    """
    diagnostic, around = diagnostic[:LONGEST], around[:LONGEST]
    status = status or _said_status(diagnostic)
    code = _code(diagnostic) or _code_of(status) or (550 if permanent else 450)
    spoken = _reasons(diagnostic)
    others = _reasons(around)
    sparing = [other for other in others if other in _SPARING]
    reason = next(iter(spoken or sparing), None) or _by_status(status)
    reason = reason or next(iter(others), Reason.UNCLASSIFIED)
    concluded = status
    if reason in _LETHAL and _SAYS_NOTHING.fullmatch(status) and permanent:
        concluded = f"{code // 100}.1.{1 if reason is Reason.NO_ADDRESS else 2}"
    refusal = judge(Phase.RCPT, response(code, f"{concluded} {diagnostic}"))
    killing = spoken or (others if not _LETTERS.search(_CODES.sub("", diagnostic)) else [])
    suppress = (
        permanent
        and bool(_LETHAL.intersection(killing))
        and reason in _LETHAL
        and _LETHAL.issuperset(spoken)
        and not sparing
        and concluded.startswith("5")
        and refusal.suppress
    )
    return Recipient(address, concluded, reason, suppress, " ".join(diagnostic.split())[:500])


def _reasons(text: str) -> list[Reason]:
    """Return every reason ``text`` speaks of, the more telling first."""
    return [rule.reason for rule in reason_rules() if text and find(rule.phrases, text)]


def _said_status(text: str) -> str:
    found = _STATUS.search(text)
    return found[1] if found else ""


def _code(text: str) -> int:
    found = _CODE.search(text)
    return int(found[1]) if found and int(found[1]) <= 559 else 0


def _code_of(status: str) -> int:
    return {"5": 550, "4": 450}.get(status[:1], 0)


def _by_status(status: str) -> Reason | None:
    if not status or status[0] == "2":
        return None
    subject, _, detail = status[2:].partition(".")
    return _BY_STATUS.get(f"{subject}.{detail}") or _BY_SUBJECT.get(subject)
