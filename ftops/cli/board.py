"""Shows many runs at once: on a terminal one table that changes in place, elsewhere plain lines.

The threads of the runs only note what they see; the table is drawn by the command's own thread,
and only when something has changed, because a hundred rows take a while to draw.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.live import Live

from ftops.cli.format import cell, describe_status, make_table, render_bytes
from ftops.cli.output import Mode, Output
from ftops.cli.run_view import describe_outcome
from ftops.errors import FtopsError
from ftops.records import JobEvent, Run, Stage, StageRecord, StageStatus
from ftops.runs.observer import Observer
from ftops.runs.parallel import TaskResult

_LOUD = ("warn", "error")  # levels of events that get a line among those of other runs


@dataclass(slots=True)
class _Row:
    """What is known of one job file's run."""

    name: str
    run: Run | None = None
    status: str = "waiting"
    doing: str = ""


class Board:
    """The rows of all runs, in the order of their job files."""

    def __init__(self, out: Output, names: Sequence[str]) -> None:
        self._out = out
        self._rows = [_Row(name) for name in names]
        self._lock = threading.Lock()
        self._changed = True
        self.live: Live | None = None

    @property
    def out(self) -> Output:
        return self._out

    @property
    def runs(self) -> list[Run | None]:
        """The runs as they were opened; None where none was."""
        return [row.run for row in self._rows]

    def observe(self, index: int) -> Observer:
        """Who watches the run in that row."""
        return _RowObserver(self, index)

    def end(self, index: int, ending: TaskResult) -> None:
        """The row's run has come to its end, or cannot go on."""
        row, error = self._rows[index], ending.error
        if isinstance(error, FtopsError):
            status, doing = "failed", error.message.partition("\n")[0]  # the rest follows below
        else:
            status, doing = (ending.run.status.value if ending.run else "failed"), row.doing
            doing = (ending.run.fine_tuned_model or doing) if ending.run else str(error)
        self.note(index, status=status, doing=doing, line=f"{status}  {doing}")

    def note(
        self,
        index: int,
        *,
        run: Run | None = None,
        status: str | None = None,
        doing: str | None = None,
        line: str = "",
    ) -> None:
        """Take down what changed in a row; `line` is what a pipe gets of it."""
        with self._lock:
            row = self._rows[index]
            row.run, row.status = run or row.run, status or row.status
            row.doing = row.doing if doing is None else doing
            self._changed = True
            if line and self.live is None and self._out.mode is not Mode.QUIET:
                with contextlib.suppress(OSError, ValueError):  # watching may end, runs go on
                    self._out.show(f"{row.name}: {line}")

    def refresh(self) -> None:
        """Draw the table anew if something has changed."""
        if self.live is None or not self._changed:
            return
        self._changed = False
        with contextlib.suppress(OSError, ValueError):
            self.live.update(self.render(), refresh=True)

    def render(self) -> RenderableType:
        """One line a job file."""
        table = make_table("job file", "run", "status", "", whole=("run", "status"))
        with self._lock:
            for row in self._rows:
                table.add_row(
                    cell(row.name),
                    cell(row.run.id if row.run else "", "cyan"),
                    describe_status(row.status),
                    cell(row.doing),
                )
        return table

    def render_closing(self) -> list[RenderableType]:
        """The table as it is left behind."""
        return [self.render()]


class _RowObserver:
    """Hands what one run tells to its row."""

    def __init__(self, board: Board, index: int) -> None:
        self._board = board
        self._index = index
        self._stage = ""

    def on_run_open(self, run: Run, *, resumed: bool) -> None:
        how = "goes on" if resumed else "begins"
        self._board.note(self._index, run=run, status=run.status.value, line=f"{run.id} {how}")

    def on_stage_start(self, stage: Stage, attempt: int) -> None:
        self._stage = stage.value if attempt == 1 else f"{stage.value} (attempt {attempt})"
        self._board.note(self._index, status="running", doing=self._stage)

    def on_stage_end(self, record: StageRecord) -> None:
        if record.status is StageStatus.FAILED:
            return  # the reason follows as the error
        said = f"{record.stage.value} {record.status.value}"
        outcome = describe_outcome(record)
        self._board.note(self._index, doing=said, line=f"{said}  {outcome}".rstrip())

    def on_progress(self, stage: Stage, done: float, total: float | None, unit: str) -> None:
        render = render_bytes if unit == "bytes" else "{:g}".format
        amount = render(done) if total is None else f"{render(done)} of {render(total)}"
        words = amount if unit == "bytes" else f"{amount} {unit}"
        self._board.note(self._index, doing=f"{stage.value}: {words}")

    def on_job_status(self, status: str) -> None:
        self._board.note(self._index, doing=f"{self._stage}: {status}", line=f"job {status}")

    def on_event(self, event: JobEvent) -> None:
        if event.level in _LOUD:
            self._board.note(self._index, line=event.message)

    def on_note(self, text: str) -> None:
        self._board.note(self._index, doing=text, line=f"note: {text}")


@contextlib.contextmanager
def watching_all(board: Board) -> Iterator[None]:
    """Let the board be seen for as long as the block lasts."""
    out = board.out
    if out.mode is Mode.QUIET or not out.console.is_terminal:
        yield
        return
    # What is left behind is the closing table alone.
    with Live(console=out.console, auto_refresh=False, transient=True) as live:
        board.live = live
        board.refresh()
        try:
            yield
        finally:
            board.live = None
