"""What the proof has shown, in numbers: docs/proof.json, from where they get into README.md.

A part of the proof consists of shares, and counts only when each of them has passed in one go: a
part that was run halfway leaves the figures of the last whole one as they are.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

PATH = Path(__file__).parents[2] / "docs" / "proof.json"


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


class Figures:
    """Gathers what has passed."""

    def __init__(self) -> None:
        self._shares: dict[str, dict[int, Share]] = defaultdict(dict)
        self._whole: dict[str, int] = {}

    def add(self, part: str, number: int, shares: int, share: Share) -> None:
        """The share of that number, out of so many, has passed."""
        self._whole[part] = shares
        self._shares[part][number] = share

    def find_total(self, part: str) -> Share | None:
        """All of the part, if all of it has passed."""
        found = self._shares.get(part, {})
        if len(found) < self._whole.get(part, 1):
            return None
        return add_up(found.values())

    def write(self, path: Path = PATH) -> list[str]:
        """Renew the parts that are whole; their lines."""
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        lines = []
        for part in self._shares:
            total = self.find_total(part)
            if total:
                known[part] = {**asdict(total), "seconds": round(total.seconds)}
                lines.append(f"{part}: {known[part]}")
        if lines:
            path.write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n", "utf-8")
        return lines
