"""A PostgreSQL as the store: what it must promise, who is told what, and that it may go and come back."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pipeline.clock import to_us
from pipeline.delivery.letter import State
from pipeline.delivery.relay import Secret
from pipeline.errors import StoreUnwritable, Unusable
from pipeline.store import dialect, migrations, postgres, tallying
from pipeline.store.address import SHARED_SCHEMA, ServerAddress, campaign_schema, parse_server
from pipeline.store.database import Database
from pipeline.store.migrations import Schema
from pipeline.store.postgres import Server
from pipeline.store.sighting import last_seen_at
from pipeline.store.storeclock import StoreClock
from pipeline.store.tables import letters, meta, tallies
from pipeline.store.world import accept_place, note_progress, why_not_here
from tests.clocks import START, FakeClock, LoadedDice
from tests.postgres import POSTGRESQL, SQLITE, Cluster, a_cluster, server_of, stores_are, the_cluster
from tests.unit.store_support import ACCEPTED, Bench, a_world, parcel, result, rows


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """An empty database at a server."""
    with stores_are(POSTGRESQL):
        yield server_of(tmp_path)


def shared_at(server: Server) -> Database:
    """Open what campaigns share."""
    return Database(server.schema(SHARED_SCHEMA), (migrations.SHARED,), clock=FakeClock())


def refusal(server: Server) -> StoreUnwritable:
    """Return why a server is not used."""
    with pytest.raises(StoreUnwritable) as caught:
        shared_at(server)
    return caught.value


# -- what is refused


@pytest.mark.parametrize("setting", ["synchronous_commit", "fsync"])
def test_a_server_that_may_forget_what_it_confirmed_is_refused(setting: str) -> None:
    """A forgotten mark is a letter sent twice."""
    with a_cluster(f"{setting}=off") as cluster:
        server = Server(cluster.address("postgres"), lambda: None, cluster.folder, FakeClock())
        refused = refusal(server)
    assert f"{setting} is off" in refused.message
    assert f"{setting} = on" in refused.hint


def test_a_role_that_commits_without_waiting_is_refused(server: Server) -> None:
    """However the server itself is set."""
    with the_cluster().connect(server.address.database) as connection:
        connection.execute(b"CREATE ROLE hasty LOGIN SUPERUSER")
        connection.execute(b"ALTER ROLE hasty SET synchronous_commit = off")
    try:
        hasty = replace(server, address=replace(server.address, user="hasty"))
        assert "synchronous_commit is off" in refusal(hasty).message
    finally:
        with the_cluster().connect("postgres") as connection:
            connection.execute(b"DROP ROLE hasty")


def test_a_driver_that_is_not_installed_is_named_with_the_line_that_installs_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra is optional."""
    real = builtins.__import__

    def without(name: str, *rest: Any, **words: Any) -> Any:
        if name == "psycopg":
            raise ImportError("No module named 'psycopg'")
        return real(name, *rest, **words)

    monkeypatch.setattr(builtins, "__import__", without)
    assert refusal(server).hint == "pip install 'letter-campaign[postgres]'"


def test_a_database_that_is_not_there_is_named_with_the_line_that_makes_it(server: Server) -> None:
    """The most likely slip."""
    missing = replace(server, address=replace(server.address, database="nowhere"))
    assert "createdb nowhere" in refusal(missing).hint


def test_a_role_that_may_not_make_schemas_is_told_which_right_it_lacks(server: Server) -> None:
    """And by which words it gets it."""
    with the_cluster().connect("postgres") as connection:
        connection.execute(b"CREATE ROLE poor LOGIN")
    try:
        poor = replace(server, address=replace(server.address, user="poor"))
        assert f"GRANT CREATE ON DATABASE {server.address.database} TO poor" in refusal(poor).hint
    finally:
        with the_cluster().connect("postgres") as connection:
            connection.execute(b"DROP ROLE poor")


