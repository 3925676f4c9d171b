"""The gate before a send: what was approved goes as it was approved, what changed since stays, and is named.

Every letter that waits and was never permitted is looked at. It may go if it was approved and nothing that it
is made from is different now - or if something is, and today's bytes are the approved ones all the same. All
others are written down as withheld, and no release touches them; one that was queued already is planned
again. Where nobody has approved anything and nothing has to be approved, the gate is open and costs one look
into the store.

Limits: a draft that somebody altered is found here before a `send`, and by a `run` only when its letter's
turn has come; either way nothing of it leaves. Drafts lie on the host that rendered them: another one that
sends from the same store and has not got them is refused, before it touches a letter.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.cli.place import Place
from pipeline.config import Approval
from pipeline.delivery.approved import ApprovedComposer
from pipeline.delivery.compose import Composer
from pipeline.delivery.letter import NOT_APPROVED, Approved, Letter
from pipeline.delivery.parcel import Unfit
from pipeline.errors import Unusable
from pipeline.letters.drafts import FOLDER, DraftFolder, NotTheDraft
from pipeline.letters.origins import Files, Origins, differences, marks
from pipeline.store import approvals, followups, queue
from pipeline.store.approvals import ApprovedFrom, Withheld
from pipeline.store.world import World

if TYPE_CHECKING:
    from pipeline.config import Settings
    from pipeline.store.database import Connection

BATCH = 500  # letters looked at together
SHELVED = 200  # approved letters looked up together


def drafts_of(world: World) -> DraftFolder:
    """Return where the drafts of a world lie."""
    return DraftFolder(world.folder / FOLDER / str(world.name))


@dataclass(slots=True)
class Sources:
    """What letters are made from today; make a new one to look again."""

    settings: Settings
    composer: Composer
    _files: Files = field(init=False)
    _config: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self._files = Files(self.settings.root)
        self._config = marks(_config_of(self.settings))

    def of(self, letter: Letter) -> Origins:
        """Return what a letter is made from."""
        files = self._files.of_letter(letter.language, bool(letter.thread), self.composer.attached(letter))
        return Origins(marks(letter.values), files, self._config)


def _config_of(settings: Settings) -> dict[str, str]:
    """Return the settings that stand in letters, by their keys."""
    reply_to = settings.reply_to
    return {
        "name": settings.name,
        "kind": str(settings.kind),
        "author": f"{settings.author.name} <{settings.author.address.wire}>",
        "reply_to": f"{reply_to.name} <{reply_to.address.wire}>" if reply_to else "",
        "timezone": settings.timezone.key,
        "signatories.from_name": settings.signing.from_name,
        "signatories.reply_to": str(settings.signing.reply_to),
    }


class Gate:
    """Looks at the letters of one world."""

    def __init__(self, place: Place, world: World, composer: Composer) -> None:
        self._place = place
        self._composer = composer
        self._drafts = drafts_of(world)
        self._sources = Sources(place.settings, composer)

    def some(self, connection: Connection, *, behind: int, verify: bool) -> tuple[int, list[Withheld]]:
        """Look at the letters that follow number ``behind``; return the last one's number (0: there are no
        more), and those that may not go. ``verify``: their drafts are read as well."""
        letters = queue.read_unpermitted(connection, behind=behind, most=BATCH)
        if not letters:
            return 0, []
        known = approvals.of_letters(connection, [letter.id for letter in letters])
        found = [self._judged(letter, known.get(letter.id), verify=verify) for letter in letters]
        return letters[-1].id, [one for one in found if one is not None]

    def _judged(self, letter: Letter, found: ApprovedFrom | None, *, verify: bool) -> Withheld | None:
        if found is None:
            return Withheld(letter.id, NOT_APPROVED)
        if why := self.what_changed(letter, found):
            return Withheld(letter.id, f"changed since it was approved: {why}", changed=True)
        if verify:
            try:
                draft = found.approved
                self._drafts.read(draft.file, size=draft.size, sha256=draft.sha256)
            except NotTheDraft as fault:
                return Withheld(letter.id, str(fault), changed=True)
        return None

    def what_changed(self, letter: Letter, found: ApprovedFrom) -> str:
        """Return what changed of a letter since it was approved; "" where its bytes are the same."""
        today = self._sources.of(letter)
        if today == found.made_from:
            return ""
        names = differences(
            found.made_from, today, row=f"{self._place.settings.recipients_file}:{letter.line}"
        )
        try:
            content = as_today(self._composer, letter, found)
        except Unfit as fault:
            return f"{', '.join(names)}: {fault}"
        return ", ".join(names) if hashlib.sha256(content).hexdigest() != found.approved.sha256 else ""


def as_today(composer: Composer, letter: Letter, found: ApprovedFrom) -> bytes:
    """Return what today's files would make of an approved letter, with the Date of its draft. Raises
    Unfit."""
    dated = letter._replace(built_at=found.approved.built_at)
    return composer(dated, found.encoding == "8bit").content


def is_closed(place: Place, connection: Connection) -> bool:
    """Say whether letters have to be approved before they go."""
    return place.settings.approval is Approval.REQUIRED or approvals.standing(connection) is not None


def hold_followups(place: Place, connection: Connection) -> None:
    """Withhold second letters while a person has to look at what came back."""
    found = followups.held(connection, campaign=place.settings.key)
    approvals.withhold(connection, [Withheld(letter, why) for letter, why in found.items()])


def refuse_without_drafts(place: Place, world: World) -> None:
    """Raise Unusable where several hosts may send, and approved drafts are not on this one.

    What this host cannot send another one can: the letters are left as they are.
    """
    if not world.several:
        return
    drafts, whole, missing = drafts_of(world), 0, 0
    with world.campaign.reading() as connection:
        if not is_closed(place, connection):
            return
        for file in approvals.waiting_drafts(connection):
            whole += 1
            missing += not drafts.has(file)
    if missing:
        raise Unusable(
            f"of {whole} approved drafts that wait, {missing} {'is' if missing == 1 else 'are'} not on this "
            "host: its letters are left to the host that rendered them",
            f"copy {drafts.folder} from there to send from here as well; where they are lost,\n"
            "`campaign render` writes them, `campaign approve --by NAME` lets them go",
        )


def keep_back(place: Place, world: World, composer: Composer, *, verify: bool) -> bool:
    """Find the letters that may not go, and withhold them. Call it with the lock held, before a release.

    Return whether letters have to be approved. Raises Unusable as `refuse_without_drafts` says.
    """
    refuse_without_drafts(place, world)
    with world.campaign.writing() as connection:
        approvals.forget_withheld(connection)
        hold_followups(place, connection)
        if not is_closed(place, connection):
            return False
    gate, last = Gate(place, world, composer), 0
    while True:
        with world.campaign.reading() as connection:
            last, found = gate.some(connection, behind=last, verify=verify)
        if not last:
            return True
        if found:
            with world.campaign.writing() as connection:
                approvals.withhold(connection, found)


def keep_back_within(place: Place, world: World, composer: Composer, connection: Connection) -> None:
    """Do the same in the caller's transaction, which is going to be taken back."""
    approvals.forget_withheld(connection)
    hold_followups(place, connection)
    if not is_closed(place, connection):
        return
    gate, last = Gate(place, world, composer), 0
    while True:
        last, found = gate.some(connection, behind=last, verify=True)
        if not last:
            return
        approvals.withhold(connection, found)


def approved_composer(place: Place, world: World, composer: Composer) -> ApprovedComposer:
    """Return what gives letters as they were approved."""
    return ApprovedComposer(
        composer, _StoreShelf(world), drafts_of(world), place.settings.timezone, place.clock
    )


class _StoreShelf:
    """Looks up what was approved, some letters at a time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[int, Approved] = {}

    def find(self, letter: int) -> Approved | None:
        """Return what was approved of a letter."""
        if letter not in self._known:
            with self._world.campaign.reading() as connection:
                self._known = approvals.some(connection, letter, SHELVED)
        return self._known.get(letter)
