"""`campaign send`: the main job. Every send is a resume."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import JsonLines, Quiet, Verbose, level
from pipeline.cli.place import Place, Voice
from pipeline.errors import CampaignError, ExitCode, Unusable

if TYPE_CHECKING:
    from pipeline.cli.folder import Checked
    from pipeline.cli.sending import Wishes
    from pipeline.cli.summing import Summary
    from pipeline.cli.unchanged import Found
    from pipeline.delivery.parcel import Compose
    from pipeline.store.world import World

MOST_PROCESSES = 8


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
        typer.Option("--only", metavar="ADDR", help="Only to, or of, this address; may be given again."),
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
        typer.Option(
            "--follow", help="Stay until every letter is settled: wait for quotas, hours and later tries."
        ),
    ] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Try deferred letters now, and a relay that was left alone.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows with errors, and list them.")
    ] = False,
    processes: Annotated[
        int,
        typer.Option(
            "--processes",
            min=1,
            max=MOST_PROCESSES,
            metavar="N",
            help="Send with N processes, which share relay.connections; with --limit or --only it is one.",
        ),
    ] = 1,
    json: JsonLines = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Send what is not sent yet, each letter once. Every send goes on where the last one stopped."""

    place: Place = context.obj
    voice = Voice(json, level(verbose, quiet))
    single = to is not None or dry_run  # one JSON document, else lines that end with a summary
    try:
        code = _send(
            place,
            voice,
            limit=limit,
            only=only,
            to=to,
            dry_run=dry_run,
            yes=yes,
            follow=follow,
            now=now,
            skip_bad=skip_bad,
            processes=processes,
        )
    except CampaignError as error:
        if not voice.json or single:
            raise
        from pipeline.cli.summing import tell_refusal_as_json

        code = int(error.exit_code)
        tell_refusal_as_json(error, place, exit_code=code)
    raise typer.Exit(code)


def _send(
    place: Place,
    voice: Voice,
    *,
    limit: int | None,
    only: list[str] | None,
    to: str | None,
    dry_run: bool,
    yes: bool,
    follow: bool,
    now: bool,
    skip_bad: bool,
    processes: int,
) -> int:
    """Do what the options ask for; return the exit code."""
    from pipeline.cli.folder import check_folder, refuse_bad
    from pipeline.cli.preparing import turns_taken
    from pipeline.cli.reading import reading_shown
    from pipeline.cli.sending import Wishes
    from pipeline.cli.telling import tell_problems
    from pipeline.problem import errors

    def check() -> Checked:
        with reading_shown(voice) as progress:
            checked = check_folder(
                place.settings, clock=place.clock, progress=progress, turns=turns_taken(place)
            )
        refuse_bad(checked, skip_bad=skip_bad)
        if not voice.json:
            tell_problems(checked.problems if voice.chatty else errors(checked.problems))
        return checked

    wishes = Wishes("send", most=limit, only=_keys(only), follow=follow, now=now, processes=processes)
    if to is not None:
        from pipeline.cli.testcopy import send_test_copies

        return send_test_copies(place, check(), to, voice)
    if dry_run:
        from pipeline.cli.dryrun import show_dry_run

        return show_dry_run(place, check(), wishes, voice)
    return send_campaign(place, check, wishes, voice, yes=yes)


def send_campaign(
    place: Place, check: Callable[[], Checked], wishes: Wishes, voice: Voice, *, yes: bool
) -> int:
    """Check, lock, plan, ask, release, send, tell; return the exit code."""
    from pipeline.cli import gate, withheld
    from pipeline.cli.pacing import relay_words
    from pipeline.cli.preparing import prepare
    from pipeline.cli.sending import Sending, is_paused
    from pipeline.cli.suppressions import opened
    from pipeline.cli.telling import out
    from pipeline.cli.unchanged import look, look_again
    from pipeline.cli.watching import watched
    from pipeline.store.lock import RunLock
    from pipeline.store.notices import have_notices

    found = None if place.has_store else look(place, None, check)  # bad data makes no store
    with opened(place) as world:
        found = found or look(place, world, check)
        with RunLock(world.lock_path, since=place.local_now):
            found = look_again(place, world, found, check)
            prepare(place, world, found)
            _refuse_unknown(place, world, wishes)
            compose: Compose = found.composer
            if gate.keep_back(place, world, found.composer, verify=True):
                compose = gate.approved_composer(place, world, found.composer)
                withheld.refuse_unapproved(place, world)
            withheld.tell_withheld(place, world, voice)
            if not is_paused(world):
                _release(place, world, found, check, wishes, voice, yes=yes)
            sending = Sending(place, world, compose, wishes, told=_teller(voice))
            if voice.chatty and not voice.json:
                out(f"{place.settings.name}: sending through {relay_words(place.settings.relay)}")
            summary = sending.go(watched(sending.progress, voice, place.clock))
            _tell(summary, world, voice)
            if not (place.settings.forward_to or have_notices(world)):
                return int(summary.exit_code)
            from pipeline.cli.forwarding import forward_replies  # all that is known of replies: slow to load

            return forward_replies(place, world, found.composer, summary, voice) or int(summary.exit_code)


