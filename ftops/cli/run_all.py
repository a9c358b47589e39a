"""`ftops run --all`: every job file of a folder, several in parallel, in one table."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from rich.console import RenderableType
from rich.live import Live

from ftops.cli.environment import open_ledger
from ftops.cli.errors import Interrupted, choose_exit_code, error_document
from ftops.cli.format import cell, make_table, quote, render_bytes, render_path, render_status
from ftops.cli.job_file import load_job_to_run
from ftops.cli.options import ApprovalOptions, RunOptions
from ftops.cli.output import Mode, Output
from ftops.cli.run_context import open_run_contexts
from ftops.cli.run_view import LOUD_LEVELS, describe_attempt, describe_stage_result, run_document
from ftops.cli.trust import OutgoingData, approve, check_keys
from ftops.clock import SystemClock
from ftops.errors import FtopsError, SpecError
from ftops.evaluation.requirements import check_run_requirements
from ftops.ledger.ledger import Ledger
from ftops.records import JobEvent, Json, ProviderSettings, Run, Stage, StageRecord, StageStatus
from ftops.runs.context import RunContext
from ftops.runs.observer import Observer
from ftops.runs.open_run import drive, open_run
from ftops.runs.parallel import TaskResult, ThrottledClock, run_parallel
from ftops.spec.job_file import LoadedJob, list_code

CreateContext = Callable[[ProviderSettings, Observer], RunContext]


class MultiRunView:
    """The rows of all runs, in the order of their job files."""

    def __init__(self, out: Output, names: Sequence[str]) -> None:
        self._out = out
        self._rows = [_RunRow(name) for name in names]
        self._lock = threading.Lock()
        self._changed = True
        self.live: Live | None = None

    @property
    def out(self) -> Output:
        return self._out

    @property
    def runs(self) -> list[Run | None]:
        """The runs in the order of the job files; None for one that was not opened."""
        return [row.run for row in self._rows]

    def observe(self, index: int) -> Observer:
        """An observer for the run of that row."""
        return _RowObserver(self, index)

    def end(self, index: int, ending: TaskResult) -> None:
        """Show that the run of that row has ended, or cannot continue."""
        row, error = self._rows[index], ending.error
        if isinstance(error, FtopsError):
            status, doing = "failed", error.message.partition("\n")[0]  # the rest is printed below
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
        """Update a row; without a live table, `line` is printed instead."""
        with self._lock:
            row = self._rows[index]
            row.run, row.status = run or row.run, status or row.status
            row.doing = row.doing if doing is None else doing
            self._changed = True
            if line and self.live is None and self._out.mode is not Mode.QUIET:
                with contextlib.suppress(OSError, ValueError):  # a closed pipe ends no run
                    self._out.show(f"{row.name}: {line}")

    def refresh(self) -> None:
        """Redraw the table if something has changed."""
        if self.live is None or not self._changed:
            return
        self._changed = False
        with contextlib.suppress(OSError, ValueError):
            self.live.update(self.render(), refresh=True)

    def render(self) -> RenderableType:
        """One line per job file."""
        table = make_table("job file", "run", "status", "", whole=("run", "status"))
        with self._lock:
            for row in self._rows:
                table.add_row(
                    cell(row.name),
                    cell(row.run.id if row.run else "", "cyan"),
                    render_status(row.status),
                    cell(row.doing),
                )
        return table


def run_all(out: Output, folder: Path, options: RunOptions, approvals: ApprovalOptions) -> None:
    """Run all job files of the folder, and exit with the highest of their exit codes."""
    paths = list_job_files(folder)
    clock = ThrottledClock(SystemClock())
    view = MultiRunView(out, [render_path(path.absolute()) for path in paths])
    with open_ledger() as ledger:
        with open_run_contexts(ledger, clock) as create_context, show_runs(view):

            def start(index: int) -> Run:
                job = load_job_to_run(paths[index], options)
                outgoing = approve(out, job, approvals, ask=False)
                context = replace(
                    create_context(job.spec.provider_settings(), view.observe(index)),
                    allow_open_ended=approvals.allow_open_ended,
                )
                return _run_one(job, outgoing, context, options)

            try:
                endings = run_parallel(
                    [lambda index=index: start(index) for index in range(len(paths))],  # type: ignore[misc]
                    concurrency=options.concurrency,
                    clock=clock,
                    ended=view.end,
                    look=view.refresh,
                )
            except KeyboardInterrupt:
                raise _interrupted(folder, options, view, ledger) from None
        runs = [run and ledger.get_run(run.id) for run in view.runs]
    _finish(out, paths, runs, endings, view)


def list_job_files(folder: Path) -> list[Path]:
    """The job files directly in the folder, by name; SpecError when there are none."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))
    except OSError as error:
        raise SpecError(
            f"{folder}: cannot be read: {error.strerror or error}",
            hint="--all takes a folder with job files.",
        ) from error
    if not paths:
        raise SpecError(
            f"{folder}: contains no job files",
            hint="Job files end in .yaml or .yml; subfolders are not searched.",
        )
    return paths


