"""Automatic answers: is it one, is the office away or has it only confirmed receipt, until when, which case?

Signs in the header decide first (`pipeline.mail.auto`). Words alone decide only where no person would put
them: in front of the subject ("Automatic reply: ..."), as a sentence of the mail about itself ("This is an
automated message", not quoted, not forwarded), as the subject of an answer that is not ours with "Re:" in
front, or as a subject that speaks of the writer by name ("Ann Example is out of the office", as IBM Notes has
it). Everything else a person may have written, and it needs a sign in the header to agree. Where that is a
weak one, many words are a person's, perhaps: ministries answer from addresses that take no answers, and begin
with "Thank you for your letter" (`AutoAnswer.long`).

RFC 3834, RFC 5230. The words of each language stand in `rules/languages/`.

Limits: a date is read where the language's own words lead to it ("until", "back on"); of 3/4/2026 in English
nobody knows day and month, and none is read. A date without a year is the first such day from the mail's own
date on, at most a year ahead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

from pipeline.mail.auto import AutoSigns
from pipeline.mail.mime import Mail
from pipeline.replies.dates import header_date
from pipeline.replies.kinds import Form
from pipeline.replies.phrase import find
from pipeline.replies.rulebook import Language, all_phrases, languages
from pipeline.replies.said import own_text
from pipeline.replies.subject import is_answer, is_forward
from pipeline.replies.wording import phrases, plain

LOOK = 6_000  # characters of the text
_ISO = re.compile(r"(20\d\d)\s?[-./]\s?(\d{1,2})\s?[-./]\s?(\d{1,2})")
_ASIAN = re.compile(r"(?:(20\d\d)\s?[年년]\s?)?(\d{1,2})\s?[月월]\s?(\d{1,2})\s?[日号號일]")
_NUMBERS = re.compile(r"(?<!\d)(\d{1,2})\s?[./-]\s?(\d{1,2})\s?[./-]?\s?(20\d\d|\d\d)?(?!\d)")
_DAY_NAME = re.compile(
    r"(?<!\d)(\d{1,2})(?:st|nd|rd|th|er|º|ª|\.|-го|-е)?\.?\s{1,3}(?:de |of |d'|da )?([^\W\d_]{3,14})"
    r"\.?,?(?:\s{1,3}(?:de |del )?(20\d\d))?"
)
_NAME_DAY = re.compile(r"([^\W\d_]{3,14})\.?\s{1,3}(\d{1,2})(?:st|nd|rd|th)?(?!\d)(?:,?\s{1,3}(20\d\d))?")
_CASE = re.compile(r"[\s:：.#№\-–(\[（「\"“«]{0,8}((?=[^\s]{0,20}\d)[\w][\w/\-.]{1,38}[\w])", re.UNICODE)
_TAGGED = re.compile(
    r"[\[(]\s?(?:[\w -]{0,24}[#:№]\s?#?)([A-Z0-9][\w/.-]{2,30})\s?[\])]|##-?\s?([\w-]{3,30})\s?-?##"
)
MOST_DAYS_AHEAD = 366
MOST_DECLARED = 3_000  # characters of a mail that may call itself automatic
MOST_CONFIRMED = 600  # characters of an answer that is automatic for weak signs and its words alone
FEWEST_NAMES = 2  # words of an author's name in the subject
MOST_BEHIND_NAME = 12  # words of that subject behind it
_WORDS = re.compile(r"\w+")
_BEHIND = frozenset({"fi", "hu", "ja", "ko", "tr"})  # languages that say "until" behind the date


@dataclass(frozen=True, slots=True)
class AutoAnswer:
    """An automatic answer; ``why`` says by which sign.

    One that is ``long`` and not ``sure`` (of weak signs only) a person may have written.
    """

    why: tuple[str, ...]
    form: Form | None
    case: str
    returns: date | None
    sure: bool = True
    long: bool = False  # and neither out of office nor called automatic by its own words


def automatic_answer(mail: Mail, text: str, signs: AutoSigns, *, system: bool = False) -> AutoAnswer | None:
    """Return what automatic answer this mail is, None where a person may have written it.

    Args:
        mail: the mail.
        text: its own text, without what it quotes.
        signs: what its header says.
        system: a mail system wrote it, and all of those call their mail automatic.
    """
    subject, head = mail.subject, text[:LOOK]
    put_in_front = not is_answer(subject) and _leads(all_phrases("certain_subjects"), subject)
    why = list(signs.certain)
    if put_in_front:
        why.append(f'a program put "{put_in_front}" in front of the subject')
    form, word = _form(subject, head)
    if not why and not signs.desk and not system:  # a clerk's words may stand above a desk's footer
        why.extend(_says_so(mail, text, form))
    sure = bool(why)
    long = len(text) > MOST_CONFIRMED and form is not Form.OUT_OF_OFFICE and not _declared(text)
    if not why and signs.weak and word and not is_answer(subject):
        why = [*signs.weak, f'the words "{word}"']
    if not why and signs.weak and word and "the null return path" in signs.weak:
        why = [*signs.weak, f'the words "{word}"']
    if not why:
        return None
    if form is None and put_in_front and _away_subject(subject):
        form = Form.OUT_OF_OFFICE
    if form:
        why.append(f"it reads like: {form.value}")
    case = _case(subject, head) if form is not Form.OUT_OF_OFFICE else ""
    returns = _returns(head, _sent(mail)) if form is Form.OUT_OF_OFFICE else None
    return AutoAnswer(tuple(why), form, case, returns, sure, long)


def _says_so(mail: Mail, text: str, form: Form | None) -> list[str]:
    """Return what else decides: it calls itself automatic, or answers with "Out of office" as subject."""
    declared = _declared(text)
    if declared and len(text) < MOST_DECLARED and not is_forward(mail.subject):
        before = text[: declared.start()].rstrip(" ")[-1:]
        if before not in tuple("\"'„“«‘>:"):
            return [f'it calls itself automatic: "{" ".join(declared[0].split())}"']
    own = _leads(all_phrases("subjects"), mail.subject)
    answers = "In-Reply-To" in mail.headers and not is_answer(mail.subject)
    if own and answers and form is Form.OUT_OF_OFFICE and _away_subject(mail.subject):
        return [f'it answers a letter under a subject of its own, "{own}"']
    if form is Form.OUT_OF_OFFICE and len(text) < MOST_DECLARED and _names_its_author(mail):
        return ["its subject says of its author by name that they are away"]
    return []


def _names_its_author(mail: Mail) -> bool:
    """Say whether the subject is the author's name and that they are away: no person writes so of oneself."""
    name = _WORDS.findall(mail.author[0].partition("/")[0].casefold())
    said = _WORDS.findall(mail.subject.casefold())
    behind = " ".join(said[len(name) :])
    return (
        len(name) >= FEWEST_NAMES
        and sorted(said[: len(name)]) == sorted(name)
        and len(said) <= len(name) + MOST_BEHIND_NAME
        and find(all_phrases("away"), behind) is not None
        and not is_answer(mail.subject)
    )


