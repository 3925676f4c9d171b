"""A campaign's store carried over from a file to a server: all of it, once, and never two that may send.

    the file: marked "moving" ── copied ── compared ── committed at the server, which is not open yet ──
    the file: marked "moved" for good ── the server: opened

Whatever happens in between, at most one of the two may be used: a file that is marked says where its letters
went, a server's copy that is not open yet says that the move is to be finished. Killed at any point it may be
done again, and ends the same. What is copied of the campaign is one transaction of the server.

Rows go over in a stream, so memory is flat whatever the number of letters. Afterwards every row is read back
from the server and compared with the file, by the sum of the SHA-256 of each: numbers of rows, states,
contents, all of it.

What campaigns share (opt-outs, limits) is added to what the server has. Opt-outs are known by a keyed hash
only; where the server has a key already that is another one, they are hashed anew from their addresses and
from those of the campaign's recipients.

Limits: an erased opt-out that belongs to nobody of this campaign cannot be hashed anew: then nothing is
moved. What is known of the DNS and of places on this machine stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from typing import Any

import sqlalchemy as sa

from pipeline.clock import Clock, to_us
from pipeline.delivery.rules import RECIPIENT, recipient_row
from pipeline.errors import Unusable
from pipeline.recipients.suppression import suppression_hash
from pipeline.store import dialect, notices, shared
from pipeline.store.address import SHARED_SCHEMA, campaign_schema, notices_schema
from pipeline.store.database import Database, guarded
from pipeline.store.dialect import insert
from pipeline.store.migrations import CAMPAIGN, SHARED, migrate
from pipeline.store.operator import read_meta, write_meta
from pipeline.store.postgres import PostgresSchema, Server, copy_rows
from pipeline.store.tables import holds, letters, paces, shared_meta, spent, strikes, suppressions, tallies
from pipeline.store.world import ARRIVING, MOVED, MOVING, World

AT_ONCE = 1_000
LARGE_AT_ONCE = 4  # rows with blobs
_KEPT_BY_ITSELF = {CAMPAIGN.record.name, tallies.name}

Told = Callable[[str, int], None]  # a table, and how many rows of it are done


@dataclass(frozen=True, slots=True)
class Moved:
    """What was carried over: rows by table, letters by state, and what was added to the shared tables."""

    tables: dict[str, int] = field(default_factory=dict)
    notices: dict[str, int] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    shared: dict[str, int] = field(default_factory=dict)
    again: bool = False  # it had been moved before; nothing was left to do but to say so


def move(world: World, server: Server, *, clock: Clock, told: Told = lambda _table, _rows: None) -> Moved:
    """Carry ``world``, a file's, over to ``server``; call it with the campaign's locks held.

    Raises Unusable where the server has other letters of this campaign, or opt-outs cannot be carried over;
    StoreUnwritable.
    """
    target = server.schema(campaign_schema(world.key))
    common = Database(server.schema(SHARED_SCHEMA), (SHARED,), clock=clock)
    try:
        return _move(world, target, common, clock=clock, told=told)
    finally:
        common.close()


def _move(world: World, target: PostgresSchema, common: Database, *, clock: Clock, told: Told) -> Moved:
    with common.reading() as connection:
        there = dialect.has_schema(connection, target.schema)
    with world.campaign.reading() as connection:
        over = bool(read_meta(connection, MOVED))
    standing = _standing(world, target, clock) if there else _Standing.EMPTY
    _mark(world, target.server.address.url)  # not before: an address that does not answer changes nothing
    if over:
        return _finished(target, standing, clock)
    if standing is _Standing.IN_USE:
        raise Unusable(
            f"{target.server.address.name} has this campaign already, and goes on with it",
            "this file is an older copy of it: nothing was changed there",
        )
    added = _add_shared(world, common)
    _carry_over(world, target, there=there, clock=clock, told=told)
    arrived = Database(target, (CAMPAIGN,), clock=clock)
    try:
        moved = _compared(world, arrived, target, added, clock=clock)
        with world.campaign.writing() as connection:
            write_meta(connection, MOVED, target.server.address.url)
        _open(arrived)
    finally:
        arrived.close()
    return moved


def _finished(target: PostgresSchema, standing: _Standing, clock: Clock) -> Moved:
    """Return what there is of a campaign that was moved; all that may be left to do is to open it."""
    if standing is _Standing.EMPTY:
        raise Unusable(
            f"this campaign was moved to {target.server.address.name}, and is not there any more",
            "bring that database back from its backup",
        )
    arrived = Database(target, (CAMPAIGN,), clock=clock)
    try:
        _open(arrived)
        with arrived.reading() as connection:
            return Moved(states=_states(connection), again=True)
    finally:
        arrived.close()


def _open(arrived: Database) -> None:
    with arrived.writing() as connection:
        write_meta(connection, ARRIVING, "")


def _mark(world: World, name: str) -> None:
    """Close the file to all but this move; a copy that an unfinished one left elsewhere never opens."""
    with world.campaign.writing() as connection:
        moved = read_meta(connection, MOVED)
        if moved and moved != name:
            raise Unusable(f"this campaign was moved to {moved} already, and may have sent from there")
        write_meta(connection, MOVING, name)


def take_back(world: World) -> str:
    """Open the file again after a move that was not finished; return where it was to go. "" where there was
    none.

    Raises Unusable after one that was finished.
    """
    with world.campaign.writing() as connection:
        if moved := read_meta(connection, MOVED):
            raise Unusable(f"this campaign was moved to {moved}, and may have sent from there")
        towards = read_meta(connection, MOVING)
        write_meta(connection, MOVING, "")
    return towards


class _Standing(Enum):
    """What the server has of this campaign."""

    EMPTY = "no letters"
    CLOSED = "a copy of this store that nobody uses"
    IN_USE = "this store"


def _standing(world: World, target: PostgresSchema, clock: Clock) -> _Standing:
    """Find out what the server has. Raises Unusable where that is another store with letters."""
    database = Database(target, (CAMPAIGN,), clock=clock)
    try:
        with database.reading() as connection:
            if read_meta(connection, "store_id") == world.store_id:
                return _Standing.CLOSED if read_meta(connection, ARRIVING) else _Standing.IN_USE
            if connection.execute(sa.select(letters.c.id).limit(1)).first() is None:
                return _Standing.EMPTY
    finally:
        database.close()
    raise Unusable(
        f'{target.server.address.name} has letters of a campaign with the key "{world.key}" already',
        "they are not those of this folder: nothing was moved; name an empty database, or use that one",
    )


# -- the campaign's own tables


def _carry_over(world: World, target: PostgresSchema, *, there: bool, clock: Clock, told: Told) -> None:
    """Copy the campaign and its notices in one transaction of the server."""
    engine, reader = target.open()
    reader.dispose()
    try:
        with guarded(target), engine.begin() as connection:
            if there:  # an empty one, or one that did not get far
                connection.execute(sa.schema.DropSchema(target.schema, cascade=True))
            target.make_ready(connection)
            _fill(world.campaign, connection, clock=clock, told=told)
            connection.execute(insert(_meta()).values(name=ARRIVING, value="1"))
            if notices.have_notices(world):
                other = notices_schema(world.key)
                store = notices.open_notices(world, clock=clock)
                try:
                    connection.execute(sa.schema.DropSchema(other, cascade=True, if_exists=True))
                    connection.execute(sa.schema.CreateSchema(other))
                    connection.exec_driver_sql(f'SET LOCAL search_path = "{other}"')
                    _fill(store.campaign, connection, clock=clock, told=told)
                finally:
                    store.campaign.close()
    finally:
        engine.dispose()


def _fill(source: Database, connection: sa.Connection, *, clock: Clock, told: Told) -> None:
    """Make the tables and copy the rows."""
    migrate(connection, CAMPAIGN, now_us=to_us(clock.now()))
    with source.reading() as reading:
        for table in _carried():
            rows = (tuple(map(dialect.keepable, row)) for row in _rows(reading, table))
            copy_rows(connection, table, _counted(rows, table.name, told))
            _go_on_counting(connection, table)


def _meta() -> sa.Table:
    return CAMPAIGN.metadata.tables["meta"]


def _carried() -> list[sa.Table]:
    """Return the tables that are copied, those that others refer to first."""
    return [table for table in CAMPAIGN.metadata.sorted_tables if table.name not in _KEPT_BY_ITSELF]


def _rows(connection: sa.Connection, table: sa.Table) -> Iterator[tuple[Any, ...]]:
    """Yield a table's rows; few at a time where they may be large. Marks of the move itself are none."""
    large = any(isinstance(column.type, sa.LargeBinary) for column in table.c)
    query = sa.select(table)
    if table is _meta():
        query = query.where(table.c.name.not_in((MOVING, MOVED, ARRIVING)))
    stream = connection.execution_options(yield_per=LARGE_AT_ONCE if large else AT_ONCE).execute(query)
    for row in stream:
        yield tuple(row)


