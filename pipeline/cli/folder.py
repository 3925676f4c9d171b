"""Read a campaign's folder and check all of it: configuration, list, templates, every letter in memory.

What `check` shows is what stops a `send`: both come from `check_folder`. The list is read in a stream and
none of it is kept; who needs the recipients again asks `Checked.recipients`, which reads the file once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from pipeline.cli.comparing import lost_entries
from pipeline.cli.listfile import LARGEST_LIST, LARGEST_SIGNATORIES, ListFile, inside
from pipeline.cli.templatefiles import read_templates
from pipeline.clock import Clock
from pipeline.config import CampaignKind, Settings
from pipeline.delivery.compose import Composer, Draft, NotAttachable
from pipeline.errors import BadInput, Unusable
from pipeline.letters.attachments import FoundFile, find_attachments
from pipeline.letters.attachments import Place as Written
from pipeline.letters.message import Attachment, MessageFault
from pipeline.letters.templates import TemplateFault, Templates, compile_both
from pipeline.problem import Problem, Severity, errors, visible
from pipeline.recipients.decoding import Undecodable
from pipeline.recipients.pairing import Choice, Pair, Pairing, Turns
from pipeline.recipients.rows import Findings, Listing, Recipient
from pipeline.recipients.signatories import Signatories, Signatory, joined, read_signatories
from pipeline.recipients.voices import same_words, unpaired

SAME_FAULT_SHOWN = 10  # a fault of one template line is shown for so many rows; the rest is counted
ROWS_BETWEEN_NEWS = 500
FAULTS_KEPT = 10_000  # of letters; the rest is counted
CONFIG = "campaign.toml"
_CHECKED_ID = "<checked@check.invalid>"

Progress = Callable[[int, int, int], None]  # rows done, octets read, octets in all


@dataclass(frozen=True, slots=True)
class Checked:
    """A campaign's folder as it was read.

    ``letters`` can be written, so many in each language. ``of_rows`` are the problems that each concern one
    row, so that leaving it out mends them; ``of_all`` the others. ``turns`` are those the check went by.
    """

    settings: Settings
    intake: Findings
    listing: Listing
    templates: Templates
    composer: Composer
    letters: int
    by_language: Counter[str]
    unwritable: Unwritable
    of_all: tuple[Problem, ...]
    of_rows: tuple[Problem, ...]
    carried: frozenset[str]  # names of the files that letters carry
    signatories: Signatories | None  # None: the campaign writes in its own name
    pairing: Pairing
    turns: Turns | None
    rows_written: int  # recipients to whom there is a letter

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that was found."""
        return (*self.of_all, *self.of_rows)

    @property
    def left_out(self) -> int:
        """How many rows are no letters because something is wrong with them."""
        return self.intake.rejected + self.intake.accepted - self.rows_written

    def pairs(self, turns: Turns | None = None) -> Iterator[Pair]:
        """Read the list again; yield the letters that can be written, in the order of the file, those to one
        recipient together. ``turns`` are later ones than those of the check.

        Raises Unusable when the list is not the one that was checked.
        """
        if not self.letters:
            return
        choice = self.pairing.begin(turns or self.turns)
        try:
            for number, recipient in self.listing.recipients():
                for signatory in choice.of(recipient):
                    if not self.unwritable.has(number, signatory):
                        yield Pair(recipient, signatory)
        except Undecodable:
            raise Unusable(f"{self.intake.file} was changed while it was read", "run it again") from None

    def recipients(self) -> Iterator[Recipient]:
        """Yield the recipients to whom a letter can be written, each once; otherwise as `pairs`."""
        last: Recipient | None = None
        for recipient, _ in self.pairs():
            if recipient is not last:
                last = recipient
                yield recipient

    def first_of_each_language(self) -> dict[str, Pair]:
        """Return the first letter in each language there are letters in."""
        firsts: dict[str, Pair] = {}
        for pair in self.pairs():
            firsts.setdefault(pair.recipient.language, pair)
            if len(firsts) == len(self.by_language):
                break
        return firsts


