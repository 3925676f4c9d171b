"""`campaign init [DIR]`: a new campaign that can be sent into the sandbox as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose
from pipeline.cli.place import Place
from pipeline.errors import Unusable

RECIPIENTS = """\
email,language,name,salutation,office,country,timezone
embassy@verania.example,en,Embassy of Verania,"Your Excellency,",Embassy of Verania,Kestria,Europe/Berlin
"""

TEMPLATE = """\
+++
subject = "An open question to {{ recipient.office }}"
+++
{{ recipient.salutation }}

we write to {{ recipient.office }} about a matter of public concern. Say here, in a few sentences, what
happened, where, and how you know.

We ask you to:

1. say what you ask for first;
2. and what you ask for next.

We would be grateful for an answer.

Yours faithfully,\\
{{ campaign.author }}

If you do not wish to hear from us again, please answer with the words "no further letters".
"""


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    context: typer.Context,
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Where; without it, this folder.")
    ] = None,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Write a new campaign: settings, a list, a template. Never overwrites anything."""
    from pipeline.cli.telling import next_step, out, out_json
    from pipeline.config import sample_config

    place: Place = context.obj
    folder = directory if directory is not None else place.root
    name = folder.resolve().name
    key = f"{_slug(name)}-{place.dice.token(3).hex()}"
    files = {
        "campaign.toml": sample_config(key=key, name=name or "My campaign"),
        "recipients.csv": RECIPIENTS,
        "templates/letter.en.md": TEMPLATE,
    }
    there = [file for file in files if (folder / file).exists()]
    if there:
        raise Unusable(
            f"{folder} has {', '.join(there)} already", "nothing was written; choose another folder"
        )
    try:
        for file, text in files.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    except OSError as trouble:
        raise Unusable(f"{folder} cannot be written: {trouble.strerror}") from None
    if json:
        out_json({"schema": 1, "folder": str(folder), "files": list(files), "key": key})
        return
    if not quiet:
        for file in files:
            out(f"wrote {folder / file}")
        where = "" if folder.resolve() == Path.cwd() else f"-C {quote(str(folder))} "
        next_step(
            f"`campaign {where}check`, then `campaign {where}send`: into the sandbox, until you name a relay"
        )


def _slug(name: str) -> str:
    """Return lower-case letters, digits and hyphens of a folder's name."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return plain or "campaign"
