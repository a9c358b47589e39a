"""The bar at the foot of a terminal, while something lasts."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ftops.cli.format import render_bytes
from ftops.records import Stage


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
