"""A world: the store of one campaign, and what campaigns share, opened together.

The sandbox is another world: its own file, sharing nothing, so nothing recorded there counts for a real
relay. The real world has two files: the campaign's own, and the user's, with opt-outs and the limits of
relays.

A store knows who it is (`store_id`) and how many real runs it has had (`epoch`); the shared store remembers
where it was last used and at which epoch. A copy in another folder, on another machine, or brought back from
a backup does not match, and does not send until a person has said that it is the one in use (`campaign
resume`). Of a server the folder itself remembers that (`sighting.py`).
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from pipeline.clock import Clock, Dice, to_us
from pipeline.delivery.letter import State
from pipeline.errors import StoreUnwritable, Unusable
from pipeline.store import migrations, shared, tallying
from pipeline.store.address import SHARED_SCHEMA, campaign_schema
from pipeline.store.database import Database, Medium
from pipeline.store.dialect import alone, has_schema
from pipeline.store.host import this_host
from pipeline.store.hosts import host_name
from pipeline.store.operator import read_meta, write_meta
from pipeline.store.shared import Sighting
from pipeline.store.sighting import FILE as SERVER_FILE
from pipeline.store.sighting import ServerSighting, last_seen_at, remember_at
from pipeline.store.sqlite_file import peek
from pipeline.store.tables import letters, runs, tallies

if TYPE_CHECKING:
    from pipeline.store.postgres import Server

FOLDER = ".campaign"
# What is kept about a store that is carried over to a server (`moving.py`).
MOVING, MOVED = "moving to", "moved to"  # of the file: where its letters are to go, or have gone
ARRIVING = "arriving"  # of the server's: not all is there yet


class WorldName(StrEnum):
    """Which world."""

    REAL = "real"
    SANDBOX = "sandbox"


@dataclass(frozen=True, slots=True)
class World:
    """An open world. ``secret`` keys Message-IDs and return-path tokens."""

    name: WorldName
    folder: Path
    campaign: Database
    common: Database
    store_id: str
    secret: bytes
    key: str  # the campaign's

    @property
    def several(self) -> bool:
        """Whether other hosts may send from this store too."""
        return self.campaign.is_server

    @property
    def lock_path(self) -> Path:
        """Where the run lock of this world lies."""
        return self.campaign.path.with_suffix(".lock")

    @property
    def outbox(self) -> Path:
        """The sandbox's Maildir."""
        return self.folder / "outbox"

    def close(self) -> None:
        """Let go of the files."""
        self.campaign.close()
        self.common.close()


def open_world(
    root: Path,
    name: WorldName,
    *,
    key: str,
    store: Path | Server | None,
    shared_folder: Path | None,
    clock: Clock,
    dice: Dice,
    leaving: bool = False,
) -> World:
    """Open (or make) the world ``name`` of the campaign in ``root``, whose key is ``key``.

    ``store`` is where the settings want the real one; a server holds what campaigns share as well.
    ``leaving``: open it even where its letters are to be, or have been, carried over to a server.

    Raises StoreUnwritable; Unusable when the store belongs to a campaign with another key.
    """
    folder = root / FOLDER
    _make_private(folder)
    with ExitStack() as undo:
        if name is WorldName.SANDBOX:
            path = store_path(root, name, None)
            campaign = common = Database(path, (migrations.CAMPAIGN, migrations.SHARED), clock=clock)
            undo.callback(campaign.close)
        else:
            lies, together = _places(root, name, key, store, shared_folder)
            if not isinstance(lies, Path):
                _refuse_left_behind(root)
            elif not leaving:
                _refuse_left_at_server(folder, lies)
            common = Database(together, (migrations.SHARED,), clock=clock)
            undo.callback(common.close)
            if common.is_server:
                _refuse_other_key(folder, common, key)
            campaign = Database(lies, (migrations.CAMPAIGN,), clock=clock)
            undo.callback(campaign.close)
        with campaign.writing() as connection:
            store_id, secret = _identify(connection, key, dice)
            if not leaving:
                _refuse_moved(connection)
        with common.writing() as connection:
            shared.make_secret(connection, dice)
        undo.pop_all()
    return World(name, folder, campaign, common, store_id, secret, key)


def _places(
    root: Path, name: WorldName, key: str, store: Path | Server | None, shared_folder: Path | None
) -> tuple[Path | Medium, Path | Medium]:
    """Return where a campaign's own tables lie, and those that campaigns share."""
    if store is None or isinstance(store, Path):
        return store_path(root, name, store), (shared_folder or user_folder(os.environ)) / "shared.db"
    return store.schema(campaign_schema(key)), store.schema(SHARED_SCHEMA)


