"""A reply that somebody passed on: the inner mail, unwrapped.

An official answers the signatory, the signatory forwards the answer to the organisers: the words, the author
and the date that count are the inner ones. `unwrap` finds them
    in a message/rfc822 part or an attached .eml file (not in a notification: its returned part is ours), and
    in a forwarded block: "---------- Forwarded message ---------" (Gmail), "Begin forwarded message:"
    (Apple), "-------- Original Message --------" (Thunderbird), "-------- Пересылаемое сообщение --------"
    (Yandex, Mail.ru), or, under a subject with a forward's mark, a bare block of fields (Outlook) or a line
    that says who wrote when.

Everything in a `Forwarded` is what the forwarder's mail claims: it is unverified by nature, and ``by`` says
whose word it is. RFC 5322 3.6.6 (resending is another thing), RFC 2046 5.2.1 (message/rfc822).

Limits: 10 inner mails, nested 3 deep. A date without a zone is taken in the zone of the forwarder's mail.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from pipeline.mail.fields import addresses
from pipeline.mail.mime import Mail, Part, read_mail
from pipeline.replies.dates import header_date, written_date
from pipeline.replies.layout import Line
from pipeline.replies.quotation import attribution_end, field_block, field_name, field_value, is_forwarded_end
from pipeline.replies.quotation import separator as separator_of
from pipeline.replies.subject import is_forward
from pipeline.replies.text import ReplyText, new_text, reply_of, text_lines

MOST_INNER = 10
DEEPEST_FORWARD = 3
LARGEST_EML = 20 * 1024 * 1024  # octets

_MAILTO = re.compile(r"\[?<?mailto:([^\s<>\[\]]{1,320})[>\]]{0,2}", re.IGNORECASE)
_NAMED = re.compile(r"(?:[\"«„“]([^\"«»“”<>]{1,100})[\"»“”]|(?:^|[,:])\s?([^\W\d_][^,:<>\d\"]{0,99}))\s?[<(]")
_BARE = re.compile(r"[^\s<>()\[\]:;,\"@]{1,64}@[^\s<>()\[\]:;,\"@]{1,255}")


@dataclass(frozen=True, slots=True)
class Forwarded:
    """An inner mail as its forwarder shows it: unverified."""

    name: str  # of the inner author; "" where none is given
    address: str  # of the inner author; "" where none is given
    date: datetime | None
    subject: str
    to: tuple[str, ...]  # addresses
    text: ReplyText
    by: tuple[str, str]  # name and address of who forwarded it
    mail: Mail | None = None  # the inner mail itself, where it was attached whole


def unwrap(mail: Mail, ours: Collection[str] = ()) -> tuple[Forwarded, ...]:
    """Return the mails that were forwarded in this one, outer before inner; () where there are none.

    Args:
        mail: as it came.
        ours: addresses that we write from, lower case: an inner mail from one of them is our own letter,
            quoted or sent back, and no reply.
    """
    if mail.unreadable or mail.root.type == "multipart/report":
        return ()
    found = [*_attached(mail, depth=0), *_blocks(mail)]
    return tuple(inner for inner in found if inner.address.lower() not in ours)[:MOST_INNER]


def _attached(mail: Mail, *, depth: int) -> list[Forwarded]:
    out: list[Forwarded] = []
    for part in mail.walk(into_messages=False):
        inner = _inner_mail(part)
        if inner is None or inner.unreadable:
            continue
        name, address = inner.author
        out.append(
            Forwarded(
                name,
                address,
                header_date(inner.headers.get("Date")),
                inner.subject,
                tuple(to for _, to in inner.headers.addresses("To")),
                new_text(inner),
                mail.author,
                inner,
            )
        )
        if depth + 1 < DEEPEST_FORWARD and len(out) < MOST_INNER:
            out += _attached(inner, depth=depth + 1)
    return out


def _inner_mail(part: Part) -> Mail | None:
    if part.is_message:
        return Mail(part.children[0].headers, part.children[0], len(part.content))
    named = part.filename.lower().endswith(".eml") and not part.is_multipart
    if named and len(part.content) <= LARGEST_EML:
        inner = read_mail(part.content)
        return inner if "From" in inner.headers else None
    return None


def _blocks(mail: Mail) -> list[Forwarded]:
    """Return the forwarded blocks in the text of a mail."""
    marked = is_forward(mail.subject)
    lines = text_lines(mail)
    date = header_date(mail.headers.get("Date"))
    zone = date.tzinfo if date is not None and date.tzinfo is not None else UTC
    out: list[Forwarded] = []
    for _ in range(DEEPEST_FORWARD):
        start = _block_start(lines, marked=marked)
        if start is None:
            break
        inner, lines = _block(lines, start, mail.author, zone)
        if inner is None or inner.address.lower() == mail.author[1].lower():
            break
        out.append(inner)
        marked = is_forward(inner.subject)
    return out


def _block_start(lines: Sequence[Line], *, marked: bool) -> int | None:
    """Return the line after the separator, or the first of the fields where there is none."""
    bare: int | None = None
    names = [field_name(line.text) for line in lines]
    for at, line in enumerate(lines):
        if not line.text.strip():
            continue
        kind = separator_of(line.text)
        if kind == "forwarded" or (kind and marked):
            return at + 1
        if (
            marked
            and bare is None
            and (
                (names[at] == "from" and field_block(names, lines, at))
                or attribution_end(lines, at) is not None
            )
        ):
            bare = at
    return bare


def _block(
    lines: Sequence[Line], start: int, by: tuple[str, str], zone: tzinfo
) -> tuple[Forwarded | None, list[Line]]:
    """Read the forwarded mail that begins at ``start``; return it and the lines of its body."""
    first = next((at for at in range(start, len(lines)) if lines[at].text.strip()), None)
    if first is None:
        return None, []
    depth = lines[first].depth
    stop = next((at for at in range(first, len(lines)) if _ends(lines[at], depth)), len(lines))
    inner = [Line(line.text, max(0, line.depth - depth), line.mark) for line in lines[first:stop]]
    names = [field_name(line.text) for line in inner]
    end = field_block(names, inner, 0)
    if end:
        fields = _fields(inner[:end], names[:end])
    elif (above := attribution_end(inner, 0)) is not None:
        end = above
        words = " ".join(line.text for line in inner[:end])
        fields = {"from": words, "sent": words}
    else:
        return None, []
    body = inner[end:]
    name, address = _mailbox(
        fields.get("from", ""), whole="sent" in fields and fields["sent"] == fields["from"]
    )
    return (
        Forwarded(
            name,
            address,
            written_date(fields.get("sent", ""), zone) or header_date(fields.get("sent", "")),
            fields.get("subject", ""),
            tuple(_BARE.findall(_MAILTO.sub(r" \1 ", fields.get("to", "")[:4_000]))),
            reply_of(body, forward=is_forward(fields.get("subject", ""))),
            by,
        ),
        body,
    )


def _ends(line: Line, depth: int) -> bool:
    return (line.depth < depth and bool(line.text.strip())) or is_forwarded_end(line.text)


def _fields(lines: Sequence[Line], names: Sequence[str]) -> dict[str, str]:
    """Return the values of a block of fields, wrapped ones put together; the first of each name counts."""
    out: dict[str, str] = {}
    last = ""
    for line, name in zip(lines, names, strict=True):
        if name:
            last = name if name not in out else ""
            if last:
                out[last] = field_value(line.text)
        elif last and line.text.strip():
            out[last] += f" {line.text.strip()}"
    return out


def _mailbox(text: str, *, whole: bool) -> tuple[str, str]:
    """Return name and address in a From field; ``whole``: in a line that says who wrote when."""
    text = _MAILTO.sub(r"<\1>", text[:1_000]).replace("[", "<").replace("]", ">")
    if whole:
        box, named = _BARE.search(text), _NAMED.search(text)
        return (named[1] or named[2]).strip() if named else "", box[0] if box else ""
    boxes = addresses(text.encode("utf-8", "surrogateescape"))
    if boxes:
        name, address = boxes[0]
        return ("" if name == address else name.strip(" '\"*"), address)
    return text.strip(" '\"*<>"), ""
