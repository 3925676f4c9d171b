"""A store carried over to a server: all of it, and never two that may send."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipeline.delivery.letter import State
from pipeline.delivery.limits import DAY_S, Quota
from pipeline.delivery.rules import Claim, recipient_row
from pipeline.errors import StoreUnwritable, Unusable
from pipeline.recipients.suppression import Reason, Suppression, suppression_hash
from pipeline.replies.mailbox import Extent, Fetched
from pipeline.store import ledger, moving, notices, operator, shared
from pipeline.store.mails import Mails
from pipeline.store.postgres import Server
from pipeline.store.tables import letters, mails, shared_meta, suppressions
from pipeline.store.world import World, WorldName, open_world
from tests.clocks import START, FakeClock, LoadedDice
from tests.postgres import POSTGRESQL, server_of, stores_are, the_cluster
from tests.unit.store_support import (
    ACCEPTED,
    GREYLISTED,
    KEY,
    UNKNOWN_USER,
    Bench,
    parcel,
    result,
    rows,
)

NAMES = ("ada", "bob", "eve", "kim", "zoë")
QUOTA = Claim("recipient 1234", Quota(3, DAY_S), "per recipient")


@pytest.fixture(autouse=True)
def _a_server() -> Iterator[None]:
    with stores_are(POSTGRESQL):
        yield


@contextmanager
def a_file(root: Path) -> Iterator[Bench]:
    """A file with letters in every state, a reply with a NUL in it, opt-outs, limits used."""
    with stores_are("sqlite"):
        bench = Bench(root)
    bench.plan(rows("ada", "bob", "eve", "kim") + "z@office.example\n")
    bench.release()
    for number, answer in ((1, ACCEPTED), (2, GREYLISTED), (3, UNKNOWN_USER), (4, None)):
        assert bench.permit(parcel(bench.letter(number), content=b"Subject: %d\r\n\r\nwords\r\n" % number))
        bench.record(result(number, answer))
    bench.cancel(5, why="a hearing")
    kept = Mails(bench.world.campaign, clock=bench.clock)
    mail = Fetched(b"Subject: yes\r\n\r\n\0", Extent.WHOLE, 20, "1", None, frozenset(), "a\0b")
    kept.keep("inbox", [mail], "7")
    with bench.world.common.writing() as connection:
        secret = shared.shared_secret(connection)
        for name, address in (("eve", "eve@office.example"), ("ada", None)):
            hash_ = suppression_hash(secret, f"{name}@office.example")
            entry = Suppression(hash_, address, Reason.BOUNCED, "a bounce", START)
            shared.suppress(connection, entry)
        ledger.take(connection, [QUOTA], now_us=bench.now_us)
    try:
        yield bench
    finally:
        bench.close()


def at_server(root: Path, *, key: str = KEY) -> World:
    """Open the store at the server; one that is made there is another than a file's."""
    dice = LoadedDice()
    dice.token(1)
    return open_world(
        root,
        WorldName.REAL,
        key=key,
        store=server_of(root),
        shared_folder=None,
        clock=FakeClock(),
        dice=dice,
    )


def carried(bench: Bench, server: Server) -> moving.Moved:
    """Move it."""
    return moving.move(bench.world, server, clock=bench.clock)


def test_everything_is_there_afterwards(tmp_path: Path) -> None:
    """States, attempts, contents, mails; and sending goes on where it stopped."""
    with a_file(tmp_path) as bench:
        before = bench.lines()
        attempts = [bench.attempts(line.id) for line in before]
        contents = [bench.content(line.id) for line in before]
        moved = carried(bench, server_of(tmp_path))
        there = Bench.over(at_server(tmp_path))
        assert there.lines() == before
        assert [there.attempts(line.id) for line in before] == attempts
        assert [there.content(line.id) for line in before] == contents
        assert there.world.store_id == bench.world.store_id
        assert there.world.secret == bench.world.secret
        assert moved.states == {"sent": 1, "queued": 1, "failed": 1, "in_doubt": 1, "cancelled": 1}
        assert (moved.tables["letters"], moved.tables["attempts"], moved.tables["mails"]) == (5, 4, 1)
        again = there.letter(2)
        assert again.content == b"Subject: 2\r\n\r\nwords\r\n"
        assert there.permit(parcel(again, content=again.content)._replace(sha256=again.sha256))
        there.plan(rows("ada", "bob", "eve", "kim", "new"))
        assert there.lines()[-1].id == 6
        there.close()


def test_what_the_server_cannot_keep_is_marked_and_compared_as_such(tmp_path: Path) -> None:
    """PostgreSQL has no NUL in a text; a mail's own bytes stay as they are."""
    with a_file(tmp_path) as bench:
        carried(bench, server_of(tmp_path))
        world = at_server(tmp_path)
        with world.campaign.reading() as connection, bench.world.campaign.reading() as before:
            assert connection.scalar(sa.select(mails.c.why)) == "a\ufffdb"
            raw = sa.select(mails.c.raw)
            assert connection.scalar(raw) == before.scalar(raw)
        world.close()


