"""Plans tried on rows, in a folder of the test's own."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ftops.data.checks.check import DataTarget
from ftops.data.plans.planner import ConfirmFix, PlanDraft, PlanOptions, draft_plan, write_prepared
from ftops.data.plans.runner import PlanResult
from ftops.data.reading.options import ReadOptions
from ftops.data.reading.source import open_source
from ftops.records import DataPlan, Json, PlanStep
from tests.data.data_files import write_rows


@dataclass(frozen=True)
class Trial:
    """What a preparation gave."""

    rows: list[dict[str, Json]]
    found: PlanDraft
    outcome: PlanResult

    @property
    def pairs(self) -> list[tuple[Json, Json]]:
        """Prompt and completion of each row."""
        return [(row["prompt"], row["completion"]) for row in self.rows]

    @property
    def codes(self) -> list[str]:
        """The fixes that did something, in their order."""
        return [stats.check or stats.code for stats in self.outcome.changed]

    def count(self, code: str) -> int:
        """The rows that a fix changed."""
        return sum(
            stats.count for stats in self.outcome.fix_stats if code in (stats.code, stats.check)
        )


def try_all(
    folder: Path, rows: Sequence[object], ask: ConfirmFix | None = None, **plan_options: object
) -> Trial:
    """Prepare the rows with every fix that is proposed (or that `ask` takes)."""
    path = write_rows(folder / "rows.jsonl", rows)
    return try_file(path, ask, **plan_options)


def try_file(path: Path, ask: ConfirmFix | None = None, **plan_options: object) -> Trial:
    """The same for a file that is there."""
    options = ReadOptions()
    data_target = plan_options.pop("target", DataTarget())
    wanted = PlanOptions(target=data_target, **plan_options)  # type: ignore[arg-type]
    found = draft_plan(lambda: open_source(path, options), options, wanted, ask)
    target = path.with_name("out.jsonl")
    outcome = write_prepared(open_source(path, options), found.plan, target)
    return Trial(read_lines(target), found, outcome)


def run_steps(folder: Path, rows: Sequence[object], *steps: PlanStep) -> list[dict[str, Json]]:
    """Do these steps to the rows."""
    path = write_rows(folder / "rows.jsonl", rows)
    target = folder / "out.jsonl"
    write_prepared(open_source(path), DataPlan(steps), target)
    return read_lines(target)


def read_lines(path: Path) -> list[dict[str, Json]]:
    """The rows of a JSON lines file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]
