"""`campaign status`: where the campaign stands, and what to do next."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose, level
from pipeline.cli.place import Place, Voice
from pipeline.errors import Unusable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.report.figures import Back, Note, Standing
    from pipeline.report.replies import Asked
    from pipeline.store.history import Counts
    from pipeline.store.replies import AskedLine
    from pipeline.store.world import World

BAR = 30
LOOK_AGAIN_S = 2
LISTED = 10


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(
    context: typer.Context,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Look again every two seconds, until Ctrl-C.")
    ] = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Show letters by state, and what needs a person."""
    voice = Voice(json, level(verbose, quiet))
    if watch:
        _watch(context.obj, voice)
        return
    show_status(context.obj, voice)


def show_status(place: Place, voice: Voice) -> None:
    """Show it once."""
    from pipeline.cli.telling import next_step, out, out_json

    standing = read_standing(place)
    if voice.json:
        out_json(standing.document())
        return
    for line in status_lines(standing, place):
        out(line)
    next_step(standing.next_step)


def _watch(place: Place, voice: Voice) -> None:
    """Show it again and again until Ctrl-C."""
    import asyncio

    from pipeline.cli.telling import lively

    if voice.json or not lively(sys.stdout):
        raise Unusable("--watch draws on a terminal", "without it, `campaign status` says the same once")
    with suppress(KeyboardInterrupt):
        asyncio.run(_draw(place))


async def _draw(place: Place) -> None:
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False) as live:
        while True:
            live.update(Text("\n".join(status_lines(read_standing(place), place))), refresh=True)
            await place.clock.sleep(LOOK_AGAIN_S)


def read_standing(place: Place) -> Standing:
    """Read where the campaign stands."""
    from pipeline.clock import from_us, to_us
    from pipeline.report.figures import Back, Standing
    from pipeline.report.replies import reply_figures
    from pipeline.store import history, hosts, recording, replies
    from pipeline.store.lock import is_held

    world = place.open_world()
    try:
        now_us = to_us(place.clock.now())
        with world.campaign.reading() as connection:
            counts = history.counts(connection, now_us=now_us)
            due = history.next_due(connection)
            tally = replies.tally(connection)
            recorded = recording.how_many(connection)
            asked = replies.asked(connection) if tally.kinds else []
            lines = hosts.host_lines(connection, now_us=now_us) if world.several else []
        return Standing(
            campaign=place.settings.name,
            world=str(world.name),
            letters=counts.by_state,
            deferred=counts.deferred,
            replies=tally.kinds,
            next_due=from_us(due) if due is not None else None,
            notes=_notes(place, world, counts),
            running=is_held(world.lock_path) or any(line.alive for line in lines),
            recorded=recorded,
            back=Back(
                tally.unmatched,
                tally.review,
                tally.bounced,
                reply_figures(_asked(asked), place.clock.now()) if asked else None,
            ),
            hosts=lines,
        )
    finally:
        world.close()


def _asked(lines: Iterable[AskedLine]) -> Iterator[Asked]:
    """Yield letters for the figures."""
    from pipeline.clock import from_us
    from pipeline.report.replies import Asked

    for alike, sent, answered, acknowledged, ended in lines:
        yield Asked(
            from_us(sent),
            from_us(answered) if answered is not None else None,
            from_us(acknowledged) if acknowledged is not None else None,
            from_us(ended) if ended is not None else None,
            alike,
        )


