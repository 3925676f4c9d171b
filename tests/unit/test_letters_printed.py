"""Which demands of facts.toml a letter says: one that a version leaves out, or moves, is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.letters.facts import Facts
from pipeline.letters.printed import has_lists, said
from tests.command_line import CommandLine

DEMANDS = """\
[[demands]]
en = "to release the prisoners, all of them;"
es = "liberar a los presos, a todos;"
[[demands]]
en = "to give them lawyers, doctors and their families' visits, and to give all of these at once;"
es = "darles abogados;"
[[demands]]
en = "to investigate."
es = "investigar."
"""
LOOP = "{% for demand in facts.demands %}\n{{ loop.index }}. {{ demand }}\n{% endfor %}\n"
BY_NUMBER = "".join(f"{number + 1}. {{{{ facts.demands[{number}] }}}}\n" for number in range(3))
LIST = "email,language,name\nada@office.example,en,Ada\nluz@oficina.example,es,Luz\n"


@pytest.fixture
def check(campaign: CommandLine) -> Callable[..., list[str]]:
    """Check a campaign in which the Spanish letter, made from the English one, ends so."""

    def said_of(spanish: str, english: str = LOOP, head: str = "") -> list[str]:
        templates = campaign.folder / "templates"
        (templates / "facts.toml").write_text(DEMANDS)
        for language, end, own in (("en", english, ""), ("es", spanish, head)):
            text = f'+++\n{own}subject = "Hello"\n+++\n{{{{ recipient.name }}}}\n\n{end}'
            (templates / f"letter.{language}.md").write_text(text)
        return [
            f"{problem['file']}:{problem['line']}: {problem['message']}"
            for problem in campaign("check", "--json").json["problems"]
        ]

    return said_of


@pytest.fixture
def campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """A campaign of an English and a Spanish letter."""
    command = CommandLine(tmp_path / "mayday", capsys, monkeypatch)
    command.write(rows=LIST)
    return command


@pytest.mark.parametrize(
    "spanish",
    [
        LOOP.replace("demands %", "demands[:2] %"),
        LOOP.replace("{{ loop", "{% if not loop.last %}{{ loop").replace("{% endfor", "{% endif %}{% endfor"),
        "- {{ facts.demands[0] }}\n- {{ facts.demands[1] }}\n",
    ],
    ids=["slice", "condition", "by number"],
)
def test_a_demand_that_one_version_does_not_print_is_told(
    check: Callable[..., list[str]], spanish: str
) -> None:
    """Whichever way its template loses it."""
    assert check(spanish) == [
        "templates/letter.es.md:6: demand 3 is not in the letter: templates/letter.en.md prints it"
    ]


def test_a_demand_printed_twice_stands_for_no_other(check: Callable[..., list[str]]) -> None:
    """Three points, one demand."""
    wrong = check(BY_NUMBER.replace("[1]", "[0]").replace("[2]", "[0]"), BY_NUMBER)
    assert [words.split(" is not")[0] for words in wrong] == [
        "templates/letter.es.md:6: demand 2",
        "templates/letter.es.md:6: demand 3",
    ]


def test_demands_in_another_order_are_told(check: Callable[..., list[str]]) -> None:
    """Though each stands in both."""
    wrong = check(
        "1. {{ facts.demands[0] }}\n2. {{ facts.demands[2] }}\n3. {{ facts.demands[1] }}\n", BY_NUMBER
    )
    assert wrong == [
        "templates/letter.es.md:6: demand 3 comes before demand 2 here: "
        "templates/letter.en.md has another order"
    ]


def test_a_loop_and_numbers_say_the_same(check: Callable[..., list[str]]) -> None:
    """How a template prints its demands is its own business."""
    assert check(BY_NUMBER) == check(LOOP) == check(LOOP, BY_NUMBER) == []


def test_a_version_may_leave_demands_out_on_purpose(check: Callable[..., list[str]]) -> None:
    """Its head says so."""
    assert check(LOOP.replace("demands %", "demands[:2] %"), head='differs = ["facts.demands"]\n') == []


def test_words_are_found_however_they_are_broken_quoted_and_marked() -> None:
    """By their letters and digits alone."""
    from pipeline.letters.facts import read_facts
    from pipeline.letters.source import read_source

    source, _ = read_source("templates/facts.toml", DEMANDS)
    assert source is not None
    facts, _ = read_facts(source, languages=["en", "es"], columns=["email"])
    text = "> 1. To release the\n>    prisoners, \u2066all\u2069 of them.\n\n2. to investigate!"
    assert said(text, facts, "en") == {"facts.demands": [0, 2]}
    assert (has_lists(facts), has_lists(Facts())) == (True, False)
