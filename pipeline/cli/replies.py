"""`campaign replies`: what came back. `classify` is here; the others have files of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import Quiet, Verbose
from pipeline.cli.place import Place
from pipeline.cli.replies_deciding import assign, review
from pipeline.cli.replies_fetch import fetch
from pipeline.cli.replies_list import list_, show
from pipeline.errors import CampaignError

if TYPE_CHECKING:
    from pipeline.replies.kinds import Verdict
    from pipeline.replies.reading import Reading

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=False)
app.command("fetch")(fetch)
app.command("list")(list_)
app.command("show")(show)
app.command("assign")(assign)
app.command("review")(review)

MailLines = Annotated[bool, typer.Option("--json", help="A line of JSON for each mail on stdout.")]


@app.command("classify")
def classify(
    context: typer.Context,
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

    It needs no campaign. In the folder of one that has sent letters it says which letter a mail answers, too.
    """
    from pipeline.cli.telling import next_step, out, out_json

    counted: dict[str, int] = {}
    with _which_letter(context.obj) as reading_of:
        for source, raw, text, verdict in _sorted(paths):
            counted[verdict.kind.value] = counted.get(verdict.kind.value, 0) + 1
            reading = reading_of(raw)
            letter = reading.match.letter if reading is not None else None
            if reading is not None and reading.kind is verdict.kind and not verdict.recipients:
                verdict = replace(verdict, recipients=reading.recipients)
            if json:
                out_json(_document(source, text, verdict, letter))
            elif not quiet:
                for line in _words(source, verdict, letter):
                    out(line)
    if json:
        return
    total = sum(counted.values())
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(counted.items()))
    out(f"{total} mail{'' if total == 1 else 's'}{': ' if kinds else ''}{kinds}")
    if not total:
        next_step("give .eml files, a folder of them, a Maildir, an mbox, or - for standard input")


@contextmanager
def _which_letter(place: Place) -> Iterator[Callable[[bytes], Reading | None]]:
    """Hand out what says which letter a mail answers; nothing says so where no campaign can be asked."""
    with ExitStack() as stack:
        reading_of: Callable[[bytes], Reading | None] = _nobody
        with suppress(CampaignError):  # a broken campaign.toml or store: mails are sorted all the same
            reading_of = _asker(place, stack)
        yield reading_of


def _nobody(_raw: bytes) -> Reading | None:
    return None


def _asker(place: Place, stack: ExitStack) -> Callable[[bytes], Reading | None]:
    """Return what asks the campaign in this folder, if it has sent letters."""
    if not (place.root / "campaign.toml").is_file() or not place.has_store:
        return _nobody
    from pipeline.cli.collecting import ourselves
    from pipeline.cli.suppressions import opened
    from pipeline.replies.reading import read_reply
    from pipeline.store.written import WrittenLetters, learn

    world = stack.enter_context(opened(place))
    learn(world.campaign)
    who = ourselves(place.settings, world)
    letters = WrittenLetters(stack.enter_context(world.campaign.reading()))
    return lambda raw: read_reply(raw, letters, who)


def _sorted(paths: list[str]) -> Iterator[tuple[str, bytes, str, Verdict]]:
    from pipeline.mail.mime import read_mail
    from pipeline.replies.mailbox_paths import mails_at
    from pipeline.replies.sorting import sort_mail
    from pipeline.replies.text import new_text

    for path in paths:
        for source, raw in mails_at(path, sys.stdin.buffer):
            mail = read_mail(raw)
            words = new_text(mail)
            yield source, raw, words.new, sort_mail(mail, raw, words)


def _document(source: str, text: str, verdict: Verdict, letter: int | None) -> dict[str, Any]:
    """Return the keys that others rely on, and behind them what is known beyond."""
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
        "letter": letter,
        "text": text,
        "why": list(verdict.why),
    }
    beyond = {
        "review": verdict.review,
        "form": verdict.form.value if verdict.form else "",
        "case": verdict.case,
        "returns": verdict.returns.isoformat() if verdict.returns else "",
    }
    return document | {key: value for key, value in beyond.items() if value}


def _words(source: str, verdict: Verdict, letter: int | None) -> Iterator[str]:
    """Yield the lines about one mail; all that came from outside is made visible."""
    from pipeline.problem import visible

    kind = f"{verdict.kind.value} ({verdict.form.value})" if verdict.form else verdict.kind.value
    yield f"{visible(source)}: {kind}"
    for one in verdict.recipients:
        reason = one.reason.value if one.reason else ""
        said = visible(f"{one.status} {reason}".strip())
        yield f"  {visible(one.address)}: {said or 'named'}{', would be suppressed' if one.suppress else ''}"
    if letter is not None:
        yield f"  answers letter {letter}"
    if verdict.case:
        yield f"  case {visible(verdict.case)}"
    if verdict.returns:
        yield f"  back or away until {verdict.returns.isoformat()}"
    if verdict.review:
        yield f"  a person should look: {verdict.review}"
    for why in verdict.why:
        yield f"  because: {visible(why)}"
