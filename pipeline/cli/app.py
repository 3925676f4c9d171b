"""The program's commands, put together.

Modules of commands load at once; what they need to work is imported inside them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.place import Place, Voice

EXIT_CODES = """\b
Exit codes, the first that applies:
  130  interrupted
    6  the store cannot be written
    2  usage, config or data: nothing was sent
    4  the relay refused us (login, TLS, policy): stopped, nothing lost
    5  another run on this host holds this campaign
    1  in this run a letter failed for good, or letters are in doubt
    3  letters wait for a later run (deferred, limit, quota, hours)
    0  nothing left to do now
"""

app = typer.Typer(
    name="campaign",
    help="Letters of a campaign: checked, written, sent at a pace, each exactly once.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True, epilog=EXIT_CODES)
def campaign(
    context: typer.Context,
    directory: Annotated[
        Path,
        typer.Option(
            "--directory",
            "-C",
            metavar="DIR",
            help="The campaign's folder; without it, this one.",
            show_default=False,
        ),
    ] = Path(),
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a key of campaign.toml for this run, e.g. relay.url=sandbox:",
        ),
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Letters of a campaign: checked, written, sent at a pace, each exactly once."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"campaign {installed('letter-campaign')}")
        raise typer.Exit
    place = context.obj = Place(directory, tuple(settings or ()))
    if context.invoked_subcommand is not None:
        return
    if directory == Path() and not settings and not (directory / "campaign.toml").exists():
        from pipeline.cli.telling import next_step

        typer.echo(context.get_help())
        next_step("`campaign init DIR` begins a campaign in a new folder")
        return
    from pipeline.cli.status import show_status

    show_status(place, Voice())


def _add_commands() -> None:
    from pipeline.cli.approve import add as add_approve
    from pipeline.cli.cancel import add as add_cancel
    from pipeline.cli.check import add as add_check
    from pipeline.cli.diff import add as add_diff
    from pipeline.cli.export import add as add_export
    from pipeline.cli.followup import add as add_followup
    from pipeline.cli.init import add as add_init
    from pipeline.cli.move import add as add_move
    from pipeline.cli.pause import add as add_pause
    from pipeline.cli.plan import add as add_plan
    from pipeline.cli.preview import add as add_preview
    from pipeline.cli.record import add as add_record
    from pipeline.cli.render import add as add_render
    from pipeline.cli.replies import app as replies
    from pipeline.cli.resend import add as add_resend
    from pipeline.cli.resolve import add as add_resolve
    from pipeline.cli.run import add as add_run
    from pipeline.cli.send import add as add_send
    from pipeline.cli.show import add as add_show
    from pipeline.cli.status import add as add_status
    from pipeline.cli.suppress import app as suppress
    from pipeline.cli.verify import add as add_verify

    for add in (
        add_init,
        add_check,
        add_preview,
        add_plan,
        add_render,
        add_approve,
        add_diff,
        add_followup,
        add_send,
        add_run,
        add_status,
        add_show,
        add_record,
        add_resolve,
        add_resend,
        add_pause,
        add_cancel,
        add_export,
        add_verify,
        add_move,
    ):
        add(app)
    app.add_typer(replies, name="replies", help="What came back.")
    app.add_typer(suppress, name="suppress", help="Addresses that are not to be written to.")


_add_commands()
