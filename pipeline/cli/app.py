"""The program's commands, put together: each is loaded when it is asked for.

To load all of them, and to read what options they have, takes a tenth of the time in which `status` answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from pipeline.cli.place import Place, Voice

_MODULES = {  # of each command, in the order of the help
    "init": "init",
    "check": "check",
    "preview": "preview",
    "plan": "plan",
    "render": "render",
    "approve": "approve",
    "diff": "diff",
    "followup": "followup",
    "send": "send",
    "run": "run",
    "status": "status",
    "show": "show",
    "record": "record",
    "resolve": "resolve",
    "resend": "resend",
    "pause": "pause",
    "resume": "pause",
    "cancel": "cancel",
    "export": "export",
    "verify": "verify",
    "move": "move",
    "replies": "replies",
    "suppress": "suppress",
}
_GROUPS = {"replies": "What came back.", "suppress": "Addresses that are not to be written to."}

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


class Commands(Mapping[str, Any]):
    """The commands by their names."""

    def __getitem__(self, name: str) -> Any:
        """Load a command."""
        if name not in _MODULES:
            raise KeyError(name)
        return _load(name)

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(_MODULES)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(_MODULES)


@cache
def _load(name: str) -> Any:
    module = import_module(f"pipeline.cli.{_MODULES[name]}")
    alone = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    if name in _GROUPS:
        alone.add_typer(module.app, name=name, help=_GROUPS[name])
    else:
        module.add(alone)
    return get_group(alone).commands[name]


class _LoadedOnDemand(TyperGroup):
    """A group whose commands are loaded when they are asked for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        commands: Any = Commands()  # nobody adds to them
        self.commands = commands


app = typer.Typer(
    name="campaign",
    cls=_LoadedOnDemand,
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
