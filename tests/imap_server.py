"""An IMAP server for tests: a real socket, a correct conversation, and any answer replaced by a script.

`ImapServer` holds mails by UID and speaks as much of RFC 9051 as the program asks for. A test that wants a
hostile server gives ``tricks``: for a command ("GREETING", "EXAMINE", "UID FETCH", ...) a function that gets
the `Talk` and the rest of the command and does as it likes; when it returns False the ordinary answer
follows. Without a user it greets with PREAUTH, as the program wants it on loopback without TLS.
"""

from __future__ import annotations

import base64
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import trustme

DATE = "01-May-2027 10:00:00 +0200"


class Hangup(Exception):
    """The connection ends here."""


class Talk:
    """One connection, seen from the server."""

    def __init__(self, server: ImapServer, connection: socket.socket) -> None:
        self.server = server
        self.connection = connection
        self._lines = connection.makefile("rb")
        self.tag = b"*"

    def say(self, *parts: bytes | str) -> None:
        """Send one line."""
        self.send(b" ".join(part.encode() if isinstance(part, str) else part for part in parts) + b"\r\n")

    def send(self, data: bytes) -> None:
        """Send octets as they are."""
        try:
            self.connection.sendall(data)
        except OSError:
            raise Hangup from None

    def done(self, words: str = "done") -> None:
        """End the command with OK."""
        self.say(self.tag, "OK", words)

    def no(self, words: str = "no") -> None:
        """End the command with NO."""
        self.say(self.tag, "NO", words)

    def read(self) -> bytes:
        """Return the next line of the client."""
        try:
            line = self._lines.readline(100_000)
        except OSError:
            line = b""
        if not line:
            raise Hangup
        return line.rstrip(b"\r\n")

    def hang_up(self) -> bool:
        """End the connection."""
        raise Hangup

    def secure(self) -> None:
        """Begin TLS."""
        assert self.server.context is not None
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self._lines = self.connection.makefile("rb")

    def close(self) -> None:
        """Let go of it."""
        with suppress(OSError):
            self._lines.close()
            self.connection.close()


Trick = Callable[[Talk, bytes], object]


def says(text: str) -> Trick:
    """Return the trick of saying one line, whatever was asked."""
    return lambda talk, rest: [talk.say(text)]  # type: ignore[func-returns-value]


def sends(data: bytes) -> Trick:
    """Return the trick of sending octets, whatever was asked."""
    return lambda talk, rest: [talk.send(data)]  # type: ignore[func-returns-value]


def refuses(words: str) -> Trick:
    """Return the trick of answering NO."""
    return lambda talk, rest: [talk.no(words)]  # type: ignore[func-returns-value]


def hangs_up(talk: Talk, rest: bytes) -> object:
    """End the connection instead of answering."""
    return talk.hang_up()


