"""Shows a run or a batch of requests while it happens: a line per stage and event, a bar.

A pipe gets plain lines, without a bar and without color. Nothing here may end a run: a closed
pipe makes the view silent, and the command itself finds out when it prints its result.
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
from ftops.cli.run_view import render_event, render_header, render_stage
from ftops.clock import Clock
from ftops.errors import FtopsError
from ftops.records import JobEvent, Run, Stage, StageRecord, StageStatus
from ftops.runs.feed import find_progress
from ftops.runs.observer import NullObserver, Observer

_METRICS = "metrics"
_INFO = "info"
_FIGURES = re.compile(r"[0-9][0-9.,e-]*")
_SHOWN_OF_A_SHAPE = 2  # messages that differ in their figures alone
_SHARE_BETWEEN_LINES = 0.1 - 1e-9  # of the training; 0.3 - 0.2 is a little less than 0.1
_NOTE_EVERY_S = 5.0
_CONTINUES = "The same command goes on from here."


@contextlib.contextmanager
def show_run_progress(out: Output) -> Iterator[Observer]:
    """An observer that shows what happens for as long as the block lasts."""
    if out.mode is Mode.QUIET:
        yield NullObserver()
        return
    with contextlib.ExitStack() as stack:
        yield RunProgress(out, stack)


class RunProgress:
    """Lines on the console that people watch, above a bar when that is a terminal."""

    def __init__(self, out: Output, stack: contextlib.ExitStack) -> None:
        self._out = out
        self._stack = stack
        self._bar = StageBar(out.console) if out.console.is_terminal else None
        self._shown_until = 0.0  # the share of all steps up to which figures were shown
        self._share = 0.0  # how far the job is
        self._shapes: Counter[str] = Counter()  # messages so far, by what they are but for figures
        self._held_back = 0
        if self._bar:
            stack.enter_context(self._bar.progress)

    def on_run_open(self, run: Run, *, resumed: bool) -> None:
        self._show(render_header(run, resumed=resumed))

    def on_stage_start(self, stage: Stage, attempt: int) -> None:
        if self._bar:
            self._bar.begin(stage, attempt)

    def on_stage_end(self, record: StageRecord) -> None:
        if self._bar:
            self._bar.end()
        if self._held_back and record.stage is Stage.FOLLOW:
            self._show(f"    … and {self._held_back} events like these; the run keeps them all")
            self._held_back = 0
        if record.status is not StageStatus.PENDING:
            self._show(render_stage(record))

    def on_progress(self, stage: Stage, done: float, total: float | None, unit: str) -> None:
        if self._bar:
            self._bar.move(stage, done, total, unit)

    def on_job_status(self, status: str) -> None:
        if self._bar:
            self._bar.say(status)

    def on_event(self, event: JobEvent) -> None:
        if self._is_worth_a_line(event):
            self._show(render_event(event))
        else:
            self._held_back += 1

    def on_note(self, text: str) -> None:
        self._show(f"  note: {text}")

    def _is_worth_a_line(self, event: JobEvent) -> bool:
        """Whether to show it: a long training tells the same again and again, figures apart.

        Such messages get a line for each tenth of the training; warnings and errors always do.
        """
        progress = find_progress(event)
        if progress and progress[1]:
            self._share = progress[0] / progress[1]
        shape = _FIGURES.sub("#", event.message)
        self._shapes[shape] += 1
        if event.level != _INFO or self._shapes[shape] <= _SHOWN_OF_A_SHAPE:
            return True
        if event.type != _METRICS and not progress:
            return False
        due = self._share - self._shown_until >= _SHARE_BETWEEN_LINES or self._share >= 1
        if due:
            self._shown_until = self._share
        return due

    def _show(self, renderable: RenderableType) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._out.show(renderable)


class StageBar:
    """One bar at the foot of the terminal; gone when the command ends."""

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

    def begin(self, stage: Stage, attempt: int) -> None:
        self.end()
        self._stage = stage.value if attempt == 1 else f"{stage.value} (attempt {attempt})"
        self._task = self.progress.add_task(self._stage, total=None, amount="")

    def move(self, stage: Stage, done: float, total: float | None, unit: str) -> None:
        if self._task is None:
            self.begin(stage, attempt=1)
        if self._task is not None:
            amount = _render_amount(done, total, unit)
            self.progress.update(self._task, completed=done, total=total, amount=amount)

    def say(self, status: str) -> None:
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
    """Told how many answers there are; shows it to people, and nothing to programs."""

    def __init__(self, out: Output, clock: Clock) -> None:
        self._out = out
        self._clock = clock
        self._said_s = clock.monotonic_s()
        self._total = 0
        self._done = 0
        watched = out.mode is Mode.HUMAN and out.console.is_terminal
        self.bar = StageBar(out.console) if watched else None

    def on_progress(self, done: int, total: int) -> None:
        """So many answers of so many are there."""
        self._done, self._total = done, total
        if self.bar is not None:
            self.bar.move(Stage.EVALUATE, done, total, "answers")
            return
        now_s = self._clock.monotonic_s()
        is_due = now_s - self._said_s >= _NOTE_EVERY_S and done < total
        if is_due and self._out.mode is Mode.HUMAN:
            self._said_s = now_s
            self._out.info(f"{done:,} of {total:,} answers are there")

    def on_note(self, text: str) -> None:
        """Something that the user should know; above the bar where there is one."""
        if self.bar is None:
            self._out.info(text)
        else:
            self._out.show(text)

    def describe(self) -> str:
        """How far it has come."""
        if not self._total:
            return "no answer was there yet"
        return f"{self._done:,} of {self._total:,} answers are kept"

    @property
    def is_partial(self) -> bool:
        """Whether answers were asked for, and some of them are missing."""
        return self._done < self._total

    @property
    def has_some(self) -> bool:
        """Whether answers are kept, with which the same command goes on."""
        return self._done > 0


@contextlib.contextmanager
def show_request_progress(out: Output, clock: Clock) -> Iterator[RequestProgress]:
    """A view for as long as the block lasts; Interrupted when Ctrl-C ends it."""
    view = RequestProgress(out, clock)
    with contextlib.ExitStack() as stack:
        if view.bar is not None:
            stack.enter_context(view.bar.progress)
        try:
            yield view
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted; {view.describe()}", hint=_CONTINUES) from None
        except FtopsError:
            if view.is_partial:
                again = ": the same command goes on from here" if view.has_some else ""
                view.on_note(view.describe() + again)
            raise
