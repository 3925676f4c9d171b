"""Reports in plain words: who did not get the letter, from the text that mail systems write.

About half of the bounces in the wild carry no machine-readable part. `read_report` tries the rules of
`rules/bounces.toml`, one mail system after the other, and then what all of them have in common: words of
failure, and an address that the returned message was for.

It is asked only about mail that a mail system wrote (`pipeline.replies.origin`).

Limits: 200 recipients; 64,000 characters; lines of 500.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pipeline.mail.dsn import returned_messages
from pipeline.mail.mime import Mail
from pipeline.replies.kinds import Kind, Recipient
from pipeline.replies.phrase import ADDRESS, find
from pipeline.replies.reasons import classify
from pipeline.replies.rulebook import BounceRule, bounce_rules, bounce_words

MOST_RECIPIENTS = 200
MOST_LINES = 2_000
LONGEST_LINE = 500
_ADDRESS = re.compile(rf"(?<![\w.]){ADDRESS}")
_MACHINE_LOCAL = re.compile(
    r"mailer-?daemon|postmaster|abuse|support|help|helpdesk|no-?reply|admin\w*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Report:
    """What a text says became of a letter; ``why`` names the rule."""

    kind: Kind
    recipients: tuple[Recipient, ...]
    why: str


def read_report(mail: Mail, text: str) -> Report | None:
    """Return what the text of a mail system's mail reports, None where no rule knows it."""
    without: Report | None = None
    warning = find(bounce_words()["warning"], text[:6_000]) is not None
    for rule in bounce_rules():
        if rule.kind is Kind.BOUNCE and warning:
            continue
        if (report := _by_rule(rule, mail, text)) is not None:
            if report.recipients:
                return report
            without = without or report
    report = _by_words(mail, text)
    return report if without is None or (report and report.recipients) else without


def named_recipients(mail: Mail) -> tuple[str, ...]:
    """Return whom the header names as failed, else the recipients of the message that came back."""
    failed = mail.headers.addresses("X-Failed-Recipients")
    if failed:
        return _unique(address for _, address in failed)
    found: list[str] = []
    for returned in returned_messages(mail):
        found.extend(address for _, address in returned.headers.addresses("To", "X-Original-To"))
        if found:
            break
    return _unique(found)


def _by_rule(rule: BounceRule, mail: Mail, text: str) -> Report | None:
    begin = find(rule.begin, text[:12_000])
    if begin is None or _quoted(text, begin.start()):
        return None
    stop = find(rule.end, text, begin.end())
    region = text[begin.start() : stop.start() if stop else len(text)]
    permanent = rule.kind is Kind.BOUNCE
    found = _found(rule, region, permanent=permanent)
    if not found:
        found = tuple(
            _guess(mail, address, region[:2_000], permanent=permanent)
            for address in _if_one(named_recipients(mail))
        )
    return Report(rule.kind, found, f"the words are those of a {rule.kind.value} by {rule.name}")


def _found(rule: BounceRule, region: str, *, permanent: bool) -> tuple[Recipient, ...]:
    lines = region.split("\n")[:MOST_LINES]
    at: list[tuple[int, str, str]] = []  # line, address, rest of the line
    for number, line in enumerate(lines):
        line = line[:LONGEST_LINE]
        for recipient in rule.recipients:
            if match := recipient.match(line):
                address = match["address"].strip(".'")
                if not at or address.lower() != at[-1][1].lower():
                    at.append((number, address, line[match.end() :]))
                break
        if len(at) >= MOST_RECIPIENTS:
            break
    out: dict[str, Recipient] = {}
    for index, (number, address, rest) in enumerate(at):
        following = at[index + 1][0] if index + 1 < len(at) else len(lines)
        previous = at[index - 1][0] + 1 if index else 0
        how = rule.said
        if how == "all" and len({other.lower() for _, other, _ in at}) > 1:
            said = _mentions(address, lines)
        else:
            said = _said(how, lines, number, rest, previous, following)
        if said.strip() or address not in out:
            if rule.kind is Kind.DELIVERED:
                out.setdefault(address, Recipient(address))
            else:
                out.setdefault(address, classify(address, diagnostic=said, permanent=permanent))
    return tuple(out.values())