def test_the_file_says_where_its_letters_went(tmp_path: Path) -> None:
    """Every opening of it, from then on."""
    with a_file(tmp_path) as bench:
        carried(bench, server_of(tmp_path))
    with stores_are("sqlite"), pytest.raises(Unusable, match="were moved to postgresql://tests@") as caught:
        Bench(tmp_path)
    assert "below [store], url = " in caught.value.hint


def test_moving_again_says_that_it_is_done(tmp_path: Path) -> None:
    """And changes nothing at the server, which has gone on since."""
    with a_file(tmp_path) as bench:
        carried(bench, server_of(tmp_path))
        there = Bench.over(at_server(tmp_path))
        there.cancel(2)
        moved = carried(bench, server_of(tmp_path))
        assert moved.again
        assert moved.states["cancelled"] == 2
        assert there.state(2) is State.CANCELLED
        there.close()


@pytest.mark.parametrize("where", ["_add_shared", "_carry_over", "_fill", "_compared", "_open"])
def test_broken_off_anywhere_neither_store_sends_and_again_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """As `kill -9` before that step would; done again it ends the same."""

    class Killed(BaseException):
        """A kill."""

    def dies(*_a: object, **_k: object) -> None:
        raise Killed

    with a_file(tmp_path) as bench:
        before = bench.lines()
        with monkeypatch.context() as patch:
            patch.setattr(moving, where, dies)
            with pytest.raises(Killed):
                carried(bench, server_of(tmp_path))
        with stores_are("sqlite"), pytest.raises(Unusable, match="move"):
            Bench(tmp_path)
        if where in ("_compared", "_open"):
            with pytest.raises(Unusable, match=r"not finished|campaign\.db"):
                at_server(tmp_path)
        carried(bench, server_of(tmp_path))
        there = Bench.over(at_server(tmp_path))
        assert there.lines() == before
        there.close()


def test_a_move_that_is_not_finished_may_be_called_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file sends on; a later move carries over what it has by then."""

    def dies(*_a: object, **_k: object) -> None:
        raise StoreUnwritable("the network is gone")

    with a_file(tmp_path) as bench:
        with monkeypatch.context() as patch:
            patch.setattr(moving, "_compared", dies)
            with pytest.raises(StoreUnwritable):
                carried(bench, server_of(tmp_path))
        assert moving.take_back(bench.world).startswith("postgresql://")
        with stores_are("sqlite"):
            Bench(tmp_path).close()
        bench.cancel(2)
        assert carried(bench, server_of(tmp_path)).states["cancelled"] == 2
        with pytest.raises(Unusable, match="may have sent from there"):
            moving.take_back(bench.world)


def test_letters_of_another_store_are_not_written_over(tmp_path: Path) -> None:
    """The same key, planned elsewhere."""
    there = Bench.over(at_server(tmp_path))
    there.plan(rows("somebody"))
    elsewhere = pytest.raises(Unusable, match="has letters of a campaign with the key")
    with a_file(tmp_path / "folder") as bench, elsewhere:
        carried(bench, server_of(tmp_path))
    assert [line.email for line in there.lines()] == ["somebody@office.example"]
    there.close()


def test_a_file_brought_back_from_a_backup_moves_nowhere(tmp_path: Path) -> None:
    """The server has gone on with that campaign."""
    with a_file(tmp_path) as bench:
        carried(bench, server_of(tmp_path))
        with bench.world.campaign.writing() as connection:
            for name in ("moved to", "moving to"):
                operator.write_meta(connection, name, "")
        with pytest.raises(Unusable, match="goes on with it"):
            carried(bench, server_of(tmp_path))


def test_a_campaign_that_was_moved_does_not_move_again(tmp_path: Path) -> None:
    """Or there would be two that may send."""
    with a_file(tmp_path) as bench:
        carried(bench, server_of(tmp_path))
        with pytest.raises(Unusable, match=r"was moved to .* already"):
            carried(bench, server_of(tmp_path / "elsewhere"))


def test_a_server_that_does_not_answer_changes_nothing(tmp_path: Path) -> None:
    """A slip in the address does not close the file."""
    with a_file(tmp_path) as bench:
        nowhere = replace(server_of(tmp_path), address=the_cluster().address("no_such_database"))
        with pytest.raises(StoreUnwritable) as caught:
            carried(bench, nowhere)
        assert "createdb no_such_database" in caught.value.hint
        with stores_are("sqlite"):
            Bench(tmp_path).close()


def test_opt_outs_and_limits_hold_at_the_server(tmp_path: Path) -> None:
    """Those that were erased too."""
    with a_file(tmp_path) as bench:
        carried(bench, server_of(tmp_path))
        world = at_server(tmp_path)
        with world.common.writing() as connection:
            secret = shared.shared_secret(connection)
            keys = ["eve@office.example", "ada@office.example", "bob@office.example"]
            assert set(shared.suppressed(connection, keys, secret)) == set(keys[:2])
            taken = [ledger.take(connection, [QUOTA], now_us=bench.now_us) for _ in range(3)]
            assert taken.count(None) == 2
        world.close()


def test_opt_outs_are_hashed_anew_where_the_server_has_another_key(tmp_path: Path) -> None:
    """From their addresses, and from the campaign's own recipients where those were erased."""
    first = at_server(tmp_path, key="another-campaign")
    with first.common.writing() as connection:
        connection.execute(sa.update(shared_meta).values(value=(b"x" * 32).hex()))
    first.close()
    with a_file(tmp_path) as bench:
        carried(bench, server_of(tmp_path))
        world = at_server(tmp_path)
        with world.common.reading() as connection:
            assert shared.shared_secret(connection) == b"x" * 32
            keys = ["eve@office.example", "ada@office.example", "bob@office.example"]
            assert set(shared.suppressed(connection, keys, b"x" * 32)) == set(keys[:2])
        world.close()


