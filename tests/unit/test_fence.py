"""The fence: no row, no final dot; and never two rows where one was meant."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.clock import to_us
from pipeline.delivery.letter import Phase, State
from pipeline.store import fence
from tests.clocks import START
from tests.postgres import BOTH
from tests.unit.store_support import (
    ACCEPTED,
    CONTENT,
    GREYLISTED,
    UNKNOWN_USER,
    Bench,
    at_attempt,
    parcel,
    result,
    rows,
)

pytestmark = BOTH


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A store with two queued letters."""
    bench = Bench(tmp_path, names=["ada", "bob"])
    yield bench
    bench.close()


def test_a_queued_letter_gets_a_permission(bench: Bench) -> None:
    """The attempt's row is there, open, and the letter counts it."""
    assert bench.permit(parcel(bench.letter()))
    (attempt,) = bench.attempts()
    assert (attempt.n, attempt.ended_at, attempt.relay) == (1, None, "smtps://relay")
    assert bench.line().attempts == 1
    assert bench.state() is State.QUEUED


def test_the_same_attempt_is_never_permitted_twice(bench: Bench) -> None:
    """A second asker of (letter, 1) is denied, in the same commit and in a later one."""
    wanted = parcel(bench.letter())
    assert bench.write([wanted, wanted]).granted == {(1, 1)}
    assert not bench.permit(wanted)
    assert len(bench.attempts()) == 1


def test_no_second_permission_while_an_attempt_is_open(bench: Bench) -> None:
    """Attempt 2 cannot exist before attempt 1 has ended."""
    letter = bench.letter()
    assert bench.permit(parcel(letter))
    assert not bench.permit(parcel(at_attempt(letter, 1)))
    assert [attempt.n for attempt in bench.attempts()] == [1]


@pytest.mark.parametrize("number", [2, 3, 10])
def test_attempts_are_numbered_without_gaps(bench: Bench, number: int) -> None:
    """Only the number that follows the last attempt is granted."""
    assert not bench.permit(parcel(bench.letter(), attempt=number))
    assert bench.attempts() == []


def test_the_next_attempt_follows_a_temporary_refusal(bench: Bench) -> None:
    """After a definite end of attempt 1 comes attempt 2."""
    assert bench.permit(parcel(bench.letter()))
    bench.record(result(1, GREYLISTED))
    assert bench.permit(parcel(bench.letter()))
    assert [attempt.n for attempt in bench.attempts()] == [1, 2]


def test_a_result_counts_before_the_permissions_of_the_same_commit(bench: Bench) -> None:
    """A refusal and the next attempt may come in one transaction."""
    letter = bench.letter()
    assert bench.permit(parcel(letter))
    written = bench.write([parcel(at_attempt(letter, 1))], [result(1, GREYLISTED)])
    assert written.granted == {(1, 2)}


def test_an_acceptance_and_a_permission_in_one_commit_end_with_the_acceptance(bench: Bench) -> None:
    """A letter whose acceptance arrives together with a wish to send it again is not sent again."""
    letter = bench.letter()
    assert bench.permit(parcel(letter))
    written = bench.write([parcel(at_attempt(letter, 1))], [result(1, ACCEPTED)])
    assert written.granted == frozenset()
    assert bench.state() is State.SENT


@pytest.mark.parametrize("answer", [ACCEPTED, UNKNOWN_USER, None], ids=["sent", "failed", "in doubt"])
def test_a_letter_that_left_the_queue_gets_no_permission(bench: Bench, answer: object) -> None:
    """Sent, failed and doubtful letters are not sent again by themselves."""
    letter = bench.letter()
    assert bench.permit(parcel(letter))
    bench.record(result(1, answer))  # type: ignore[arg-type]
    assert not bench.permit(parcel(at_attempt(letter, 1)))


def test_of_several_those_are_permitted_that_may_be(bench: Bench) -> None:
    """One that was withdrawn keeps no other back; what else is to be written is written once."""
    first, second = bench.letter(1), bench.letter(2)
    assert bench.permit(parcel(first))
    bench.cancel(2)
    written = bench.write([parcel(at_attempt(first, 1)), parcel(second)], [result(1, GREYLISTED)])
    assert written == fence.Written(frozenset({(1, 2)}), paused=False)
    assert (bench.line(1).attempts, bench.line(1).deferrals, bench.line(2).attempts) == (2, 1, 0)
    assert bench.content(2) is None


def test_a_planned_letter_gets_no_permission(bench: Bench) -> None:
    """Only a released letter may go."""
    bench.plan(rows("ada", "bob", "eve"))
    released = bench.letter()
    assert not bench.permit(parcel(released._replace(id=3)))
    assert bench.state(3) is State.PLANNED


