"""From templates, facts and a row of the list to the words of one letter.

    templates/letter.<language>.md   front matter, then a body: Jinja, then Markdown; text and HTML come of
    one source templates/facts.toml             facts that all letters share, as facts.x
    templates/layout.html            the page round the HTML (a plain one is built in)

`compile_templates` finds everything that can be known without a recipient, all at once: syntax, names of
columns and facts, missing languages. `Templates.render` makes one letter, or raises `TemplateFault` with
the problem that names both the line of the template and the row of the list. Names are scoped, never bare:
recipient.x, campaign.x, facts.x.

Pure: files come in as texts. Jinja is bounded and short-listed in `sandbox`, Markdown is read in `markdown`.

Limits: 256 KiB a file and 256 Ki characters a letter; two seconds a letter in the main thread; a `{% … %}`
over several lines leaves its line end behind.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from difflib import get_close_matches
from types import TracebackType
from typing import Any

from jinja2 import Template, TemplateSyntaxError, UndefinedError, nodes
from markupsafe import Markup

from pipeline.letters import layout
from pipeline.letters.attachments import Place
from pipeline.letters.cast import Cast, cast
from pipeline.letters.frame import BODY_MARK, PREHEADER_MARK, SUBJECT_MARK, Frame, is_frame
from pipeline.letters.frontmatter import FrontMatter, read_front_matter, read_toml
from pipeline.letters.markdown import Body
from pipeline.letters.names import CAMPAIGN, FACTS, RECIPIENT, Known, check_names
from pipeline.letters.outline import (
    LINE_BREAK,
    LONGEST_SUBJECT,
    MARKS,
    Outline,
    Words,
    filling,
    line_with_gaps,
    marked,
    printed_columns,
)
from pipeline.letters.sandbox import (
    LARGEST_TEXT,
    SECONDS,
    STATE,
    Bounded,
    Sandbox,
    State,
    Table,
    Trouble,
    placed,
    plain,
    time_limit,
)
from pipeline.letters.source import Source, read_source
from pipeline.letters.splice import Plans
from pipeline.problem import Problem, Severity, visible

FACTS_FILE = "templates/facts.toml"
DEEPEST_FACT = 8
MOST_CASTS = 32  # bodies kept ready for values
COMPILE_SECONDS = 10.0  # all templates together, in the main thread

_LETTER = re.compile(r"templates/letter\.([A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*)\.md")
_TAG = re.compile(r"\{%.*?%\}|\{#.*?#\}")
_OPENING = re.compile(r"\{%[+-]?\s*(if|for|endif|endfor)\b")
_HTML = re.compile(
    r"</?(?:a|b|br|div|em|font|h[1-6]|hr|i|img|li|ol|p|span|strong|table|td|tr|u|ul)(?:\s[^>]*)?/?>", re.I
)
_ENDS = {"end of print statement": r"[-+]?\}\}", "end of statement block": r"[-+]?%\}"}


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
class _Piece:
    """A compiled template, and where it begins in its file."""

    source: Source
    first_line: int
    template: Template
    frames: bool = (
        False  # a layout that prints body, subject and preheader as they are, and no value of a row
    )
    prints: frozenset[str] | None = None  # columns, where nothing else is done with any; else None

    def run(self, names: Mapping[str, Any], row: tuple[str, int]) -> str:
        """Return what the template prints; TemplateFault where it cannot."""
        context = self.template.new_context(dict(names))
        try:
            return "".join(_bounded(self.template.root_render_func(context)))
        except Exception as error:
            raise TemplateFault(self._problem(error, row)) from None

    def fault(self, trouble: Trouble, row: tuple[str, int], line: int = 0) -> TemplateFault:
        """Return a fault at ``line`` of the file, or at the first line that shows what it is about."""
        line = line or self.source.first_line_with(trouble.pattern or r"\S", self.first_line)
        column = self.source.column(line, trouble.pattern or r"\{\{|\{%|\S")
        message = f"{row[0]}:{row[1]}: {visible(trouble.message, limit=300)}"
        return TemplateFault(self.source.problem(line, column, trouble.code, message, hint=trouble.hint))

    def _problem(self, error: Exception, row: tuple[str, int]) -> Problem:
        line = self.first_line - 1 + (_line_in(self.template, error.__traceback__) or 1)
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
        return self.fault(trouble, row, line).problem


@dataclass(frozen=True, slots=True)
class _Letter:
    """One language's letter, compiled."""

    subject: _Piece
    preheader: _Piece | None
    body: _Piece
    attachments: tuple[str, ...]
    attachments_line: int

    def lines(self, names: Mapping[str, Any], row: tuple[str, int]) -> tuple[str, str]:
        """Return subject and preheader, an empty one where the letter has none. Raises TemplateFault."""
        subject = _one_line(self.subject, self.subject.run(names, row), "subject", row)
        preheader = ""
        if self.preheader:
            preheader = _one_line(self.preheader, self.preheader.run(names, row), "preheader", row)
        return subject, preheader


