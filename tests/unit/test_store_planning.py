"""Rows become letters: the identity decides, and nothing makes a second letter of one."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.delivery.letter import State
from pipeline.delivery.plan import PlannedLetter, plan_letters
from pipeline.errors import Unusable
from pipeline.mail.address import parse_address
from pipeline.recipients.pairing import Pair
from pipeline.recipients.rows import Recipient, read_recipients
from pipeline.store import planning
from pipeline.store.dialect import ROWS_AT_ONCE, PreparedRows
from pipeline.store.planning import ROW_REMOVED, Planning
from pipeline.store.tables import letters
from tests.postgres import BOTH, FILE_ONLY
from tests.unit.store_support import (
    ACCEPTED,
    CONTENT,
    GREYLISTED,
    KEY,
    Bench,
    a_world,
    parcel,
    planned_from,
    result,
    rows,
)

pytestmark = BOTH

SECRET = b"a secret of at least sixteen octets"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An empty store."""
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_every_row_becomes_one_planned_letter(bench: Bench) -> None:
    """New rows are counted as new."""
    assert bench.plan(rows("ada", "bob", "eve")) == Planning(new=3, cancelled=0)
    assert bench.states() == dict.fromkeys(("ada", "bob", "eve"), State.PLANNED)


def test_planning_again_changes_nothing(bench: Bench) -> None:
    """A second planning of the same list finds every letter known."""
    bench.plan(rows("ada", "bob"))
    before = bench.lines()
    assert bench.plan(rows("ada", "bob")) == Planning(new=0, cancelled=0)
    assert bench.lines() == before


def test_fault_26_reordered_rows_make_no_second_letter(bench: Bench) -> None:
    """Letters are keyed by recipient, not by row number; each keeps number and Message-ID."""
    names = [f"name{number}" for number in range(20)]
    bench.plan(rows(*names))
    before = {line.email: (line.id, line.message_id) for line in bench.lines()}
    random.Random(26).shuffle(names)
    assert bench.plan(rows(*names)) == Planning(new=0, cancelled=0)
    assert {line.email: (line.id, line.message_id) for line in bench.lines()} == before


def test_fault_26_an_edited_row_refreshes_its_waiting_letter(bench: Bench) -> None:
    """Language, name and place in the file are today's as long as nothing was permitted."""
    bench.plan("email,language,name\nada@office.example,en,Ada\n")
    bench.plan("email,language,name\nbob@office.example,en,Bob\nAda@office.example,ru,Ада\n")
    bench.release()
    letter = bench.letter()
    assert (letter.email, letter.language, letter.values["name"], letter.line) == (
        "Ada@office.example",
        "ru",
        "Ада",
        3,
    )
    assert len(bench.lines()) == 2


def test_fault_26_an_edited_row_does_not_touch_a_letter_that_was_permitted(bench: Bench) -> None:
    """Address, language and values stay those of the frozen text; only its line in the file is today's."""
    bench.plan("email,language,name\nada@office.example,en,Ada\n")
    bench.release()
    before = bench.letter()
    assert bench.permit(parcel(before))
    bench.record(result(1, GREYLISTED))
    bench.plan("email,language,name\nbob@office.example,en,Bob\nAda@office.example,ru,Ада\n")
    after = bench.letter()
    assert (after.email, after.language, after.values) == (before.email, before.language, before.values)
    assert (after.content, after.line) == (CONTENT, 3)


def test_fault_26_a_removed_row_cancels_its_letter_while_it_waits(bench: Bench) -> None:
    """Planned and queued letters whose row is gone do not go out."""
    bench.plan(rows("ada", "bob"))
    bench.release()
    bench.plan(rows("ada", "bob", "eve"))
    assert bench.plan(rows("ada")) == Planning(new=0, cancelled=2)
    assert bench.states() == {"ada": State.QUEUED, "bob": State.CANCELLED, "eve": State.CANCELLED}
    assert bench.line(2).why == ROW_REMOVED


def test_fault_26_a_removed_row_leaves_sent_and_doubtful_letters_as_they_are(bench: Bench) -> None:
    """What went out, or may have, is a fact whatever the list says."""
    bench.plan(rows("ada", "bob", "eve"))
    bench.release()
    bench.write([parcel(bench.letter(1)), parcel(bench.letter(2))])
    bench.record(result(1, ACCEPTED), result(2, None))
    assert bench.plan(rows("eve")).cancelled == 0
    assert bench.states() == {"ada": State.SENT, "bob": State.IN_DOUBT, "eve": State.QUEUED}


