"""Reports of receivers about a domain: DMARC aggregates and TLS reports, recognised and not read.

RFC 9990 (DMARC aggregate reports: the subject, and a file named `receiver!domain!begin!end.xml.gz`),
RFC 8460 5.3 (TLS reports: report-type=tlsrpt, the TLS-Report fields, application/tlsrpt+gzip).

Limits: one that a person forwards is a person's mail: only the mail's own parts and subject count.
"""

from __future__ import annotations

import re

from pipeline.mail.mime import Mail

_DMARC_FILE = re.compile(r"[\w.-]+![\w.-]+!\d{9,11}!\d{9,11}(![\w.-]+)?\.(xml|zip|gz|xml\.gz)", re.IGNORECASE)
_DMARC_SUBJECT = re.compile(r"(\[.{0,40}\] ?)?report domain: ?\S+ submitter: ?\S+", re.IGNORECASE)
_TLS_TYPES = frozenset({"application/tlsrpt+gzip", "application/tlsrpt+json"})


def domain_report(mail: Mail) -> str:
    """Return what kind of report about a domain this mail is, in a word or two; "" where it is none."""
    if mail.root.parameters.get("report-type", "").lower() == "tlsrpt" or "TLS-Report-Domain" in mail.headers:
        return "TLS report"
    for part in mail.walk(into_messages=False):
        if part.type in _TLS_TYPES:
            return "TLS report"
        if part.filename and _DMARC_FILE.fullmatch(part.filename):
            return "DMARC aggregate report"
    return "DMARC aggregate report" if _DMARC_SUBJECT.match(mail.subject) else ""
