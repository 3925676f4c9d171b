"""Templates: right person, right words; and nothing a template or a value says is able to harm."""

from __future__ import annotations

import csv
import re
import threading
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.letters.templates import Rendered, TemplateFault, Templates, compile_templates
from pipeline.problem import Problem, Severity, errors, shown

CAMPAIGNS = Path(__file__).parent.parent / "campaigns"
COLUMNS = ("email", "language", "name", "salutation", "office", "link")
ROW = ("recipients.csv", 17)
CELLS = {
    "email": "envoy@embassy.example",
    "language": "en",
    "name": "A. Example",
    "salutation": "Dear Ambassador",
    "office": "Embassy of Verania",
    "link": "https://example.org/case?id=7&lang=en",
}
FACTS = """
detained = 47
opened = 2027-03-15
"place name" = "Velmora"
motto = ""
demands = ["Release *them*.", "Drop the charges."]
[date]
en = "1 May"
"""


def letter(body: str, subject: str = "Hello", head: str = "") -> str:
    """Return the text of a letter's file; its body begins on line 4, or later with more ``head``."""
    return f'+++\nsubject = "{subject}"\n{head}+++\n{body}'


def compiled(text: str, **more: str) -> tuple[Templates, list[Problem]]:
    """Compile one English letter with the facts above."""
    sources = {"templates/letter.en.md": text, "templates/facts.toml": FACTS, **more}
    return compile_templates(
        sources, columns=COLUMNS, campaign={"name": "May Day", "reply": ""}, languages=["en"]
    )


def rendered(
    body: str, cells: dict[str, str] | None = None, *, subject: str = "Hello", **more: str
) -> Rendered:
    """Render one English letter that has no problems."""
    templates, problems = compiled(letter(body, subject), **more)
    assert problems == []
    return templates.render(language="en", recipient={**CELLS, **(cells or {})}, row=ROW)


def fault(body: str, cells: dict[str, str] | None = None, *, subject: str = "Hello") -> Problem:
    """Return the problem of a letter that compiles and cannot be rendered."""
    with pytest.raises(TemplateFault) as caught:
        rendered(body, cells, subject=subject)
    return caught.value.problem


def first_problem(text: str) -> Problem:
    """Return the first problem of a letter's file."""
    return compiled(text)[1][0]


def inner(html: str) -> str:
    """Return what stands in the page's innermost division."""
    found = re.search(r"sans-serif\">\n(.*)\n</div>\n</body>", html, re.DOTALL)
    assert found
    return found[1]


# --- one source, two forms


def test_one_source_gives_text_and_html() -> None:
    """The same words in both, each in its own form."""
    out = rendered("**{{ recipient.salutation }}**,\n\nwe write *at once*.\n")
    assert out.text == "Dear Ambassador,\n\nwe write at once.\n"
    assert inner(out.html) == "<p><strong>Dear Ambassador</strong>,</p>\n<p>we write <em>at once</em>.</p>"


MARKDOWN_FORMS = [
    ("# Title\n\nText\n", "Title\n\nText\n"),
    ("- one\n- two\n  - deep\n", "- one\n- two\n  - deep\n"),
    ("- one\n\n- two\n", "- one\n\n- two\n"),
    ("9. nine\n10. ten\n", "9. nine\n10. ten\n"),
    ("1) first\n2) second\n", "1) first\n2) second\n"),
    ("> said\n> again\n>\n> more\n", "> said again\n>\n> more\n"),
    ("one\\\ntwo  \nthree\nfour\n", "one\ntwo\nthree four\n"),
    ("[the case](https://example.org/a)\n", "the case <https://example.org/a>\n"),
    ("<https://example.org/a>\n", "https://example.org/a\n"),
    ("[a@b.example](mailto:a@b.example)\n", "a@b.example\n"),
    ("see `x < y`\n\n    code *here*\n", "see x < y\n\n    code *here*\n"),
    ("a\n\n---\n\nb\n", "a\n\n* * *\n\nb\n"),
    ("1. one\n\n   more of one\n\n2. two\n", "1. one\n\n   more of one\n\n2. two\n"),
]