def _identify(connection: sa.Connection, key: str, dice: Dice) -> tuple[str, bytes]:
    """Return the store's id and secret, made at the first opening.

    Raises Unusable where it is not ``key``'s.
    """
    known = read_meta(connection, "campaign")
    if known and known != key and _has_letters(connection):
        raise _other_key(key, known)
    if not read_meta(connection, "secret"):
        alone(connection, "identity")  # hosts that open a new store at once get one and the same
    for name, size in (("store_id", 16), ("secret", 32)):
        if not read_meta(connection, name):
            write_meta(connection, name, dice.token(size).hex())
    if known != key:
        write_meta(connection, "campaign", key)
    return read_meta(connection, "store_id"), bytes.fromhex(read_meta(connection, "secret"))


def _other_key(key: str, known: str) -> Unusable:
    return Unusable(
        f'campaign.key is "{key}", but the letters of this folder were planned under "{known}"',
        f'put key = "{known}" back; a new campaign gets a new folder (`campaign init DIR`)',
    )


def _refuse_other_key(folder: Path, common: Database, key: str) -> None:
    """Raise Unusable where a server has letters that this folder planned under another key."""
    seen = last_seen_at(folder)
    if seen is None or seen.key == key or seen.server != common.server_name:
        return
    with common.reading() as connection:
        schema = campaign_schema(seen.key)
        if has_schema(connection, schema):
            theirs = sa.select(sa.literal(1)).select_from(sa.table("letters", schema=schema)).limit(1)
            if connection.execute(theirs).first() is not None:
                raise _other_key(key, seen.key)


def _refuse_moved(connection: sa.Connection) -> None:
    """Raise Unusable where the letters are elsewhere, or not all of them are here yet."""
    if moved := read_meta(connection, MOVED):
        raise Unusable(
            f"the letters of this folder were moved to {moved}",
            f"say so in campaign.toml: {line_for(moved)}",
        )
    if moving := read_meta(connection, MOVING):
        raise Unusable(
            f"the letters of this folder are being moved to {moving}, or that broke off",
            f"to finish it: `campaign move --to {moving}`; to stay here: `campaign move --back`",
        )
    if read_meta(connection, ARRIVING):
        raise Unusable(
            "a move of this campaign to its new store is not finished",
            "run `campaign move` once more, in the folder it is moved from",
        )


def _refuse_left_behind(root: Path) -> None:
    """Raise Unusable where the folder's letters are in its file, and the settings name a server."""
    file = root / FOLDER / f"{name_of(WorldName.REAL)}.db"
    if not file.exists():
        return
    if peek(file, f"SELECT value FROM meta WHERE name = '{MOVED}' AND value <> ''"):  # noqa: S608
        return
    if peek(file, "SELECT id FROM letters LIMIT 1"):
        raise Unusable(
            f"campaign.toml names a PostgreSQL, but the letters of this folder are in {file}",
            "`campaign move` carries them over; else they would all be sent once more",
        )


def _refuse_left_at_server(folder: Path, file: Path) -> None:
    """Raise Unusable where the folder's letters are at a server, and the settings name none."""
    seen = last_seen_at(folder)
    if seen is None or (file.exists() and peek(file, "SELECT id FROM letters LIMIT 1")):
        return
    raise Unusable(
        f"the letters of this folder are at {seen.server}, and campaign.toml does not say so",
        f"say so: {line_for(seen.server)}; to begin anew in a file all the same, and send every letter once "
        f"more, delete {folder / SERVER_FILE}",
    )


def line_for(url: str) -> str:
    """Return what campaign.toml has to say of a store."""
    return f'below [store], url = "{url}"'


def store_path(root: Path, name: WorldName, store: Path | None) -> Path:
    """Return where the store of a world lies; ``store`` is what the settings say of the real one."""
    in_folder = root / FOLDER / f"{name_of(name)}.db"
    return store if store is not None and name is WorldName.REAL else in_folder


def name_of(name: WorldName) -> str:
    """Return the file name of a world's store, without its ending."""
    return "sandbox" if name is WorldName.SANDBOX else "campaign"


def user_folder(environ: Mapping[str, str]) -> Path:
    """Return the user's data folder for this program."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "letter-campaign"


def _make_private(folder: Path) -> None:
    """Make the folder, 0700, with a note that keeps it out of version control."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        note = folder / ".gitignore"
        if not note.exists():
            note.write_text("*\n", "utf-8")
    except OSError as trouble:
        raise StoreUnwritable(
            f"the folder {folder} cannot be made: {trouble.strerror}",
            "the campaign's folder must be writable for the user who runs this",
        ) from None


def _has_letters(connection: sa.Connection) -> bool:
    return connection.execute(sa.select(letters.c.id).limit(1)).first() is not None


# -- is this the store that was used last?


