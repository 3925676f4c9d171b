"""What stands in a file of evidence: its entries, from what the store knows.

    README.txt                                   what this is, what it proves and what not
    about.json                                   which campaign, which letters
    decisions.jsonl                              what was decided about the campaign as a whole (all letters)
    letters/NNNNNNNNN/letter.json                state, attempts with every answer of the relay, decisions
    letters/NNNNNNNNN/replies/NNNNNNNNN.eml      a mail that came back, as it was fetched
    letters/NNNNNNNNN/replies/NNNNNNNNN.json     what was made of it, and why
    letters/NNNNNNNNN/sent.eml                   the message, octet for octet
    runs.jsonl                                   who sent, when, through which relay, under which limits
    timeline.txt                                 all of it in the order of time, in words
    chain.jsonl, head.txt                        see `archive.py`

Nothing in it depends on when, where or by whom it is written.

Limits: `sent.eml` is the message before dot-stuffing (RFC 5321 4.5.2), without the envelope.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any

from pipeline.mail.queueid import queue_id
from pipeline.problem import visible

if TYPE_CHECKING:
    from pipeline.report.archive import ArchiveWriter
    from pipeline.store.evidence import Happening, LetterFile

SCHEMA = 1
README = """\
Evidence of letters
===================

Written by `campaign export --evidence`, from the store of one campaign. All times are in UTC and are those of
the clock of the machine that sent, but for what a server or a mail says of itself.

What is in it
-------------
timeline.txt                what happened, in the order of time: read this first
letters/N/letter.json       one letter: its state, every attempt, every answer of the relay with time, code
                            (RFC 3463) and the relay's queue id where its text has one, every decision,
                            and who approved which bytes, if anybody did
letters/N/sent.eml          the message, octet for octet as it was handed to the relay; where it was not kept,
                            letter.json has its SHA-256 instead; of a letter that a supporter sent from the
                            own mailbox ("sent_by_a_supporter"), the copy that was recorded
letters/N/replies/M.eml     a mail that came back for it (a reply, a delivery notice), as it was fetched
letters/N/replies/M.json    what was made of that mail, and why
runs.jsonl                  who sent, when, through which relay
decisions.jsonl             decisions about the campaign as a whole, where all its letters are here
about.json                  which campaign, which letters
chain.jsonl, head.txt       a line for each file above, with its SHA-256 and the SHA-256 of the line before;
                            head.txt is the SHA-256 of the last line

Whether it is whole
-------------------
`campaign verify FILE.zip` says so, and names the file that was changed, added or taken away.
By hand: `tail -n 1 chain.jsonl | sha256sum` gives what head.txt says, `sha256sum` of a file what its line
says, and `head -n 1 chain.jsonl | sha256sum` what the second line has as "previous", and so on.

What it shows
-------------
- What this program recorded when the letters were sent: the message, and what the relay answered. An
  answer 250 with a queue id can be looked up in the relay's own log by whoever runs it.
- "sent" means that the relay took the letter (RFC 5321). That it arrived is said only by a delivery
  notice or a reply, where there is one.
- That nothing in this file was changed since the head was noted, if somebody else noted it.

What it does not show
---------------------
- When this file was made. No third party has stamped it. To fix a date, give the head (64 characters) to
  somebody who keeps it: print and sign it, deposit it with a notary, publish it, send it in a dated mail.
  Afterwards `campaign verify FILE.zip --head HEAD` says whether this is that file.
- That its makers were honest. Whoever holds the store can write another file, with another head.
- Who wrote a reply. Its header can be forged, and is not checked here. Where the mail has a
  DKIM-Signature (RFC 6376) and was fetched whole, the signature can be checked with the key that its
  domain publishes, for as long as it publishes it; `campaign` does not do that. Receivers'
  Authentication-Results are only as good as the mailbox that added them.
- That a message was read.

Who is in it
------------
Names, addresses and words of the recipients, and of whoever answered; the user name of whoever sent. Give
it only to those who need it. Not in it: passwords and keys, the rows of the recipients' list, mails that
answer no letter, and what was passed on to the organisers. A mail that came back shows the return path it
was sent to, which may carry the mark by which `campaign` knows its own notices: whoever holds it could make
up a notice about that letter.

