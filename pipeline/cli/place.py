"""Where a command works: the campaign's folder, the overrides, and what every command shares.

Wiring only. `Place` is made by the top-level options and handed to each command by Typer's context.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.clock import Clock, Dice, SystemClock, SystemDice

if TYPE_CHECKING:
    from pipeline.config import Settings
    from pipeline.store.address import ServerAddress
    from pipeline.store.postgres import Server
    from pipeline.store.world import World, WorldName


@dataclass
class Place:
    """The folder a command works in."""

    root: Path
    overrides: Sequence[str] = ()
    clock: Clock = field(default_factory=SystemClock)
    dice: Dice = field(default_factory=SystemDice)
    read_at: datetime | None = None  # when reading the settings began

    def __post_init__(self) -> None:
        self.own_clock = self.clock  # this machine's, by which its files are dated

    @cached_property
    def settings(self) -> Settings:
        """What campaign.toml says. Raises BadInput, Unusable."""
        from pipeline.config import load_config

        self.read_at = self.clock.now()
        return load_config(self.root, self.overrides)

    @property
    def local_now(self) -> str:
        """The time for people, on the campaign's clock."""
        from pipeline.cli.telling import local_moment

        return local_moment(self.clock.now(), self.settings.timezone)

    @property
    def world_name(self) -> WorldName:
        """The world the relay belongs to."""
        from pipeline.delivery.relay import RelayKind
        from pipeline.store.world import WorldName

        return WorldName.SANDBOX if self.settings.relay.kind is RelayKind.SANDBOX else WorldName.REAL

    @property
    def _named_store(self) -> Path | Server | None:
        server = self.settings.store_server
        return self.settings.store_file if server is None else self.server(server)

    def server(self, address: ServerAddress) -> Server:
        """Return the PostgreSQL server at an address."""
        from pipeline.config import read_store_password
        from pipeline.store.postgres import Server
        from pipeline.store.storeclock import StoreClock
        from pipeline.store.world import user_folder

        settings = self.settings
        return Server(
            address,
            lambda: read_store_password(settings, environ=os.environ),
            user_folder(os.environ) / "locks",
            StoreClock(self.own_clock),
        )

    @property
    def has_store(self) -> bool:
        """Whether there is a store of this world already; where it is a server, that is found out there."""
        from pipeline.store.world import WorldName, store_path

        settings, name = self.settings, self.world_name
        at_server = settings.store_server is not None and name is WorldName.REAL
        return at_server or store_path(settings.root, name, settings.store_file).exists()

    def open_world(self) -> World:
        """Open the world's store; with a server, the clock is the server's from then on.

        Raises StoreUnwritable, Unusable.
        """
        from pipeline.store.world import WorldName, open_world

        settings, name = self.settings, self.world_name
        store = self._named_store if name is WorldName.REAL else None
        if not isinstance(store, Path | None):
            self.clock = store.clock
        return open_world(
            settings.root,
            name,
            key=settings.key,
            store=store,
            shared_folder=settings.shared,
            clock=self.clock,
            dice=self.dice,
        )


@dataclass(frozen=True, slots=True)
class Voice:
    """How a command speaks: ``json`` on stdout, else words; ``level`` -1 quiet, 0 normal, 1 verbose."""

    json: bool = False
    level: int = 0

    @property
    def chatty(self) -> bool:
        """Whether to say on success what was done: on a terminal, or when asked to."""
        return self.level > 0 or (self.level == 0 and sys.stdout.isatty())
