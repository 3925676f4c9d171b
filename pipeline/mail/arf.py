"""Feedback reports: a mailbox provider passes on that somebody called our letter spam.

RFC 5965 2 and 3 (message/feedback-report), RFC 6591 (auth-failure), RFC 6430 (not-spam), RFC 6590 (what is
redacted), RFC 6650. Also the older notices of Microsoft's JMRP, which have no such part and put
X-HmXmrOriginalRecipient into the returned message.

Limits: the recipient is often redacted; the returned message then says whose letter it was.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.mail.fields import Fields, addresses, read_fields
from pipeline.mail.mime import Mail

_MICROSOFT = ("X-HmXmrOriginalRecipient", "X-HmXmrOriginalRecipients")


@dataclass(frozen=True, slots=True)
class FeedbackReport:
    """``kind`` is the Feedback-Type in lower case: abuse, fraud, virus, other, not-spam, auth-failure, ..."""

    kind: str
    recipients: tuple[str, ...]
    reported_domain: str = ""
    original_envelope_id: str = ""


def read_feedback(mail: Mail) -> FeedbackReport | None:
    """Return the feedback report this mail is, None where it is none.

    One that stands inside a forwarded message is that message's, not this mail's.
    """
    for part in mail.walk(into_messages=False):
        if part.type == "message/feedback-report":
            fields, _ = read_fields(part.content.lstrip(b"\r\n"))
            kind = fields.get("Feedback-Type").lower()
            return FeedbackReport(
                kind or "other",
                _recipients(fields, "Original-Rcpt-To", "Redacted-Address"),
                fields.get("Reported-Domain").lower(),
                fields.get("Original-Envelope-Id"),
            )
    if mail.author[1].lower().startswith("staff@"):
        for part in mail.walk():
            for name in _MICROSOFT:
                if part.headers.raw(name) is not None:
                    return FeedbackReport("abuse", _recipients(part.headers, name))
    return None


def _recipients(fields: Fields, *names: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in names:
        for field in fields:
            if field.name.lower() == name.lower():
                value = field.raw.partition(b";")[2] if field.raw.lower().startswith(b"rfc822") else field.raw
                found.update(dict.fromkeys(address for _, address in addresses(value)))
    return tuple(found)[:200]
