"""The options that every command has."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
JsonLines = Annotated[
    bool, typer.Option("--json", help="A line of JSON for each letter on stdout, and one for the summary.")
]
Verbose = Annotated[int, typer.Option("--verbose", "-v", count=True, help="Say more.", show_default=False)]
Why = Annotated[
    str, typer.Option("--why", metavar="TEXT", help="The reason; it is kept.", show_default=False)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what a person has to know.")]


def level(verbose: int, quiet: bool) -> int:
    """Return how much to say."""
    return -1 if quiet else verbose
