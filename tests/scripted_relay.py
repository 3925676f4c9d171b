r"""An SMTP server that plays a written conversation, and the reader of such conversations.

A dialogue is a text file: some lines that say what it shows, a blank line, a header, one section for each
connection the client makes, and the journal it must leave.

    The relay takes one letter and defers the other.

    manner: chained, grouped, off
    letters: ada, ben

    == connection ==
    -- hello: PIPELINING --
    -- takes ada --
    C: MAIL
    S: 250 2.1.0 ok
    C: RCPT ben
    S: 450 4.2.0 greylisted
    ...

    == journal ==
    ada: sent; 1 dot accepted 250
    ben: queued; 1 rcpt deferred 450
    accepted: ada
    ends: by itself

The server reads a line for each `C:` and says the `S:` lines; consecutive ones go out in one packet. It reads
in order, so one file serves every manner: a client that chains has merely sent more than was read.

    C: RCPT ben               a command that begins so; MAIL, RCPT NAME and DATA are short for the whole
    C: text of ben            a letter's text up to the final dot, which must be the text that was planned
    C: 100000 octets          that many octets, whatever they are
    C: .                      the final dot
    S: 250 ok \xd0            octets may be written as \xNN
    -- hello: KEYWORDS --     greeting, EHLO and 250 with these keywords
    -- takes NAME --          MAIL, RCPT, DATA, text and dot, all well
    -- refuses NAME: REPLY -- MAIL is well, RCPT gets this reply; then as the next mark
    -- no recipient --        DATA, if it was sent ahead, gets 503; then RSET
    -- no sender --           RCPT and DATA, if they were sent ahead, get 503; then RSET
    -- bye --                 QUIT, 221
    -- next packet --         what follows goes out in a packet of its own
    -- octet by octet --      from here on each octet goes out alone
    -- N lines of 250 --      a reply of that many lines
    -- a line of N octets --  a reply line of that length
    -- took it --             the relay has taken the letter in hand, and does not say so
    -- drop --                the connection is cut
    -- server closes --       the server closes it after what it said has gone out
    -- silence N --           N seconds pass, and nothing is said until the client goes
    -- silence --             nothing is said until the client goes
    -- 503 to everything --   whatever the client still says gets 503, until it goes
    -- N seconds --           N seconds pass
    -- cut off --             the client goes before it has heard all
    -- starttls --            TLS begins
    -- starttls fails --      the client breaks the handshake off
    -- ctrl-c --, -- ctrl-c twice --, -- cancel NAME --, -- pause --    what happens at the client meanwhile
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.letters.message import dot_stuff
from tests.sending import Case, Sending, address, text_of

_SHORT = {"MAIL": "MAIL FROM:<"}
_OCTETS = re.compile(r"\\x([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation as it is written."""

    name: str
    shows: str
    header: dict[str, str]
    connections: tuple[tuple[str, ...], ...]
    journal: tuple[str, ...]

    @property
    def letters(self) -> list[str]:
        """The letters' names."""
        return words(self.header["letters"])

    @property
    def manners(self) -> list[str]:
        """The manners in which it is to be played."""
        return words(self.header["manner"])


def words(text: str) -> list[str]:
    """Return the words of a list with commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def read_dialogue(path: Path) -> Dialogue:
    """Read a dialogue file."""
    shows, _, rest = path.read_text("utf-8").partition("\n\n")
    head, *sections = re.split(r"^== (connection|journal) ==\n", rest, flags=re.MULTILINE)
    header = dict(line.split(": ", 1) for line in head.split("\n") if line.strip())
    parts = [
        (kind, tuple(line for line in text.split("\n") if line.strip()))
        for kind, text in zip(sections[::2], sections[1::2], strict=True)
    ]
    connections = tuple(lines for kind, lines in parts if kind == "connection")
    (journal,) = (lines for kind, lines in parts if kind == "journal")
    return Dialogue(path.stem, shows, header, connections, journal)


class Deviation(AssertionError):
    """The client did not follow the script."""


@dataclass(slots=True)
class Transaction:
    """What the server knows of the letter in hand."""

    recipients: list[str] = field(default_factory=list)
    open: bool = False  # DATA was answered 354
    text: bytes | None = None
    name: str = ""


class ScriptedRelay:
    """Plays the connections of a dialogue, in order."""

    def __init__(
        self,
        connections: tuple[tuple[str, ...], ...],
        *,
        case: Case | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._scripts = deque(connections)
        self._case = case or Case(letters=())
        self._tls = tls
        self._playing: set[asyncio.Task[None]] = set()
        self.sending: Sending | None = None  # the client, for what happens to it meanwhile
        self.accepted: list[str] = []
        self.dots = 0  # final dots the server has seen
        self.faults: list[str] = []
        self.port = 0

    @asynccontextmanager
    async def listening(self, *, tls_at_once: bool = False) -> AsyncIterator[int]:
        """Listen on a port of 127.0.0.1; at the end every connection must have been played to its end."""
        server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, limit=64 * 1024, ssl=self._tls if tls_at_once else None
        )
        self.port = int(server.sockets[0].getsockname()[1])
        try:
            yield self.port
        finally:
            server.close()
            playing = set(self._playing)
            await asyncio.wait_for(asyncio.gather(*playing, return_exceptions=True), 10)
            await server.wait_closed()
        if self._scripts:
            self.faults.append(f"{len(self._scripts)} connections were never made")
        if self.faults:
            raise Deviation("; ".join(self.faults))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._playing.add(task)
        number = 0
        script = self._scripts.popleft() if self._scripts else None
        player = _Player(self, reader, writer)
        try:
            if script is None:
                self.faults.append("a connection nobody expected")
                return
            for number, line in enumerate(script, 1):  # noqa: B007 - told below
                await player.play(line)
            await player.end()
        except Deviation as deviation:
            self.faults.append(f"line {number} ({script[number - 1] if script else ''}): {deviation}")
        except (ConnectionError, asyncio.IncompleteReadError) as trouble:
            self.faults.append(f"line {number} ({script[number - 1] if script else ''}): {trouble!r}")
        finally:
            self._playing.discard(task)
            writer.transport.abort()

    @property
    def case(self) -> Case:
        """What is sent."""
        return self._case

    @property
    def tls(self) -> ssl.SSLContext:
        """The server's certificate."""
        assert self._tls is not None
        return self._tls


