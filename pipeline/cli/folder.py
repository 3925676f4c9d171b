"""Read a campaign's folder and check all of it: configuration, list, templates, every letter in memory.

What `check` shows is what stops a `send`: both come from `check_folder`. The list is read in a stream and
none of it is kept; who needs the recipients again asks `Checked.recipients`, which reads the file once more.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pipeline.clock import Clock
from pipeline.config import CampaignKind, Settings
from pipeline.delivery.compose import Composer, Draft, NotAttachable
from pipeline.errors import BadInput, Unusable
from pipeline.letters.attachments import FoundFile, find_attachments
from pipeline.letters.attachments import Place as Written
from pipeline.letters.message import Attachment, MessageFault
from pipeline.letters.templates import TemplateFault, Templates, compile_templates
from pipeline.problem import Problem, Severity, errors
from pipeline.recipients.among import Marks
from pipeline.recipients.decoding import Undecodable
from pipeline.recipients.rows import Findings, Listing, Recipient

LARGEST_LIST = 1 << 30  # octets
LARGEST_TEMPLATE = 1 << 20
MOST_TEMPLATES = 500  # files below templates/
DEEPEST_TEMPLATE = 4  # folders below templates/
SAME_FAULT_SHOWN = 10  # a fault of one template line is shown for so many rows; the rest is counted
ROWS_BETWEEN_NEWS = 500
FAULTS_KEPT = 10_000  # of letters; the rest is counted
TEMPLATES = "templates"
CONFIG = "campaign.toml"
_CHECKED_ID = "<checked@check.invalid>"

Progress = Callable[[int, int, int], None]  # rows done, octets read, octets in all


@dataclass(frozen=True, slots=True)
class Checked:
    """A campaign's folder as it was read.

    ``letters`` can be written, so many in each language. ``of_rows`` are the problems that each concern one
    row, so that leaving it out mends them; ``of_all`` the others.
    """

    settings: Settings
    intake: Findings
    listing: Listing
    templates: Templates
    composer: Composer
    letters: int
    by_language: Counter[str]
    unwritable: Marks  # rows that were let in, and whose letters cannot be written
    of_all: tuple[Problem, ...]
    of_rows: tuple[Problem, ...]
    carried: frozenset[str]  # names of the files that letters carry

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that was found."""
        return (*self.of_all, *self.of_rows)

    @property
    def left_out(self) -> int:
        """How many rows are no letters because something is wrong with them."""
        return self.intake.rejected + self.intake.accepted - self.letters

    def recipients(self) -> Iterator[Recipient]:
        """Read the list again; yield those whose letters can be written, in the order of the file.

        Raises Unusable when the list is not the one that was checked.
        """
        if not self.letters:
            return
        try:
            for number, recipient in self.listing.recipients():
                if number not in self.unwritable:
                    yield recipient
        except Undecodable:
            raise Unusable(f"{self.intake.file} was changed while it was read", "run it again") from None

    def first_of_each_language(self) -> dict[str, Recipient]:
        """Return the first recipient in each language there are letters in."""
        firsts: dict[str, Recipient] = {}
        for recipient in self.recipients():
            firsts.setdefault(recipient.language, recipient)
            if len(firsts) == len(self.by_language):
                break
        return firsts