def test_a_password_goes_to_the_server_and_into_no_message(tmp_path: Path) -> None:
    """Wrong or right."""
    with a_cluster() as cluster:
        with cluster.connect("postgres") as connection:
            connection.execute(b"CREATE ROLE letters LOGIN SUPERUSER PASSWORD 'CANARY'")
        rules = "local all all trust\nhost all tests all trust\nhost all letters all scram-sha-256\n"
        (cluster.data / "pg_hba.conf").write_text(rules)
        cluster.stop()
        cluster.start()
        address = replace(cluster.address("postgres"), user="letters")
        shared_at(Server(address, lambda: Secret("CANARY"), tmp_path, FakeClock())).close()
        for given in (Secret("CANARY2"), None):
            refused = refusal(Server(address, partial(_same, given), tmp_path, FakeClock()))
            assert "CANARY" not in refused.message + refused.hint
            assert "CAMPAIGN_STORE_PASSWORD" in refused.hint


def _same(secret: Secret | None) -> Secret | None:
    return secret


def test_a_schema_of_a_newer_version_is_refused(server: Server) -> None:
    """As with a file."""
    shared_at(server).close()
    with the_cluster().connect(server.address.database) as connection:
        connection.execute(b"INSERT INTO campaigns.shared_migrations VALUES ('999 later', 1)")
    assert "newer version of this program (999 later)" in refusal(server).message


# -- opened by several


