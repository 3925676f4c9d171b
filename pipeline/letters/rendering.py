"""From compiled templates and a row of the list to the words of one letter.

`Templates.render` makes one letter, or raises `TemplateFault` with the problem that names both the line of
the template and the row of the list. `Templates.words` gives the same words in the form in which a letter is
quickest made of them: values, and the `Cast` they go into (`cast`); where the template does nothing with a
row but print it, Jinja does not run at all (`outline`).

Limits: 256 Ki characters and, in the main thread, two seconds a letter; 16 casts are kept, and a template
that has needed more than four times as many is rendered for each letter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from jinja2 import Template, UndefinedError
from markupsafe import Markup

from pipeline.letters.attachments import Place
from pipeline.letters.cast import Cast, cast
from pipeline.letters.direction import direction
from pipeline.letters.facts import SALUTATION, Facts
from pipeline.letters.frame import BODY_MARK, PREHEADER_MARK, SUBJECT_MARK, Frame
from pipeline.letters.frontmatter import FrontMatter
from pipeline.letters.markdown import Body
from pipeline.letters.names import CAMPAIGN, FACTS, RECIPIENT, SIGNATORY, Use
from pipeline.letters.outline import (
    APART,
    LINE_BREAK,
    LONGEST_SUBJECT,
    MARKS,
    Outline,
    Words,
    filling,
    line_with_gaps,
    marked,
    shape,
)
from pipeline.letters.sandbox import (
    LARGEST_TEXT,
    SECONDS,
    STATE,
    Paragraphs,
    State,
    Table,
    Trouble,
    set_apart,
    time_limit,
)
from pipeline.letters.source import Source
from pipeline.letters.splice import Plans
from pipeline.problem import Problem, visible

if TYPE_CHECKING:
    from pipeline.letters.confirmed import Confirmation

MOST_OUTLINES = 256
MOST_CASTS = 16  # bodies kept ready for values
MOST_MADE = 4 * MOST_CASTS  # of one language; then its texts differ too much for casts to be of use


class TemplateFault(Exception):
    """A letter that cannot be rendered; ``problem`` says where in the template and for which row."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Rendered:
    """The words of one letter: one line of subject, the text part, the HTML page, names of attachments."""

    subject: str
    text: str
    html: str
    preheader: str
    attachments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A compiled template, and where it begins in its file."""

    source: Source
    first_line: int
    template: Template
    frames: bool = (
        False  # a layout that prints body, subject and preheader as they are, and no value of a row
    )
    prints: frozenset[str] | None = None  # columns, where nothing else is done with any; else None
    uses: tuple[Use, ...] = ()  # facts, its own and those of its parts
    parts: Mapping[str, Source] = field(default_factory=dict)  # what it extends and includes, by file

    def run(self, names: Mapping[str, Any], row: tuple[str, int]) -> str:
        """Return what the template prints; TemplateFault where it cannot."""
        context = self.template.new_context(dict(names))
        try:
            return "".join(_bounded(self.template.root_render_func(context)))
        except Exception as error:
            raise TemplateFault(self._problem(error, row)) from None

    def fault(
        self, trouble: Trouble, row: tuple[str, int], line: int = 0, source: Source | None = None
    ) -> TemplateFault:
        """Return a fault at ``line`` of the file, or at the first line that shows what it is about.

        ``source`` is the part it is in, where it is in one.
        """
        source = source or self.source
        line = line or source.first_line_with(trouble.pattern or r"\S", self.first_line)
        column = source.column(line, trouble.pattern or r"\{\{|\{%|\S")
        message = f"{row[0]}:{row[1]}: {visible(trouble.message, limit=300)}"
        return TemplateFault(source.problem(line, column, trouble.code, message, hint=trouble.hint))

    def _problem(self, error: Exception, row: tuple[str, int]) -> Problem:
        file, line = _place_in(error.__traceback__)
        source = self.parts.get(file)
        line = max(line, 1) if source else self.first_line - 1 + max(line, 1)
        if isinstance(error, Trouble):
            trouble = error
        elif isinstance(error, UndefinedError):
            trouble = Trouble(
                "undefined", str(error.message), hint="say what to write instead with |default('…')"
            )
        elif isinstance(error, RecursionError):
            trouble = Trouble("too-deep", "the template is nested too deeply")
        else:
            trouble = Trouble("template-fault", str(error))
        return self.fault(trouble, row, line, source).problem


@dataclass(frozen=True, slots=True)
class LetterTemplate:
    """One language's letter, compiled."""

    subject: Piece
    preheader: Piece | None
    body: Piece
    attachments: tuple[str, ...]
    attachments_line: int
    matter: FrontMatter

    def lines(self, names: Mapping[str, Any], row: tuple[str, int]) -> tuple[str, str]:
        """Return subject and preheader, an empty one where the letter has none. Raises TemplateFault."""
        subject = _one_line(self.subject, self.subject.run(names, row), "subject", row)
        preheader = ""
        if self.preheader:
            preheader = _one_line(self.preheader, self.preheader.run(names, row), "preheader", row)
        return subject, preheader

    def markdown(self, names: Mapping[str, Any], row: tuple[str, int]) -> str:
        """Return the body as it comes out of Jinja. Raises TemplateFault."""
        return set_apart(self.body.run(names, row))

    @property
    def prints(self) -> frozenset[str] | None:
        """The columns that are printed, where nothing else is done with any; else None."""
        found = [piece.prints for piece in (self.subject, self.preheader, self.body) if piece]
        return frozenset[str]().union(*filter(None, found)) if None not in found else None