class Templates:
    """All letters of a campaign, ready to be rendered."""

    def __init__(
        self,
        *,
        letters: Mapping[str, _Letter],
        broken: Mapping[str, Problem],
        page: _Piece,
        campaign: Mapping[str, str],
        facts: Mapping[str, Any],
    ) -> None:
        self._letters, self._broken, self._page = letters, broken, page
        self._shared = {CAMPAIGN: Table(CAMPAIGN, campaign), FACTS: Table(FACTS, facts)}
        self._plans = Plans()
        self._frames: dict[tuple[str, bool], Frame] = {}
        self._outlines: dict[str, Outline | None] = {}
        self._casts: dict[tuple[str, str, bool], Cast] = {}
        self._uncast: set[str] = set()  # languages whose letters are all rendered
        self.languages = tuple(sorted([*letters, *broken]))

    def render(self, *, language: str, recipient: Mapping[str, str], row: tuple[str, int]) -> Rendered:
        """Return the letter in ``language`` for one ``recipient`` (column -> cell).

        ``row`` is (file, line) of the recipient, for the problem. TemplateFault where the letter cannot be
        made: an empty cell that is printed, no letter in that language, a bound that was reached.
        """
        letter = self._letters.get(language)
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
        letter = self._letters.get(language)
        if letter is None or language in self._uncast:
            return None
        if language not in self._outlines:
            self._outlines[language] = self._outline(letter)
        outline = self._outlines[language]
        words = outline.fill(recipient) if outline else self._printed(letter, recipient, row)
        if words is None:
            return None
        found = self._casts.get((language, words.markdown, bool(words.preheader)))
        return (words, found) if found else self._newly_cast(language, words, row)

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
        self, letter: _Letter, language: str, recipient: Mapping[str, str], row: tuple[str, int]
    ) -> Rendered:
        names, state = self._names(recipient)
        subject, preheader = letter.lines(names, row)
        body = self._body(letter.body, letter.body.run(names, row), state, row)
        html = self._frame(language, preheader, names, row).fill(body.html.strip("\n"), subject, preheader)
        if html is None or len(html) > LARGEST_TEXT:
            html = self._page.run(
                _page_names(names, language, body.html.strip("\n"), subject, preheader), row
            )
        return Rendered(subject, body.text, html, preheader, letter.attachments)

    def _names(self, recipient: Mapping[str, str]) -> tuple[dict[str, Any], State]:
        state = State()
        return {**self._shared, RECIPIENT: Table(RECIPIENT, recipient, "column"), STATE: state}, state

    def _printed(self, letter: _Letter, recipient: Mapping[str, str], row: tuple[str, int]) -> Words | None:
        """Run Jinja for one letter; None for values that are not as a cast needs them."""
        names, state = self._names(recipient)
        try:
            with time_limit(SECONDS):
                subject, preheader = letter.lines(names, row)
                markdown = letter.body.run(names, row)
        except Trouble as trouble:
            raise letter.body.fault(trouble, row) from None
        if any(value != value.strip() for value in state.values):
            return None
        return Words(subject, preheader, markdown, state.values)

    def _outline(self, letter: _Letter) -> Outline | None:
        """Return the letter with gaps; None where it depends on the row in other ways."""
        first, second = (self._marked_outline(letter, mark) for mark in MARKS)
        return first if first == second else None

    def _marked_outline(self, letter: _Letter, mark: str) -> Outline | None:
        printed = [piece.prints for piece in (letter.subject, letter.preheader, letter.body) if piece]
        if None in printed:
            return None
        columns = tuple(sorted(frozenset[str]().union(*filter(None, printed))))
        names, state = self._names(marked(columns, mark))
        try:
            with time_limit(SECONDS):
                lines = letter.lines(names, ("", 0))
                markdown = letter.body.run(names, ("", 0))
        except (TemplateFault, Trouble):
            return None
        subject, preheader = (line_with_gaps(line, mark) for line in lines)
        filled = filling(state.values, mark)
        if subject is None or filled is None or bool(preheader) != bool(letter.preheader):
            return None
        return Outline(columns, subject, preheader, markdown, filled)

    def _newly_cast(self, language: str, words: Words, row: tuple[str, int]) -> tuple[Words, Cast] | None:
        """Cast a body that was not met before; for a language that has one without a cast, none is tried any
        more.
        """
        made = None
        try:
            if plan := self._plans.of(words.markdown):
                frame = self._frame(language, words.preheader, self._names({})[0], row)
                made = cast(plan, frame, words.markdown)
        except (TemplateFault, Trouble):
            return None
        if made is None:
            self._uncast.add(language)
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

    def _body(self, piece: _Piece, markdown: str, state: State, row: tuple[str, int]) -> Body:
        if len(markdown) + sum(map(len, state.values)) > LARGEST_TEXT:
            raise Trouble("too-large", f"the letter is longer than {LARGEST_TEXT // 1024} Ki characters")
        try:
            return self._plans.body(markdown, state.values)
        except Trouble as trouble:
            raise piece.fault(trouble, row) from None
        except Exception as error:
            unread = Trouble("template-fault", f"Markdown cannot be read: {error}")
            raise piece.fault(unread, row) from None

    def _missing(self, language: str, row: tuple[str, int]) -> Problem:
        message = f'no letter in the language "{visible(language, limit=20)}"'
        hint = f"templates exist for: {', '.join(self.languages) or 'no language'}"
        return Problem(row[0], row[1], 0, "no-template", message, hint)


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
        "direction": layout.direction(language),
    }