def check_folder(
    settings: Settings,
    *,
    clock: Clock,
    progress: Progress | None = None,
    watch: Callable[[Recipient], None] | None = None,
) -> Checked:
    """Read and check everything below ``settings.root``.

    ``progress`` hears now and then of the rows done and of the octets read and in all, ``watch`` of every row
    that has no error, whether or not its letter can be written.

    Raises Unusable when the list is missing, not readable, or changed while it is read.
    """
    file, listing, templates, template_problems, composer, carried = _look_into(settings, clock)
    letters = _Letters(composer, listing, clock, wanted=not errors(template_problems))
    for number, recipient in chain(listing.clear(), listing.settled()):
        if watch is not None:
            watch(recipient)
        letters.write(number, recipient)
        if progress is not None and number % ROWS_BETWEEN_NEWS == 0:
            progress(number, file.read, file.octets)
    if listing.doubtful and letters.faults.any:  # they would be told in another order, and of rows not let in
        letters = _Letters(composer, listing, clock, wanted=True)
        for number, recipient in listing.recipients():
            letters.write(number, recipient)
    else:
        letters.take_back(listing.withdrawn)
    file.refuse_changed()
    intake = listing.findings()
    if not intake.columns:  # then every column is unknown, and the list itself is what is wrong
        template_problems = [problem for problem in template_problems if problem.code != "unknown-column"]
        letters = _Letters(composer, listing, clock, wanted=False)
    of_all = [*settings.warnings, *template_problems, *(p for p in intake.problems if p.line <= 1)]
    of_rows = [*(p for p in intake.problems if p.line > 1), *letters.faults.all()]
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
    )


class _Folder(NamedTuple):
    """A campaign's folder, its list not read yet but for the header."""

    file: _ListFile
    listing: Listing
    templates: Templates
    template_problems: list[Problem]
    composer: Composer
    carried: set[str]


def _look_into(settings: Settings, clock: Clock) -> _Folder:
    file = _ListFile(settings)
    listing = Listing(
        file.open,
        octets=file.octets,
        file=settings.recipients_file,
        languages=settings.languages,
        encoding=settings.encoding,
        delimiter=settings.delimiter,
    )
    templates, problems = compile_templates(
        _read_templates(settings.root),
        columns=listing.columns,
        campaign={"name": settings.name, "author": settings.author.name or settings.author.address.wire},
        languages=settings.languages,
    )
    carried: set[str] = set()
    composer = _composer(settings, templates, listing, clock, carried)
    return _Folder(file, listing, templates, problems, composer, carried)


def composer_of(settings: Settings, clock: Clock) -> Composer:
    """Return what writes the letters of a folder that was checked before. Raises Unusable, BadInput."""
    return _look_into(settings, clock).composer


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


class _Letters:
    """Letters as they are written in memory: how many in each language, and what is wrong with the others."""

    def __init__(self, composer: Composer, listing: Listing, clock: Clock, *, wanted: bool) -> None:
        """Without templates there is nothing to write: not ``wanted``."""
        self._composer = composer
        self._listing = listing
        self._clock = clock
        self._wanted = wanted
        self.written: Counter[str] = Counter()
        self.unwritable = Marks()
        self.faults = _Faults()

    def write(self, number: int, recipient: Recipient) -> None:
        """Write the letter of row ``number`` in memory."""
        if not self._wanted:
            return
        if found := self._faults_of(recipient):
            self.faults.add(found)
            self.unwritable.add(number)
        else:
            self.written[recipient.language] += 1

    def take_back(self, withdrawn: Sequence[tuple[int, Recipient]]) -> None:
        """Count no letters of rows that were rejected after all; none of them had a fault."""
        if self._wanted:
            self.written.subtract(recipient.language for _, recipient in withdrawn)

    def _faults_of(self, recipient: Recipient) -> Sequence[Problem]:
        try:
            self._composer.check(draft_of(recipient))
        except TemplateFault as fault:
            return [fault.problem]
        except NotAttachable as fault:
            return fault.problems
        except MessageFault as fault:
            message = f"this row's letter cannot be written: {fault}"
            return [self._listing.problem(recipient.line, "email", "message", message)]
        return ()


def draft_of(recipient: Recipient, message_id: str = _CHECKED_ID) -> Draft:
    """Return what the recipient's letter is made from."""
    return Draft(recipient.values, recipient.language, recipient.address.wire, recipient.line, message_id)


def _attachments(
    settings: Settings, names: Sequence[str], place: Written
) -> tuple[Sequence[FoundFile], Sequence[Problem]]:
    return find_attachments(settings.root, names, place=place, limit_bytes=settings.attachment_bytes)


def _composer(
    settings: Settings, templates: Templates, listing: Listing, clock: Clock, carried: set[str]
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
    )