def _declared(text: str) -> re.Match[str] | None:
    return find(all_phrases("declares"), text[:MOST_DECLARED])


def said_to_be_read(mail: Mail) -> bool:
    """Say whether a mail program tells in words alone that a letter was read, or deleted unread."""
    if not _leads(all_phrases("read_subjects"), mail.subject):
        return False
    return find(all_phrases("read"), own_text(mail)[:MOST_DECLARED]) is not None


def reads_automatic(mail: Mail, text: str) -> bool:
    """Say whether subject or text hold the words of an automatic answer in any language."""
    return bool(_form(mail.subject, text[:LOOK])[1])


def _form(subject: str, head: str) -> tuple[Form | None, str]:
    """Return out of office or acknowledgement, whichever is spoken of first, and the words."""
    for text in (head, subject):
        away, received = find(all_phrases("away"), text), find(all_phrases("received"), text)
        if away and (not received or away.start() <= received.start() or _returns_words(text)):
            return Form.OUT_OF_OFFICE, " ".join(away[0].split())
        if received:
            return Form.ACKNOWLEDGEMENT, " ".join(received[0].split())
    if found := _leads(all_phrases("subjects"), subject):
        return (Form.OUT_OF_OFFICE if _away_subject(subject) else None), found
    return None, ""


def _returns_words(text: str) -> bool:
    return find(all_phrases("until"), text) is not None


