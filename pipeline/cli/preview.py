"""`campaign preview`: letters as the reader will see them.

A follow-up is shown as it would be if the first letter had been sent today as it stands.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from pipeline.cli.options import Json, Quiet, Verbose, level
from pipeline.cli.place import Place, Voice
from pipeline.errors import Unusable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from pipeline.cli.folder import Checked
    from pipeline.delivery.compose import Draft
    from pipeline.recipients.pairing import Pair


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("preview")(preview)


def preview(
    context: typer.Context,
    who: Annotated[
        str | None,
        typer.Argument(
            metavar="WHO",
            help="An address, of either side, or a language; without it the first letter of each language.",
        ),
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write every chosen letter as .eml; without WHO, all."),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show the HTML in the browser.")] = False,
    language: Annotated[
        list[str] | None,
        typer.Option(
            "--language",
            metavar="LANG",
            help="This version beside the one it was made from; repeatable.",
        ),
    ] = None,
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="All versions beside each other.")
    ] = False,
    followup: Annotated[
        bool, typer.Option("--followup", help="The second letters, to those who will not have answered.")
    ] = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Show letters as their readers will see them. Sends nothing."""
    from pipeline.cli.folder import check_folder
    from pipeline.cli.preparing import turns_taken
    from pipeline.cli.telling import SCHEMA, counted, next_step, out, out_json, tell_problems
    from pipeline.problem import errors

    place: Place = context.obj
    checked = check_folder(place.settings, clock=place.clock, turns=turns_taken(place))
    if not (quiet or json):
        tell_problems(errors(checked.problems))
    if language or side_by_side:
        from pipeline.cli.sidebyside import show_versions

        if who is not None or open_ or followup:
            raise Unusable(
                "--language and --side-by-side show versions of first letters: no WHO, and not in the browser"
            )
        voice, wanted = Voice(json, level(verbose, quiet)), [] if side_by_side else language or []
        show_versions(place, voice, checked, wanted, out_dir)
        return
    look = _Look(checked, place.clock.now(), followup)
    chosen = look.having(_chosen(checked, who, everyone=out_dir is not None))
    if out_dir is not None:
        names = _write(look, chosen, out_dir)
        if json:
            out_json({"schema": SCHEMA, "written": list(names)})
        elif (written := sum(1 for _ in names)) and not quiet:
            out(f"{counted(written, 'letter')} written to {out_dir}")
            next_step("open them in a mail program; `campaign send --to YOUR-ADDRESS` for a test copy")
        return
    if open_:
        _open(look, chosen, place)
    if json:
        out_json({"schema": SCHEMA, "letters": [_document(look, pair) for pair in chosen]})
        return
    for number, pair in enumerate(chosen):
        if number:
            out("\n" + "─" * 72 + "\n")
        for line in _lines(look, pair):
            out(line)
    next_step("`campaign send --to YOUR-ADDRESS` for a test copy, `campaign send --dry-run` for all of them")