def why_not_here(world: World) -> str:
    """Say why this store may not be the one in use; "" when it is, or was never used elsewhere."""
    if world.name is WorldName.SANDBOX:
        return ""
    with world.campaign.reading() as connection:
        epoch = int(read_meta(connection, "epoch", "0"))
        host = read_meta(connection, "host")
        sent = _sent(connection)
    if world.campaign.is_server:
        return _why_not_this_server(world, epoch=epoch, sent=sent)
    with world.common.reading() as connection:
        seen = shared.last_seen(connection, world.store_id)
    if host and host != this_host():
        return "it was last used on another machine"
    if seen is None:
        return ""
    if epoch < seen.epoch or sent < seen.sent:
        return _older(seen.sent - sent)
    here = str(world.campaign.path.resolve())
    if seen.path != here and Path(seen.path).exists():
        return f"it is a copy of {seen.path}, which is still there"
    return ""


def _why_not_this_server(world: World, *, epoch: int, sent: int) -> str:
    seen = last_seen_at(world.folder)
    if seen is None:
        return ""
    if seen.store_id != world.store_id:
        return f"this folder's letters were in another one, at {seen.server}"
    return _older(seen.sent - sent) if epoch < seen.epoch or sent < seen.sent else ""


def _older(letters: int) -> str:
    return (
        f"it is older than the one used here last: {max(letters, 0)} letters sent since then "
        "are not known to it (a restored backup?)"
    )


def accept_place(world: World, *, clock: Clock) -> None:
    """Take this store for the one in use, on a person's word or because nothing speaks against it."""
    if world.name is WorldName.SANDBOX:
        return
    known = _known_epoch(world)
    with world.campaign.writing() as connection:
        epoch = max(int(read_meta(connection, "epoch", "0")), known) + 1
        write_meta(connection, "epoch", str(epoch))
        write_meta(connection, "host", this_host())
        sent = _sent(connection)
    _remember(world, epoch, sent, clock)


def _known_epoch(world: World) -> int:
    if world.campaign.is_server:
        at_server = last_seen_at(world.folder)
        return at_server.epoch if at_server is not None and at_server.store_id == world.store_id else 0
    with world.common.reading() as connection:
        seen = shared.last_seen(connection, world.store_id)
    return seen.epoch if seen is not None else 0


def note_progress(world: World, *, clock: Clock) -> None:
    """Tell the shared store, or the folder, how far this store has come."""
    if world.name is WorldName.SANDBOX:
        return
    with world.campaign.reading() as connection:
        epoch, sent = int(read_meta(connection, "epoch", "0")), _sent(connection)
    _remember(world, epoch, sent, clock)


def _remember(world: World, epoch: int, sent: int, clock: Clock) -> None:
    if world.campaign.is_server:
        server = world.common.server_name
        remember_at(world.folder, ServerSighting(server, world.key, world.store_id, epoch, sent))
        return
    sighting = Sighting(str(world.campaign.path.resolve()), epoch, sent)
    with world.common.writing() as connection:
        shared.remember_place(connection, world.store_id, sighting, now_us=to_us(clock.now()))


def _sent(connection: sa.Connection) -> int:
    query = sa.select(sa.func.sum(tallies.c.number)).where(tallies.c.state == State.SENT)
    return int(connection.scalar(query) or 0)


# -- runs


def begin_run(world: World, *, command: str, relay: str, limits: str, clock: Clock) -> int:
    """Write down that a run begins: who, what, when, under which limits; return its number."""
    with world.campaign.writing() as connection:
        tallying.tidy(connection, tallies)
        done = connection.execute(
            sa.insert(runs).values(
                command=command,
                host=_seat(world),
                user=_user(),
                pid=os.getpid(),
                name=host_name(),
                seen_at=to_us(clock.now()) if world.several else None,
                relay=relay,
                limits=limits,
                started_at=to_us(clock.now()),
                sent=0,
                failed=0,
                deferred=0,
            )
        )
        key = done.inserted_primary_key
        assert key is not None
        return int(key[0])


def bury_earlier_runs(connection: sa.Connection, world: World, *, now_us: int) -> None:
    """Write down that this host's earlier runs are over; call it with the lock held, which all of them had
    until their end."""
    if world.several:
        ours = sa.and_(runs.c.host == _seat(world), runs.c.ended_at.is_(None))
        connection.execute(sa.update(runs).where(ours).values(ended_at=now_us))


def _seat(world: World) -> str:
    """Return a mark of whoever shares the run lock: this machine, or, at a server, who sends from there under
    one lock."""
    if not world.several:
        return this_host()
    return hashlib.sha256(f"{this_host()} {world.lock_path}".encode()).hexdigest()[:16]


def end_run(
    world: World, run: int, *, sent: int, failed: int, deferred: int, exit_code: int, clock: Clock
) -> None:
    """Write down how a run ended."""
    change = sa.update(runs).where(runs.c.id == run)
    with world.campaign.writing() as connection:
        tallying.tidy(connection, tallies)
        connection.execute(
            change.values(
                ended_at=to_us(clock.now()), sent=sent, failed=failed, deferred=deferred, exit=exit_code
            )
        )


def _user() -> str:
    return os.environ.get("USER") or os.environ.get("LOGNAME") or str(os.getuid())