def _away_subject(subject: str) -> bool:
    return find(all_phrases("away"), subject) is not None or find(_AWAY_SUBJECTS, subject) is not None


_AWAY_SUBJECTS = (
    "out of office", "out of the office", "ooo", "abwesenheit~", "abwesend", "absence~", "absent",
    "ausente", "fuera de la oficina", "fuera de oficina", "fuori ufficio", "assente", "nieobecn~",
    "отсутств~", "відсутн~",
    "fraværende", "frånvaro~", "afwezig~", "vacation", "holiday", "urlaub", "poissaolo~", "εκτός γραφείου",
    "mimo kancelář", "nepřítomn~", "ofis dışında", "休暇", "不在", "外出", "休假", "부재중", "خارج المكتب",
    "מחוץ למשרד",
)  # fmt: skip


def _leads(wanted: tuple[str, ...], subject: str) -> str:
    """Return which of ``wanted`` the subject begins with, "" where none."""
    found = find(wanted, subject)
    return found[0] if found and not subject[: found.start()].strip(" [(\"'*<") else ""


def _case(subject: str, head: str) -> str:
    """Return the number under which the office holds the letter, "" where none is given."""
    for text in (subject, head):
        at = 0
        while (found := find(all_phrases("case"), text, at)) is not None:
            number = _CASE.match(text, found.end())
            if number and not re.fullmatch(r"\d{1,2}[./]\d{1,2}[./]\d{2,4}|20\d\d", number[1]):
                return number[1].strip(".-")
            at = found.end()
    tagged = _TAGGED.search(subject)
    return (tagged[1] or tagged[2]) if tagged else ""


def _sent(mail: Mail) -> date | None:
    found = header_date(mail.headers.get("Date"))
    return found.date() if found else None


def _returns(head: str, sent: date | None) -> date | None:
    """Return the last date that words of return lead to, in the first language that has one."""
    spoken = [language for language in languages() if find(language.away, head)]
    for language in spoken or languages():
        best: date | None = None
        at = 0
        while (found := find(language.until, head, at)) is not None:
            day = _date(head[found.end() :][:60], language, sent)
            if day is None and language.tag in _BEHIND:
                day = _date(head[max(0, found.start() - 24) : found.start()], language, sent)
            if day and (best is None or day > best):
                best = day
            at = found.end()
        if best:
            return best
    return None


def _date(text: str, language: Language, sent: date | None) -> date | None:
    """Return the first date in ``text`` that can be read without doubt."""
    if found := _ISO.search(text):
        return _made(int(found[1]), int(found[2]), int(found[3]), sent)
    if found := _ASIAN.search(text):
        return _made(int(found[1] or 0), int(found[2]), int(found[3]), sent)
    for pattern, day, name in ((_DAY_NAME, 1, 2), (_NAME_DAY, 2, 1)):
        for found in pattern.finditer(text):
            if month := phrases().months.get(plain(found[name]), 0):
                return _made(int(found[3] or 0), month, int(found[day]), sent)
    if found := _NUMBERS.search(text):
        first, second, year = int(found[1]), int(found[2]), int(found[3] or 0)
        year += 2000 if 0 < year < 100 else 0
        if language.tag == "en" and first <= 12 and second <= 12 and first != second:
            return None
        return _made(year, first, second, sent) if second > 12 else _made(year, second, first, sent)
    return None


def _made(year: int, month: int, day: int, sent: date | None) -> date | None:
    try:
        if year:
            return date(year, month, day)
        if sent is None:
            return None
        made = date(sent.year, month, day)
        if made < sent - timedelta(days=31):
            made = date(sent.year + 1, month, day)
    except (ValueError, OverflowError):
        return None
    return made if (made - sent).days <= MOST_DAYS_AHEAD else None
