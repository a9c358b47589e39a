"""Training curves, result tables and diagnostics, in 80 columns and as JSON."""

import textwrap
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftops.cli.evaluation_view import render_evaluation
from ftops.cli.format import (
    CURVE_HEIGHT,
    WIDTH,
    cell,
    heading,
    indent,
    make_table,
)
from ftops.cli.output import clean, hang
from ftops.evaluation.result import Evaluation
from ftops.records import Json, Run
from ftops.reports.diagnostic_checks import Diagnostic
from ftops.reports.diagnostics import diagnose
from ftops.reports.results import HEADERS, ResultRow
from ftops.reports.terminal_chart import Series, Ticks, render_curve
from ftops.reports.training import Training

_MAX_EPOCH_MARKS = 30  # more would hide the axis
_MAX_POINTS = 40  # of one run in a chart of several
_FINDING_SIGN = "  ! "
SHOWN_RESULTS = 7
# title, field of ResultRow, number format, whether the column is always shown
_RESULT_COLUMNS = (
    ("step", "step", "d", True),
    ("epoch", "epoch", "d", False),
    ("train\nloss", "train_loss", ".4f", True),
    ("train\naccuracy", "train_accuracy", ".4f", True),
    ("valid\nloss", "valid_loss", ".4f", True),
    ("valid\naccuracy", "valid_accuracy", ".4f", True),
    ("full valid\nloss", "full_valid_loss", ".4f", False),
    ("learning\nrate", "learning_rate", ".2e", False),
)


def list_findings(training: Training, evaluation: Evaluation | None) -> list[Diagnostic]:
    """The diagnostics of a training and its evaluation."""
    first = evaluation.candidates[0] if evaluation and evaluation.candidates else None
    return diagnose(training, first.classes if first else ())


def render_training_curve(
    training: Training, findings: Sequence[Diagnostic] = (), *, height: int = CURVE_HEIGHT
) -> str:
    """Training and validation loss with epochs and the best checkpoint; "" without losses."""
    series = [Series("training", _list_points(training.rows, "train_loss"))]
    for label, name in (("validation", "valid_loss"), ("full validation", "full_valid_loss")):
        points = _list_points(training.rows, name)
        if points:
            series.append(Series(label, points))
    ends = training.epoch_ends
    best = [finding.checkpoint.step for finding in findings if finding.checkpoint]
    return render_curve(
        series,
        width=WIDTH - 2,
        height=height,
        ticks=[
            Ticks("┴", "end of epoch", ends if len(ends) <= _MAX_EPOCH_MARKS else ()),
            Ticks("▲", "best checkpoint", best),
        ],
    )


def render_findings(findings: Sequence[Diagnostic], *, of: str = "") -> Iterator[RenderableType]:
    """A paragraph per diagnostic: its code, its meaning and the next step; `of` names the run."""
    if not findings:
        return
    yield heading(f"Diagnostics of {clean(of)}" if of else "Diagnostics")
    for finding in findings:
        paragraph = _wrap(f"{finding.code}: {clean(finding.message)}")
        text = Text.assemble((finding.code, "bold yellow"), paragraph.removeprefix(finding.code))
        text.append(f"\n{_wrap(clean(finding.advice))}", style="dim")
        yield hang(Text(_FINDING_SIGN, style="yellow"), text)


def render_overlay(runs: Sequence[tuple[str, Training]], *, height: int = CURVE_HEIGHT) -> str:
    """The loss of several runs as points: validation loss if all have it, else training loss."""
    name, words = choose_loss([training for _, training in runs])
    series = [
        Series(label, _downsample(_list_points(training.rows, name))) for label, training in runs
    ]
    label = f"{words} (nats per token)"
    return render_curve(series, width=WIDTH - 2, height=height, lines=0, y_label=label)


def choose_loss(trainings: Sequence[Training]) -> tuple[str, str]:
    """The column and the name of the loss that compares the trainings.

    A validation loss with only one point is chosen if no other validation loss has more.
    """
    validation = (("full_valid_loss", "full validation loss"), ("valid_loss", "validation loss"))
    for min_points in (2, 1):
        for name, words in validation:
            if all(len(_list_points(training.rows, name)) >= min_points for training in trainings):
                return name, words
    return "train_loss", "training loss"


def render_compared(runs: Sequence[tuple[str, str, Training]]) -> Table:
    """One line per run: its lowest and its last loss, and their steps."""
    name, words = choose_loss([training for _, _, training in runs])
    right = ("steps", "epochs", "lowest", "at step", "last")
    table = make_table("run", "name", *right, right=right, whole=("run",))
    for run_id, run_name, training in runs:
        points = _list_points(training.rows, name)
        step, lowest = min(points, key=lambda point: point[1]) if points else (0, None)
        table.add_row(
            cell(run_id, "cyan"),
            cell(run_name),
            str(training.rows[-1].step if training.rows else ""),
            cell(training.rows[-1].epoch if training.rows else None),
            "" if lowest is None else f"{lowest:.4f}",
            f"{step:g}" if points else "",
            f"{points[-1][1]:.4f}" if points else "",
        )
    table.title, table.title_justify, table.title_style = words.capitalize(), "left", "bold"
    return table


