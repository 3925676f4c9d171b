"""A campaign whose letters lie in the sandbox's outbox, and mails that answer them, put into a Maildir."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path

REPLIES = """
[replies]
mailbox = "maildir:box"
"""


def sent_letters(outbox: Path) -> dict[str, Message]:
    """Return the letters of a Maildir by the address they went to."""
    found = [message_from_bytes(path.read_bytes()) for path in outbox.glob("new/*")]
    return {str(letter["To"]).rpartition("<")[2].rstrip(">"): letter for letter in found}


@dataclass
class Box:
    """A Maildir that mail comes to."""

    path: Path
    count: int = 0

    def put(self, raw: str | bytes) -> None:
        """Deliver one mail."""
        for name in ("new", "cur", "tmp"):
            (self.path / name).mkdir(parents=True, exist_ok=True)
        self.count += 1
        raw = raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else raw
        (self.path / "new" / f"{1_800_000_000 + self.count}.m{self.count}.host").write_bytes(raw)


def answer(letter: Message, text: str, *, whose: str = "", **fields: str) -> str:
    """Return a person's reply to a letter; ``fields`` replace or add header fields (In_Reply_To: ...)."""
    whose = whose or str(letter["To"])
    header = {
        "From": whose,
        "To": "letters@example.org",
        "Subject": f"Re: {letter['Subject']}",
        "Message-ID": f"<{_mark(whose, text)}@elsewhere.example>",
        "In-Reply-To": str(letter["Message-ID"]),
    } | {name.replace("_", "-"): value for name, value in fields.items()}
    return mail(header, text)


def _mark(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def mail(header: Mapping[str, str], text: str) -> str:
    """Return a mail; fields without a value are left out."""
    return "".join(f"{name}: {value}\n" for name, value in header.items() if value) + f"\n{text}\n"


def bounce(
    letter: Message | None, recipient: str, said: str, *, status: str = "5.1.1", action: str = "failed"
) -> str:
    """Return a delivery status notice (RFC 3464) about a letter; None: about a message that is not ours."""
    returned = str(letter["Message-ID"]) if letter is not None else "<strange@elsewhere.example>"
    return f"""\
Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mx.office.example>
To: letters@example.org
Subject: Undelivered Mail Returned to Sender
Message-ID: <{_mark(recipient, said, returned)}@mx.office.example>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.office.example. Your message could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.office.example

Final-Recipient: rfc822; {recipient}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {said}

--b
Content-Type: text/rfc822-headers

Message-ID: {returned}
Subject: something

--b--
"""


def complaint(letter: Message) -> str:
    """Return a feedback report (RFC 5965) about a letter."""
    return f"""\
From: feedback@provider.example
To: letters@example.org
Subject: FW: something
Message-ID: <arf-{_mark(str(letter["Message-ID"]))}@provider.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an email abuse report.

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Provider/1.0
Version: 1

--b
Content-Type: message/rfc822

Message-ID: {letter["Message-ID"]}
From: letters@example.org
Subject: something

We write to you.

--b--
"""
