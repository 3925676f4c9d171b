"""The options that every command has."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Verbose = Annotated[int, typer.Option("--verbose", "-v", count=True, help="Say more; twice: even more.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what a person has to know.")]


def level(verbose: int, quiet: bool) -> int:  # noqa: FBT001 - an option as Typer gives it
    """Return how much to say."""
    return -1 if quiet else verbose