class _Look(NamedTuple):
    """What is looked at: first letters, or follow-ups."""

    checked: Checked
    now: datetime
    followup: bool

    def draft(self, pair: Pair) -> Draft:
        """Return what a letter is made from."""
        from pipeline.cli.folder import draft_of
        from pipeline.letters.thread import SAMPLE

        draft = draft_of(pair.recipient, signatory=pair.signatory)
        if not self.followup:
            return draft
        first = self.checked.composer.render(draft).subject
        today = self.now.astimezone(self.checked.settings.timezone).date().isoformat()
        return draft._replace(thread=SAMPLE._replace(subject=first, date=today))

    def having(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Yield those for which there are words. Raises Unusable at the end where there were for none."""
        found, missing = False, ""
        for pair in pairs:
            language = pair.recipient.language
            if self.followup and not self.checked.composer.has_followup(language):
                missing = missing or language
            else:
                found = True
                yield pair
        if missing and not found:
            from pipeline.letters.thread import file_of

            raise Unusable(f"there are no words for a follow-up in {missing}", f"write {file_of(missing)}")


def _chosen(checked: Checked, who: str | None, *, everyone: bool) -> Iterable[Pair]:
    """Return the letters to show; those of a long list come one by one."""
    from pipeline.cli.deciding import spellings

    if not checked.letters:
        raise Unusable("there is no letter that could be shown", "`campaign check` says what is wrong")
    if who is None:
        if everyone:
            return checked.pairs()
        firsts = checked.first_of_each_language()
        return [firsts[name] for name in checked.settings.languages if name in firsts]
    names = spellings(who)
    if found := [pair for pair in checked.pairs() if _concerns(pair, names)]:
        return found
    if not checked.by_language[who]:
        raise Unusable(
            f"nobody in {checked.intake.file} has the address {who}",
            f"give an address of the list, or a language: {', '.join(checked.settings.languages)}",
        )
    if everyone:
        return (pair for pair in checked.pairs() if pair.recipient.language == who)
    return [checked.first_of_each_language()[who]]


def _concerns(pair: Pair, names: Collection[str]) -> bool:
    """Say whether a letter goes to, or is signed by, one of the addresses."""
    signed_by = pair.signatory.members if pair.signatory is not None else ()
    return pair.recipient.address.key in names or any(key in names for key in signed_by)


def _lines(look: _Look, pair: Pair) -> list[str]:
    from pipeline.problem import visible

    recipient, checked = pair.recipient, look.checked
    draft = look.draft(pair)
    words, composer, settings = checked.composer.render(draft), checked.composer, checked.settings
    reply_to = composer.reply_to_of(draft.values)
    names = (*settings.attachments, *words.attachments, *recipient.attachments)
    head = {
        "From": _mailbox(*composer.author_of(draft.values)),
        "To": _mailbox(recipient.name, recipient.address.written),
        "Reply-To": _mailbox(*reply_to) if reply_to else "",
        "Subject": words.subject,
        "Files": ", ".join(names),
    }
    lines = [f"{name + ':':<10}{value}" for name, value in head.items() if value]
    return [visible(line) for line in [*lines, "", *words.text.rstrip("\n").split("\n")]]


def _mailbox(name: str, address: str) -> str:
    return f"{name} <{address}>" if name else address


def _document(look: _Look, pair: Pair) -> dict[str, object]:
    recipient, signatory = pair
    words = look.checked.composer.render(look.draft(pair))
    return {
        "to": recipient.address.wire,
        "signatory": signatory.key if signatory is not None else "",
        "language": recipient.language,
        "line": recipient.line,
        "subject": words.subject,
        "text": words.text,
        "html": words.html,
    }


def _write(look: _Look, chosen: Iterable[Pair], folder: Path) -> Iterator[str]:
    """Write the letters; yield the names of the files as they are written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for pair in chosen:
            recipient, signatory = pair
            signed = f"-{_plain(signatory.key)}" if signatory is not None else ""
            name = f"{recipient.line:06d}-{recipient.language}-{_plain(recipient.address.wire)}{signed}.eml"
            content = look.checked.composer.write(look.draft(pair), now=look.now)
            (folder / name).write_bytes(content)
            yield name
    except OSError as trouble:
        raise Unusable(f"{folder} cannot be written: {trouble.strerror}") from None


def _plain(address: str) -> str:
    """Return an address as a part of a file name."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "@.-_") else "_" for c in address)[:80]


def _open(look: _Look, chosen: Iterable[Pair], place: Place) -> None:
    import webbrowser

    from pipeline.cli.telling import err
    from pipeline.report.versions import framed
    from pipeline.store.world import FOLDER

    folder = place.root.resolve() / FOLDER / "preview"
    for pair in chosen:
        recipient, signatory = pair
        signed = f"-{_plain(signatory.key)}" if signatory is not None else ""
        page = folder / f"{recipient.line:06d}-{recipient.language}{signed}.html"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            words = look.checked.composer.render(look.draft(pair))
            page.write_text(framed(words.html, words.subject), "utf-8")
        except OSError as trouble:
            raise Unusable(f"{page} cannot be written: {trouble.strerror}") from None
        if not webbrowser.open(page.as_uri()):
            err(f"there is no browser here; the page is {page}")