def compile_templates(
    sources: Mapping[str, str],
    *,
    columns: Collection[str],
    campaign: Mapping[str, str],
    languages: Sequence[str],
) -> tuple[Templates, list[Problem]]:
    """Compile the templates of a campaign and return them with everything that is wrong with them.

    ``sources`` maps file names relative to the campaign ("templates/letter.en.md") to their text;
    ``columns`` are those of the list, ``campaign`` the values of campaign.x, ``languages`` those that
    letters are written in. A letter with an error is not among what can be rendered.
    """
    compiler = _Compiler(columns=tuple(columns), campaign=dict(campaign))
    try:
        with time_limit(COMPILE_SECONDS):
            templates = compiler.compile(sources, languages)
    except Trouble:
        message = f"the templates take longer than {COMPILE_SECONDS:g} seconds to read"
        compiler.problems.append(Problem("templates", 0, 0, "too-slow", message))
        templates = compiler.nothing()
    return templates, compiler.problems


class _Compiler:
    """Reads sources and gathers problems."""

    def __init__(self, *, columns: tuple[str, ...], campaign: dict[str, str]) -> None:
        self.problems: list[Problem] = []
        self._known = Known(columns, campaign, {})
        self._lines = Sandbox(finalize=plain)
        self._bodies = Sandbox(finalize=placed)
        self._pages = Sandbox(finalize=plain, autoescape=True)

    def compile(self, sources: Mapping[str, str], languages: Sequence[str]) -> Templates:
        read = {name: self._read(name, sources[name]) for name in sorted(sources)}
        facts = self._facts(read.get(FACTS_FILE))
        self._known = Known(self._known.columns, self._known.campaign, facts)
        page = self._layout(read.get(layout.FILE))
        letters: dict[str, _Letter] = {}
        broken: dict[str, Problem] = {}
        for language, source in self._wanted(read, languages):
            before = len(self.problems)
            letter = self._letter(source) if source else None
            if letter:
                letters[language] = letter
            else:
                name = f"templates/letter.{language}.md"
                unread = Problem(name, 0, 0, "template-unusable", "the letter cannot be used")
                wrong = [problem for problem in self.problems if problem.file == name]
                broken[language] = (self.problems[before:] or wrong or [unread])[0]
        return Templates(
            letters=letters, broken=broken, page=page, campaign=self._known.campaign, facts=self._known.facts
        )

    def nothing(self) -> Templates:
        """Return templates that render nothing."""
        page = self._built_in()
        return Templates(letters={}, broken={}, page=page, campaign={}, facts={})

    def _read(self, name: str, text: str) -> Source | None:
        source, problems = read_source(name, text)
        self.problems += problems
        return None if problems else source

    def _wanted(
        self, read: Mapping[str, Source | None], languages: Sequence[str]
    ) -> Iterator[tuple[str, Source | None]]:
        """Yield the letters to compile; report those that are missing and those that nobody asked for."""
        found = {match[1]: source for name, source in read.items() if (match := _LETTER.fullmatch(name))}
        for language in dict.fromkeys(languages):
            if language in found:
                yield language, found[language]
                continue
            name = f"templates/letter.{language}.md"
            hint = f"write it, or take {language} out of languages in campaign.toml"
            if near := get_close_matches(language, [other for other in found if other not in languages], n=1):
                hint = f"there is templates/letter.{near[0]}.md"
            self.problems.append(Problem(name, 0, 0, "no-template", "this letter does not exist", hint))
        for language in found:
            if language not in languages:
                hint = f'languages in campaign.toml does not have "{language}"; such files are left aside'
                self._warn(
                    f"templates/letter.{language}.md", "unused-template", "this letter is not used", hint
                )
        for name in read:
            if name not in (FACTS_FILE, layout.FILE) and not _LETTER.fullmatch(name):
                names = "templates/letter.LANGUAGE.md, templates/facts.toml and templates/layout.html"
                self._warn(name, "unused-file", "this file is not used", f"the files that are read: {names}")

    def _warn(self, file: str, code: str, message: str, hint: str) -> None:
        self.problems.append(Problem(file, 0, 0, code, message, hint, Severity.WARNING))

    def _facts(self, source: Source | None) -> dict[str, Any]:
        if source is None:
            return {}
        table, problems = read_toml(source, 1, len(source.lines))
        self.problems += problems
        for path, what in _unfit_facts(table or {}, FACTS, 0):
            key = path.rsplit(".", 1)[-1].split("[")[0]
            line = source.first_line_with(rf"""^\s*["']?{re.escape(key)}["']?\s*=|^\s*\[.*{re.escape(key)}""")
            column = source.column(line, re.escape(key))
            self.problems.append(source.problem(line, column, "unfit-fact", f"{path} {what}"))
        return table or {}

    def _letter(self, source: Source) -> _Letter | None:
        matter, problems = read_front_matter(source)
        self.problems += problems
        if matter is None:
            return None
        subject = self._piece(source, matter.subject_line, matter.subject, self._lines)
        preheader = self._piece(source, matter.preheader_line, matter.preheader, self._lines)
        body = self._piece(source, matter.body_line, _keep_line_ends(matter.body), self._bodies)
        self._html_in(source, matter)
        if subject is None or preheader is None or body is None:
            return None
        return _Letter(
            subject=subject,
            preheader=preheader if matter.preheader.strip() else None,
            body=body,
            attachments=matter.attachments,
            attachments_line=matter.attachments_line,
        )

    def _html_in(self, source: Source, matter: FrontMatter) -> None:
        for number in range(matter.body_line, len(source.lines) + 1):
            if found := _HTML.search(source.line(number)):
                message = f"{found[0]} would be shown as it is written: letters are Markdown, not HTML"
                problem = source.problem(
                    number, found.start() + 1, "html-in-letter", message, severity=Severity.WARNING
                )
                self.problems.append(problem)
                return

    def _layout(self, source: Source | None) -> _Piece:
        if source is None:
            return self._built_in()
        text = "\n".join(source.lines)
        piece = self._piece(source, 1, text, self._pages, layout.NAMES)
        self.problems += layout.remote_content(source)
        if piece and not re.search(r"\{\{[^}]*\bbody\b", text):
            hint = "put {{ body }} where the letter stands"
            self.problems.append(
                source.problem(1, 1, "no-body", "the layout does not print the letter", hint=hint)
            )
        return piece or self._built_in()

    def _built_in(self) -> _Piece:
        source = Source(layout.FILE, tuple(layout.BUILT_IN.split("\n")))
        tree = self._pages.parse(layout.BUILT_IN)
        return _Piece(source, 1, _template(self._pages, tree, layout.FILE), frames=is_frame(tree))

    def _piece(
        self,
        source: Source,
        first_line: int,
        text: str,
        sandbox: Sandbox,
        own: frozenset[str] = frozenset(),
    ) -> _Piece | None:
        """Compile one text of a file; None and problems where it cannot be used."""
        known = Known(self._known.columns, self._known.campaign, self._known.facts, own)
        try:
            tree = sandbox.parse(text)
            problems = check_names(tree, source, first_line=first_line, known=known, sandbox=sandbox)
            if not problems:
                frames, prints = is_frame(tree), printed_columns(tree)
                return _Piece(source, first_line, _template(sandbox, tree, source.file), frames, prints)
        except TemplateSyntaxError as error:
            problems = [_syntax_problem(source, first_line, text, error)]
        except (RecursionError, MemoryError):
            problems = [source.problem(first_line, 1, "too-deep", "the template is nested too deeply")]
        except (
            ValueError,
            OverflowError,
            SyntaxError,
        ) as error:  # a number of thousands of digits, and the like
            message = f"the template cannot be read: {visible(str(error), limit=120)}"
            problems = [source.problem(first_line, 1, "template-syntax", message)]
        self.problems += problems
        return None