def check_folder(
    settings: Settings,
    *,
    clock: Clock,
    progress: Progress | None = None,
    watch: Callable[[Recipient], None] | None = None,
    turns: Turns | None = None,
) -> Checked:
    """Read and check everything below ``settings.root``.

    ``progress`` hears now and then of the rows done and of the octets read and in all, ``watch`` of every row
    that has no error, whether or not its letter can be written. ``turns`` say who had a letter under round
    robin.

    Raises Unusable when the list is missing, not readable, or changed while it is read.
    """
    file, listing, templates, template_problems, composer, carried, signatories = _look_into(settings, clock)
    pairing = _pairing(settings, signatories)
    usable = not errors(template_problems) and not errors(signatories.of_all if signatories else ())
    letters = _Letters(composer, listing, pairing, turns, wanted=usable)
    for number, recipient in chain(listing.clear(), listing.settled()):
        if watch is not None:
            watch(recipient)
        letters.write(number, recipient)
        if progress is not None and number % ROWS_BETWEEN_NEWS == 0:
            progress(number, file.read, file.octets)
    if listing.doubtful and (letters.faults.any or pairing.in_turn):
        # they would be told, or take their turns, in another order, and those of rows not let in as well
        letters = _Letters(composer, listing, pairing, turns, wanted=usable)
        for number, recipient in listing.recipients():
            letters.write(number, recipient)
    else:
        letters.take_back(listing.withdrawn)
    file.refuse_changed()
    intake = listing.findings()
    if not intake.columns:  # then every column is unknown, and the list itself is what is wrong
        template_problems = [problem for problem in template_problems if problem.code != "unknown-column"]
        letters = _Letters(composer, listing, pairing, turns, wanted=False)
    template_problems = [_for_whom(problem, letters.asked, intake.file) for problem in template_problems]
    of_all = [*settings.warnings, *template_problems, *(p for p in intake.problems if p.line <= 1)]
    of_rows = [*(p for p in intake.problems if p.line > 1), *letters.faults.all()]
    lost = list(lost_entries(composer, letters.firsts, settings.languages)) if letters.written.total() else []
    of_all += lost
    if signatories is not None:
        of_all += signatories.of_all
        of_rows += signatories.of_rows
        if usable:
            of_rows += [*same_words(signatories, pairing), *unpaired(signatories, letters.choice, listing)]
    return Checked(
        settings,
        intake,
        listing,
        templates,
        composer,
        letters.written.total(),
        +letters.written,
        letters.unwritable,
        tuple(of_all),
        tuple(of_rows),
        frozenset(carried),
        signatories,
        pairing,
        turns,
        letters.rows,
    )


def _for_whom(problem: Problem, asked: Mapping[str, tuple[int, int]], file: str) -> Problem:
    """Return a problem of a letter that does not exist with the rows that ask for it."""
    language = problem.file.removeprefix("templates/letter.").removesuffix(".md")
    first, rows = asked.get(language, (0, 0)) if problem.code == "no-template" else (0, 0)
    if not rows:
        return problem
    more = f" and {rows - 1} more rows are" if rows > 1 else " is"
    return replace(problem, message=f"{problem.message}, and {file}:{first}{more} written to in {language}")


class _Folder(NamedTuple):
    """A campaign's folder, its list not read yet but for the header."""

    file: ListFile
    listing: Listing
    templates: Templates
    template_problems: list[Problem]
    composer: Composer
    carried: set[str]
    signatories: Signatories | None


def _look_into(settings: Settings, clock: Clock, *, compare: bool = True) -> _Folder:
    hint = 'write the list there, or name it in campaign.toml: [recipients] file = "..."'
    file = ListFile(settings.root, settings.recipients_file, LARGEST_LIST, hint)
    listing = Listing(
        file.open,
        octets=file.octets,
        file=settings.recipients_file,
        languages=settings.languages,
        encoding=settings.encoding,
        delimiter=settings.delimiter,
    )
    signatories = signatories_of(settings, clock)
    templates, problems = compile_both(
        read_templates(settings.root),
        columns=listing.columns,
        campaign={"name": settings.name, "author": settings.author.name or settings.author.address.wire},
        languages=settings.languages,
        signatory=signatories.columns if signatories is not None else None,
        compare=compare,
    )
    carried: set[str] = set()
    composer = _composer(settings, templates, listing, clock, carried, signed=signatories is not None)
    return _Folder(file, listing, templates, problems, composer, carried, signatories)


