"""Read a campaign's folder and check all of it: configuration, list, templates, every letter in memory.

What `check` shows is what stops a `send`: both come from `check_folder`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipeline.clock import Clock
from pipeline.config import CampaignKind, Settings
from pipeline.delivery.compose import Composer, Draft, NotAttachable
from pipeline.errors import BadInput, Unusable
from pipeline.letters.attachments import Place as Written
from pipeline.letters.attachments import find_attachments
from pipeline.letters.message import Attachment, MessageFault
from pipeline.letters.templates import TemplateFault, Templates, compile_templates
from pipeline.problem import Problem, Severity, errors
from pipeline.recipients.rows import Intake, Recipient, place_of, read_recipients, row_problem

LARGEST_LIST = 1 << 30  # octets
LARGEST_TEMPLATE = 1 << 20
SAME_FAULT_SHOWN = 10  # a fault of one template line is shown for so many rows; the rest is counted
TEMPLATES = "templates"
CONFIG = "campaign.toml"
_CHECKED_ID = "<checked@check.invalid>"


@dataclass(frozen=True, slots=True)
class Checked:
    """A campaign's folder as it was read.

    ``ready`` are the recipients whose letters can be written. ``of_rows`` are the problems that each
    concern one row, so that leaving it out mends them; ``of_all`` the others.
    """

    settings: Settings
    intake: Intake
    templates: Templates
    composer: Composer
    ready: tuple[Recipient, ...]
    of_all: tuple[Problem, ...]
    of_rows: tuple[Problem, ...]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that was found."""
        return (*self.of_all, *self.of_rows)

    @property
    def left_out(self) -> int:
        """How many rows are no letters because something is wrong with them."""
        return self.intake.rejected + len(self.intake.recipients) - len(self.ready)


def check_folder(
    settings: Settings, *, clock: Clock, progress: Callable[[int, int], None] | None = None
) -> Checked:
    """Read and check everything below ``settings.root``; ``progress`` hears of letters done and in all.

    Raises Unusable when the list is missing or not readable.
    """
    intake = read_recipients(
        _read_list(settings),
        file=settings.recipients_file,
        languages=settings.languages,
        encoding=settings.encoding,
        delimiter=settings.delimiter,
    )
    templates, template_problems = compile_templates(
        _read_templates(settings.root),
        columns=intake.columns,
        campaign={"name": settings.name, "author": settings.author.name or settings.author.address.wire},
        languages=settings.languages,
    )
    if not intake.columns:  # then every column is unknown, and the list itself is what is wrong
        template_problems = [problem for problem in template_problems if problem.code != "unknown-column"]
    composer = _composer(settings, templates, intake, clock)
    of_all = [*settings.warnings, *template_problems, *(p for p in intake.problems if p.line <= 1)]
    ready: list[Recipient] = []
    faults = _Faults()
    if not errors(template_problems):
        total = len(intake.recipients)
        for number, recipient in enumerate(intake.recipients, 1):
            found = _try_letter(composer, intake, recipient, clock)
            if found:
                faults.add(found)
            else:
                ready.append(recipient)
            if progress is not None and number % 100 == 0:
                progress(number, total)
    of_rows = [*(p for p in intake.problems if p.line > 1), *faults.all()]
    return Checked(settings, intake, templates, composer, tuple(ready), tuple(of_all), tuple(of_rows))


def refuse_bad(checked: Checked, *, skip_bad: bool) -> None:
    """Raise BadInput for errors; with ``skip_bad`` only where leaving out rows would not mend them."""
    bad_rows, bad = errors(checked.of_rows), errors(checked.of_all)
    if not bad and (not bad_rows or (skip_bad and checked.ready)):
        return
    hint = "nothing was sent; mend this, then run the same command again"
    if checked.ready and not bad and not skip_bad:
        hint += "\nor leave those rows out: `campaign send --skip-bad`, or exclude = yes in the row"
    number = len(bad) + len(bad_rows)
    raise BadInput(checked.problems, f"{number} error{'s' if number > 1 else ''} in the campaign", hint)


class _Faults:
    """Faults of letters; one template line that fails for every row is told a few times and then counted."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, int, str]] = Counter()
        self._first: dict[tuple[str, int, str], Problem] = {}
        self._kept: dict[Problem, None] = {}  # in order

    def add(self, problems: Sequence[Problem]) -> None:
        for problem in problems:
            if problem in self._kept:  # of a file that every letter carries
                continue
            key = (problem.file, problem.line, problem.code)
            self._seen[key] += 1
            self._first.setdefault(key, problem)
            if self._seen[key] <= SAME_FAULT_SHOWN:
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
        return [*self._kept, *more]


def _try_letter(composer: Composer, intake: Intake, recipient: Recipient, clock: Clock) -> list[Problem]:
    """Write the letter in memory; return what is wrong with it."""
    draft = draft_of(recipient)
    try:
        composer.write(draft, now=clock.now())
    except TemplateFault as fault:
        return [fault.problem]
    except NotAttachable as fault:
        return list(fault.problems)
    except MessageFault as fault:
        return [
            row_problem(
                intake, recipient.line, "email", "message", f"this row's letter cannot be written: {fault}"
            )
        ]
    return []


def draft_of(recipient: Recipient, message_id: str = _CHECKED_ID) -> Draft:
    """Return what the recipient's letter is made from."""
    return Draft(recipient.values, recipient.language, recipient.address.wire, recipient.line, message_id)


def _composer(settings: Settings, templates: Templates, intake: Intake, clock: Clock) -> Composer:
    """Wire a composer; files are read once for all letters that carry the same ones."""

    @lru_cache(maxsize=64)
    def read(names: tuple[str, ...], line: int) -> tuple[Attachment, ...]:
        in_row = line and "attachments" in intake.columns
        place = place_of(intake, line, "attachments") if in_row else None
        written = Written(intake.file, place.line, place.column, place.source) if place else Written(CONFIG)
        found, problems = find_attachments(
            settings.root, names, place=written, limit_bytes=settings.attachment_bytes
        )
        if problems:
            raise NotAttachable(problems)
        return tuple(file.attachment for file in found)

    def find(names: Sequence[str], line: int) -> tuple[Attachment, ...]:
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


def _read_list(settings: Settings) -> bytes:
    path = _inside(settings.root, settings.recipients_file)
    try:
        if path.stat().st_size > LARGEST_LIST:
            raise Unusable(
                f"{settings.recipients_file} is larger than 1 GiB", "divide the list into several campaigns"
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise Unusable(
            f"there is no {settings.recipients_file} in {settings.root}",
            'write the list there, or name it in campaign.toml: [recipients] file = "..."',
        ) from None
    except OSError as trouble:
        raise Unusable(f"{settings.recipients_file} cannot be read: {trouble.strerror}") from None


def _inside(root: Path, name: str) -> Path:
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise Unusable(f"{name} lies outside the campaign's folder", "keep the list in the campaign's folder")
    return path


def _read_templates(root: Path) -> dict[str, str]:
    """Return the texts below templates/ that letters are made from.

    Raises BadInput for one that cannot be read.
    """
    sources: dict[str, str] = {}
    problems: list[Problem] = []
    for path in _listed(root / TEMPLATES):
        if path.suffix not in {".md", ".html", ".toml"} or path.name.startswith(".") or not path.is_file():
            continue
        name = f"{TEMPLATES}/{path.name}"
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
