"""No version is older than its source: what a translator confirmed is known, passage by passage."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.letters.confirmed import FILE, confirmation, written
from pipeline.letters.templates import Templates, compile_templates
from pipeline.problem import Problem, Severity

AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
FACTS = 'detained = 47\n[prisoners]\nen = "Irena"\nru = "Ирена"\n'
ENGLISH = "First passage,\nof two lines.\n\nSecond: {{ facts.prisoners }}, {{ facts.detained }}.\n\nThird.\n"
RUSSIAN = "Первый.\n\nВторой: {{ facts.prisoners }}, {{ facts.detained }}.\n\nТретий.\n"


def compiled(
    english: str = ENGLISH,
    russian: str = RUSSIAN,
    confirmed: str = "",
    facts: str = FACTS,
    subject: str = "Hello",
) -> tuple[Templates, list[Problem]]:
    """Compile two versions, with a file of confirmations."""
    sources = {
        "templates/letter.en.md": f'+++\nsubject = "{subject}"\n+++\n{english}',
        "templates/letter.ru.md": f'+++\nsubject = "Здравствуйте"\n+++\n{russian}',
        "templates/facts.toml": facts,
    }
    if confirmed:
        sources[FILE] = confirmed
    return compile_templates(sources, columns=("email",), campaign={}, languages=["en", "ru"])


def confirmed() -> str:
    """Return the file after the Russian version was confirmed."""
    templates, problems = compiled()
    assert problems == []
    one = confirmation(templates.letters, templates.facts, "ru", first="en", by="M.  Ivanova", at=AT)
    return written({"ru": one})


def test_a_version_that_was_confirmed_has_no_problem() -> None:
    """Nor has one whose source was only wrapped anew, nor where a figure of facts.toml changed for all."""
    text = confirmed()
    assert compiled(confirmed=text)[1] == []
    assert compiled(ENGLISH.replace(",\nof", ", of"), confirmed=text)[1] == []
    assert compiled(confirmed=text, facts=FACTS.replace("47", "48"))[1] == []


def test_a_campaign_without_confirmations_is_asked_for_none() -> None:
    """A small one has a single translator, who knows."""
    assert compiled(ENGLISH + "\nFourth.\n")[1] == []


@pytest.mark.parametrize(
    ("english", "line", "place"),
    [
        (ENGLISH.replace("Third", "Another third"), 8, "templates/letter.en.md:9"),
        (ENGLISH.replace("two lines", "two short lines"), 4, "templates/letter.en.md:4"),
        (ENGLISH + "\nFourth.\n", 8, "templates/letter.en.md:11"),
    ],
)
def test_a_changed_source_makes_the_version_old(english: str, line: int, place: str) -> None:
    """The passage is named, beside that of the version."""
    (problem,) = compiled(english, confirmed=confirmed())[1]
    assert (problem.file, problem.line, problem.severity) == ("templates/letter.ru.md", line, Severity.ERROR)
    assert problem.code == "older-than-source"
    assert problem.message == f"{place} was changed since M. Ivanova on 2026-11-20 confirmed this version"
    assert problem.hint == "read both again, then `campaign approve --translation ru --by NAME`"


def test_words_of_facts_and_the_subject_belong_to_the_source() -> None:
    """They are translated too."""
    text = confirmed()
    (problem,) = compiled(confirmed=text, facts=FACTS.replace("Irena", "Irena T."))[1]
    assert problem.message.startswith("templates/facts.toml:3 was changed")
    (problem,) = compiled(confirmed=text, subject="Hello again")[1]
    assert (problem.line, problem.message[:24]) == (2, "templates/letter.en.md:2")


def test_what_was_taken_out_makes_the_version_old() -> None:
    """There is no line to name then."""
    (problem,) = compiled(ENGLISH.replace("Third.\n", ""), confirmed=confirmed())[1]
    assert problem.message.startswith("something was taken out of templates/letter.en.md since M. Ivanova")


def test_a_version_that_was_changed_itself_is_worth_a_look() -> None:
    """It is no fault: somebody may have mended a comma."""
    (problem,) = compiled(russian=RUSSIAN.replace("Третий.", "Третий!"), confirmed=confirmed())[1]
    assert (problem.code, problem.severity) == ("unconfirmed", Severity.WARNING)


def test_where_one_version_is_confirmed_the_others_are_asked_for() -> None:
    """Nobody has read it."""
    text = confirmed().replace("[ru]", "[el]")
    (problem,) = compiled(confirmed=text)[1]
    assert problem.message == "nobody has confirmed this version against templates/letter.en.md"


@pytest.mark.parametrize(
    ("language", "by", "words"),
    [
        ("en", "M.", 'the letter in "en" was made from no other'),
        ("fr", "M.", 'there is no letter in "fr" that could be confirmed'),
        ("ru", " ", "a name of 1 to 100 characters is needed"),
        ("ru", "x\x1b[2J", "a name of 1 to 100 characters is needed"),
    ],
)
def test_what_cannot_be_confirmed_is_told(language: str, by: str, words: str) -> None:
    """In words."""
    templates, _ = compiled()
    with pytest.raises(ValueError, match="^" + words.replace(".", r"\.")):
        confirmation(templates.letters, templates.facts, language, first="en", by=by, at=AT)


@pytest.mark.parametrize(
    "text", ["[ru]\nby = 1\n", "ru = 1\n", '[ru]\nsource = "en"\nby = "x"\nversion = "y"\n']
)
def test_a_file_that_says_nothing_is_not_believed(text: str) -> None:
    """Somebody wrote in it."""
    problem = compiled(confirmed=text)[1][0]
    assert (problem.file, problem.code, problem.line) == (FILE, "confirmed", 1)


def test_a_name_cannot_write_into_the_file() -> None:
    """It is quoted."""
    templates, _ = compiled()
    name = 'A "B" [x] = \\ C'
    one = confirmation(templates.letters, templates.facts, "ru", first="en", by=name, at=AT)
    assert compiled(confirmed=written({"ru": one}))[0].confirmed["ru"] == one
