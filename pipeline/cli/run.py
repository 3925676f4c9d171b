"""`campaign run`: the cron-scheduled run. Silent unless something needs a person.

What needs a person is told on stderr, which cron mails; what stays as it is (a doubt, new letters that nobody
has released) is told once, then only in `status`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import JsonLines, Quiet, Verbose, level
from pipeline.cli.place import Place, Voice
from pipeline.errors import AlreadyRunning, CampaignError, ExitCode

if TYPE_CHECKING:
    from pipeline.cli.collecting import Brought
    from pipeline.cli.summing import Summary
    from pipeline.delivery.parcel import Compose
    from pipeline.store.world import World


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    context: typer.Context,
    print_cron: Annotated[
        bool, typer.Option("--print-cron", help="Print a crontab line and a systemd timer for this campaign.")
    ] = False,
    json: JsonLines = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Collect replies, send what is queued and due. For cron: silent unless something needs a person."""
    place: Place = context.obj
    voice = Voice(json, level(verbose, quiet))
    if print_cron:
        from pipeline.cli.schedule import print_schedule

        print_schedule(place, voice)
        return
    try:
        code = run_campaign(place, voice)
    except CampaignError as error:
        busy = isinstance(error, AlreadyRunning)
        if voice.json:
            from pipeline.cli.summing import tell_refusal_as_json

            tell_refusal_as_json(error, place, exit_code=ExitCode.DONE if busy else error.exit_code)
        elif not busy:
            raise
        elif voice.level > 0:
            from pipeline.cli.telling import tell_error

            tell_error(error)
        code = int(ExitCode.DONE if busy else error.exit_code)
    raise typer.Exit(code)


def run_campaign(place: Place, voice: Voice) -> int:
    """Do one scheduled run; return the exit code.

    Replies come first, so that an opt-out holds for the letters of this very run; whatever becomes of them,
    letters are sent.
    """
    from pipeline.cli import gate
    from pipeline.cli.collecting import collect_replies
    from pipeline.cli.folder import Checked, check_folder, refuse_bad
    from pipeline.cli.forwarding import forward_replies
    from pipeline.cli.preparing import prepare, turns_taken
    from pipeline.cli.sending import Sending, Wishes
    from pipeline.cli.suppressions import opened
    from pipeline.cli.unchanged import look
    from pipeline.clock import to_us
    from pipeline.store import queue
    from pipeline.store.lock import RunLock

    def check() -> Checked:
        checked = check_folder(place.settings, clock=place.clock, turns=turns_taken(place))
        refuse_bad(checked, skip_bad=False)
        return checked

    with opened(place) as world, RunLock(world.lock_path, since=place.local_now):
        if place.settings.mailbox is not None:
            with world.campaign.writing() as connection:
                queue.recover(connection, now_us=to_us(place.clock.now()))
            with suppress(AlreadyRunning):  # somebody fetches at this moment: then nobody need
                _tell_replies(collect_replies(place, world), place, world, voice)
        found = look(place, world, check)
        prepare(place, world, found)
        compose: Compose = found.composer
        if gate.keep_back(place, world, found.composer, verify=False):
            compose = gate.approved_composer(place, world, found.composer)
        if place.settings.auto_release:
            with world.campaign.writing() as connection:
                queue.release(connection, now_us=to_us(place.clock.now()))
        summary = Sending(place, world, compose, Wishes("run")).go()
        code = _tell(place, summary, world, voice)
        return forward_replies(place, world, found.composer, summary, voice) or code


def _tell_replies(brought: Brought, place: Place, world: World, voice: Voice) -> None:
    """Say what needs a person of what came back, each thing once."""
    from pipeline.cli.telling import counted, err, out_json, tell_error
    from pipeline.replies.kinds import Kind

    notes = []
    trouble = brought.trouble
    if (
        _changed(world, "told_mailbox", trouble.message if trouble is not None else "")
        and trouble is not None
    ):
        if voice.json:
            notes.append(f"replies: {trouble.message}")
        else:
            tell_error(trouble)
    answers = brought.kinds[Kind.HUMAN]
    if answers and not place.settings.forward_to:
        notes.append(f"{counted(answers, 'answer')} came: `campaign replies list --kind human`")
    if brought.review:
        notes.append(f"{brought.review} to be looked at: `campaign replies list --review`")
    for note in notes:
        if voice.json:
            out_json({"type": "note", "message": note})
        else:
            err(note)


