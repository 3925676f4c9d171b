"""Versions of a letter say the same: what one lacks is told with file and line, and the line that has it."""

from __future__ import annotations

import pytest

from pipeline.letters.templates import compile_templates
from pipeline.problem import Problem, Severity

FACTS = 'injured = 19\ntrial = 2027-03-15\n[prisoners]\nen = "Irena"\nru = "Ирена"\n'
ENGLISH = """\
On 1 May 2026 the police detained 47 people, {{ facts.injured }} were hurt.

{{ facts.prisoners }} waits for {{ facts.trial|date }}.

1. to release the prisoners;
2. to give them a lawyer within 48 hours;
3. to investigate.
"""
RUSSIAN = """\
1 мая 2026 года полиция задержала 47 человек, {{ facts.injured }} пострадали.

{{ facts.prisoners }} ждёт {{ facts.trial|date }}.

1. освободить заключённых;
2. дать адвоката в течение 48 часов;
3. расследовать.
"""


def problems(russian: str, english: str = ENGLISH, head: str = "", facts: str = FACTS) -> list[Problem]:
    """Return the problems of two versions; bodies begin on line 4, the Russian one later with a ``head``."""
    sources = {
        "templates/letter.en.md": f'+++\nsubject = "Hello"\n+++\n{english}',
        "templates/letter.ru.md": f'+++\nsubject = "Здравствуйте"\n{head}+++\n{russian}',
        "templates/facts.toml": facts,
    }
    return compile_templates(sources, columns=("email", "name"), campaign={}, languages=["en", "ru"])[1]


def said(russian: str, english: str = ENGLISH, head: str = "") -> list[str]:
    """Return place, severity and words of each problem."""
    return [
        f"{p.file.removeprefix('templates/')}:{p.line}:{p.column}: {p.severity}: {p.message}"
        for p in problems(russian, english, head)
    ]


def test_versions_that_say_the_same_have_no_problem() -> None:
    """However each language writes it."""
    assert said(RUSSIAN) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("47", "74", 'letter.ru.md:4:35: error: "74" stands here; templates/letter.en.md:4 has "47"'),
        (
            "1 мая",
            "2 мая",
            'letter.ru.md:4:1: error: "2 мая 2026" stands here; templates/letter.en.md:4 has "1 May 2026"',
        ),
        (
            "мая",
            "июня",
            'letter.ru.md:4:1: error: "1 июня 2026" stands here; templates/letter.en.md:4 has "1 May 2026"',
        ),
        (
            "47 человек",
            "людей",
            'letter.ru.md:4:1: error: "47" is missing here: templates/letter.en.md:4 has it',
        ),
        (
            "человек",
            "из 112 человек",
            'letter.ru.md:4:41: error: "112" stands here, and not in templates/letter.en.md',
        ),
        (
            "{{ facts.injured }}",
            "Многие",
            "letter.ru.md:4:1: error: facts.injured is missing here: templates/letter.en.md:4 has it",
        ),
        (
            "3. расследовать.\n",
            "",
            "letter.ru.md:9:1: error: demand 3 is missing here: templates/letter.en.md:10 has it",
        ),
        (
            "3. расследовать.",
            "3. расследовать;\n4. ответить.",
            "letter.ru.md:11:1: error: demand 4 stands here, and not in templates/letter.en.md, "
            "whose list begins on line 8",
        ),
    ],
)
def test_what_one_version_lacks_is_told(old: str, new: str, words: str) -> None:
    """With its file and line, and the line that has it."""
    assert said(RUSSIAN.replace(old, new)) == [words]


def test_a_demand_in_the_middle_is_missed_by_what_it_says() -> None:
    """Though the numbers were closed up."""
    russian = RUSSIAN.replace("2. дать адвоката в течение 48 часов;\n3.", "2.")
    assert "letter.ru.md:9:1: error: demand 2 is missing here: templates/letter.en.md:9 has it" in said(
        russian
    )


def test_a_gap_in_the_numbers_tells_which_demand_is_missing() -> None:
    """And readers would not see the gap."""
    russian = RUSSIAN.replace("1. освободить заключённых;\n", "")
    assert said(russian) == [
        "letter.ru.md:8:1: error: demand 1 is missing here: templates/letter.en.md:8 has it"
    ]


def test_a_list_that_is_not_there_is_missed_whole() -> None:
    """Each of its demands."""
    russian = RUSSIAN[: RUSSIAN.index("1. освоб")] + "Дать адвоката в течение 48 часов.\n"
    assert [words.split(": ", 2)[2].split(" is")[0] for words in said(russian)] == [
        "demand 1",
        "demand 2",
        "demand 3",
    ]


