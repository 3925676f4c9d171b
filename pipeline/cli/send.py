"""`campaign send`: the main job. Every send is a resume."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import Json, Quiet, Verbose, level
from pipeline.cli.place import Place, Voice
from pipeline.errors import ExitCode, Unusable

if TYPE_CHECKING:
    from pipeline.cli.folder import Checked
    from pipeline.cli.sending import Summary, Wishes
    from pipeline.store.world import World


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("send")(send)


def send(
    context: typer.Context,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", "-n", help="Show who would get what, when, and why not; send nothing."),
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="Send at most N letters now.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="ADDR", help="Only to this address; may be given again."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="ME", help="Send marked test copies to yourself; nothing counts as sent."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; for cron and scripts.")] = False,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Stay until every letter is settled, whatever it has to wait for."),
    ] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Try deferred letters now, and a relay that was left alone.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows with errors, and list them.")
    ] = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Send what is not sent yet: each letter once, at the pace of campaign.toml."""
    from pipeline.cli.folder import check_folder, refuse_bad
    from pipeline.cli.sending import Wishes
    from pipeline.cli.telling import tell_problems

    place: Place = context.obj
    voice = Voice(json, level(verbose, quiet))
    keys = _keys(only)
    checked = check_folder(place.settings, clock=place.clock)
    refuse_bad(checked, skip_bad=skip_bad)
    if checked.problems and not voice.json and voice.level >= 0:
        tell_problems(checked.problems)
    if to is not None:
        from pipeline.cli.testcopy import send_test_copies

        raise typer.Exit(send_test_copies(place, checked, to, voice))
    wishes = Wishes("send", most=limit, only=keys, follow=follow, now=now)
    if dry_run:
        from pipeline.cli.dryrun import show_dry_run

        raise typer.Exit(show_dry_run(place, checked, wishes, voice))
    raise typer.Exit(send_campaign(place, checked, wishes, voice, yes=yes))


def send_campaign(place: Place, checked: Checked, wishes: Wishes, voice: Voice, *, yes: bool) -> int:
    """Lock, plan, ask, release, send, tell; return the exit code."""
    from pipeline.cli.sending import Sending, prepare, world_words
    from pipeline.cli.suppressions import opened
    from pipeline.cli.telling import moment, out
    from pipeline.cli.watching import watched
    from pipeline.clock import to_us
    from pipeline.store import queue
    from pipeline.store.lock import RunLock
    from pipeline.store.world import WorldName

    with opened(place) as world, RunLock(world.lock_path, since=moment(place.clock.now())):
        prepare(place, world, checked)
        _refuse_unknown(place, world, wishes)
        with world.campaign.reading() as connection:
            planned, queued = queue.count_waiting(connection, only=wishes.only)
        releasing = planned if wishes.most is None else min(planned, max(0, wishes.most - queued))
        if world.name is WorldName.REAL and releasing:
            _confirm(place, checked, wishes, releasing, queued, yes=yes, voice=voice)
        with world.campaign.writing() as connection:
            queue.release(connection, now_us=to_us(place.clock.now()), most=releasing, only=wishes.only)
        sending = Sending(place, world, checked, wishes, told=_teller(voice))
        if voice.chatty and not voice.json:
            out(f"{checked.settings.name}: sending through {world_words(world)}")
        with watched(sending.progress, voice):
            summary = sending.go()
        _tell(summary, world, place, voice)
        return int(summary.exit_code)


def _keys(only: list[str] | None) -> list[str] | None:
    from pipeline.mail.address import AddressFault, address_key

    if not only:
        return None
    try:
        return [address_key(text) for text in only]
    except AddressFault as fault:
        raise Unusable(f"--only: {fault}", "give the address as it stands in the list") from None


def _refuse_unknown(place: Place, world: World, wishes: Wishes) -> None:
    from pipeline.store import history

    with world.campaign.reading() as connection:
        for key in wishes.only or ():
            if not history.find_letters(connection, key, key):
                raise Unusable(f"--only: nobody in {place.settings.recipients_file} has the address {key}")


