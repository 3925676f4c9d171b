"""The problems of one list: gathered in any order, bounded, told in the order of the file.

Contract: of more than ``most`` problems those are kept that a single reading from top to bottom would meet
first; the others are counted.
"""

from __future__ import annotations

from enum import IntEnum

from pipeline.problem import Problem, Severity
from pipeline.recipients.sheet import Record, Sheet

SOURCE_SHOWN = 200  # characters of a line that are kept behind the place a problem points at


class Stage(IntEnum):
    """When a reading from top to bottom would meet a problem."""

    ROW = 0  # with its row
    BEHIND = 1  # once every row is known


class Gathered:
    """The problems of one file."""

    def __init__(self, file: str, sheet: Sheet | None, *, most: int) -> None:
        """``most`` problems are kept; 0 only counts."""
        self.file = file
        self.errors = 0
        self._sheet = sheet
        self._most = most
        self._met: dict[Stage, list[tuple[int, Problem]]] = {stage: [] for stage in Stage}
        self._met_late: list[tuple[int, Problem]] = []
        self._warnings = 0

    def tell_file(self, code: str, message: str, hint: str = "", severity: Severity = Severity.ERROR) -> None:
        """Add a problem of the file as a whole."""
        self._count(severity)
        self._met[Stage.ROW].append((0, Problem(self.file, 0, 0, code, message, hint, severity)))

    def tell(
        self,
        record: Record,
        index: int,
        code: str,
        message: str,
        hint: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Add a problem of a row that points at cell ``index`` of ``record``."""
        self._tell(self._met[Stage.ROW], record, index, code, message, hint, severity)

    def tell_late(
        self,
        record: Record,
        index: int,
        code: str,
        message: str,
        hint: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Add one that belongs to its row and is found in a later pass."""
        self._tell(self._met_late, record, index, code, message, hint, severity)

    def tell_behind(
        self, record: Record, index: int, code: str, message: str, hint: str, severity: Severity
    ) -> None:
        """Add one that only the end of the file brings to light."""
        self._tell(self._met[Stage.BEHIND], record, index, code, message, hint, severity)

    def result(self) -> tuple[Problem, ...]:
        """Return what is kept, in the order of the file, and one more that tells how many are not."""
        met = sorted([*self._met[Stage.ROW], *self._met_late], key=lambda one: one[0])
        kept = [problem for _, problem in [*met, *self._met[Stage.BEHIND]]][: self._most or None]
        kept_errors = sum(problem.severity is Severity.ERROR for problem in kept)
        untold = self.errors + self._warnings - len(kept)
        found = sorted(kept, key=lambda problem: (problem.line, problem.column))
        if untold:
            severity = Severity.ERROR if self.errors > kept_errors else Severity.WARNING
            message = f"{untold} more problems are not shown"
            hint = f"mend the first {self._most} and check again"
            found.append(Problem(self.file, 0, 0, "more-problems", message, hint, severity))
        return tuple(found)

    def _tell(
        self,
        met: list[tuple[int, Problem]],
        record: Record,
        index: int,
        code: str,
        message: str,
        hint: str,
        severity: Severity,
    ) -> None:
        self._count(severity)
        if len(met) < self._most and self._sheet is not None:
            met.append(
                (
                    record.line,
                    problem_at(self.file, self._sheet, record, index, code, message, hint, severity),
                )
            )

    def _count(self, severity: Severity) -> None:
        if severity is Severity.ERROR:
            self.errors += 1
        else:
            self._warnings += 1


def problem_at(
    file: str,
    sheet: Sheet,
    record: Record,
    index: int,
    code: str,
    message: str,
    hint: str,
    severity: Severity,
) -> Problem:
    """Return a problem that points at cell ``index`` of ``record``."""
    place = sheet.place_in(record, index)
    source = place.source[: place.column + SOURCE_SHOWN]
    return Problem(file, place.line, place.column, code, message, hint, severity, source)