@pytest.mark.parametrize(("markdown", "text"), MARKDOWN_FORMS)
def test_plain_text_has_the_forms_of_a_letter(markdown: str, text: str) -> None:
    """Headings, lists, quotations, breaks, links, code."""
    assert rendered(markdown).text == text


def test_plain_text_is_wrapped_at_72_columns_and_hangs() -> None:
    """Lines are short, the second line of an item stands under its first word."""
    lines = rendered("1. " + "word " * 40 + "\n").text.splitlines()
    assert all(len(line) <= 72 for line in lines)
    assert all(line.startswith("   word") for line in lines[1:])


def test_a_long_word_is_never_broken() -> None:
    """An address must stay one."""
    url = "https://example.org/" + "x" * 100
    assert url in rendered(f"before {url} after\n").text.splitlines()


def test_the_first_fact_is_told_where_it_belongs() -> None:
    """Without any fact there is nothing to choose from."""
    _, problems = compiled(letter("{{ facts.date }}"), **{"templates/facts.toml": ""})
    assert problems[0].hint == 'write it into templates/facts.toml: date = "..."'


def test_a_space_that_must_not_break_does_not() -> None:
    """U+00A0 keeps its words together and stays what it is."""
    text = rendered("word " * 13 + "№\u00a05, and so on\n").text
    assert "№\u00a05," in text


def test_the_page_names_its_language_and_direction() -> None:
    """Arabic runs from right to left."""
    directions = {"ar": "rtl", "en": "ltr", "az-Arab": "rtl", "pt-BR": "ltr", "sr-Latn": "ltr"}
    sources = {f"templates/letter.{tag}.md": letter("x") for tag in directions}
    templates, _ = compile_templates(sources, columns=COLUMNS, campaign={}, languages=list(directions))
    for tag, direction in directions.items():
        page = templates.render(language=tag, recipient=CELLS, row=ROW).html
        assert f'<html lang="{tag}" dir="{direction}">' in page


def test_the_built_in_page_fetches_nothing() -> None:
    """No remote content: who reads a letter is nobody's business."""
    html = rendered("Hello\n").html
    assert not re.search(r"src=|<link|<script|url\(|@import|http", html)


def test_a_campaign_brings_its_own_page() -> None:
    """Everything but the body is escaped there."""
    page = (
        '<title>{{ subject }}</title><i id="{{ language }}">{{ preheader }}|{{ campaign.name }}</i>{{ body }}'
    )
    text = letter("Hello\n", subject="A & B <x>", head='preheader = "<p>"\n')
    templates, problems = compiled(text, **{"templates/layout.html": page})
    assert problems == []
    out = templates.render(language="en", recipient=CELLS, row=ROW)
    assert out.html == '<title>A &amp; B &lt;x&gt;</title><i id="en">&lt;p&gt;|May Day</i><p>Hello</p>'
    assert (out.subject, out.preheader) == ("A & B <x>", "<p>")


def test_a_page_without_the_letter_is_a_problem() -> None:
    """An empty page would be sent to everybody."""
    _, problems = compiled(letter("Hello"), **{"templates/layout.html": "<p>{{ subject }}</p>"})
    assert [problem.code for problem in problems] == ["no-body"]


def test_a_page_with_remote_content_is_warned_about() -> None:
    """Pictures from afar, style sheets and scripts."""
    page = '{{ body }}\n<img src="https://t.example/pixel.gif">\n<script>\n<p style="background:url(//x.eu)">'
    _, problems = compiled(letter("Hello"), **{"templates/layout.html": page})
    assert [problem.line for problem in problems] == [2, 3, 4]
    assert {(problem.code, problem.severity) for problem in problems} == {
        ("remote-content", Severity.WARNING)
    }


