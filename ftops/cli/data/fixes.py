"""What fixes do to rows, as text and as JSON: each with its count, before and after."""

import json
from collections.abc import Iterable, Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from ftops.cli.output import clean
from ftops.data.findings import Finding, Severity
from ftops.data.fixes.registry import FIXES
from ftops.data.plans.planner import PlanDraft, Proposal, find_stats
from ftops.data.plans.runner import FixExample, FixStats
from ftops.records import Json

_SHOWN_CHARACTERS = 72
_AROUND = 28
_SHOWN_LEFT = 6


def render_fix(stats: FixStats, reasons: Sequence[str], unit: str) -> Iterator[RenderableType]:
    """One fix: what it does, to how many rows, and what becomes of the first ones."""
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
            yield Text("      after   (left out)")
        else:
            yield Text(f"      after   {clean(after)}")


def show_change(example: FixExample) -> tuple[str, str | None]:
    """Both texts around the first place where they differ."""
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
    """About 70 characters of `text` around `at`, in quotes unless it is a row of its own."""
    first = max(0, min(at - _AROUND, len(text) - _SHOWN_CHARACTERS))
    piece = text[first : first + _SHOWN_CHARACTERS]
    lead = "…" if first else ""
    tail = "…" if first + len(piece) < len(text) else ""
    if whole:
        return f"{lead}{piece}{tail}"
    quoted = json.dumps(piece, ensure_ascii=False)
    return f'"{lead}{quoted[1:-1]}{tail}"'


def find_reasons(proposals: Iterable[Proposal], stats: FixStats) -> list[str]:
    """Why a fix was proposed."""
    reasons: dict[str, None] = {}
    for one in proposals:
        if find_stats([stats], one) is not None:
            reasons.update(dict.fromkeys(one.reasons))
    return list(reasons)


def render_left(left: Sequence[Finding]) -> Iterator[RenderableType]:
    """What the user is left with: findings that no fix of the plan answers."""
    for one in left[:_SHOWN_LEFT]:
        style = "red" if one.severity is Severity.ERROR else "yellow"
        yield Text(f"  left as it is  {one.code}: {clean(one.message)}", style)
    if len(left) > _SHOWN_LEFT:
        yield Text(f"  … and {len(left) - _SHOWN_LEFT} more; `ftops data check` tells all")


def fix_to_json(stats: FixStats, found: PlanDraft) -> Json:
    """One fix in the document of `ftops data prepare --json`."""
    values = next((step.values for step in found.plan.steps if step.code == stats.code), {})
    return {
        "code": stats.code,
        "check": stats.check or None,
        "title": FIXES[stats.code].TITLE,
        "reasons": [*find_reasons(found.taken, stats)],
        "rows": stats.count,
        "values": dict(values),
        "examples": [
            {"place": one.place, "before": one.before, "after": one.after} for one in stats.examples
        ],
    }


def left_to_json(left: Sequence[Finding]) -> Json:
    """Findings that stay, likewise."""
    return [{"code": one.code, "message": one.message} for one in left]
