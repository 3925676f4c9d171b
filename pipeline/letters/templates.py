"""From templates, facts and a row of the list to the words of one letter.

    templates/letter.<language>.md   front matter, then a body: Jinja, then Markdown, for text and HTML
    templates/facts.toml             facts that all letters share, as facts.x (`facts`)
    templates/**/*.md                what letters extend and include (`parts`)
    templates/layout.html            the page round the HTML (a plain one is built in)

`compile_templates` finds everything that can be known without a recipient, all at once: syntax, names of
columns and facts, missing languages. Names are scoped, never bare: recipient.x, signatory.x, campaign.x,
facts.x. What it returns fills them in (`rendering`).

Pure: files come in as texts. Jinja is bounded and short-listed in `sandbox`, Markdown is read in `markdown`.

Limits: 256 KiB a file; a `{% … %}` over several lines leaves its line end behind.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from jinja2 import Template, TemplateSyntaxError, nodes

from pipeline.letters import confirmed as confirmations
from pipeline.letters import facts as shared_facts
from pipeline.letters import layout
from pipeline.letters.confirmed import Confirmation, older_versions, read_confirmed
from pipeline.letters.facts import Facts, read_facts
from pipeline.letters.filters import FILTERS
from pipeline.letters.frame import is_frame
from pipeline.letters.frontmatter import FENCE, read_front_matter, read_toml
from pipeline.letters.names import Known, Use, check_names
from pipeline.letters.outline import printed_columns
from pipeline.letters.parity import compare_versions
from pipeline.letters.parts import (
    DEEPEST,
    FOLDER,
    Part,
    Shelf,
    blocks_of,
    check_blocks,
    check_parts,
    reached,
)
from pipeline.letters.rendering import LetterTemplate, Piece, Rendered, TemplateFault, Templates
from pipeline.letters.sandbox import Bounded, Sandbox, Trouble, placed, plain, time_limit
from pipeline.letters.source import Source, read_source
from pipeline.letters.thread import COLUMNS, FOLLOWUP, file_of
from pipeline.problem import Problem, Severity, errors, visible

__all__ = ["Rendered", "TemplateFault", "Templates", "compile_templates"]

COMPILE_SECONDS = 10.0  # all templates together, in the main thread

LETTER = "letter"
_LETTER = re.compile(rf"templates/({LETTER}|{FOLLOWUP})\.([A-Za-z]{{2,8}}(?:-[A-Za-z0-9]{{1,8}})*)\.md")
_TAG = re.compile(r"\{%.*?%\}|\{#.*?#\}")
_OPENING = re.compile(r"\{%[+-]?\s*(if|for|endif|endfor)\b")
_HTML = re.compile(
    r"</?(?:a|b|br|div|em|font|h[1-6]|hr|i|img|li|ol|p|span|strong|table|td|tr|u|ul)(?:\s[^>]*)?/?>", re.I
)
_ENDS = {"end of print statement": r"[-+]?\}\}", "end of statement block": r"[-+]?%\}"}


def compile_templates(
    sources: Mapping[str, str],
    *,
    columns: Collection[str],
    campaign: Mapping[str, str],
    languages: Sequence[str],
    signatory: Collection[str] | None = None,
    compare: bool = True,
    stem: str = LETTER,
) -> tuple[Templates, list[Problem]]:
    """Compile the templates of a campaign and return them with everything that is wrong with them.

    ``sources`` maps file names relative to the campaign ("templates/letter.en.md") to their text;
    ``columns`` are those of the list, ``campaign`` the values of campaign.x, ``languages`` those that
    letters are written in, ``signatory`` the names of signatory.x (None: there are no signatories), ``stem``
    is how the files of letters begin. A letter with an error is not among what can be rendered. Not to
    ``compare`` the versions is for a campaign that was checked before.
    """
    signed = tuple(signatory) if signatory is not None else None
    known = Known(tuple(columns), dict(campaign), {}, signatory=signed)
    compiler = _Compiler(known, stem, compare=compare)
    try:
        with time_limit(COMPILE_SECONDS):
            templates = compiler.compile(sources, languages)
    except Trouble:
        message = f"the templates take longer than {COMPILE_SECONDS:g} seconds to read"
        compiler.problems.append(Problem("templates", 0, 0, "too-slow", message))
        templates = compiler.nothing()
    return templates, compiler.problems


def compile_both(
    sources: Mapping[str, str],
    *,
    columns: Collection[str],
    campaign: Mapping[str, str],
    languages: Sequence[str],
    signatory: Collection[str] | None,
    compare: bool = True,
) -> tuple[Templates, list[Problem]]:
    """Compile first letters and, where there are any, the follow-ups (`Templates.followups`); arguments as
    `compile_templates` has them.

    The rows of follow-ups have two more columns (`thread.COLUMNS`). Only what is wrong with their own files
    is told of them; the others are the first letters' business.
    """

    def compiled(
        *more: str, languages: Sequence[str], stem: str, compare: bool
    ) -> tuple[Templates, list[Problem]]:
        return compile_templates(
            sources,
            columns=(*columns, *more),
            campaign=campaign,
            languages=languages,
            signatory=signatory,
            stem=stem,
            compare=compare,
        )

    first, problems = compiled(languages=languages, stem=LETTER, compare=compare)
    written = [language for language in languages if file_of(language) in sources]
    if not written:
        return first, problems
    first.followups, found = compiled(*COLUMNS, languages=written, stem=FOLLOWUP, compare=compare)
    ours = {file_of(language) for language in written}
    return first, [*problems, *(problem for problem in found if problem.file in ours)]


@dataclass(frozen=True, slots=True)
class _Shared:
    """A shared file, compiled: the columns it prints (None: it does more with one) and the facts it uses."""

    part: Part
    prints: frozenset[str] | None
    uses: tuple[Use, ...]


class _Compiler:
    """Reads sources and gathers problems."""

    def __init__(self, known: Known, stem: str, *, compare: bool) -> None:
        self._compare = compare
        self.problems: list[Problem] = []
        self._stem = stem
        self._known = known
        self._shelf = Shelf()
        self._lines = Sandbox(finalize=plain, filters=FILTERS)
        self._bodies = Sandbox(finalize=placed, filters=FILTERS, shelf=self._shelf)
        self._pages = Sandbox(finalize=plain, filters=FILTERS, autoescape=True)
        self._shared: dict[str, Source | None] = {}  # by the name below templates/
        self._parts: dict[str, _Shared | None] = {}
        self._under_way: list[str] = []  # shared files that are being compiled
        self._facts = Facts()
        self._facts_wrong = False

    def compile(self, sources: Mapping[str, str], languages: Sequence[str]) -> Templates:
        read = {name: self._read(name, sources[name]) for name in sorted(sources)}
        self._shared = {
            name.removeprefix(FOLDER): source
            for name, source in read.items()
            if name.endswith(".md") and not _LETTER.fullmatch(name)
        }
        self._read_facts(read.get(shared_facts.FILE), languages)
        page = self._layout(read.get(layout.FILE))
        letters: dict[str, LetterTemplate] = {}
        broken: dict[str, Problem] = {}
        for language, source in self._wanted(read, languages):
            before = len(self.problems)
            letter = self._letter(source) if source else None
            if letter:
                letters[language] = letter
            else:
                name = f"templates/{self._stem}.{language}.md"
                unread = Problem(name, 0, 0, "template-unusable", "the letter cannot be used")
                wrong = [problem for problem in self.problems if problem.file == name]
                broken[language] = (self.problems[before:] or wrong or [unread])[0]
        self._unused(read)
        if self._facts_wrong:  # then what is wrong with it is told, and not what it lacks
            self.problems = [problem for problem in self.problems if problem.code != "unknown-fact"]
        confirmed = self._confirmed(read.get(confirmations.FILE))
        if self._compare:
            self.problems += compare_versions(letters, self._facts, tuple(dict.fromkeys(languages)))
            if self._stem == LETTER:  # translators confirm those
                self.problems += older_versions(letters, self._facts, languages, confirmed)
        return Templates(
            letters=letters,
            broken=broken,
            page=page,
            campaign=self._known.campaign,
            facts=self._facts,
            confirmed=confirmed,
        )

    def nothing(self) -> Templates:
        """Return templates that render nothing."""
        page = self._built_in()
        return Templates(letters={}, broken={}, page=page, campaign={}, facts=Facts())

    def _read(self, name: str, text: str) -> Source | None:
        source, problems = read_source(name, text)
        self.problems += problems
        return None if problems else source

    def _wanted(
        self, read: Mapping[str, Source | None], languages: Sequence[str]
    ) -> Iterator[tuple[str, Source | None]]:
        """Yield the letters to compile; report those that are missing and those that nobody asked for."""
        found = {
            match[2]: source
            for name, source in read.items()
            if (match := _LETTER.fullmatch(name)) and match[1] == self._stem
        }
        for language in dict.fromkeys(languages):
            if language in found:
                yield language, found[language]
                continue
            name = f"templates/{self._stem}.{language}.md"
            hint = f"write it, or take {language} out of languages in campaign.toml"
            if near := get_close_matches(language, [other for other in found if other not in languages], n=1):
                hint = f"there is templates/{self._stem}.{near[0]}.md"
            self.problems.append(Problem(name, 0, 0, "no-template", "this letter does not exist", hint))
        for language in found:
            if language not in languages:
                hint = f'languages in campaign.toml does not have "{language}"; such files are left aside'
                self._warn(
                    f"templates/{self._stem}.{language}.md",
                    "unused-template",
                    "this letter is not used",
                    hint,
                )

    def _unused(self, read: Mapping[str, Source | None]) -> None:
        for name in read:
            known = name in (shared_facts.FILE, confirmations.FILE, layout.FILE) or _LETTER.fullmatch(name)
            if not known and name.removeprefix(FOLDER) not in self._parts:
                names = "templates/letter.LANGUAGE.md, templates/facts.toml and templates/layout.html"
                hint = f"the files that are read: {names}, and what letters include and extend"
                self._warn(name, "unused-file", "this file is not used", hint)

    def _warn(self, file: str, code: str, message: str, hint: str) -> None:
        self.problems.append(Problem(file, 0, 0, code, message, hint, Severity.WARNING))

    def _read_facts(self, source: Source | None, languages: Sequence[str]) -> None:
        if source is None:
            return
        table, problems = read_toml(source, 1, len(source.lines))
        if table is not None:
            self._facts, problems = read_facts(source, languages=languages, columns=self._known.columns)
        self.problems += problems
        self._facts_wrong = bool(errors(problems)) and not self._facts.entries
        columns = self._known.columns
        if self._facts.salutations and shared_facts.SALUTATION not in columns:
            columns = (*columns, shared_facts.SALUTATION)
        self._known = replace(self._known, columns=columns, facts=self._facts.entries)

    def _confirmed(self, source: Source | None) -> dict[str, Confirmation]:
        found, problems = read_confirmed(source) if source else ({}, [])
        self.problems += problems
        return found

    def _letter(self, source: Source) -> LetterTemplate | None:
        matter, problems = read_front_matter(source)
        self.problems += problems
        if matter is None:
            return None
        subject = self._piece(source, matter.subject_line, matter.subject, self._lines)
        preheader = self._piece(source, matter.preheader_line, matter.preheader, self._lines)
        body = self._piece(source, matter.body_line, _keep_line_ends(matter.body), self._bodies, parts=True)
        self._html_in(source, matter.body_line)
        if subject is None or preheader is None or body is None:
            return None
        return LetterTemplate(
            subject=subject,
            preheader=preheader if matter.preheader.strip() else None,
            body=body,
            attachments=matter.attachments,
            attachments_line=matter.attachments_line,
            matter=matter,
        )

    def _html_in(self, source: Source, first_line: int) -> None:
        for number in range(first_line, len(source.lines) + 1):
            if found := _HTML.search(source.line(number)):
                message = f"{found[0]} would be shown as it is written: letters are Markdown, not HTML"
                problem = source.problem(
                    number, found.start() + 1, "html-in-letter", message, severity=Severity.WARNING
                )
                self.problems.append(problem)
                return

    def _layout(self, source: Source | None) -> Piece:
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

    def _built_in(self) -> Piece:
        source = Source(layout.FILE, tuple(layout.BUILT_IN.split("\n")))
        tree = self._pages.parse(layout.BUILT_IN)
        return Piece(source, 1, _template(self._pages, tree, layout.FILE), frames=is_frame(tree))

    def _joined(
        self, tree: nodes.Template, source: Source, first_line: int
    ) -> tuple[str, tuple[str, ...], list[Problem]]:
        """Return what a file extends and all it uses, compiled, and what is wrong with that."""
        extends, names, problems = check_parts(
            tree, source, first_line=first_line, shared=[name for name, text in self._shared.items() if text]
        )
        for name in names:
            if name in self._under_way or len(self._under_way) >= DEEPEST:
                line = source.first_line_with(re.escape(f"{name}"), first_line)
                why = "it uses itself" if name in self._under_way else f"more than {DEEPEST} files deep"
                column = source.column(line, re.escape(name))
                problems.append(
                    source.problem(line, column, "circular", f"{FOLDER}{name} is too deep: {why}")
                )
            else:
                self._part(name)
        return extends, names, problems

    def _part(self, name: str) -> Part | None:
        """Return a shared file, compiled once; None where it cannot be used."""
        if name not in self._parts:
            self._parts[name] = None
            self._under_way.append(name)
            self._parts[name] = self._compiled(name)
            self._under_way.pop()
        shared = self._parts[name]
        return shared.part if shared else None

    def _compiled(self, name: str) -> _Shared | None:
        source = self._shared.get(name)
        if source is None:
            return None
        if source.line(1).rstrip() == FENCE:
            hint = "subject and attachments stand in each templates/letter.LANGUAGE.md"
            message = "what letters share has no head of its own"
            self.problems.append(source.problem(1, 1, "front-matter", message, hint=hint))
            return None
        piece = self._piece(source, 1, _keep_line_ends("\n".join(source.lines)), self._bodies, parts=True)
        if piece is None:
            return None
        self._html_in(source, 1)
        tree = self._bodies.parse("\n".join(source.lines))
        extends, names, _ = check_parts(tree, source, first_line=1, shared=self._shared)
        self._shelf.templates[name] = piece.template
        part = Part(source, extends, names, blocks_of(tree))
        return _Shared(part, piece.prints, piece.uses)

    def _piece(
        self,
        source: Source,
        first_line: int,
        text: str,
        sandbox: Sandbox,
        own: frozenset[str] = frozenset(),
        *,
        parts: bool = False,
    ) -> Piece | None:
        """Compile one text of a file; None and problems where it cannot be used.

        ``parts``: it may extend and include others.
        """
        known = replace(self._known, own=own)
        try:
            tree = sandbox.parse(text)
            problems, uses = check_names(
                tree, source, first_line=first_line, known=known, sandbox=sandbox, parts=parts
            )
            others: list[_Shared] = []
            if parts:
                extends, names, found = self._joined(tree, source, first_line)
                problems = sorted([*problems, *found], key=lambda problem: (problem.line, problem.column))
                others = [shared for one in reached(names, self._part) if (shared := self._parts[_name(one)])]
                usable = all(self._part(name) is not None for name in names)
                if not usable and not problems:
                    return None  # told where that file is wrong
                if extends and usable:
                    problems += check_blocks(
                        tree,
                        source,
                        first_line=first_line,
                        extends=extends,
                        part=self._part,
                        whole=not self._under_way,
                    )
            if not problems:
                printed = [printed_columns(tree), *(one.prints for one in others)]
                return Piece(
                    source,
                    first_line,
                    frames=is_frame(tree),
                    prints=None if None in printed else frozenset().union(*filter(None, printed)),
                    template=_template(sandbox, tree, source.file),
                    uses=(*uses, *(use for one in others for use in one.uses)),
                    parts={one.part.source.file: one.part.source for one in others},
                )
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


def _name(part: Part) -> str:
    return part.source.file.removeprefix(FOLDER)


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
