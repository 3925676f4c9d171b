"""`campaign run`: the cron-scheduled run. Silent unless something needs a person."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose, level
from pipeline.cli.place import Place, Voice
from pipeline.errors import AlreadyRunning, ExitCode

if TYPE_CHECKING:
    from pipeline.cli.sending import Summary
    from pipeline.store.world import World


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    context: typer.Context,
    print_cron: Annotated[
        bool, typer.Option("--print-cron", help="Print a crontab line and a systemd timer for this campaign.")
    ] = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Send what is queued and due, within the limits. Made for cron: silent unless something needs a person."""
    place: Place = context.obj
    if print_cron:
        _print_cron(place)
        return
    raise typer.Exit(run_campaign(place, Voice(json, level(verbose, quiet))))


def run_campaign(place: Place, voice: Voice) -> int:
    """Do one scheduled run; return the exit code."""
    from pipeline.cli.folder import check_folder, refuse_bad
    from pipeline.cli.sending import Sending, Wishes, prepare
    from pipeline.cli.suppressions import opened
    from pipeline.cli.telling import moment
    from pipeline.clock import to_us
    from pipeline.store import queue
    from pipeline.store.lock import RunLock

    try:
        with opened(place) as world, RunLock(world.lock_path, since=moment(place.clock.now())):
            checked = check_folder(place.settings, clock=place.clock)
            refuse_bad(checked, skip_bad=False)
            prepare(place, world, checked)
            if place.settings.auto_release:
                with world.campaign.writing() as connection:
                    queue.release(connection, now_us=to_us(place.clock.now()))
            summary = Sending(place, world, checked, Wishes("run")).go()
            return _tell(summary, world, place, voice)
    except AlreadyRunning:
        if voice.level > 0:
            raise
        return int(ExitCode.DONE)


def _tell(summary: Summary, world: World, place: Place, voice: Voice) -> int:
    """Say what needs a person, each thing once; return the exit code of a scheduled run."""
    from pipeline.cli.summing import letters, summary_lines
    from pipeline.cli.telling import err, out, out_json
    from pipeline.delivery.letter import State

    news = [*summary.notes]
    waiting, doubts = summary.counts.by_state[State.PLANNED], summary.counts.by_state[State.IN_DOUBT]
    stop = summary.stop
    if stop is not None and stop.exit_code is not ExitCode.WAITING:
        news.append(f"stopped: {stop.reason}" + (f"\n   help: {stop.hint}" if stop.hint else ""))
    if summary.progress.failed:
        news.append(f"{letters(summary.progress.failed)} refused for good: `campaign status`")
    if _risen(world, "told_planned", waiting):
        news.append(f"{waiting} new letters wait for `campaign send`")
    fresh_doubt = _risen(world, "told_doubts", doubts)
    if fresh_doubt:
        news.append(f"{letters(doubts)} in doubt: `campaign resolve`")
    if voice.json:
        out_json(summary.document())
    else:
        for line in news:
            err(line)
        if voice.level > 0 or (voice.level == 0 and sys.stdout.isatty()):
            for line in summary_lines(summary, world):
                out(line)
    if stop is not None and stop.exit_code is not ExitCode.WAITING:
        return int(summary.exit_code)
    if summary.unrecorded:
        return int(ExitCode.STORE_UNWRITABLE)
    return int(ExitCode.FAILED if summary.progress.failed or fresh_doubt else ExitCode.DONE)


def _risen(world: World, name: str, number: int) -> bool:
    """Remember a number that is told once; say whether it has grown since it was told last."""
    from pipeline.store.operator import read_meta, write_meta

    with world.campaign.writing() as connection:
        before = int(read_meta(connection, name, "0"))
        if before != number:
            write_meta(connection, name, str(number))
        return number > before


CRON = """\
# crontab -e, then this line: every ten minutes; cron mails you only what needs a person
*/10 * * * * {command} -C {folder} run
"""
SYSTEMD = """\
# or with systemd: ~/.config/systemd/user/campaign-{name}.service
[Unit]
Description=Send what is due of the campaign {name}

[Service]
Type=oneshot
ExecStart={command} -C {folder} run
# the relay's password, if it needs one, kept out of files that others read:
# LoadCredential=smtp_password:%h/.config/campaign/smtp_password

# ~/.config/systemd/user/campaign-{name}.timer
[Unit]
Description=Every ten minutes

[Timer]
OnCalendar=*:0/10
RandomizedDelaySec=60
Persistent=true

[Install]
WantedBy=timers.target

# then: systemctl --user enable --now campaign-{name}.timer
"""


def _print_cron(place: Place) -> None:
    from shlex import quote

    from pipeline.cli.telling import out

    folder = quote(str(place.root.resolve()))
    found = shutil.which("campaign") or str(Path(sys.argv[0]).resolve())
    name = place.settings.key
    out(CRON.format(command=quote(found), folder=folder.replace("%", r"\%")))
    out(SYSTEMD.format(command=quote(found), folder=folder.replace("%", "%%"), name=name).rstrip())
