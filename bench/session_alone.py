"""Our SMTP session with nothing else: ``python -m bench.session_alone PORT LETTERS POOL OCTETS LOOP RESULT``.

The real opener and the real session, over POOL connections, with one constant letter of OCTETS, permission
given at once and no store; LOOP is ``asyncio`` or ``uvloop``. The counterpart is ``smtp-source -d``. RESULT
becomes one line: the seconds from before the first connection is opened to after the last answer, without
the start of the interpreter.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.material import AUTHOR
from pipeline.clock import SystemClock, SystemDice
from pipeline.delivery.connect import Opener
from pipeline.delivery.letter import Letter, Parcel, Phase
from pipeline.delivery.relay import Relay, RelayKind
from pipeline.delivery.session import Ending, Manner
from pipeline.letters.message import dot_stuff
from pipeline.mail.response import Response

TO = "desk@office.example"
LINE = b"Seventy octets of a constant letter, which nobody is meant to read ..\r\n"


@dataclass(slots=True)
class Pile:
    """So many times the same parcel; supply and desk in one."""

    parcel: Parcel
    left: int
    accepted: int = 0

    async def next(self) -> Parcel | None:
        return self.next_now()

    def next_now(self) -> Parcel | None:
        if not self.left:
            return None
        self.left -= 1
        return self.parcel

    def at_end(self) -> bool:
        return not self.left

    def give_back(self, parcel: Parcel) -> None:
        self.left += 1

    def permit(self, parcel: Parcel) -> asyncio.Future[bool]:
        permission: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        permission.set_result(True)
        return permission

    def answered(self, parcel: Parcel, phase: Phase, response: Response) -> bool:
        self.accepted += response.code // 100 == 2
        return True

    def lost(self, parcel: Parcel, phase: Phase, why: str) -> None:
        raise ConnectionError(why)

    def not_begun(self, parcel: Parcel, phase: Phase, why: str) -> None:
        raise ConnectionError(why)


def constant_parcel(octets: int) -> Parcel:
    """Return a parcel whose letter has at least so many octets, and hardly more."""
    head = f"From: <{AUTHOR}>\r\nTo: <{TO}>\r\nSubject: constant\r\n\r\n".encode()
    content = head + LINE * max(1, -(-(octets - len(head)) // len(LINE)))
    letter = Letter(
        id=1, message_id="<constant@example.org>", recipient_key=TO, email=TO, domain="office.example",
        language="en", timezone="", attempts=0, deferrals=0, line=2, values={},
    )  # fmt: skip
    return Parcel(
        letter=letter, attempt=1, mail=f"MAIL FROM:<{AUTHOR}>".encode(), rcpt=f"RCPT TO:<{TO}>".encode(),
        wire=dot_stuff(content), content=content, sha256="", built_at=datetime.now(UTC),
    )  # fmt: skip


async def send(port: int, letters: int, pool: int, octets: int) -> tuple[float, int]:
    """Send; return the seconds it took and how many letters were accepted."""
    relay = Relay(
        RelayKind.SMTP,
        "127.0.0.1",
        port,
        ehlo="client.example",
        connections=pool,
        letters_per_connection=letters,
    )
    opener = Opener(relay, credentials=None, clock=SystemClock(), dice=SystemDice())
    pile = Pile(constant_parcel(octets), letters)

    async def work() -> None:
        connection = await opener.connect(Manner.CHAINED)
        ending = await connection.session.converse(pile, pile)
        if ending is not Ending.DRAINED and pile.left:
            raise ConnectionError(str(ending))

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(pool)))
    return time.perf_counter() - began, pile.accepted


def main() -> None:
    """Send and write down how long it took."""
    port, letters, pool, octets = (int(word) for word in sys.argv[1:5])
    factory = importlib.import_module("uvloop").new_event_loop if sys.argv[5] == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        seconds, accepted = runner.run(send(port, letters, pool, octets))
    if accepted != letters:
        sys.exit(f"{accepted} of {letters} letters were accepted")
    Path(sys.argv[6]).write_text(f"{seconds:.6f}\n", "ascii")


if __name__ == "__main__":
    main()
