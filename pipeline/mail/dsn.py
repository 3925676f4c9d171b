"""Delivery status notifications: what a mail system reports about each recipient.

`read_dsn` looks for message/delivery-status (or its global kin, or text that only lacks the label) anywhere
in a tree and gives a `DeliveryReport`, or None. It reads; what follows from it is not decided here.

RFC 3464 2 (fields), 2.3.3 (actions), 2.3.4 (status); RFC 3461 4 and 5 (xtext, ORCPT, ENVID); RFC 3462 and
RFC 6522 (multipart/report, text/rfc822-headers); RFC 6533 (utf-8-addr-xtext, message/global-delivery-status);
RFC 3463 (status codes).

Limits: 200 recipients, 2,000 characters of each diagnostic. Fields are read in any order, folded or not, with
a missing address type, and with the blank line before a recipient's block missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.mail.fields import Fields, addresses, read_fields
from pipeline.mail.mime import Mail, Part

MOST_RECIPIENTS = 200
LONGEST_DIAGNOSTIC = 2_000  # characters
_LABELLED = frozenset({"message/delivery-status", "message/global-delivery-status"})
_HEADERS_ONLY = frozenset({"text/rfc822-headers", "message/global-headers"})
_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_HEXCHAR = re.compile(r"\+([0-9A-F]{2})")
_UTF8_HEX = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_NAMES = re.compile(r"(?im)^(final-recipient|original-recipient|reporting-mta|action|status)[ \t]*:")
_BLOCK_START = re.compile(
    r"(?im)^(reporting-mta|original-envelope-id|final-recipient|original-recipient)[ \t]*:"
)


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """The fields about one recipient, as they stand there; "" for one that is missing."""

    address: str  # the one the letter was sent to where that is known, else the final one
    final: str
    original: str
    action: str  # failed, delayed, delivered, relayed, expanded, in lower case
    status: str  # "5.1.1"
    diagnostic: str  # what the other side said, without its type
    remote: str
    retry_until: str


@dataclass(frozen=True, slots=True)
class Returned:
    """What came back of the message the report is about."""

    headers: Fields

    @property
    def message_id(self) -> str:
        """Its Message-ID without angle brackets, "" where it has none."""
        return next(iter(self.headers.message_ids("Message-ID")), "")


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """One report: the envelope id we gave (RFC 3461 ENVID), who reports, and each recipient."""

    envelope_id: str
    reporter: str
    recipients: tuple[RecipientReport, ...]


def read_dsn(parts: Iterable[Part], *, unlabelled: bool) -> DeliveryReport | None:
    """Read the first delivery report among ``parts``.

    Args:
        parts: the parts to look at, outermost first; each alone, not what is below it.
        unlabelled: take text that has a report's fields for one, whatever its Content-Type. Only for a mail
            that a mail system wrote: a person may quote such text.
    """
    for part in parts:
        if part.type in _LABELLED or (unlabelled and _looks_like_one(part)):
            report = _report(part.text)
            if report is not None:
                return report
    return None


def is_delivery_status(part: Part) -> bool:
    """Say whether this part is labelled as a delivery status."""
    return part.type in _LABELLED


def returned_messages(mail: Mail) -> Iterator[Returned]:
    """Yield the header of each message inside this one: returned, forwarded, whole or header only."""
    for part in mail.walk():
        if part.is_message:
            yield Returned(part.children[0].headers)
        elif part.type in _HEADERS_ONLY:
            fields, _ = read_fields(part.content.lstrip(b"\r\n"))
            if fields.items:
                yield Returned(fields)


def xtext(text: str) -> str:
    """Undo xtext and utf-8-addr-xtext (RFC 3461 4, RFC 6533 3); what is neither comes back as it is."""
    text = _HEXCHAR.sub(lambda match: chr(int(match[1], 16)), text)
    return _UTF8_HEX.sub(lambda match: _character(int(match[1], 16)), text)


def _character(code: int) -> str:
    return chr(code) if code < 0xD800 or 0xDFFF < code <= 0x10FFFF else "\ufffd"


def _looks_like_one(part: Part) -> bool:
    if not part.type.startswith(("text/plain", "message/", "application/")) or part.children:
        return False
    found = {match[1].lower() for match in _NAMES.finditer(part.text[:20_000])}
    return "final-recipient" in found and ("action" in found or "status" in found)


def _report(text: str) -> DeliveryReport | None:
    text = text[:500_000]
    match = _BLOCK_START.search(text)
    if match is None:
        return None
    envelope_id, reporter = "", ""
    recipients: list[RecipientReport] = []
    for block in _blocks(text[match.start() :]):
        envelope_id = envelope_id or xtext(block.get("original-envelope-id", ""))
        reporter = reporter or _typed(block.get("reporting-mta", ""))
        if "final-recipient" in block or "original-recipient" in block:
            recipients.append(_recipient(block))
        if len(recipients) >= MOST_RECIPIENTS:
            break
    return DeliveryReport(envelope_id, reporter, tuple(recipients)) if recipients or reporter else None


def _blocks(text: str) -> Iterator[dict[str, str]]:
    """Yield groups of fields; a blank line ends one, and so does a recipient's field that comes again."""
    block: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        if not line.strip():
            if block:
                yield block
            block, name = {}, ""
        elif line[0] in " \t" and name:
            block[name] = f"{block[name]} {line.strip()}"[:LONGEST_DIAGNOSTIC]
        else:
            name, mark, value = line.partition(":")
            name = name.strip().lower()
            if not mark or " " in name:
                name = "" if not block else name if name in block else ""
                continue
            if name == "final-recipient" and name in block:
                yield block
                block = {}
            if name in block:
                name = ""
                continue
            block[name] = value.strip()[:LONGEST_DIAGNOSTIC]
    if block:
        yield block


def _recipient(block: dict[str, str]) -> RecipientReport:
    final = _address(block.get("final-recipient", ""))
    original = _address(block.get("original-recipient", "")) or _address(block.get("x-actual-recipient", ""))
    diagnostic = block.get("diagnostic-code", "")
    status = _STATUS.search(block.get("status", ""))
    action = (block.get("action", "").split() or [""])[0].strip("();,").lower()
    return RecipientReport(
        address=original if "@" in original else final,
        final=final,
        original=original,
        action="failed" if action in {"fail", "failure"} else action,
        status=status[0] if status else "",
        diagnostic=_typed(diagnostic),
        remote=_typed(block.get("remote-mta", "")),
        retry_until=block.get("will-retry-until", ""),
    )


def _address(value: str) -> str:
    """Return the address of `rfc822; user@example.org`, with or without its type, quotes and brackets."""
    kind, mark, rest = value.partition(";")
    text = rest if mark else kind
    text = xtext(text.strip()) if mark else text.strip()
    found = addresses(text.encode("utf-8", "surrogateescape"))
    return found[0][1] if found else text.strip("<>\"' ")


def _typed(value: str) -> str:
    """Return what stands behind a field's type: `smtp; 550 no` gives `550 no`."""
    kind, mark, rest = value.partition(";")
    return rest.strip() if mark and re.fullmatch(r"[\w-]{1,30}", kind.strip()) else value.strip()