class _Player:
    """One connection."""

    def __init__(
        self, relay: ScriptedRelay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._relay = relay
        self._reader = reader
        self._writer = writer
        self._pushed_back = b""
        self._packet = b""
        self._slowly = False
        self._over = False
        self._unanswered: deque[str] = deque()
        self._letter = Transaction()

    async def play(self, line: str) -> None:
        """Play one line of the script."""
        if line.startswith("S: "):
            self._say(line[3:])
            return
        await self._flush()
        if line.startswith("C: "):
            await self._hear(line[3:])
        elif line.startswith("-- ") and line.endswith(" --"):
            await self._mark(line[3:-3])
        else:
            raise Deviation("not a line of a script")

    async def end(self) -> None:
        """Wait until the client has gone."""
        await self._flush()
        if not self._over and (rest := await self._rest()):
            raise Deviation(f"more from the client: {rest[:80]!r}")

    # -- server

    def _say(self, text: str) -> None:
        octets = b"".join(
            bytes([int(part, 16)]) if index % 2 else part.encode()
            for index, part in enumerate(_OCTETS.split(text))
        )
        self._packet += octets + b"\r\n"
        if text[:3].isdigit() and text[3:4] != "-":
            self._settle(int(text[:3]))

    def _settle(self, code: int) -> None:
        """Take note of what the answer means for the letter in hand."""
        question = self._unanswered.popleft() if self._unanswered else ""
        letter = self._letter
        if question.startswith("MAIL") and code // 100 == 2:
            self._letter = Transaction()
        elif question.startswith("RCPT TO:<") and code // 100 == 2:
            letter.recipients.append(question[9:].partition(">")[0])
        elif question == "DATA":
            letter.open = code // 100 == 3
        elif question == "." and code // 100 == 2:
            self._take()

    def _take(self) -> None:
        letter, self._letter = self._letter, Transaction()
        if not letter.recipients:
            return
        if letter.text is None or letter.recipients != [address(letter.name)]:
            self._relay.faults.append(f"{letter.recipients} got the letter of {letter.name or 'nobody'}")
        self._relay.accepted.append(letter.name or "an empty letter")

    async def _flush(self) -> None:
        packet, self._packet = self._packet, b""
        if packet and self._relay.sending is not None:
            await self._relay.sending.fed()
        try:
            for piece in [packet[i : i + 1] for i in range(len(packet))] if self._slowly else [packet]:
                if piece:
                    self._writer.write(piece)
                    await self._writer.drain()
                    await asyncio.sleep(0)
        except ConnectionError:
            if not self._over:
                raise

    # -- client

    async def _hear(self, what: str) -> None:
        if what.startswith("text of "):
            await self._hear_text(what.removeprefix("text of "))
        elif what.endswith(" octets"):
            await self._reader.readexactly(int(what.removesuffix(" octets")))
        else:
            await self._hear_line(what)

    async def _hear_line(self, what: str) -> None:
        expected = _SHORT.get(what, what)
        if what.startswith("RCPT ") and not what.startswith("RCPT TO:"):
            expected = f"RCPT TO:<{address(what[5:])}>"
        line = (await self._line()).decode()
        if not (line == expected or (expected not in {"DATA", "."} and line.startswith(expected))):
            raise Deviation(f"heard {line[:80]!r}")
        self._unanswered.append(line)
        if line == ".":
            self._relay.dots += 1

    async def _hear_text(self, name: str) -> None:
        lines = []
        while (line := await self._line()) != b".":
            lines.append(line)
        self._pushed_back = b".\r\n"
        planned = dot_stuff(text_of(name, self._relay.case.sizes.get(name, 0)))
        if b"".join(line + b"\r\n" for line in lines) != planned:
            raise Deviation(f"this is not the letter of {name}: {lines[:3]}")
        self._letter.text, self._letter.name = planned, name

    async def _line(self) -> bytes:
        line, self._pushed_back = self._pushed_back, b""
        line = line or await self._reader.readline()
        if not line.endswith(b"\r\n"):
            raise Deviation(f"the client went away, having said {line[:40]!r}")
        return line[:-2]

    async def _rest(self) -> bytes:
        """Return what the client still says before it goes."""
        try:
            return await self._reader.read()
        except ConnectionError:
            return b""

    # -- marks

    async def _mark(self, mark: str) -> None:
        if match := re.fullmatch(r"(\d+) lines of (\d+)", mark):
            self._say("\n".join([f"{match[2]}-and more"] * (int(match[1]) - 1)).replace("\n", "\r\n"))
            self._say(f"{match[2]} and that is all")
            self._over = True
            return
        if match := re.fullmatch(r"a line of (\d+) octets", mark):
            self._packet += b"250 " + b"x" * (int(match[1]) - 4)
            self._over = True
            return
        if match := re.fullmatch(r"(\d+) seconds", mark):
            self._client.wire_clock.advance(float(match[1]))
            return
        word, _, rest = mark.partition(" ")
        marks: dict[str, Callable[[str], object]] = {
            "hello:": self._hello,
            "takes": self._takes,
            "refuses": self._refuses,
            "no": self._no,
            "bye": self._bye,
            "next": lambda _: None,
            "octet": self._be_slow,
            "took": lambda _: self._take(),
            "drop": lambda _: self._go(),
            "server": lambda _: self._go(),
            "silence": self._silence,
            "503": self._refuse_everything,
            "cut": lambda _: self._silence(""),
            "starttls": self._start_tls,
            "ctrl-c": lambda twice: self._client.interrupt_again() if twice else self._client.interrupt(),
            "cancel": lambda name: self._client.cancel(name),  # noqa: PLW0108 - there may be no client
            "pause": lambda _: self._client.pause(),
        }
        if word not in marks:
            raise Deviation("no such mark")
        outcome = marks[word](rest)
        if asyncio.iscoroutine(outcome):
            await outcome

    @property
    def _client(self) -> Sending:
        assert self._relay.sending is not None
        return self._relay.sending

    async def _play(self, *lines: str) -> None:
        for line in lines:
            await self.play(line)

    async def _hello(self, keywords: str) -> None:
        *first, last = ["relay.example", *words(keywords)]
        said = [f"S: 250-{word}" for word in first] + [f"S: 250 {last}"]
        await self._play("S: 220 relay.example ESMTP", "C: EHLO client.example", *said)

    async def _takes(self, name: str) -> None:
        await self._play("C: MAIL", "S: 250 2.1.0 ok", f"C: RCPT {name}", "S: 250 2.1.5 ok", "C: DATA")
        await self._play("S: 354 go ahead", f"C: text of {name}", "C: .", f"S: 250 2.0.0 taken: {name}")

    async def _refuses(self, what: str) -> None:
        name, _, reply = what.partition(": ")
        await self._play("C: MAIL", "S: 250 2.1.0 ok", f"C: RCPT {name}", f"S: {reply}", "-- no recipient --")

    async def _no(self, what: str) -> None:
        """Answer what was sent ahead of the refusal, up to the client's RSET."""
        await self._flush()
        ahead = {"recipient": ["DATA"], "sender": ["RCPT TO:", "DATA"]}[what]
        while (line := (await self._line()).decode()) != "RSET":
            if not ahead or not line.startswith(ahead.pop(0)):
                raise Deviation(f"heard {line[:80]!r}")
            await self._play("S: 503 5.5.1 not after that", "-- next packet --")
        await self._play("S: 250 2.0.0 ok")

    async def _refuse_everything(self, _: str) -> None:
        self._over = True
        while line := await self._reader.readline():
            if line == b"RSET\r\n":
                raise Deviation("the client stays")
            self._say("503 5.5.1 not after that")
            await self._flush()

    async def _bye(self, _: str) -> None:
        await self._play("C: QUIT", "S: 221 2.0.0 bye")

    def _be_slow(self, _: str) -> None:
        self._slowly = True

    def _go(self) -> None:
        self._over = True
        self._writer.close()

    async def _silence(self, seconds: str) -> None:
        self._over = True
        if seconds:
            await self._client.turns()  # what was said before is heard before time passes
            self._client.wire_clock.advance(float(seconds))
        await self._rest()

    async def _start_tls(self, fails: str) -> None:
        if not fails:
            await self._writer.start_tls(self._relay.tls)
            return
        self._over = True
        try:
            await self._writer.start_tls(self._relay.tls)
        except (ConnectionError, ssl.SSLError):
            return
        raise Deviation("the handshake went well")