def test_facts_are_texts_numbers_and_dates() -> None:
    """As the file says them; tables by their keys, lists by going through."""
    body = (
        "{{ facts.detained }} {{ facts.opened }} {{ facts.date.en }} {{ facts['place name'] }}\n\n"
        "{% for demand in facts.demands %}\n{{ loop.index }}. {{ demand }}\n{% endfor %}\n"
    )
    assert rendered(body).text == "47 2027-03-15 1 May Velmora\n\n1. Release *them*.\n2. Drop the charges.\n"


def test_a_tag_on_its_own_line_leaves_no_line() -> None:
    """Conditions inside a list keep it one list."""
    body = "- a\n{% if recipient.office %}\n- b\n{% endif %}\n{# a note #}\n- c\n"
    assert rendered(body).text == "- a\n- b\n- c\n"


def test_a_tag_at_the_end_of_a_line_does_not_glue_words() -> None:
    """The line end after `endif` stays where other words stand on the line."""
    body = "We write{% if recipient.office %} to you{% endif %}\nabout this{# note #}\ncase.\n"
    assert rendered(body).text == "We write to you about this case.\n"


def test_subject_and_preheader_have_values_as_they_are() -> None:
    """No escapes in a line that is not Markdown."""
    templates, problems = compiled(
        letter("x", subject="{{ recipient.name }} *now*", head='preheader = "{{ facts.date.en }}"\n')
    )
    assert problems == []
    out = templates.render(language="en", recipient=CELLS, row=ROW)
    assert (out.subject, out.preheader) == ("A. Example *now*", "1 May")


def test_attachments_are_those_of_the_front_matter() -> None:
    """By name; finding them is another's work."""
    templates, _ = compiled(letter("x", head='attachments = ["attachments/a.pdf"]\n'))
    assert templates.render(language="en", recipient=CELLS, row=ROW).attachments == ("attachments/a.pdf",)


# --- values are words and nothing else

HOSTILE = [
    "[click](https://evil.example)",
    "<b>bold</b>",
    "<https://evil.example>",
    "https://evil.example",
    "![x](https://evil.example/p.gif)",
    "- item",
    "1. item",
    "# heading",
    "> quote",
    "***",
    "---",
    "===",
    "```",
    "`code`",
    "    indented",
    "*a* _b_ **c**",
    "a\\",
    "\\*a\\*",
    "&lt;script&gt; &amp; &#60;",
    "[x]: https://evil.example",
    "a\n\n# b\n\n- c",
    "a\n    b",
    "a  \nb",
    "{{ facts.detained }} {% if x %}",
    "+++",
    "| a | b |",
    "~~~\nx\n~~~",
    "</p></div><script>alert(1)</script>",
    "x \U000f0000 \U000f0001",
]
PLACES = [
    "{{ recipient.name }}\n",
    "Dear {{ recipient.name }},\n",
    "- {{ recipient.name }}\n",
    "**{{ recipient.name }}**\n",
    "> {{ recipient.name }}\n",
    "a\n{{ recipient.name }}\n",
    "[{{ recipient.name }}](https://example.org)\n",
    "\\{{ recipient.name }}\n",
    "`{{ recipient.name }}`\n",
]


def structure(html: str) -> list[str]:
    """Return the tags of a piece of HTML, in order."""
    return re.findall(r"</?[a-z][^>]*>", inner(html))


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("place", PLACES)
def test_a_value_never_changes_the_structure_of_a_letter(place: str, value: str) -> None:
    """A hostile value gives the very tags a harmless one gives, and its words are shown as they are."""
    out = rendered(place, {"name": value})
    assert structure(out.html) == structure(rendered(place, {"name": "Ann"}).html)
    assert " ".join(value.split()) in " ".join(out.text.replace("\n> ", " ").split())


visible_texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=60).filter(
    lambda text: any(character.isprintable() and not character.isspace() for character in text)
)