def test_fault_26_a_row_that_comes_back_is_the_same_letter_planned_again(bench: Bench) -> None:
    """Removed and returned: one letter, the Message-ID it had, and a new confirmation needed."""
    bench.plan(rows("ada", "bob"))
    bench.release()
    before = bench.line()
    bench.plan(rows("bob"))
    assert bench.plan(rows("ada", "bob")) == Planning(new=0, cancelled=0)
    after = bench.line()
    assert (after.id, after.message_id) == (before.id, before.message_id)
    assert (after.state, after.why, after.ended_at) == (State.PLANNED, "", None)


def test_a_row_that_comes_back_does_not_undo_the_operators_cancel(bench: Bench) -> None:
    """Only what planning cancelled does planning bring back."""
    bench.plan(rows("ada", "bob"))
    bench.cancel(1)
    bench.plan(rows("bob"))
    bench.plan(rows("ada", "bob"))
    assert bench.state() is State.CANCELLED


def test_fault_17_a_row_removed_and_returned_during_a_dead_attempt_is_in_doubt(bench: Bench) -> None:
    """The host died after the permission; whatever the list did meanwhile, the letter may have gone."""
    bench.plan(rows("ada", "bob"))
    bench.release()
    assert bench.permit(parcel(bench.letter()))
    bench.plan(rows("bob"))
    bench.plan(rows("ada", "bob"))
    assert bench.state() is State.PLANNED
    assert bench.recover() == 1
    assert bench.state() is State.IN_DOUBT
    assert bench.release() == 0


def test_the_same_person_in_another_case_is_the_same_letter(bench: Bench) -> None:
    """Case, outer spaces and IDN form do not make a second letter."""
    bench.plan("email\nada@münchen.example\n")
    again = "email\nADA@XN--MNCHEN-3YA.example\n"
    assert bench.plan(again) == Planning(new=0, cancelled=0)
    assert len(bench.lines()) == 1


def test_a_list_longer_than_a_batch_is_planned_whole(bench: Bench) -> None:
    """Batches are a matter of memory, not of letters."""
    names = [f"name{number}" for number in range(1_101)]
    assert bench.plan(rows(*names)).new == 1_101
    assert bench.plan(rows(*names[:-1])) == Planning(new=0, cancelled=1)


@FILE_ONLY
@pytest.mark.parametrize("rows_that_fail", [0, 1])
def test_planning_leaves_a_connection_as_it_was(bench: Bench, rows_that_fail: int) -> None:
    """More pages are kept while letters are put in, whether or not that comes to an end, and no longer."""
    planned = planned_from(rows("ada", "bob"), secret=bench.world.secret)
    broken = [planned[0]._replace(recipient=cast(str, None))] * rows_that_fail
    with bench.world.campaign.writing() as connection:
        before = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
        with pytest.raises(sqlite3.Error) if broken else nullcontext():
            planning.plan(connection, planned + broken, campaign=KEY, now_us=bench.now_us)
        assert connection.exec_driver_sql("PRAGMA cache_size").scalar_one() == before


@pytest.mark.parametrize("number", [1, 99, 100, 101, 500, 601])
def test_each_row_keeps_its_own_cells_however_many_go_together(bench: Bench, number: int) -> None:
    """Rows are put in many at a time, the last few by themselves; no cell slips into another row."""
    names = [f"name{one}" for one in range(number)]
    for title in ("Dr", "Prof"):  # put in, and refreshed
        text = "email,name,title\n" + "".join(f"{name}@office.example,{name},{title}\n" for name in names)
        bench.plan(text)
        wanted = planned_from(text, secret=bench.world.secret)
        with bench.world.campaign.reading() as connection:
            found = connection.execute(
                sa.select(*(letters.c[field] for field in PlannedLetter._fields)).order_by(letters.c.id)
            )
            assert list(map(tuple, found)) == list(map(tuple, wanted))
    assert bench.states() == dict.fromkeys(names, State.PLANNED)


