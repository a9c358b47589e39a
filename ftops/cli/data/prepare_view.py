"""The output of `ftops data prepare`: applied fixes, unresolved findings, next steps."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from ftops.cli.data.next_steps import name_path, render_next_steps
from ftops.cli.output import Output, clean
from ftops.data.findings import Finding, Severity, format_rows
from ftops.data.fixes.registry import FIXES
from ftops.data.plans.inference import get_label_map, get_separator_and_stop
from ftops.data.plans.planner import PlanDraft, Proposal, find_stats
from ftops.data.plans.runner import FixExample, FixStats, PlanResult
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

    With `shown` each fix was already printed for confirmation.
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
        "unresolved": unresolved_to_json(left),
        "plan": found.plan.to_json(),
    }

    def human() -> Iterator[RenderableType]:
        if not shown:
            yield Text(source.name, "bold")
            if source.inferred:
                yield Text(f"  read as  {', '.join(source.inferred)}")
            yield Text(f"  task     {found.verdict.task}")
        yield from _render_fixes(outcome.changed, found, source.unit, shown)
        yield ""
        yield from render_unresolved(left)
        if rows is None or plan is None:
            yield from _render_dry_run(outcome)
        else:
            yield from _render_written(outcome, rows, plan)
            yield from _render_inference(found.plan)
            name = name_path(rows)
            if outcome.rows >= found.target.min_rows:
                yield from render_next_steps([["data", "split", name], ["init", name]])
            else:
                yield f"Next: add rows to {clean(source.name)}, and prepare it again."

    out.finish(document, essential=[str(path) for path in (rows, plan) if path], human=human)


def _render_fixes(
    fix_stats: Sequence[FixStats], found: PlanDraft, unit: str, shown: bool
) -> Iterator[RenderableType]:
    if not fix_stats:
        yield ""
        yield "No fixes are needed."
    for stats in () if shown else fix_stats:
        yield ""
        yield from render_fix(stats, list_reasons(found.accepted, stats), unit)


def _render_dry_run(outcome: PlanResult) -> Iterator[RenderableType]:
    yield f"{format_rows(outcome.rows)} would be written. Dry run: nothing was written."
    yield Text("Next: run with --yes, or at a terminal to confirm each fix.")


def _render_written(outcome: PlanResult, rows: Path, plan: Path) -> Iterator[RenderableType]:
    yield Text(f"{name_path(rows)} is written: {format_rows(outcome.rows)}.", "green")
    yield f"{name_path(plan)} repeats this with other data (--plan)."


def _render_inference(plan: DataPlan) -> Iterator[RenderableType]:
    """The required format of requests to the model."""
    separator, stop = get_separator_and_stop(plan)
    labels = get_label_map(plan)
    wants = [f"end prompts with {separator!r}"] if separator else []
    wants += [f"stop at {stop!r}"] if stop else []
    wants += [f"decode {len(labels)} numbers as labels"] if labels else []
    if wants:
        yield ""
        yield f"At inference: {', '.join(wants)}."
        yield "`ftops complete` does this if the job file names the plan; `ftops init` writes one."


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


_SHOWN_CHARACTERS = 72
_AROUND = 28
_SHOWN_LEFT = 6


def render_fix(stats: FixStats, reasons: Sequence[str], unit: str) -> Iterator[RenderableType]:
    """One fix: its effect, its number of rows, and the first changes."""
    fix = FIXES[stats.code]
    rows = "1 row" if stats.count == 1 else f"{stats.count:,} rows"
    head = Text().append(stats.code, "bold").append(f"  {fix.TITLE}: {rows}")
    if stats.check:
        head.append(f" ({stats.check})")
    yield head
    for reason in reasons:
        yield Text(f"    because   {clean(reason)}")
    for example in stats.examples:
        before, after = show_change(example)
        yield Text(f"    {unit} {example.place}")
        yield Text(f"      before  {clean(before)}")
        if after is None:
            yield Text("      after   (dropped)")
        else:
            yield Text(f"      after   {clean(after)}")


def show_change(example: FixExample) -> tuple[str, str | None]:
    """Both texts around their first difference."""
    before, after = example.before, example.after
    if after is None:
        return _excerpt(before, 0, example.whole), None
    start = 0
    for one, other in zip(before, after, strict=False):
        if one != other:
            break
        start += 1
    return _excerpt(before, start, example.whole), _excerpt(after, start, example.whole)


def _excerpt(text: str, at: int, whole: bool) -> str:
    """About 70 characters of `text` around `at`, in quotes unless it is a separate row."""
    first = max(0, min(at - _AROUND, len(text) - _SHOWN_CHARACTERS))
    piece = text[first : first + _SHOWN_CHARACTERS]
    lead = "…" if first else ""
    tail = "…" if first + len(piece) < len(text) else ""
    if whole:
        return f"{lead}{piece}{tail}"
    quoted = json.dumps(piece, ensure_ascii=False)
    return f'"{lead}{quoted[1:-1]}{tail}"'


def list_reasons(proposals: Iterable[Proposal], stats: FixStats) -> list[str]:
    """The reasons for a fix."""
    reasons: dict[str, None] = {}
    for one in proposals:
        if find_stats([stats], one) is not None:
            reasons.update(dict.fromkeys(one.reasons))
    return list(reasons)


def render_unresolved(left: Sequence[Finding]) -> Iterator[RenderableType]:
    """Findings that no fix of the plan resolves."""
    for one in left[:_SHOWN_LEFT]:
        style = "red" if one.severity is Severity.ERROR else "yellow"
        yield Text(f"  unresolved  {one.code}: {clean(one.message)}", style)
    if len(left) > _SHOWN_LEFT:
        yield Text(f"  … and {len(left) - _SHOWN_LEFT} more; run `ftops data check` for all")


def fix_to_json(stats: FixStats, found: PlanDraft) -> Json:
    """One fix in the document of `ftops data prepare --json`."""
    values = next((step.values for step in found.plan.steps if step.code == stats.code), {})
    return {
        "code": stats.code,
        "check": stats.check or None,
        "title": FIXES[stats.code].TITLE,
        "reasons": [*list_reasons(found.accepted, stats)],
        "rows": stats.count,
        "values": dict(values),
        "examples": [
            {"location": one.place, "before": one.before, "after": one.after}
            for one in stats.examples
        ],
    }


def unresolved_to_json(left: Sequence[Finding]) -> Json:
    """Unresolved findings as JSON."""
    return [{"code": one.code, "message": one.message} for one in left]
