"""The sample in four languages: what is lost or changed in one of them is caught, with file and line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.campaign_folder import CampaignFolder, copy_sample


@pytest.fixture
def sample(tmp_path: Path) -> CampaignFolder:
    """The sample, as it stands at the root."""
    return copy_sample(tmp_path)


def line_of(text: str, beginning: str) -> int:
    """Return the line that begins so."""
    return next(number for number, line in enumerate(text.split("\n"), 1) if line.startswith(beginning))


def edited(sample: CampaignFolder, file: str, change: Callable[[str], str]) -> str:
    """Change a file of the sample and return what it was."""
    path = sample.root / file
    old = path.read_text("utf-8")
    new = change(old)
    assert new != old
    path.write_text(new, "utf-8")
    return old


def test_the_sample_says_the_same_in_every_language(sample: CampaignFolder) -> None:
    """Not even a warning."""
    done = sample.run("check", "--strict")
    assert (done.code, "everything is in order" in done.out) == (0, True)


def test_a_missing_greek_demand_is_caught(sample: CampaignFolder) -> None:
    """The third block of facts.toml has no Greek line any more."""
    greek = 'el = "να μεριμνήσουν'
    old = edited(
        sample,
        "templates/facts.toml",
        lambda text: "\n".join(line for line in text.split("\n") if not line.startswith(greek)),
    )
    headers = [number for number, line in enumerate(old.split("\n"), 1) if line == "[[demands]]"]
    letter = (sample.root / "templates/letter.el.md").read_text("utf-8")
    prints = line_of(letter, "{% for demand in facts.demands %}")
    done = sample.run("check")
    words = f'demand 3 has no words in "el", and templates/letter.el.md:{prints} prints them'
    assert f"templates/facts.toml:{headers[2]}:1: error: {words}" in done.out
    assert sample.run("send").code == done.code == 2
    assert not (sample.root / ".campaign/outbox").exists()


def test_a_demand_missing_from_a_greek_letter_is_caught(sample: CampaignFolder) -> None:
    """Where the letters write their demands themselves."""
    loop = "{% for demand in facts.demands %}\n{{ loop.index }}. {{ demand }}\n{% endfor %}\n"
    for language in ("en", "ru", "es", "el"):
        demands = ["1. a", "2. b", "3. c"][: 2 if language == "el" else 3]
        edited(
            sample,
            f"templates/letter.{language}.md",
            lambda text, demands=demands: text.replace(loop, "\n".join(demands) + "\n"),  # type: ignore[misc]
        )
    letters = {
        language: (sample.root / f"templates/letter.{language}.md").read_text("utf-8")
        for language in ("en", "el")
    }
    place = f"templates/letter.el.md:{line_of(letters['el'], '2. b')}:1"
    there = f"templates/letter.en.md:{line_of(letters['en'], '3. c')}"
    done = sample.run("check")
    assert f"{place}: error: demand 3 is missing here: {there} has it" in done.out
    assert done.code == 2


def test_a_greek_letter_that_prints_two_of_three_demands_is_caught(sample: CampaignFolder) -> None:
    """Though the words of all are there, and it uses them as the others do."""
    edited(
        sample,
        "templates/letter.el.md",
        lambda text: text.replace("in facts.demands %", "in facts.demands[:2] %"),
    )
    letter = (sample.root / "templates/letter.el.md").read_text("utf-8")
    line = line_of(letter, "{% for demand in")
    done = sample.run("check")
    words = "error: demand 3 is not in the letter: templates/letter.en.md prints it"
    assert f"templates/letter.el.md:{line}:1: {words}" in done.out
    assert sample.run("send").code == done.code == 2
    assert not (sample.root / ".campaign/outbox").exists()


def test_a_figure_that_only_one_follow_up_has_is_caught(sample: CampaignFolder) -> None:
    """Second letters have versions as first ones have."""
    edited(sample, "templates/followup.el.md", lambda text: f"{text}\n2019\n")
    done = sample.run("check")
    assert '"2019" stands here, and not in templates/followup.en.md' in done.out
    assert done.code == 2


def test_a_figure_changed_only_in_russian_is_caught(sample: CampaignFolder) -> None:
    """In the words of a fact, and in a letter that does not print the fact any more."""
    edited(sample, "templates/facts.toml", lambda text: text.replace("1 мая 2026 года", "11 мая 2026 года"))
    edited(
        sample,
        "templates/letter.ru.md",
        lambda text: text.replace("{{ facts.detained|number }} человек", "74 человек"),
    )
    facts = (sample.root / "templates/facts.toml").read_text("utf-8")
    letter = (sample.root / "templates/letter.ru.md").read_text("utf-8")
    russian = line_of(facts, 'ru = "обеспечить независимое')
    english = line_of(facts, 'en = "to have the violence')
    number = next(n for n, line in enumerate(letter.split("\n"), 1) if "74 человек" in line)
    done = sample.run("check")
    assert (
        f'templates/facts.toml:{russian}:6: error: "11 мая 2026" stands here; line {english} has "1 May 2026"'
        in (done.out)
    )
    assert f"templates/letter.ru.md:{number}:" in done.out
    assert '"74" stands here, and not in templates/letter.en.md' in done.out
    assert "facts.detained is missing here: templates/letter.en.md:" in done.out
    assert done.code == 2
