"""What the proof has shown, in numbers: docs/proof.json, from where they get into README.md.

A part of the proof consists of shares, and counts only when each of them has passed in one go: a
part that was run halfway leaves the figures of the last whole one as they are. A part of which a
share has failed has no figures any more, and then the README has none for it, either.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "docs" / "proof.json"

SINGLES = "commands, killed at each point"
ROWS = "commands, killed at points in a row"
ANYTIME = "commands, killed at random times"
UPLOADS = "uploads in parts, killed at random times"
SCHEDULES = "generated schedules"
POLLS = "polls answered by any error, then any command"
CREATES = "created jobs answered by any error, then any command"
FAULTS = "faults at a proxy"
ENGINE_POINTS = "engines and trainers, killed at each point"
ENGINE_ANYTIME = "engines and trainers, killed at random times"
# As the table has them; what is told of a part that is not among them is a mistake.
PARTS = (
    SINGLES,
    ROWS,
    ANYTIME,
    UPLOADS,
    SCHEDULES,
    POLLS,
    CREATES,
    FAULTS,
    ENGINE_POINTS,
    ENGINE_ANYTIME,
)


@dataclass(frozen=True)
class Share:
    """`runs` of a job file each, by `commands` that suffered `kills` and `faults` of the provider;
    `same` ended as without them; all of it took `seconds`."""

    runs: int = 0
    commands: int = 0
    kills: int = 0
    faults: int = 0
    same: int = 0
    seconds: float = 0.0


def add_up(shares: Iterable[Share]) -> Share:
    """All of them together."""
    found = list(shares)
    return Share(
        **{
            field.name: sum(getattr(share, field.name) for share in found)
            for field in fields(Share)
        }
    )


class Entry:
    """Where a share of a part leaves its figures."""

    def __init__(self) -> None:
        self.share = Share()


class Figures:
    """Gathers what has passed."""

    def __init__(self) -> None:
        self._shares: dict[str, dict[int, Share]] = defaultdict(dict)
        self._whole: dict[str, int] = {}
        self._failed: set[str] = set()

    @contextmanager
    def enter(self, part: str, number: int, shares: int) -> Iterator[Entry]:
        """The share of that number, out of so many; it has passed when the block ends well."""
        assert part in PARTS
        entry = Entry()
        try:
            yield entry
        except (Exception, pytest.fail.Exception):  # the second one by a test that took too long
            self._failed.add(part)
            raise
        self._whole[part] = shares
        self._shares[part][number] = entry.share

    def find_total(self, part: str) -> Share | None:
        """All of the part, if all of it has passed."""
        found = self._shares.get(part, {})
        if part in self._failed or len(found) < self._whole.get(part, 1):
            return None
        return add_up(found.values())

    def write(self, path: Path = PATH) -> list[str]:
        """Renew the parts that are whole, and forget those that have failed; what was done."""
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        known = {part: value for part, value in before.items() if part not in self._failed}
        lines = [f"{part}: failed, and has no figures any more" for part in sorted(self._failed)]
        for part in self._shares.keys() - self._failed:
            total = self.find_total(part)
            if total:
                known[part] = {**asdict(total), "seconds": round(total.seconds)}
                lines.append(f"{part}: {known[part]}")
            else:
                lines.append(f"{part}: not run whole; its figures stay as they were")
        renewed = {part: known[part] for part in PARTS if part in known}
        if renewed != before:
            path.write_text(json.dumps(renewed, indent=2, ensure_ascii=False) + "\n", "utf-8")
        return lines
