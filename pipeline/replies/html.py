"""The lines of an HTML mail: what nh3 leaves of it, rendered as text, with the quotations marked.

nh3 (ammonia, html5ever) reads the foreign HTML as a browser would and gives back well-formed elements of a
short list, without scripts, styles, comments or foreign content; from that the lines are made here. Nothing
of the HTML itself is ever shown.

Mail programs are known by their markup, which does not depend on a language: `blockquote type=cite` (Apple,
Thunderbird, Proton), `gmail_quote`, `gmail_attr`, `moz-cite-prefix`, `yahoo_quoted`, `protonmail_quote`,
`divRplyFwdMsg` and the bordered block of Outlook, `mail-editor-reference-message-container`, `name=quote`
(GMX, Web.de), `isReplyContent` (NetEase), `border-left` blockquotes (Mail.ru, Zimbra, Roundcube), Zoho and
more; signatures by `gmail_signature`, `moz-signature`, `AppleMailSignature`, `ms-outlook-mobile-signature`.

HTML Living Standard 13 (parsing), 15.3 (how elements are shown).

Limits: 200,000 characters are read (`data:` pictures not counted), 20,000 tags and character references,
8,000 characters of one tag; elements nested deeper than 100 are opened: a browser's parser takes quadratic
time for a tree, a tag or a run of text without bounds (250 kB of `<div>` 5 seconds). Tables become lines
with spaces between their cells. Pictures leave no trace.
"""

from __future__ import annotations

import re
from html import unescape
from itertools import islice
from typing import NamedTuple

from pipeline.replies.layout import DEEPEST, LINES_LIMIT, Line, Mark

HTML_LIMIT = 200_000  # characters, without pictures written into them
MARKUP_LIMIT = 20_000  # tags and character references
NESTED = 100
TAG_LIMIT = 8_000  # characters of one tag

_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "body", "center", "dd", "details", "div", "dl", "dt"}
    | {"fieldset", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "html"}
    | {"legend", "li", "main", "nav", "ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot"}
    | {"thead", "tr", "ul"}
)
_SPACED = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "ul", "ol", "dl"})
_INLINE = frozenset({"a", "span", "td", "th", "caption", "b", "i", "u", "font"})
_VOID = frozenset({"br", "hr", "wbr"})
_TAGS = frozenset(_BLOCKS | _INLINE | _VOID)
_KEPT = frozenset({"class", "id", "type", "style", "name", "title"})
_DROPPED = {"script", "style", "title", "template", "svg", "math", "object", "applet", "noscript", "select"}

_OPENING = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:]{0,30})")
_SELF_CLOSED = frozenset(  # void, or closed by what follows
    {"area", "base", "basefont", "bgsound", "br", "col", "embed", "frame", "hr", "img", "input", "keygen"}
    | {"link", "meta", "param", "source", "track", "wbr", "p", "li", "td", "th", "tr", "dd", "dt", "option"}
)
_PICTURE = re.compile(r"data:image/[a-z+.-]{1,20};base64,[A-Za-z0-9+/=%\s]{100,}")
_LONG_TAG = re.compile(rf"(<[a-zA-Z][^<>]{{{TAG_LIMIT - 1}}})[^<>]+")
_MARKUP = re.compile(r"[<&]")
_TOKEN = re.compile(r'<(/?)([a-z0-9]+)((?: [a-z-]+="[^"]*")*) ?/?>|([^<]+)|<')
_ATTRIBUTE = re.compile(r'([a-z-]+)="([^"]*)"')
_SPACES = re.compile(r"[ \t\n\r\f]+")

