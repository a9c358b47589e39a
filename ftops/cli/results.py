"""`ftops results`: training metrics by step as table, curve and CSV, with diagnostics."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger
from ftops.cli.format import cell, indent
from ftops.cli.output import Mode, Output
from ftops.cli.run import drive_observed
from ftops.cli.run_view import LOUD_LEVELS, describe_attempt, render_event, render_stage
from ftops.cli.training_view import (
    list_findings,
    render_compared_runs,
    render_results,
    render_run_results,
    render_training_curve,
    training_document,
)
from ftops.errors import RunError
from ftops.files import write_atomic
from ftops.ledger.ledger import Ledger
from ftops.records import JobEvent, Run, Stage, StageRecord, StageStatus
from ftops.reports.results import ResultRow, render_csv_of_runs
from ftops.reports.training import (
    Training,
    TrainingFacts,
    create_training,
    find_total_steps,
    join_rows,
    read_event_row,
)
from ftops.runs.observer import NullObserver, Observer
from ftops.runs.open_run import load_evaluation, load_raw_results, load_training

RunRefs = Annotated[
    list[str],
    typer.Argument(
        metavar="ID...",
        help="Run id (or at least its first 4 letters), job id, model or job name; several are"
        " compared.",
    ),
]
CsvFile = Annotated[
    Path | None,
    typer.Option(
        "--csv",
        metavar="FILE",
        help="Write CSV with the same columns for every provider; - for stdout.",
    ),
]
RawFile = Annotated[
    Path | None,
    typer.Option(
        "--raw",
        metavar="FILE",
        help="Write the unmodified results file of the provider; - for stdout.",
    ),
]
Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Continue the run, and draw its curve live.")
]
AllRows = Annotated[bool, typer.Option("--all", help="Show every step.")]
_LAST_STEPS = 4  # below the curve
_LINES = 20  # approximate number for a training, plus those with validation


@command(
    "results",
    examples=[
        "ftops results news-topics",
        "ftops results run-20261122-1407-k3f9 --csv r.csv",
        "ftops results run-20261122-1407-k3f9 run-20261123-0915-a2b4",
        "ftops results news-topics --follow",
    ],
)
def results(
    out: Output,
    refs: RunRefs,
    csv_file: CsvFile = None,
    raw_file: RawFile = None,
    follow: Follow = False,
    all_rows: AllRows = False,
) -> None:
    """Show training metrics by step, with diagnostics.

    Shows a curve, diagnostics and a table; the curves of several runs share one chart. A diagnostic
    says what to do, and which checkpoint is best.
    """
    if csv_file is not None and raw_file is not None:
        raise typer.BadParameter("give --csv or --raw, not both")
    if len(refs) > 1 and (follow or raw_file is not None):
        raise typer.BadParameter("--follow and --raw take one run")
    with open_ledger() as ledger:
        runs = list({run.id: run for run in map(ledger.get_run, refs)}.values())
        if follow:
            runs = [_follow(out, ledger, runs[0])]
        if raw_file is not None:
            _write_raw(out, runs[0], raw_file)
            return
        trainings = [(run, _load(run, ledger)) for run in runs]
    if csv_file is not None:
        _write_csv(out, trainings, csv_file)
    else:
        _show(out, trainings, all_rows=all_rows)


def _follow(out: Output, ledger: Ledger, run: Run) -> Run:
    """Drive the run to its end, and draw its curve."""
    with show_curve(out, ledger, run) as observer:
        run, _ = drive_observed(out, ledger, run.provider, lambda _context: run, observer)
    return run


def _load(run: Run, ledger: Ledger) -> Training:
    training = load_training(run, ledger.list_stages(run.id), get_home())
    if run.pruned_at is not None and not training.rows:
        raise _create_pruned_error(run)
    return training


def _create_pruned_error(run: Run) -> RunError:
    return RunError(
        f"the results of {run.id} were removed by `ftops prune` on {run.pruned_at:%Y-%m-%d}",
        hint=f"`ftops show {run.id}` shows the records of the ledger.",
    )


def _write_raw(out: Output, run: Run, path: Path) -> None:
    content = load_raw_results(run, get_home())
    if content is None and run.pruned_at is not None:
        raise _create_pruned_error(run)
    if content is None:
        raise RunError(
            f"{run.id} has no results file yet",
            hint=f"`ftops follow {run.id}` continues the run.",
        )
    if str(path) == "-":
        text = content.decode("utf-8", "replace")
        out.finish_text({"run_id": run.id, "content": text}, text)
        return
    write_atomic(path, content, mode=0o644)
    out.finish(
        {"run_id": run.id, "file": str(path), "bytes": len(content)},
        essential=[str(path)],
        human=lambda: [f"Wrote {path} ({len(content):,} bytes, unmodified)."],
    )


def _write_csv(out: Output, trainings: Sequence[tuple[Run, Training]], path: Path) -> None:
    named = len(trainings) > 1
    text = render_csv_of_runs(
        [(run.id if named else "", training.rows) for run, training in trainings]
    )
    documents = [training_document(run, training, ()) for run, training in trainings]
    document = documents if named else documents[0]
    if str(path) == "-":
        out.finish_text(list(documents) if named else documents[0], text)
        return
    write_atomic(path, text.encode(), mode=0o644)
    steps = sum(len(training.rows) for _, training in trainings)
    out.finish(
        list(document) if isinstance(document, list) else document,
        essential=[str(path)],
        human=lambda: [f"Wrote {path} with {steps} steps."],
    )


def _show(out: Output, trainings: Sequence[tuple[Run, Training]], *, all_rows: bool) -> None:
    evaluated = [(run, training, load_evaluation(run, get_home())) for run, training in trainings]
    named = len(evaluated) > 1
    documents = [
        training_document(run, training, list_findings(training, evaluation))
        for run, training, evaluation in evaluated
        if out.mode is Mode.JSON
    ]
    table = [(run.id if named else "", training.rows) for run, training in trainings]
    out.finish(
        list(documents) if named or not documents else documents[0],
        essential=render_csv_of_runs(table).splitlines() if out.mode is Mode.QUIET else (),
        human=lambda: (
            render_compared_runs(evaluated)
            if named
            else render_run_results(*evaluated[0], all_rows=all_rows)
        ),
    )


@contextlib.contextmanager
def show_curve(out: Output, ledger: Ledger, run: Run) -> Iterator[Observer]:
    """An observer that draws the metrics of the events while the block runs.

    The curve starts with the events of the ledger.
    """
    if out.mode is Mode.QUIET:
        yield NullObserver()
        return
    curve = LiveCurve(out, run)
    for event in ledger.list_events(run.id):
        curve.add(event)
    if not out.console.is_terminal:
        yield curve
        return
    # It is removed at the end: the command prints the final curve.
    with Live(
        console=out.console,
        get_renderable=curve.render,
        refresh_per_second=4,
        transient=True,
    ):
        curve.is_drawn = True
        yield curve


class LiveCurve:
    """A live curve of the metrics of the events so far."""

    def __init__(self, out: Output, run: Run) -> None:
        self.is_drawn = False
        self._out = out
        self._run = run
        self._rows: dict[int, ResultRow] = {}
        self._total: int | None = None
        self._status = run.status.value
        self._shown_until = 0
        self._lock = threading.Lock()

    def add(self, event: JobEvent) -> ResultRow | None:
        """Add the metrics of an event; returns all known metrics of its step."""
        row = read_event_row(event)
        with self._lock:
            self._total = find_total_steps([event]) or self._total
            if row is None:
                return None
            self._rows[row.step] = joined = join_rows(self._rows.get(row.step), row)
            return joined

    def render(self) -> RenderableType:
        """The title, the curve and the last steps."""
        with self._lock:
            rows, total, status = list(self._rows.values()), self._total, self._status
        training = create_training(rows, TrainingFacts(total_steps=total))
        last = training.rows[-1].step if training.rows else 0
        position = f"  step {last:,}" + (f" of {total:,}" if total else "") if last else ""
        title = Text.assemble(cell(f"{self._run.name}  {self._run.id}", "bold"), f"  {status}")
        title.append(position, style="dim")
        curve = render_training_curve(training)
        if not curve:
            return Group(title, Text("  no metrics yet", style="dim"))
        table = render_results(training.rows[-_LAST_STEPS:])
        return Group(title, "", indent(Text(curve)), "", indent(table))

    def on_run_open(self, run: Run, *, resumed: bool) -> None: ...
    def on_stage_start(self, stage: Stage, attempt: int) -> None:
        self._note_status(describe_attempt(stage, attempt))

    def on_stage_end(self, record: StageRecord) -> None:
        if not self.is_drawn and record.status is not StageStatus.PENDING:
            self._show(render_stage(record))

    def on_progress(self, stage: Stage, done: float, total: float | None, unit: str) -> None: ...

    def on_job_status(self, status: str) -> None:
        self._note_status(status)
        if not self.is_drawn:
            self._show(f"job {status}")

    def on_event(self, event: JobEvent) -> None:
        row = self.add(event)
        if event.level in LOUD_LEVELS:
            self._show(render_event(event))
        if row and not self.is_drawn and self._should_show(row):
            self._shown_until = row.step
            self._show(_describe_row(row, self._total))

    def on_note(self, text: str) -> None:
        self._show(f"note: {text}")

    def _should_show(self, row: ResultRow) -> bool:
        is_validated = row.valid_loss is not None or row.full_valid_loss is not None
        interval = max(1, (self._total or 0) // _LINES)
        return is_validated or row.step - self._shown_until >= interval or row.step == self._total

    def _note_status(self, status: str) -> None:
        with self._lock:
            self._status = status

    def _show(self, renderable: RenderableType) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._out.show(renderable)


def _describe_row(row: ResultRow, total: int | None) -> str:
    parts = [f"step {row.step}" + (f" of {total}" if total else "")]
    for label, value in (
        ("training loss", row.train_loss),
        ("validation loss", row.valid_loss),
        ("full validation loss", row.full_valid_loss),
    ):
        if value is not None:
            parts.append(f"{label} {value:.4f}")
    return "  ".join(parts)
