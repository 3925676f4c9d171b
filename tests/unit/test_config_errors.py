"""Every mistake in campaign.toml, shown as people see it.

Each folder tests/campaigns/bad-config-* holds a campaign.toml and, in expected.txt, exactly what is shown.
After a change of words: python -m tests.unit.test_config_errors writes expected.txt anew; read the diff.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import read_config
from pipeline.problem import errors, shown

FOLDERS = sorted((Path(__file__).parent.parent / "campaigns").glob("bad-config-*"))


def told(folder: Path) -> str:
    """Return what is shown for the campaign.toml in a folder."""
    text = (folder / "campaign.toml").read_text(encoding="utf-8")
    settings, problems = read_config(text, file="campaign.toml", root=Path("/campaign"))
    assert settings is None
    assert errors(problems)
    return "".join(f"{shown(problem)}\n" for problem in problems)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_bad_config_is_told_in_full(folder: Path) -> None:
    """Every problem at once, each with its place, its line, a caret and the fix."""
    assert told(folder) == (folder / "expected.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_no_secret_is_ever_shown(folder: Path) -> None:
    """Not in a message, not in the source line, not in a hint."""
    assert "CANARY" not in told(folder)


def test_there_are_bad_configs() -> None:
    """The folders are found."""
    assert len(FOLDERS) > 20


if __name__ == "__main__":
    for one in FOLDERS:
        (one / "expected.txt").write_text(told(one), encoding="utf-8")
