"""Replies passed on to the organisers: notices queued and sent, behind the letters of a run.

They go the way of letters - same queue, same fence, same session - through a store of their own
(`pipeline.store.notices`). The relay's pace and quotas hold for them; office hours, caps per recipient and
the campaign's end do not, for they go to ourselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pipeline.cli.place import Place, Voice
from pipeline.cli.sending import Begun, Sending, Wishes, is_paused
from pipeline.cli.summing import Summary
from pipeline.cli.telling import counted, out
from pipeline.clock import to_us
from pipeline.config import Forward
from pipeline.delivery.compose import Composer
from pipeline.delivery.letter import Letter
from pipeline.delivery.parcel import Composed, Packing, Unfit
from pipeline.delivery.relay import Relay
from pipeline.delivery.rules import Rules
from pipeline.errors import ExitCode
from pipeline.letters.message import MessageFault
from pipeline.mail.identity import letter_token
from pipeline.replies.notice import MOST_ATTACHED, Passed, goes_to, notice
from pipeline.store import notices, queue, replies
from pipeline.store.operator import read_meta, write_meta
from pipeline.store.world import World

PLAIN_PATH = "notices_return_path"  # meta: the relay refused the null return path
MOST_TOGETHER = 100  # replies in one digest; the next ones are in another
STOPPING = frozenset({ExitCode.INTERRUPTED, ExitCode.RELAY_REFUSED, ExitCode.STORE_UNWRITABLE})


def forward_replies(place: Place, world: World, composer: Composer, letters: Summary, voice: Voice) -> int:
    """Queue and send the notices that are due, after the letters of a run, whose lock is held.

    Return the exit code that this asks for: 130 where it was interrupted, else 0; what could not be passed on
    is told by `status`, what was passed on where there is somebody to listen.
    """
    stopped = letters.stop is not None and letters.stop.exit_code in STOPPING
    if stopped or is_paused(world) or not (place.settings.forward_to or notices.have_notices(world)):
        return 0
    with world.campaign.reading() as connection:
        found = notices.forwardable(connection)
    if not found and not notices.have_notices(world):
        return 0
    store = notices.open_notices(world, clock=place.clock)
    try:
        _queue(place, store, found)
        summary = _NoticeSending(place, world, store, composer).go()
        if _null_path_refused(summary, store):
            with store.campaign.writing() as connection:
                write_meta(connection, PLAIN_PATH, "plain")
            summary = _NoticeSending(place, world, store, composer).go()
        if summary.progress.sent and voice.chatty and not voice.json:
            out(f"{counted(summary.progress.sent, 'notice')} of replies passed on")
        interrupted = summary.stop is not None and summary.stop.exit_code is ExitCode.INTERRUPTED
        return int(ExitCode.INTERRUPTED) if interrupted else 0
    finally:
        store.campaign.close()


def _queue(place: Place, store: World, found: list[notices.Forwardable]) -> None:
    """Queue a notice of every reply that is in none yet, for each address."""
    from pipeline.cli.collecting import ourselves

    settings = place.settings
    ours = ourselves(settings, store).addresses
    now_us = to_us(place.clock.now())
    with store.campaign.writing() as connection:
        queue.recover(connection, now_us=now_us)
        for to in settings.forward_to:
            had = notices.passed_on(connection, to.address.key)
            new = [
                one
                for one in found
                if one.sha256 not in had
                and to in goes_to(one.address, one.forwarded_by, settings.forward_to, ours)
            ]
            for some in parts_of(new, most=MOST_TOGETHER if settings.forward is Forward.DIGEST else 1):
                notices.queue_notice(
                    connection,
                    [one.sha256 for one in some],
                    to,
                    domain=settings.author.address.domain,
                    secret=store.secret,
                    now_us=now_us,
                )


def parts_of(found: Sequence[notices.Forwardable], *, most: int) -> Iterator[list[notices.Forwardable]]:
    """Yield replies in the parts that go out together, in their order.

    A part has ``most`` replies at most, and no more octets than a notice can carry, but for a single one.
    """
    part: list[notices.Forwardable] = []
    octets = 0
    for one in found:
        if part and (len(part) >= most or octets + one.size > MOST_ATTACHED):
            yield part
            part, octets = [], 0
        part.append(one)
        octets += one.size
    if part:
        yield part


def _null_path_refused(summary: Summary, store: World) -> bool:
    """Say whether the relay took no mail from the null return path, which some do not (RFC 5321 4.5.5)."""
    if summary.stop is None or summary.stop.exit_code is not ExitCode.RELAY_REFUSED:
        return False
    with store.campaign.reading() as connection:
        return not read_meta(connection, PLAIN_PATH)


class _NoticeSending(Sending):
    """A run of sending over the notices' store."""

    def __init__(self, place: Place, world: World, store: World, composer: Composer) -> None:
        super().__init__(place, store, composer, Wishes("notices"))
        self._letters = world
        with store.campaign.reading() as connection:
            self._plain_path = bool(read_meta(connection, PLAIN_PATH))

    def _rules(self, begun: Begun, sessions: int) -> Rules:
        own = replace(begun.limits, per_recipient=None, hours=None)
        return replace(super()._rules(replace(begun, limits=own), sessions), expires=None)

    def _packing(self, relay: Relay) -> Packing:
        path = self._place.settings.author.address.wire if self._plain_path else ""
        return Packing(
            compose=self._compose,
            return_path=lambda letter: path,
            envelope_id=lambda letter: letter_token(letter.id, self._world.secret),
        )

    def _compose(self, letter: Letter, eightbit: bool) -> Composed:
        now = letter.built_at or self._place.clock.now()
        if letter.content is not None:
            return Composed(letter.content, now)
        settings = self._place.settings
        found = self._passed(notices.mails_of(letter.values))
        to = next((one for one in settings.forward_to if one.address.key == letter.recipient_key), None)
        if not found or to is None:
            raise Unfit("there is nothing to pass on any more" if not found else "it is forwarded no longer")
        try:
            content = notice(
                found,
                campaign=settings.name,
                author=settings.author,
                to=to,
                message_id=letter.message_id,
                now=now.astimezone(settings.timezone),
            )
        except MessageFault as fault:
            raise Unfit(f"it cannot be written: {fault}") from None
        return Composed(content, now)

    def _passed(self, found: list[str]) -> list[Passed]:
        out = []
        with self._letters.campaign.reading() as connection:
            for number, raw in notices.replies_of(connection, found):
                line = replies.one(connection, number)
                if line is not None:
                    out.append(
                        Passed(
                            number,
                            line.name,
                            line.address,
                            line.subject,
                            line.text,
                            line.received_at.astimezone(self._place.settings.timezone),
                            raw,
                            line.forwarded_by,
                            line.letter,
                            line.to,
                            line.review,
                        )
                    )
        return out