_QUOTING_CLASS = re.compile(
    r"(?:^|\s)(?:ydp\w{1,20})?(?:x_)*(?:yahoo_quoted|tutanota_quote|zmail_extra|wlmailquote|mailquote|"
    r"quoted-mail|reply-quote|h5|OutlookMessageHeader_|mail_quote_container|cfquote)(?:\s|$)",
    re.IGNORECASE,
)
_QUOTING_ID = re.compile(
    r"(?:x_)*(?:yahoo_quoted\w*|isReplyContent|isForwardContent|mail-editor-reference-message-container|"
    r"replyBlockquote|divTaggedContent|mailContentContainerQuote|reply139content|ntes-pcmail-quote)",
    re.IGNORECASE,
)
_BLOCKQUOTE_CLASS = re.compile(
    r"(?:^|\s)(?:gmail_quote|protonmail_quote|mailru-blockquote|cite|ms-outlook-mobile-reference|"
    r"moz-quote|iwcQuote|quelltext|tutanota_quote|type-cite|wmi-quote|front-blockquote)",
    re.IGNORECASE,
)
_ATTRIBUTION_CLASS = re.compile(r"(?:^|\s)(?:gmail_attr|moz-cite-prefix|protonmail_attr|zmail_attr)(?:\s|$)")
_CUT = re.compile(r"(?:x_)*divRplyFwdMsg|OutlookMessageHeader", re.IGNORECASE)
_OUTLOOK_BLOCK = re.compile(
    r"border:\s*none;\s*border-top:\s*solid\s+(?:#?(?:E1E1E1|B5C4DF|b5c4df|e1e1e1)|windowtext)\s+1",
    re.IGNORECASE,
)
_SIGNATURE = re.compile(
    r"(?:^|\s)(?:gmail_signature(?:_prefix)?|moz-signature|protonmail_signature_block\S{0,20}|mail_signature|"
    r"AppleMailSignature\S{0,40}|ms-outlook-mobile-signature|ymail_android_signature|signature|"
    r"lightSignature|x_Signature)(?:\s|$)",
    re.IGNORECASE,
)
_HIDDEN = re.compile(
    r"display\s*:\s*none|mso-hide\s*:\s*all|font-size\s*:\s*0(?:px|pt)?\s*(?:;|$)", re.IGNORECASE
)
_PREFORMATTED = re.compile(r"white-space\s*:\s*(?:pre|break-spaces)", re.IGNORECASE)


def html_lines(html: str) -> tuple[list[Line], bool]:
    """Return the lines of an HTML mail with their quotations, and whether some of it was left off."""
    html = _PICTURE.sub("", html)
    read = _readable(html)
    writer = _Writer()
    for slash, tag, attributes, text in _TOKEN.findall(cleaned(read)):
        if text:
            writer.text(text)
        elif slash:
            writer.close(tag)
        elif tag:
            writer.open(tag, dict(_ATTRIBUTE.findall(attributes)))
    lines = writer.finish()
    return lines[:LINES_LIMIT], len(read) < len(html) or len(lines) > LINES_LIMIT


def _readable(html: str) -> str:
    """Return as much of the HTML as is read."""
    html = html[:HTML_LIMIT]
    if html.count("<") + html.count("&") > MARKUP_LIMIT:
        beyond = next(islice(_MARKUP.finditer(html), MARKUP_LIMIT, None), None)
        return html[: beyond.start()] if beyond else html
    return html


def cleaned(html: str) -> str:
    """Return what nh3 leaves of foreign HTML: well-formed, a few elements, no script; linear work."""
    import nh3

    return nh3.clean(
        _shallow(_LONG_TAG.sub(r"\1", html.replace("\0", ""))),
        tags=set(_TAGS),
        clean_content_tags=set(_DROPPED),
        attributes={"*": set(_KEPT), "a": {"href"}},
        url_schemes={"http", "https"},
        link_rel=None,
        strip_comments=True,
    )


def _shallow(html: str) -> str:
    """Return the HTML with the tags beyond `NESTED` levels taken out; what they hold stays."""
    depth = 0
    out: list[str] = []
    at = 0
    for found in _OPENING.finditer(html):
        if found[2].lower() in _SELF_CLOSED:
            continue
        if found[1]:
            depth = max(0, depth - 1)
            over = depth >= NESTED
        else:
            depth += 1
            over = depth > NESTED
        if over:
            out.append(html[at : found.start()])
            out.append("<wbr ")
            at = found.end()
    out.append(html[at:])
    return "".join(out)


class _Element(NamedTuple):
    """An open element and what it does to the lines in it."""

    tag: str
    depth: int
    mark: Mark
    hidden: bool
    preformatted: bool
    href: str = ""
    tight: bool = False  # a paragraph of Outlook, without space round it


_OUTSIDE = _Element("", 0, Mark.NONE, hidden=False, preformatted=False)