def test_limits_of_recipients_are_named_anew_where_the_server_has_another_key(tmp_path: Path) -> None:
    """What a recipient had today counts at the server too."""
    first = at_server(tmp_path, key="another-campaign")
    with first.common.writing() as connection:
        connection.execute(sa.update(shared_meta).values(value=(b"x" * 32).hex()))
    first.close()
    with a_file(tmp_path) as bench:
        recipient = bench.lines()[0].email
        with bench.world.common.writing() as connection:
            ours = shared.shared_secret(connection)
            ledger.take(connection, [_one_a_day(recipient, ours)], now_us=bench.now_us)
        carried(bench, server_of(tmp_path))
        world = at_server(tmp_path)
        with world.common.writing() as connection:
            claim = _one_a_day(recipient, b"x" * 32)
            assert ledger.take(connection, [claim], now_us=bench.now_us) is not None
        world.close()


def _one_a_day(address: str, secret: bytes) -> Claim:
    name = recipient_row(suppression_hash(secret, address))
    return Claim(name, Quota(1, DAY_S), "per recipient")


def test_an_erased_opt_out_that_cannot_be_hashed_anew_stops_the_move(tmp_path: Path) -> None:
    """It is never lost in silence."""
    first = at_server(tmp_path, key="another-campaign")
    with first.common.writing() as connection:
        connection.execute(sa.update(shared_meta).values(value=(b"x" * 32).hex()))
    first.close()
    with a_file(tmp_path) as bench:
        with bench.world.common.writing() as connection:
            connection.execute(
                sa.insert(suppressions).values(hash="00", reason="optout", source="x", since=bench.now_us)
            )
        with pytest.raises(Unusable, match="erased opt-out"):
            carried(bench, server_of(tmp_path))


def test_notices_go_along(tmp_path: Path) -> None:
    """They are letters of ours too, under their own fence."""
    from pipeline.mail.address import parse_mailbox

    with a_file(tmp_path) as bench:
        store = notices.open_notices(bench.world, clock=bench.clock)
        with store.campaign.writing() as connection:
            notices.queue_notice(
                connection,
                ["ab" * 32],
                parse_mailbox("us@committee.example"),
                domain="committee.example",
                secret=store.secret,
                now_us=bench.now_us,
            )
        store.campaign.close()
        moved = carried(bench, server_of(tmp_path))
        assert moved.notices["letters"] == 1
        world = at_server(tmp_path)
        assert notices.have_notices(world)
        there = notices.open_notices(world, clock=bench.clock)
        with there.campaign.reading() as connection:
            assert notices.passed_on(connection, "us@committee.example") == {"ab" * 32}
        there.campaign.close()
        world.close()


def test_what_arrives_changed_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One octet in one row; the copy stays closed."""
    whole = moving._fill

    def damaged(source: object, connection: sa.Connection, **words: object) -> None:
        whole(source, connection, **words)  # type: ignore[arg-type]
        connection.execute(sa.update(letters).where(letters.c.id == 3).values(why="something else"))

    with a_file(tmp_path) as bench:
        monkeypatch.setattr(moving, "_fill", damaged)
        with pytest.raises(Unusable, match="is not what was sent: letters"):
            carried(bench, server_of(tmp_path))
        with pytest.raises(Unusable, match=r"campaign\.db"):
            at_server(tmp_path)


def test_a_folder_whose_letters_are_in_a_file_is_not_begun_anew_at_a_server(tmp_path: Path) -> None:
    """An address put into campaign.toml alone would send every letter again."""
    with a_file(tmp_path), pytest.raises(Unusable, match=r"campaign\.db") as caught:
        at_server(tmp_path)
    assert "campaign move" in caught.value.hint
