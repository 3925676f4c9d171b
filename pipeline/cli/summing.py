"""What a run did, in words: for `send` and `run`."""

from __future__ import annotations

from pipeline.cli.place import Place
from pipeline.cli.sending import Summary
from pipeline.delivery.letter import State
from pipeline.store.world import World, WorldName


def summary_lines(summary: Summary, world: World) -> list[str]:
    """Return what was done and what is left."""
    progress, counts = summary.progress, summary.counts
    lines = []
    if progress.sent:
        where = f"filed in {world.outbox}" if world.name is WorldName.SANDBOX else "accepted by the relay"
        lines.append(f"{letters(progress.sent)} {where}")
    elif not (progress.failed or progress.deferred or progress.in_doubt or summary.stop):
        lines.append("nothing to send" if not summary.remaining else "nothing can go now")
    for number, word in (
        (progress.failed, "refused for good"),
        (progress.deferred, "put off by the server, to be tried later"),
        (progress.suppressed, "suppressed: the address is not to be written to"),
        (progress.expired, "expired"),
    ):
        if number:
            lines.append(f"{letters(number)} {word}")
    lines += [
        f"{letters(number)} left for later: {why}" for why, number in sorted(progress.left_for_later.items())
    ]
    lines.append(
        f"in all: {counts.total} letters, {counts.by_state[State.SENT]} sent, {summary.remaining} waiting"
        + (f", {counts.by_state[State.FAILED]} failed" if counts.by_state[State.FAILED] else "")
        + (f", {counts.by_state[State.IN_DOUBT]} in doubt" if counts.by_state[State.IN_DOUBT] else "")
    )
    return lines


def trouble_lines(summary: Summary, place: Place) -> list[str]:
    """Return what a person has to know."""
    lines = list(summary.notes)
    if summary.stop is not None:
        lines.append(f"stopped: {summary.stop.reason}")
        if summary.stop.hint:
            lines.append(f"   help: {summary.stop.hint}")
    for result in summary.unrecorded:
        lines.append(
            f"NOT RECORDED: letter {result.letter}, attempt {result.attempt}: {result.response or result.verdict}; "
            "the next run will find it in doubt"
        )
    doubts = summary.counts.by_state[State.IN_DOUBT]
    if doubts:
        lines.append(
            f"{letters(doubts)} in doubt: nobody can know whether the relay took {'them' if doubts > 1 else 'it'}; `campaign resolve`"
        )
    return lines


def letters(number: int) -> str:
    """Return "1 letter", "2 letters"."""
    return f"{number} letter{'' if number == 1 else 's'}"