def _counted(rows: Iterable[tuple[Any, ...]], name: str, told: Told) -> Iterator[tuple[Any, ...]]:
    number = 0
    for row in rows:
        yield row
        number += 1
        if number % AT_ONCE == 0:
            told(name, number)
    told(name, number)


def _go_on_counting(connection: sa.Connection, table: sa.Table) -> None:
    """Let the numbers of new rows begin behind those that were copied."""
    column = table.autoincrement_column
    if column is not None:
        sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
        last = sa.select(sa.func.coalesce(sa.func.max(column), 0) + 1).scalar_subquery()
        connection.execute(sa.select(sa.func.setval(sequence, last, False)))


# -- what was sent and what arrived


def _compared(
    world: World,
    arrived: Database,
    target: PostgresSchema,
    added: dict[str, int],
    *,
    clock: Clock,
) -> Moved:
    """Read everything back and compare it. Raises Unusable where something differs; the copy stays closed."""
    own: dict[str, int] = {}
    of_notices: dict[str, int] = {}
    with world.campaign.reading() as here, arrived.reading() as there:
        _compare(here, there, own)
        states = _states(there)
        counted = sa.select(letters.c.state, sa.func.count()).group_by(letters.c.state)
        if states != dict(here.execute(counted).all()):
            raise _refusal("letters by state")
    if notices.have_notices(world):
        store = notices.open_notices(world, clock=clock)
        other = Database(target.server.schema(notices_schema(world.key)), (CAMPAIGN,), clock=clock)
        try:
            with store.campaign.reading() as here, other.reading() as there:
                _compare(here, there, of_notices)
        finally:
            store.campaign.close()
            other.close()
    return Moved(own, of_notices, states, added)


