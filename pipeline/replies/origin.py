"""Did a mail system write this, or may a person have?

The question that protects people: text rules are applied only to what a mail system wrote, so a person who
quotes or forwards a bounce stays a person. `origin` gathers signs and says which of them it found.

RFC 5321 4.5.5 (null return path), RFC 3464 2 (multipart/report), RFC 2142 (postmaster is a person, too).

Limits: `Return-Path` is written at delivery; a mailbox that lost it has one sign less.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.mail.mime import Mail
from pipeline.replies.phrase import find
from pipeline.replies.rulebook import bounce_words
from pipeline.replies.subject import is_answer

_MAILERS = re.compile(
    r"mailer-?daemon|mail-?daemon|mdaemon|mail-?delivery|mail\.?deliver(y|ies)|mta|mmdf|uucp|bounces?|"
    r"microsoftexchange[0-9a-f]{20,}|postbote|smtp(-gateway)?|mail-?system|autodelivery|non-?delivery|mmail|"
    r"delivery-?(failure|status|subsystem|report)s?|undeliver(ed|able)|ndr",
    re.IGNORECASE,
)
_DAEMONS = re.compile(r"mailer-?daemon|mail-?daemon|postmaster", re.IGNORECASE)  # lists use others, too
_POSTMASTERS = re.compile(r"post-?masters?|postmast|root|system|mail-?admin", re.IGNORECASE)
_MAILER_NAMES = re.compile(
    r"mail(er)?[ -]?(delivery|deliver|administrator|subsystem|system|router)|"
    r"delivery (subsystem|system|failure|service)|mailer.daemon|system administrator|microsoft outlook|"
    r"postmaster|internet mail (delivery|service)|zustellsystem|système de messagerie|"
    r"системный администратор|administrador del sistema",
    re.IGNORECASE,
)
_CLIENTS = re.compile(
    r"thunderbird|outlook|apple mail|iphone mail|ipad mail|mutt|roundcube|horde|squirrelmail|kmail|evolution|"
    r"claws|the bat|mail\.ru|yandex|webmail|zimbra|sogo|k-9|fairemail|protonmail|lotus notes|emclient|pine",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Signs that a mail system wrote a mail, as sentences; none: a person may have.

    ``certain`` is false where a person could have the same signs (a postmaster, a subject).
    """

    signs: tuple[str, ...]
    certain: bool

    @property
    def machine(self) -> bool:
        return bool(self.signs)


def origin(mail: Mail) -> Origin:
    """Gather the signs that a mail system wrote ``mail``."""
    name, address = mail.author
    local = address.partition("@")[0]
    answers = is_answer(mail.subject)
    strong: list[str] = []
    weak: list[str] = []
    if not address and mail.headers.raw("From") is not None and b"<>" in (mail.headers.raw("From") or b""):
        strong.append("its author has no address (From: <>)")
    if _MAILERS.fullmatch(local) or (not address and _says_daemon(mail)):
        strong.append("it comes from a mail system (From)")
    elif _POSTMASTERS.fullmatch(local) or _MAILER_NAMES.search(name):
        weak.append("it comes from a postmaster (From)")
    if mail.return_path == "":
        strong.append("its return path is the null one")
    elif mail.return_path and _DAEMONS.fullmatch(mail.return_path.partition("@")[0]) and not _by_hand(mail):
        strong.append("its return path is a mail system's")
    if mail.root.type == "multipart/report":
        strong.append("it is a multipart/report")
    if any(field in mail.headers for field in ("X-Failed-Recipients", "X-MS-Exchange-Message-Is-Ndr")):
        strong.append("its header names failed recipients")
    if not answers and find(_subjects(), mail.subject) and (strong or weak or not _by_hand(mail)):
        weak.append("its subject is that of a report on delivery")
    if not strong and (answers or _typed(mail)):
        return Origin((), certain=False)
    return Origin(tuple(strong + weak), certain=bool(strong) or len(weak) > 1)


def _by_hand(mail: Mail) -> bool:
    """Say whether who wrote it gets its bounces, too: so it is with people; a mail system wants none."""
    local, _, domain = mail.author[1].lower().partition("@")
    return (
        bool(domain)
        and not _MAILERS.fullmatch(local)
        and (mail.return_path or "").lower() == f"{local}@{domain}"
    )


def _typed(mail: Mail) -> bool:
    """A person's mail program wrote it, or it stands in a conversation."""
    program = f"{mail.headers.get('User-Agent')} {mail.headers.get('X-Mailer')}"
    return "In-Reply-To" in mail.headers or bool(_CLIENTS.search(program))


def _says_daemon(mail: Mail) -> bool:
    return (
        "mailer-daemon" in mail.headers.get("From").lower()
        or mail.headers.get("From").lower() == "postmaster"
    )


def _subjects() -> tuple[str, ...]:
    words = bounce_words()
    return words["bounce_subjects"] + words["delay_subjects"]