def _changed(world: World, name: str, value: str) -> bool:
    """Remember what was told; say whether it was something else."""
    from pipeline.store.operator import read_meta, write_meta

    with world.campaign.writing() as connection:
        before = read_meta(connection, name)
        if before != value:
            write_meta(connection, name, value)
        return before != value


def _tell(place: Place, summary: Summary, world: World, voice: Voice) -> int:
    """Say what needs a person, each thing once; return the exit code of a scheduled run."""
    from pipeline.cli.summing import doubt_words, summary_lines, tell_as_json, tell_stop, tell_unrecorded
    from pipeline.cli.telling import counted, err, out
    from pipeline.cli.withheld import counts_of, tell_withheld
    from pipeline.delivery.letter import State
    from pipeline.problem import visible

    withheld = counts_of(world)
    waiting = summary.counts.by_state[State.PLANNED] - withheld.changed - withheld.unapproved - withheld.held
    new_letters = _risen(world, "told_planned", waiting)
    newly_withheld = [
        _risen(world, "told_changed", withheld.changed),
        _risen(world, "told_unapproved", withheld.unapproved),
    ]
    new_doubts = _new_doubts(world)
    code = _exit_code(summary, new_doubts=new_doubts, newly_changed=newly_withheld[0])
    if any(newly_withheld):
        tell_withheld(place, world, voice)
    if voice.json:
        tell_as_json(summary, code)
        return code
    for note in summary.notes:
        err(visible(note))
    if summary.stop is not None and summary.stop.exit_code is not ExitCode.WAITING:
        tell_stop(summary.stop)
    tell_unrecorded(summary.unrecorded)
    if summary.progress.failed:
        err(f"{counted(summary.progress.failed, 'letter')} refused for good: `campaign status`")
    if new_letters:
        err(f"{counted(waiting, 'new letter')} wait{'s' if waiting == 1 else ''} for `campaign send`")
    if new_doubts:
        err(doubt_words(summary.in_doubt))
    if voice.chatty:
        for line in summary_lines(summary, world):
            out(line)
    return code


def _exit_code(summary: Summary, *, new_doubts: bool, newly_changed: bool) -> int:
    """Return 0 when what remains only waits, or what is wrong with it was told before."""
    if summary.unrecorded:
        return int(ExitCode.STORE_UNWRITABLE)
    if newly_changed:
        return int(ExitCode.UNUSABLE)
    if summary.stop is not None and summary.stop.exit_code is not ExitCode.WAITING:
        return int(summary.stop.exit_code)
    return int(ExitCode.FAILED if summary.progress.failed or new_doubts else ExitCode.DONE)


def _risen(world: World, name: str, number: int) -> bool:
    """Remember a number that is told once; say whether it has grown since it was told last."""
    from pipeline.store.operator import read_meta, write_meta

    with world.campaign.writing() as connection:
        before = int(read_meta(connection, name, "0"))
        if before != number:
            write_meta(connection, name, str(number))
        return number > before


def _new_doubts(world: World) -> bool:
    """Remember which attempts are in doubt, told once; say whether one is among them that was not told."""
    from pipeline.delivery.letter import State
    from pipeline.store import history
    from pipeline.store.operator import read_meta, write_meta

    with world.campaign.writing() as connection:
        doubts = {f"{line.id}.{line.attempts}" for line in history.letters_in(connection, [State.IN_DOUBT])}
        told = set(read_meta(connection, "told_doubts").split())
        if doubts != told:
            write_meta(connection, "told_doubts", " ".join(sorted(doubts)))
        return not doubts <= told