def _confirm(
    place: Place, checked: Checked, wishes: Wishes, releasing: int, queued: int, *, yes: bool, voice: Voice
) -> None:
    """Show what is about to leave, and have the number typed; `--yes` stands for it."""
    if yes:
        return
    if voice.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Unusable(
            f"{releasing} letters would leave this machine, and nobody is here to confirm it",
            "look at `campaign send --dry-run`, then say `campaign send --yes`",
        )
    from pipeline.cli.forecast import ends_at
    from pipeline.cli.sending import effective_limits, show_limits
    from pipeline.cli.telling import err, table

    settings = checked.settings
    limits = effective_limits(place)
    per_language = _languages(checked, wishes)
    end = ends_at(releasing + queued, limits, place.clock.now()).astimezone(settings.timezone)
    rows = [
        ("From", f"{settings.author.name} <{settings.author.address.wire}>"),
        ("Relay", settings.relay.name),
        (
            "Letters",
            f"{releasing} new" + (f", {queued} queued before" if queued else "") + f" ({per_language})",
        ),
        ("Pace", show_limits(limits)),
        ("Done", f"about {end:%Y-%m-%d %H:%M %Z}, if the relay keeps up and hours allow"),
    ]
    for line in table(rows):
        err(line)
    typed = typer.prompt(f"Type {releasing} to send", default="", show_default=False, err=True)
    if typed.strip() != str(releasing):
        raise Unusable(
            "not confirmed; nothing was sent", "the letters are still planned; `campaign send` asks again"
        )


def _languages(checked: Checked, wishes: Wishes) -> str:
    from collections import Counter

    chosen = [r for r in checked.ready if wishes.only is None or r.address.key in wishes.only]
    counts = Counter(recipient.language for recipient in chosen)
    return ", ".join(f"{language} {number}" for language, number in sorted(counts.items()))


def _teller(voice: Voice) -> Any:
    """Return what is told of every result: a JSON line, or with -v a line of words."""
    from pipeline.cli.telling import err, moment, out_json

    def as_json(parcel: Any, result: Any) -> None:
        answer = result.response
        out_json(
            {
                "type": "letter",
                "letter": parcel.letter.id,
                "to": parcel.letter.email,
                "message_id": parcel.letter.message_id,
                "attempt": result.attempt,
                "state": str(result.state),
                "verdict": result.verdict,
                "phase": str(result.phase),
                "code": answer.code if answer else None,
                "enhanced": answer.enhanced if answer else None,
                "text": answer.text if answer else result.note,
                "due_at": moment(result.due_at) if result.due_at else None,
            }
        )

    def as_words(parcel: Any, result: Any) -> None:
        err(f"{parcel.letter.email}: {result.verdict}: {result.response or result.note}")

    if voice.json:
        return as_json
    return as_words if voice.level > 0 else None


def _tell(summary: Summary, world: World, place: Place, voice: Voice) -> None:
    """Say what the run did; off a terminal only what a person has to know."""
    from pipeline.cli.summing import summary_lines, trouble_lines
    from pipeline.cli.telling import err, next_step, out, out_json

    if voice.json:
        out_json(summary.document())
        return
    for line in trouble_lines(summary, place):
        err(line)
    if voice.chatty:
        for line in summary_lines(summary, world):
            out(line)
        next_step(_next(summary))


def _next(summary: Summary) -> str:
    from pipeline.delivery.letter import State

    if summary.counts.by_state[State.IN_DOUBT]:
        return "`campaign resolve` to settle the letters in doubt"
    if summary.exit_code is ExitCode.RELAY_REFUSED:
        return "mend what the relay complains about, then `campaign send`"
    if summary.remaining:
        return "`campaign send` again later, or let cron do it: `campaign run --print-cron`"
    return "`campaign status`"