class _Writer:
    """Takes elements and text in order, and makes lines of them."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.words: list[str] = []
        self.stack: list[_Element] = []
        self.gap = False  # an empty line is due before the next words
        self.counters: list[int] = []
        self.link_text: list[str] = []

    @property
    def inside(self) -> _Element:
        return self.stack[-1] if self.stack else _OUTSIDE

    def open(self, tag: str, attributes: dict[str, str]) -> None:
        if tag in _VOID:
            self._void(tag)
            return
        if tag in _BLOCKS:
            self._end_line()
            inner_list = tag in {"ol", "ul"} and bool(self.counters)
            if tag in _SPACED and not inner_list and "msonormal" not in attributes.get("class", "").lower():
                self._blank()
        elif tag in {"td", "th"} and self.words:
            self.words.append(" ")
        if tag in {"ol", "ul"}:
            self.counters.append(1 if tag == "ol" else 0)
        self.stack.append(_entered(tag, attributes, self.inside))
        if tag == "li" and not self.inside.hidden:
            self.words.append(self._bullet())
        elif tag == "a":
            self.link_text = []
        if self.inside.mark is Mark.CUT and _above(self.stack).mark is not Mark.CUT:
            self._end_line()

    def close(self, tag: str) -> None:
        if not self.stack or self.stack[-1].tag != tag:
            return
        element = self.stack[-1]
        if tag == "a" and element.href and not element.hidden:
            self._link(element.href)
        if tag in _BLOCKS:
            self._end_line()
            inner_list = tag in {"ol", "ul"} and len(self.counters) > 1
            if tag in _SPACED and not inner_list and not element.tight:
                self._blank()
        elif element.mark is not _above(self.stack).mark:
            self._end_line()
        if tag in {"ol", "ul"} and self.counters:
            self.counters.pop()
        self.stack.pop()

    def text(self, text: str) -> None:
        if self.inside.hidden:
            return
        text = unescape(text).replace("\r", "")
        if self.inside.preformatted:
            first, *rest = text.split("\n")
            self.words.append(first)
            for line in rest:
                self._end_line(always=True)
                self.words.append(line)
        else:
            text = _SPACES.sub(" ", text)
            if not self.words or self.words[-1].endswith(" "):
                text = text.lstrip(" ")
            if text:
                self.words.append(text)
        if any(element.tag == "a" for element in self.stack[-4:]):
            self.link_text.append(text)

    def finish(self) -> list[Line]:
        self._end_line()
        return self.lines

    def _void(self, tag: str) -> None:
        if self.inside.hidden:
            return
        if tag == "br":
            self._end_line(always=True)
        elif tag == "hr":
            self._end_line()
            self.lines.append(Line("_" * 32, self.inside.depth, Mark.RULE))

    def _bullet(self) -> str:
        if not self.counters or not self.counters[-1]:
            return "- "
        self.counters[-1] += 1
        return f"{self.counters[-1] - 1}. "

    def _link(self, href: str) -> None:
        shown = "".join(self.link_text).strip()
        bare = href.split("://", 1)[-1].rstrip("/")
        if shown and bare not in shown and shown.rstrip("/") not in href:
            self.words.append(f" <{href}>")

    def _blank(self) -> None:
        self.gap = bool(self.lines)

    def _end_line(self, *, always: bool = False) -> None:
        written = "".join(self.words)
        self.words = []
        text = written.replace("\xa0", " ").rstrip(" ")
        if not text and not always and "\xa0" not in written:
            return
        inside = self.inside
        if self.gap:
            last = self.lines[-1]
            if last.text.strip():
                depth = min(last.depth, inside.depth)
                same = last.mark is inside.mark
                self.lines.append(Line("", depth, inside.mark if same else Mark.NONE))
            self.gap = False
        self.lines.append(Line(text, inside.depth, inside.mark))


def _above(stack: list[_Element]) -> _Element:
    return stack[-2] if len(stack) > 1 else _OUTSIDE


def _entered(tag: str, attributes: dict[str, str], around: _Element) -> _Element:
    """Return the element that a tag opens within another."""
    style = unescape(attributes.get("style", ""))
    names = f"{attributes.get('class', '')} {attributes.get('id', '')}"
    depth, mark = around.depth, around.mark
    if _quotes(tag, attributes, names, style):
        depth = min(depth + 1, DEEPEST)
        mark = Mark.NONE
    elif tag == "blockquote":
        mark = Mark.PERHAPS
    elif _CUT.search(names) or (tag == "div" and _OUTLOOK_BLOCK.search(style)):
        mark = Mark.CUT
    elif _ATTRIBUTION_CLASS.search(names):
        mark = Mark.ATTRIBUTION
    elif tag in {"div", "span", "p", "table", "pre"} and _SIGNATURE.search(names):
        mark = Mark.SIGNATURE
    return _Element(
        tag,
        depth,
        mark,
        hidden=around.hidden or _HIDDEN.search(style) is not None,
        preformatted=around.preformatted or tag == "pre" or _PREFORMATTED.search(style) is not None,
        href=unescape(attributes.get("href", "")) if tag == "a" else "",
        tight=tag == "p" and "msonormal" in names.lower(),
    )


def _quotes(tag: str, attributes: dict[str, str], names: str, style: str) -> bool:
    """Say whether an element is a mail program's quotation."""
    if tag == "blockquote":
        return (
            attributes.get("type", "").lower() == "cite"
            or "border-left" in style.lower()
            or _BLOCKQUOTE_CLASS.search(names) is not None
        )
    return tag in {"div", "section", "table"} and (
        _QUOTING_CLASS.search(names) is not None
        or _QUOTING_ID.fullmatch(attributes.get("id", "")) is not None
        or (attributes.get("name", "") == "quote" and tag == "div")
    )
