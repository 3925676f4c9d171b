"""A letter's bytes: today's words for one that was never permitted, the frozen ones for every other.

`Composer` joins the words (templates) and the frame (author, date, Message-ID, attachments). `check`,
`preview`, a test copy and the send itself go through it, so what was checked is what is sent.

There are two ways to a letter. The plain one renders the page and builds the message from nothing; it is the
reference. The quick one puts the values into what letters in that language have in common (`letters.cast`,
`letters.letterhead`), and gives way wherever it cannot vouch for the same octets. Which way a letter goes can
be told by nothing but the time it takes (`tests/unit/test_quick_letters.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol
from urllib.parse import quote
from zoneinfo import ZoneInfo

from pipeline.clock import Clock
from pipeline.delivery.letter import Letter
from pipeline.delivery.parcel import Composed, Unfit
from pipeline.letters.letterhead import Entry, Letterhead
from pipeline.letters.message import Attachment, Encoding, Head, MessageFault, attachment_part, build_message
from pipeline.letters.templates import Rendered, TemplateFault, Templates
from pipeline.letters.thread import SAMPLE, Thread, file_of, read_thread
from pipeline.mail import headers
from pipeline.mail.address import Mailbox
from pipeline.problem import Problem
from pipeline.recipients.signatories import ReplyTo, Signing

COMPARED = 5  # letters in a language that `check` writes both ways
MOST_SIGNED = 20_000  # beginnings of letterheads that are kept, one for each signatory
_WHO_SIGNS = ("signatory.name", "signatory.author_name", "signatory.email", "signatory.from")

# names, and the row's line for messages
FindAttachments = Callable[[Sequence[str], int], Sequence[Attachment]]


class NotAttachable(Exception):
    """Files that a letter should carry and cannot."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = tuple(problems)


class Draft(NamedTuple):
    """What a letter is made from: its row, and what is fixed about it.

    In ``values`` a signatory's columns stand beside the recipient's, as "signatory.name" and so on.
    """

    values: Mapping[str, str]
    language: str
    email: str
    line: int
    message_id: str
    thread: Thread | None = None  # None: a first letter


