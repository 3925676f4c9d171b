"""Bad lists as folders: recipients.csv, options.toml where needed, and the problems as they are shown."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pipeline.problem import shown
from pipeline.recipients.rows import Intake, read_recipients

FOLDERS = sorted((Path(__file__).parents[1] / "campaigns").glob("bad-csv-*"))


def intake_of(folder: Path) -> Intake:
    """Read the list of ``folder`` as its options say."""
    options = folder / "options.toml"
    data = (folder / "recipients.csv").read_bytes()
    said = tomllib.loads(options.read_text("utf-8")) if options.exists() else {}
    return read_recipients(data, file="recipients.csv", languages=("en", "ru", "es", "el"), **said)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_bad_list_shows_exactly_its_problems(folder: Path) -> None:
    """Every word, line, column and caret that the user sees."""
    text = "\n".join(shown(problem) for problem in intake_of(folder).problems) + "\n"
    assert text == (folder / "expected.txt").read_text("utf-8")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_row_of_a_bad_list_is_counted_once(folder: Path) -> None:
    """Accepted, rejected, merged and excluded rows add up."""
    intake = intake_of(folder)
    assert intake.rows == len(intake.recipients) + intake.rejected + intake.duplicates + len(intake.excluded)


def test_there_are_bad_lists() -> None:
    """An empty folder would make the tests above pass for nothing."""
    assert len(FOLDERS) >= 15