def test_a_letter_that_does_not_exist_gets_no_permission(bench: Bench) -> None:
    """A number from nowhere makes no row."""
    assert not bench.permit(parcel(bench.letter()._replace(id=99)))


def test_a_letter_cancelled_after_it_was_read_gets_no_permission(bench: Bench) -> None:
    """The operator's word counts up to the permission."""
    letter = bench.letter()
    bench.cancel(1)
    assert not bench.permit(parcel(letter))
    assert bench.state() is State.CANCELLED


def test_nothing_is_permitted_while_paused(bench: Bench) -> None:
    """A pause stops every permission from the next commit on, and says that it was the reason."""
    bench.pause()
    written = bench.write([parcel(bench.letter(1)), parcel(bench.letter(2))])
    assert written.paused
    assert written.granted == frozenset()
    assert bench.resume()
    assert bench.permit(parcel(bench.letter()))


def test_results_are_written_while_paused(bench: Bench) -> None:
    """What was on its way when the pause came is still recorded."""
    assert bench.permit(parcel(bench.letter()))
    bench.pause()
    bench.record(result(1, ACCEPTED))
    assert bench.state() is State.SENT


def test_an_acceptance_that_comes_after_a_cancel_is_kept(bench: Bench) -> None:
    """What the relay took, it has: sent wins over the operator's cancel."""
    assert bench.permit(parcel(bench.letter()))
    assert bench.cancel(1) == 1
    bench.record(result(1, ACCEPTED))
    assert bench.state() is State.SENT


def test_a_doubt_that_comes_after_a_cancel_is_kept(bench: Bench) -> None:
    """A cancelled letter that may have gone is in doubt, not cancelled."""
    assert bench.permit(parcel(bench.letter()))
    bench.cancel(1)
    bench.record(result(1, None))
    assert bench.state() is State.IN_DOUBT


def test_a_temporary_refusal_that_comes_after_a_cancel_leaves_it_cancelled(bench: Bench) -> None:
    """The letter did not go, so the operator's word stands; the attempt has ended."""
    assert bench.permit(parcel(bench.letter()))
    bench.cancel(1, why="the trial is off")
    bench.record(result(1, GREYLISTED))
    assert (bench.state(), bench.line().why) == (State.CANCELLED, "the trial is off")
    assert bench.attempts()[0].ended_at is not None


def test_a_letter_cancelled_and_queued_again_waits_for_its_open_attempt(bench: Bench) -> None:
    """Cancel and resend during an attempt do not open a second one."""
    assert bench.permit(parcel(bench.letter()))
    bench.cancel(1)
    assert bench.resend(1) == 1
    assert not bench.permit(parcel(bench.letter()))
    bench.record(result(1, ACCEPTED))
    assert bench.state() is State.SENT


def test_a_result_written_twice_counts_once(bench: Bench) -> None:
    """A commit whose outcome was unknown is tried again: the schedule moves one step, not two."""
    assert bench.permit(parcel(bench.letter()))
    bench.record(result(1, GREYLISTED))
    bench.record(result(1, GREYLISTED))
    assert bench.line().deferrals == 1


def test_a_failure_written_twice_does_not_undo_a_resend(bench: Bench) -> None:
    """What the operator decided between the two writings stands."""
    assert bench.permit(parcel(bench.letter()))
    bench.record(result(1, UNKNOWN_USER))
    bench.resend(1)
    bench.record(result(1, UNKNOWN_USER))
    assert bench.state() is State.QUEUED


def test_a_late_result_of_an_earlier_attempt_does_not_move_the_letter(bench: Bench) -> None:
    """An answer to attempt 1 says nothing about attempt 2."""
    assert bench.permit(parcel(bench.letter()))
    bench.record(result(1, GREYLISTED))
    assert bench.permit(parcel(bench.letter()))
    bench.record(result(1, UNKNOWN_USER))
    assert bench.state() is State.QUEUED
    assert bench.attempts()[1].ended_at is None


def test_a_sent_letter_stays_sent(bench: Bench) -> None:
    """No later result of any kind moves it."""
    assert bench.permit(parcel(bench.letter()))
    bench.record(result(1, ACCEPTED))
    for answer in (UNKNOWN_USER, GREYLISTED, None):
        bench.record(result(1, answer))
    assert bench.state() is State.SENT


def test_an_acceptance_of_an_owner_believed_dead_ends_the_doubt(bench: Bench) -> None:
    """A letter put in doubt by another run is sent once its owner, alive after all, says so."""
    assert bench.permit(parcel(bench.letter()))
    assert bench.recover() == 1
    assert bench.state() is State.IN_DOUBT
    bench.record(result(1, ACCEPTED))
    assert bench.state() is State.SENT


