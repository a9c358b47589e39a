"""Shows a run while it happens: a line for each stage and event, a bar on a terminal.

To a pipe go plain lines, without a bar and without colour. Nothing here may end a run: a closed
pipe makes the watcher silent, and the command itself finds out when it prints its result.
"""

import contextlib
import re
from collections import Counter
from collections.abc import Iterator

from rich.console import RenderableType

from ftops.cli.bar import StageBar
from ftops.cli.output import Mode, Output
from ftops.cli.run_view import describe_event, describe_stage, render_header
from ftops.records import JobEvent, Run, Stage, StageRecord, StageStatus
from ftops.runs.feed import find_progress
from ftops.runs.observer import NullObserver, Observer

_METRICS = "metrics"
_INFO = "info"
_FIGURES = re.compile(r"[0-9][0-9.,e-]*")
_SHOWN_OF_A_SHAPE = 2  # messages that differ in their figures alone
_SHARE_BETWEEN_LINES = 0.1 - 1e-9  # of the training; 0.3 - 0.2 is a little less than 0.1


@contextlib.contextmanager
def watching(out: Output) -> Iterator[Observer]:
    """An observer that shows what happens for as long as the block lasts."""
    if out.mode is Mode.QUIET:
        yield NullObserver()
        return
    with contextlib.ExitStack() as stack:
        yield Watcher(out, stack)


class Watcher:
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
            self._show(describe_stage(record))

    def on_progress(self, stage: Stage, done: float, total: float | None, unit: str) -> None:
        if self._bar:
            self._bar.move(stage, done, total, unit)

    def on_job_status(self, status: str) -> None:
        if self._bar:
            self._bar.say(status)

    def on_event(self, event: JobEvent) -> None:
        if self._is_worth_a_line(event):
            self._show(describe_event(event))
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
