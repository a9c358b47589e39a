"""The figures of the crash tests, written to docs/proof.json and from there to the docs.

A part consists of shares, and counts only when all its shares pass in one session. An incomplete
part keeps its earlier figures. A part with a failed share loses its figures.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "docs" / "proof.json"

SINGLE_POINTS = "commands, killed at each point"
POINT_SEQUENCES = "commands, killed at points in a row"
RANDOM_TIMES = "commands, killed at random times"
UPLOADS = "uploads in parts, killed at random times"
SCHEDULES = "generated schedules"
POLLS = "polls answered by any error, then any command"
CREATES = "created jobs answered by any error, then any command"
FAULTS = "faults at a proxy"
ENGINE_POINTS = "engines and trainers, killed at each point"
ENGINE_RANDOM_TIMES = "engines and trainers, killed at random times"
LORA = "trainer lora, killed at each step and point"
PROVIDERS = "hosted providers, killed at each point"
# In the order of the table; no other part has figures.
PARTS = (
    SINGLE_POINTS,
    POINT_SEQUENCES,
    RANDOM_TIMES,
    UPLOADS,
    SCHEDULES,
    POLLS,
    CREATES,
    FAULTS,
    ENGINE_POINTS,
    ENGINE_RANDOM_TIMES,
    LORA,
    PROVIDERS,
)


@dataclass(frozen=True)
class Share:
    """Counts of runs, commands, kills and faults; `same` runs end as without kills and faults."""

    runs: int = 0
    commands: int = 0
    kills: int = 0
    faults: int = 0
    same: int = 0
    seconds: float = 0.0


def add_up(shares: Iterable[Share]) -> Share:
    """The sum of all shares."""
    all_shares = list(shares)
    return Share(
        **{
            field.name: sum(getattr(share, field.name) for share in all_shares)
            for field in fields(Share)
        }
    )


class Entry:
    """Holds the figures of one share of a part."""

    def __init__(self) -> None:
        self.share = Share()


class Figures:
    """Collects the figures of shares that pass."""

    def __init__(self) -> None:
        self._shares: dict[str, dict[int, Share]] = defaultdict(dict)
        self._share_counts: dict[str, int] = {}
        self._failed: set[str] = set()

    @contextmanager
    def enter(self, part: str, number: int, shares: int) -> Iterator[Entry]:
        """Record one of the `shares` of a part; it passes when the block raises nothing."""
        assert part in PARTS
        entry = Entry()
        try:
            yield entry
        except (Exception, pytest.fail.Exception):  # pytest-timeout raises the second
            self._failed.add(part)
            raise
        self._share_counts[part] = shares
        self._shares[part][number] = entry.share

    def find_total(self, part: str) -> Share | None:
        """The sum of the part's shares, if all of them have passed."""
        passed = self._shares.get(part, {})
        if part in self._failed or len(passed) < self._share_counts.get(part, 1):
            return None
        return add_up(passed.values())

    def write(self, path: Path = PATH) -> list[str]:
        """Update complete parts, remove failed ones, and return a line for each change."""
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        figures = {part: value for part, value in before.items() if part not in self._failed}
        lines = [f"{part}: failed; its figures are removed" for part in sorted(self._failed)]
        for part in self._shares.keys() - self._failed:
            total = self.find_total(part)
            if total:
                figures[part] = {**asdict(total), "seconds": round(total.seconds)}
                lines.append(f"{part}: {figures[part]}")
            else:
                lines.append(f"{part}: incomplete; its figures stay as they are")
        updated = {part: figures[part] for part in PARTS if part in figures}
        if updated != before:
            path.write_text(json.dumps(updated, indent=2, ensure_ascii=False) + "\n", "utf-8")
        return lines