class _Signed(Mapping[str, str]):
    """A signatory's columns in a letter's row, where their names begin with "signatory."."""

    __slots__ = ("_row",)

    def __init__(self, row: Mapping[str, str]) -> None:
        self._row = row

    def __getitem__(self, key: str) -> str:
        name = f"{SIGNATORY}.{key}"
        return Paragraphs(self._row[name]) if name in APART else self._row[name]

    def __iter__(self) -> Iterator[str]:
        return (name.partition(".")[2] for name in self._row if name.startswith(f"{SIGNATORY}."))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Templates:
    """All letters of a campaign, ready to be rendered."""

    def __init__(
        self,
        *,
        letters: Mapping[str, LetterTemplate],
        broken: Mapping[str, Problem],
        page: Piece,
        campaign: Mapping[str, str],
        facts: Facts,
        confirmed: Mapping[str, Confirmation] | None = None,
    ) -> None:
        self._letters, self._broken, self._page = letters, broken, page
        self._campaign = Table(CAMPAIGN, campaign)
        self.facts = facts
        self.confirmed = dict(confirmed or {})
        self._shared: dict[str, dict[str, Any]] = {}  # names that are the same for all letters in a language
        self._plans = {"ltr": Plans(), "rtl": Plans(rtl=True)}
        self._frames: dict[tuple[str, bool], Frame] = {}
        self._outlines: dict[object, Outline | None] = {}
        self._apart = {language: _apart(letter) for language, letter in letters.items()}
        self._casts: dict[tuple[str, str, bool], Cast] = {}
        self._made: Counter[str] = Counter()  # casts, by language
        self._uncast: set[str] = set()  # languages whose letters are all rendered
        self._ready: dict[str, tuple[Outline, Cast]] = {}  # where it is the same for all letters
        self.languages = tuple(sorted([*letters, *broken]))
        self.followups: Templates | None = None  # second letters, where there are words for them

    def render(self, *, language: str, recipient: Mapping[str, str], row: tuple[str, int]) -> Rendered:
        """Return the letter in ``language`` for one ``recipient`` (column -> cell).

        ``row`` is (file, line) of the recipient, for the problem. TemplateFault where the letter cannot be
        made: an empty cell that is printed, no letter in that language, a bound that was reached.
        """
        letter = self._letters.get(language)
        recipient = self._addressed(language, recipient)
        if letter is None:
            raise TemplateFault(self._broken.get(language) or self._missing(language, row))
        try:
            with time_limit(SECONDS):
                return self._rendered(letter, language, recipient, row)
        except Trouble as trouble:
            raise letter.body.fault(trouble, row) from None

    def words(
        self, *, language: str, recipient: Mapping[str, str], row: tuple[str, int]
    ) -> tuple[Words, Cast] | None:
        """Return a letter's words and what they are cast in; None where `render` must make the letter.

        What they give together is what `render` gives. TemplateFault as `render` raises it.
        """
        ready = self._ready.get(language)
        if ready and (words := ready[0].fill(recipient)):
            return words, ready[1]
        letter = self._letters.get(language)
        if letter is None or language in self._uncast:
            return None
        recipient = self._addressed(language, recipient)
        shapes = {column: shape(recipient.get(column, "")) for column in self._apart[language]}
        key = (language, *shapes.values()) if shapes else language
        if key not in self._outlines:
            if len(self._outlines) >= MOST_OUTLINES:
                self._outlines.clear()
            self._outlines[key] = self._outline(letter, language, shapes)
        outline = self._outlines[key]
        words = outline.fill(recipient) if outline else self._printed(letter, language, recipient, row)
        if words is None:
            return None
        found = self._casts.get((language, words.markdown, bool(words.preheader)))
        if found and outline and not shapes and not self.facts.salutations:
            self._ready[language] = outline, found
        return (words, found) if found else self._newly_cast(language, words, row)

    def _addressed(self, language: str, recipient: Mapping[str, str]) -> Mapping[str, str]:
        """Return a row with its salutation, where facts.toml has salutations and its cell is empty."""
        if not self.facts.salutations or recipient.get(SALUTATION, "").strip():
            return recipient
        return {**recipient, SALUTATION: self.facts.address(language, recipient)}

    @property
    def letters(self) -> Mapping[str, LetterTemplate]:
        """The letters that can be used, by language."""
        return self._letters

    def render_always(self, language: str) -> None:
        """Let `words` give no letter in ``language`` any more."""
        self._uncast.add(language)
        self._ready.pop(language, None)

    def attached(self, language: str) -> tuple[str, ...]:
        """Return the names of the files that go with every letter in ``language``."""
        letter = self._letters.get(language)
        return letter.attachments if letter else ()

    def attachments(self, language: str) -> tuple[tuple[str, ...], Place]:
        """Return the names of the files that go with every letter in ``language``, and where they are
        named."""
        letter = self._letters.get(language)
        if letter is None:
            return (), Place(f"templates/letter.{language}.md")
        source, line = letter.body.source, letter.attachments_line
        place = Place(source.file, line, source.column(line, "attachments"), source.line(line))
        return letter.attachments, place

    def _rendered(
        self, letter: LetterTemplate, language: str, recipient: Mapping[str, str], row: tuple[str, int]
    ) -> Rendered:
        names, state = self._names(language, recipient)
        subject, preheader = letter.lines(names, row)
        body = self._body(letter.body, letter.markdown(names, row), state, row)
        html = self._frame(language, preheader, names, row).fill(body.html.strip("\n"), subject, preheader)
        if html is None or len(html) > LARGEST_TEXT:
            html = self._page.run(
                _page_names(names, language, body.html.strip("\n"), subject, preheader), row
            )
        return Rendered(subject, body.text, html, preheader, letter.attachments)

    def _names(self, language: str, recipient: Mapping[str, str]) -> tuple[dict[str, Any], State]:
        if language not in self._shared:
            facts = Table(FACTS, self.facts.in_language(language))
            self._shared[language] = {CAMPAIGN: self._campaign, FACTS: facts}
        state = State(language=language, rtl=direction(language) == "rtl")
        own = {
            RECIPIENT: Table(RECIPIENT, recipient, "column"),
            SIGNATORY: Table(SIGNATORY, _Signed(recipient)),
        }
        return {**self._shared[language], **own, STATE: state}, state

    def _printed(
        self, letter: LetterTemplate, language: str, recipient: Mapping[str, str], row: tuple[str, int]
    ) -> Words | None:
        """Run Jinja for one letter; None for values that are not as a cast needs them."""
        names, state = self._names(language, recipient)
        try:
            with time_limit(SECONDS):
                subject, preheader = letter.lines(names, row)
                markdown = letter.markdown(names, row)
        except Trouble as trouble:
            raise letter.body.fault(trouble, row) from None
        if any(value != value.strip() for value in state.values):
            return None
        return Words(subject, preheader, markdown, state.values)

    def _outline(self, letter: LetterTemplate, language: str, shapes: Mapping[str, Any]) -> Outline | None:
        """Return the letter with gaps; None where it depends on the row in other ways."""
        first, second = (self._marked_outline(letter, language, shapes, mark) for mark in MARKS)
        return first if first == second else None

    def _marked_outline(
        self, letter: LetterTemplate, language: str, shapes: Mapping[str, Any], mark: str
    ) -> Outline | None:
        if letter.prints is None:
            return None
        columns = tuple(sorted(letter.prints - shapes.keys()))
        names, state = self._names(language, marked(columns, shapes, mark))
        try:
            with time_limit(SECONDS):
                lines = letter.lines(names, ("", 0))
                markdown = letter.markdown(names, ("", 0))
        except (TemplateFault, Trouble):
            return None
        subject, preheader = (line_with_gaps(line, mark) for line in lines)
        filled = filling(state.values, mark)
        if subject is None or filled is None or bool(preheader) != bool(letter.preheader):
            return None
        return Outline(columns, subject, preheader, markdown, filled, state.rtl, tuple(shapes))

    def _newly_cast(self, language: str, words: Words, row: tuple[str, int]) -> tuple[Words, Cast] | None:
        """Cast a body that was not met before; for a language that has one without a cast, none is tried any
        more.
        """
        made = None
        try:
            if plan := self._plans[direction(language)].of(words.markdown):
                frame = self._frame(language, words.preheader, self._names(language, {})[0], row)
                made = cast(plan, frame, words.markdown)
        except (TemplateFault, Trouble):
            return None
        self._made[language] += 1
        if made is None or self._made[language] > MOST_MADE:
            self.render_always(language)
            return None
        if len(self._casts) >= MOST_CASTS:
            self._casts.clear()
        self._casts[language, words.markdown, bool(words.preheader)] = made
        return words, made

    def _frame(self, language: str, preheader: str, names: Mapping[str, Any], row: tuple[str, int]) -> Frame:
        """Return the page with gaps for what differs from letter to letter; made once."""
        key = (language, bool(preheader))
        if key not in self._frames:
            page = ""
            if self._page.frames:
                marks = (BODY_MARK, SUBJECT_MARK, PREHEADER_MARK if preheader else "")
                page = self._page.run(_page_names(names, language, *map(Markup, marks)), row)
            self._frames[key] = Frame.of(page)
        return self._frames[key]

    def _body(self, piece: Piece, markdown: str, state: State, row: tuple[str, int]) -> Body:
        if len(markdown) + sum(map(len, state.values)) > LARGEST_TEXT:
            raise Trouble("too-large", f"the letter is longer than {LARGEST_TEXT // 1024} Ki characters")
        try:
            return self._plans["rtl" if state.rtl else "ltr"].body(markdown, state.values)
        except Trouble as trouble:
            raise piece.fault(trouble, row) from None
        except Exception as error:
            unread = Trouble("template-fault", f"Markdown cannot be read: {error}")
            raise piece.fault(unread, row) from None

    def _missing(self, language: str, row: tuple[str, int]) -> Problem:
        message = f'no letter in the language "{visible(language, limit=20)}"'
        hint = f"templates exist for: {', '.join(self.languages) or 'no language'}"
        return Problem(row[0], row[1], 0, "no-template", message, hint)