@given(visible_texts, st.sampled_from(PLACES))
def test_any_value_is_words_and_nothing_else(value: str, place: str) -> None:
    """Whatever it holds."""
    templates, _ = _COMPILED[place]
    harmless = templates.render(language="en", recipient={**CELLS, "name": "Ann"}, row=ROW)
    out = templates.render(language="en", recipient={**CELLS, "name": value}, row=ROW)
    assert structure(out.html) == structure(harmless.html)


@given(st.sampled_from(["https://", "mailto:", "tel:", "http://[", ""]), visible_texts)
def test_any_value_as_a_link_is_one_attribute_or_a_problem(scheme: str, value: str) -> None:
    """Whatever stands behind the scheme; never a crash, never a second attribute."""
    templates, _ = _COMPILED_LINK
    try:
        out = templates.render(language="en", recipient={**CELLS, "link": scheme + value}, row=ROW)
    except TemplateFault as caught:
        found = caught.problem.code
    else:
        found = re.sub(r'="[^"]*"', "", "".join(structure(out.html)))
    assert found in ("bad-link", "<p><a href></a></p>")


_COMPILED_LINK = compiled(letter("[case]({{ recipient.link }})"))
_COMPILED = {place: compiled(letter(place)) for place in PLACES}


def test_a_value_in_a_link_is_its_target() -> None:
    """The address arrives whole, in both forms."""
    for body in ("[case]({{ recipient.link }})", "<{{ recipient.link }}>"):
        out = rendered(body)
        assert 'href="https://example.org/case?id=7&amp;lang=en"' in out.html
        assert "https://example.org/case?id=7&lang=en" in out.text


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "data:text/html,x", "/etc", "//x.example", "x", "https://", "file:///x"]
)
def test_a_link_leads_only_where_a_letter_can_lead(link: str) -> None:
    """Schemes that run or read something are refused, with line and row."""
    problem = fault("Hello\n\n[case]({{ recipient.link }})", {"link": link})
    assert (problem.code, problem.line) == ("bad-link", 6)
    assert problem.message.startswith("recipients.csv:17: ")


def test_a_link_with_spaces_and_quotes_stays_one_attribute() -> None:
    """Nothing breaks out of the HTML attribute."""
    out = rendered("[case]({{ recipient.link }})", {"link": 'https://x.example/a b" onclick="x'})
    assert 'href="https://x.example/a%20b%22%20onclick=%22x"' in out.html


def test_a_picture_is_refused() -> None:
    """Remote pictures tell who reads."""
    problem = fault("Hello\n\n  ![x](https://t.example/p.gif)\n")
    assert (problem.code, problem.line, problem.column) == ("picture", 6, 3)


# --- empty cells


def test_an_empty_cell_that_is_printed_is_a_problem_with_line_and_row() -> None:
    """ "Dear ," is impossible."""
    assert shown(fault("Hello\n\nDear {{ recipient.salutation }},\n", {"salutation": " "})) == (
        "templates/letter.en.md:6:9: error: "
        'recipients.csv:17: column "salutation" is empty, and this line prints it\n'
        "    6 | Dear {{ recipient.salutation }},\n"
        "      |         ^\n"
        '   help: fill it in, or say what to write instead: {{ recipient.salutation|default("…", true) }}'
    )


EMPTY_PRINTED = [
    "{{ recipient.name }}",
    "{{ recipient['name'] }}",
    "{{ recipient.name|upper }}",
    "{{ recipient.name|trim|title }}",
    "{{ recipient.name.upper() }}",
    "{{ recipient.name|replace('a', 'b') }}",
    "{{ recipient.name|default('x') }}",
    "{{ 'Dear ' ~ recipient.name }}",
    "{{ 'Dear ' + recipient.name }}",
    "{{ recipient.name + 'x' }}",
    "{{ [recipient.name, 'x']|join(' ') }}",
    "{% set n = recipient.name %}{{ n }}",
    "{{ recipient.name if true }}",
    "{{ campaign.reply }}",
    "{{ facts.motto }}",
]


