"""`ftops runs`, `ftops show` and `ftops cancel`: what has been run, one run, the end of one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ftops.cli import wiring
from ftops.cli.command import command
from ftops.cli.options import NO_TRUST, RunRef, TrustOptions
from ftops.cli.output import Output
from ftops.cli.run import say_code

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ftops.records import Run

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, newest first.")]


def add_to(app: typer.Typer) -> None:
    command(app, "runs", examples=["ftops runs", "ftops runs --json -n 100"])(list_runs)
    command(app, "show", examples=["ftops show run-20261122-1407-k3f9", "ftops show news-topics"])(
        show
    )
    command(
        app, "cancel", examples=["ftops cancel run-20261122-1407-k3f9", "ftops cancel job.yaml"]
    )(cancel)


def list_runs(out: Output, limit: Limit = 20) -> None:
    """List what has been run, newest first.

    A running run that no process drives is shown as unwatched (its job may still be running at the
    provider) or stopped (before it had a job); `ftops follow` or the same `ftops run` continues.
    """
    from ftops.cli.documents import run_document

    with wiring.open_ledger() as ledger:
        runs = [(run, _is_driven(run)) for run in ledger.list_runs(limit)]
    out.finish(
        [{**run_document(run), "driven": driven} for run, driven in runs],
        essential=[run.id for run, _ in runs],
        human=lambda: _render_table(runs),
    )


def _is_driven(run: "Run") -> bool:
    # Nobody drives a run that has ended; not to ask keeps long lists fast.
    if run.finished_at is not None:
        return False
    from ftops.runs.lock import is_driven

    return is_driven(run, wiring.get_home())


def _render_table(runs: "list[tuple[Run, bool]]") -> "list[RenderableType]":
    from ftops.cli.tables import render_runs

    return [render_runs(runs)]


def show(out: Output, ref: RunRef) -> None:
    """Show one run: stages, times, attempts, remote ids."""
    from ftops.cli.closing import collect, render_whole
    from ftops.cli.documents import call_document, event_document, move_document

    with wiring.open_ledger() as ledger:
        run = ledger.get_run(ref)
        report = collect(run, ledger, wiring.get_home())
        events = ledger.list_events(run.id)
        calls = ledger.list_calls(run.id)
        moves = ledger.list_moves(run.id)
    out.finish(
        {
            **report.to_json(),
            "remote_calls": [call_document(call) for call in calls],
            "moves": [move_document(move) for move in moves],
            "events": [event_document(event) for event in events],
        },
        essential=[run.status.value],
        human=lambda: render_whole(report, calls, events),
    )


def cancel(out: Output, ref: RunRef, trusting: TrustOptions = NO_TRUST) -> None:
    """Cancel the job at the provider, and record it.

    A job file may stand for its run: then the job is found though the ledger is gone. A run that
    has succeeded or failed cannot be cancelled; one that was cancelled is left as it is.
    """
    from ftops.cli.documents import run_document
    from ftops.cli.sending import approve
    from ftops.records import RunStatus
    from ftops.runs.observer import NullObserver
    from ftops.runs.open_run import cancel_job_file, cancel_run
    from ftops.runs.pause import make_too_late_error
    from ftops.spec.named_paths import list_code

    with wiring.open_ledger() as ledger:
        if Path(ref).is_file():
            # Data outside its folder is only hashed, to find the run.
            job = wiring.load_job_file(Path(ref), [], allow_outside=True)
            say_code(out, list_code(job.spec, job.path))
            approve(out, job, trusting)
            with wiring.open_run_context(
                ledger, job.spec.provider_settings(), NullObserver()
            ) as desk:
                run = cancel_job_file(job, desk)
        else:
            found = ledger.get_run(ref)
            with wiring.open_run_context(ledger, found.provider, NullObserver()) as desk:
                run = cancel_run(found, desk)
    if run.status in (RunStatus.SUCCEEDED, RunStatus.FAILED):
        out.about = {"run_id": run.id, "job_id": run.job_id}
        raise make_too_late_error(run, "cancelled")
    out.finish(
        run_document(run),
        essential=[run.status.value],
        human=lambda: [_describe_cancelled(run)],
    )


def _describe_cancelled(run: "Run") -> str:
    """What became of a run that was to be cancelled."""
    if run.finished_at is None:
        return (
            f"{run.id} is not cancelled yet: the provider was asked to cancel {run.job_id}, and has"
            f" not ended it. `ftops follow {run.id}` waits for its end."
        )
    return f"{run.id} was {run.status.value}."
