"""The queue: what is released, read, taken out, found again after a crash; and what a person may decide."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipeline.clock import to_us
from pipeline.delivery.letter import Phase, State
from pipeline.delivery.verdict import judge_loss
from pipeline.store import approvals, history, operator, queue, replies
from pipeline.store.tables import letters
from tests.clocks import START
from tests.postgres import BOTH, FILE_ONLY
from tests.unit.store_support import (
    ACCEPTED,
    CONTENT,
    GREYLISTED,
    UNKNOWN_USER,
    Bench,
    is_commit,
    parcel,
    result,
    rows,
    watch,
)

pytestmark = BOTH

LATER = START + timedelta(hours=1)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A store with five planned letters."""
    bench = Bench(tmp_path)
    bench.plan(rows("ada", "bob", "eve", "kai", "lin"))
    yield bench
    bench.close()


def sent(bench: Bench, number: int) -> None:
    """Let a letter be accepted."""
    assert bench.permit(parcel(bench.letter(number)))
    bench.record(result(number, ACCEPTED))


# -- release


def test_release_queues_what_is_planned_due_at_once(bench: Bench) -> None:
    """Each letter once."""
    assert bench.release() == 5
    assert bench.release() == 0
    assert len(bench.due()) == 5


def test_release_takes_the_first_rows_of_the_list(bench: Bench) -> None:
    """`--limit 2` means the first two rows as they stand in the list today."""
    bench.plan(rows("lin", "kai", "eve", "bob", "ada"))
    with bench.world.campaign.writing() as connection:
        assert queue.release(connection, now_us=bench.now_us, most=2) == 2
        assert queue.release(connection, now_us=bench.now_us, most=0) == 0
    assert [name for name, state in bench.states().items() if state is State.QUEUED] == ["kai", "lin"]


def test_release_takes_only_the_recipients_asked_for(bench: Bench) -> None:
    """`--only` releases nothing else."""
    with bench.world.campaign.writing() as connection:
        queue.release(connection, now_us=bench.now_us, only=["eve@office.example", "nobody@office.example"])
        assert queue.count_waiting(connection) == (4, 1)
        assert queue.count_waiting(connection, only=["eve@office.example"]) == (0, 1)


# -- reading


def test_reading_goes_on_behind_the_last_place(bench: Bench) -> None:
    """In order of due time, then number; no letter twice, none left out."""
    bench.release()
    place, read = queue.Place(), []
    with bench.world.campaign.reading() as connection:
        while found := queue.read_due(connection, now_us=bench.now_us, behind=place, most=2):
            read += [letter.id for _, letter in found]
            place = found[-1][0]
    assert read == [1, 2, 3, 4, 5]


def test_a_letter_put_off_is_read_behind_the_others(bench: Bench) -> None:
    """Its due time places it; before that it is not read at all."""
    bench.release()
    bench.permit(parcel(bench.letter(2)))
    bench.record(result(2, GREYLISTED))
    assert [letter.id for letter in bench.due()] == [1, 3, 4, 5]
    assert [letter.id for letter in bench.due(at=LATER)] == [1, 3, 4, 5, 2]


def test_reading_only_some_recipients(bench: Bench) -> None:
    """`--only` reads nothing else."""
    bench.release()
    with bench.world.campaign.reading() as connection:
        found = queue.read_due(
            connection, now_us=bench.now_us, behind=queue.Place(), most=9, only=["kai@office.example"]
        )
    assert [letter.email for _, letter in found] == ["kai@office.example"]


def test_a_letter_is_read_with_its_history(bench: Bench) -> None:
    """Attempts, deferrals and frozen bytes come along, for the next attempt to be the same letter."""
    bench.release()
    bench.permit(parcel(bench.letter()))
    bench.record(result(1, GREYLISTED))
    letter = bench.letter()
    assert (letter.attempts, letter.deferrals, letter.content) == (1, 1, CONTENT)