@pytest.mark.parametrize("body", EMPTY_PRINTED)
@pytest.mark.parametrize("cell", ["", " \t", "\u200b", "\u00a0"])
def test_an_empty_cell_is_never_printed_in_any_way(body: str, cell: str) -> None:
    """Not through a filter, a variable or an operator either; nor one that only looks empty."""
    assert fault(body, {"name": cell}).code == "empty-value"


@pytest.mark.parametrize(
    "body",
    [
        "{% if recipient.name %}a{% else %}b{% endif %}",
        "{{ recipient.name|default('b', true) }}",
        "{{ recipient.name|upper|default('b', true) }}",
        "{{ recipient.name or 'b' }}",
        "{{ 'a' if recipient.name else 'b' }}",
        "{% if recipient.name == '' %}b{% endif %}",
        "{% if not recipient.name %}b{% endif %}",
        "{% if recipient.name|length == 0 %}b{% endif %}",
    ],
)
def test_an_empty_cell_can_be_asked_about(body: str) -> None:
    """Conditions and defaults work with it."""
    assert rendered(body, {"name": ""}).text == "b\n"


def test_an_empty_subject_is_a_problem() -> None:
    """And points at the subject."""
    problem = fault("x", subject="{% if recipient.name == 'x' %}y{% endif %}")
    assert (problem.code, problem.line) == ("empty-subject", 2)


@pytest.mark.parametrize("name", ["a\r\nBcc: x@y.example", "a\nb", "a\u2028b"])
def test_a_subject_is_one_line(name: str) -> None:
    """Whatever a value holds."""
    assert fault("x", {"name": name}, subject="To {{ recipient.name }}").code == "long-subject"


def test_a_control_character_in_a_value_is_a_problem() -> None:
    """Of the row that holds it."""
    problem = fault("Dear {{ recipient.name }}", {"name": "A\x1b[31m"})
    assert (problem.code, problem.message) == (
        "control-character",
        "recipients.csv:17: a value holds the character U+001B",
    )


def test_a_letter_without_words_is_a_problem() -> None:
    """An empty letter is not sent."""
    assert fault("{% if recipient.name == 'x' %}y{% endif %}").code == "empty-letter"


@pytest.mark.parametrize(
    "body", ["{{ [1] }}", "{{ true }}", "{{ none }}", "{{ 'x'.upper }}", "{{ range }}", "{{ {'a': 1} }}"]
)
def test_what_has_no_words_is_not_printed(body: str) -> None:
    """No Python in a letter to a ministry."""
    assert fault(body).code == "not-words"


def test_a_language_without_a_letter_is_a_problem_of_the_row() -> None:
    """Never another language instead."""
    templates, _ = compiled(letter("x"))
    with pytest.raises(TemplateFault) as caught:
        templates.render(language="fr", recipient=CELLS, row=ROW)
    assert (caught.value.problem.file, caught.value.problem.line) == ROW
    assert caught.value.problem.hint == "templates exist for: en"


# --- nothing a template says can harm

ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ recipient.__class__ }}",
    "{{ recipient['__class__'] }}",
    "{{ facts.__init__ }}",
    "{{ facts.demands.__class__ }}",
    "{{ self.__init__ }}",
    "{{ self }}",
    "{{ lipsum }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ dict() }}",
    "{% include 'x' %}",
    "{% import 'x' as x %}",
    "{% from 'x' import y %}",
    "{% extends 'x' %}",
    "{% macro m() %}{% endmacro %}",
    "{% filter upper %}x{% endfilter %}",
    "{% set x %}y{% endset %}",
    "{% call x() %}{% endcall %}",
    "{% autoescape false %}{% endautoescape %}",
    "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "{{ 'x'|attr('y') }}",
    "{{ 'x'|format }}",
    "{{ 'x'|safe }}",
    "{{ 'x'|map('y') }}",
    "{{ 1 is callable }}",
    "{% do x %}",
    "{% debug %}",
    "{{ recipient }}",
    "{{ facts }}",
]


