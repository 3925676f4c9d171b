"""`campaign followup`: a second letter to whoever did not truly answer, in the thread of the first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose, level
from pipeline.cli.place import Place, Voice
from pipeline.errors import AlreadyRunning, Unusable

if TYPE_CHECKING:
    from pipeline.cli.folder import Checked
    from pipeline.delivery.compose import Composer
    from pipeline.store.database import Connection
    from pipeline.store.followups import Earlier
    from pipeline.store.world import World

LONGEST = timedelta(days=3_650)
MOST_TOLD = 50  # letters that cannot be written
BATCH = 500
SUPPRESSED, LEFT_LIST = "suppressed", "no longer in the list"
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("followup")(followup)


def followup(
    context: typer.Context,
    after: Annotated[
        str, typer.Option("--after", metavar="TIME", help="To letters sent so long ago: 14d, 3w, 36h.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say how many it would be; draft nothing.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows with errors, and list them.")
    ] = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Draft a second letter to those who did not answer. Sends nothing."""
    from pipeline.cli.telling import SCHEMA, counted, next_step, out, out_json

    place: Place = context.obj
    found = _Drafting(place, Voice(json, level(verbose, quiet)), _time(after), after, dry_run=dry_run)
    found.go(skip_bad=skip_bad)
    if json:
        numbers = {"drafted": found.drafted, "left_out": dict(sorted(found.left_out.items()))}
        out_json({"schema": SCHEMA, "world": str(place.world_name), "dry_run": dry_run} | numbers)
        return
    if quiet:
        return
    would = " would be" if dry_run else ""
    out(f"{counted(found.drafted, 'follow-up')}{would} drafted, to letters sent {after} ago or earlier")
    for why, number in sorted(found.left_out.items()):
        out(f"  {number} left out: {why}")
    if found.drafted and not dry_run:
        next_step("`campaign render` to read and approve them, then `campaign send`")
    else:
        next_step("`campaign status`")


def _time(after: str) -> timedelta:
    """Return how long ago. Raises Unusable."""
    found = re.fullmatch(r"([0-9]{1,5})\s*([hdw])", after.strip().lower())
    if found is None or not timedelta() < (long := int(found[1]) * _UNITS[found[2]]) <= LONGEST:
        raise Unusable(
            f"--after: {after} is no time", "14d, 3w or 36h: days, weeks or hours since the letter"
        )
    return long


def _subject(composer: Composer, earlier: Earlier) -> str:
    """Return what a letter's subject would be today, for one whose bytes are not kept."""
    import json

    from pipeline.delivery.compose import Draft
    from pipeline.letters.templates import TemplateFault
    from pipeline.letters.thread import read_thread

    thread = read_thread(earlier.thread)
    draft = Draft(
        json.loads(earlier.row), earlier.language, earlier.email, earlier.line, earlier.message_id, thread
    )
    try:
        return composer.render(draft).subject
    except TemplateFault as fault:
        raise Unusable(f"the subject of letter {earlier.id} is not known: {fault}") from None