def test_what_was_tried_before_is_read_in_bounded_pieces(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand letters that carry large files do not fill the memory; each is read all the same, once."""
    bench.release()
    contents = {letter.id: b"%d\r\n" % letter.id * 100 for letter in bench.due()}
    permits = [parcel(letter, content=contents[letter.id]) for letter in bench.due()]
    assert len(bench.write(permits).granted) == 5
    bench.record(*(result(number, GREYLISTED) for number in contents))
    monkeypatch.setattr(queue, "FROZEN_AT_ONCE", 700)
    found: dict[int, bytes | None] = {}
    pieces: list[int] = []
    behind = queue.Place()
    while True:
        with bench.world.campaign.reading() as connection:
            piece = queue.read_due(connection, now_us=to_us(LATER), behind=behind, most=1_000)
        if not piece:
            break
        pieces.append(len(piece))
        behind = piece[-1][0]
        found |= {letter.id: letter.content for _, letter in piece}
    assert pieces == [2, 2, 1]
    assert found == contents


def test_deferred_letters_can_be_made_due(bench: Bench) -> None:
    """`send --now` moves deferred letters and no doubtful ones."""
    bench.release()
    bench.write([parcel(bench.letter(1)), parcel(bench.letter(2))])
    bench.record(result(1, GREYLISTED), result(2, None))
    with bench.world.campaign.writing() as connection:
        assert queue.make_due(connection, now_us=bench.now_us) == 1
        assert queue.count_due(connection, now_us=bench.now_us) == 4
    assert bench.state(2) is State.IN_DOUBT


# -- taking out


@pytest.mark.parametrize("state", [State.SUPPRESSED, State.EXPIRED, State.FAILED])
def test_waiting_letters_are_taken_out_with_a_reason(bench: Bench, state: State) -> None:
    """The reason is stored with the letter and told by `show`."""
    with bench.world.campaign.writing() as connection:
        assert queue.take_out(connection, [1, 2], state, why="because", now_us=bench.now_us) == 2
        assert [(event.what, event.why) for event in history.events_of(connection, 1)] == [(state, "because")]
    assert (bench.state(1), bench.line(1).why, bench.state(3)) == (state, "because", State.PLANNED)


def test_what_does_not_wait_is_not_taken_out(bench: Bench) -> None:
    """A sent letter stays sent, and nothing is told of it."""
    bench.release()
    sent(bench, 1)
    with bench.world.campaign.writing() as connection:
        assert queue.take_out(connection, [1], State.SUPPRESSED, why="opt-out", now_us=bench.now_us) == 0
        assert history.events_of(connection, 1) == []
    assert bench.state() is State.SENT


# -- after a crash


def test_fault_17_open_attempts_are_in_doubt_after_a_crash(bench: Bench) -> None:
    """What was permitted and not answered may have gone; what was not permitted stays queued."""
    bench.release()
    bench.write([parcel(bench.letter(1)), parcel(bench.letter(2))])
    bench.record(result(1, ACCEPTED))
    assert bench.recover() == 1
    assert [bench.state(number) for number in (1, 2, 3)] == [State.SENT, State.IN_DOUBT, State.QUEUED]
    (attempt,) = bench.attempts(2)
    assert (attempt.verdict, attempt.text) == ("in doubt", queue.HOST_GONE)


def test_fault_17_recovery_twice_changes_nothing(bench: Bench) -> None:
    """A crash during recovery is no harm."""
    bench.release()
    bench.permit(parcel(bench.letter()))
    assert [bench.recover(), bench.recover()] == [1, 0]


def test_fault_17_recovery_never_takes_back_that_a_letter_was_sent(bench: Bench) -> None:
    """Whatever an open attempt says: a sent letter that came in doubt could be sent again."""
    bench.release()
    bench.permit(parcel(bench.letter()))
    with bench.world.campaign.writing() as connection:
        connection.execute(sa.update(letters).where(letters.c.id == 1).values(state=State.SENT))
    assert bench.recover() == 1
    assert bench.state() is State.SENT


def test_fault_17_a_letter_cancelled_during_a_dead_attempt_is_in_doubt(bench: Bench) -> None:
    """The operator's cancel does not make an unknown known."""
    bench.release()
    bench.permit(parcel(bench.letter()))
    bench.cancel(1)
    bench.recover()
    assert (bench.state(), bench.line().ended_at) == (State.IN_DOUBT, None)


# -- the operator


def doubtful(bench: Bench) -> None:
    """Put letter 1 in doubt."""
    bench.release()
    bench.permit(parcel(bench.letter()))
    bench.record(result(1, None))


def test_fault_16_a_doubt_settled_as_sent_is_sent(bench: Bench) -> None:
    """The operator's word, with its reason in the letter's story."""
    doubtful(bench)
    with bench.world.campaign.writing() as connection:
        assert operator.settle_as_sent(connection, [1, 2], why="in the archive", now_us=bench.now_us) == 1
        assert [event.what for event in history.events_of(connection, 1)] == ["settled: sent"]
    assert (bench.state(1), bench.state(2)) == (State.SENT, State.QUEUED)
    assert "in the archive" in bench.line().why


def test_fault_16_a_doubt_settled_as_unsent_is_queued_with_the_same_bytes(bench: Bench) -> None:
    """Same Message-ID, same content, next attempt."""
    doubtful(bench)
    before = bench.line().message_id
    with bench.world.campaign.writing() as connection:
        assert operator.settle_as_unsent(connection, [1], why="not in the log", now_us=bench.now_us) == 1
    letter = bench.letter()
    assert (letter.message_id, letter.content, letter.attempts) == (before, CONTENT, 1)
    assert bench.permit(parcel(letter))


def test_fault_16_only_doubts_are_settled(bench: Bench) -> None:
    """Nothing else moves by `resolve`."""
    bench.release()
    sent(bench, 1)
    with bench.world.campaign.writing() as connection:
        assert operator.settle_as_unsent(connection, [1, 2], why="", now_us=bench.now_us) == 0
    assert bench.state() is State.SENT


def test_fault_16_a_standing_order_sends_a_doubt_again_once(bench: Bench) -> None:
    """`retry.in_doubt = "resend"`: the second doubt about the same letter is a person's."""
    bench.release()
    queued = []
    for attempt in (1, 2):
        assert bench.permit(parcel(bench.letter()))
        bench.record(result(1, None, attempt=attempt)._replace(verdict=operator.IN_DOUBT))
        with bench.world.campaign.writing() as connection:
            queued.append(operator.resend_doubts(connection, now_us=bench.now_us))
    assert queued == [1, 0]
    assert bench.state() is State.IN_DOUBT


def test_fault_16_a_loss_is_in_doubt_by_the_word_the_standing_order_counts(bench: Bench) -> None:
    """What the verdict table says, what recovery writes and what is counted are one word."""
    assert judge_loss(Phase.DOT).word == operator.IN_DOUBT
    bench.release()
    bench.permit(parcel(bench.letter()))
    bench.recover()
    assert bench.attempts()[0].verdict == operator.IN_DOUBT


def test_a_suppressed_letter_is_planned_again_when_its_address_is_free(bench: Bench) -> None:
    """Planned, not queued: a person confirms it; no other state is touched."""
    bench.release()
    with bench.world.campaign.writing() as connection:
        queue.take_out(connection, [1], State.SUPPRESSED, why="opt-out", now_us=bench.now_us)
        assert operator.plan_again(connection, [1, 2], now_us=bench.now_us) == 1
    assert (bench.state(1), bench.state(2)) == (State.PLANNED, State.QUEUED)


def test_a_failed_letter_can_be_sent_again(bench: Bench) -> None:
    """From the start of its schedule, with the reason logged."""
    bench.release()
    bench.permit(parcel(bench.letter()))
    bench.record(result(1, GREYLISTED))
    bench.permit(parcel(bench.letter()))
    bench.record(result(1, UNKNOWN_USER, attempt=2))
    assert bench.resend(1, why="the address was mended there") == 1
    assert (bench.state(), bench.line().deferrals) == (State.QUEUED, 0)
    with bench.world.campaign.reading() as connection:
        assert [event.why for event in history.events_of(connection, 1)] == ["the address was mended there"]


def test_sent_and_doubtful_letters_cannot_be_sent_again(bench: Bench) -> None:
    """`resend` never makes a second copy."""
    doubtful(bench)
    sent(bench, 2)
    assert bench.resend(1, 2) == 0
    assert (bench.state(1), bench.state(2)) == (State.IN_DOUBT, State.SENT)


def test_only_waiting_letters_can_be_cancelled(bench: Bench) -> None:
    """What went out cannot be called back."""
    bench.release()
    sent(bench, 1)
    assert bench.cancel(1, 2) == 1
    assert (bench.state(1), bench.state(2)) == (State.SENT, State.CANCELLED)


@pytest.mark.parametrize("word", ["2", "bob@office.example", "MESSAGE-ID"])
def test_letters_are_found_by_number_address_and_message_id(bench: Bench, word: str) -> None:
    """Whatever the operator has in front of them."""
    word = bench.line(2).message_id if word == "MESSAGE-ID" else word
    with bench.world.campaign.reading() as connection:
        assert operator.find(connection, [word], [State.PLANNED]) == [2]
        assert [line.id for line in history.find_letters(connection, word, word)] == [2]
        assert operator.find(connection, [word], [State.SENT]) == []


@pytest.mark.parametrize("word", ["9" * 18, "9" * 19, "9" * 5_000, "²", "", "' OR 1=1 --", "\x00"])
def test_what_names_no_letter_finds_none(bench: Bench, word: str) -> None:
    """Any word may be asked for: numbers beyond all bounds, quotes, control characters."""
    with bench.world.campaign.reading() as connection:
        assert operator.find(connection, [word], list(State)) == []
        assert history.find_letters(connection, word, word) == []


def test_pausing_and_resuming_are_logged(bench: Bench) -> None:
    """Who looks later finds when and why."""
    bench.pause()
    assert bench.resume()
    assert not bench.resume()
    with bench.world.campaign.reading() as connection:
        told = [(event.what, event.why) for event in history.events_of(connection, None)]
    assert told == [("paused", "a hearing today"), ("resumed", "")]


# -- counting


def test_the_eight_states_add_up(bench: Bench) -> None:
    """Every letter is in exactly one of them."""
    bench.release()
    bench.write([parcel(bench.letter(1)), parcel(bench.letter(2)), parcel(bench.letter(3))])
    bench.record(result(1, ACCEPTED), result(2, None), result(3, GREYLISTED))
    bench.plan(rows("ada", "bob", "eve", "kai", "new"))
    with bench.world.campaign.reading() as connection:
        counts = history.counts(connection, now_us=bench.now_us)
        due = history.next_due(connection)
    assert counts.total == 6
    assert set(counts.by_state) == set(State)
    assert [state for state, number in counts.by_state.items() if number == 0] == [
        State.FAILED,
        State.SUPPRESSED,
        State.EXPIRED,
    ]
    assert counts.deferred == 1
    assert due is not None
    assert due < to_us(LATER)


def test_an_empty_store_counts_nothing(tmp_path: Path) -> None:
    """Zero of everything, and nothing due."""
    bench = Bench(tmp_path / "empty")
    with bench.world.campaign.reading() as connection:
        assert history.counts(connection, now_us=0).total == 0
        assert history.next_due(connection) is None
        assert replies.tally(connection) == replies.Tally({}, unmatched=0, review=0, bounced=0)
        assert history.content_hash(connection, 1) is None
    bench.close()


# -- cost


def plans(bench: Bench, job: object) -> list[str]:
    """Return how SQLite goes about every statement of a job."""
    asked: list[str] = []
    watch(bench.world.campaign, asked.append)
    assert callable(job)
    job()
    done = list(dict.fromkeys(asked))
    statements = [one for statement in done for one in (steps_of(bench, statement) or [statement])]
    with bench.world.campaign.reading() as connection:
        return [
            str(row[3])
            for statement in statements
            if statement.split()[0] in ("SELECT", "UPDATE", "INSERT")
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")
        ]


def steps_of(bench: Bench, statement: str) -> list[str]:
    """Return the steps of a commit that is one statement, as they are run by themselves; none of others."""
    if not is_commit(statement) or statement == "COMMIT":
        return []
    straight = bench.world.campaign._straight
    assert straight is not None
    with straight.transaction("BEGIN") as connection:
        ((trigger,),) = connection.execute("SELECT sql FROM sqlite_temp_master WHERE type = 'trigger'")
    body = re.sub(r"NEW\.\w+", "NULL", trigger.partition("BEGIN ")[2].removesuffix("; END"))
    return [step for step in body.split("; ") if "RAISE" not in step]


@FILE_ONLY
def test_reading_and_permitting_are_led_by_indexes(bench: Bench) -> None:
    """A hundred thousand letters cost no more a letter than ten do: nothing is scanned, nothing sorted."""
    bench.release()
    wanted = parcel(bench.letter())
    steps = plans(bench, bench.due)
    steps += plans(bench, lambda: bench.write([wanted]))
    steps += plans(bench, lambda: bench.record(result(1, ACCEPTED)))

    def look() -> None:
        with bench.world.campaign.reading() as connection:
            history.next_due(connection)
            queue.count_due(connection, now_us=bench.now_us)

    steps += plans(bench, look)
    assert any("letters_queue (state=? AND due_at=? AND id>?)" in step for step in steps)
    assert any("letters_queue (state=? AND due_at>? AND due_at<?)" in step for step in steps)
    # A batch is gone through, of course, and an answer that comes in one piece; contents only where a new
    # bundle could mend a broken reference.
    ours = ("SCAN contents", "SCAN all_rows", "SCAN CONSTANT ROW")
    tables = [step for step in steps if "VIRTUAL TABLE" not in step and step not in ours]
    assert [step for step in tables if step.startswith("SCAN") or "TEMP B-TREE" in step] == []


@FILE_ONLY
def test_recovery_looks_at_open_attempts_only(bench: Bench) -> None:
    """A long history costs the next start nothing."""
    bench.release()
    assert plans(bench, bench.recover) == ["SCAN attempts USING INDEX attempts_open"]


@FILE_ONLY
def test_the_first_few_planned_letters_are_released_without_sorting_the_rest(bench: Bench) -> None:
    """`--limit 100` of a million looks at a hundred; and who is withheld is not sought among all of them."""

    def release() -> None:
        with bench.world.campaign.writing() as connection:
            queue.release(connection, now_us=bench.now_us, most=2)

    def count() -> None:
        with bench.world.campaign.reading() as connection:
            approvals.count_withheld(connection)

    steps = plans(bench, release)
    assert "SCAN letters USING INDEX letters_planned" in steps
    assert "USE TEMP B-TREE FOR ORDER BY" not in steps
    steps = plans(bench, count)
    assert "SCAN withheld" in steps
    assert not any("letters_queue" in step for step in steps)
