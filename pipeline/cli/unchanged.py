"""Whether a campaign is as it was when its letters were last brought in line with it.

A send that goes on where another stopped need not read a list of a million rows again. What the letters were
planned from - campaign.toml, the lists, the templates, the files they carry - is remembered in the store, in
the transaction of the planning, by what the file system says of each file: device, inode, size, and the times
of change. If all of it is the same, the letters are in line, and there was no error then.

Limits: a file changed within the last moments before it was looked at is not remembered, for a further change
could leave no trace; nothing is remembered of a list with errors, of more than 1,000 files, or where
letters written quickly are not those written plainly (`delivery.compose`): that is found out by each check.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.folder import CONFIG, Checked, composer_of
from pipeline.cli.place import Place
from pipeline.cli.templatefiles import TEMPLATES
from pipeline.clock import to_us
from pipeline.delivery.compose import Composer
from pipeline.problem import errors
from pipeline.store.operator import read_meta, write_meta
from pipeline.store.world import World

if TYPE_CHECKING:
    from pipeline.store.database import Connection

Signatures = dict[str, list[int]]  # by the path of the file
Files = Signatures | None  # None: not to be relied on

NAME = "in line with"  # in the store
MOST_FILES = 1_000
FINE_US = 20_000  # how long a change may go unnoticed where times are kept to less than a millisecond
COARSE_US = 2_100_000  # and where they are not
_NOT_PLANNED_FROM = ("relay.", "limits.", "retry.", "replies.", "store.", "publish.")


@dataclass(frozen=True, slots=True)
class Found:
    """A campaign as it was found: what writes its letters, and the check; None where nothing has changed
    since the letters were brought in line with it.

    ``files`` is what the file system said before the check, which began at ``began``; ``seen`` the same,
    for files that were changed just before, too.
    """

    composer: Composer
    checked: Checked | None = None
    files: Files = None
    began: datetime | None = None
    seen: Files = None


def look(place: Place, world: World | None, check: Callable[[], Checked]) -> Found:
    """Find out whether the campaign has changed, and ``check`` it if so, or where there is no store yet.

    Raises what ``check`` does.
    """
    if world is not None and world.several:
        from pipeline.cli import alike

        return alike.look(place, world, check)
    if world is not None and is_in_line(place, world):
        return Found(composer_of(place.settings, place.clock))
    files, began, seen = looked_at(place), place.own_clock.now(), seen_now(place)
    checked = check()
    return Found(checked.composer, checked, files, began, seen)


def look_again(place: Place, world: World, found: Found, check: Callable[[], Checked]) -> Found:
    """Return ``found`` if it still holds, else what is found now; call it with the lock held.

    Until then another process may have brought the letters in line with files that were changed meanwhile.
    Raises what ``check`` does.
    """
    if found.checked is not None:
        holds = seen_now(place) == found.seen
    else:
        holds = not world.several and is_in_line(place, world)
    return found if holds else look(place, world, check)


def seen_now(place: Place) -> Files:
    """Return what the file system says of the campaign's files, changed just now or not."""
    return _signatures(_files(place), None)


def looked_at(place: Place) -> Files:
    """Return what the file system says of the campaign's files; call it before they are read.

    None where one of them was changed just now, or is not there.
    """
    config, *others = _files(place)
    read = _signatures([config], place.read_at or place.own_clock.now())
    seen = _signatures(others, place.own_clock.now())
    return {**read, **seen} if read is not None and seen is not None else None


def _files(place: Place) -> list[Path]:
    """Return campaign.toml, the lists and the templates."""
    settings = place.settings
    root, signed = settings.root, settings.root / settings.signing.file
    templates = sorted(path for path in (root / TEMPLATES).rglob("*") if path.is_file())
    lists = [root / settings.recipients_file, *([signed] if signed.exists() else [])]
    return [root / CONFIG, *lists, *templates]


def remember(place: Place, connection: Connection, found: Found) -> None:
    """Write down, in the transaction of the planning, that the letters are in line with what was found.

    Which files letters carry is known after the check only; so they must not have changed since it began.
    """
    root, checked, files = place.settings.root, found.checked, found.files
    known = ""
    if checked is not None and files is not None and found.began is not None:
        certain = not errors(checked.problems) and not checked.composer.differs
        if certain and len(checked.carried) <= MOST_FILES:
            carried = _signatures((root / name for name in sorted(checked.carried)), found.began)
            known = _text(place, files, carried) if carried is not None else ""
    write_meta(connection, NAME, known)


def is_in_line(place: Place, world: World) -> bool:
    """Say whether the letters are in line with the campaign as it is now."""
    with world.campaign.reading() as connection:
        text = read_meta(connection, NAME)
    if not text:
        return False
    try:
        carried: Collection[str] = json.loads(text)["carried"]
        now = _signatures(map(Path, carried), place.own_clock.now())
    except (ValueError, KeyError):
        return False
    files = looked_at(place)
    return files is not None and now is not None and text == _text(place, files, now)


def _text(place: Place, files: Signatures, carried: Signatures) -> str:
    overrides = [word for word in place.overrides if _counts(word)]  # in their order, for the last one wins
    seen = {"program": version("letter-campaign"), "set": overrides, "files": files, "carried": carried}
    return json.dumps(seen, sort_keys=True)


def _counts(override: str) -> bool:
    """Say whether a setting of the command line has to do with what letters are planned from."""
    return override.startswith("limits.attachments") or not override.startswith(_NOT_PLANNED_FROM)


def _signatures(paths: Iterable[Path], now: datetime | None) -> Files:
    """Return the signatures of files that were not changed for a while at ``now``, when they are read (None:
    changed whenever)."""
    now_us = to_us(now) if now is not None else None
    found: Signatures = {}
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            return None
        changed_ns = max(status.st_mtime_ns, status.st_ctime_ns)
        patience_us = FINE_US if changed_ns % 1_000_000 else COARSE_US
        if now_us is not None and changed_ns // 1_000 > now_us - patience_us:
            return None
        times = [status.st_mtime_ns, status.st_ctime_ns]
        found[str(path)] = [status.st_dev, status.st_ino, status.st_size, *times]
    return found
