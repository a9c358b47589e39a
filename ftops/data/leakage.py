"""A leak: rows that a model is evaluated on, and that it was trained on."""

from dataclasses import dataclass
from pathlib import Path

from ftops.data.checks.leaks import find_leaked_places, find_leaks
from ftops.data.examining.examination import examine
from ftops.data.reading.source import open_source

_SHOWN_LINES = 10


@dataclass(frozen=True, slots=True)
class Leak:
    """The lines that leak, and sentences that say how they are like training rows."""

    lines: frozenset[int] = frozenset()
    sentences: tuple[str, ...] = ()

    def say(self, name: str) -> str:
        """All of it, about the file that the user knows as `name`."""
        shown = sorted(self.lines)[:_SHOWN_LINES]
        numbers = ", ".join(map(str, shown)) + (", …" if len(self.lines) > len(shown) else "")
        if len(self.lines) == 1:
            head = f"leak: 1 row of {name} is a training row: line {numbers}"
        else:
            head = f"leak: {len(self.lines):,} rows of {name} are training rows: lines {numbers}"
        return f"{head} ({'; '.join(self.sentences)})"


def find_leak(training: Path, evaluated: Path) -> Leak:
    """Rows of `evaluated` that stand in `training`, exactly, with another answer, or nearly."""
    asked = ("validation", "near")
    known = examine(open_source(training), asked=asked)
    held = examine(open_source(evaluated), asked=asked, like=known.survey)
    found = find_leaks(known, held, name="the training rows", unit="line")
    sentences = tuple(one.message for one in found)
    return Leak(frozenset(find_leaked_places(known, held)), sentences)