def test_the_attempt_keeps_the_answer_whole(bench: Bench) -> None:
    """Code, enhanced code, text, phase and verdict are stored, never to be parsed again."""
    assert bench.permit(parcel(bench.letter()))
    bench.record(result(1, UNKNOWN_USER, phase=Phase.RCPT))
    (attempt,) = bench.attempts()
    assert (attempt.phase, attempt.verdict) == ("rcpt", "failed")
    assert (attempt.code, attempt.enhanced, attempt.text) == (550, "5.1.1", "user unknown")
    assert bench.line().why == "550 5.1.1 user unknown"


def test_a_deferred_letter_is_due_when_the_result_says(bench: Bench) -> None:
    """The schedule's moment is stored and outlives the process."""
    assert bench.permit(parcel(bench.letter()))
    wanted = result(1, GREYLISTED)
    bench.record(wanted)
    assert bench.line().due_at == wanted.due_at
    assert [letter.id for letter in bench.due()] == [2]


def test_the_content_is_frozen_at_the_first_permission(bench: Bench) -> None:
    """Bytes, hash and date are kept, and given back with the letter."""
    wanted = parcel(bench.letter())
    assert bench.content() is None
    assert bench.permit(wanted)
    kept = bench.content()
    assert kept is not None
    assert kept.message == CONTENT
    assert (kept.sha256, kept.built_at) == (wanted.sha256, to_us(START))
    assert bench.letter().content == CONTENT


def test_a_permission_for_other_bytes_than_the_frozen_ones_is_denied(bench: Bench) -> None:
    """What was once permitted is what every further attempt sends."""
    assert bench.permit(parcel(bench.letter()))
    bench.record(result(1, GREYLISTED))
    before = bench.content()
    assert not bench.permit(parcel(bench.letter(), content=b"Subject: edited\r\n\r\nOther words.\r\n"))
    assert bench.content() == before


def test_a_denied_permission_freezes_nothing(bench: Bench) -> None:
    """The text of a letter that may not go can still be edited."""
    bench.pause()
    assert not bench.permit(parcel(bench.letter()))
    assert bench.content() is None


def test_without_kept_bytes_only_the_hash_stays(tmp_path: Path) -> None:
    """`[store] bytes = false` keeps no words of the letter."""
    bench = Bench(tmp_path, names=["ada"], keep_bytes=False)
    wanted = parcel(bench.letter())
    assert bench.permit(wanted)
    kept = bench.content()
    bench.record(result(1, GREYLISTED))
    letter = bench.letter()
    bench.close()
    assert kept is not None
    assert (kept.message, kept.sha256) == (None, wanted.sha256)
    assert (letter.content, letter.sha256) == (None, wanted.sha256)


@pytest.mark.parametrize("size", [0, fence.PIECE, fence.PIECE + 1, fence.LONG, fence.LONG + 1, 70_001])
def test_the_hash_of_what_is_kept_is_that_of_all_of_it(bench: Bench, size: int) -> None:
    """However large it is."""
    content = bytes(range(256)) * (size // 256 + 1)
    wanted = parcel(bench.letter(), content=content[:size])._replace(sha256="")
    assert bench.permit(wanted)
    kept = bench.content()
    assert kept is not None
    assert (kept.sha256, kept.message) == (hashlib.sha256(content[:size]).hexdigest(), content[:size])


def test_large_letters_are_not_made_ready_where_the_sessions_wait(bench: Bench) -> None:
    """They are permitted all the same, and kept."""
    wanted = parcel(bench.letter(), content=b"x" * (fence.AT_A_STROKE + 1))._replace(sha256="")
    writing = fence.Writing(bench.run, [wanted], [], bench.now_us, keep_bytes=True)
    assert fence.prepare(writing).at_a_stroke is None
    assert bench.permit(wanted)
    kept = bench.content()
    assert kept is not None
    assert kept.message == wanted.content


def test_a_commit_that_is_rolled_back_grants_nothing(bench: Bench) -> None:
    """A power cut before the commit takes attempt, count and content with it."""
    wanted = parcel(bench.letter())
    with suppress(PowerCutError), bench.world.campaign.writing() as connection:
        fence.write(connection, fence.Writing(bench.run, [wanted], [], bench.now_us, keep_bytes=True))
        raise PowerCutError
    assert (bench.attempts(), bench.content(), bench.line().attempts) == ([], None, 0)


class PowerCutError(Exception):
    """The end of the world, for a transaction."""
