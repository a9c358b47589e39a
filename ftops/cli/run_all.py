"""`ftops run --all`: every job file of a folder, some at once, in one table."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import typer

from ftops.cli.board import Board, watching_all
from ftops.cli.environment import open_ledger
from ftops.cli.factory import open_desks
from ftops.cli.failures import Interrupted, choose_exit_code, error_document
from ftops.cli.format import quote, render_path
from ftops.cli.job_file import load_job_to_run
from ftops.cli.options import NO_TRUST, TrustOptions
from ftops.cli.output import Output
from ftops.cli.run_view import run_document
from ftops.cli.sending import approve, check_keys
from ftops.clock import SystemClock
from ftops.errors import FtopsError, SpecError
from ftops.evaluation.requirements import check_run_requirements
from ftops.ledger.ledger import Ledger
from ftops.records import Json, ProviderSettings, Run
from ftops.runs.context import RunContext
from ftops.runs.observer import Observer
from ftops.runs.open_run import drive, open_run
from ftops.runs.parallel import TaskResult, ThrottledClock, run_parallel
from ftops.spec.named_paths import list_code

MakeDesk = Callable[[ProviderSettings, Observer], RunContext]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for, besides the folder; each as `ftops run` has it."""

    overrides: list[str]
    at_once: int
    detach: bool
    new: bool
    retry: bool
    allow_outside: bool
    allow_private: bool
    trusting: TrustOptions = NO_TRUST


def run_all(out: Output, folder: Path, wishes: Wishes) -> None:
    """Run the folder's job files and leave with the worst of their exit codes."""
    paths = find_job_files(folder)
    clock = ThrottledClock(SystemClock())
    board = Board(out, [render_path(path.absolute()) for path in paths])
    with open_ledger() as ledger:
        with open_desks(ledger, clock) as make_desk, watching_all(board):

            def start(index: int) -> Run:
                return _run_one(out, paths[index], board.observe(index), make_desk, wishes)

            try:
                endings = run_parallel(
                    [lambda index=index: start(index) for index in range(len(paths))],  # type: ignore[misc]
                    at_once=wishes.at_once,
                    clock=clock,
                    ended=board.end,
                    look=board.refresh,
                )
            except KeyboardInterrupt:
                raise _interrupted(folder, wishes, board, ledger) from None
        runs = [run and ledger.get_run(run.id) for run in board.runs]
    _finish(out, paths, runs, endings, board)


def find_job_files(folder: Path) -> list[Path]:
    """The job files that lie right in the folder, by name; SpecError when there are none."""
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))
    except OSError as error:
        raise SpecError(
            f"{folder}: cannot be read: {error.strerror or error}",
            hint="Behind --all stands a folder with job files.",
        ) from error
    if not found:
        raise SpecError(
            f"{folder}: no job file lies in this folder",
            hint="Job files are called *.yaml or *.yml; folders below are not looked through.",
        )
    return found


def _run_one(
    out: Output, path: Path, observer: Observer, make_desk: MakeDesk, wishes: Wishes
) -> Run:
    job = load_job_to_run(
        path,
        wishes.overrides,
        allow_outside=wishes.allow_outside,
        allow_private=wishes.allow_private,
    )
    sending = approve(out, job, wishes.trusting, ask=False)
    for field, what in list_code(job.spec, job.path):
        observer.on_note(f"code that runs on this machine: {field}  {what}")
    desk = make_desk(job.spec.provider_settings(), observer)
    run = open_run(
        job, desk, new=wishes.new, retry=wishes.retry, check_new=lambda: check_keys(sending)
    )
    if run.job_id is None and run.finished_at is None and not sending.stays_here:
        observer.on_note(sending.describe())
    run = drive(run, desk, detach=wishes.detach)
    check_run_requirements(run, desk.home)
    return run


def _interrupted(folder: Path, wishes: Wishes, board: Board, ledger: Ledger) -> Interrupted:
    runs = [ledger.get_run(run.id) for run in board.runs if run is not None]
    going = sum(1 for run in runs if run.job_id is not None and run.finished_at is None)
    done = sum(1 for run in runs if run.finished_at is not None)
    words = [word for override in wishes.overrides for word in ("--set", override)]
    words += ["--allow-outside"] * wishes.allow_outside
    words += ["--allow-private"] * wishes.allow_private
    again = quote("ftops", "run", "--all", str(folder), *words)
    return Interrupted(
        f"stopped watching; {done} of {len(board.runs)} are done,"
        f" and {going} {'job goes' if going == 1 else 'jobs go'} on at the provider",
        hint=f"{again} goes on with all of them.",
    )


def _finish(
    out: Output,
    paths: list[Path],
    runs: list[Run | None],
    endings: list[TaskResult],
    board: Board,
) -> None:
    for ending in endings:
        if ending.error is not None and not isinstance(ending.error, FtopsError):
            raise ending.error  # a bug; told like any other
    rows = list(zip(paths, runs, endings, strict=True))
    out.finish(
        [_to_document(*row) for row in rows],
        essential=[run.id if run else "-" for run in runs],
        human=board.render_closing,
    )
    for path, _, ending in rows:
        if isinstance(ending.error, FtopsError):
            message = f"{render_path(path.absolute())}: {ending.error.message}"
            out.complain_about(message, ending.error.hint)
    code = max(_code(ending) for ending in endings)
    if code:
        raise typer.Exit(code)


def _code(ending: TaskResult) -> int:
    return choose_exit_code(ending.error) if isinstance(ending.error, FtopsError) else 0


def _to_document(path: Path, run: Run | None, ending: TaskResult) -> dict[str, Json]:
    document: dict[str, Json] = {"job_file": str(path.absolute()), "exit_code": _code(ending)}
    if run is not None:
        document |= run_document(run)
    if isinstance(ending.error, FtopsError):
        document["error"] = error_document(ending.error)
    return document