def test_hosts_that_open_an_empty_database_at_once_make_it_once(server: Server) -> None:
    """One at a time brings it up to date."""
    import threading

    failed: list[BaseException] = []

    def opened() -> None:
        try:
            shared_at(server).close()
        except BaseException as fault:
            failed.append(fault)

    threads = [threading.Thread(target=opened) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_server_gets_the_steps_it_lacks_while_hosts_are_at_work(server: Server) -> None:
    """Each once; who has the older program goes on with what is open, and is told when it opens anew."""
    older = shared_at(server)
    steps = {**migrations.SHARED.steps, "999 notes": _add_notes}
    later = Schema(migrations.SHARED.metadata, migrations.SHARED.record, steps)
    for _ in range(2):
        Database(server.schema(SHARED_SCHEMA), (later,), clock=FakeClock()).close()
    with older.reading() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM notes")) == 0
    older.close()
    assert "999 notes" in refusal(server).message


def _add_notes(connection: sa.Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE notes (id INTEGER NOT NULL PRIMARY KEY)")


def test_campaigns_of_one_database_do_not_mix(tmp_path: Path) -> None:
    """Each has a schema of its own; opt-outs and limits they share."""
    with stores_are(POSTGRESQL):
        one = Bench(tmp_path, names=["ada"])
        other = Database(
            server_of(tmp_path).schema(campaign_schema("october")), (migrations.CAMPAIGN,), clock=FakeClock()
        )
        with other.reading() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(tallies)) == 0
        other.close()
        one.close()


def test_keys_never_share_a_schema() -> None:
    """However long they are, and whatever is in them."""
    keys = ["may", "may-day", "mayday", "a" * 40, "a" * 41, "a" * 64, "a" * 31 + "-" + "0" * 16, "shared"]
    names = {campaign_schema(key) for key in keys} | {SHARED_SCHEMA}
    assert len(names) == len(keys) + 1
    assert all(len(name.encode()) <= 63 for name in names)


# -- it goes away and comes back


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_a_server_that_was_away_is_found_again(tmp_path: Path, how: str) -> None:
    """A commit that nobody can know the end of is no permission; what was committed is there."""
    with a_cluster() as cluster:
        bench = Bench.over(_world_at(cluster, tmp_path))
        bench.plan(rows("ada", "bob"))
        bench.release()
        assert bench.permit(parcel(bench.letter(1)))
        cluster.stop(how)
        with pytest.raises(StoreUnwritable, match="cannot be used") as caught:
            bench.permit(parcel(bench.letter(2)))
        assert "can be reached" in caught.value.hint
        cluster.start()
        bench.record(result(1, ACCEPTED))
        assert bench.state(1) is State.SENT
        assert bench.permit(parcel(bench.letter(2)))
        bench.close()


def _world_at(cluster: Cluster, root: Path) -> Any:
    from pipeline.store.world import WorldName, open_world
    from tests.clocks import LoadedDice

    return open_world(
        root,
        WorldName.REAL,
        key="mayday",
        store=Server(cluster.address("postgres"), lambda: None, root, FakeClock()),
        shared_folder=None,
        clock=FakeClock(),
        dice=LoadedDice(),
    )


def test_a_connection_that_was_cut_while_it_rested_is_replaced(server: Server) -> None:
    """A firewall that forgets, a server that was started anew over night: nobody notices."""
    clock = FakeClock()
    database = Database(
        replace(server, clock=clock).schema(SHARED_SCHEMA), (migrations.SHARED,), clock=FakeClock()
    )
    with database.reading() as connection:
        connection.execute(sa.text("SELECT 1"))
    with the_cluster().connect("postgres") as outside:
        outside.execute(
            b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'campaign %'"
        )
    clock.advance(postgres.RESTED_S + 1)
    with database.reading() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    database.close()


def test_a_host_that_stops_within_a_transaction_is_put_out(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had locked is free for others after a while."""
    monkeypatch.setitem(postgres.WRITES, "idle_in_transaction_session_timeout", "50ms")
    stopped, other = shared_at(server), shared_at(server)

    def stop() -> None:
        with stopped.writing() as connection:
            connection.execute(sa.text("LOCK TABLE paces"))
            with other.writing() as unhindered:  # waits until then
                unhindered.execute(sa.text("LOCK TABLE paces"))
            connection.execute(sa.text("SELECT 1"))

    with pytest.raises(StoreUnwritable):
        stop()
    with stopped.writing() as connection:
        connection.execute(sa.text("LOCK TABLE paces"))
    for database in (stopped, other):
        database.close()


# -- time


def test_the_servers_clock_is_everybodys(tmp_path: Path) -> None:
    """A host whose own clock is a year ahead goes by the server's."""
    with stores_are(POSTGRESQL):
        wrong = FakeClock(START + timedelta(days=365))
        clock = StoreClock(wrong)
        assert clock.now() >= START + timedelta(days=365)
        database = shared_at(server_of(tmp_path, clock=clock))
        with database.reading() as connection:
            theirs = dialect.store_now_us(connection)
        assert abs(to_us(clock.now()) - theirs) < 5_000_000
        before = clock.now()
        wrong.advance(60)
        assert timedelta(seconds=59) < clock.now() - before < timedelta(seconds=61)
        database.close()


# -- counts


def test_letters_are_counted_by_rows_that_are_added_and_folded(tmp_path: Path) -> None:
    """Nobody waits for a row that another changes; the sums are the same before and after."""
    with stores_are(POSTGRESQL):
        bench = Bench(tmp_path, names=["ada", "bob", "eve"])
        for number in (1, 2):
            bench.permit(parcel(bench.letter(number)))
            bench.record(result(number, ACCEPTED))
        kept = sa.select(tallies.c.state, sa.func.sum(tallies.c.number)).group_by(tallies.c.state)
        rows_kept = sa.select(sa.func.count()).select_from(tallies)
        with bench.world.campaign.writing() as connection:
            before = {state: int(count) for state, count in connection.execute(kept) if count}
            assert before == {"sent": 2, "queued": 1}
            assert (connection.scalar(rows_kept) or 0) > 3
            tallying.tidy(connection, tallies)
            assert {state: int(count) for state, count in connection.execute(kept) if count} == before
            assert connection.scalar(rows_kept) == len(before)
        bench.close()


# -- text


@pytest.mark.parametrize("text", ["a\0b", "\\u0000", "\\\\u0000", "a\\", "Ñ\ufffd'\"%s"])
def test_any_text_can_be_kept(tmp_path: Path, text: str) -> None:
    """But for NUL, for which a mark stands."""
    with stores_are(POSTGRESQL):
        bench = Bench(tmp_path, names=["ada"])
        bench.permit(parcel(bench.letter()))
        bench.record(result(1, ACCEPTED)._replace(note=text))
        with bench.world.campaign.writing() as connection:
            connection.execute(sa.insert(meta).values(name="said", value=text))
            kept = connection.scalar(sa.select(meta.c.value).where(meta.c.name == "said"))
        assert kept == text.replace("\0", "\ufffd")
        assert bench.line().why == text.replace("\0", "\ufffd")
        bench.close()


# -- addresses


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("postgresql://u@db.example.org/letters", ServerAddress("letters", "db.example.org", None, "u")),
        ("postgres://127.0.0.1:5433/x", ServerAddress("x", "127.0.0.1", 5433)),
        ("postgresql://u%40x@[::1]:5432/d%20b", ServerAddress("d b", "::1", 5432, "u@x")),
        (
            "postgresql:///x?host=/run/postgresql&sslmode=disable",
            ServerAddress("x", options=(("host", "/run/postgresql"), ("sslmode", "disable"))),
        ),
    ],
)
def test_an_address_is_read_and_written_again(text: str, address: ServerAddress) -> None:
    """What is written is read as the same."""
    assert parse_server(text) == address
    assert parse_server(address.url) == address


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://u:CANARY@db/x",
        "postgresql://db/x?password=CANARY",
        "postgresql://db/x?sslpassword=CANARY",
        "postgresql://db",
        "postgresql://db/",
        "postgresql://db/x/CANARY",
        "postgresql://db:99999/x",
        "postgresql://a,b/x",
        "postgresql://db/x?options=-csynchronous_commit%3Doff",
        "postgresql://db/x?host=other",
        "postgresql://db/x#y",
        "postgresql://u:CANARY@db@x/y",
    ],
)
def test_an_address_that_says_anything_else_is_refused(text: str) -> None:
    """And nothing of it is repeated."""
    with pytest.raises(ValueError, match=r"address|option|stand|host|user") as caught:
        parse_server(text)
    assert "CANARY" not in str(caught.value)


