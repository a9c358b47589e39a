"""How `ftops data prepare` ends: what was done, what is left, and what to do next."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from ftops.cli.data.fixes import (
    find_reasons,
    fix_to_json,
    left_to_json,
    render_fix,
    render_left,
)
from ftops.cli.data.next_steps import name_path, render_next
from ftops.cli.output import Output, clean
from ftops.data.findings import format_rows
from ftops.data.plans.inference import get_label_map, get_separator_and_stop
from ftops.data.plans.planner import PlanDraft
from ftops.data.plans.runner import FixStats, PlanResult
from ftops.data.reading.source import Source
from ftops.records import DataPlan, Json


def finish(
    out: Output,
    source: Source,
    found: PlanDraft,
    outcome: PlanResult,
    rows: Path | None,
    plan: Path | None,
    *,
    shown: bool,
) -> None:
    """The end of a preparation; without `rows` and `plan` nothing was written.

    `shown` says that the user has seen each fix already, when it was asked about.
    """
    left = found.list_unresolved(outcome.rows)
    document: dict[str, Json] = {
        "file": source.name,
        "inferred": list(source.inferred),
        "written": rows is not None,
        "out": str(rows) if rows else None,
        "plan_file": str(plan) if plan else None,
        "task": found.verdict.task,
        "rows": outcome.rows,
        "fixes": [fix_to_json(stats, found) for stats in outcome.changed],
        "left": left_to_json(left),
        "plan": found.plan.to_json(),
    }

    def human() -> Iterator[RenderableType]:
        if not shown:
            yield Text(source.name, "bold")
            if source.inferred:
                yield Text(f"  read as  {', '.join(source.inferred)}")
            yield Text(f"  task     {found.verdict.task}")
        yield from _render_deeds(outcome.changed, found, source.unit, shown)
        yield ""
        yield from render_left(left)
        if rows is None or plan is None:
            yield from _render_dry_run(outcome)
        else:
            yield from _render_written(outcome, rows, plan)
            yield from _render_asking(found.plan)
            name = name_path(rows)
            if outcome.rows >= found.target.min_rows:
                yield from render_next([["data", "split", name], ["init", name]])
            else:
                yield f"Next: add rows to {clean(source.name)}, and prepare it again."

    out.finish(document, essential=[str(path) for path in (rows, plan) if path], human=human)


def _render_deeds(
    fix_stats: Sequence[FixStats], found: PlanDraft, unit: str, shown: bool
) -> Iterator[RenderableType]:
    if not fix_stats:
        yield ""
        yield "Nothing needs to be mended."
    for stats in () if shown else fix_stats:
        yield ""
        yield from render_fix(stats, find_reasons(found.taken, stats), unit)


def _render_dry_run(outcome: PlanResult) -> Iterator[RenderableType]:
    yield f"{format_rows(outcome.rows)} would be written. Nothing was: this was a dry run."
    yield Text("Next: the same with --yes, or at a terminal, where each fix is a question.")


def _render_written(outcome: PlanResult, rows: Path, plan: Path) -> Iterator[RenderableType]:
    yield Text(f"{name_path(rows)} is written: {format_rows(outcome.rows)}.", "green")
    yield f"{name_path(plan)} repeats this with other data (--plan)."


def _render_asking(plan: DataPlan) -> Iterator[RenderableType]:
    """What whoever asks the model has to do, and what does it for them."""
    separator, stop = get_separator_and_stop(plan)
    labels = get_label_map(plan)
    wants = [f"end prompts with {separator!r}"] if separator else []
    wants += [f"stop at {stop!r}"] if stop else []
    wants += [f"read {len(labels)} numbers as labels"] if labels else []
    if wants:
        yield ""
        yield f"To ask the model: {', '.join(wants)}."
        yield "`ftops complete` does, when the job file names the plan; `ftops init` writes it so."


def finish_plan(
    out: Output, source: Source, plan: DataPlan, outcome: PlanResult, rows: Path
) -> None:
    """The end of a preparation that repeated a plan."""
    document: dict[str, Json] = {
        "file": source.name,
        "inferred": list(source.inferred),
        "written": True,
        "out": str(rows),
        "plan_file": plan.name,
        "rows": outcome.rows,
        "fixes": [{"code": stats.code, "rows": stats.count} for stats in outcome.fix_stats],
    }

    def human() -> Iterator[RenderableType]:
        for stats in outcome.changed:
            yield from render_fix(stats, (), source.unit)
        written = (
            f"{name_path(rows)} is written by {clean(plan.name)}: {format_rows(outcome.rows)}."
        )
        yield Text(written, "green")

    out.finish(document, essential=[str(rows)], human=human)
