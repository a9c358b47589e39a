"""`ftops run`, `ftops follow` and `ftops adopt`: from a job file or a job to a finished run."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.check import show_preview
from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger
from ftops.cli.errors import Interrupted
from ftops.cli.evaluation_view import write_summaries
from ftops.cli.factory import get_default_provider
from ftops.cli.format import quote, render_path
from ftops.cli.job_file import load_job_file, load_job_to_run
from ftops.cli.options import (
    AllowOutside,
    ApprovalOptions,
    Detach,
    ProviderOptions,
    RunOptions,
    RunRef,
    SummaryFiles,
)
from ftops.cli.output import Mode, Output
from ftops.cli.progress import show_run_progress
from ftops.cli.run_all import run_all
from ftops.cli.run_context import open_run_context
from ftops.cli.show import load_run_summary, render_summary
from ftops.cli.trust import approve, approve_typed_address, check_keys, show_outgoing_data
from ftops.errors import FtopsError
from ftops.evaluation.requirements import raise_if_missed
from ftops.ledger.ledger import Ledger
from ftops.records import Json, ProviderSettings, Run, RunStatus
from ftops.runs.adopt import adopt_job, find_run_to_reopen
from ftops.runs.commands import list_run_arguments
from ftops.runs.context import RunContext
from ftops.runs.observer import Observer
from ftops.runs.open_run import drive, open_run
from ftops.spec.job_file import list_code
from ftops.spec.model import JobSpec

OptionalJobFile = Annotated[
    Path | None, typer.Argument(metavar="[JOB.yaml]", help="The job file.", show_default=False)
]
JobFolder = Annotated[
    Path | None,
    typer.Option("--all", metavar="DIR", help="Run all job files (*.yaml, *.yml) of a folder."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be sent and what it costs; send nothing.")
]
Measure = Annotated[
    bool,
    typer.Option(
        "--measure",
        help="With --dry-run: take two steps of the training of a pre-trained model on this machine"
        " to measure its time and memory.",
    ),
]
JobId = Annotated[str, typer.Argument(metavar="JOB_ID", help="Id of the job at the provider.")]
AdoptedJobFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="[JOB.yaml]",
        help="Its job file, if there is one.",
        show_default=False,
    ),
]
_NO_SUMMARIES = SummaryFiles()
_LEGACY_PREFIX = "ft-"  # of job ids of the legacy protocol


@command(
    "run",
    examples=[
        "ftops run configs/news-topics.yaml",
        "ftops run job.yaml --set hyperparameters.n_epochs=3 --new",
        "ftops run job.yaml --dry-run",
        "ftops run job.yaml --dry-run --measure",
        "ftops run --all jobs --concurrency 4",
    ],
)
def run(
    out: Output,
    job_file: OptionalJobFile = None,
    folder: JobFolder = None,
    *,
    options: RunOptions,
    dry_run: DryRun = False,
    measure: Measure = False,
    summaries: SummaryFiles,
    approvals: ApprovalOptions,
) -> None:
    """Run a job file, from the data to an evaluated model.

    The stages are prepare, upload, create, follow, results, deploy (where a model needs it) and
    evaluate. Running the same file again continues where it stopped, or shows the finished run.
    Exit code 4 if the model misses a requirement of `evaluate.require`. With --all, job files run
    in parallel: a failed one stops no other, and the exit code is the highest of all.
    """
    if (job_file is None) == (folder is None):
        raise typer.BadParameter("give a job file, or a folder of them with --all DIR")
    if measure and not dry_run:
        raise typer.BadParameter("--measure is for --dry-run")
    if folder is not None:
        if dry_run:
            raise typer.BadParameter("--dry-run takes one job file, not --all")
        if summaries.junit or summaries.markdown:
            raise typer.BadParameter("--junit and --markdown take one job file, not --all")
        run_all(out, folder, options, approvals)
        return
    assert job_file is not None  # one of the two is given
    job = load_job_to_run(job_file, options)
    if dry_run:
        show_preview(out, job, with_request=True, is_measured=measure)
        return
    warn_of_code(out, list_code(job.spec, job.path))
    outgoing = approve(out, job, approvals)

    def open_job(context: RunContext) -> Run:
        run = open_run(
            job,
            context,
            new=options.new,
            retry=options.retry,
            check_new=lambda: check_keys(outgoing),
        )
        if run.job_id is None and run.finished_at is None:
            show_outgoing_data(out, outgoing)
        return run

    drive_and_summarize(
        out,
        job.spec.provider_settings(),
        open_job,
        detach=options.detach,
        summaries=summaries,
        allow_open_ended=approvals.allow_open_ended,
    )


@command("follow", examples=["ftops follow run-20261122-1407-k3f9", "ftops follow ftjob-abc123"])
def follow(out: Output, ref: RunRef) -> None:
    """Follow a run live, and continue with its later stages.

    Events that an earlier command has shown are not shown again.
    """
    with open_ledger() as ledger:
        run = ledger.get_run(ref)
    if run.finished_at is None:
        warn_of_code(out, list_code(JobSpec.from_json(run.spec), Path(run.job_file)))

    def open_existing(context: RunContext) -> Run:
        context.observer.on_run_open(run, resumed=True)
        return run

    drive_and_summarize(out, run.provider, open_existing, detach=False)


def warn_of_code(out: Output, code: list[tuple[str, str]]) -> None:
    """Print to stderr which code from the job file will run on this machine."""
    if code:
        out.warn("Code that runs on this machine:")
        for field, what in code:
            out.warn(f"  {field}  {what}")


def drive_and_summarize(
    out: Output,
    settings: ProviderSettings,
    open_run: Callable[[RunContext], Run],
    *,
    detach: bool,
    summaries: SummaryFiles = _NO_SUMMARIES,
    allow_open_ended: bool = False,
) -> None:
    """Drive a run to its end with live progress, then print its summary.

    RequirementMissed, after everything is printed, when the model misses a requirement.
    """
    with open_ledger() as ledger:
        with show_run_progress(out) as observer:
            run, done_before = drive_observed(
                out,
                ledger,
                settings,
                open_run,
                observer,
                detach=detach,
                allow_open_ended=allow_open_ended,
            )
        summary = load_run_summary(run, ledger, get_home())
    if detach and run.finished_at is None:
        _finish_detached(out, summary.run, summary.to_json())
        return
    out.finish(
        summary.to_json(), essential=summary.essential, human=lambda: render_summary(summary)
    )
    if done_before and out.mode is Mode.HUMAN:
        out.show("\nThis run had finished before; nothing was repeated. --new starts another run.")
    if summary.evaluation is not None:
        write_summaries(summary.evaluation, summary.run.name, summaries)
        if summary.run.status is RunStatus.SUCCEEDED:
            raise_if_missed(summary.evaluation)


def drive_observed(
    out: Output,
    ledger: Ledger,
    settings: ProviderSettings,
    open_run: Callable[[RunContext], Run],
    observer: Observer,
    *,
    detach: bool = False,
    allow_open_ended: bool = False,
) -> tuple[Run, bool]:
    """Drive a run to its end with an observer; returns it, and whether it had already finished.

    Raises Interrupted after Ctrl-C; its hint says what continues without this command.
    """
    with open_run_context(ledger, settings, observer) as context:
        context = replace(context, allow_open_ended=allow_open_ended)
        run = open_run(context)
        out.about = {"run_id": run.id}
        done_before = run.finished_at is not None and not run.ended_before_job
        try:
            drive(run, context, detach=detach)
        except KeyboardInterrupt:
            raise _interrupted(ledger.get_run(run.id), ledger) from None
        finally:
            with contextlib.suppress(FtopsError):  # the error of the block takes precedence
                out.about = _describe(ledger.get_run(run.id))
    return ledger.get_run(run.id), done_before


def _describe(run: Run) -> dict[str, Json]:
    return {"run_id": run.id, "job_id": run.job_id, "status": run.status.value}


def _finish_detached(out: Output, run: Run, document: Json) -> None:
    follow_line = quote("ftops", "follow", run.id)
    out.finish(
        document,
        essential=[run.job_id or run.id],
        human=lambda: [f"\nThe job continues at the provider. Follow it with:\n  {follow_line}"],
    )


def _interrupted(run: Run, ledger: Ledger) -> Interrupted:
    error = _describe_interruption(run)
    for record in ledger.list_deployments():
        if record.run_id == run.id:
            error.hint += (
                f" {record.name} stays deployed, and costs until"
                f" {quote('ftops', 'undeploy', record.name)} ends it."
            )
    return error


def _describe_interruption(run: Run) -> Interrupted:
    if run.finished_at is not None:
        return Interrupted(
            "interrupted while sending notifications; the run has finished",
            hint=quote("ftops", "follow", run.id) + " sends them.",
        )
    if run.job_id is None:
        again = list_run_arguments(run, job_file=render_path(run.job_file))
        return Interrupted(
            "interrupted before the job was created; finished stages are kept",
            hint=quote("ftops", *again) + " continues.",
        )
    return Interrupted(
        f"stopped watching; the job {run.job_id} continues at the provider",
        hint=quote("ftops", "follow", run.id),
    )


@command(
    "adopt",
    examples=["ftops adopt ftjob-abc123 --provider openai", "ftops adopt ftjob-abc123 job.yaml"],
)
def adopt(
    out: Output,
    job_id: JobId,
    job_file: AdoptedJobFile = None,
    *,
    provider: ProviderOptions,
    detach: Detach = False,
    allow_outside: AllowOutside = False,
    approvals: ApprovalOptions,
) -> None:
    """Adopt a job that was created elsewhere, and follow it.

    For jobs from a web page, another tool or a lost ledger. Nothing is uploaded or created: the job
    is followed, and its results are downloaded. With its job file, the model is evaluated, too.
    """
    with open_ledger() as ledger:
        known_run = find_run_to_reopen(job_id, ledger)
    job = load_job_file(job_file, [], allow_outside=allow_outside) if job_file else None
    if job:
        approve(out, job, approvals)
        warn_of_code(out, list_code(job.spec, job.path))
    if known_run:
        settings = known_run.provider
    elif job:
        settings = job.spec.provider_settings()
    else:
        settings = provider.find_settings() or get_default_provider()
        if job_id.startswith(_LEGACY_PREFIX):
            settings = replace(settings, protocol="legacy")
        approve_typed_address(settings, approvals)
    drive_and_summarize(
        out,
        settings,
        lambda context: adopt_job(
            job_id, context, settings, lambda path: load_job_file(path, []), job_file=job
        ),
        detach=detach,
        allow_open_ended=approvals.allow_open_ended,
    )