class _ListFile:
    """The list on the disk: opened for each pass, and the same one each time."""

    def __init__(self, settings: Settings) -> None:
        """Look at it. Raises Unusable when it is missing, not readable, or too long."""
        self._name = settings.recipients_file
        self._root = settings.root
        self._path = _inside(settings.root, settings.recipients_file)
        self._stream: BinaryIO | None = None
        self._seen: tuple[int, ...] | None = None
        with self.open() as stream:
            self.octets = os.fstat(stream.fileno()).st_size
        if self.octets > LARGEST_LIST:
            raise Unusable(f"{self._name} is larger than 1 GiB", "divide the list into several campaigns")

    @property
    def read(self) -> int:
        """How many octets of the present pass have been read."""
        return self._stream.tell() if self._stream is not None and not self._stream.closed else 0

    def open(self) -> BinaryIO:
        """Open it anew. Raises Unusable when it cannot be read, or is not the same any more."""
        try:
            stream = self._path.open("rb")
        except FileNotFoundError:
            raise Unusable(
                f"there is no {self._name} in {self._root}",
                'write the list there, or name it in campaign.toml: [recipients] file = "..."',
            ) from None
        except OSError as trouble:
            raise Unusable(f"{self._name} cannot be read: {trouble.strerror}") from None
        found = os.fstat(stream.fileno())
        mark = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        self._seen = self._seen or mark
        if mark != self._seen:
            stream.close()
            raise Unusable(f"{self._name} was changed while it was read", "run it again")
        self._stream = stream
        return stream

    def refuse_changed(self) -> None:
        """Raise Unusable when it is not the same any more."""
        self.open().close()


def _inside(root: Path, name: str) -> Path:
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise Unusable(f"{name} lies outside the campaign's folder", "keep the list in the campaign's folder")
    return path


def _read_templates(root: Path) -> dict[str, str]:
    """Return the texts below templates/ that letters are made from, by their names with "/".

    Raises BadInput for one that cannot be read, and for one that lies elsewhere and is only linked to.
    """
    sources: dict[str, str] = {}
    problems: list[Problem] = []
    inside = root.resolve()
    for path in _below(root / TEMPLATES):
        if path.suffix not in {".md", ".html", ".toml"} or path.name.startswith(".") or not path.is_file():
            continue
        name = path.relative_to(root).as_posix()
        if not path.resolve().is_relative_to(inside):
            message = "this is a link to a file outside of the campaign's folder"
            problems.append(Problem(name, 0, 0, "outside", message, "copy the file into templates/"))
            continue
        if len(sources) >= MOST_TEMPLATES:
            raise Unusable(f"there are more than {MOST_TEMPLATES} files below {root / TEMPLATES}")
        try:
            with path.open("rb") as stream:
                sources[name] = stream.read(LARGEST_TEMPLATE).decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as fault:
            problems.append(
                Problem(
                    name,
                    0,
                    0,
                    "encoding",
                    f"not UTF-8 (octet {fault.start})",
                    "save it as UTF-8 in your editor",
                )
            )
        except OSError as trouble:
            problems.append(Problem(name, 0, 0, "unreadable", f"cannot be read: {trouble.strerror}"))
    if problems:
        raise BadInput(problems)
    return sources


def _below(folder: Path, depth: int = 0) -> Iterator[Path]:
    """Yield the files of a folder and of those below it, by name; folders with a dot in front are not."""
    for path in _listed(folder):
        if not path.is_dir():
            yield path
        elif depth < DEEPEST_TEMPLATE and not path.name.startswith(".") and not path.is_symlink():
            yield from _below(path, depth + 1)


def _listed(folder: Path) -> list[Path]:
    """Return what a folder holds, by name; nothing where there is none."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as trouble:
        raise Unusable(f"{folder} cannot be read: {trouble.strerror}") from None


def has_warnings(problems: Sequence[Problem]) -> bool:
    """Say whether there is something to look at that stops nothing."""
    return any(problem.severity is Severity.WARNING for problem in problems)
