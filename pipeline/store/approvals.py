"""Who approved which letters, and which letters are withheld until somebody does.

An approval names bytes, not intentions: for each letter it holds the hash of its draft, and the marks of what
the draft was made from, so that what changed since can be named. Later approvals add to earlier ones; a
letter has the latest. `withheld` is the outcome of looking at every letter that waits (`cli/gate.py`): the
planned letters that a send must not release.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa

from pipeline.clock import from_us, to_us
from pipeline.delivery.letter import NOT_APPROVED, Approved, State
from pipeline.letters.manifest import DraftLine
from pipeline.letters.origins import Origins
from pipeline.store.dialect import alone
from pipeline.store.operator import log
from pipeline.store.queue import RELEASE, WAITING
from pipeline.store.tables import approvals, approved, letters, origins, withheld

BATCH = 500


@dataclass(frozen=True, slots=True)
class Approval:
    """One approval: who, when, of how many letters, by which manifest (its SHA-256)."""

    id: int
    at: datetime
    by: str
    letters: int
    manifest: str


class NotItsDraft(Exception):
    """A draft of another letter than the one it is said to be: of another world, campaign or store."""

    def __init__(self, letter: int) -> None:
        super().__init__(f"there is no letter {letter} with that Message-ID")
        self.letter = letter


@dataclass(frozen=True, slots=True)
class Withheld:
    """A letter that is not to be released, and why; ``changed``: it was approved and is not the same."""

    letter: int
    why: str
    changed: bool = False


@dataclass(frozen=True, slots=True)
class WithheldLine:
    """A letter that is withheld, as it is told."""

    letter: int
    email: str
    signatory: str  # the key; "" where the campaign writes in its own name
    line: int
    why: str
    changed: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Letters that are withheld: changed since they were approved, not approved, held for a person."""

    changed: int = 0
    unapproved: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True)
class ApprovedFrom:
    """What was approved of a letter, and what it was made from."""

    approved: Approved
    made_from: Origins
    approval: int
    encoding: str


def standing(connection: sa.Connection) -> Approval | None:
    """Return the latest approval that holds; None where there is none."""
    query = sa.select(approvals).where(approvals.c.withdrawn_at.is_(None)).order_by(approvals.c.id.desc())
    row = connection.execute(query.limit(1)).first()
    return Approval(row.id, from_us(row.at), row.by, row.letters, row.manifest) if row is not None else None


def approve(
    connection: sa.Connection, drafts: Iterable[DraftLine], *, by: str, manifest: str, now_us: int
) -> tuple[Approval, Counter[str]]:
    """Approve drafts, in the caller's transaction; memory stays flat. Logged.

    Letters that were permitted since, or wait no longer, keep the approval they have. Return the approval,
    and how many letters in each language. Raises NotItsDraft.
    """
    made = connection.execute(
        sa.insert(approvals).values(at=now_us, by=by, manifest=manifest, letters=0)
    ).inserted_primary_key
    assert made is not None
    number, known, languages = int(made[0]), dict[str, int](), Counter[str]()
    stream = iter(drafts)
    while batch := list(islice(stream, BATCH)):
        open_ = _still_open(connection, batch)
        ids = [draft.letter for draft in open_]
        connection.execute(sa.delete(approved).where(approved.c.letter.in_(ids)))
        if rows := [_row(connection, draft, number, known) for draft in open_]:
            connection.execute(sa.insert(approved), rows)
        languages.update(draft.language for draft in open_)
    total = languages.total()
    connection.execute(sa.update(approvals).where(approvals.c.id == number).values(letters=total))
    log(connection, None, "approved", f"by {by}: letters {total}, manifest {manifest}", now_us)
    return Approval(number, from_us(now_us), by, total, manifest), languages


def _still_open(connection: sa.Connection, drafts: Sequence[DraftLine]) -> list[DraftLine]:
    """Return the drafts of letters that wait and were never permitted. Raises NotItsDraft."""
    query = sa.select(letters.c.id, letters.c.message_id, letters.c.state, letters.c.attempts)
    query = query.where(letters.c.id.in_([draft.letter for draft in drafts]))
    known = {row.id: row for row in connection.execute(query)}
    found = []
    for draft in drafts:
        row = known.get(draft.letter)
        if row is None or (row.message_id != draft.message_id and row.attempts == 0 and row.state in WAITING):
            raise NotItsDraft(draft.letter)
        if row.attempts == 0 and row.state in WAITING:
            found.append(draft)
    return found


def withdraw(connection: sa.Connection, *, by: str, now_us: int) -> int:
    """Take every approval back: letters that were never permitted are approved no longer. Logged.

    Return how many letters that were.
    """
    change = sa.update(approvals).where(approvals.c.withdrawn_at.is_(None)).values(withdrawn_at=now_us)
    if not connection.execute(change).rowcount:
        return 0
    unsent = sa.select(letters.c.id).where(letters.c.attempts == 0)
    taken = connection.execute(sa.delete(approved).where(approved.c.letter.in_(unsent))).rowcount
    connection.execute(sa.delete(withheld))
    log(connection, None, "approval withdrawn", f"by {by}", now_us)
    return taken


def some(connection: sa.Connection, first: int, most: int) -> dict[int, Approved]:
    """Return what is approved of up to ``most`` letters from number ``first`` on."""
    query = sa.select(*_BYTES).where(approved.c.letter >= first).order_by(approved.c.letter).limit(most)
    return {row.letter: _approved(row) for row in connection.execute(query)}


def of_letters(connection: sa.Connection, ids: Sequence[int]) -> dict[int, ApprovedFrom]:
    """Return what is approved of these letters, with what it was made from."""
    query = sa.select(*_BYTES, approved.c.approval, approved.c.encoding, approved.c.row, origins.c.made_from)
    query = query.join(origins, origins.c.id == approved.c.origins).where(approved.c.letter.in_(list(ids)))
    return {row.letter: _approved_from(row) for row in connection.execute(query)}