def _notes(place: Place, world: World, counts: Counts) -> list[Note]:
    from pipeline.cli.closed import closed_offices
    from pipeline.cli.telling import counted
    from pipeline.clock import from_us, to_us
    from pipeline.delivery.letter import State
    from pipeline.report.figures import Note
    from pipeline.store import history, hosts, ledger
    from pipeline.store.database import sync_folder
    from pipeline.store.lock import is_held
    from pipeline.store.operator import read_meta
    from pipeline.store.world import why_not_here

    notes = []
    with world.campaign.reading() as connection:
        paused = read_meta(connection, "paused")
        doubts = history.letters_in(connection, [State.IN_DOUBT], most=LISTED)
        failed = history.letters_in(connection, [State.FAILED], most=LISTED)
        if world.several:
            left = hosts.left_by_the_dead(connection, now_us=to_us(place.clock.now()))
        else:
            left = 0 if is_held(world.lock_path) else history.open_attempts(connection)
        unread = read_meta(connection, "mailbox_trouble")
    if unread:
        notes.append(Note("mailbox", f"replies were not fetched: {unread}", "`campaign replies fetch`"))
    if paused:
        notes.append(Note("paused", f"all sending is paused: {paused}", "`campaign resume` lets it go on"))
    if left:
        notes.append(
            Note(
                "died",
                f"a run ended without a word while {counted(left, 'letter')} may have been on the way",
                "`campaign resolve` lists what is in doubt",
            )
        )
    if why := why_not_here(world):
        notes.append(
            Note("place", f"this store may not be the one in use: {why}", "`campaign resume` if it is")
        )
    account = place.settings.relay.account
    with world.common.reading() as connection:
        held = ledger.held(connection, [account], now_us=to_us(place.clock.now()))
    if account in held:
        until, why = held[account]
        opens = from_us(until).astimezone(place.settings.timezone)
        notes.append(Note("held", f"the relay is left alone until {opens:%H:%M %Z}: {why}"))
    notes += _approval_notes(place, world)
    notes += [
        Note("in_doubt", f"in doubt: {line.email} ({line.message_id})", "`campaign resolve`")
        for line in doubts
    ]
    notes += [Note("failed", f"failed: {line.email}: {line.why}") for line in failed]
    for state, listed in ((State.IN_DOUBT, doubts), (State.FAILED, failed)):
        if more := counts.by_state[state] - len(listed):
            notes.append(Note(str(state), f"{str(state).replace('_', ' ')}: and {more} more"))
    if counts.by_state[State.QUEUED] > counts.deferred and (closed := closed_offices(place, world)):
        notes.append(closed)
    notes += _notices_notes(place, world)
    if name := sync_folder(world.campaign.path):
        notes.append(
            Note(
                "sync",
                f"the store lies in a folder that {name} copies about",
                "keep campaigns outside such folders",
            )
        )
    return notes


def _approval_notes(place: Place, world: World) -> list[Note]:
    """Return who approved the letters, and what waits for it."""
    from pipeline.cli.withheld import withheld_words
    from pipeline.report.figures import Note
    from pipeline.store import approvals

    with world.campaign.reading() as connection:
        found = approvals.count_withheld(connection)
        latest = approvals.standing(connection)
    notes = [Note("approval", text) for text in withheld_words(found)]
    if latest is not None:
        at = latest.at.astimezone(place.settings.timezone)
        notes.insert(
            0, Note("approved", f"{latest.letters} letters approved by {latest.by}, {at:%Y-%m-%d %H:%M %Z}")
        )
    return notes


def _notices_notes(place: Place, world: World) -> list[Note]:
    """Return what is to be known of replies that could not be passed on."""
    from pipeline.report.figures import Note
    from pipeline.store import notices

    if not notices.have_notices(world):
        return []
    store = notices.open_notices(world, clock=place.clock)
    try:
        with store.campaign.reading() as connection:
            lines = notices.troubles(connection)
    finally:
        store.campaign.close()
    hint = "`campaign replies list` shows what came"
    return [
        Note("notice", f"a reply was not surely passed on to {line.email}: {line.why}", hint)
        for line in lines[:LISTED]
    ]


