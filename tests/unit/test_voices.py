"""Signatories with the same words are told and offered one joint letter; pairs that nobody makes are told."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.recipients.pairing import Pairing
from pipeline.recipients.signatories import Rule, Signatories, joined
from pipeline.recipients.voices import ALIKE, _threesomes, alike, same_words
from tests.command_line import CONFIG, CommandLine
from tests.unit.test_signatories import HEADER, read, row

LETTER = (
    "I saw the march with my own eyes and nobody there did any harm so let them go home to their children"
)
ROWS = "email,language,name,country\nmia@office.example,en,Mia,Kestria\ntom@office.example,es,Tom,Lazoria\n"
TEMPLATE = '+++\nsubject = "To {{ recipient.name }}"\n+++\n{{ signatory.words }}\n\n{{ signatory.names }}\n'


def groups(*words: str) -> list[list[str]]:
    """Return the groups of signatories A, B, ... with these words."""
    names = [f"Name{number}" for number in range(len(words))]
    text = HEADER + "".join(row(name, words=said) for name, said in zip(names, words, strict=True))
    return [[one.name for one in group] for group in alike(read(text).accepted)]


def told(signatories: Signatories, rule: Rule = Rule.ALL) -> list[str]:
    """Return what is told of them under a rule."""
    pairing = Pairing(joined(signatories.accepted), rule)
    return [problem.message for problem in same_words(signatories, pairing)]


@pytest.mark.parametrize(
    "other", [LETTER.upper() + "!!", LETTER + " please", LETTER.replace("harm", "damage"), f"  {LETTER}. "]
)
def test_the_same_words_and_nearly_the_same_are_one_group(other: str) -> None:
    """Case, signs and a word more or less make no other letter."""
    assert groups(LETTER, "Something else altogether, in my own voice.", other) == [
        ["Name0", "Name2"],
        ["Name1"],
    ]


def test_other_words_are_another_voice() -> None:
    """Though the subject is the same."""
    assert (
        len(groups(LETTER, "Let them go home, I ask you as a mother and as a teacher of thirty years.")) == 2
    )


@given(st.lists(st.lists(st.sampled_from("abcdefg"), max_size=12).map(" ".join), max_size=8))
def test_no_group_is_missed(texts: list[str]) -> None:
    """The quick search finds for each text a group if there is one whose first text it is like."""
    found = groups(*texts)
    heads = [texts[int(group[0].removeprefix("Name"))] for group in found]
    for one, two in combinations(heads, 2):
        left, right = _threesomes(one), _threesomes(two)
        assert len(left & right) < ALIKE * len(left | right) or not left | right


def test_ten_thousand_voices_take_seconds() -> None:
    """However alike they are: the work grows with their number, which the limit of the test holds."""
    words = [f"{LETTER} says number {number} of many, {number * 7919} times" for number in range(3_000)]
    assert len(groups(*words)) == 1
    others = [
        " ".join(f"w{(number * 31 + turn * turn) % 997}" for turn in range(30)) for number in range(3_000)
    ]
    assert groups(*others)


def test_a_joint_letter_is_offered_with_its_place() -> None:
    """At the second one's words; the hint says what to write where."""
    found = read(HEADER + row("Ada", words=LETTER) + row("Ben", words=LETTER))
    (problem,) = same_words(found, Pairing(found.accepted, Rule.ALL))
    assert (problem.line, problem.column) == (3, 35)
    assert problem.message == "the same words as in line 2: Ada, Ben write them to the same recipients"
    assert '"joint-2", into the column joint' in problem.hint


def test_who_writes_to_nobody_in_common_may_use_the_same_words() -> None:
    """Under round robin each recipient gets one letter; by language others read it."""
    found = read(HEADER + row("Ada", words=LETTER) + row("Ben", words=LETTER).replace(",en,", ",el,"))
    assert not told(found, Rule.ROUND_ROBIN)
    assert not told(found, Rule.LANGUAGE)
    assert told(found, Rule.COUNTRY)


def test_those_who_sign_together_are_one_voice() -> None:
    """What was offered was taken."""
    found = read(HEADER + row("Ada", words=LETTER, joint="us") + row("Ben", words=LETTER, joint="us"))
    assert not told(found)


@pytest.fixture
def campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """A campaign whose letters have the signatory's words."""
    command = CommandLine(tmp_path / "mayday", capsys, monkeypatch)
    command.write(rows=ROWS, template=TEMPLATE)
    return command


def test_check_offers_it_and_one_letter_goes_with_the_names_below(campaign: CommandLine) -> None:
    """A warning stops nothing; with the column joint each recipient gets one letter, and no second later."""
    path = campaign.folder / "signatories.csv"
    path.write_text(HEADER + row("Ada", words=LETTER) + row("Ben", words=LETTER), "utf-8")
    said = campaign("check")
    assert said.code == 0
    assert "signatories.csv:3:35: warning: the same words as in line 2" in said.out
    together = HEADER + row("Ada", words=LETTER, joint="us") + row("Ben", words=LETTER, joint="us")
    path.write_text(together, "utf-8")
    campaign("send")
    assert campaign("status", "--json").json["letters"]["sent"] == 2
    shown = campaign("preview", "ben@home.example").out
    assert "Ada, Kestria\nBen, Kestria\n" in shown
    path.write_text(together + row("Cy", words=LETTER, joint="us"), "utf-8")
    campaign("send")
    assert campaign("status", "--json").json["letters"]["total"] == 2


def test_rows_that_the_rule_pairs_with_nobody_are_told(campaign: CommandLine) -> None:
    """On either side, with file and line."""
    signing = f'{CONFIG}\n[signatories]\nrule = "country"\n'
    (campaign.folder / "campaign.toml").write_text(signing, "utf-8")
    rows = HEADER + row("Ada", words=LETTER) + row("Ben", words="Go.").replace("Kestria", "Helvara")
    (campaign.folder / "signatories.csv").write_text(rows, "utf-8")
    said = campaign("check").out
    assert "recipients.csv:3:27: warning: nobody writes to this recipient" in said
    assert "signatories.csv:3:" in said
    assert "Ben writes to nobody: no recipient has this country" in said