def waiting_drafts(connection: sa.Connection) -> Iterator[str]:
    """Yield where the drafts lie of approved letters that wait and were never permitted."""
    query = sa.select(approved.c.letter, approved.c.file).join(letters, letters.c.id == approved.c.letter)
    query = query.where(letters.c.state.in_([str(state) for state in WAITING]), letters.c.attempts == 0)
    query, last = query.order_by(approved.c.letter).limit(BATCH), 0
    while rows := connection.execute(query.where(approved.c.letter > last)).all():
        last = rows[-1].letter
        yield from (row.file for row in rows)


def approval(connection: sa.Connection, number: int) -> Approval | None:
    """Return an approval, whether or not it was withdrawn."""
    row = connection.execute(sa.select(approvals).where(approvals.c.id == number)).first()
    return Approval(row.id, from_us(row.at), row.by, row.letters, row.manifest) if row is not None else None


def is_approved_file(connection: sa.Connection, letter: int, file: str) -> bool:
    """Say whether a draft was approved."""
    query = sa.select(approved.c.letter).where(approved.c.letter == letter, approved.c.file == file)
    return connection.execute(query).first() is not None


# -- what is withheld

# Of the few that are withheld, those that are planned: asked the other way round, a million that are planned
# are looked at one by one.
_state = sa.select(letters.c.state).where(letters.c.id == withheld.c.letter)
_IS_PLANNED = _state.correlate(withheld).scalar_subquery() == State.PLANNED


def forget_withheld(connection: sa.Connection) -> None:
    """Withhold nothing any longer."""
    alone(connection, RELEASE)
    if connection.execute(sa.select(withheld.c.letter).limit(1)).first() is not None:
        connection.execute(sa.delete(withheld))


def withhold(connection: sa.Connection, found: Sequence[Withheld]) -> None:
    """Withhold further letters; those that were queued, and never permitted, are planned again."""
    alone(connection, RELEASE)  # or a host that releases at this moment might not see them
    for start in range(0, len(found), BATCH):
        batch = found[start : start + BATCH]
        ids = [one.letter for one in batch]
        connection.execute(sa.delete(withheld).where(withheld.c.letter.in_(ids)))
        connection.execute(
            sa.insert(withheld),
            [{"letter": one.letter, "why": one.why, "changed": one.changed} for one in batch],
        )
        waits = sa.and_(letters.c.id.in_(ids), letters.c.state == State.QUEUED, letters.c.attempts == 0)
        connection.execute(
            sa.update(letters).where(waits).values(state=State.PLANNED, due_at=None, released_at=None)
        )


def count_withheld(connection: sa.Connection) -> Counts:
    """Return how many planned letters are withheld."""
    kind = sa.case((withheld.c.changed, 0), (withheld.c.why == NOT_APPROVED, 1), else_=2).label("kind")
    query = sa.select(kind, sa.func.count()).where(_IS_PLANNED).group_by(kind)
    found: dict[int, int] = dict(connection.execute(query).all())
    return Counts(*(found.get(number, 0) for number in range(3)))


def withheld_lines(connection: sa.Connection, *, most: int) -> list[WithheldLine]:
    """Return planned letters that are withheld although they were approved, at most so many."""
    shown = (letters.c.id, letters.c.email, letters.c.signatory, letters.c.line)
    query = sa.select(*shown, withheld.c.why, withheld.c.changed)
    query = query.join(letters, letters.c.id == withheld.c.letter).where(_IS_PLANNED)
    query = query.where(withheld.c.changed.is_(True)).order_by(letters.c.line, letters.c.id).limit(most)
    return [WithheldLine(*row) for row in connection.execute(query)]


def why_withheld(connection: sa.Connection, ids: Sequence[int] | None = None) -> dict[int, str]:
    """Return the letters that are withheld, of these or of all, and why."""
    query = sa.select(withheld.c.letter, withheld.c.why).order_by(withheld.c.letter)
    if ids is not None:
        query = query.where(withheld.c.letter.in_(list(ids)))
    return {row.letter: row.why for row in connection.execute(query)}


_BYTES = (approved.c.letter, approved.c.sha256, approved.c.size, approved.c.file, approved.c.built_at)


def _row(connection: sa.Connection, draft: DraftLine, number: int, known: dict[str, int]) -> dict[str, Any]:
    document = draft.made_from.document()
    cells = document.pop("row")
    return {
        "letter": draft.letter,
        "approval": number,
        "sha256": draft.sha256,
        "size": draft.size,
        "file": draft.file,
        "encoding": draft.encoding,
        "built_at": to_us(draft.date),
        "row": json.dumps(cells, ensure_ascii=False, separators=(",", ":")),
        "origins": _origins(connection, json.dumps(document, ensure_ascii=False, sort_keys=True), known),
    }


def _origins(connection: sa.Connection, made_from: str, known: dict[str, int]) -> int:
    """Return the number of what letters were made from; most of an approval's have it in common."""
    if made_from not in known:
        if len(known) >= BATCH:
            known.clear()
        key = connection.execute(sa.insert(origins).values(made_from=made_from)).inserted_primary_key
        assert key is not None
        known[made_from] = int(key[0])
    return known[made_from]


def _approved(row: Any) -> Approved:
    return Approved(row.letter, row.sha256, row.size, row.file, from_us(row.built_at))


def _approved_from(row: Any) -> ApprovedFrom:
    common = json.loads(row.made_from)
    made = Origins(json.loads(row.row), common["files"], common["config"])
    return ApprovedFrom(_approved(row), made, row.approval, row.encoding)
