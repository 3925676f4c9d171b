"""Whether the words that letters ask for, of who wants no more of them, would be understood: for `check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cli.folder import draft_of
from pipeline.cli.templatefiles import TEMPLATES
from pipeline.problem import Problem, Severity
from pipeline.replies.promised import unknown_words

if TYPE_CHECKING:
    from pipeline.cli.folder import Checked

HINT = (
    "who answers so would be a person with an answer, to be found by hand; words that are understood:\n"
    "“no further letters”, “unsubscribe”, “stop”, and the like in the letter's language"
)


def misleading_footers(checked: Checked) -> list[Problem]:
    """Return a warning for words at the end of a language's letter that would be no opt-out."""
    if not checked.letters:
        return []
    problems = []
    for language, (recipient, signatory) in sorted(checked.first_of_each_language().items()):
        letter = checked.composer.render(draft_of(recipient, signatory=signatory)).text
        for words in unknown_words(letter):
            problems.append(_problem(checked, language, words))
    return problems


def _problem(checked: Checked, language: str, words: str) -> Problem:
    name = f"{TEMPLATES}/letter.{language}.md"
    line, column, source = _place((checked.settings.root / name).read_text("utf-8", "replace"), words)
    message = f"an answer “{words}” would not be taken for a wish to get no more letters"
    return Problem(name, line, column, "optout-words", message, HINT, Severity.WARNING, source)


def _place(template: str, words: str) -> tuple[int, int, str]:
    """Return where the words stand; 0 where they come from elsewhere, or are wrapped."""
    for number, line in enumerate(template.splitlines(), 1):
        if (at := line.find(words)) >= 0:
            return number, at + 1, line
    return 0, 0, ""