def _bounded(texts: Iterable[str]) -> Iterator[str]:
    size = 0
    for text in texts:
        size += len(text)
        if size > LARGEST_TEXT:
            raise Trouble("too-large", f"the letter is longer than {LARGEST_TEXT // 1024} Ki characters")
        yield text


def _template(sandbox: Sandbox, tree: nodes.Template, file: str) -> Template:
    code = sandbox.compile(Bounded().visit(tree), file, file)
    return Template.from_code(sandbox, code, sandbox.globals)


def _keep_line_ends(body: str) -> str:
    """Let a tag swallow the end of its line only where it has the line to itself.

    Jinja's trim_blocks would glue `… {% endif %}` to the word that begins the next line.
    """
    lines = body.split("\n")
    for number, line in enumerate(lines):
        if not line.rstrip().endswith(("%}", "#}")):
            continue
        if not _TAG.sub("", line).strip():
            lines[number] = line.rstrip()
        elif (
            line.endswith(("%}", "#}"))
            and line[-3:-2] not in ("-", "+")
            and not re.search(r"\braw\s*%\}$", line)
        ):
            lines[number] = f"{line[:-2]}+{line[-2:]}"
    return "\n".join(lines)


def _one_line(piece: _Piece, text: str, what: str, row: tuple[str, int]) -> str:
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


