"""What letters share: a base with blocks, parts that are included; each fault told in the file it is in."""

from __future__ import annotations

import pytest

from pipeline.letters.templates import TemplateFault, Templates, compile_templates
from pipeline.problem import Problem

COLUMNS = ("email", "name", "office", "gender")
CELLS = {"email": "a@embassy.example", "name": "A. Example", "office": "Embassy", "gender": "f"}
BASE = (
    "{{ recipient.office }}\n\n{% block salutation %}Dear {{ recipient.name }},{% endblock %}\n\n"
    '{% block text required %}{% endblock %}\n\n{% include "parts/closing.md" %}\n'
)
CLOSING = "Yours faithfully,\\\n{{ campaign.name }}\n"


def letter(body: str) -> str:
    """Return a letter's file."""
    return f'+++\nsubject = "Hello"\n+++\n{body}'


def compiled(body: str, **more: str) -> tuple[Templates, list[Problem]]:
    """Compile an English letter beside a base and a closing; ``more`` are further files, by name."""
    sources = {
        "templates/letter.en.md": letter(body),
        "templates/base.md": BASE,
        "templates/parts/closing.md": CLOSING,
        **more,
    }
    return compile_templates(sources, columns=COLUMNS, campaign={"name": "May Day"}, languages=["en"])


def text_of(body: str, **more: str) -> str:
    """Return the text of a letter that has no problems."""
    templates, problems = compiled(body, **more)
    assert problems == []
    return templates.render(language="en", recipient=CELLS, row=("recipients.csv", 2)).text


def codes(body: str, **more: str) -> list[str]:
    """Return the codes of what is wrong with a letter."""
    return [problem.code for problem in compiled(body, **more)[1]]


def test_a_letter_fills_the_blocks_of_its_base() -> None:
    """What it does not fill stays as the base has it."""
    body = '{% extends "base.md" %}\n{% block text %}\nWe *write*.\n{% endblock %}\n'
    assert text_of(body) == "Embassy\n\nDear A. Example,\n\nWe write.\n\nYours faithfully,\nMay Day\n"


def test_a_block_chooses_by_office_and_gender() -> None:
    """Conditions stand in blocks as anywhere else."""
    body = (
        '{% extends "base.md" %}{% block salutation %}'
        '{% if recipient.gender == "f" %}Dear Madam,{% else %}Dear Sir,{% endif %}{% endblock %}'
        "{% block text %}We write.{% endblock %}"
    )
    assert text_of(body).startswith("Embassy\n\nDear Madam,\n\nWe write.")


def test_a_base_may_extend_another_and_parts_may_include_parts() -> None:
    """As deep as is sensible."""
    more = {
        "templates/ministers.md": '{% extends "base.md" %}{% block salutation %}Dear Minister,{% endblock %}',
        "templates/parts/names.md": "{{ recipient.name }} and all\n",
    }
    body = '{% extends "ministers.md" %}{% block text %}{% include "parts/names.md" %}{% endblock %}'
    text = "Embassy\n\nDear Minister,\n\nA. Example and all\n\nYours faithfully,\nMay Day\n"
    assert text_of(body, **more) == text


def test_values_of_a_part_are_words_and_nothing_else() -> None:
    """In included files and blocks as in the letter itself."""
    templates, problems = compiled(
        '{% include "base.md" %}', **{"templates/base.md": "{{ recipient.name }}\n"}
    )
    assert not problems or [problem.code for problem in problems] == ["unused-file"]
    row = {**CELLS, "name": "[x](https://evil.example) <b>"}
    out = templates.render(language="en", recipient=row, row=("recipients.csv", 2))
    assert "<b>" not in out.html
    assert "[x](https://evil.example) &lt;b&gt;" in out.html


def test_a_fault_while_rendering_names_the_part_it_is_in() -> None:
    """With the line of that file, and the row."""
    templates, _ = compiled(
        '{% extends "base.md" %}{% block text %}x{% endblock %}',
        **{"templates/parts/closing.md": "Yours,\n\n{{ recipient.name }}\n"},
    )
    with pytest.raises(TemplateFault) as caught:
        templates.render(language="en", recipient={**CELLS, "name": ""}, row=("recipients.csv", 9))
    problem = caught.value.problem
    assert (problem.file, problem.line, problem.column) == ("templates/base.md", 3, 31)
    with pytest.raises(TemplateFault) as caught:
        _closing_only().render(language="en", recipient={**CELLS, "name": ""}, row=("recipients.csv", 9))
    problem = caught.value.problem
    assert (problem.file, problem.line, problem.code) == ("templates/parts/closing.md", 3, "empty-value")
    assert problem.message.startswith("recipients.csv:9: ")


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../recipients.csv",
        "parts/../../campaign.toml",
        "C:x",
        "\\\\host\\x",
        "~/x",
        "letter.en.md",
    ],
)
def test_nothing_outside_of_templates_is_included(name: str) -> None:
    """By whatever name."""
    escaped = name.replace("\\", "\\\\")
    assert codes(f'{{% include "{escaped}" %}}')[0] == "include"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{% extends "base.md" %}\nlost\n{% block text %}x{% endblock %}', "lost-words"),
        ('{% extends "base.md" %}{{ recipient.name }}{% block text %}x{% endblock %}', "lost-words"),
        ('{% extends "base.md" %}{% if true %}x{% endif %}{% block text %}x{% endblock %}', "lost-words"),
        ('{% extends "base.md" %}{% block txt %}x{% endblock %}{% block text %}x{% endblock %}', "block"),
        ('{% extends "base.md" %}', "block"),
        ('{% extends "nowhere.md" %}', "extends"),
        ('{% extends "base.md" %}{% extends "base.md" %}', "extends"),
        ("{% include recipient.name %}", "include"),
        ('{% include ["parts/closing.md"] %}', "include"),
        ('{% include "parts/closing.md" without context %}', "include"),
        ('{% include "parts/closing.md" ignore missing %}', "include"),
        ("{% block a %}{{ super() }}{% endblock %}", "unknown-variable"),
        ("{% block a %}x{% endblock %}{% block a %}y{% endblock %}", "template-syntax"),
    ],
)
def test_what_would_go_wrong_is_found_before_rendering(body: str, code: str) -> None:
    """Words that would be lost, blocks nobody prints, files that are not there."""
    assert code in codes(body)


def test_files_that_use_each_other_are_found() -> None:
    """They would never end."""
    more = {"templates/a.md": '{% include "b.md" %}', "templates/b.md": '{% include "a.md" %}'}
    problem = next(p for p in compiled('{% include "a.md" %}', **more)[1] if p.code == "circular")
    assert (problem.file, problem.line) == ("templates/b.md", 1)


def test_a_shared_file_that_nobody_uses_is_named() -> None:
    """A misspelt include, or a file from before."""
    problems = compiled("Hello")[1]
    assert [(problem.file, problem.code) for problem in problems] == [
        ("templates/base.md", "unused-file"),
        ("templates/parts/closing.md", "unused-file"),
    ]


def _closing_only() -> Templates:
    return compiled(
        '{% include "parts/closing.md" %}',
        **{"templates/parts/closing.md": "Yours,\n\n{{ recipient.name }}\n"},
    )[0]