def signatories_of(settings: Settings, clock: Clock) -> Signatories | None:
    """Read who signs; None where the campaign writes in its own name. Raises Unusable."""
    signing = settings.signing
    path = inside(settings.root, signing.file)
    if not path.exists() and not signing.named:
        return None
    file = ListFile(settings.root, signing.file, LARGEST_SIGNATORIES, 'name it in [signatories] file = "..."')
    found = read_signatories(
        file.open,
        file=signing.file,
        signing=signing,
        language=settings.languages[0],
        own_domain=settings.author.address.domain,
        today=clock.now().astimezone(settings.timezone).date(),
    )
    file.refuse_changed()
    return found


def _pairing(settings: Settings, signatories: Signatories | None) -> Pairing:
    return Pairing(joined(signatories.accepted) if signatories is not None else None, settings.signing.rule)


def composer_of(settings: Settings, clock: Clock) -> Composer:
    """Return what writes the letters of a folder that was checked before. Raises Unusable, BadInput."""
    return _look_into(settings, clock, compare=False).composer


def lists_of(settings: Settings, clock: Clock) -> tuple[Listing, Signatories | None]:
    """Return the lists of a campaign, the recipients' not read yet but for its header. Raises Unusable."""
    folder = _look_into(settings, clock)
    return folder.listing, folder.signatories


def templates_of(settings: Settings, clock: Clock) -> tuple[Templates, list[Problem]]:
    """Return the templates of a folder and what is wrong with them. Raises Unusable, BadInput."""
    found = _look_into(settings, clock)
    return found.templates, found.template_problems


def refuse_bad(checked: Checked, *, skip_bad: bool) -> None:
    """Raise BadInput for errors; with ``skip_bad`` only where leaving out rows would not mend them."""
    bad_rows, bad = errors(checked.of_rows), errors(checked.of_all)
    if not bad and (not bad_rows or (skip_bad and checked.letters)):
        return
    hint = "nothing was sent; mend this, then run the same command again"
    if checked.letters and not bad and not skip_bad:
        hint += "\nor leave those rows out: `campaign send --skip-bad`, or exclude = yes in the row"
    number = len(bad) + len(bad_rows)
    raise BadInput(checked.problems, f"{number} error{'s' if number > 1 else ''} in the campaign", hint)


class _Faults:
    """Faults of letters, bounded: a template line that fails for every row is told a few times, the rest
    counted.
    """

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, int, str]] = Counter()
        self._first: dict[tuple[str, int, str], Problem] = {}
        self._kept: dict[Problem, None] = {}  # in order
        self._untold = 0

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self._seen)

    def add(self, problems: Sequence[Problem]) -> None:
        for problem in problems:
            if problem in self._kept:  # of a file that every letter carries
                continue
            key = (problem.file, problem.line, problem.code)
            if len(self._kept) >= FAULTS_KEPT and key not in self._seen:
                self._untold += 1
                continue
            self._seen[key] += 1
            self._first.setdefault(key, problem)
            if self._seen[key] <= SAME_FAULT_SHOWN and len(self._kept) < FAULTS_KEPT:
                self._kept[problem] = None

    def all(self) -> list[Problem]:
        more = [
            Problem(
                first.file,
                first.line,
                first.column,
                first.code,
                f"the same for {self._seen[key] - SAME_FAULT_SHOWN} further rows",
            )
            for key, first in self._first.items()
            if self._seen[key] > SAME_FAULT_SHOWN
        ]
        if self._untold:
            message = f"{self._untold} more problems of letters are not shown"
            more.append(Problem(CONFIG, 0, 0, "more-problems", message, "mend these first, and check again"))
        return [*self._kept, *more]


class Unwritable:
    """Letters that cannot be written, though nothing is wrong with their rows."""

    def __init__(self) -> None:
        self._rows: set[tuple[int, str]] = set()

    def add(self, number: int, signatory: Signatory | None) -> None:
        """Mark the letter of a signatory to the recipient in row ``number``."""
        self._rows.add((number, signatory.key if signatory is not None else ""))

    def has(self, number: int, signatory: Signatory | None) -> bool:
        """Say whether a letter was marked."""
        return bool(self._rows) and (number, signatory.key if signatory is not None else "") in self._rows


