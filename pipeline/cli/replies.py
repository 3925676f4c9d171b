"""`campaign replies`: what came back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import Quiet, Verbose

if TYPE_CHECKING:
    from pipeline.mail.mime import Mail
    from pipeline.replies.kinds import Verdict

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=False)

MailLines = Annotated[bool, typer.Option("--json", help="A line of JSON for each mail on stdout.")]


@app.command("classify")
def classify(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...", help=".eml files, folders of them, Maildirs, mboxes; - for standard input."
        ),
    ],
    json: MailLines = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Say what mails are and why; nothing is recorded.

    It looks at the mails alone, needs no campaign, and does not ask which letter they answer.
    """
    from pipeline.cli.telling import next_step, out, out_json

    counted: dict[str, int] = {}
    for source, mail, verdict in _sorted(paths):
        counted[verdict.kind.value] = counted.get(verdict.kind.value, 0) + 1
        if json:
            out_json(_document(source, mail, verdict))
        elif not quiet:
            for line in _words(source, verdict):
                out(line)
    if json:
        return
    total = sum(counted.values())
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(counted.items()))
    out(f"{total} mail{'' if total == 1 else 's'}{': ' if kinds else ''}{kinds}")
    if not total:
        next_step("give .eml files, a folder of them, a Maildir, an mbox, or - for standard input")


def _sorted(paths: list[str]) -> Iterator[tuple[str, Mail, Verdict]]:
    from pipeline.mail.mime import read_mail
    from pipeline.replies.mailbox_paths import mails_at
    from pipeline.replies.sorting import sort_mail

    for path in paths:
        for source, raw in mails_at(path, sys.stdin.buffer):
            mail = read_mail(raw)
            yield source, mail, sort_mail(mail, raw)


def _document(source: str, mail: Mail, verdict: Verdict) -> dict[str, Any]:
    """Return the keys that others rely on, and behind them what is known beyond."""
    from pipeline.replies.text import new_text

    document: dict[str, Any] = {
        "source": source,
        "kind": verdict.kind.value,
        "recipients": [
            {
                "address": one.address,
                "status": one.status,
                "reason": one.reason.value if one.reason else "",
                "suppress": one.suppress,
            }
            for one in verdict.recipients
        ],
        "letter": None,
        "text": new_text(mail).new,
        "why": list(verdict.why),
    }
    beyond = {
        "review": verdict.review,
        "form": verdict.form.value if verdict.form else "",
        "case": verdict.case,
        "returns": verdict.returns.isoformat() if verdict.returns else "",
    }
    return document | {key: value for key, value in beyond.items() if value}


def _words(source: str, verdict: Verdict) -> Iterator[str]:
    """Yield the lines about one mail; all that came from outside is made visible."""
    from pipeline.problem import visible

    kind = f"{verdict.kind.value} ({verdict.form.value})" if verdict.form else verdict.kind.value
    yield f"{visible(source)}: {kind}"
    for one in verdict.recipients:
        reason = one.reason.value if one.reason else ""
        said = visible(f"{one.status} {reason}".strip())
        yield f"  {visible(one.address)}: {said or 'named'}{', would be suppressed' if one.suppress else ''}"
    if verdict.case:
        yield f"  case {visible(verdict.case)}"
    if verdict.returns:
        yield f"  back or away until {verdict.returns.isoformat()}"
    if verdict.review:
        yield f"  a person should look: {verdict.review}"
    for why in verdict.why:
        yield f"  because: {visible(why)}"
