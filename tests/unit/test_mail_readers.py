"""What the standards' reports say: delivery status, feedback, receipts, reports, signs of a program."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.mail.arf import read_feedback
from pipeline.mail.auto import auto_signs
from pipeline.mail.dsn import read_dsn, returned_messages, xtext
from pipeline.mail.mdn import read_receipt
from pipeline.mail.mime import Mail, read_mail
from pipeline.mail.reports import domain_report
from pipeline.replies.sorting import sort_mail


def _report(status: str, kind: str = "message/delivery-status", returned: str = "") -> Mail:
    return read_mail(
        (
            'Content-Type: multipart/report; boundary="b"\n\n--b\n\nwords\n--b\n'
            f"Content-Type: {kind}\n\n{status}\n--b\nContent-Type: text/rfc822-headers\n\n{returned}\n--b--\n"
        ).encode()
    )


def test_a_delivery_status_gives_every_field_of_every_recipient() -> None:
    """RFC 3464 2.3, with ENVID (RFC 3461 4.4) and folded fields."""
    mail = _report(
        "Original-Envelope-Id: c1+2E4k2x\nReporting-MTA: dns; mx.example\n\n"
        "Original-Recipient: rfc822;a+2Bb@office.example\nFinal-Recipient: rfc822;c@office.example\n"
        "Action: Failed\nStatus: 5.1.1 (bad)\nRemote-MTA: dns; r.example\n"
        "Diagnostic-Code: smtp; 550 5.1.1\n  user unknown\n\nFinal-Recipient: d@office.example\n"
        "Action: delayed\nStatus: 4.2.2\nWill-Retry-Until: tomorrow\n"
    )
    report = read_dsn(mail.walk(), unlabelled=False)
    assert report is not None
    assert (report.envelope_id, report.reporter) == ("c1.4k2x", "mx.example")
    first, second = report.recipients
    assert (first.address, first.final, first.action, first.status) == (
        "a+b@office.example", "c@office.example", "failed", "5.1.1",
    )  # fmt: skip
    assert (first.diagnostic, first.remote) == ("550 5.1.1 user unknown", "r.example")
    assert (second.address, second.action, second.retry_until) == ("d@office.example", "delayed", "tomorrow")


def test_a_status_without_blank_lines_between_recipients_is_read() -> None:
    """Some servers leave them out; the field that comes again begins the next."""
    mail = _report(
        "Reporting-MTA: dns;x\nFinal-Recipient: rfc822;a@o.example\nAction: failed\nStatus: 5.0.0\n"
        "Final-Recipient: rfc822;b@o.example\nAction: failed\nStatus: 5.2.2\n"
    )
    report = read_dsn(mail.walk(), unlabelled=False)
    assert report is not None
    assert [(one.address, one.status) for one in report.recipients] == [
        ("a@o.example", "5.0.0"), ("b@o.example", "5.2.2"),
    ]  # fmt: skip


def test_a_status_without_its_label_is_read_only_when_asked_for() -> None:
    """A person may quote such text; whoever asks knows that a mail system wrote it."""
    mail = _report("Final-Recipient: rfc822;a@o.example\nAction: failed\nStatus: 5.0.0", "text/plain")
    assert read_dsn(mail.walk(), unlabelled=False) is None
    assert read_dsn(mail.walk(), unlabelled=True) is not None


@pytest.mark.parametrize(
    ("text", "plain"),
    [("a+2Bb", "a+b"), ("a+zz", "a+zz"), (r"\x{43C}", "м"), (r"\x{D800}", "\ufffd"), ("plain", "plain")],
)
def test_xtext_is_undone(text: str, plain: str) -> None:
    """RFC 3461 4 and RFC 6533 3; what is neither stays."""
    assert xtext(text) == plain


def test_the_returned_message_tells_its_id() -> None:
    """From headers alone, or from the message whole."""
    mail = _report("Reporting-MTA: dns;x", returned="Message-ID: <c1@letters.example>\nTo: a@o.example\n")
    assert [returned.message_id for returned in returned_messages(mail)] == ["c1@letters.example"]


def test_a_feedback_report_inside_a_forwarded_mail_is_not_this_mails() -> None:
    """A person who sends one on complains about nothing."""
    inner = "Content-Type: message/feedback-report\n\nFeedback-Type: abuse\n"
    assert read_feedback(read_mail(inner.encode())) is not None
    assert read_feedback(read_mail(b"Content-Type: message/rfc822\n\nX: y\n" + inner.encode())) is None


def test_a_receipt_says_what_became_of_the_message() -> None:
    """RFC 8098 3.2.6: disposition and mode."""
    receipt = read_receipt(
        read_mail(
            b"Content-Type: message/disposition-notification\n\nFinal-Recipient: rfc822;a@o.example\n"
            b"Original-Message-ID: <c1@l.example>\n"
            b"Disposition: automatic-action/MDN-sent-automatically; deleted/x\n"
        )
    )
    assert receipt is not None
    assert (receipt.recipient, receipt.disposition, receipt.automatic, receipt.original_message_id) == (
        "a@o.example", "deleted", True, "c1@l.example",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("subject", "kind"),
    [
        ("Report domain: example.org Submitter: p.example Report-ID: 1", "DMARC aggregate report"),
        ("[Preview] Report Domain: example.org Submitter: p.example", "DMARC aggregate report"),
        ("Report on the domain", ""),
        ("Re: Report domain: example.org Submitter: p.example", ""),
    ],
)
def test_a_dmarc_report_is_known_by_its_subject(subject: str, kind: str) -> None:
    """RFC 9990's form at the front, nothing like it."""
    assert domain_report(read_mail(f"Subject: {subject}\n\nx".encode())) == kind


