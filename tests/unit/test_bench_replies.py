"""The bench of the sorting counts what it says it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.replies import Expected, Tally, measure, own_samples, print_table
from pipeline.replies.kinds import Kind

SAMPLES = Path(__file__).parents[1] / "replies"
DEAD = "minister@ministry.example"


def test_a_collection_is_compared_mail_by_mail(tmp_path: Path) -> None:
    """Kinds, recipients, people lost and living addresses killed are counted apart."""
    qmail, human, away = (
        SAMPLES / name for name in ("bounce/qmail.eml", "human/reply-en.eml", "auto/away-en.eml")
    )
    mails = [
        Expected(qmail, frozenset({Kind.BOUNCE}), frozenset({DEAD})),
        Expected(qmail, frozenset({Kind.BOUNCE}), frozenset({"other@x.example"}), alive=True),
        Expected(human, frozenset({Kind.HUMAN})),
        Expected(away, frozenset({Kind.HUMAN})),
    ]
    assert measure("x", iter(mails)) == Tally("x", 4, 3, asked=2, exact=1, people_lost=1, killed=1)


def test_our_own_samples_are_all_right(tmp_path: Path) -> None:
    """And none of them loses a person or kills a living address."""
    tally = measure("own", own_samples(tmp_path))
    assert tally.right == tally.exact == tally.mails >= 150
    assert (tally.people_lost, tally.killed) == (0, 0)


def test_the_table_has_a_sum(capsys: pytest.CaptureFixture[str]) -> None:
    """One row for each collection and one for all."""
    print_table([Tally("a", 2, 1), Tally("b", 2, 2)])
    assert capsys.readouterr().out.splitlines()[-1] == "| all | 4 | 3 (75.0 %) |  | 0 | 0 |"