@pytest.mark.parametrize("body", ESCAPES)
def test_what_is_not_open_to_letters_is_found_before_rendering(body: str) -> None:
    """Files, classes, macros, filters that are not on the list."""
    templates, problems = compiled(letter(body))
    assert errors(problems)
    assert all(problem.line == 4 for problem in problems)
    with pytest.raises(TemplateFault):
        templates.render(language="en", recipient=CELLS, row=ROW)


LATE_ESCAPES = [
    "{% set x = '' %}{{ x['__class__'] }}",
    "{% set k = '__class__' %}{{ recipient[k] }}",
    "{% for d in facts.demands %}{{ d['__class__'] }}{% endfor %}",
    "{{ 'x'.format }}",
    "{{ '{0.__class__}'.format(1) }}",
    "{{ [].append(1) }}",
    "{% for x in [1] %}{{ loop._iterator }}{% endfor %}",
    "{{ facts.opened.strftime('%c') }}",
    "{{ 'x'.encode() }}",
    "{{ facts.demands.pop() }}",
]


@pytest.mark.parametrize("body", LATE_ESCAPES)
def test_what_is_not_open_to_letters_is_refused_when_rendering(body: str) -> None:
    """Where only the render can know."""
    templates, problems = compiled(letter(body))
    if not problems:
        with pytest.raises(TemplateFault):
            templates.render(language="en", recipient=CELLS, row=ROW)


GREEDY = [
    "{{ 'x' * 10**9 }}",
    "{{ 10**9 * 'x' }}",
    "{{ [1] * 10**8 }}",
    "{{ 10 ** 10 ** 10 }}",
    "{{ 9**64 * 9**64 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ range(10**8)|join }}",
    "{% for x in range(100000) %}x{% endfor %}",
    "{% for a in range(100) %}" * 3 + "{% endfor %}" * 3,
    "{% set l = [1,2,3,4,5,6,7,8,9,0] %}" + "{% for x in l %}" * 9 + "{% endfor %}" * 9,
    "{% set x = 'xxxxxxxxxx' %}" + "{% set x = x ~ x %}" * 40 + "{{ x }}",
    "{% set x = 'xxxxxxxxxx' %}" + "{% set x = x + x %}" * 40 + "{{ x }}",
    "{% set x = 'xxxxxxxxxx' %}" + "{% set x = x|replace('x', x) %}" * 10 + "{{ x }}",
    "{% for x in range(9999) %}" + "words " * 100 + "{% endfor %}",
    "{% for x in range(9999) %}" + "{{ recipient.office }}" * 10 + "{% endfor %}",
]


@pytest.mark.parametrize("body", GREEDY)
@pytest.mark.parametrize("elsewhere", [False, True], ids=["main-thread", "other-thread"])
def test_a_greedy_template_is_stopped_soon(body: str, elsewhere: bool) -> None:
    """By counting work, so that it holds in any thread."""
    found: list[Problem] = []
    start = time.perf_counter()
    if elsewhere:
        thread = threading.Thread(target=lambda: found.append(fault(body)))
        thread.start()
        thread.join(20)
    else:
        found.append(fault(body))
    assert found[0].code in ("too-large", "too-many-turns", "no-formatting")
    assert time.perf_counter() - start < 5