def status_lines(standing: Standing, place: Place) -> list[str]:
    """Return the words of `status`."""
    from pipeline.cli.pacing import relay_words
    from pipeline.cli.telling import table
    from pipeline.delivery.letter import State
    from pipeline.problem import visible

    sandbox = standing.world == "sandbox"
    lines = [f"{standing.campaign}  ({relay_words(place.settings.relay)})"]
    if standing.running:
        lines.append("a run is at work now")
    words = {
        State.PLANNED: "planned, not released yet",
        State.QUEUED: "queued" + (f", {standing.deferred} of them due later" if standing.deferred else ""),
        State.SENT: f"sent: {'filed in the outbox' if sandbox else 'accepted by the relay'}"
        + (f", {standing.recorded} of them by supporters themselves" if standing.recorded else ""),
        State.FAILED: "failed",
        State.IN_DOUBT: "in doubt",
        State.SUPPRESSED: "suppressed",
        State.CANCELLED: "cancelled",
        State.EXPIRED: "expired",
    }
    rows = [
        (f"{number:>8}", _bar(number, standing.total), words[state])
        for state, number in standing.letters.items()
        if number
    ]
    rows.append((f"{standing.total:>8}", "", f"letter{'' if standing.total == 1 else 's'} in all"))
    lines += table(rows)
    if standing.replies:
        lines.append("replies: " + ", ".join(f"{number} {kind}" for kind, number in standing.replies.items()))
        lines += _back_lines(standing.back)
    if standing.next_due is not None and standing.next_due > place.clock.now():
        lines.append(f"next due: {standing.next_due.astimezone(place.settings.timezone):%Y-%m-%d %H:%M %Z}")
    lines += _host_lines(standing, place)
    for note in standing.notes:
        lines.append(f"! {visible(note.message)}" + (f"\n  {note.hint}" if note.hint else ""))
    return lines


def _host_lines(standing: Standing, place: Place) -> list[str]:
    """Return which hosts send, what each has in hand, and when it was last seen."""
    from pipeline.cli.telling import counted
    from pipeline.problem import visible

    lines = []
    for host in standing.hosts:
        ago = max(0, int((place.clock.now() - host.seen_at).total_seconds()))
        seen = f"seen {ago} s ago" if ago < 120 else f"seen {ago // 60} min ago"
        held = f"{counted(host.letters, 'letter')} in {host.batches} batch{'' if host.batches == 1 else 'es'}"
        if host.alive:
            words = f"{held} in hand, {host.open} on the way; {seen}"
        elif host.ended:
            words = f"has ended; {seen}"
        elif host.batches or host.open:
            words = f"taken for dead, {seen}; others take over its {held}"
        else:
            words = f"taken for dead, {seen}; its letters went to others"
        lines.append(f"host {visible(host.name)} (pid {host.pid}): {words}")
    return lines


def _back_lines(back: Back) -> list[str]:
    """Return what came back in figures, and what they do not say."""
    from pipeline.report.replies import Outcome

    lines = []
    found = back.figures
    if found is not None:
        days = f"{found.window.days} days"
        words = {
            Outcome.ANSWERED: "answered",
            Outcome.ACKNOWLEDGED: "acknowledged by a program only",
            Outcome.WAITING: f"still waiting, sent less than {days} ago",
            Outcome.SILENT: f"silent for {days} or more",
            Outcome.UNDELIVERABLE: "bounced or opted out",
        }
        parts = [f"{number} {words[kind]}" for kind, number in found.counts.items() if number]
        lines.append(f"of {found.letters} sent: {', '.join(parts)}")
        if found.share is not None:
            share = found.share
            lines.append(
                f"answered within {days}: {share.value:.0%} of {share.of}"
                f" (95 % interval {share.low:.0%} to {share.high:.0%})"
            )
        if found.median is not None:
            median = found.median
            most = f"{median.high:.1f}" if median.high is not None else "not known yet"
            lines.append(
                f"median time to a first answer: {median.days:.1f} days"
                f" (95 % interval {median.low:.1f} to {most})"
            )
        lines += [f"  {note}" for note in found.notes]
    if back.unmatched:
        lines.append(f"{back.unmatched} without a letter: `campaign replies list --unmatched`")
    if back.review:
        lines.append(f"{back.review} for a person to look at: `campaign replies list --review`")
    return lines


def _bar(number: int, total: int) -> str:
    filled = max(round(BAR * number / total), 1)
    return "█" * filled + "·" * (BAR - filled)
