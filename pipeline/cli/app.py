"""The program's commands, put together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import EXIT_CODES
from pipeline.cli.place import Place

app = typer.Typer(
    name="campaign",
    help="Letters of a campaign: checked, written, sent at a pace, each exactly once.",
    epilog=EXIT_CODES,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True, epilog=f"\b{EXIT_CODES}")
def campaign(
    context: typer.Context,
    directory: Annotated[
        Path,
        typer.Option(
            "--directory", "-C", metavar="DIR", help="The campaign's folder.", show_default="this folder"
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
    context.obj = Place(directory, tuple(settings or ()))
    if context.invoked_subcommand is None:
        if not (directory / "campaign.toml").exists():
            typer.echo(context.get_help())
            raise typer.Exit
        from pipeline.cli.status import show_status
        from pipeline.cli.place import Voice

        show_status(context.obj, Voice())


def _add_commands() -> None:
    from pipeline.cli.cancel import add as add_cancel
    from pipeline.cli.check import add as add_check
    from pipeline.cli.init import add as add_init
    from pipeline.cli.pause import add as add_pause
    from pipeline.cli.preview import add as add_preview
    from pipeline.cli.resend import add as add_resend
    from pipeline.cli.resolve import add as add_resolve
    from pipeline.cli.run import add as add_run
    from pipeline.cli.send import add as add_send
    from pipeline.cli.show import add as add_show
    from pipeline.cli.status import add as add_status
    from pipeline.cli.suppress import app as suppress

    for add in (
        add_init,
        add_check,
        add_preview,
        add_send,
        add_run,
        add_status,
        add_show,
        add_resolve,
        add_resend,
        add_pause,
        add_cancel,
    ):
        add(app)
    app.add_typer(suppress, name="suppress", help="Addresses that are not to be written to.")


_add_commands()