@dataclass
class ImapServer:
    """A folder, who may read it, and what is done instead of answering. Not a moment of it is secret."""

    mails: dict[int, bytes] = field(default_factory=dict)
    uidvalidity: int = 7
    uidnext: int | None = None  # None: behind the last mail
    user: str | None = None
    secrets: list[str] = field(default_factory=list)  # those that are accepted
    implicit_tls: bool = False
    capabilities: str = "IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 STARTTLS UIDPLUS MOVE"
    tricks: dict[str, Trick] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {"INBOX"})
    flags: dict[int, set[str]] = field(default_factory=dict)
    moved: dict[int, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)  # as they came, tags left out
    connections: int = 0
    port: int = 0
    context: ssl.SSLContext | None = None

    def count(self, command: str) -> int:
        """Return how often a command came."""
        return sum(one.startswith(command) for one in self.commands)

    def tricked(self, name: str, talk: Talk, rest: bytes) -> bool:
        """Play the trick of a command; return whether that was all."""
        trick = self.tricks.get(name)
        return trick is not None and trick(talk, rest) is not False

    def serve(self, talk: Talk) -> None:
        """Hold one conversation."""
        if self.implicit_tls:
            talk.secure()
        if not self.tricked("GREETING", talk, b""):
            talk.say("* OK ready" if self.user else "* PREAUTH ready")
        while True:
            talk.tag, _, line = talk.read().partition(b" ")
            self.commands.append(line.decode("utf-8", "replace"))
            word, _, rest = line.partition(b" ")
            if word.upper() == b"UID":
                second, _, rest = rest.partition(b" ")
                word = b"UID_" + second
            name = word.decode("ascii", "replace").upper()
            if not self.tricked(name.replace("_", " "), talk, rest):
                getattr(self, f"_{name.lower()}", self._unknown)(talk, rest)

    def _unknown(self, talk: Talk, rest: bytes) -> None:
        talk.say(talk.tag, "BAD unknown")

    def _capability(self, talk: Talk, rest: bytes) -> None:
        talk.say("* CAPABILITY", self.capabilities)
        talk.done()

    def _starttls(self, talk: Talk, rest: bytes) -> None:
        talk.done("begin TLS")
        talk.secure()

    def _login(self, talk: Talk, rest: bytes) -> None:
        self._judge(talk, rest.decode() in {f'"{self.user}" "{secret}"' for secret in self.secrets})

    def _authenticate(self, talk: Talk, rest: bytes) -> None:
        talk.say("+ ")
        said = base64.b64decode(talk.read())
        forms = {
            b"PLAIN": lambda secret: f"\0{self.user}\0{secret}",
            b"XOAUTH2": lambda secret: f"user={self.user}\1auth=Bearer {secret}\1\1",
        }
        right = said in {forms[rest](secret).encode() for secret in self.secrets}
        if rest == b"XOAUTH2" and not right:
            talk.say("+ eyJzdGF0dXMiOiI0MDAifQ==")
            assert talk.read() == b""
        self._judge(talk, right)

    def _judge(self, talk: Talk, right: bool) -> None:
        talk.done() if right else talk.no("[AUTHENTICATIONFAILED] not you")

    def _select(self, talk: Talk, rest: bytes) -> None:
        self._open(talk, rest, "[READ-WRITE]")

    def _examine(self, talk: Talk, rest: bytes) -> None:
        self._open(talk, rest, "[READ-ONLY]")

    def _open(self, talk: Talk, rest: bytes, mode: str) -> None:
        if rest.decode().strip('"') not in self.folders:
            talk.no("[NONEXISTENT] no such folder")
            return
        talk.say(f"* {len(self.mails)} EXISTS")
        talk.say(f"* OK [UIDVALIDITY {self.uidvalidity}] valid")
        talk.say(f"* OK [UIDNEXT {self.uidnext or max(self.mails, default=0) + 1}] next")
        talk.done(mode)

    def _uid_search(self, talk: Talk, rest: bytes) -> None:
        first = int(re.match(rb"UID (\d+):\*", rest)[1])  # type: ignore[index]
        last = max(self.mails, default=0)
        uids = [uid for uid in sorted(self.mails) if uid >= first or uid == last]
        talk.say("* SEARCH", *map(str, uids))
        talk.done()

    def _uid_fetch(self, talk: Talk, rest: bytes) -> None:
        uids, _, items = rest.partition(b" ")
        for uid in _numbers(uids):
            if uid in self.mails:
                self.give(talk, uid, items)
        talk.done()

    def give(self, talk: Talk, uid: int, items: bytes, mail: bytes | None = None) -> None:
        """Send what FETCH asks of one mail."""
        raw = self.mails[uid] if mail is None else mail
        sequence = sorted(self.mails).index(uid) + 1
        if b"RFC822.SIZE" in items:
            flags = " ".join(sorted(self.flags.get(uid, ())))
            talk.say(
                f'* {sequence} FETCH (UID {uid} RFC822.SIZE {len(raw)} INTERNALDATE "{DATE}" FLAGS ({flags}))'
            )
            return
        header = b"HEADER" in items
        part = "BODY[HEADER]<0>" if header else "BODY[]"
        text = raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if header else raw
        talk.send(f"* {sequence} FETCH (UID {uid} {part} {{{len(text)}}}\r\n".encode() + text + b")\r\n")

    def _uid_store(self, talk: Talk, rest: bytes) -> None:
        uids, _, names = rest.decode().split(" ", 2)
        for uid in _numbers(uids.encode()):
            self.flags.setdefault(uid, set()).update(names.strip("()").split())
        talk.done()

    def _uid_expunge(self, talk: Talk, rest: bytes) -> None:
        for uid in _numbers(rest):
            if "\\Deleted" in self.flags.get(uid, ()):
                self.mails.pop(uid, None)
        talk.done()

    def _uid_move(self, talk: Talk, rest: bytes) -> None:
        self._uid_copy(talk, rest)
        for uid in _numbers(rest.partition(b" ")[0]) if self.moved else ():
            self.mails.pop(uid, None)

    def _uid_copy(self, talk: Talk, rest: bytes) -> None:
        uids, _, folder = rest.partition(b" ")
        name = folder.decode().strip('"')
        if name not in self.folders:
            talk.no("[TRYCREATE] no such folder")
            return
        self.moved |= dict.fromkeys(_numbers(uids), name)
        talk.done()

    def _create(self, talk: Talk, rest: bytes) -> None:
        self.folders.add(rest.decode().strip('"'))
        talk.done()

    def _logout(self, talk: Talk, rest: bytes) -> None:
        talk.say("* BYE")
        talk.done()
        talk.hang_up()


def _numbers(text: bytes) -> list[int]:
    return [int(number) for number in text.split(b",")]


@contextmanager
def serving(server: ImapServer, authority: trustme.CA | None = None) -> Iterator[ImapServer]:
    """Run a server on a free port of 127.0.0.1, with a certificate of ``authority``."""
    if authority is not None:
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(server.context)
    listener = socket.create_server(("127.0.0.1", 0))
    server.port = listener.getsockname()[1]
    talks: list[Talk] = []

    def talk_to(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        talk = Talk(server, connection)
        talks.append(talk)
        with suppress(Hangup, OSError):
            server.serve(talk)
        talk.close()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            threading.Thread(target=talk_to, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for talk in talks:
            with suppress(OSError):
                talk.connection.shutdown(socket.SHUT_RDWR)