def _states(connection: sa.Connection) -> dict[str, int]:
    kept = sa.select(tallies.c.state, sa.cast(sa.func.sum(tallies.c.number), sa.BigInteger))
    return {state: number for state, number in connection.execute(kept.group_by(tallies.c.state)) if number}


def _compare(here: sa.Connection, there: sa.Connection, counts: dict[str, int]) -> None:
    for table in _carried():
        sent, came = _digest(here, table), _digest(there, table)
        if sent != came:
            raise _refusal(table.name)
        counts[table.name] = sent[0]


def _digest(connection: sa.Connection, table: sa.Table) -> tuple[int, int]:
    """Return how many rows a table has, and a mark of them all in whatever order."""
    number = total = 0
    for row in _rows(connection, table):
        words = repr(tuple(dialect.keepable(value) for value in row)).encode("utf-8", "surrogatepass")
        total += int.from_bytes(hashlib.sha256(words).digest(), "big")
        number += 1
    return number, total % (1 << 256)


def _refusal(what: str) -> Unusable:
    return Unusable(
        f"what arrived at the server is not what was sent: {what}",
        "nothing was changed in the file but that it is closed: `campaign move --back` opens it again",
    )


# -- what campaigns share


def _add_shared(world: World, common: Database) -> dict[str, int]:
    """Add the opt-outs and limits of this user to the server's; done again it changes nothing."""
    with world.common.reading() as here, common.writing() as there:
        ours = shared.shared_secret(here)
        theirs = _key_there(there, ours)
        new_hash = _same_key if theirs == ours else _Anew(world, here, ours, theirs).new_hash
        return {
            "suppressions": _add_suppressions(here, there, new_hash),
            "strikes": _add_strikes(here, there, new_hash),
            "limits": _add_limits(here, there, new_hash),
        }