def _line_in(template: Template, traceback: TracebackType | None) -> int:
    """Return the deepest line of ``template`` in a traceback; 0 where it has none."""
    line = 0
    while traceback is not None:
        if traceback.tb_frame.f_globals.get("__jinja_template__") is template:
            line = template.get_corresponding_lineno(traceback.tb_lineno)
        traceback = traceback.tb_next
    return line


def _syntax_problem(source: Source, first_line: int, text: str, error: TemplateSyntaxError) -> Problem:
    message = str(error.message or "").split(". You probably made")[0].rstrip(".")
    unclosed = "Unexpected end of template" in message
    if unclosed and (opened := _unclosed(text)):
        line, word = first_line + opened[0] - 1, opened[1]
        column = source.column(line, rf"\{{%[+-]?\s*{word}\b")
        hint = f"close it with {{% end{word} %}}"
        return source.problem(line, column, "template-syntax", f"this {word} is never closed", hint=hint)
    line = first_line + error.lineno - 1
    quoted = re.findall(r"'([^']+)'", message)
    wanted = _ENDS.get(quoted[-1], rf"(?<![\w.]){re.escape(quoted[-1])}") if quoted else ""
    pattern = wanted if wanted and re.search(wanted, source.line(line)) else r"\{\{|\{%"
    hint = "values stand in {{ … }}, conditions in {% if … %} … {% endif %}"
    message = f"template syntax: {visible(message, limit=200)}"
    return source.problem(line, source.column(line, pattern), "template-syntax", message, hint=hint)


def _unclosed(text: str) -> tuple[int, str] | None:
    """Return line and word of the innermost `if` or `for` without its end."""
    opened: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        for word in _OPENING.findall(line):
            if not word.startswith("end"):
                opened.append((number, word))
            elif opened:
                opened.pop()
    return opened[-1] if opened else None


def _unfit_facts(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    """Yield path and reason of every fact that is neither text, number, date, yes or no, nor a table or
    list."""
    if depth > DEEPEST_FACT:
        yield path, "is nested too deeply"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _unfit_facts(item, f"{path}.{key}", depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unfit_facts(item, f"{path}[{number}]", depth + 1)
    elif isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        yield path, "is not a number that can be printed"
    elif isinstance(value, int) and value.bit_length() > 64:
        yield path, "is too large a number"
    elif not isinstance(value, (str, int, float, date, time)):
        yield path, "is neither text nor number nor date"