def _run_one(
    job: LoadedJob,
    outgoing: OutgoingData,
    context: RunContext,
    options: RunOptions,
) -> Run:
    observer = context.observer
    for field, what in list_code(job.spec, job.path):
        observer.on_note(f"code that runs on this machine: {field}  {what}")
    run = open_run(
        job, context, new=options.new, retry=options.retry, check_new=lambda: check_keys(outgoing)
    )
    if run.job_id is None and run.finished_at is None and not outgoing.stays_here:
        observer.on_note(outgoing.describe())
    run = drive(run, context, detach=options.detach)
    check_run_requirements(run, context.home)
    return run


def _interrupted(
    folder: Path, options: RunOptions, view: MultiRunView, ledger: Ledger
) -> Interrupted:
    runs = [ledger.get_run(run.id) for run in view.runs if run is not None]
    running = sum(1 for run in runs if run.job_id is not None and run.finished_at is None)
    done = sum(1 for run in runs if run.finished_at is not None)
    words = [word for override in options.overrides or () for word in ("--set", override)]
    words += ["--allow-outside"] * options.allow_outside
    words += ["--allow-private"] * options.allow_private
    again = quote("ftops", "run", "--all", str(folder), *words)
    return Interrupted(
        f"stopped watching; {done} of {len(view.runs)} are done,"
        f" and {running} {'job continues' if running == 1 else 'jobs continue'} at the provider",
        hint=f"{again} continues all of them.",
    )


def _finish(
    out: Output,
    paths: list[Path],
    runs: list[Run | None],
    endings: list[TaskResult],
    view: MultiRunView,
) -> None:
    for ending in endings:
        if ending.error is not None and not isinstance(ending.error, FtopsError):
            raise ending.error  # a bug, reported like any other
    rows = list(zip(paths, runs, endings, strict=True))
    out.finish(
        [_to_document(*row) for row in rows],
        essential=[run.id if run else "-" for run in runs],
        human=lambda: [view.render()],
    )
    for path, _, ending in rows:
        if isinstance(ending.error, FtopsError):
            message = f"{render_path(path.absolute())}: {ending.error.message}"
            out.error(message, ending.error.hint)
    code = max(_exit_code(ending) for ending in endings)
    if code:
        raise typer.Exit(code)


def _exit_code(ending: TaskResult) -> int:
    return choose_exit_code(ending.error) if isinstance(ending.error, FtopsError) else 0


def _to_document(path: Path, run: Run | None, ending: TaskResult) -> dict[str, Json]:
    document: dict[str, Json] = {"job_file": str(path.absolute()), "exit_code": _exit_code(ending)}
    if run is not None:
        document |= run_document(run)
    if isinstance(ending.error, FtopsError):
        document["error"] = error_document(ending.error)
    return document


@dataclass(slots=True)
class _RunRow:
    """One job file, its run and its status."""

    name: str
    run: Run | None = None
    status: str = "waiting"
    doing: str = ""


class _RowObserver:
    """Shows the events of one run in its row."""

    def __init__(self, view: MultiRunView, index: int) -> None:
        self._view = view
        self._index = index
        self._stage = ""

    def on_run_open(self, run: Run, *, resumed: bool) -> None:
        how = "resumed" if resumed else "started"
        self._view.note(self._index, run=run, status=run.status.value, line=f"{run.id} {how}")

    def on_stage_start(self, stage: Stage, attempt: int) -> None:
        self._stage = describe_attempt(stage, attempt)
        self._view.note(self._index, status="running", doing=self._stage)

    def on_stage_end(self, record: StageRecord) -> None:
        if record.status is StageStatus.FAILED:
            return  # the reason follows as the error
        summary = f"{record.stage.value} {record.status.value}"
        outcome = describe_stage_result(record)
        self._view.note(self._index, doing=summary, line=f"{summary}  {outcome}".rstrip())

    def on_progress(self, stage: Stage, done: float, total: float | None, unit: str) -> None:
        render = render_bytes if unit == "bytes" else "{:g}".format
        amount = render(done) if total is None else f"{render(done)} of {render(total)}"
        words = amount if unit == "bytes" else f"{amount} {unit}"
        self._view.note(self._index, doing=f"{stage.value}: {words}")

    def on_job_status(self, status: str) -> None:
        self._view.note(self._index, doing=f"{self._stage}: {status}", line=f"job {status}")

    def on_event(self, event: JobEvent) -> None:
        if event.level in LOUD_LEVELS:
            self._view.note(self._index, line=event.message)

    def on_note(self, text: str) -> None:
        self._view.note(self._index, doing=text, line=f"note: {text}")


@contextlib.contextmanager
def show_runs(view: MultiRunView) -> Iterator[None]:
    """Show the table while the block runs."""
    out = view.out
    if out.mode is Mode.QUIET or not out.console.is_terminal:
        yield
        return
    # It is removed at the end: the command prints the final table.
    with Live(console=out.console, auto_refresh=False, transient=True) as live:
        view.live = live
        view.refresh()
        try:
            yield
        finally:
            view.live = None