A world called "sandbox" in about.json means that the relay was a part of the program, for practice: nothing
left the machine.
"""


def write_head(
    archive: ArchiveWriter, about: dict[str, Any], decisions: Iterable[dict[str, Any]] | None
) -> None:
    """Write what stands in front of the letters; ``decisions`` is None where only some letters are in it."""
    archive.add("README.txt", README.encode())
    archive.add("about.json", _document({"schema": SCHEMA, "kind": "evidence of letters"} | about))
    if decisions is not None:
        _write_lines(archive, "decisions.jsonl", decisions)


def write_letter(archive: ArchiveWriter, letter: LetterFile, damaged: type[Exception]) -> list[str]:
    """Write what belongs to one letter; its mails are read one by one.

    Return what is not as it was put into the store; ``damaged`` is what the reading of such a mail raises.
    """
    problems = []
    folder = f"letters/{letter.number:09d}"
    archive.add(f"{folder}/letter.json", _document(letter.document))
    for mail in letter.mails:
        raw, kept = None, "damaged: it cannot be unpacked"
        try:
            raw = mail.read()
            kept = "erased" if raw is None else mail.document["mail"]["extent"]
        except damaged:
            problems.append(f"reply {mail.reply}: the mail in the store is damaged")
        if raw is not None:
            archive.add(f"{folder}/replies/{mail.reply:09d}.eml", raw)
        archive.add(f"{folder}/replies/{mail.reply:09d}.json", _document({"bytes": kept} | mail.document))
    if letter.message is not None:
        archive.add(f"{folder}/sent.eml", letter.message)
    if letter.damaged:
        problems.append(f"letter {letter.number}: its bytes in the store are not those that were sent")
    return problems


def write_tail(
    archive: ArchiveWriter, runs: Iterable[dict[str, Any]], happenings: Iterable[Happening], title: str
) -> None:
    """Write what stands behind the letters."""
    _write_lines(archive, "runs.jsonl", runs)
    with tempfile.TemporaryFile() as lines:
        lines.write(_bytes(f"{title}\nAll times in UTC.\n\n"))
        for happening in happenings:
            lines.write(_bytes(timeline_line(happening) + "\n"))
        archive.add_file("timeline.txt", lines)


def timeline_line(happening: Happening) -> str:
    """Return a happening in words; what came from outside is made visible."""
    which = "campaign" if happening.letter is None else f"letter {happening.letter}"
    return visible(f"{happening.at}  {which}: {_words(happening)}")


def _words(happening: Happening) -> str:
    one, two, three, four, five = happening.words
    number = happening.number
    match happening.what:
        case "planned":
            return f"planned, to {one}"
        case "released":
            return "released to be sent"
        case "permitted":
            return f"attempt {number} permitted, through {one}"
        case "answered":
            where = f" at {two.upper()}" if two else ""
            return f"attempt {number} ended{where}: {one}: {_said(three, four, five)}"
        case "decided":
            return f"{one}{f': {two}' if two else ''}"
        case "came":
            return f"reply {number} ({one}) from {f'{two} <{three}>' if two else three or 'nobody'}: {four}"
        case "fetched":
            return f"reply {number} fetched from {one}"
        case "began":
            return f"run {number} begins: {one}, by {two}, through {three}{f', {four}' if four else ''}"
        case _:
            return f"run {number} ends{f' with exit code {one}' if one else ''}"


def _said(code: str, enhanced: str, text: str) -> str:
    if not code:
        return text or "no answer"
    found = queue_id(text) if code.startswith("2") else ""
    return " ".join(filter(None, (code, enhanced, text))) + (f" [queue id {found}]" if found else "")


def _write_lines(archive: ArchiveWriter, name: str, documents: Iterable[dict[str, Any]]) -> None:
    with tempfile.TemporaryFile() as lines:
        _copy_lines(lines, documents)
        archive.add_file(name, lines)


def _copy_lines(lines: IO[bytes], documents: Iterable[dict[str, Any]]) -> None:
    for document in documents:
        lines.write(_bytes(json.dumps(document, ensure_ascii=False) + "\n"))


def _document(document: dict[str, Any]) -> bytes:
    return _bytes(json.dumps(document, ensure_ascii=False, indent=1) + "\n")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
