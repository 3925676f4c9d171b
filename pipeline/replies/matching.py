"""Which letter does a mail answer? One table of evidence, with reasons that can be read.

    evidence                                                       points
    the address it came to holds the letter's token                   100   ties
    Original-Envelope-Id is the letter's token or Message-ID          100   ties
    the message it returns has the letter's Message-ID                100   ties
    In-Reply-To names the letter                                       90
    References names the letter, no later letter of ours               80
    References names the letter, and a later one of ours               10
    it repeats a passage of the letter                              20-60
    From is the address the letter went to                             40
    From is in the domain the letter went to                           20
    the letter's signatory passed it on, or it came to the signatory   30
    the subject is the letter's                                        25
    written within 90 days of the letter                                5

Points are added; the best letter is the answer's if it has `ENOUGH` of them and `AHEAD` more than the next.
Otherwise nobody is guessed: `Match.letter` is None, and the candidates stand in the holding list. A score
is shown as 100 at most.

A notification (`NOTIFICATIONS`) acts on a letter only when it is tied to it: the other rows never match one.
A token counts only when its HMAC is right and the letter exists; one that was made with another key is no
evidence at all. A mail written more than a day before a letter was sent does not answer it, however much it
looks so, unless it names it: then its clock is wrong. What somebody forwarded is weighed like the rest and
stays marked as his word (`Match.forwarded_by`).

RFC 5322 3.6.4 (a reply names what it answers; a relay that rewrites our Message-ID leaves the one that we
put into References too), RFC 3464 2.2.1, RFC 5233 (a token in a subaddress).

Limits: 30 letters are weighed for weak evidence and the texts of 20 are compared, the latest first; 50 tokens
are tried. Domains that anybody can have an address in do not count as an office's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from pipeline.mail.identity import read_token
from pipeline.replies.kinds import Kind
from pipeline.replies.passage import likeness
from pipeline.replies.subject import topic
from pipeline.replies.traces import Traces

ENOUGH = 60  # points
AHEAD = 15
MOST = 100
TIED, NAMED, REFERRED, REFERRED_EARLIER = 100, 90, 80, 10
QUOTED_MOST, QUOTED_LEAST = 60, 20
FROM_ADDRESS, FROM_DOMAIN, SIGNED, SUBJECT, IN_TIME = 40, 20, 30, 25, 5

SHARED_LIKENESS = 0.2  # of a passage's words; less is chance
WINDOW = timedelta(days=90)
TOLERANCE = timedelta(days=1)
SHORTEST_TOPIC = 4  # characters
WEIGHED = 30  # letters
COMPARED = 20  # letters' texts
MOST_TOKENS = 50
MOST_CANDIDATES = 10

NOTIFICATIONS = frozenset(  # written by machines about a letter; anybody can write one
    {Kind.BOUNCE, Kind.DELAY, Kind.DELIVERED, Kind.COMPLAINT, Kind.RECEIPT, Kind.REPORT}
)
PUBLIC_DOMAINS = frozenset(
    {
        "gmail.com",
        "googlemail.com",
        "outlook.com",
        "hotmail.com",
        "live.com",
        "msn.com",
        "yahoo.com",
        "aol.com",
    }
    | {"icloud.com", "me.com", "mac.com", "gmx.de", "gmx.net", "web.de", "t-online.de", "freenet.de"}
    | {"mail.ru", "bk.ru", "list.ru", "inbox.ru", "yandex.ru", "yandex.com", "ya.ru", "rambler.ru", "ukr.net"}
    | {
        "i.ua",
        "proton.me",
        "protonmail.com",
        "tutanota.com",
        "tuta.com",
        "orange.fr",
        "free.fr",
        "wanadoo.fr",
    }
    | {"laposte.net", "libero.it", "virgilio.it", "wp.pl", "o2.pl", "onet.pl", "interia.pl", "seznam.cz"}
    | {"uol.com.br", "bol.com.br", "qq.com", "163.com", "126.com", "naver.com", "daum.net", "yahoo.co.jp"}
    | {"hotmail.fr", "hotmail.es", "yahoo.fr", "yahoo.es", "yahoo.de", "yahoo.co.uk", "abv.bg", "tut.by"}
)

_TOKEN = re.compile(r"(?<![a-z2-7])[a-z2-7]{17,29}(?![a-z2-7])")


@dataclass(frozen=True, slots=True)
class SentLetter:
    """What the matching knows of a letter of ours."""

    number: int
    message_id: str  # without angle brackets
    recipient: str  # address
    subject: str
    sent: datetime | None  # when the relay accepted it; None: not yet, or in doubt
    signatory: str = ""  # address key; "" where the campaign wrote in its own name


class Letters(Protocol):
    """Look-ups in what was written. All lists are latest first."""

    def by_number(self, number: int) -> SentLetter | None:
        """Return the letter with this number."""

    def by_message_id(self, message_id: str) -> SentLetter | None:
        """Return the letter with this Message-ID (without angle brackets)."""

    def by_recipient(self, address: str) -> Sequence[SentLetter]:
        """Return the letters to an address (any case), or to a domain, written "@example.org"."""

    def by_topic(self, topic: str) -> Sequence[SentLetter]:
        """Return the letters whose subject is about this, as `pipeline.replies.subject.topic` gives it."""

    def text_of(self, letter: SentLetter) -> str:
        """Return the plain text of a letter; "" where it is not kept."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A letter that a mail may answer."""

    letter: int
    score: int  # 0 to 100
    why: tuple[str, ...]  # sentences
    tied: bool = False  # by token, envelope id or returned Message-ID
    named: bool = False  # tied, or its Message-ID stands in In-Reply-To or References: nobody can guess that