class _Letters:
    """Letters as they are written in memory: how many in each language, and what is wrong with the others."""

    def __init__(
        self, composer: Composer, listing: Listing, pairing: Pairing, turns: Turns | None, *, wanted: bool
    ) -> None:
        """Without templates there is nothing to write: not ``wanted``."""
        self._composer = composer
        self._listing = listing
        self.choice: Choice = pairing.begin(turns)
        self._wanted = wanted
        self.written: Counter[str] = Counter()
        self.asked: dict[str, tuple[int, int]] = {}  # first line and number of rows, where none is written
        self.rows = 0
        self.unwritable = Unwritable()
        self.faults = _Faults()
        self.firsts: dict[str, Draft] = {}  # the first one that was written in each language

    def write(self, number: int, recipient: Recipient) -> None:
        """Write the letters to row ``number`` in memory."""
        if not self._wanted:
            first, rows = self.asked.get(recipient.language, (recipient.line, 0))
            self.asked[recipient.language] = first, rows + 1
            return
        written = 0
        for signatory in self.choice.of(recipient):
            if found := self._faults_of(recipient, signatory):
                self.faults.add(found)
                self.unwritable.add(number, signatory)
            else:
                written += 1
                if recipient.language not in self.firsts:
                    self.firsts[recipient.language] = draft_of(recipient, signatory=signatory)
        self.written[recipient.language] += written
        self.rows += written > 0

    def take_back(self, withdrawn: Sequence[tuple[int, Recipient]]) -> None:
        """Count no letters of rows that were rejected after all; none of them had a fault."""
        for _, recipient in withdrawn if self._wanted else ():
            number = len(self.choice.of(recipient))
            self.written[recipient.language] -= number
            self.rows -= number > 0

    def _faults_of(self, recipient: Recipient, signatory: Signatory | None) -> Sequence[Problem]:
        try:
            self._composer.check(draft_of(recipient, signatory=signatory))
        except TemplateFault as fault:
            return [_signed(fault.problem, signatory)]
        except NotAttachable as fault:
            return fault.problems
        except MessageFault as fault:
            message = f"this row's letter cannot be written: {fault}"
            return [self._listing.problem(recipient.line, "email", "message", message)]
        return ()


def _signed(problem: Problem, signatory: Signatory | None) -> Problem:
    """Return a letter's fault with whose letter it is, where it says it of the signatory."""
    if signatory is None or "signatory." not in problem.message:
        return problem
    return replace(problem, message=f"{problem.message} (line {signatory.line}: {visible(signatory.name)})")


def draft_of(
    recipient: Recipient, message_id: str = _CHECKED_ID, *, signatory: Signatory | None = None
) -> Draft:
    """Return what the letter to a recipient is made from, and in whose name."""
    values = recipient.values if signatory is None else {**recipient.values, **signatory.values}
    return Draft(values, recipient.language, recipient.address.wire, recipient.line, message_id)


def _attachments(
    settings: Settings, names: Sequence[str], place: Written
) -> tuple[Sequence[FoundFile], Sequence[Problem]]:
    return find_attachments(settings.root, names, place=place, limit_bytes=settings.attachment_bytes)


def _composer(
    settings: Settings,
    templates: Templates,
    listing: Listing,
    clock: Clock,
    carried: set[str],
    *,
    signed: bool,
) -> Composer:
    """Wire a composer; files are read once for all letters that carry the same ones, and noted in
    ``carried``."""

    @lru_cache(maxsize=64)
    def read(names: tuple[str, ...], line: int) -> tuple[Attachment, ...]:
        in_row = line and "attachments" in listing.columns
        written = Written(listing.file, line, 1, "") if in_row else Written(CONFIG)
        found, problems = _attachments(settings, names, written)
        if problems and in_row:  # where in the row it stands takes a look into the file
            with suppress(Unusable):  # which has changed, when letters are sent long after
                place = listing.place_of(line, "attachments")
                written = Written(listing.file, place.line, place.column, place.source)
            found, problems = _attachments(settings, names, written)
        if problems:
            raise NotAttachable(problems)
        return tuple(file.attachment for file in found)

    def find(names: Sequence[str], line: int) -> tuple[Attachment, ...]:
        carried.update(names)
        common = set(names) <= set(settings.attachments)
        return read(tuple(names), 0 if common else line)

    return Composer(
        templates=templates,
        author=settings.author,
        reply_to=settings.reply_to,
        zone=settings.timezone,
        clock=clock,
        find_attachments=find,
        list_file=settings.recipients_file,
        always_attached=settings.attachments,
        mailing=settings.key if settings.kind is CampaignKind.MAILING else "",
        signing=settings.signing if signed else None,
    )


def has_warnings(problems: Sequence[Problem]) -> bool:
    """Say whether there is something to look at that stops nothing."""
    return any(problem.severity is Severity.WARNING for problem in problems)
