"""What is no race, each with its part of the report: memory, status, resuming, the list, the storm."""

from __future__ import annotations

from statistics import median

from bench.contenders import Field
from bench.figures import Figure, paired
from bench.intake import compare
from bench.ours import send_has
from bench.processes import Failed
from bench.report import Part, number, table
from bench.scenarios import Wishes, failed
from bench.stores import Bounds, Taken, first_letters, send_peaks, status_during_send, status_idle

NOT_MEASURED = "not measured"
STATUS_SMALL, RESUME_SMALL, MEMORY_SMALL = 1_000, 20_000, 10_000  # letters: what issue 3 compares with


def memory(wishes: Wishes, _field: Field) -> Part:
    """Peak memory of a small and a large send."""
    title = "Peak memory of a send, largest process"
    small, large = _sizes(MEMORY_SMALL, wishes)
    try:
        peaks = send_peaks(_bounds(wishes), (small, large))
    except Failed as failure:
        return failed(title, failure, ("memory ratio", "memory peak"))
    rows = [(f"{size:,}", number(peak, digits=1)) for size, peak in peaks.items()]
    figures = {
        "memory ratio": Figure.of([peaks[large] / peaks[small]]),
        "memory peak": Figure.of([max(peaks.values())]),
    }
    return Part(title, table(("letters", "peak MiB"), rows), figures)


def status(wishes: Wishes, _field: Field) -> Part:
    """`campaign status` on a small and a large campaign, idle and during a send."""
    title = "`campaign status`, whole process"
    sizes = _sizes(STATUS_SMALL, wishes)
    figures: dict[str, Figure] = {}
    absent: dict[str, str] = {}
    rows: list[tuple[str, ...]] = []
    for figure, when, measure in (
        ("status", "idle", status_idle),
        ("status sending", "while the large campaign is being sent", status_during_send),
    ):
        try:
            taken = measure(_bounds(wishes), sizes)
        except Failed as failure:
            absent[figure] = str(failure)
            rows.append((when, NOT_MEASURED, str(failure)))
        else:
            figures[figure] = _large_to_small(taken)
            rows += [(when, *row) for row in _rows(taken)]
    return Part(title, table(("when", "letters", "seconds"), rows), figures, absent)


def resume(wishes: Wishes, _field: Field) -> Part:
    """From the start of `campaign send` to the first letter, on a small and a large campaign."""
    title = "Resuming: start of `campaign send` to the first letter that the sink has taken"
    try:
        taken = first_letters(_bounds(wishes), _sizes(RESUME_SMALL, wishes))
    except Failed as failure:
        return failed(title, failure, ("resume",))
    return Part(title, table(("letters", "seconds"), _rows(taken)), {"resume": _large_to_small(taken)})


def intake(wishes: Wishes, _field: Field) -> Part:
    """Reading the list."""
    title = "Reading the list, every row judged; without the interpreter's start"
    try:
        found = compare(
            wishes.scratch,
            count=wishes.rows,
            rounds=wishes.rounds,
            patience_s=wishes.patience_s,
            tell=wishes.tell,
        )
    except Failed as failure:
        return failed(title, failure, ("intake",))
    rows = [
        ("campaign, all cells of the row", number(found.ours_us, digits=1)),
        ("email-validator, the address alone, and csv", number(found.peer_us, digits=1)),
    ]
    same = f"{found.rows:,} rows, {found.accepted:,} accepted, the same ones by both."
    return Part(title, [*table(("reader", "µs a row"), rows), "", same], {"intake": found.ratio})


def storm(wishes: Wishes, _field: Field) -> Part:
    """Senders killed at random moments, with one process and with two."""
    title = "A storm of kill -9: each recipient's letters counted at the sink"
    figures = ("storm wrong", "storm doubts")
    try:
        from bench.storm import CONNECTIONS, HEAD, blow
    except ImportError as missing:
        why = Failed(f"{missing.name} is not installed: pip install -e '.[test]'")
        return failed(title, why, figures)
    senders: dict[str, tuple[str, ...]] = {"one process": ()}
    notes = [
        f"{CONNECTIONS} connections, every quota on. A doubt is settled by what the sink has, then sent on."
    ]
    if send_has("--processes"):
        senders["two processes"] = ("--processes", "2")
    else:
        notes.append("Not measured with two processes: `campaign send` has no --processes.")
    told = []
    absent: dict[str, str] = {}
    for sender, words in senders.items():
        try:
            told.append(blow(wishes.scratch, sender, words, kills=wishes.kills, tell=wishes.tell))
        except Failed as failure:
            absent = dict.fromkeys(figures, f"{sender}: {failure}")
            notes.append(f"Not measured with {sender}: {failure}")
    if absent:
        decided = {}
    else:
        decided = {
            "storm wrong": Figure.of([max(one.twice + one.missing for one in told)]),
            "storm doubts": Figure.of([max(one.most for one in told) / CONNECTIONS]),
        }
    return Part(title, [*table(HEAD, (one.row for one in told)), "", *notes], decided, absent)


def _bounds(wishes: Wishes) -> Bounds:
    return Bounds(wishes.rounds, wishes.connections, wishes.patience_s, wishes.scratch, wishes.tell)


def _sizes(small: int, wishes: Wishes) -> tuple[int, int]:
    """Return a small and the large size; a fifth of the large one where that is smaller."""
    return min(small, wishes.large // 5), wishes.large


def _large_to_small(taken: Taken) -> Figure:
    small, large = (taken[size] for size in sorted(taken))
    return paired(large, small)


def _rows(taken: Taken) -> list[tuple[str, ...]]:
    return [
        (f"{size:,}", f"{median(seconds):.3f} ({min(seconds):.3f} to {max(seconds):.3f})")
        for size, seconds in taken.items()
    ]