class Told(sqlite3.Connection):
    """A connection that tells what it was asked."""

    asked: set[str]

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Note a statement, and execute it."""
        self.asked = {*getattr(self, "asked", ()), sql}
        return super().execute(sql, parameters)


@FILE_ONLY
def test_rows_of_any_number_go_in_by_a_few_statements() -> None:
    """A connection keeps each statement ready, and one of a hundred rows is large."""
    table = sa.Table("noted", sa.MetaData(), sa.Column("number", sa.Integer), sa.Column("word", sa.Text))
    named = {column.name: sa.bindparam(column.name, type_=column.type) for column in table.c}
    prepared = PreparedRows(("number",), sa.insert(table).values(named))
    with closing(sqlite3.connect(":memory:", factory=Told)) as connection:
        connection.execute("CREATE TABLE noted (number INTEGER, word TEXT)")
        for number in range(250):
            prepared.run(connection, [(one,) for one in range(number)], word=str(number))
            noted = connection.execute("SELECT number FROM noted WHERE word = ?", (str(number),))
            assert [one for (one,) in noted] == list(range(number))
        assert len([sql for sql in connection.asked if "INSERT" in sql]) <= len(ROWS_AT_ONCE)


@given(st.dictionaries(st.text(), st.text()))
@example({'a"b': "c\\d\n\x00\x7f\u2028é\ud800"})
def test_a_row_is_kept_as_json_has_it(cells: dict[str, str]) -> None:
    """It is written by hand, for speed; every character stands in it as the library would write it."""
    address = parse_address("ada@office.example")
    pair = Pair(Recipient(2, address, "en", "", "", (), cells))
    (letter,) = plan_letters([pair], campaign="x", author_domain="committee.example", secret=SECRET)
    assert letter.row == json.dumps(cells, ensure_ascii=False, separators=(",", ":"))


def test_the_message_id_depends_on_identity_alone() -> None:
    """Neither the row's other cells nor its place in the list change it."""
    first = planned_from("email,name\nada@office.example,Ada\n", secret=SECRET)[0]
    other = planned_from("email,name\nbob@office.example,\nADA@office.example,A.\n", secret=SECRET)[1]
    assert first.message_id == other.message_id


def test_the_message_id_names_nobody_and_belongs_to_the_author() -> None:
    """It is a random-looking word in the author's domain."""
    (letter,) = planned_from(rows("ada"), secret=SECRET)
    local, _, domain = letter.message_id.strip("<>").partition("@")
    assert domain == "committee.example"
    assert len(local) == 26
    assert "ada" not in local
    assert "mayday" not in local


@pytest.mark.parametrize("change", ["secret", "campaign", "recipient"])
def test_another_identity_or_secret_has_another_message_id(change: str) -> None:
    """No two letters share one, and nobody without the secret can guess one."""
    (letter,) = planned_from(rows("ada"), secret=SECRET)
    (other,) = planned_from(
        rows("bob" if change == "recipient" else "ada"),
        secret=b"another secret of sixteen octets" if change == "secret" else SECRET,
        campaign="june" if change == "campaign" else "mayday",
    )
    assert letter.message_id != other.message_id


def test_the_message_id_stays_when_the_authors_domain_changes(bench: Bench) -> None:
    """It was fixed at planning, for life."""
    from pipeline.store import planning

    bench.plan(rows("ada"))
    before = bench.line().message_id
    intake = read_recipients(rows("ada").encode(), file="recipients.csv", languages=["en"])
    moved = plan_letters(
        map(Pair, intake.recipients),
        campaign="mayday",
        author_domain="elsewhere.example",
        secret=bench.world.secret,
    )
    with bench.world.campaign.writing() as connection:
        planning.plan(connection, moved, campaign="mayday", now_us=bench.now_us)
    assert bench.line().message_id == before


@FILE_ONLY
def test_a_campaign_key_changed_after_planning_is_refused(bench: Bench, tmp_path: Path) -> None:
    """Another key would make a second letter of every one; the message says what to put back."""
    bench.plan(rows("ada"))
    with pytest.raises(Unusable, match="planned under") as caught:
        a_world(tmp_path, key="june")
    assert 'put key = "mayday" back' in caught.value.hint


@FILE_ONLY
def test_a_campaign_key_may_change_before_anything_is_planned(tmp_path: Path) -> None:
    """An empty store takes the new key, and is then the new campaign's."""
    a_world(tmp_path, key="may").close()
    bench = Bench(tmp_path, names=["ada"])
    bench.close()
    with pytest.raises(Unusable, match='planned under "mayday"'):
        a_world(tmp_path, key="may")
