"""The octets of an IMAP connection: bounded, timed, never taken at their word. The only file with imaplib.

The server is not trusted. Each command has an allowance: octets, lines, the length of a line, and seconds,
however slowly the octets drip. What breaks it, or is no IMAP, ends the connection (`Lost`); a refusal (NO,
BAD) is `Refused`. imaplib, and IMAPClient above it, read with our `read` and `readline`, which keep to that.
Nothing that was said before TLS is believed after it.

Limits: imaplib's `_create_socket` is its own seam for another transport.
"""

from __future__ import annotations

import imaplib
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.clock import Clock
from pipeline.errors import CampaignError
from pipeline.problem import visible
from pipeline.replies.account import Account, MailboxKind

CONNECT_S = 30.0
SILENCE_S = 60.0  # the server says nothing at all
COMMAND_S = 120.0  # a whole answer, and longer by its size
SLOWEST = 20_000  # octets a second that an answer has to reach
CHUNK = 256 * 1024
ORDINARY = 256 * 1024  # octets of an answer that carries no mail
LONGEST_LINE = 64 * 1024
_TEMPORARY = re.compile(r"\[(UNAVAILABLE|INUSE|OVERQUOTA|THROTTLED)\b", re.IGNORECASE)


class Lost(Exception):
    """The connection is of no more use; what was asked for may be asked for on another."""

    def __init__(self, words: str, *, too_much: bool = False) -> None:
        super().__init__(words)
        self.too_much = too_much  # the answer was larger than its allowance


class Refused(Exception):
    """The server answered NO or BAD."""

    @property
    def temporary(self) -> bool:
        """Return whether the server says that it may be otherwise later (RFC 5530, and Gmail's own words)."""
        return _TEMPORARY.search(str(self)) is not None


class Wire(imaplib.IMAP4):
    """imaplib's connection with a reader of our own, which keeps to an allowance.

    imaplib's reads a literal of any announced size into memory, and waits for ever for a dripping server.
    """

    def __init__(self, account: Account, context: ssl.SSLContext | None, clock: Clock) -> None:
        self._direct = context if account.kind is MailboxKind.IMAPS else None
        self._clock = clock
        self._buffer = bytearray()
        self._heard: socket.socket | None = None  # whose octets the buffer holds
        self.too_much = False
        self.ended = False
        self.allow()
        super().__init__(account.host, account.port)

    def allow(
        self,
        *,
        octets: int = 0,
        lines: int = 2_000,
        line: int = LONGEST_LINE,
        seconds: float = COMMAND_S,
    ) -> None:
        """Begin a command whose answer may hold ``octets`` of mail beside what every answer may hold."""
        self._octets = ORDINARY + max(octets, line - LONGEST_LINE)
        self._lines = lines
        self._line = line
        self._deadline = self._clock.monotonic() + seconds + octets / SLOWEST

    def lost(self, words: str) -> Lost:
        """Give the connection up; return what to raise."""
        self.ended = True
        return Lost(words, too_much=self.too_much)

    def forget(self) -> None:
        """Let go of what the server said unasked."""
        self.untagged_responses.clear()

    def _create_socket(self, timeout: float | None = None) -> socket.socket:
        plain = socket.create_connection((self.host, self.port), CONNECT_S)
        # A command may go out in two pieces; the second must not wait for the answer to the first.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._direct is None:
            return plain
        try:
            return self._direct.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise

    def read(self, size: int) -> bytes:
        self._hear()
        self._spend(size, f"a literal of {size} octets")
        while len(self._buffer) < size:
            if not self._receive():
                raise self._end("the server closed the connection in the middle of a mail")
        with memoryview(self._buffer) as view:
            data = bytes(view[:size])
        del self._buffer[:size]
        return data

    def readline(self) -> bytes:
        self._hear()
        self._lines -= 1
        if self._lines < 0:
            raise self._excess("more lines than any answer needs")
        seen = 0
        while (end := self._buffer.find(b"\n", seen, self._line)) < 0:
            seen = len(self._buffer)
            if seen >= self._line:
                raise self._excess("a line longer than any answer needs")
            if not self._receive():
                raise self._end("the server closed the connection")
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        self._spend(len(line), "an answer")
        return line

    def send(self, data: bytes) -> None:  # type: ignore[override] # typeshed: Buffer
        self.sock.settimeout(SILENCE_S)
        super().send(data)

    def _hear(self) -> None:
        """See that the buffer holds nothing said before TLS: an attacker could have put it there."""
        if self._heard is not self.sock:
            if self._buffer:
                raise self._end("the server went on talking before TLS began")
            self._heard = self.sock

    def _receive(self) -> bool:
        left = self._deadline - self._clock.monotonic()
        if left <= 0:
            raise self._end("the server is too slow")
        self.sock.settimeout(min(left, SILENCE_S))
        try:
            data = self.sock.recv(CHUNK)
        except TimeoutError:
            raise self._end("the server fell silent") from None
        self._buffer += data
        return bool(data)

    def _spend(self, octets: int, what: str) -> None:
        self._octets -= octets
        if self._octets < 0:
            raise self._excess(f"{what}, more than was asked for")

    def _excess(self, what: str) -> Exception:
        self.too_much = True
        return self._end(f"the server sent {what}")

    def _end(self, words: str) -> Exception:
        self.ended = True
        return self.abort(words)


@contextmanager
def translated(wire: Wire) -> Iterator[None]:
    """Turn whatever comes of talking to a server into Lost and Refused."""
    try:
        yield
    except (CampaignError, ssl.SSLCertVerificationError):
        raise
    except imaplib.IMAP4.readonly:
        raise Refused("the server opens this folder for reading only") from None
    except imaplib.IMAP4.abort as trouble:
        raise wire.lost(words_of(trouble)) from None
    except imaplib.IMAP4.error as trouble:
        if wire.ended or "BYE" in wire.untagged_responses:
            raise wire.lost(words_of(trouble)) from None
        raise Refused(words_of(trouble)) from None
    except OSError as trouble:
        raise wire.lost(words_of(trouble)) from None
    except Exception as trouble:  # the libraries trip over answers that are no IMAP in many ways
        raise wire.lost(f"the server's answer is no IMAP ({type(trouble).__name__})") from None
    except BaseException:  # Ctrl-C in an answer: what comes next would be the rest of it
        wire.ended = True
        raise


def words_of(trouble: Exception) -> str:
    """Return what an exception says, fit to be shown."""
    text = str(trouble) or type(trouble).__name__
    return visible(re.sub(r"""\bb(['"])(.*?)\1""", r"\2", text[:1_000]), limit=200)
