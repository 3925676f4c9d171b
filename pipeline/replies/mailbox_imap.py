"""An IMAP folder: read by UID, without leaving a trace in it.

The folder is opened with EXAMINE and mails are fetched with BODY.PEEK[] (RFC 9051 sections 6.3.3, 6.4.5), so
no flag changes; with SELECT only where `after` asks for a change. Sizes are asked before bodies: of a mail
over the bound only the headers travel. Mails come in groups, in the order of their UIDs.

The mark is UIDVALIDITY and the last UID, and those UIDs for which `after` is still to be done. When
UIDVALIDITY changes all is read again (section 2.3.1.1). When the connection is lost on the way it is opened
again and the fetch goes on behind the last mail yielded, for as long as each connection brings something.

What a server cannot give goes by: a mail refused, or listed and not given, is yielded without its body and
says why. What it says of sizes is only an estimate (some servers guess): a group that is larger than its
sizes said is fetched again mail by mail, each with the bound as its allowance.

Limits: more than about a million new mails in a folder are refused; without UIDVALIDITY all is read each
time. Memory: a group of 4 MB, or one mail, a few times over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.clock import Clock
from pipeline.delivery.relay import Secret
from pipeline.problem import visible
from pipeline.replies.account import Account, Afterwards
from pipeline.replies.mailbox import (
    Extent,
    Fetched,
    MailboxUnreached,
    MailboxUnusable,
    Mark,
    headers_of,
    too_large,
)
from pipeline.replies.mailbox_imap_session import HINT, LARGEST_UID, Listed, Session, open_session
from pipeline.replies.mailbox_imap_wire import Lost, Refused

LISTED_AT_ONCE = 250  # mails whose sizes are asked in one command; servers bound the length of a line
GROUP_MAILS = 50  # fetched in one command
GROUP_BYTES = 4_000_000
SLACK = 1_000_000  # octets a group may have beyond twice what its sizes said
FRUITLESS = 2  # connections in a row that bring nothing
MOST_CONNECTIONS = 100  # in one fetch
MOST_OWED = 10_000  # UIDs read from a mark


@dataclass(slots=True)
class _Place:
    """Where a fetch is: behind which UID, and what `after` still has to do."""

    uidvalidity: int = 0
    uid: int = 0
    owed: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, mark: Mark) -> _Place:
        """Read a mark; one that cannot be read is none, and all is read again."""
        try:
            said = json.loads(mark) if mark else {}
            validity, uid, owed = said.get("uidvalidity", 0), said.get("uid", 0), said.get("owed", [])
        except (ValueError, AttributeError, RecursionError):
            return cls()
        if not (
            type(validity) is int and type(uid) is int and 0 <= uid <= LARGEST_UID and isinstance(owed, list)
        ):
            return cls()
        return cls(validity, uid, [one for one in owed[:MOST_OWED] if type(one) is int and one > 0])

    def written(self) -> Mark:
        """Return the mark."""
        said: dict[str, object] = {"uidvalidity": self.uidvalidity, "uid": self.uid}
        return json.dumps(said | ({"owed": self.owed} if self.owed else {}))


class ImapMailbox:
    """One folder of an account at an IMAP server."""

    def __init__(self, account: Account, *, secret: Callable[[], Secret | None], clock: Clock) -> None:
        """``secret`` returns password or token, whenever a login needs it."""
        self._account = account
        self._secret = secret
        self._clock = clock
        self._session: Session | None = None
        self._at = _Place()  # behind the last mail yielded
        self._marked = _Place()  # what the last mark says

    @property
    def name(self) -> str:
        """Return what marks are kept under."""
        return self._account.name

    def new(self, since: Mark) -> Iterator[Fetched]:
        """Yield the mails behind ``since``, in the order of their UIDs."""
        self._at, self._marked = _Place.of(since), _Place.of(since)
        fruitless = connections = 0
        lost: Lost | None = None
        while fruitless < FRUITLESS and connections < MOST_CONNECTIONS:
            connections += 1
            try:
                self._open()
                self._do_what_is_owed()
                for mail in self._pass():
                    fruitless = 0
                    yield mail
            except Lost as trouble:
                self.close()
                lost = trouble
                fruitless += 1
            except Refused as refusal:
                raise MailboxUnreached(f"{self.name}: the server says: {refusal}", HINT) from None
            else:
                return
        raise MailboxUnreached(f"{self.name}: {lost}", HINT)

    def mark(self, stored: Sequence[Fetched]) -> Mark:
        """Return the mark behind the last of ``stored``."""
        for mail in stored:
            validity, _, uid = mail.source.partition("/")
            if int(validity) != self._marked.uidvalidity:
                self._marked = _Place(int(validity))
            self._marked.uid = int(uid)
            if self._wanted(mail):
                self._marked.owed.append(int(uid))
        return self._marked.written()

    def settle(self) -> Mark | None:
        """Do what `after` asks for; on a lost connection it stays owed."""
        if not self._marked.owed:
            return None
        try:
            self._open()
            self._do_what_is_owed()
        except Lost:
            self.close()
            return None
        except Refused as refusal:
            raise MailboxUnreached(f"{self.name}: the server says: {refusal}", HINT) from None
        return self._marked.written()

    def close(self) -> None:
        """End the session."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _wanted(self, mail: Fetched) -> bool:
        match self._account.after.action:
            case Afterwards.KEEP:
                return False
            case Afterwards.DELETE:
                return mail.extent is Extent.WHOLE
        return True

    def _open(self) -> None:
        """Have a session with the folder open, and forget places that are no more."""
        if self._session is not None:
            return
        session = self._session = open_session(self._account, self._secret, self._clock)
        try:
            uidvalidity = session.open_folder(
                self._account.folder, writing=self._account.after.action is not Afterwards.KEEP
            )
        except Refused as refusal:
            self.close()
            if refusal.temporary:
                raise
            raise MailboxUnusable(
                f"{self.name}: the folder cannot be opened: {refusal}",
                "the folder's name stands behind the host: imaps://user@host/INBOX",
            ) from None
        if uidvalidity != self._at.uidvalidity or not uidvalidity:
            self._at = _Place(uidvalidity)
        if uidvalidity != self._marked.uidvalidity:
            self._marked.owed.clear()

    def _do_what_is_owed(self) -> None:
        owed = self._marked.owed
        try:
            while owed:
                self._do_to(owed[:LISTED_AT_ONCE])
                del owed[:LISTED_AT_ONCE]
        except Refused as refusal:
            if refusal.temporary:
                raise
            raise MailboxUnusable(
                f"{self.name}: the server does not do what replies.after asks for: {refusal}",
                'the mail is stored; after = "keep" leaves the mailbox alone',
            ) from None

    def _do_to(self, uids: Sequence[int]) -> None:
        after = self._account.after
        match after.action:
            case Afterwards.SEEN:
                self._live().mark_seen(uids)
            case Afterwards.MOVE:
                self._live().move(uids, after.folder)
            case Afterwards.DELETE:
                self._live().delete(uids)

    def _live(self) -> Session:
        if self._session is None:
            raise Lost("the connection was closed")
        return self._session

    def _pass(self) -> Iterator[Fetched]:
        """Yield what this connection gives."""
        uids = self._live().search(self._at.uid, self._account.since)
        for start in range(0, len(uids), LISTED_AT_ONCE):
            some = uids[start : start + LISTED_AT_ONCE]
            listed = self._described(some)
            there = [uid for uid in some if uid in listed and self._is_recent(listed[uid])]
            for group in _groups(there, listed, self._account.mail_bytes):
                for mail in self._fetch(group, listed):
                    self._at.uid = int(mail.source.partition("/")[2])
                    yield mail

    def _described(self, uids: Sequence[int]) -> dict[int, Listed]:
        """Return what the server says of these mails; of one that is there and not described, nothing."""
        listed = self._live().describe(uids)
        if any(uid not in listed for uid in uids):
            still = set(self._live().search(uids[0] - 1, None))
            listed |= {
                uid: Listed(0, None, frozenset()) for uid in uids if uid in still and uid not in listed
            }
        return listed

    def _is_recent(self, listed: Listed) -> bool:
        since = self._account.since
        return since is None or listed.received_at is None or listed.received_at >= since

    def _fetch(self, group: Sequence[int], listed: dict[int, Listed]) -> Iterator[Fetched]:
        if listed[group[0]].size > self._account.mail_bytes:
            yield from self._without_body(group[0], listed[group[0]], too_large(self._account.mail_bytes))
            return
        bodies = self._bodies(group, 2 * sum(listed[uid].size for uid in group) + SLACK)
        for uid in group:
            if uid in bodies:
                yield from self._made(uid, bodies.pop(uid), listed[uid])
            else:
                yield from self._alone(uid, listed[uid])

    def _bodies(self, group: Sequence[int], octets: int) -> dict[int, bytes]:
        """Return what came of a group; what is missing is asked for by itself."""
        try:
            return self._live().bodies(group, octets)
        except Refused as refusal:
            if refusal.temporary:
                raise
        except Lost as lost:
            if not lost.too_much:
                raise
            self._again()
        return {}

    def _alone(self, uid: int, listed: Listed) -> Iterator[Fetched]:
        """Yield one mail that did not come with its group: whole, without its body, or not at all."""
        try:
            raw = self._live().bodies([uid], self._account.mail_bytes).get(uid)
        except Refused as refusal:
            if refusal.temporary:
                raise
            yield from self._without_body(uid, listed, f"the server does not give it: {refusal}")
            return
        except Lost as lost:
            if not lost.too_much:
                raise
            self._again()
            yield from self._without_body(uid, listed, too_large(self._account.mail_bytes))
            return
        if raw is not None:
            yield from self._made(uid, raw, listed)
        elif uid in self._live().search(uid - 1, None):
            yield from self._without_body(uid, listed, "the server lists it and does not give it")

    def _again(self) -> None:
        """Open the folder anew after an answer that was too large.

        Raises Lost where it is another folder now: what was listed is not in it.
        """
        validity = self._at.uidvalidity
        self.close()
        self._open()
        if self._at.uidvalidity != validity:
            raise Lost("the folder was numbered anew")

    def _made(self, uid: int, raw: bytes, listed: Listed) -> Iterator[Fetched]:
        if len(raw) <= self._account.mail_bytes:
            yield self._fetched(uid, raw, listed, Extent.WHOLE)
            return
        why = too_large(self._account.mail_bytes)
        yield self._fetched(uid, headers_of(raw), listed, Extent.HEADERS, size=len(raw), why=why)

    def _without_body(self, uid: int, listed: Listed, why: str) -> Iterator[Fetched]:
        try:
            header = self._live().header(uid)
        except Refused as refusal:
            if refusal.temporary:
                raise
            header = None
        except Lost as lost:
            if not lost.too_much:
                raise
            self._again()
            header = None
        if (
            header is None
            and listed.size > self._account.mail_bytes
            and uid not in self._live().search(uid - 1, None)
        ):
            return  # it went away
        extent = Extent.HEADERS if header else Extent.NOTHING
        yield self._fetched(uid, headers_of(header or b""), listed, extent, why=visible(why, limit=300))

    def _fetched(
        self, uid: int, raw: bytes, listed: Listed, extent: Extent, *, size: int | None = None, why: str = ""
    ) -> Fetched:
        if size is None:
            size = len(raw) if extent is Extent.WHOLE else listed.size
        source = f"{self._at.uidvalidity}/{uid}"
        return Fetched(raw, extent, size, source, listed.received_at, listed.flags, why)


def _groups(uids: Sequence[int], listed: dict[int, Listed], bound: int) -> Iterator[list[int]]:
    """Yield UIDs that are fetched together; one that is too large stands alone."""
    group: list[int] = []
    octets = 0
    for uid in uids:
        size = listed[uid].size
        if group and (size > bound or octets + size > GROUP_BYTES or len(group) >= GROUP_MAILS):
            yield group
            group, octets = [], 0
        group.append(uid)
        octets += size
        if size > bound:
            yield group
            group, octets = [], 0
    if group:
        yield group
