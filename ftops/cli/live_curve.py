"""Draws the curve of a run while its job goes on; plain lines where nobody looks at a screen.

Nothing here may end a run: a closed pipe makes it silent.
"""

import contextlib
import threading
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from ftops.cli.format import cell, indent
from ftops.cli.output import Mode, Output
from ftops.cli.run_view import describe_event, describe_stage
from ftops.cli.training_views import render_results, render_training_curve
from ftops.ledger.ledger import Ledger
from ftops.records import JobEvent, Run, Stage, StageRecord, StageStatus
from ftops.reports.live_rows import find_total_steps, join_rows, read_event_row
from ftops.reports.results import ResultRow
from ftops.reports.training import TrainingFacts, make_training
from ftops.runs.observer import NullObserver, Observer

_LAST_STEPS = 4  # below the curve
_LINES = 20  # about so many for a whole training, beside those that measure validation
_LOUD = ("warn", "error")


@contextlib.contextmanager
def drawing(out: Output, ledger: Ledger, run: Run) -> Iterator[Observer]:
    """An observer that draws what the job's events tell for as long as the block lasts.

    It begins with what the ledger knows already.
    """
    if out.mode is Mode.QUIET:
        yield NullObserver()
        return
    curve = LiveCurve(out, run)
    for event in ledger.list_events(run.id):
        curve.learn(event)
    if not out.console.is_terminal:
        yield curve
        return
    # What stays behind is what the command ends with.
    with Live(
        console=out.console,
        get_renderable=curve.render,
        refresh_per_second=4,
        transient=True,
    ):
        curve.is_drawn = True
        yield curve


class LiveCurve:
    """The steps that the events have told so far."""

    def __init__(self, out: Output, run: Run) -> None:
        self.is_drawn = False
        self._out = out
        self._run = run
        self._rows: dict[int, ResultRow] = {}
        self._total: int | None = None
        self._status = run.status.value
        self._said_until = 0
        self._lock = threading.Lock()

    def learn(self, event: JobEvent) -> ResultRow | None:
        """Take in the figures of an event; the whole of what is known of its step."""
        row = read_event_row(event)
        with self._lock:
            self._total = find_total_steps([event]) or self._total
            if row is None:
                return None
            self._rows[row.step] = joined = join_rows(self._rows.get(row.step), row)
            return joined

    def render(self) -> RenderableType:
        """Title, curve and the last steps."""
        with self._lock:
            rows, total, status = list(self._rows.values()), self._total, self._status
        training = make_training(rows, TrainingFacts(total_steps=total))
        last = training.rows[-1].step if training.rows else 0
        so_far = f"  step {last:,}" + (f" of {total:,}" if total else "") if last else ""
        title = Text.assemble(cell(f"{self._run.name}  {self._run.id}", "bold"), f"  {status}")
        title.append(so_far, style="dim")
        curve = render_training_curve(training)
        if not curve:
            return Group(title, Text("  no figures yet", style="dim"))
        table = render_results(training.rows[-_LAST_STEPS:])
        return Group(title, "", indent(Text(curve)), "", indent(table))

    def on_run_open(self, run: Run, *, resumed: bool) -> None: ...
    def on_stage_start(self, stage: Stage, attempt: int) -> None:
        self._note_status(stage.value if attempt == 1 else f"{stage.value} (attempt {attempt})")

    def on_stage_end(self, record: StageRecord) -> None:
        if not self.is_drawn and record.status is not StageStatus.PENDING:
            self._show(describe_stage(record))

    def on_progress(self, stage: Stage, done: float, total: float | None, unit: str) -> None: ...

    def on_job_status(self, status: str) -> None:
        self._note_status(status)
        if not self.is_drawn:
            self._show(f"job {status}")

    def on_event(self, event: JobEvent) -> None:
        row = self.learn(event)
        if event.level in _LOUD:
            self._show(describe_event(event))
        if row and not self.is_drawn and self._is_worth_a_line(row):
            self._said_until = row.step
            self._show(_describe_row(row, self._total))

    def on_note(self, text: str) -> None:
        self._show(f"note: {text}")

    def _is_worth_a_line(self, row: ResultRow) -> bool:
        is_measured = row.valid_loss is not None or row.full_valid_loss is not None
        every = max(1, (self._total or 0) // _LINES)
        return is_measured or row.step - self._said_until >= every or row.step == self._total

    def _note_status(self, status: str) -> None:
        with self._lock:
            self._status = status

    def _show(self, renderable: RenderableType) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._out.show(renderable)


def _describe_row(row: ResultRow, total: int | None) -> str:
    parts = [f"step {row.step}" + (f" of {total}" if total else "")]
    for words, value in (
        ("training loss", row.train_loss),
        ("validation loss", row.valid_loss),
        ("full validation loss", row.full_valid_loss),
    ):
        if value is not None:
            parts.append(f"{words} {value:.4f}")
    return "  ".join(parts)