def _release(
    place: Place,
    world: World,
    found: Found,
    check: Callable[[], Checked],
    wishes: Wishes,
    voice: Voice,
    *,
    yes: bool,
) -> None:
    """Queue what is planned; in the real world after the number was typed, or `--yes` said."""
    from pipeline.clock import to_us
    from pipeline.store import queue
    from pipeline.store.world import WorldName

    now_us = to_us(place.clock.now())
    with world.campaign.reading() as connection:
        planned, queued = queue.count_waiting(connection, only=wishes.only)
        first = queued if wishes.now else queue.count_due(connection, now_us=now_us, only=wishes.only)
    releasing = planned if wishes.most is None else min(planned, max(0, wishes.most - first))
    if not releasing:
        return
    if world.name is WorldName.REAL and not yes:
        from pipeline.cli.confirming import confirm

        confirm(place, world, found.checked or check(), wishes, voice)
    with world.campaign.writing() as connection:
        queue.release(connection, now_us=now_us, most=releasing, only=wishes.only)


def _keys(only: list[str] | None) -> list[str] | None:
    from pipeline.mail.address import AddressFault, address_key
    from pipeline.recipients.signatories import is_label

    if not only:
        return None
    try:
        return [text.casefold() if is_label(text.casefold()) else address_key(text) for text in only]
    except AddressFault as fault:
        raise Unusable(f"--only: {fault}", "give the address as it stands in the list") from None


def _refuse_unknown(place: Place, world: World, wishes: Wishes) -> None:
    from pipeline.cli.deciding import joint_words
    from pipeline.store import history, joint

    with world.campaign.reading() as connection:
        for key in wishes.only or ():
            found = {line.id for line in history.find_letters(connection, key, key)}
            if not found - joint.signed_by(connection, key).keys():
                hint = joint_words(connection, key) or "`campaign send` plans letters"
                raise Unusable(f"--only: there is no letter to or of {key}", hint)


def _teller(voice: Voice) -> Any:
    """Return what is told of every result: a JSON line, or with -v a line of words."""
    from pipeline.cli.telling import err, moment, out_json
    from pipeline.problem import visible

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
        signed = parcel.letter.values.get("signatory.name", "")
        by = f" of {signed}" if signed else ""
        err(visible(f"{parcel.letter.email}{by}: {result.verdict}: {result.response or result.note}"))

    if voice.json:
        return as_json
    return as_words if voice.level > 0 else None


def _tell(summary: Summary, world: World, voice: Voice) -> None:
    """Say what the run did; off a terminal only what a person has to know."""
    from pipeline.cli.summing import summary_lines, tell_as_json, tell_trouble
    from pipeline.cli.telling import next_step, out

    if voice.json:
        tell_as_json(summary, int(summary.exit_code))
        return
    tell_trouble(summary)
    if voice.chatty:
        for line in summary_lines(summary, world):
            out(line)
        next_step(_next(summary, world))


def _next(summary: Summary, world: World) -> str:
    from pipeline.store.world import WorldName

    if summary.in_doubt:
        return "`campaign resolve` to settle the letters in doubt"
    if summary.exit_code is ExitCode.RELAY_REFUSED:
        return "mend what the relay complains about, then `campaign send`"
    if summary.remaining:
        return "`campaign send` again later, or let cron do it: `campaign run --print-cron`"
    if summary.progress.sent and world.name is WorldName.SANDBOX:
        return f"read them, say with `mutt -f {world.outbox}`; to send for real, set relay.url"
    return "`campaign status`"
