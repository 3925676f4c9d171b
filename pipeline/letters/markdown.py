"""A body from Markdown to HTML and to plain text, from one reading.

What Jinja printed for a value is one private-use character (`sandbox.placed`). Markdown is read with these
in place, and only then is each replaced by its value, in text as well as in code and link targets. No value
can change the structure of a letter, whatever it holds; the HTML renderer escapes it.

The plain text is wrapped at 72 columns; words are never broken. Lists hang, quotations carry `> `, links
stand as `text <address>`, hard line breaks are kept; emphasis and headings are plain lines.

CommonMark 0.31 without HTML and pictures; RFC 3676 4.2 asks for nothing, lines are simply short. Links: RFC
3986 schemes http, https, mailto and tel.

Limits: width is counted in characters, so that text in wide East Asian letters, which has no spaces anyway,
is not wrapped; tables and footnotes do not exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.common.normalize_url import normalizeLink
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from pipeline.letters.direction import all_marked, unmarked
from pipeline.letters.sandbox import PLACE, Trouble

WIDTH = 72
NARROWEST = 24
SCHEMES = ("http", "https", "mailto", "tel")

PLACED = re.compile("[\U000f0000-\U000ffffd]")
_LINK = re.compile(r"(?:https?://[^\s/?#]|mailto:[^\s@]+@[^\s@]|tel:\+?[0-9])", re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s@<>:/]+@[^\s@<>:/]+\.[^\s@<>:/]+")


Wrap = Callable[[str, int], list[str]]  # a text and a width in characters -> lines


@dataclass(frozen=True, slots=True)
class Body:
    """One text in two forms."""

    text: str
    html: str


class _Reader(MarkdownIt):
    """Leaves link targets alone while reading: they are made good once their values are in."""

    def normalizeLink(self, url: str) -> str:  # noqa: N802
        return url

    def normalizeLinkText(self, link: str) -> str:  # noqa: N802
        return link

    def validateLink(self, url: str) -> bool:  # noqa: N802
        return True


def read_body(markdown: str, values: Sequence[str], *, rtl: bool = False) -> Body:
    """Return text and HTML of a body whose ``values`` stand as private-use characters in ``markdown``.

    ``rtl``: its language runs from right to left, and the lines of the text are marked (`direction`).

    Trouble for a picture, for a link that leads nowhere a letter can lead, and for a body without a word.
    """

    def filled(text: str) -> str:
        return PLACED.sub(lambda place: values[ord(place[0]) - PLACE], text)

    tokens = parse(markdown)
    make_good(tokens, filled)
    lines = lay_out(tokens, wrapped)
    return Body(as_text(all_marked(lines) if rtl else lines), as_html(tokens))


def parse(markdown: str) -> list[Token]:
    """Return the tokens of a body; values still stand as private-use characters."""
    return _READER.parse(markdown)


def as_html(tokens: Sequence[Token]) -> str:
    """Return the HTML of tokens that were made good."""
    return str(_READER.renderer.render(tokens, _READER.options, {}))


def lay_out(tokens: Iterable[Token], wrap: Wrap) -> list[str]:
    """Return the lines of the text part; ``wrap`` makes lines of a paragraph."""
    lines, _ = _blocks(iter(tokens), "", WIDTH, wrap)
    return lines


def as_text(lines: Iterable[str]) -> str:
    """Return lines as the text part; Trouble where there is not a word."""
    text = "\n".join(lines).strip("\n") + "\n"
    if not text.strip():
        raise Trouble("empty-letter", "the letter has no words")
    return text


def _value_link(state: StateInline, silent: bool) -> bool:
    """Read `<{{ value }}>` as a link to that value, as `<https://…>` is one."""
    if state.src[state.pos] != "<" or not PLACED.match(state.src, state.pos + 1):
        return False
    if state.src[state.pos + 2 : state.pos + 3] != ">":
        return False
    if not silent:
        place = state.src[state.pos + 1]
        state.push("link_open", "a", 1).attrs = {"href": place}
        state.push("text", "", 0).content = place
        state.push("link_close", "a", -1)
    state.pos += 3
    return True


def _reader() -> _Reader:
    reader = _Reader("commonmark", {"html": False, "linkify": False, "typographer": False, "xhtmlOut": False})
    reader.disable(["html_block", "html_inline"])
    reader.inline.ruler.before("autolink", "value_link", _value_link)
    return reader


_READER = _reader()


def make_good(tokens: Iterable[Token], filled: Callable[[str], str]) -> None:
    """Put values where their places are and make link targets fit, in the tokens themselves."""
    for token in tokens:
        if token.type == "image":
            hint = (
                "attach the picture, or link to it: remote pictures tell the sender who has read the letter"
            )
            raise Trouble("picture", "a letter has no pictures", hint=hint, pattern=r"!\[")
        token.content, token.info = filled(token.content), filled(token.info)
        for name, value in token.attrs.items():
            if isinstance(value, str):
                token.attrs[name] = _target(filled(value)) if name == "href" else filled(value)
        make_good(token.children or (), filled)


def _target(link: str) -> str:
    """Return where a link leads, fit for an HTML attribute; Trouble where a letter cannot lead there."""
    link = unmarked(link).strip()
    if _ADDRESS.fullmatch(link):
        link = f"mailto:{link}"
    if not _LINK.match(link) or len(link) > 2_000:
        hint = "a link begins with https://, http://, mailto: or tel:"
        raise Trouble("bad-link", f'a link leads to "{link[:80]}"', hint=hint, pattern=r"\]\(|\]:|<\{\{")
    return normalizeLink(link)


def _blocks(stream: Iterator[Token], closing: str, width: int, wrap: Wrap) -> tuple[list[str], bool]:
    """Return the lines of the blocks up to ``closing``, and whether they stand close together."""
    lines: list[str] = []
    close = tight = False
    for token in stream:
        if token.type == closing:
            break
        if lines and not close:
            lines.append("")
        lines += _block(token, stream, width, wrap)
        close = token.hidden
        tight = tight or close
    return lines, tight or not lines


def _block(token: Token, stream: Iterator[Token], width: int, wrap: Wrap) -> list[str]:
    if token.type in ("paragraph_open", "heading_open"):
        text = _inline(next(stream).children or ())
        next(stream)
        return wrap(text, width)
    if token.type in ("bullet_list_open", "ordered_list_open"):
        return _list(token, stream, width, wrap)
    if token.type == "blockquote_open":
        lines, _ = _blocks(stream, "blockquote_close", max(width - 2, NARROWEST), wrap)
        return [f"> {line}".rstrip() for line in lines]
    if token.type == "hr":
        return ["* * *"]
    return ["    " + line if line else "" for line in token.content.rstrip("\n").split("\n")]


def _list(opening: Token, stream: Iterator[Token], width: int, wrap: Wrap) -> list[str]:
    items: list[list[str]] = []
    tight = True
    number = int(opening.attrs.get("start", 1))
    for token in stream:
        if token.type != "list_item_open":
            break
        marker = f"{number}{token.markup} " if opening.type == "ordered_list_open" else "- "
        lines, close = _blocks(stream, "list_item_close", max(width - len(marker), NARROWEST), wrap)
        hang = " " * len(marker)
        lines = [(hang + line if line else "") for line in lines] or [hang]
        items.append([(marker + lines[0][len(marker) :]).rstrip(), *lines[1:]])
        tight = tight and close
        number += 1
    joined: list[str] = []
    for item in items:
        if joined and not tight:
            joined.append("")
        joined += item
    return joined


def _inline(tokens: Iterable[Token]) -> str:
    """Return a run of text; hard breaks as newlines."""
    pieces: list[str] = []
    links: list[tuple[int, str]] = []
    for token in tokens:
        if token.type == "softbreak":
            pieces.append(" ")
        elif token.type == "hardbreak":
            pieces.append("\n")
        elif token.type == "link_open":
            links.append((len(pieces), str(token.attrs.get("href", ""))))
        elif token.type == "link_close":
            start, target = links.pop()
            shown = "".join(pieces[start:])
            if shown.strip() and normalizeLink(unmarked(shown).strip()) not in (
                target,
                target.removeprefix("mailto:"),
            ):
                pieces.append(f" <{target}>")
            elif not shown.strip():
                pieces.append(target)
        else:
            pieces.append(token.content)
    return "".join(pieces)


def wrapped(text: str, width: int) -> list[str]:
    """Return lines of at most ``width`` characters, broken at plain spaces; a longer word stands alone."""
    lines: list[str] = []
    for part in text.split("\n") if "\n" in text else (text,):
        if "  " in part or part[:1] == " " or part[-1:] == " ":
            part = " ".join(filter(None, part.split(" ")))
        start, end = 0, len(part)
        while end - start > width:
            cut = part.rfind(" ", start, start + width + 1)
            if cut < 0:
                cut = part.find(" ", start + width)
                if cut < 0:
                    break
            lines.append(part[start:cut])
            start = cut + 1
        lines.append(part[start:])
    return lines
