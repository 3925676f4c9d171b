"""The words of a human reply: what is new in it, what it repeats, its signature, and what hangs on it.

Contract: `new_text` takes a `Mail` and never raises; `reply_in` does the same for a bare text. Every line
of the text comes out in exactly one passage, in its order: `new`, `quoted` and `signature` are those passages
put together, empty lines at their ends left off.

Of a multipart/alternative the plain text is read; the HTML where there is no plain text, where that says
nothing but that there is HTML, and where the HTML shows a quotation that the plain text does not mark
(Outlook). RFC 2046 5.1.3 (mixed), 5.1.4 (alternative), RFC 2387 (related), RFC 1847 (signed), RFC 2183
(disposition), RFC 3676 (flowed).

What is quoted is decided in `pipeline.replies.quotation`, what is a signature in
`pipeline.replies.signature`.

Limits: those of `pipeline.replies.layout` (500,000 characters, 50,000 lines) and `pipeline.replies.html`
(200,000 characters); ``cut`` says that there was more. The first 20 texts of a mail are read; the
others are listed as attachments. An encrypted mail has no words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from pipeline.mail.mime import Mail, Part
from pipeline.replies.html import html_lines
from pipeline.replies.layout import Line, Mark, flowed_lines, plain_lines, readable, shown
from pipeline.replies.quotation import quoted_lines
from pipeline.replies.signature import without_signature
from pipeline.replies.subject import is_forward
from pipeline.replies.within import without_answers

MOST_TEXTS = 20
MOST_ATTACHMENTS = 500
PLACEHOLDER = 200  # characters; a plain text that only says that there is HTML is shorter


class PassageKind(StrEnum):
    """What a passage of a reply is."""

    NEW = "new"
    QUOTED = "quoted"
    SIGNATURE = "signature"


@dataclass(frozen=True, slots=True)
class Passage:
    """Consecutive lines of one kind; a quoted passage has lost one level of marks."""

    kind: PassageKind
    text: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is kept and not read: its file's name ("" where it has none), type and size in octets."""

    name: str
    type: str
    size: int
    inline: bool = False  # shown within the text: a picture in a signature, say