@dataclass(slots=True)
class _Drafting:
    """One drafting of follow-ups; ``left_out`` are the letters that get none, by the reason."""

    place: Place
    voice: Voice
    long: timedelta
    after: str
    dry_run: bool
    drafted: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def go(self, *, skip_bad: bool) -> None:
        """Collect replies, check everything, draft; all or nothing."""
        from pipeline.cli.planning import checked_folder
        from pipeline.cli.preparing import prepare
        from pipeline.cli.suppressions import opened
        from pipeline.cli.unchanged import Found
        from pipeline.clock import to_us
        from pipeline.store import queue
        from pipeline.store.lock import RunLock
        from pipeline.store.written import learn

        place = self.place
        with opened(place) as world, RunLock(world.lock_path, since=place.local_now):
            with world.campaign.writing() as connection:
                queue.recover(connection, now_us=to_us(place.clock.now()))
            self._collect(world)
            learn(world.campaign)
            checked = checked_folder(place, self.voice, skip_bad=skip_bad)
            prepare(place, world, Found(checked.composer, checked))
            with world.campaign.writing() as connection:
                self._draft(world, checked, connection)
                if self.dry_run:
                    connection.rollback()

    def _collect(self, world: World) -> None:
        """Fetch what came back, so that nobody is written to who answered yesterday.

        Raises what kept the mailbox from being read.
        """
        from pipeline.cli.collecting import collect_replies
        from pipeline.cli.telling import err

        if self.place.settings.mailbox is None:
            if not self.voice.json:
                err("no [replies] mailbox is set: only answers that were fetched before are known")
            return
        with suppress(AlreadyRunning):  # somebody fetches at this moment
            brought = collect_replies(self.place, world)
            if brought.trouble is not None:
                raise brought.trouble

    def _draft(self, world: World, checked: Checked, connection: Connection) -> None:
        from pipeline.cli.preparing import bring_in_line
        from pipeline.clock import to_us
        from pipeline.delivery.plan import message_id_of
        from pipeline.letters.thread import Thread, read_thread
        from pipeline.store import followups

        settings, now = self.place.settings, self.place.clock.now()
        now_us = to_us(now)
        domain = settings.author.address.domain

        def follow() -> Iterator[tuple[Earlier, str, str]]:
            for earlier in self._due(world, connection, now):
                number = earlier.round + 1
                identity = (settings.key, number, earlier.signatory, earlier.recipient)
                before = read_thread(earlier.thread)
                ids = (*(before.message_ids if before else ()), earlier.message_id)
                sent = earlier.sent.astimezone(settings.timezone).date().isoformat()
                subject = earlier.subject or _subject(checked.composer, earlier)
                thread = Thread(number, ids, subject, sent)
                yield earlier, message_id_of(*identity, secret=world.secret, domain=domain), thread.text()

        self.drafted = followups.draft(connection, follow(), campaign=settings.key, now_us=now_us)
        if not self.drafted:
            return
        bring_in_line(self.place, world, checked, connection, now_us=now_us)  # today's rows
        followups.note(connection, self.drafted, after=self.after, now_us=now_us)
        self._refuse_unwritable(checked.composer, connection)

    def _due(self, world: World, connection: Connection, now: datetime) -> Iterator[Earlier]:
        """Yield the letters that a follow-up is due to; count the others."""
        from itertools import islice

        from pipeline.clock import to_us
        from pipeline.store import followups, shared

        key = self.place.settings.key
        back, seen = followups.came_back(connection, campaign=key), followups.last_seen(connection)
        sent = followups.latest_sent(connection, campaign=key, before_us=to_us(now - self.long))
        while batch := list(islice(sent, BATCH)):
            with world.common.reading() as common:
                secret = shared.shared_secret(common)
                barred = shared.suppressed(common, {one.recipient for one in batch}, secret)
            for earlier in batch:
                came = back.get((earlier.signatory, earlier.recipient))
                if came is not None:
                    self.left_out[came.word] += 1
                elif earlier.recipient in barred:
                    self.left_out[SUPPRESSED] += 1
                elif earlier.seen != seen:
                    self.left_out[LEFT_LIST] += 1
                else:
                    yield earlier

    def _refuse_unwritable(self, composer: Composer, connection: Connection) -> None:
        """Write every follow-up in memory. Raises Unusable where one cannot be written; nothing is drafted
        then."""
        from pipeline.delivery.letter import State
        from pipeline.delivery.parcel import Unfit
        from pipeline.store import queue

        missing: set[str] = set()
        wrong: list[str] = []
        last = 0
        while letters := queue.read_unpermitted(connection, behind=last, most=BATCH, states=(State.PLANNED,)):
            last = letters[-1].id
            for letter in letters:
                if not letter.thread:
                    continue
                if not composer.has_followup(letter.language):
                    missing.add(f"templates/followup.{letter.language}.md")
                    continue
                try:
                    composer(letter, False)
                except Unfit as fault:
                    wrong.append(f"{self.place.settings.recipients_file}:{letter.line}: {fault}")
        if missing:
            raise Unusable(
                f"there is no follow-up to draft: {', '.join(sorted(missing))} "
                f"{'does' if len(missing) == 1 else 'do'} not exist",
                "write it like a letter, +++ and subject first; {{ recipient.earlier_date | date }} is the "
                "day of the letter before, {{ recipient.earlier_subject }} its subject",
            )
        if wrong:
            more = [f"... and {len(wrong) - MOST_TOLD} more"] if len(wrong) > MOST_TOLD else []
            raise Unusable(
                "follow-ups cannot be written; nothing was drafted", "\n".join([*wrong[:MOST_TOLD], *more])
            )