@dataclass(frozen=True, slots=True)
class Match:
    """The letter that a mail answers, or None and who it may be."""

    letter: int | None
    score: int = 0
    why: tuple[str, ...] = ()
    tied: bool = False
    candidates: tuple[Candidate, ...] = ()  # best first; the holding list where `letter` is None
    forwarded_by: str = ""
    named: bool = False  # as in `Candidate`: the letter was surely received


@dataclass(slots=True)
class _Weighed:
    """A letter on the scales."""

    letter: SentLetter
    points: int = 0
    why: list[str] = field(default_factory=list)
    tied: bool = False
    named: bool = False

    def add(self, points: int, why: str, *, tied: bool = False, named: bool = False) -> None:
        if why not in self.why:
            self.points += points
            self.why.append(why)
            self.tied = self.tied or tied
            self.named = self.named or tied or named

    @property
    def candidate(self) -> Candidate:
        return Candidate(
            self.letter.number, min(self.points, MOST), tuple(self.why), self.tied, named=self.named
        )


_Scales = Callable[[SentLetter], _Weighed]


def match(found: Traces, letters: Letters, *, key: bytes, notification: bool) -> Match:
    """Return the letter that a mail answers.

    Args:
        found: what the mail carries.
        letters: what was written.
        key: the key of the letters' tokens, at least 16 octets.
        notification: its kind is one of `NOTIFICATIONS`: only what is tied matches.
    """
    scales: dict[int, _Weighed] = {}

    def on_scales(letter: SentLetter) -> _Weighed:
        return scales.setdefault(letter.number, _Weighed(letter))

    _weigh_ties(found, letters, key, on_scales)
    if not notification:
        _weigh_names(found, letters, on_scales)
        _weigh_likeness(found, letters, scales)
    return _judged(scales.values(), found)


def _weigh_ties(found: Traces, letters: Letters, key: bytes, on_scales: _Scales) -> None:
    for number in _numbers(found.came_to, key):
        if carried := letters.by_number(number):
            on_scales(carried).add(TIED, "the address it came to holds the letter's token", tied=True)
    for envelope_id in found.envelope_ids:
        numbers = _numbers([envelope_id], key)
        written = letters.by_number(numbers[0]) if numbers else letters.by_message_id(envelope_id.strip("<>"))
        if written:
            on_scales(written).add(TIED, "its Original-Envelope-Id is the letter's", tied=True)
    returned = [letter for one in found.returned_ids if (letter := letters.by_message_id(one))]
    if not returned:  # the last of ours: a follow-up names the letters before it too
        named = [letter for one in found.returned_references if (letter := letters.by_message_id(one))]
        returned = named[-1:]
    for letter in returned:
        on_scales(letter).add(TIED, "the message it returns has the letter's Message-ID", tied=True)


def _weigh_names(found: Traces, letters: Letters, on_scales: _Scales) -> None:
    for message_id in found.in_reply_to:
        if letter := letters.by_message_id(message_id):
            on_scales(letter).add(NAMED, "In-Reply-To names the letter", named=True)
    last = True
    for message_id in reversed(found.references):
        if letter := letters.by_message_id(message_id):
            if last:
                on_scales(letter).add(REFERRED, "References names the letter", named=True)
            elif "References names the letter" not in on_scales(letter).why:
                on_scales(letter).add(
                    REFERRED_EARLIER, "References names the letter, and a later one of ours"
                )
            last = False


