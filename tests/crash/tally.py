"""Counts of kills by point and their outcomes: the table at the end of the session."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Line:
    """The counts of one point; `resumed` jobs continued from a checkpoint."""

    kills: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    resumed: int = 0
    same: int = 0


class Tally:
    """Counts the kills and outcomes of jobs."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}

    def add(self, point: str, kills: Counter[str], *, resumed: bool, same: bool) -> None:
        """Count one job, and whether its outcome is that of an uninterrupted job."""
        line = self.lines.setdefault(point, Line())
        line.kills += kills
        line.jobs += 1
        line.resumed += resumed
        line.same += same

    @property
    def kills(self) -> int:
        return sum(line.kills.total() for line in self.lines.values())

    @property
    def resumed(self) -> int:
        return sum(line.resumed for line in self.lines.values())

    def render(self) -> Iterator[str]:
        """A Markdown table."""
        targets = ("trainer", "engine", "both")
        yield "| killed at | trainer | engine | both | jobs | from a checkpoint | same result |"
        yield "| --- | --: | --: | --: | --: | --: | --: |"
        total = Line()
        for point, line in self.lines.items():
            yield _row(point, line, targets)
            total.kills += line.kills
            total.jobs += line.jobs
            total.resumed += line.resumed
            total.same += line.same
        yield _row(f"all ({self.kills} kills)", total, targets)


def _row(point: str, line: Line, targets: Sequence[str]) -> str:
    cells = [*(line.kills[target] for target in targets), line.jobs, line.resumed, line.same]
    return " | ".join(["| " + point, *map(str, cells)]) + " |"
