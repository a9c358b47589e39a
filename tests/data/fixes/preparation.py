"""Preparation of rows with a drafted plan or with given steps, in the folder of a test."""

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
class Preparation:
    """A drafted plan, the result of it and the prepared rows."""

    rows: list[dict[str, Json]]
    draft: PlanDraft
    result: PlanResult

    @property
    def pairs(self) -> list[tuple[Json, Json]]:
        """Prompt and completion of each row."""
        return [(row["prompt"], row["completion"]) for row in self.rows]

    @property
    def codes(self) -> list[str]:
        """The fixes that changed rows, in order."""
        return [stats.check or stats.code for stats in self.result.changed]

    def count(self, code: str) -> int:
        """The rows that a fix changed."""
        return sum(
            stats.count for stats in self.result.fix_stats if code in (stats.code, stats.check)
        )


def prepare_rows(
    folder: Path, rows: Sequence[object], confirm: ConfirmFix | None = None, **plan_options: object
) -> Preparation:
    """Prepare the rows with every proposed fix (or those that `confirm` accepts)."""
    path = write_rows(folder / "rows.jsonl", rows)
    return prepare_path(path, confirm, **plan_options)


def prepare_path(
    path: Path, confirm: ConfirmFix | None = None, **plan_options: object
) -> Preparation:
    """The same for an existing file."""
    options = ReadOptions()
    data_target = plan_options.pop("target", DataTarget())
    plan_settings = PlanOptions(target=data_target, **plan_options)  # type: ignore[arg-type]
    draft = draft_plan(lambda: open_source(path, options), options, plan_settings, confirm)
    target = path.with_name("out.jsonl")
    result = write_prepared(open_source(path, options), draft.plan, target)
    return Preparation(read_lines(target), draft, result)


def run_steps(folder: Path, rows: Sequence[object], *steps: PlanStep) -> list[dict[str, Json]]:
    """Apply these steps to the rows."""
    path = write_rows(folder / "rows.jsonl", rows)
    target = folder / "out.jsonl"
    write_prepared(open_source(path), DataPlan(steps), target)
    return read_lines(target)


def read_lines(path: Path) -> list[dict[str, Json]]:
    """The rows of a JSON lines file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]