@dataclass(frozen=True, slots=True)
class ReplyText:
    """What a reply says."""

    new: str
    quoted: str = ""
    signature: str = ""
    passages: tuple[Passage, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    source: str = ""  # "plain", "html" or "" where there is no text
    cut: bool = False  # there was more than is read

    @property
    def interleaved(self) -> bool:
        """Whether answers stand between quoted passages, so that `new` alone may not be understood."""
        kinds = [passage.kind for passage in self.passages if passage.kind is not PassageKind.SIGNATURE]
        return kinds.count(PassageKind.NEW) > 1 or kinds[:2] == [PassageKind.QUOTED, PassageKind.NEW]


@dataclass(frozen=True, slots=True)
class _Text:
    """The lines of one text, and what it was written in."""

    lines: list[Line]
    source: str
    cut: bool


def new_text(mail: Mail, letter: str = "") -> ReplyText:
    """Return the words of a reply; empty for a mail that could not be read or has no text.

    Args:
        mail: as it came.
        letter: the plain text of the letter that it answers, where that is known: answers typed between the
            lines of a quotation without marks are found with it (`pipeline.replies.within`).
    """
    texts, attachments = _read(mail)
    sources = {text.source for text in texts if any(line.text.strip() for line in text.lines)}
    return reply_of(
        _one_after_another(texts),
        attachments,
        forward=is_forward(mail.subject),
        source="html" if sources == {"html"} else "plain" if sources else "",
        cut=any(text.cut for text in texts),
        letter=letter,
    )


def text_lines(mail: Mail) -> list[Line]:
    """Return the lines of all texts that `new_text` reads, in their order."""
    return _one_after_another(_read(mail)[0])


def _read(mail: Mail) -> tuple[list[_Text], list[Attachment]]:
    texts: list[_Text] = []
    attachments: list[Attachment] = []
    if not mail.unreadable:
        _gather(mail.root, texts, attachments, forward=is_forward(mail.subject))
    return texts, attachments[:MOST_ATTACHMENTS]


def _one_after_another(texts: Sequence[_Text]) -> list[Line]:
    return [line for text in texts for line in (*text.lines, Line(""))]


def reply_in(text: str, *, forward: bool = False) -> ReplyText:
    """Return the words of a reply that is at hand as plain text."""
    text, cut = readable(text)
    return reply_of(plain_lines(text), forward=forward, source="plain", cut=cut)


def reply_of(
    lines: Sequence[Line],
    attachments: Sequence[Attachment] = (),
    *,
    forward: bool = False,
    source: str = "plain",
    cut: bool = False,
    letter: str = "",
) -> ReplyText:
    """Return the words of a reply that is at hand as lines."""
    passages = _passages(lines, forward=forward, letter=letter)

    def together(kind: PassageKind) -> str:
        return "\n\n".join(passage.text for passage in passages if passage.kind is kind)

    return ReplyText(
        together(PassageKind.NEW),
        together(PassageKind.QUOTED),
        together(PassageKind.SIGNATURE),
        passages,
        tuple(attachments),
        source,
        cut,
    )


def _passages(lines: Sequence[Line], *, forward: bool, letter: str) -> tuple[Passage, ...]:
    """Return the passages of a text; signatures are looked for above the first quotation and at the end."""
    flags = quoted_lines(lines, forward=forward)
    if letter:
        flags = without_answers(lines, flags, letter)
    filled = [at for at, line in enumerate(lines) if line.text.strip() or line.depth]
    runs: list[tuple[bool, Sequence[Line]]] = []
    for quoted, group in groupby(filled, key=lambda at: flags[at]):
        places = list(group)
        runs.append((quoted, lines[places[0] : places[-1] + 1]))
    new = [place for place, (quoted, _) in enumerate(runs) if not quoted]
    out: list[Passage] = []
    for place, (quoted, run) in enumerate(runs):
        if quoted:
            out.append(Passage(PassageKind.QUOTED, shown(run, above=1)))
        elif place in (new[0], new[-1]):
            words, signature = without_signature(run, elsewhere=_has_words(out))
            out.append(Passage(PassageKind.NEW, _words(words)))
            out.append(Passage(PassageKind.SIGNATURE, _words(signature)))
        else:
            out.append(Passage(PassageKind.NEW, _words(run)))
    return tuple(passage for passage in out if passage.text.strip())


def _has_words(passages: Sequence[Passage]) -> bool:
    return any(passage.kind is PassageKind.NEW and passage.text.strip() for passage in passages)


def _words(lines: Sequence[Line]) -> str:
    """Return lines as the writer's text: a blockquote of the writer's own set in, empty lines made single."""
    written = [
        f"    {line.text.rstrip()}" if line.mark is Mark.PERHAPS and line.text.strip() else line.text.rstrip()
        for line in lines
    ]
    return "\n".join(line for at, line in enumerate(written) if line or (at and written[at - 1])).strip()


def _gather(part: Part, texts: list[_Text], attachments: list[Attachment], *, forward: bool) -> None:
    """Read the texts below a part in their order; list what is not text."""
    if part.is_multipart:
        if part.type == "multipart/alternative":
            _alternative(part, texts, attachments, forward=forward)
        else:
            for child in part.children:
                _gather(child, texts, attachments, forward=forward)
        return
    if _is_text(part) and len(texts) < MOST_TEXTS and not (part.filename and texts):
        texts.append(_text(part))
    elif part.content or part.filename:
        attachments.append(_attachment(part))


def _alternative(part: Part, texts: list[_Text], attachments: list[Attachment], *, forward: bool) -> None:
    """Read the one of several versions that says most."""
    leaves = [leaf for leaf in _leaves(part) if _is_text(leaf)]
    plain = next((leaf for leaf in leaves if leaf.type != "text/html"), None)
    html = next((leaf for leaf in leaves if leaf.type == "text/html"), None)
    attachments.extend(_attachment(leaf) for leaf in _leaves(part) if leaf not in leaves)
    if len(texts) >= MOST_TEXTS or not (plain or html):
        return
    texts.append(_better(plain, html, forward=forward))
    seen = {id(plain), id(html)}
    for leaf in leaves:  # Apple puts a text after a picture into the same alternative
        if id(leaf) not in seen and leaf.type == "text/html" and html and texts[-1].source == "html":
            texts.append(_text(leaf))


def _better(plain: Part | None, html: Part | None, *, forward: bool) -> _Text:
    if plain is None or html is None:
        only = plain or html
        assert only is not None
        return _text(only)
    text = _text(plain)
    if any(quoted_lines(text.lines, forward=forward)):
        return text
    other = _text(html)
    if any(quoted_lines(other.lines, forward=forward)):
        return other
    length, more = _letters(text), _letters(other)
    if not length or (length < PLACEHOLDER and more > 3 * length):
        return other
    return text


def _letters(text: _Text) -> int:
    return sum(len(line.text.strip()) for line in text.lines)


def _text(part: Part) -> _Text:
    if part.type == "text/html":
        return _Text(*_from_html(part.text))
    text, cut = readable(part.text)
    given = part.parameters
    if given.get("format", "").strip().lower() == "flowed":
        flowed = flowed_lines(text, delete_space=given.get("delsp", "").strip().lower() == "yes")
        return _Text(flowed, "plain", cut)
    return _Text(plain_lines(text), "plain", cut)


def _from_html(html: str) -> tuple[list[Line], str, bool]:
    lines, cut = html_lines(html)
    return lines, "html", cut


def _is_text(part: Part) -> bool:
    return part.type in {"text/plain", "text/html", "text/enriched"} and part.disposition != "attachment"


def _leaves(part: Part) -> Iterator[Part]:
    return (leaf for leaf in part.walk(into_messages=False) if not leaf.is_multipart)


def _attachment(part: Part) -> Attachment:
    name = part.filename
    if not name and part.is_message:
        name = part.children[0].headers.get("Subject")[:200]
    inline = part.disposition == "inline" or (
        part.disposition != "attachment" and "Content-ID" in part.headers
    )
    return Attachment(name, part.type, len(part.content), inline)
