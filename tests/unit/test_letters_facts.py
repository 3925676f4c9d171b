"""Facts: written once, printed in the letter's own language; salutations that fit the row."""

from __future__ import annotations

import pytest

from pipeline.letters.templates import TemplateFault, Templates, compile_templates
from pipeline.problem import Problem, errors

COLUMNS = ("email", "name", "office", "gender")
CELLS = {"email": "a@embassy.example", "name": "Мира Кордвель", "office": "Посол", "gender": "f"}
ROW = ("recipients.csv", 3)
FACTS = """
detained = 1247
march_date = 2026-05-01

[prisoners]
en = "Irena Talvos"
ru = "Ирена Талвос"

[[demands]]
en = "release them;"
ru = "освободить их;"

[[demands]]
en = "investigate."
ru = "расследовать."

[[salutation]]
office = ["ambassador", "посол"]
gender = "f"
ru = "Уважаемая госпожа посол!"

[[salutation]]
office = "посол"
ru = "Уважаемый господин посол!"

[[salutation]]
en = "Dear {name},"
"""


def compiled(body: str, facts: str = FACTS) -> tuple[Templates, list[Problem]]:
    """Compile the same body as a letter in two languages."""
    text = f'+++\nsubject = "Hello"\n+++\n{body}'
    sources = {
        "templates/letter.en.md": text,
        "templates/letter.ru.md": text,
        "templates/facts.toml": facts,
    }
    return compile_templates(sources, columns=COLUMNS, campaign={}, languages=["en", "ru"])


def text_of(body: str, language: str = "ru", **cells: str) -> str:
    """Return the text of a letter that has no problems."""
    templates, problems = compiled(body)
    assert errors(problems) == []
    return templates.render(language=language, recipient={**CELLS, **cells}, row=ROW).text.rstrip("\n")


def test_a_letter_prints_the_words_of_its_own_language() -> None:
    """Or of another, where it says which."""
    assert text_of("{{ facts.prisoners }}", "en") == "Irena Talvos"
    assert text_of("{{ facts.prisoners }}") == "Ирена Талвос"
    assert (
        text_of("{{ facts.prisoners.en }} / {{ facts['prisoners']['ru'] }}") == "Irena Talvos / Ирена Талвос"
    )


def test_words_of_a_fact_are_texts_like_others() -> None:
    """Filters and conditions take them."""
    assert text_of("{{ facts.prisoners|upper }}{% if facts.prisoners %}!{% endif %}") == "ИРЕНА ТАЛВОС!"
    assert (
        text_of("{{ facts.prisoners.upper() }}, {{ facts.prisoners ~ '.' }}") == "ИРЕНА ТАЛВОС, Ирена Талвос."
    )


def test_demands_are_numbered_from_one_list() -> None:
    """The same number, in the same order, in every language."""
    body = "{% for demand in facts.demands %}\n{{ loop.index }}. {{ demand }}\n{% endfor %}\n"
    assert text_of(body, "en") == "1. release them;\n2. investigate."
    assert text_of(body) == "1. освободить их;\n2. расследовать."
    assert text_of("{{ facts.demands[1] }} {{ facts.demands|length }}") == "расследовать. 2"


def test_figures_and_dates_are_written_as_the_reader_does() -> None:
    """From one typed value."""
    body = (
        "{{ facts.detained|number }} {{ facts.march_date|date }} {{ 2|ordinal('f') }} {{ 0.155|percent(1) }}"
    )
    assert text_of(body, "en") == "1,247 May 1, 2026 2nd 15.5%"
    assert text_of(body) == "1\u00a0247 1 мая 2026\u202fг. 2-я 15,5\u00a0%"


@pytest.mark.parametrize(
    ("language", "cells", "words"),
    [
        ("ru", {}, "Уважаемая госпожа посол!"),
        ("ru", {"gender": "m"}, "Уважаемый господин посол!"),
        ("ru", {"office": " ПОСОЛ "}, "Уважаемая госпожа посол!"),
        ("en", {"name": "A. Example"}, "Dear A. Example,"),
    ],
)
def test_the_first_salutation_that_fits_the_row_is_taken(
    language: str, cells: dict[str, str], words: str
) -> None:
    """By office and gender, as far as the language asks for them."""
    assert text_of("{{ recipient.salutation }}", language, **cells) == words


def test_a_salutation_in_the_list_comes_first() -> None:
    """What a person wrote into the row is right."""
    assert text_of("{{ recipient.salutation }}", salutation="Дорогая Мира!") == "Дорогая Мира!"


@pytest.mark.parametrize(("language", "cells"), [("ru", {"office": "Consul"}), ("en", {"name": " "})])
def test_a_row_that_no_salutation_fits_is_a_fault(language: str, cells: dict[str, str]) -> None:
    """ "Dear ," cannot come about."""
    templates, _ = compiled("{{ recipient.salutation }}")
    with pytest.raises(TemplateFault) as caught:
        templates.render(language=language, recipient={**CELLS, **cells}, row=ROW)
    problem = caught.value.problem
    assert (problem.code, problem.line) == ("empty-value", 4)
    assert problem.message.startswith(
        f"recipients.csv:3: no [[salutation]] of facts.toml fits this row in {language}"
    )


def test_facts_are_bounded() -> None:
    """A file that anybody may have written."""
    for facts in ("x = " + "[" * 12 + "]" * 12, "x = [" + "1," * 2_001 + "]", "x = 99999999999999999999999"):
        assert compiled("x", facts)[1][0].code in ("unfit-fact", "too-many-facts")


def test_words_that_are_no_text_are_told_where_they_stand() -> None:
    """Whoever wrote a figure without its quotation marks finds it."""
    problems = compiled("{{ facts.prisoners }}", '[prisoners]\nen = "Irena"\nru = 5\n')[1]
    assert [(p.code, p.line, p.column) for p in problems if p.code != "not-words"] == [("unfit-fact", 3, 6)]


def test_what_a_broken_file_of_facts_lacks_is_not_told_as_well() -> None:
    """It may be there, behind the mistake."""
    problems = compiled("{{ facts.detained }}", "detained = 47\n[[demands]\n")[1]
    assert [problem.code for problem in problems] == ["toml-syntax"]
