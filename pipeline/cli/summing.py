"""What a run did, in words and as JSON: for `send` and `run`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.cli.place import Place
from pipeline.cli.telling import SCHEMA, counted, err, error_json, out_json
from pipeline.clock import to_us
from pipeline.delivery.letter import Result, State
from pipeline.delivery.supply import Progress, Stop
from pipeline.errors import CampaignError, ExitCode, first_that_applies
from pipeline.problem import visible
from pipeline.store import history
from pipeline.store.world import World, WorldName


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did, and where the campaign stands after it."""

    progress: Progress
    stop: Stop | None
    counts: history.Counts
    notes: Sequence[str] = ()
    unrecorded: Sequence[Result] = ()
    changed: int = 0  # letters that stay because they are not what was approved

    @property
    def remaining(self) -> int:
        """Letters that wait: planned and queued."""
        return self.counts.by_state[State.PLANNED] + self.counts.by_state[State.QUEUED]

    @property
    def in_doubt(self) -> int:
        """Letters in doubt in the campaign now."""
        return self.counts.by_state[State.IN_DOUBT]

    @property
    def exit_code(self) -> ExitCode:
        """Return what `send` ends with."""
        codes = [ExitCode.DONE]
        if self.stop is not None and (self.remaining or self.stop.exit_code is not ExitCode.WAITING):
            codes.append(self.stop.exit_code)
        if self.unrecorded:
            codes.append(ExitCode.STORE_UNWRITABLE)
        if self.changed:
            codes.append(ExitCode.UNUSABLE)
        if self.progress.failed or self.in_doubt:
            codes.append(ExitCode.FAILED)
        if self.remaining:
            codes.append(ExitCode.WAITING)
        return first_that_applies(codes)


def document(progress: Progress, counts: history.Counts | None, exit_code: int) -> dict[str, Any]:
    """Return the last line of `send --json`; without ``counts`` nobody knows how the campaign stands."""
    by_state = counts.by_state if counts else None
    return {
        "type": "summary",
        "schema": SCHEMA,
        "sent": progress.sent,
        "failed": progress.failed,
        "deferred": progress.deferred,
        "suppressed": progress.suppressed,
        "in_doubt": by_state[State.IN_DOUBT] if by_state else None,
        "remaining": by_state[State.PLANNED] + by_state[State.QUEUED] if by_state else None,
        "exit": exit_code,
    }


def tell_as_json(summary: Summary, exit_code: int) -> None:
    """Write why the run ended early and what it found, a line each, and the summary as the last line."""
    for note in summary.notes:
        out_json({"type": "note", "message": note})
    if summary.stop is not None:
        out_json({"type": "stop", "message": summary.stop.reason, "hint": summary.stop.hint})
    out_json(document(summary.progress, summary.counts, exit_code))


def tell_refusal_as_json(error: CampaignError, place: Place, *, exit_code: int) -> None:
    """Write why nothing was sent, and the summary that every `send --json` ends with."""
    out_json(error_json(error) | {"exit": exit_code})
    try:
        world = place.open_world()
        try:
            with world.campaign.reading() as connection:
                counts = history.counts(connection, now_us=to_us(place.clock.now()))
        finally:
            world.close()
    except CampaignError:
        counts = None
    out_json(document(Progress(), counts, exit_code))


def summary_lines(summary: Summary, world: World) -> list[str]:
    """Return what was done and what is left."""
    progress, by_state = summary.progress, summary.counts.by_state
    lines = []
    if progress.sent:
        where = f"filed in {world.outbox}" if world.name is WorldName.SANDBOX else "accepted by the relay"
        lines.append(f"{counted(progress.sent, 'letter')} {where}")
    elif not (progress.done or summary.stop):
        lines.append("no letter can go now" if summary.remaining else "no letters to send")
    for number, word in (
        (progress.failed, "refused for good"),
        (progress.deferred, "put off by the server, to be tried later"),
        (progress.suppressed, "suppressed: the address is not to be written to"),
        (progress.expired, "expired"),
    ):
        if number:
            lines.append(f"{counted(number, 'letter')} {word}")
    lines += [
        f"{counted(number, 'letter')} left for later: {visible(why)}"
        for why, number in sorted(progress.left_for_later.items())
    ]
    parts = [
        counted(summary.counts.total, "letter"),
        f"{by_state[State.SENT]} sent",
        f"{summary.remaining} waiting",
        *(
            f"{by_state[state]} {word}"
            for state, word in (
                (State.FAILED, "failed"),
                (State.IN_DOUBT, "in doubt"),
                (State.SUPPRESSED, "suppressed"),
                (State.CANCELLED, "cancelled"),
                (State.EXPIRED, "expired"),
            )
            if by_state[state]
        ),
    ]
    return [*lines, f"in all: {', '.join(parts)}"]


def tell_trouble(summary: Summary) -> None:
    """Say on stderr what a person has to know."""
    for note in summary.notes:
        err(visible(note))
    tell_stop(summary.stop)
    if summary.stop is not None and summary.stop.exit_code is ExitCode.INTERRUPTED:
        err(f"{summary.progress.sent} sent in this run, {summary.remaining} left; `campaign send` goes on")
    tell_unrecorded(summary.unrecorded)
    if summary.in_doubt:
        err(doubt_words(summary.in_doubt))


def tell_unrecorded(results: Sequence[Result]) -> None:
    """Say on stderr what happened and could not be written down."""
    for result in results:
        answer = result.response or result.verdict
        err(
            f"NOT RECORDED: letter {result.letter}, attempt {result.attempt}: {visible(str(answer))}; "
            "the next run will find it in doubt"
        )


def tell_stop(stop: Stop | None) -> None:
    """Say on stderr why a run ended early."""
    if stop is None:
        return
    err(f"stopped: {visible(stop.reason)}")
    if stop.hint:
        err(f"   help: {visible(stop.hint)}")


def doubt_words(number: int) -> str:
    """Return what it means that letters are in doubt."""
    them = "it" if number == 1 else "them"
    return (
        f"{counted(number, 'letter')} in doubt: nobody can know whether the relay took {them}; "
        "`campaign resolve`"
    )