def _apart(letter: LetterTemplate) -> tuple[str, ...]:
    """Return the columns that a letter prints and that keep their lines."""
    return tuple(column for column in APART if letter.prints and column in letter.prints)


def _page_names(
    names: Mapping[str, Any], language: str, body: str, subject: str, preheader: str
) -> dict[str, Any]:
    """Return what a layout may use; ``body`` is our own renderer's HTML, every value in it escaped."""
    return {
        **names,
        "body": Markup(body),  # noqa: S704
        "subject": subject,
        "preheader": preheader,
        "language": language,
        "direction": direction(language),
    }


def _bounded(texts: Iterable[str]) -> Iterator[str]:
    size = 0
    for text in texts:
        size += len(text)
        if size > LARGEST_TEXT:
            raise Trouble("too-large", f"the letter is longer than {LARGEST_TEXT // 1024} Ki characters")
        yield text


def _one_line(piece: Piece, text: str, what: str, row: tuple[str, int]) -> str:
    text = text.strip()
    if not text:
        raise piece.fault(Trouble(f"empty-{what}", f"the {what} is empty"), row, piece.first_line)
    if LINE_BREAK.search(text):
        raise piece.fault(
            Trouble(f"long-{what}", f"the {what} has more than one line"), row, piece.first_line
        )
    if len(text) > LONGEST_SUBJECT:
        message = f"the {what} has more than {LONGEST_SUBJECT} characters"
        raise piece.fault(Trouble(f"long-{what}", message), row, piece.first_line)
    return text


def _place_in(traceback: TracebackType | None) -> tuple[str, int]:
    """Return file and line of the deepest template in a traceback; "" and 0 where there is none."""
    file, line = "", 0
    while traceback is not None:
        template = traceback.tb_frame.f_globals.get("__jinja_template__")
        if isinstance(template, Template):
            file, line = template.filename or "", template.get_corresponding_lineno(traceback.tb_lineno)
        traceback = traceback.tb_next
    return file, line
