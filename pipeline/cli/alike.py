"""Whether the folders of several hosts are alike: each makes its letters from its own files.

Where several hosts send from one store, a letter is written by whichever of them has it in hand. So their
folders must hold the same list, templates, attached files and settings, or a reader would get what depends on
chance. When letters are brought in line with a folder, the store keeps what that folder held: the SHA-256 of
each file, and of each setting that a letter or its sending depends on. Then

- a host whose folder holds the same has nothing to check, and sends;
- one whose folder differs is refused while another host sends, with the names of what differs;
- while nobody sends, its folder becomes the one that counts, as on a single machine; the others are refused
  until they have the same.

Settings that may differ from host to host (passwords, how many connections, the mailbox, where pages are
published) are not compared.

Limits: files are read when a send begins; what is changed while it goes on counts from the next send on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.folder import Checked, composer_of
from pipeline.cli.pacing import show_limits
from pipeline.cli.place import Place
from pipeline.cli.templatefiles import TEMPLATES
from pipeline.clock import from_us, to_us
from pipeline.delivery.retry import show_schedule
from pipeline.errors import Unusable
from pipeline.problem import errors
from pipeline.store import hosts
from pipeline.store.hosts import host_name
from pipeline.store.operator import read_meta, write_meta
from pipeline.store.world import World

if TYPE_CHECKING:
    from pipeline.cli.unchanged import Found
    from pipeline.store.database import Connection

Held = dict[str, str]  # what a folder holds, by name: a file below it, or a setting

NAME = "folder"  # in the store
JUST_NOW = timedelta(seconds=30)  # a host that brought the letters in line is about to send
AT_ONCE = 1 << 20
NAMED = 10
_SETTING = "campaign.toml: "


def look(place: Place, world: World, check: Callable[[], Checked]) -> Found:
    """Find out whether this folder is the one that counts, and ``check`` it if it is not.

    Raises Unusable where another host sends from a folder that holds something else.
    """
    from pipeline.cli.unchanged import Found, seen_now

    with world.campaign.reading() as connection:
        kept = _Kept.of(connection)
    mine = held(place, kept.files)
    if kept.held == mine:
        return Found(composer_of(place.settings, place.clock))
    _refuse_while_others_send(place, world, kept, mine)
    seen = seen_now(place)
    checked = check()
    return Found(checked.composer, checked, seen=seen)


def is_done(place: Place, connection: Connection, checked: Checked) -> bool:
    """Say, in the transaction that would do it, whether another host has just brought the letters in line
    with the same folder. Raises Unusable where it was another one."""
    kept = _Kept.of(connection)
    mine = held(place, checked.carried)
    if kept.held == mine:
        return True
    _refuse_another(place, kept, mine, others=hosts.others_alive(connection, None, now_us=_now_us(place)))
    return False


def remember(place: Place, connection: Connection, checked: Checked) -> None:
    """Write down, in the transaction of the planning, what the folder holds that counts from now on."""
    whole = not errors(checked.problems)  # rows that were left out would be left out on no other host
    kept = {
        "held": held(place, checked.carried) if whole else {},
        "host": host_name(),
        "folder": str(place.settings.root.resolve()),
        "at": _now_us(place),
    }
    write_meta(connection, NAME, json.dumps(kept, sort_keys=True))


def held(place: Place, carried: Iterable[str]) -> Held:
    """Return what a folder holds; ``carried`` are the files that letters carry, which nobody here trusts."""
    settings = place.settings
    root = settings.root.resolve()
    templates = sorted(path for path in (root / TEMPLATES).rglob("*") if path.is_file())
    paths = {settings.recipients_file: root / settings.recipients_file}
    if (root / settings.signing.file).exists():
        paths[settings.signing.file] = root / settings.signing.file
    paths |= {str(path.relative_to(root)): path for path in templates}
    paths |= {name: root / name for name in carried}
    found = {name: _digest(path, root) for name, path in paths.items()}
    return found | {_SETTING + name: _short(value) for name, value in _settings(place).items()}


def _settings(place: Place) -> dict[str, str]:
    """Return what letters and their sending depend on, in words."""
    one = place.settings
    return {
        "campaign.key": one.key,
        "campaign.name": one.name,
        "campaign.kind": str(one.kind),
        "campaign.languages": " ".join(one.languages),
        "campaign.author": str(one.author),
        "campaign.return_path": one.return_path,
        "campaign.reply_to": str(one.reply_to),
        "campaign.attachments": json.dumps(one.attachments),
        "campaign.expires": one.expires.isoformat() if one.expires else "",
        "campaign.timezone": str(one.timezone),
        "campaign.approval": str(one.approval),
        "recipients": f"{one.recipients_file} {one.encoding} {one.delimiter}",
        "relay.url": one.relay.account,
        "signatories": str(one.signing),
        "limits": show_limits(one.limits),
        "limits.attachments": str(one.attachment_bytes),
        "retry.schedule": show_schedule(one.schedule),
        "retry.in_doubt": str(one.in_doubt),
        "store.bytes": str(one.keep_bytes),
    }


def _digest(path: Path, root: Path) -> str:
    if not path.resolve().is_relative_to(root):
        return "outside"
    summing = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while some := stream.read(AT_ONCE):
                summing.update(some)
    except OSError:
        return "missing"
    return summing.hexdigest()


def _short(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


class _Kept:
    """What the store keeps of the folder that counts."""

    def __init__(self, held: Held, host: str, folder: str, at: datetime | None) -> None:
        self.held = held
        self.host = host
        self.folder = folder
        self.at = at

    @property
    def files(self) -> list[str]:
        """The names of the files among it."""
        return [name for name in self.held if not name.startswith(_SETTING)]

    @classmethod
    def of(cls, connection: Connection) -> _Kept:
        """Read it; nothing is held where nobody has planned letters, or what was kept makes no sense."""
        try:
            said = json.loads(read_meta(connection, NAME) or "{}")
            held = {str(name): str(digest) for name, digest in said.get("held", {}).items()}
            at = from_us(int(said["at"]))
            return cls(held, str(said.get("host", "")), str(said.get("folder", "")), at)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return cls({}, "", "", None)


def _refuse_while_others_send(place: Place, world: World, kept: _Kept, mine: Held) -> None:
    with world.campaign.reading() as connection:
        others = hosts.others_alive(connection, None, now_us=_now_us(place))
    _refuse_another(place, kept, mine, others=others)


def _refuse_another(place: Place, kept: _Kept, mine: Held, *, others: list[str]) -> None:
    """Raise Unusable where somebody sends, or is about to, from a folder that holds something else."""
    begins = kept.at is not None and place.clock.now() - kept.at < JUST_NOW
    ourselves = (kept.host, kept.folder) == (host_name(), str(place.settings.root.resolve()))
    if not kept.held or not (others or (begins and not ourselves)):
        return
    names = sorted(name for name in kept.held.keys() | mine.keys() if kept.held.get(name) != mine.get(name))
    told = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    raise Unusable(
        f"this folder is not the one that {kept.host or 'another host'} sends from; what differs: {told}",
        "all hosts of a campaign must have the same files and settings: copy the folder from there,\n"
        "or stop the other hosts first; then this folder is the one that counts",
    )


def _now_us(place: Place) -> int:
    return to_us(place.clock.now())
