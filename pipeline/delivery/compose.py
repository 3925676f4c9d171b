"""A letter's bytes: today's words for one that was never permitted, the frozen ones for every other.

`Composer` joins the words (templates) and the frame (author, date, Message-ID, attachments). `check`,
`preview`, a test copy and the send itself go through it, so what was checked is what is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

from pipeline.clock import Clock
from pipeline.delivery.letter import Letter
from pipeline.delivery.parcel import Composed, Unfit
from pipeline.letters.message import Attachment, Head, MessageFault, build_message
from pipeline.letters.templates import Rendered, TemplateFault, Templates
from pipeline.mail.address import Mailbox
from pipeline.problem import Problem

# names, and the row's line for messages
FindAttachments = Callable[[Sequence[str], int], Sequence[Attachment]]


class NotAttachable(Exception):
    """Files that a letter should carry and cannot."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a letter is made from: its row, and what is fixed about it."""

    values: Mapping[str, str]
    language: str
    email: str
    line: int
    message_id: str


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

    def __call__(self, letter: Letter, eightbit: bool) -> Composed:
        """Return the letter's bytes: the frozen ones, else today's, dated as at the first permission, or now.

        Raises Unfit for one whose words cannot be written any more: what it is made from has changed since.
        """
        now = letter.built_at or self.clock.now()
        if letter.content is not None:
            return Composed(letter.content, now)
        draft = Draft(letter.values, letter.language, letter.email, letter.line, letter.message_id)
        try:
            return Composed(self.write(draft, now=now, eightbit=eightbit), now)
        except (TemplateFault, MessageFault, NotAttachable) as fault:
            raise Unfit(f"it cannot be written: {fault}") from None

    def render(self, draft: Draft) -> Rendered:
        """Return the words. Raises TemplateFault."""
        return self.templates.render(
            language=draft.language, recipient=draft.values, row=(self.list_file, draft.line)
        )

    def write(self, draft: Draft, *, now: datetime, eightbit: bool = False, mark: str = "") -> bytes:
        """Return the whole message; ``mark`` is put before the subject of a test copy.

        Raises TemplateFault, MessageFault, NotAttachable.
        """
        words = self.render(draft)
        names = (*self.always_attached, *words.attachments, *_listed(draft.values.get("attachments", "")))
        head = Head(
            author_name=self.author.name,
            author=self.author.address.wire,
            to_name=draft.values.get("name", ""),
            to=draft.email,
            subject=f"{mark} {words.subject}" if mark else words.subject,
            message_id=draft.message_id,
            date=now.astimezone(self.zone),
            language=draft.language,
            reply_to=(self.reply_to.name, self.reply_to.address.wire) if self.reply_to else None,
            extra=self._list_fields(draft) if self.mailing else (),
            smtputf8=not draft.email.isascii(),
        )
        return build_message(
            head,
            text=words.text,
            html=words.html,
            attachments=self.find_attachments(names, draft.line) if names else (),
            encoding="8bit" if eightbit else "qp",
        )

    def _list_fields(self, draft: Draft) -> tuple[tuple[str, bytes], ...]:
        """Return what a mailing to members carries: how to leave it, and that no program need answer.

        RFC 2369 3.2 (List-Unsubscribe; one-click of RFC 8058 needs an https address, which there is not),
        RFC 2919 (List-Id), RFC 3834 5 (Auto-Submitted).
        """
        address = (self.reply_to or self.author).address
        token = draft.message_id.strip("<>").partition("@")[0]
        leave = f"<mailto:{quote(address.wire, safe='@')}?subject=unsubscribe-{token}>"
        return (
            ("List-Id", f"<{self.mailing}.{self.author.address.domain}>".encode("ascii")),
            ("List-Unsubscribe", leave.encode("ascii")),
            ("Auto-Submitted", b"auto-generated"),
            ("X-Auto-Response-Suppress", b"OOF, AutoReply"),
        )


def _listed(cell: str) -> list[str]:
    """Return the file names of an attachments cell; ``;`` stands between them."""
    return [name for part in cell.split(";") if (name := part.strip())]