def render_single(
    training: Training, findings: Sequence[Diagnostic], *, height: int = CURVE_HEIGHT
) -> Iterator[RenderableType]:
    """The curve with its heading, then the diagnostics; nothing without losses."""
    curve = render_training_curve(training, findings, height=height)
    if curve:
        yield heading("Training")
        yield indent(Text(curve))
    yield from render_findings(findings)


def _wrap(text: str) -> str:
    """Wrap the text without breaking names."""
    width = WIDTH - len(_FINDING_SIGN)
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)


def _list_points(rows: Sequence[ResultRow], name: str) -> list[tuple[float, float]]:
    return [(row.step, value) for row in rows if (value := getattr(row, name)) is not None]


def _downsample(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `_MAX_POINTS` points: means of neighbors."""
    size = -(-len(points) // _MAX_POINTS) or 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def render_results(rows: Sequence[ResultRow], *, limit: int | None = SHOWN_RESULTS) -> Table:
    """Loss and accuracy by step: all steps, or up to `limit` of them.

    A metric that only some providers report has a column only if it was reported.
    """
    columns = [
        (title, name, digits)
        for title, name, digits, always in _RESULT_COLUMNS
        if always or any(getattr(row, name) is not None for row in rows)
    ]
    titles = [title for title, _, _ in columns]
    table = make_table(*titles, right=titles)
    for row in rows if limit is None else choose_rows(rows, limit):
        table.add_row(*(_format_number(getattr(row, name), digits) for _, name, digits in columns))
    return table


def choose_rows(rows: Sequence[ResultRow], limit: int) -> list[ResultRow]:
    """The first, the last and some rows between, preferably those with validation metrics."""
    if len(rows) <= limit:
        return list(rows)
    validated = [
        row for row in rows[1:-1] if row.valid_loss is not None or row.full_valid_loss is not None
    ]
    between = validated if len(validated) >= limit - 2 else list(rows[1:-1])
    stride = len(between) / (limit - 2)
    return [
        rows[0],
        *(between[int((index + 0.5) * stride)] for index in range(limit - 2)),
        rows[-1],
    ]


def _format_number(value: float | None, digits: str) -> str:
    return "" if value is None else format(value, digits)


def result_document(row: ResultRow) -> dict[str, Json]:
    """One step with the column names of the CSV."""
    metrics: dict[str, Json] = {titles[0]: getattr(row, name) for name, titles in HEADERS.items()}
    return {"step": row.step, **metrics, **row.extra}


def training_document(
    run: Run, training: Training, findings: Sequence[Diagnostic]
) -> dict[str, Json]:
    """A run for `ftops results --json`: its steps, checkpoints and diagnostics."""
    return {
        "run_id": run.id,
        "name": run.name,
        "status": run.status.value,
        "job_id": run.job_id,
        "fine_tuned_model": run.fine_tuned_model,
        "steps": [result_document(row) for row in training.rows],
        "epoch_ends": list(training.epoch_ends),
        "checkpoints": [checkpoint.to_json() for checkpoint in training.facts.checkpoints],
        "findings": [finding.to_json() for finding in findings],
    }


def _render_steps(rows: Sequence[ResultRow], limit: int | None) -> Iterator[RenderableType]:
    yield heading("Results")
    yield indent(render_results(rows, limit=limit))
    if limit is not None and len(rows) > limit:
        yield Text(f"  {len(rows)} steps; --all shows each, --csv writes them", style="dim")


def render_run_results(
    run: Run, training: Training, evaluation: Evaluation | None, *, all_rows: bool
) -> Iterator[RenderableType]:
    """Curve, diagnostics, table and evaluation; for `ftops results`."""
    yield cell(f"{run.name}  {run.id}", "bold")
    findings = list_findings(training, evaluation)
    yield from render_single(training, findings)
    if training.rows:
        yield from _render_steps(training.rows, None if all_rows else SHOWN_RESULTS)
    else:
        yield cell(f"No results: the run is {run.status.value}. `ftops show {run.id}` shows more.")
    if evaluation is not None:
        yield from render_evaluation(evaluation)


def render_compared_runs(
    runs: Sequence[tuple[Run, Training, Evaluation | None]],
) -> Iterator[RenderableType]:
    """Several runs in one chart and one table, then the diagnostics of each."""
    overlay = render_overlay([(run.id, training) for run, training, _ in runs])
    if overlay:
        yield indent(Text(overlay))
        yield ""
    yield indent(render_compared([(run.id, run.name, training) for run, training, _ in runs]))
    for run, training, evaluation in runs:
        findings = list_findings(training, evaluation)
        yield from render_findings(findings, of=run.id)
