"""The sample mails of tests/replies, each sorted: a folder for each kind, the rest in expected.csv.

To add one: put the .eml file into the folder of its kind, and a line into expected.csv. All people and
domains in them are invented.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pipeline.mail.mime import read_mail
from pipeline.replies.kinds import Kind
from pipeline.replies.sorting import sort_mail

FOLDER = Path(__file__).parents[1] / "replies"


def expectations() -> list[dict[str, str]]:
    """Return the lines of expected.csv."""
    with (FOLDER / "expected.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("row", expectations(), ids=lambda row: row["file"])
def test_a_sample_is_what_its_folder_says(row: dict[str, str]) -> None:
    """Kind, recipients with their reasons, who would be suppressed, form, case, day of return, review."""
    raw = (FOLDER / row["file"]).read_bytes()
    verdict = sort_mail(read_mail(raw), raw)
    said = {
        "file": f"{verdict.kind.value}/{Path(row['file']).name}",
        "recipients": "|".join(
            f"{one.address}={one.reason.value if one.reason else ''}" for one in verdict.recipients
        ),
        "suppressed": "|".join(one.address for one in verdict.recipients if one.suppress),
        "form": verdict.form.value if verdict.form else "",
        "case": verdict.case,
        "returns": verdict.returns.isoformat() if verdict.returns else "",
        "review": verdict.review,
    }
    assert said == row, verdict.why
    assert verdict.why


def test_every_sample_is_expected_and_every_kind_has_one() -> None:
    """No file is forgotten, and there are enough of them."""
    files = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.eml")}
    assert files == {row["file"] for row in expectations()}
    assert {name.partition("/")[0] for name in files} == set(Kind)
    assert len(files) >= 150
