"""`ftops pause` and `ftops resume`: a job waits at its provider, and goes on."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from ftops.cli import wiring
from ftops.cli.command import command
from ftops.cli.options import RunRef
from ftops.cli.output import Output

if TYPE_CHECKING:
    from ftops.records import Job, Run
    from ftops.runs.context import RunContext


def add_to(app: typer.Typer) -> None:
    command(app, "pause", examples=["ftops pause run-20261122-1407-k3f9"])(pause)
    command(app, "resume", examples=["ftops resume run-20261122-1407-k3f9"])(resume)


def pause(out: Output, ref: RunRef) -> None:
    """Let a run's job wait at the provider.

    What it has learned is kept. Whoever follows the run goes on following it.
    """
    from ftops.runs.pause import pause_run

    _change(out, ref, pause_run)


def resume(out: Output, ref: RunRef) -> None:
    """Let a paused job go on where it stopped."""
    from ftops.runs.pause import resume_run

    _change(out, ref, resume_run)


def _change(out: Output, ref: str, act: "Callable[[Run, RunContext], Job]") -> None:
    from ftops.cli.documents import run_document
    from ftops.runs.observer import NullObserver

    with wiring.open_ledger() as ledger:
        run = ledger.get_run(ref)
        out.about = {"run_id": run.id, "job_id": run.job_id}
        with wiring.open_run_context(ledger, run.provider, NullObserver()) as desk:
            job = act(run, desk)
    out.finish(
        {**run_document(run), "job_status": job.status},
        essential=[job.status],
        human=lambda: [f"{run.id}: the job {job.id} is {job.status}."],
    )
