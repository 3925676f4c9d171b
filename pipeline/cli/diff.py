"""`campaign diff`: letters as they were approved, or rendered, beside what they would be today."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import Json, Quiet, Verbose, level
from pipeline.cli.place import Place, Voice
from pipeline.errors import Unusable

if TYPE_CHECKING:
    from pipeline.cli.gate import Gate
    from pipeline.delivery.compose import Composer
    from pipeline.delivery.letter import Letter
    from pipeline.letters.drafts import DraftFolder
    from pipeline.letters.manifest import DraftLine
    from pipeline.store.approvals import ApprovedFrom
    from pipeline.store.world import World

BATCH = 500
WIDTH = 160  # columns of the two sides together, off a terminal
CONTEXT = 2  # equal lines shown round a change


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("diff")(diff)


def diff(
    context: typer.Context,
    who: Annotated[
        str | None, typer.Argument(metavar="WHO", help="An address; without it every letter that changed.")
    ] = None,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Show what changed since letters were approved, or rendered."""
    from pipeline.cli.deciding import spellings
    from pipeline.cli.planning import planned_world
    from pipeline.cli.telling import SCHEMA, next_step, out, out_json
    from pipeline.cli.withheld import HOW

    place: Place = context.obj
    voice = Voice(json, level(verbose, quiet))
    names = spellings(who) if who is not None else None
    with planned_world(place, voice) as (world, composer):
        looked = _Looked(place, world, composer)
        found = looked.go(names)
        documents = []
        for change in found:
            if json:
                documents.append(change.document())
                continue
            for line in change.lines(_width()):
                out(line)
    if names is not None and not looked.seen:
        raise Unusable(f"no letter to {who} waits", "`campaign show WHO` tells where it is")
    if json:
        numbers = {"unchanged": looked.unchanged, "new": looked.new}
        out_json({"schema": SCHEMA, "world": str(world.name), "changed": documents, **numbers})
        return
    if not quiet:
        out(
            f"{looked.changed} changed, {looked.unchanged} as they were {looked.since}, "
            f"{looked.new} not rendered yet"
        )
    next_step(HOW if looked.changed or looked.new else "`campaign send`")


