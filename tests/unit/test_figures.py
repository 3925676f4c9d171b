"""What `status` knows: the document, and what it says to do next."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.delivery.letter import State
from pipeline.report.figures import Note, Standing

DUE = datetime(2027, 5, 3, 9, 0, tzinfo=UTC)


def _standing(*notes: Note, running: bool = False, **numbers: int) -> Standing:
    """Return a standing with so many letters in each state."""
    return Standing(
        campaign="May Day",
        world="sandbox",
        letters={state: numbers.get(str(state), 0) for state in State},
        deferred=0,
        replies={},
        next_due=None,
        notes=notes,
        running=running,
    )


def test_the_eight_states_add_up_to_the_total() -> None:
    """In the document too, in the states' order."""
    standing = _standing(sent=3, queued=2, in_doubt=1)
    letters = standing.document()["letters"]
    assert (standing.total, letters.pop("total")) == (6, 6)
    assert list(letters) == [str(state) for state in State]
    assert sum(letters.values()) == 6


def test_notes_are_the_problems_of_the_document() -> None:
    """A word for machines, the words, and what to do."""
    note = Note("paused", "all sending is paused", "resume it")
    assert _standing(note).document()["problems"] == [
        {"code": "paused", "message": "all sending is paused", "hint": "resume it"}
    ]


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (_standing(), "campaign check"),
        (_standing(in_doubt=1, planned=1), "campaign resolve"),
        (_standing(Note("paused", ""), queued=1), "campaign resume"),
        (_standing(queued=1, running=True), "--watch"),
        (_standing(planned=1, sent=1), "--dry-run"),
        (_standing(queued=1, sent=1), "--print-cron"),
        (_standing(failed=1, sent=1), "campaign resend"),
        (_standing(sent=2), "nothing waits"),
    ],
)
def test_the_most_pressing_thing_comes_first(standing: Standing, words: str) -> None:
    """A doubt before a pause, a pause before what waits, what waits before what failed."""
    assert words in standing.next_step