def test_a_server_elsewhere_is_spoken_to_over_tls() -> None:
    """Unless the address says otherwise."""
    assert parse_server("postgresql://db.example.org/x").words()["sslmode"] == "require"
    assert parse_server("postgresql://db.example.org/x?sslmode=disable").words()["sslmode"] == "disable"
    assert "sslmode" not in parse_server("postgresql://127.0.0.1/x").words()


# -- what a folder remembers of its server


def test_a_key_that_was_changed_is_refused_at_a_server_too(tmp_path: Path) -> None:
    """Under another key every letter would be another one, and be sent again."""
    with stores_are(POSTGRESQL):
        bench = Bench(tmp_path, names=["ada"])
        accept_place(bench.world, clock=bench.clock)
        bench.close()
        with pytest.raises(Unusable, match='planned under "mayday"'):
            a_world(tmp_path, key="october")


def test_a_server_brought_back_from_a_backup_is_refused_until_accepted(tmp_path: Path) -> None:
    """It does not know what was sent since, and would send it again."""
    with stores_are(POSTGRESQL):
        bench = Bench(tmp_path, names=["ada", "bob"])
        accept_place(bench.world, clock=bench.clock)
        bench.permit(parcel(bench.letter(1)))
        bench.record(result(1, ACCEPTED))
        note_progress(bench.world, clock=bench.clock)
        assert why_not_here(bench.world) == ""
        with bench.world.campaign.writing() as connection:
            connection.execute(sa.update(letters).where(letters.c.id == 1).values(state="queued"))
        assert "1 letters sent since then are not known" in why_not_here(bench.world)
        accept_place(bench.world, clock=bench.clock)
        assert why_not_here(bench.world) == ""
        bench.close()


def test_another_database_than_the_one_used_before_is_refused_until_accepted(tmp_path: Path) -> None:
    """A slip in campaign.toml begins nothing anew."""
    with stores_are(POSTGRESQL):
        bench = Bench(tmp_path, names=["ada"])
        accept_place(bench.world, clock=bench.clock)
        bench.close()
        (tmp_path / "elsewhere").mkdir()
        other = a_world(tmp_path, shared=tmp_path / "elsewhere", dice=LoadedDice(skip=1))
        assert "were in another one" in why_not_here(other)
        other.close()


def test_an_address_taken_out_of_campaign_toml_begins_nothing_anew(tmp_path: Path) -> None:
    """A file with no letters would send every one of them again."""
    with stores_are(POSTGRESQL):
        bench = Bench(tmp_path, names=["ada"])
        accept_place(bench.world, clock=bench.clock)
        bench.close()
        with stores_are(SQLITE), pytest.raises(Unusable, match="letters of this folder are at") as caught:
            Bench(tmp_path)
        assert 'below [store], url = "postgresql://' in caught.value.hint
        assert not (tmp_path / ".campaign" / "campaign.db").exists()


@pytest.mark.parametrize("said", [b"", b"[]", b"{", b'{"server": 1}', b"\xff" * 9_000])
def test_what_cannot_be_read_is_nothing_remembered(tmp_path: Path, said: bytes) -> None:
    """The file is the folder's, and anybody's who can write there."""
    (tmp_path / "server.json").write_bytes(said)
    assert last_seen_at(tmp_path) is None