@dataclass(frozen=True, slots=True)
class Change:
    """A letter that is not what it was: what changed, and its text before and after, Date apart."""

    letter: int
    to: str
    signed: str  # the name; "" where the campaign writes in its own
    line: int
    what: str
    before: Sequence[str]
    after: Sequence[str]

    def document(self) -> dict[str, object]:
        """Return what `diff --json` says of it."""
        return {
            "letter": self.letter,
            "to": self.to,
            "line": self.line,
            "changed": self.what,
            "before": "\n".join(self.before),
            "after": "\n".join(self.after),
        }

    def lines(self, width: int) -> Iterator[str]:
        """Yield the two texts side by side, where they differ."""
        from pipeline.problem import visible

        signed = f"of {self.signed} " if self.signed else ""
        yield visible(f"letter {self.letter} {signed}to {self.to}: {self.what}")
        half = max((width - 3) // 2, 20)
        for kind, old, new in _beside(self.before, self.after):
            yield f"{_cell(old, half)} {kind} {_cell(new, half)}".rstrip()
        yield ""


def _cell(text: str, width: int) -> str:
    from rich.cells import set_cell_size

    from pipeline.problem import visible

    return set_cell_size(visible(text, limit=width), width)


def _beside(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield changed lines in pairs (`|` changed, `<` only before, `>` only after), a little round each."""
    for group in difflib.SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(CONTEXT):
        for tag, first, last, start, end in group:
            old, new = list(before[first:last]), list(after[start:end])
            if tag == "equal":
                yield from ((" ", line, line) for line in old)
                continue
            for index in range(max(len(old), len(new))):
                left = old[index] if index < len(old) else None
                right = new[index] if index < len(new) else None
                kind = "<" if right is None else ">" if left is None else "|"
                yield kind, left or "", right or ""
        yield "·", "", ""


class _Looked:
    """Goes through the letters that wait, and counts them."""

    def __init__(self, place: Place, world: World, composer: Composer) -> None:
        from pipeline.cli.gate import Gate, drafts_of

        self._world = world
        self._composer = composer
        self._gate: Gate = Gate(place, world, composer)
        self._drafts: DraftFolder = drafts_of(world)
        self.seen = self.changed = self.unchanged = self.new = 0
        self.since = "rendered"

    def go(self, names: Sequence[str] | None) -> Iterator[Change]:
        """Yield the letters that changed; of ``names`` only, where some are given."""
        from pipeline.store import approvals, queue

        drafts, draft, last = self._drafts.letters(), None, 0
        while True:
            with self._world.campaign.reading() as connection:
                letters = queue.read_unpermitted(connection, behind=last, most=BATCH)
                known = approvals.of_letters(connection, [letter.id for letter in letters])
            if not letters:
                return
            for letter in letters:
                while draft is None or draft.letter < letter.id:
                    if (draft := next(drafts, None)) is None:
                        break
                rendered = draft if draft is not None and draft.letter == letter.id else None
                if names is None or letter.recipient_key in names:
                    self.seen += 1
                    found = known.get(letter.id)
                    if found is None and rendered is not None:
                        found = _as_if_approved(rendered)
                    yield from self._looked_at(letter, found, approved=letter.id in known)
            last = letters[-1].id

    def _looked_at(self, letter: Letter, found: ApprovedFrom | None, *, approved: bool) -> Iterator[Change]:
        if found is None:
            self.new += 1
            return
        if approved:
            self.since = "approved"
        what = self._gate.what_changed(letter, found)
        before, altered = self._before(found)
        if not what and not altered:
            self.unchanged += 1
            return
        self.changed += 1
        after = _text(_today(self._composer, letter, found))
        signed = letter.values.get("signatory.author_name") or letter.values.get("signatory.name", "")
        yield Change(letter.id, letter.email, signed, letter.line, what or altered, before, after)

    def _before(self, found: ApprovedFrom) -> tuple[Sequence[str], str]:
        """Return a draft's text; and why it is not the draft any more, if so."""
        from pipeline.letters.drafts import NotTheDraft

        draft = found.approved
        try:
            return _text(self._drafts.read(draft.file, size=draft.size, sha256=draft.sha256)), ""
        except NotTheDraft as fault:
            return (), str(fault)


def _today(composer: Composer, letter: Letter, found: ApprovedFrom) -> bytes:
    from pipeline.cli.gate import as_today
    from pipeline.delivery.parcel import Unfit

    try:
        return as_today(composer, letter, found)
    except Unfit as fault:
        return f"\r\n\r\n{fault}\r\n".encode()


def _as_if_approved(draft: DraftLine) -> ApprovedFrom:
    """Return a rendered letter in the form of an approved one."""
    from pipeline.delivery.letter import Approved
    from pipeline.store.approvals import ApprovedFrom

    kept = Approved(draft.letter, draft.sha256, draft.size, draft.file, draft.date)
    return ApprovedFrom(kept, draft.made_from, 0, draft.encoding)


def _text(message: bytes) -> list[str]:
    """Return what a person reads of a message: its header's fields, its text, the names and hashes of its
    files."""
    import hashlib
    from email import message_from_bytes
    from email.policy import default

    parsed = message_from_bytes(message, policy=default)
    lines = [f"{name}: {parsed[name]}" for name in ("From", "Reply-To", "To", "Subject") if parsed[name]]
    body = parsed.get_body(("plain",))
    lines += ["", *(body.get_content().splitlines() if body is not None else ())]
    for part in parsed.iter_attachments():
        content = part.get_payload(decode=True)
        digest = hashlib.sha256(content if isinstance(content, bytes) else b"").hexdigest()
        lines.append(f"[{part.get_filename() or 'a file'}, sha256 {digest[:16]}]")
    return lines


def _width() -> int:
    from pipeline.cli.telling import terminal_width

    return terminal_width(sys.stdout) or WIDTH