@pytest.mark.parametrize(
    ("header", "certain"),
    [
        ("Auto-Submitted: auto-replied (vacation)", True),
        ("Auto-Submitted: auto-generated; owner-email=x", True),
        ("Auto-Submitted: no", False),
        ("Auto-Submitted: auto-forwarded", False),
        ("X-Autoreply: yes", True),
        ("X-Autoreply: no", False),
        ("X-Autorespond: Open letter", True),
        ("Precedence: auto_reply", True),
        ("Precedence: bulk", False),
        ("Precedence: list", False),
        ("X-Auto-Response-Suppress: All", False),
        ("X-Auto-Response-Suppress: DR, OOF, AutoReply", False),
        ("X-FC-MachineGenerated: true", True),
        ("X-Mailer: vacation 1.2.6", True),
        ("Delivered-To: Autoresponder", True),
    ],
)
def test_only_some_fields_say_alone_that_a_program_answered(header: str, certain: bool) -> None:
    """The others need words to agree."""
    assert bool(auto_signs(read_mail(f"From: a@o.example\n{header}\n\nx".encode())).certain) is certain


_LINES = [
    "From: MAILER-DAEMON@x.example\n",
    "Return-Path: <>\n",
    "Content-Type: multipart/report; boundary=b\n",
    "\n",
    "--b\n",
    "--b--\n",
    "Content-Type: message/delivery-status\n",
    "Final-Recipient: rfc822;a@o.example\n",
    "Action: failed\n",
    "Status: 5.1.1\n",
    "Diagnostic-Code: smtp; 550 user unknown\n",
    "Feedback-Type: abuse\n",
    "Content-Type: message/feedback-report\n",
    "Content-Type: message/rfc822\n",
    "Subject: Undeliverable\n",
    "Hi. This is the qmail-send program at x.\n",
    "<a@o.example>:\n",
    "Auto-Submitted: auto-replied\n",
    "I am out of the office until 31.02.2026\n",
    "case number \n",
    "unsubscribe\n",
    "Date: Mon, 99 Foo 2026\n",
    "Content-Type: text/html\n",
    "<a " * 50,
    "\0\0\n",
    "\u202e\n",
    "until 0000-00-00\n",
    "stop\n",
    ">From x\n",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(_LINES), st.text(max_size=20)), max_size=40))
def test_whatever_came_is_sorted_with_a_reason(lines: list[str]) -> None:
    """No structure is an exception; every verdict says why; nobody dies without a reason."""
    raw = "".join(lines).encode("utf-8", "replace")
    verdict = sort_mail(read_mail(raw), raw)
    assert verdict.why
    for one in verdict.recipients:
        assert one.address
        if one.suppress and one.reason is not None:
            assert one.reason.value in {"no such address", "no such domain"}


def _nested(depth: int) -> bytes:
    lines = [b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (at, at) for at in range(depth)]
    return b"From: a@office.example\n" + b"".join(lines) + b"\nend\n"


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (_nested(1_000), "unknown"),
        (b"From: a@o.example\nTo: " + b"someone@office.example, " * 20_000 + b"\n\nhello", "unknown"),
        (b"From: a@o.example\nContent-Type: text/html\n\n" + b"<a " * 20_000, "human"),
        (b"From: a@o.example\nContent-Type: text/plain; charset=x-klingon\n\n" + b"\xfe" * 50_000, "human"),
        (b"From: a@o.example\nSubject: \0\0\n\n" + b"\0" * 200_000, "human"),
        (b"From: a@o.example\nSubject: " + b"=?" * 30_000 + b"\n\nhello", "human"),
        (b"From: MAILER-DAEMON@o.example\nSubject: Undeliverable\n\n" + b"\n" * 60_000, "bounce"),
        (b"From: a@o.example\nPrecedence: bulk\nSubject: Vacation\n\n" + b"until " * 10_000, "auto"),
    ],
    ids=["nested", "addresses", "tags", "charset", "NULs", "encoded words", "empty lines", "until"],
)
def test_a_bomb_is_sorted_like_any_mail(raw: bytes, kind: str) -> None:
    """What breaks a bound is unknown, and says so; the others are looked at within bounds."""
    verdict = sort_mail(read_mail(raw), raw)
    assert verdict.kind == kind
    assert verdict.why[0].startswith("unreadable: ") is (kind == "unknown")