def _weigh_likeness(found: Traces, letters: Letters, scales: dict[int, _Weighed]) -> None:
    """Add what is weak by itself: from whom, about what, repeating what, and when."""
    wide = _wide(found, letters)
    for letter in wide:
        scales.setdefault(letter.number, _Weighed(letter))
    author = found.author.lower()
    signed = {one.lower() for one in (found.forwarded_by, *found.came_to) if one}
    for weighed in scales.values():
        letter = weighed.letter
        recipient = letter.recipient.lower()
        if author and author == recipient:
            weighed.add(FROM_ADDRESS, "From is the address the letter went to")
        elif author and _domain(author) == _domain(recipient) and _domain(author) not in PUBLIC_DOMAINS:
            weighed.add(FROM_DOMAIN, "From is in the domain the letter went to")
        if letter.signatory and letter.signatory in signed:
            weighed.add(SIGNED, "the letter's signatory passed it on, or had it")
        if len(found.topic) >= SHORTEST_TOPIC and found.topic == topic(letter.subject):
            weighed.add(SUBJECT, "the subject is the letter's")
    _weigh_passages(found, letters, scales)
    for number, weighed in list(scales.items()):
        early = _too_early(found, weighed.letter)
        if early and not weighed.named:
            del scales[number]
        elif early:
            weighed.add(0, "it is dated before the letter: a wrong clock")
        elif weighed.why and _in_time(found, weighed.letter):
            weighed.add(IN_TIME, "it was written within 90 days of the letter")


def _weigh_passages(found: Traces, letters: Letters, scales: dict[int, _Weighed]) -> None:
    if not found.quoted:
        return
    best = sorted(scales.values(), key=lambda weighed: -weighed.points)[:COMPARED]
    for weighed in best:
        alike = likeness(found.quoted, letters.text_of(weighed.letter))
        if alike >= SHARED_LIKENESS:
            points = QUOTED_LEAST + round((QUOTED_MOST - QUOTED_LEAST) * alike)
            weighed.add(points, f"it repeats a passage of the letter ({alike:.0%} of it)")


def _wide(found: Traces, letters: Letters) -> list[SentLetter]:
    """Return the letters that weak evidence may speak for."""
    out: list[SentLetter] = []
    if found.author:
        out += letters.by_recipient(found.author)
    if len(found.topic) >= SHORTEST_TOPIC:
        out += letters.by_topic(found.topic)
    domain = _domain(found.author.lower())
    if domain and domain not in PUBLIC_DOMAINS:
        out += letters.by_recipient(f"@{domain}")
    for address in found.came_to[:5] if found.forwarded_by else ():
        out += letters.by_recipient(address)
    unique = {letter.number: letter for letter in out if letter.sent is not None}
    return list(unique.values())[:WEIGHED]


def _judged(weighed: Iterable[_Weighed], found: Traces) -> Match:
    ranked = sorted((one for one in weighed if one.why), key=lambda one: (-one.points, -one.letter.number))
    candidates = tuple(one.candidate for one in ranked[:MOST_CANDIDATES])
    if not ranked or ranked[0].points < ENOUGH:
        return Match(None, candidates=candidates, forwarded_by=found.forwarded_by)
    if len(ranked) > 1 and ranked[0].points - ranked[1].points < AHEAD:
        return Match(None, candidates=candidates, forwarded_by=found.forwarded_by)
    best = candidates[0]
    return Match(
        best.letter, best.score, best.why, best.tied, candidates, found.forwarded_by, named=best.named
    )


def _numbers(texts: Iterable[str], key: bytes) -> list[int]:
    """Return the numbers of the letters whose tokens stand in addresses or envelope ids."""
    out: dict[int, None] = {}
    tried = 0
    for text in texts:
        for token in _TOKEN.findall(text.rpartition("@")[0].lower() or text.lower()):
            tried += 1
            if tried > MOST_TOKENS:
                return list(out)
            if (number := read_token(token, key)) is not None:
                out[number] = None
    return list(out)


def _domain(address: str) -> str:
    return address.rpartition("@")[2]


def _too_early(found: Traces, letter: SentLetter) -> bool:
    return found.written is not None and letter.sent is not None and found.written < letter.sent - TOLERANCE


def _in_time(found: Traces, letter: SentLetter) -> bool:
    return (
        found.written is not None
        and letter.sent is not None
        and letter.sent - TOLERANCE <= found.written <= letter.sent + WINDOW
    )