def _key_there(connection: sa.Connection, ours: bytes) -> bytes:
    """Return the key of the server's hashes; ours, where it has none yet."""
    row = insert(shared_meta).values(name="secret", value=ours.hex())
    connection.execute(row.on_conflict_do_nothing(index_elements=["name"]))
    return shared.shared_secret(connection)


def _same_key(hash_: str, _address: str | None) -> str | None:
    return hash_


class _Anew:
    """Hashes under the server's key, for those under ours."""

    def __init__(self, world: World, here: sa.Connection, ours: bytes, theirs: bytes) -> None:
        self._theirs = theirs
        erased = sa.select(suppressions.c.hash).where(suppressions.c.address.is_(None))
        wanted = set(here.execute(erased).scalars())
        wanted |= set(here.execute(sa.select(strikes.c.hash)).scalars())
        limits = sa.select(spent.c.name).where(spent.c.name.startswith(RECIPIENT)).distinct()
        wanted |= set(here.execute(limits).scalars())
        self._known: dict[str, str] = {}
        with world.campaign.reading() as connection:
            keys = connection.execution_options(yield_per=AT_ONCE).execute(sa.select(letters.c.recipient))
            for (key,) in keys:
                old, new = suppression_hash(ours, key), suppression_hash(theirs, key)
                if old in wanted:
                    self._known[old] = new
                if recipient_row(old) in wanted:
                    self._known[recipient_row(old)] = recipient_row(new)

    def new_hash(self, hash_: str, address: str | None) -> str | None:
        """Return the hash, or name of a limit, under the server's key; None where nobody can know it."""
        return suppression_hash(self._theirs, address) if address is not None else self._known.get(hash_)


NewHash = Callable[[str, str | None], str | None]


def _add_suppressions(here: sa.Connection, there: sa.Connection, new_hash: NewHash) -> int:
    def rows() -> Iterator[dict[str, Any]]:
        for row in _streamed(here, suppressions):
            hash_ = new_hash(row.hash, row.address)
            if hash_ is None:
                raise Unusable(
                    "an erased opt-out cannot be carried over: the server's have another key already",
                    "nothing was moved; name a database of its own for the campaigns of this machine",
                )
            yield {**row._mapping, "hash": hash_}

    return _add(there, insert(suppressions).on_conflict_do_nothing(), rows())


def _add_strikes(here: sa.Connection, there: sa.Connection, new_hash: NewHash) -> int:
    rows = (
        {**row._mapping, "hash": hash_}
        for row in _streamed(here, strikes)
        if (hash_ := new_hash(row.hash, None)) is not None
    )
    return _add(there, insert(strikes).on_conflict_do_nothing(), rows)


def _add_limits(here: sa.Connection, there: sa.Connection, new_hash: NewHash) -> int:
    """Add what was used of limits: of two that know of one, the one that has used more is right."""

    def renamed(table: sa.Table) -> Iterator[dict[str, Any]]:
        for row in _streamed(here, table):
            new_name = new_hash(row.name, None) if row.name.startswith(RECIPIENT) else None
            yield {**row._mapping, "name": new_name or row.name}

    changed = 0
    for table, value in ((paces, "free_at"), (holds, "until"), (spent, "count")):
        new = insert(table)
        more = sa.func.greatest(table.c[value], new.excluded[value])
        keys = [column.name for column in table.primary_key]
        adding = new.on_conflict_do_update(index_elements=keys, set_={value: more})
        changed += _add(there, adding, renamed(table))
    return changed


def _streamed(connection: sa.Connection, table: sa.Table) -> Iterator[Any]:
    yield from connection.execution_options(yield_per=AT_ONCE).execute(sa.select(table))


def _add(connection: sa.Connection, statement: sa.Executable, rows: Iterator[dict[str, Any]]) -> int:
    number = 0
    while some := list(islice(rows, AT_ONCE)):
        connection.execute(statement, some)
        number += len(some)
    return number