class Drafted(Protocol):
    """What a first letter is made from: a `Draft`, or a letter of the queue."""

    @property
    def values(self) -> Mapping[str, str]: ...
    @property
    def language(self) -> str: ...
    @property
    def email(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def message_id(self) -> str: ...


@dataclass(slots=True)
class _Kept:
    """What a composer has made: letterheads by language and SMTPUTF8, the last second's Date."""

    heads: dict[tuple[str, bool], Letterhead | None] = field(default_factory=dict)
    signed: dict[tuple[object, ...], tuple[bytes, bytes] | None] = field(default_factory=dict)
    followed: Counter[str] = field(default_factory=Counter)  # follow-ups that were checked, by language
    compared: Counter[str] = field(default_factory=Counter)  # letters written both ways, by language
    differs: bool = False  # they were not the same
    second: datetime = datetime(1, 1, 1, tzinfo=UTC)
    next_second: datetime = datetime(1, 1, 1, tzinfo=UTC)
    date: bytes = b""


@dataclass(frozen=True, slots=True)
class Composer:
    """Everything letters of a campaign have in common."""

    templates: Templates
    author: Mailbox
    reply_to: Mailbox | None
    zone: ZoneInfo
    clock: Clock
    find_attachments: FindAttachments
    list_file: str
    always_attached: tuple[str, ...] = ()
    mailing: str = ""  # the name of a mailing list; letters to officials belong to none
    signing: Signing | None = None  # None: the campaign writes in its own name
    _kept: _Kept = field(default_factory=_Kept, init=False, repr=False, compare=False)

    def __call__(self, letter: Letter, eightbit: bool) -> Composed:
        """Return the letter's bytes: the frozen ones, else today's, dated as at the first permission, or now.

        Raises Unfit for one whose words cannot be written any more: what it is made from has changed since.
        """
        now = letter.built_at or self.clock.now()
        if letter.content is not None:
            return Composed(letter.content, now)
        try:
            if not letter.thread:
                quick = self._write_quickly(letter, now, "8bit" if eightbit else "qp", "")
                if quick is not None:
                    return Composed(quick, now, dotless=not eightbit)
            thread = read_thread(letter.thread) if letter.thread else None
            draft = Draft(
                letter.values, letter.language, letter.email, letter.line, letter.message_id, thread
            )
            return Composed(self.write_plainly(draft, now=now, eightbit=eightbit), now)
        except (TemplateFault, MessageFault, NotAttachable) as fault:
            raise Unfit(f"it cannot be written: {fault}") from None

    def attached(self, letter: Letter) -> tuple[str, ...]:
        """Return the names of the files that a letter carries."""
        cell = letter.values.get("attachments", "")
        templates = self.templates.followups if letter.thread else self.templates
        own = templates.attached(letter.language) if templates else ()
        return (*self.always_attached, *own, *_listed(cell))

    def has_followup(self, language: str) -> bool:
        """Say whether there are words for a second letter in a language."""
        return self.templates.followups is not None and language in self.templates.followups.languages

    def render(self, draft: Draft) -> Rendered:
        """Return the words. Raises TemplateFault."""
        templates, values = self.templates, draft.values
        if draft.thread is not None:
            if self.templates.followups is None:
                raise TemplateFault(_no_followup(draft.language))
            templates, values = self.templates.followups, {**values, **draft.thread.columns()}
        return templates.render(language=draft.language, recipient=values, row=(self.list_file, draft.line))

    def write(self, draft: Draft, *, now: datetime, eightbit: bool = False, mark: str = "") -> bytes:
        """Return the whole message; ``mark`` is put before the subject of a test copy.

        Raises TemplateFault, MessageFault, NotAttachable.
        """
        if draft.thread is not None:
            return self.write_plainly(draft, now=now, eightbit=eightbit, mark=mark)
        encoding: Encoding = "8bit" if eightbit else "qp"
        quick = self._write_quickly(draft, now, encoding, mark)
        return (
            quick if quick is not None else self.write_plainly(draft, now=now, eightbit=eightbit, mark=mark)
        )

    def check(self, draft: Draft) -> None:
        """Raise what `write` would raise; nothing is written where it is certain that it can be.

        The first letters in a language are written both ways all the same: should an octet differ, all its
        letters go the plain way from then on. So are their follow-ups, where there are words for them.
        Raises TemplateFault, MessageFault, NotAttachable.
        """
        if self.templates.followups is not None:
            self._check_followup(draft)
        found = self.templates.words(
            language=draft.language, recipient=draft.values, row=(self.list_file, draft.line)
        )
        letterhead = self._letterhead(draft) if found else None
        if found and letterhead:
            words, cast = found
            entry = self._entry(draft, words.subject, b"")
            if cast.vouches(words) and letterhead.fits(entry):
                for attachment in self._attachments(draft, self.templates.attached(draft.language)):
                    attachment_part(attachment)
                self._compare(draft)
                return
        self.write_plainly(draft, now=self.clock.now())

    def _check_followup(self, draft: Draft) -> None:
        """Write the follow-up of one of the first letters in a language. Raises what `check` does."""
        if self._kept.followed[draft.language] < COMPARED and self.has_followup(draft.language):
            self._kept.followed[draft.language] += 1
            self.write_plainly(draft._replace(thread=SAMPLE), now=self.clock.now())

    @property
    def differs(self) -> bool:
        """Whether `check` gave the quick way up in a language, which a composer made anew would not know."""
        return self._kept.differs

    def write_plainly(self, draft: Draft, *, now: datetime, eightbit: bool = False, mark: str = "") -> bytes:
        """Return what `write` returns, built from nothing and read again: the reference. Raises the same."""
        words = self.render(draft)
        return build_message(
            self._head(draft, _with_mark(mark, words.subject), now),
            text=words.text,
            html=words.html,
            attachments=self._attachments(draft, words.attachments),
            encoding="8bit" if eightbit else "qp",
        )

    def _write_quickly(self, draft: Drafted, now: datetime, encoding: Encoding, mark: str) -> bytes | None:
        """Return the message; None where only the plain way is certain. Raises as `write` does."""
        found = self.templates.words(
            language=draft.language, recipient=draft.values, row=(self.list_file, draft.line)
        )
        letterhead = self._letterhead(draft) if found else None
        if not found or not letterhead:
            return None
        words, cast = found
        parts = cast.quoted(words) if encoding == "qp" else cast.plain(words)
        if parts is None:
            return None
        text, html = parts
        entry = self._entry(draft, _with_mark(mark, words.subject), self._date(now))
        attachments = self._attachments(draft, self.templates.attached(draft.language))
        return letterhead.written(entry, text=text, html=html, encoding=encoding, attachments=attachments)

    def _compare(self, draft: Draft) -> None:
        """Write one of the first letters in a language both ways, and trust the quick one if they agree."""
        if self._kept.compared[draft.language] >= COMPARED:
            return
        self._kept.compared[draft.language] += 1
        now = self.clock.now()
        if self._write_quickly(draft, now, "qp", "") not in (None, self.write_plainly(draft, now=now)):
            self.templates.render_always(draft.language)
            self._kept.differs = True

    def _attachments(self, draft: Drafted, of_letter: Sequence[str]) -> Sequence[Attachment]:
        cell = draft.values.get("attachments", "")
        if not (cell or of_letter or self.always_attached):
            return ()
        names = (*self.always_attached, *of_letter, *_listed(cell))
        return self.find_attachments(names, draft.line) if names else ()

    def _letterhead(self, draft: Drafted) -> Letterhead | None:
        """Return the letterhead for the draft's language; made once."""
        key = draft.language, not draft.email.isascii()
        try:
            found = self._kept.heads[key]
        except KeyError:
            to = "é@example.org" if key[1] else "e@example.org"
            nobody = Draft({}, draft.language, to, 0, "<i@example.org>")
            found = self._kept.heads[key] = Letterhead.of(self._head(nobody, "x", self.clock.now()))
        return self._signed(draft, found) if found and self.signing is not None else found

    def _signed(self, draft: Drafted, common: Letterhead) -> Letterhead | None:
        """Return the letterhead with the draft's signatory in it; what is theirs is made once."""
        key = common.utf8, *(draft.values.get(name, "") for name in _WHO_SIGNS)
        if key not in self._kept.signed:
            if len(self._kept.signed) >= MOST_SIGNED:
                self._kept.signed.clear()
            values = {name: draft.values[name] for name in _WHO_SIGNS if name in draft.values}
            to = "é@example.org" if common.utf8 else "e@example.org"
            own = self._head(Draft(values, "en", to, 0, "<i@example.org>"), "x", self.clock.now())
            made = Letterhead.of(own)
            self._kept.signed[key] = made.signed if made else None
        signed = self._kept.signed[key]
        return common.signed_by(signed) if signed else None

    def _entry(self, draft: Drafted, subject: str, date: bytes) -> Entry:
        unsubscribe = self._unsubscribe(draft) if self.mailing else b""
        return Entry(draft.values.get("name", ""), draft.email, subject, date, draft.message_id, unsubscribe)

    def _date(self, now: datetime) -> bytes:
        """Return the value of a Date field; made once a second."""
        kept = self._kept
        if now.tzinfo is not UTC:
            return headers.date(now.astimezone(self.zone))
        if not kept.second <= now < kept.next_second:
            kept.second = now.replace(microsecond=0)
            kept.next_second = kept.second + timedelta(seconds=1)
            kept.date = headers.date(now.astimezone(self.zone))
        return kept.date

    def author_of(self, values: Mapping[str, str]) -> tuple[str, str]:
        """Return name and address in From: the address stays the campaign's, whoever signs."""
        name = values.get("signatory.author_name") or values.get("signatory.name", "")
        if self.signing is None or not name:
            return self.author.name, self.author.address.wire
        own = self.author.name or self.author.address.domain_shown
        shown = self.signing.from_name.replace("{author}", own).replace("{name}", name)
        return shown, values.get("signatory.from") or self.author.address.wire

    def reply_to_of(self, values: Mapping[str, str]) -> tuple[str, str] | None:
        """Return name and address in Reply-To; None where there is none."""
        theirs = values.get("signatory.email", "")
        if theirs and self.signing is not None and self.signing.reply_to is ReplyTo.SIGNATORY:
            return values.get("signatory.author_name") or values.get("signatory.name", ""), theirs
        return (self.reply_to.name, self.reply_to.address.wire) if self.reply_to else None

    def _head(self, draft: Draft, subject: str, now: datetime) -> Head:
        author_name, author = self.author_of(draft.values)
        return Head(
            author_name=author_name,
            author=author,
            to_name=draft.values.get("name", ""),
            to=draft.email,
            subject=subject,
            message_id=draft.message_id,
            date=now.astimezone(self.zone),
            language=draft.language,
            reply_to=self.reply_to_of(draft.values),
            extra=self._extra(draft),
            smtputf8=not draft.email.isascii(),
        )

    def _extra(self, draft: Draft) -> tuple[tuple[str, bytes], ...]:
        """Return the fields of a follow-up, and of a mailing."""
        threaded = draft.thread.fields() if draft.thread is not None else ()
        return (*threaded, *self._list_fields(draft)) if self.mailing else threaded

    def _list_fields(self, draft: Draft) -> tuple[tuple[str, bytes], ...]:
        """Return what a mailing to members carries: how to leave it, and that no program need answer.

        RFC 2369 3.2 (List-Unsubscribe; one-click of RFC 8058 needs an https address, which there is not),
        RFC 2919 (List-Id), RFC 3834 5 (Auto-Submitted).
        """
        return (
            ("List-Id", f"<{self.mailing}.{self.author.address.domain}>".encode("ascii")),
            ("List-Unsubscribe", self._unsubscribe(draft)),
            ("Auto-Submitted", b"auto-generated"),
            ("X-Auto-Response-Suppress", b"OOF, AutoReply"),
        )

    def _unsubscribe(self, draft: Drafted) -> bytes:
        address = (self.reply_to or self.author).address
        token = draft.message_id.strip("<>").partition("@")[0]
        return f"<mailto:{quote(address.wire, safe='@')}?subject=unsubscribe-{token}>".encode("ascii")


def _no_followup(language: str) -> Problem:
    hint = "write it like a letter: +++, its subject, +++, its words"
    return Problem(file_of(language), 0, 0, "no-template", "this follow-up does not exist", hint)


def _with_mark(mark: str, subject: str) -> str:
    return f"{mark} {subject}" if mark else subject


def _listed(cell: str) -> list[str]:
    """Return the file names of an attachments cell; ``;`` stands between them."""
    return [name for part in cell.split(";") if (name := part.strip())]