def test_another_order_is_told_by_what_demands_hold() -> None:
    """A figure or a fact knows its demand in any language."""
    english = "1. within 48 hours;\n2. by 15 June;\n3. at last.\n"
    assert said("1. до 15 июня;\n2. за 48 часов;\n3. наконец.\n", english) == [
        "letter.ru.md:5:1: error: demand 1 of templates/letter.en.md:4 comes after demand 2 here: "
        "the order differs"
    ]


def test_another_order_is_told_by_names() -> None:
    """Which stand in front of the demands and are not printed."""
    english = "1. {# release #} to release;\n2. {# answer #} to answer.\n"
    assert said("1. {# release #} освободить;\n2. {# answer #} ответить.\n", english) == []
    assert said("1. {# answer #} ответить;\n2. {# release #} освободить.\n", english) == [
        "letter.ru.md:5:1: error: demand 1 of templates/letter.en.md:4 comes after demand 2 here: "
        "the order differs"
    ]


def test_a_small_number_may_be_there_in_words() -> None:
    """So it is a warning, unless another stands in its place."""
    found = problems("Три письма.", "3 letters.")
    assert [(p.code, p.severity) for p in found] == [("parity-figure", Severity.WARNING)]
    found = problems("4 письма.", "3 letters.")
    assert [(p.code, p.severity) for p in found] == [("parity-figure", Severity.ERROR)]


def test_figures_of_subject_and_preheader_count() -> None:
    """They are read first."""
    sources = {
        "templates/letter.en.md": '+++\nsubject = "47 people"\n+++\nText\n',
        "templates/letter.ru.md": '+++\nsubject = "74 человека"\n+++\nТекст\n',
    }
    found = compile_templates(sources, columns=("email",), campaign={}, languages=["en", "ru"])[1]
    assert [(p.file, p.line, p.column) for p in found] == [("templates/letter.ru.md", 2, 12)]


def test_a_version_says_what_it_has_for_itself() -> None:
    """An emergency number, a fact that has no place there."""
    russian = RUSSIAN.replace("47 человек, {{ facts.injured }}", "47 человек, тел. 112, многие")
    assert len(said(russian)) == 2
    assert said(russian, head='differs = ["112", "facts.injured"]\n') == []


def test_a_figure_that_is_a_fact_is_said_to_be_one() -> None:
    """So that it cannot differ any more."""
    found = problems(RUSSIAN.replace("{{ facts.injured }}", "19"))
    assert [p.hint for p in found if "stands here" in p.message] == [
        "print it from facts.toml: {{ facts.injured }}"
    ]


def test_a_version_is_held_against_the_one_it_was_made_from() -> None:
    """Also where that is not the campaign's first."""
    sources = {
        "templates/letter.en.md": '+++\nsubject = "x"\n+++\n47\n',
        "templates/letter.ru.md": '+++\nsubject = "x"\ndiffers = ["47"]\n+++\n112 человек\n'.replace(
            '["47"]', '["47", "112"]'
        ),
        "templates/letter.uk.md": '+++\nsubject = "x"\nsource = "ru"\n+++\n113 осіб\n',
        "templates/letter.el.md": '+++\nsubject = "x"\nsource = "fr"\n+++\n47\n',
    }
    found = compile_templates(sources, columns=("email",), campaign={}, languages=["en", "ru", "uk", "el"])[1]
    assert [(p.file, p.line, p.code) for p in found] == [
        ("templates/letter.uk.md", 5, "parity-figure"),
        ("templates/letter.el.md", 3, "no-source"),
    ]


def test_words_of_a_fact_are_there_in_every_language() -> None:
    """An error where a letter prints them, a warning where none does; with equal figures."""
    body = "{% for demand in facts.demands %}\n{{ loop.index }}. {{ demand }}\n{% endfor %}\n"
    facts = (
        '[[demands]]\nen = "in 48 hours"\nru = "за 84 часа"\n[[demands]]\nen = "now"\n[unused]\nen = "x"\n'
    )
    found = problems(body, body, facts=facts)
    assert [(p.line, p.column, p.severity, p.message) for p in found] == [
        (3, 6, Severity.ERROR, '"84" stands here; line 2 has "48"'),
        (4, 1, Severity.ERROR, 'demand 2 has no words in "ru", and templates/letter.ru.md:4 prints them'),
        (6, 1, Severity.WARNING, 'facts.unused has no words in "ru"'),
    ]


def test_words_of_another_language_are_warned_about() -> None:
    """A copied line, most likely."""
    found = problems(RUSSIAN.replace("facts.prisoners", "facts.prisoners.en"))
    assert [(p.code, p.line, p.severity) for p in found] == [("other-language", 6, Severity.WARNING)]


def test_a_list_of_which_one_demand_is_left_lacks_the_others() -> None:
    """And not all of them."""
    assert said("1. раз\n", "1. one\n2. two\n") == [
        "letter.ru.md:4:1: error: demand 2 is missing here: templates/letter.en.md:5 has it"
    ]
