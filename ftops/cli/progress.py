"""Shows the progress of a run or a batch of requests: a line per stage and event, and a bar.

A pipe gets plain lines, without bar and color. Errors of the view never end a run: with a closed
pipe the view prints nothing more, and the command fails when it prints its result.
"""

import contextlib
import re
from collections import Counter
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ftops.cli.errors import Interrupted
from ftops.cli.format import render_bytes
from ftops.cli.output import Mode, Output
from ftops.cli.run_view import describe_attempt, render_event, render_header, render_stage
from ftops.clock import Clock
from ftops.errors import FtopsError
from ftops.records import JobEvent, Run, Stage, StageRecord, StageStatus
from ftops.runs.observer import NullObserver, Observer, find_progress

_METRICS = "metrics"
_INFO = "info"
_NUMBERS = re.compile(r"[0-9][0-9.,e-]*")
_SHOWN_PER_TEMPLATE = 2  # messages that differ only in their numbers
_FRACTION_BETWEEN_LINES = 0.1 - 1e-9  # of the training; 0.3 - 0.2 is a little less than 0.1
_NOTE_EVERY_S = 5.0
_CONTINUE = "Run the same command again to continue."


@contextlib.contextmanager
def show_run_progress(out: Output) -> Iterator[Observer]:
    """An observer that shows the run while the block runs."""
    if out.mode is Mode.QUIET:
        yield NullObserver()
        return
    with contextlib.ExitStack() as stack:
        yield RunProgress(out, stack)


class RunProgress:
    """Shows a run as lines on the console, above a bar on a terminal."""

    def __init__(self, out: Output, stack: contextlib.ExitStack) -> None:
        self._out = out
        self._stack = stack
        self._bar = StageBar(out.console) if out.console.is_terminal else None
        self._shown_until = 0.0  # the fraction of all steps up to which metrics were shown
        self._fraction = 0.0  # of all steps that are done
        self._templates: Counter[str] = Counter()  # messages so far, without their numbers
        self._hidden = 0
        if self._bar:
            stack.enter_context(self._bar.progress)

    def on_run_open(self, run: Run, *, resumed: bool) -> None:
        self._show(render_header(run, resumed=resumed))

    def on_stage_start(self, stage: Stage, attempt: int) -> None:
        if self._bar:
            self._bar.start(stage, attempt)

    def on_stage_end(self, record: StageRecord) -> None:
        if self._bar:
            self._bar.end()
        if self._hidden and record.stage is Stage.FOLLOW:
            self._show(f"    … and {self._hidden} similar events; the ledger has them all")
            self._hidden = 0
        if record.status is not StageStatus.PENDING:
            self._show(render_stage(record))

    def on_progress(self, stage: Stage, done: float, total: float | None, unit: str) -> None:
        if self._bar:
            self._bar.update(stage, done, total, unit)

    def on_job_status(self, status: str) -> None:
        if self._bar:
            self._bar.set_status(status)

    def on_event(self, event: JobEvent) -> None:
        if self._should_show(event):
            self._show(render_event(event))
        else:
            self._hidden += 1

    def on_note(self, text: str) -> None:
        self._show(f"  note: {text}")

    def _should_show(self, event: JobEvent) -> bool:
        """Whether to show an event: long trainings repeat messages that differ only in numbers.

        These are shown once per tenth of the training; warnings and errors are always shown.
        """
        progress = find_progress(event)
        if progress and progress[1]:
            self._fraction = progress[0] / progress[1]
        template = _NUMBERS.sub("#", event.message)
        self._templates[template] += 1
        if event.level != _INFO or self._templates[template] <= _SHOWN_PER_TEMPLATE:
            return True
        if event.type != _METRICS and not progress:
            return False
        due = self._fraction - self._shown_until >= _FRACTION_BETWEEN_LINES or self._fraction >= 1
        if due:
            self._shown_until = self._fraction
        return due

    def _show(self, renderable: RenderableType) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._out.show(renderable)


class StageBar:
    """A progress bar at the bottom of the terminal; removed when the command ends."""

    def __init__(self, console: Console) -> None:
        self.progress: Progress = Progress(
            TextColumn("  {task.description}", markup=False),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[amount]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._stage = ""

    def start(self, stage: Stage, attempt: int) -> None:
        self.end()
        self._stage = describe_attempt(stage, attempt)
        self._task = self.progress.add_task(self._stage, total=None, amount="")

    def update(self, stage: Stage, done: float, total: float | None, unit: str) -> None:
        if self._task is None:
            self.start(stage, attempt=1)
        if self._task is not None:
            amount = _render_amount(done, total, unit)
            self.progress.update(self._task, completed=done, total=total, amount=amount)

    def set_status(self, status: str) -> None:
        if self._task is not None:
            self.progress.update(self._task, description=f"{self._stage}: {status}")

    def end(self) -> None:
        if self._task is not None:
            self.progress.remove_task(self._task)
            self._task = None


def _render_amount(done: float, total: float | None, unit: str) -> str:
    if unit == "bytes":
        shown = [render_bytes(value) for value in (done, total) if value is not None]
        return " of ".join(shown)
    figures = f"{done:g}" if total is None else f"{done:g}/{total:g}"
    return f"{figures} {unit}"


class RequestProgress:
    """Shows how many responses have arrived; nothing in the JSON and quiet modes."""

    def __init__(self, out: Output, clock: Clock, *, with_bar: bool = True) -> None:
        self._out = out
        self._clock = clock
        self._noted_s = clock.monotonic_s()
        self._total = 0
        self._done = 0
        watched = with_bar and out.mode is Mode.HUMAN and out.console.is_terminal
        self.bar = StageBar(out.console) if watched else None

    def on_progress(self, done: int, total: int) -> None:
        self._done, self._total = done, total
        if self.bar is not None:
            self.bar.update(Stage.EVALUATE, done, total, "responses")
            return
        now_s = self._clock.monotonic_s()
        is_due = now_s - self._noted_s >= _NOTE_EVERY_S and done < total
        if is_due and self._out.mode is Mode.HUMAN:
            self._noted_s = now_s
            self._out.info(f"{done:,} of {total:,} responses received")

    def on_note(self, text: str) -> None:
        """Print a note, above the bar if there is one."""
        if self.bar is None:
            self._out.info(text)
        else:
            self._out.show(text)

    def describe(self) -> str:
        if not self._total:
            return "no responses yet"
        return f"{self._done:,} of {self._total:,} responses are cached"

    @property
    def is_partial(self) -> bool:
        """Whether some responses are missing."""
        return self._done < self._total

    @property
    def has_some(self) -> bool:
        return self._done > 0


@contextlib.contextmanager
def show_request_progress(
    out: Output, clock: Clock, *, with_bar: bool = True
) -> Iterator[RequestProgress]:
    """A view while the block runs; Interrupted when Ctrl-C ends it."""
    view = RequestProgress(out, clock, with_bar=with_bar)
    with contextlib.ExitStack() as stack:
        if view.bar is not None:
            stack.enter_context(view.bar.progress)
        try:
            yield view
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted; {view.describe()}", hint=_CONTINUE) from None
        except FtopsError:
            if view.is_partial:
                hint = ": run the same command again to continue" if view.has_some else ""
                view.on_note(view.describe() + hint)
            raise
