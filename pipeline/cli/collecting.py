"""Replies collected, wired: the parts that `replies fetch` and `run` share.

mailbox ── mails (raw) ── read ── what follows for addresses ── the reply, the doubt it settles, "sorted"
           committed              committed in the shared store    committed together

Each commit may be done again without changing anything, so a crash between two of them loses nothing and
doubles nothing: a mail is sorted when its reply is there, and is looked at again until then.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from pipeline.cli.folder import signatories_of
from pipeline.cli.place import Place
from pipeline.clock import to_us
from pipeline.config import Settings, read_mailbox_password
from pipeline.errors import CampaignError, StoreUnwritable, Unusable
from pipeline.replies.account import After
from pipeline.replies.acting import Acts, Barring, acts
from pipeline.replies.collecting import Collected, collect
from pipeline.replies.kinds import Kind
from pipeline.replies.mailbox_opening import open_mailbox
from pipeline.replies.matching import Letters, SentLetter
from pipeline.replies.reading import UNREADABLE, Ourselves, Reading, read_reply
from pipeline.store import notices, replies, strikes
from pipeline.store.lock import RunLock
from pipeline.store.mails import Mails, StoredMail, sorted_now, unsorted
from pipeline.store.operator import write_meta
from pipeline.store.world import World, WorldName
from pipeline.store.written import WrittenLetters, learn

TROUBLE = "mailbox_trouble"  # meta: why the mailbox could not be read, the last time
BATCH = 50  # mails whose replies are committed together
BATCH_BYTES = 8_000_000  # and no more octets than that, but for the last of them
WORTH_A_LOOK = frozenset({Kind.HUMAN, Kind.AUTO, Kind.OPTOUT, Kind.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Sorted:
    """One mail, sorted, and what followed from it."""

    line: replies.ReplyLine
    ours: bool
    barred: tuple[Barring, ...] = ()
    settled: bool = False


@dataclass(slots=True)
class Brought:
    """What a fetch brought; ``trouble`` is what kept the mailbox from being read, or from being read on."""

    collected: Collected = field(default_factory=Collected)
    trouble: CampaignError | None = None
    sorted: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    unmatched: int = 0
    review: int = 0
    barred: int = 0
    settled: int = 0

    def count(self, one: Sorted) -> None:
        """Count a mail that was sorted; our own are no replies."""
        self.sorted += 1
        self.settled += one.settled
        self.barred += len(one.barred)
        if one.ours:
            return
        self.kinds[one.line.kind] += 1
        self.review += bool(one.line.review)
        self.unmatched += one.line.letter is None and Kind(one.line.kind) in WORTH_A_LOOK


def collect_replies(
    place: Place, world: World, *, again: bool = False, told: Callable[[Sorted], None] | None = None
) -> Brought:
    """Fetch mail, sort what is not sorted, and do what follows from it.

    ``again``: sort all kept mail anew. ``told`` hears of each mail once it is committed. A mailbox that
    cannot be read is no reason to stop: it is in `Brought.trouble`. Raises StoreUnwritable; AlreadyRunning
    where another process fetches.
    """
    path = world.campaign.path.with_suffix(".replies.lock")
    with RunLock(path, since=place.local_now):
        brought = Brought()
        _fetch(place, world, brought)
        with world.campaign.writing() as connection:
            write_meta(connection, TROUBLE, brought.trouble.message if brought.trouble is not None else "")
            if again:
                replies.sort_again(connection)
        _Sorter(place, world, brought, told).go()
    return brought


def ourselves(settings: Settings, world: World) -> Ourselves:
    """Return who we are."""
    mailboxes = [settings.author, *settings.forward_to, *([settings.reply_to] if settings.reply_to else [])]
    addresses = {mailbox.address.wire.lower() for mailbox in mailboxes}
    addresses.add(settings.return_path.replace("+{token}", "").lower())
    if settings.mailbox is not None and "@" in (settings.mailbox.user or ""):
        addresses.add(str(settings.mailbox.user).lower())
    return Ourselves(frozenset(addresses), settings.author.address.domain, world.secret)


def with_signatories(place: Place, we: Ourselves) -> Ourselves:
    """Return who we are, and those who sign letters: they pass answers on to us."""
    try:
        signed = signatories_of(place.settings, place.clock)
    except Unusable:  # a list that cannot be read is told where letters are planned
        return we
    theirs = [one.address.wire.lower() for one in signed.accepted] if signed is not None else []
    return replace(we, addresses=frozenset({*we.addresses, *theirs}))


def _fetch(place: Place, world: World, brought: Brought) -> None:
    settings = place.settings
    if settings.mailbox is None:
        return
    account = settings.mailbox
    if world.name is WorldName.SANDBOX:  # what is tried here must not take mail from the real world
        account = replace(account, after=After())
    try:
        mailbox = open_mailbox(
            account,
            secret=lambda: read_mailbox_password(settings, environ=os.environ),
            clock=place.clock,
        )
        brought.collected = collect(mailbox, Mails(world.campaign, clock=place.clock))
        brought.trouble = brought.collected.stopped
    except StoreUnwritable:
        raise
    except CampaignError as trouble:
        brought.trouble = trouble


class _Sorter:
    """The mails that wait, batch after batch."""

    def __init__(
        self, place: Place, world: World, brought: Brought, told: Callable[[Sorted], None] | None
    ) -> None:
        self._clock = place.clock
        self._world = world
        self._brought = brought
        self._told = told
        self._ourselves = with_signatories(place, ourselves(place.settings, world))

    def go(self) -> None:
        if not notices.have_notices(self._world):
            self._go()
            return
        store = notices.open_notices(self._world, clock=self._clock)
        try:
            with store.campaign.reading() as connection:
                known = partial(notices.is_notice, connection)
                self._ourselves = replace(self._ourselves, is_notice=known)
                self._go()
        finally:
            store.campaign.close()

    def _go(self) -> None:
        after = 0
        learnt = False
        while True:
            with self._world.campaign.reading() as connection:
                batch = _batch(unsorted(connection, after=after))
            if not batch:
                return
            if not learnt:
                learn(self._world.campaign)
                learnt = True
            self._sort(batch)
            after = batch[-1].id

    def _sort(self, batch: list[StoredMail]) -> None:
        with self._world.campaign.reading() as connection:
            letters = WrittenLetters(connection)
            read = [(mail, *self._read(mail, letters)) for mail in batch if mail.raw is not None]
            known = replies.known(connection, [mail.id for mail in batch])
        # What was sorted before to the same end has been acted upon, and a person may have undone that.
        barred = self._bar(
            [(mail, acts_) for mail, reading, _, acts_ in read if not _as_before(known.get(mail.id), reading)]
        )
        now_us = to_us(self._clock.now())
        done: list[Sorted] = []
        with self._world.campaign.writing() as connection:
            for mail, reading, letter, acts_ in read:
                came = to_us(_came_at(mail, reading, letter))
                number = replies.keep(connection, mail.id, reading, received_us=came)
                settled = (
                    bool(acts_.settle and letter)
                    and letter is not None
                    and replies.settle_doubt(connection, letter.number, why=acts_.settle, now_us=now_us)
                )
                line = replies.one(connection, number)
                assert line is not None
                done.append(Sorted(line, reading.ours, tuple(barred.get(mail.id, ())), settled))
            sorted_now(connection, [mail.id for mail in batch], now_us=now_us)
        for one in done:
            self._brought.count(one)
            if self._told is not None:
                self._told(one)

    def _read(self, mail: StoredMail, letters: Letters) -> tuple[Reading, SentLetter | None, Acts]:
        assert mail.raw is not None
        try:
            reading = read_reply(mail.raw, letters, self._ourselves, missing=mail.why)
        except StoreUnwritable:
            raise
        except Exception as fault:  # a mail that a reader fails on must not keep the others from being read
            why = f"unreadable: the program failed on it ({type(fault).__name__})"
            return Reading(Kind.UNKNOWN, (why,), review=UNREADABLE), None, Acts()
        number = reading.match.letter
        letter = letters.by_number(number) if number is not None else None
        return reading, letter, acts(reading, letter, self._ourselves.addresses)

    def _bar(self, what: list[tuple[StoredMail, Acts]]) -> dict[int, list[Barring]]:
        """Do what follows for addresses, before a mail counts as sorted."""
        what = [(mail, acts_) for mail, acts_ in what if acts_.bar or acts_.strike or acts_.alive]
        if not what:
            return {}
        now = self._clock.now()
        with self._world.common.writing() as connection:
            return {
                mail.id: strikes.carry_out(
                    connection,
                    acts_,
                    source=f"{self._world.store_id} {mail.sha256}",
                    at=mail.received_at or mail.fetched_at,
                    now=now,
                )
                for mail, acts_ in what
            }


def _batch(waiting: Iterable[StoredMail]) -> list[StoredMail]:
    """Return the first mails, so few that they may lie in memory together."""
    batch: list[StoredMail] = []
    octets = 0
    for mail in waiting:
        batch.append(mail)
        octets += len(mail.raw or b"")
        if len(batch) >= BATCH or octets >= BATCH_BYTES:
            break
    return batch


def _as_before(known: replies.Known | None, reading: Reading) -> bool:
    """Say whether a mail was sorted before to the same end, but for what a person decided about it."""
    if known is None:
        return False
    same_kind = known.reviewed or known.kind == reading.kind
    return same_kind and (known.assigned or known.letter == reading.match.letter)


def _came_at(mail: StoredMail, reading: Reading, letter: SentLetter | None) -> datetime:
    """Return when a reply came: as the mailbox says; of what was passed on, and where the mailbox does not
    say, as its Date says, if that can be.
    """
    came = mail.received_at or mail.fetched_at
    written = reading.written
    if written is None or (mail.received_at is not None and not reading.match.forwarded_by):
        return came
    sent = letter.sent if letter is not None else None
    return written if written <= came and (sent is None or written >= sent) else came