def _said(how: str, lines: Sequence[str], number: int, rest: str, previous: int, following: int) -> str:
    """Return the lines in which a report speaks of one recipient."""
    if how == "all":
        return "\n".join(lines)
    if how == "above":
        return "\n".join([*lines[previous:number], rest])
    if how == "same":
        return rest
    return "\n".join([rest, *lines[number + 1 : min(following, number + 25)]])


def _mentions(address: str, lines: Sequence[str]) -> str:
    """Return the lines that name ``address``, each with the two behind it."""
    named = [number for number, line in enumerate(lines) if address.lower() in line[:LONGEST_LINE].lower()]
    kept = sorted({at for number in named[:20] for at in range(number, min(number + 3, len(lines)))})
    return "\n".join(lines[at] for at in kept)


def _by_words(mail: Mail, text: str) -> Report | None:
    """What all mail systems have in common: words of failure or delay, in the subject or the text."""
    words = bounce_words()
    head = text[:6_000]
    late = find(words["delay_subjects"], mail.subject) or find(words["delay"], head)
    failed = find(words["bounce_subjects"], mail.subject) or find(words["bounce"], head)
    if late and (not failed or find(words["delay"], head)):
        kind, why = Kind.DELAY, "the words are those of a delay"
    elif failed:
        kind, why = Kind.BOUNCE, "the words are those of a bounce"
    else:
        return None
    return Report(kind, _common_recipients(mail, text, permanent=kind is Kind.BOUNCE), why)


def _common_recipients(mail: Mail, text: str, *, permanent: bool) -> tuple[Recipient, ...]:
    """Recipients whom both the report and the returned message name; else the only one that either names."""
    named = named_recipients(mail)
    written = _unique(match[0] for match in _ADDRESS.finditer(text[:20_000]))
    both = [address for address in named if address.lower() in {other.lower() for other in written}]
    if both:
        return tuple(
            classify(address, diagnostic=_near(address, text), permanent=permanent) for address in both
        )
    if len(named) == 1:
        return (_guess(mail, named[0], text[:2_000], permanent=permanent),)
    if named:
        return ()
    ours = {address.lower() for _, address in mail.headers.addresses("To", "Delivered-To", "From", "Sender")}
    others = [
        address
        for address in written
        if address.lower() not in ours and not _MACHINE_LOCAL.fullmatch(address.partition("@")[0])
    ]
    return tuple(_guess(mail, address, text[:2_000], permanent=permanent) for address in _if_one(others))


def _guess(mail: Mail, address: str, said: str, *, permanent: bool) -> Recipient:
    """Classify a recipient whom the words do not name; it dies only where the header names it as failed.

    The letter may have been for an alias that lives, and the words about one of those behind it.
    """
    found = classify(address, diagnostic=said, permanent=permanent)
    failed = {other.lower() for _, other in mail.headers.addresses("X-Failed-Recipients")}
    return found if address.lower() in failed else replace(found, suppress=False)


def _near(address: str, text: str) -> str:
    at = text.lower().find(address.lower())
    return text[max(0, at - 600) : at + 1_200]


def _quoted(text: str, at: int) -> bool:
    """Say whether the line in which ``at`` stands is a quotation."""
    return text[text.rfind("\n", 0, at) + 1 : at].lstrip().startswith((">", "|"))


def _if_one(found: Sequence[str]) -> Sequence[str]:
    return found if len(found) == 1 else ()


def _unique(found: Iterable[str]) -> tuple[str, ...]:
    out: dict[str, str] = {}
    for address in found:
        out.setdefault(address.lower(), address)
        if len(out) >= MOST_RECIPIENTS:
            break
    return tuple(out.values())
