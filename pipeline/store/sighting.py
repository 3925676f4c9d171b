"""What a folder remembers of the server its letters are at: which store, under which key, and how far it had
come.

A folder that keeps its letters in a file has them in hand; of a server it knows only what campaign.toml says
today. A key that was changed, an address of another database, a server brought back from a backup: each would
send letters again that have gone. So the folder keeps `.campaign/server.json`, and what does not fit is
refused until a person has said that it is right.

Limits: a folder that was never used with its server before remembers nothing.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import StoreUnwritable

FILE = "server.json"
LARGEST = 4_096  # octets


@dataclass(frozen=True, slots=True)
class ServerSighting:
    """A server's store as it was last seen from this folder."""

    server: str  # its address, without a password
    key: str
    store_id: str
    epoch: int
    sent: int


def last_seen_at(folder: Path) -> ServerSighting | None:
    """Return what the folder remembers; None where it is nothing, or nothing that can be read."""
    try:
        said = json.loads((folder / FILE).read_bytes()[:LARGEST])
        found = ServerSighting(
            str(said["server"]),
            str(said["key"]),
            str(said["store_id"]),
            int(said["epoch"]),
            int(said["sent"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found


def remember_at(folder: Path, seen: ServerSighting) -> None:
    """Write down what is to be remembered; whole or not at all. Raises StoreUnwritable."""
    new = folder / f"{FILE}.{os.getpid()}"
    try:
        with os.fdopen(os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as stream:
            stream.write(json.dumps(asdict(seen), indent=2) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(folder / FILE)
    except OSError as trouble:
        raise StoreUnwritable(
            f"{folder / FILE} cannot be written: {trouble.strerror}",
            "the campaign's folder must be writable for the user who runs this",
        ) from None
