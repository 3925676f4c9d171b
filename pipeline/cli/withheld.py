"""What is told of letters that are withheld: which, why, and what lets them go."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.cli.place import Place, Voice
from pipeline.cli.telling import counted, err, out_json
from pipeline.config import Approval
from pipeline.errors import Unusable
from pipeline.problem import visible
from pipeline.store import approvals, queue
from pipeline.store.approvals import Counts
from pipeline.store.world import World

MOST_TOLD = 1_000  # letters named; the others are counted
HOW = "`campaign render` writes them, `campaign approve --by NAME` lets them go"


def counts_of(world: World) -> Counts:
    """Return how many letters are withheld."""
    with world.campaign.reading() as connection:
        return approvals.count_withheld(connection)


def refuse_unapproved(place: Place, world: World) -> None:
    """Raise Unusable where letters have to be approved, and none that waits may go."""
    if place.settings.approval is not Approval.REQUIRED:
        return
    with world.campaign.reading() as connection:
        found = approvals.count_withheld(connection)
        may_go = sum(queue.count_waiting(connection))
    if found.unapproved and not found.changed and not may_go:
        raise Unusable(
            f'approval = "required", and {counted(found.unapproved, "letter")} '
            f"{'is' if found.unapproved == 1 else 'are'} not approved: nothing was sent",
            HOW,
        )


def tell_withheld(place: Place, world: World, voice: Voice) -> None:
    """Name the letters that changed since they were approved; say how many are not approved at all."""
    with world.campaign.reading() as connection:
        found = approvals.count_withheld(connection)
        lines = approvals.withheld_lines(connection, most=MOST_TOLD) if found.changed else []
    file = place.settings.recipients_file
    for line in lines:
        if voice.json:
            told = {"letter": line.letter, "to": line.email, "signatory": line.signatory, "line": line.line}
            out_json({"type": "withheld", **told, "why": line.why})
        else:
            signed = f" of {line.signatory}" if line.signatory else ""
            err(visible(f"{file}:{line.line}: not sent to {line.email}{signed}: {line.why}"))
    for note in withheld_words(found, told=len(lines)):
        if voice.json:
            out_json({"type": "note", "message": note})
        else:
            err(note)


def withheld_words(found: Counts, *, told: int = 0) -> Sequence[str]:
    """Return how many letters are withheld, and what to do."""
    words = []
    if more := found.changed - told:
        words.append(f"{'... and ' if told else ''}{counted(more, 'letter')} changed since the approval")
    if found.changed:
        words.append("`campaign diff` shows what changed; " + HOW)
    if found.unapproved:
        are = "is" if found.unapproved == 1 else "are"
        words.append(f"{counted(found.unapproved, 'letter')} {are} not approved: {HOW}")
    if found.held:
        words.append(
            f"{counted(found.held, 'follow-up')} held until somebody has looked at a reply: "
            "`campaign replies list --review`"
        )
    return words