def test_a_slow_letter_is_stopped_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no count foresees, time ends; and the timer is gone afterwards."""
    monkeypatch.setattr("pipeline.letters.rendering.SECONDS", 0.05)
    body = (
        "{% for a in range(5000) %}"
        + "{% if recipient.office|upper|lower|title %}{% endif %}" * 200
        + "{% endfor %}"
    )
    assert fault(body).code == "too-slow"
    assert rendered("{{ recipient.name }}").text == "A. Example\n"


@pytest.mark.parametrize(
    "body",
    [
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
        "{{ 1" + "+1" * 20000 + " }}",
        "{{ 1" + "0" * 5000 + " }}",
    ],
)
def test_a_template_too_deep_is_a_problem_and_no_crash(body: str) -> None:
    """Nested or counted beyond what anybody writes."""
    templates, problems = compiled(letter(body))
    if not problems:
        with pytest.raises(TemplateFault):
            templates.render(language="en", recipient=CELLS, row=ROW)


@pytest.mark.parametrize(
    "body", ["[" * 20000, "> " * 5000 + "x", "*" * 20000 + "a", "- " * 3000 + "x", "`" * 20000 + "a"]
)
def test_hostile_markdown_ends_soon(body: str) -> None:
    """Deep nesting and long runs: read within the time, or stopped by it."""
    templates, problems = compiled(letter(body))
    assert problems == []
    start = time.perf_counter()
    try:
        found = templates.render(language="en", recipient=CELLS, row=ROW).subject
    except TemplateFault as caught:
        found = caught.problem.code
    assert found in ("Hello", "too-slow", "empty-letter")
    assert time.perf_counter() - start < 4


def test_a_file_too_large_is_not_read() -> None:
    """256 KiB are a book."""
    _, problems = compiled(letter("x" * 300_000))
    assert [problem.code for problem in problems] == ["template-too-large"]


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f", "\U000f0000"])
def test_a_template_holds_no_control_character(character: str) -> None:
    """Nor one of those that stand in for values."""
    problem = first_problem(letter(f"Hello\nab{character}"))
    assert (problem.code, problem.line, problem.column) == ("control-character", 5, 3)


# --- what is wrong with a file is said with its place; the examples are campaigns that a reviewer can read


def problems_of(campaign: Path) -> list[Problem]:
    """Return the problems of a campaign's templates; where there are none, those of each letter."""
    config = tomllib.loads((campaign / "campaign.toml").read_text("utf-8"))["campaign"]
    with (campaign / "recipients.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = [(reader.line_num, row) for row in reader]
        columns = reader.fieldnames or []
    files = sorted(path for path in (campaign / "templates").rglob("*") if path.is_file())
    sources = {str(path.relative_to(campaign)): path.read_bytes().decode("utf-8") for path in files}
    templates, problems = compile_templates(
        sources, columns=columns, campaign={"name": config["name"]}, languages=config["languages"]
    )
    if errors(problems):
        return problems
    for line, row in rows:
        try:
            templates.render(language=row["language"], recipient=row, row=("recipients.csv", line))
        except TemplateFault as caught:
            problems.append(caught.problem)
    return problems


@pytest.mark.parametrize("name", sorted(path.name for path in CAMPAIGNS.glob("bad-template-*")))
def test_a_bad_campaign_gets_exactly_the_expected_words(name: str) -> None:
    """Each tests/campaigns/bad-template-*/expected.txt, to the letter."""
    expected = (CAMPAIGNS / name / "expected.txt").read_text("utf-8")
    assert "\n".join(map(shown, problems_of(CAMPAIGNS / name))) + "\n" == expected


def test_windows_line_ends_and_a_mark_change_no_line() -> None:
    """An editor's habits are no fault."""
    text = "\ufeff" + letter("a\n\n{{ recipient.nam }}\n").replace("\n", "\r\n")
    problem = first_problem(text)
    assert (problem.line, problem.column, problem.code) == (6, 4, "unknown-column")


def test_the_second_misspelling_on_a_line_has_its_own_column() -> None:
    """Each is pointed at."""
    _, problems = compiled(letter("{{ recipient.nam }} {{ recipient.nam }}"))
    assert [(problem.line, problem.column) for problem in problems] == [(4, 4), (4, 24)]
