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
from ftops.cli.factory import find_provider_settings, get_default_provider, open_run_context
from ftops.cli.format import quote, render_path
from ftops.cli.job_file import load_job_file, load_job_to_run
from ftops.cli.options import (
    NO_APPROVALS,
    AllowOutside,
    AllowPrivate,
    ApiKeyEnv,
    ApprovalOptions,
    BaseUrl,
    JUnitFile,
    MarkdownFile,
    Overrides,
    ProviderName,
    RunRef,
)
from ftops.cli.output import Mode, Output
from ftops.cli.progress import show_run_progress
from ftops.cli.run_all import RunOptions, run_all
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
from ftops.spec.job_file import LoadedJob, list_code
from ftops.spec.model import JobSpec

OneJobFile = Annotated[
    Path | None, typer.Argument(metavar="[JOB.yaml]", help="The job file.", show_default=False)
]
Every = Annotated[
    Path | None,
    typer.Option("--all", metavar="DIR", help="Run every job file (*.yaml, *.yml) in a folder."),
]
Concurrency = Annotated[
    int,
    typer.Option("--concurrency", metavar="N", min=1, max=200, help="With --all: at most so many."),
]
Detach = Annotated[
    bool, typer.Option("--detach", help="Return as soon as the job is created at the provider.")
]
New = Annotated[
    bool, typer.Option("--new", help="Make another run, with a job of its own that is paid, too.")
]
Retry = Annotated[
    bool,
    typer.Option(
        "--retry",
        help="Try again what failed or was cancelled; a job that still runs is followed instead.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be sent and what it costs; send nothing.")
]
JobId = Annotated[str, typer.Argument(metavar="JOB_ID", help="The provider's id of the job.")]
AdoptedJobFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="[JOB.yaml]",
        help="The job file that it belongs to, if there is one.",
        show_default=False,
    ),
]
_LEGACY = "ft-"  # how the ids of jobs of the legacy protocol begin


@command(
    "run",
    examples=[
        "ftops run configs/news-topics.yaml",
        "ftops run job.yaml --set hyperparameters.n_epochs=3 --new",
        "ftops run job.yaml --dry-run",
        "ftops run --all jobs --concurrency 4",
    ],
)
def run(
    out: Output,
    job_file: OneJobFile = None,
    every: Every = None,
    concurrency: Concurrency = 8,
    overrides: Overrides = None,
    detach: Detach = False,
    new: New = False,
    retry: Retry = False,
    dry_run: DryRun = False,
    allow_outside: AllowOutside = False,
    allow_private: AllowPrivate = False,
    junit: JUnitFile = None,
    markdown: MarkdownFile = None,
    trust_options: ApprovalOptions = NO_APPROVALS,
) -> None:
    """Run a job file, from the data to a model that answers.

    Its stages: prepare, upload, create, follow, results, evaluate. The same file again goes on
    where it stopped, or shows what was done; nothing is repeated. Exit code 4 when the model does
    not reach what `evaluate.require` wants. With --all, several job files
    at once: one that fails stops no other, and the exit code is the worst of all.
    """
    if (job_file is None) == (every is None):
        raise typer.BadParameter("give a job file, or a folder of them with --all DIR")
    if every is not None and dry_run:
        raise typer.BadParameter("--dry-run looks at one job file, and --all names many")
    if every is not None and (junit or markdown):
        raise typer.BadParameter("--junit and --markdown are about one job file, not about --all")
    if every is not None:
        options = RunOptions(
            overrides or [],
            concurrency,
            detach,
            new,
            retry,
            allow_outside,
            allow_private,
            trust_options,
        )
        run_all(out, every, options)
        return
    assert job_file is not None  # one of the two is given
    job = load_job_to_run(
        job_file, overrides or [], allow_outside=allow_outside, allow_private=allow_private
    )
    if dry_run:
        show_preview(out, job, with_request=True)
        return
    drive_and_summarize(
        out,
        job.spec.provider_settings(),
        _make_opening(out, job, trust_options, new=new, retry=retry),
        detach=detach,
        summaries=(junit, markdown),
    )


def _make_opening(
    out: Output, job: LoadedJob, trust_options: ApprovalOptions, *, new: bool, retry: bool
) -> Callable[[RunContext], Run]:
    """What opens the run of the job file, once its addresses are approved; shows what is sent."""
    warn_of_code(out, list_code(job.spec, job.path))
    outgoing = approve(out, job, trust_options)

    def opening(context: RunContext) -> Run:
        run = open_run(job, context, new=new, retry=retry, check_new=lambda: check_keys(outgoing))
        if run.job_id is None and run.finished_at is None:
            show_outgoing_data(out, outgoing)
        return run

    return opening


@command("follow", examples=["ftops follow run-20261122-1407-k3f9", "ftops follow ftjob-abc123"])
def follow(out: Output, ref: RunRef) -> None:
    """Show a run live, and go on to its later stages.

    Events that an earlier command has shown are not shown again.
    """
    with open_ledger() as ledger:
        found = ledger.get_run(ref)
    if found.finished_at is None:
        warn_of_code(out, list_code(JobSpec.from_json(found.spec), Path(found.job_file)))
    drive_and_summarize(
        out, found.provider, lambda context: _announce(found, context), detach=False
    )


def warn_of_code(out: Output, code: list[tuple[str, str]]) -> None:
    """Say on stderr which code will run on this machine, before any of it does."""
    if code:
        out.warn("Code that runs on this machine:")
        for field, what in code:
            out.warn(f"  {field}  {what}")


def _announce(found: Run, context: RunContext) -> Run:
    context.observer.on_run_open(found, resumed=True)
    return found


def drive_and_summarize(
    out: Output,
    settings: ProviderSettings,
    opened: Callable[[RunContext], Run],
    *,
    detach: bool,
    summaries: tuple[Path | None, Path | None] = (None, None),
) -> None:
    """Do what is left of a run while showing it, then show what came out.

    `summaries` are the files for JUnit and Markdown. RequirementMissed at the very end, when the
    model does not reach what it must.
    """
    with open_ledger() as ledger:
        with show_run_progress(out) as observer:
            run, done_before = drive_observed(
                out, ledger, settings, opened, observer, detach=detach
            )
        report = load_run_summary(run, ledger, get_home())
    if detach and run.finished_at is None:
        _finish_detached(out, report.run, report.to_json())
        return
    out.finish(report.to_json(), essential=report.essential, human=lambda: render_summary(report))
    if done_before and out.mode is Mode.HUMAN:
        out.show("\nThis run was done before: nothing was repeated. --new makes another one.")
    if report.evaluation is not None:
        write_summaries(report.evaluation, report.run.name, *summaries)
        if report.run.status is RunStatus.SUCCEEDED:
            raise_if_missed(report.evaluation)


def drive_observed(
    out: Output,
    ledger: Ledger,
    settings: ProviderSettings,
    opened: Callable[[RunContext], Run],
    observer: Observer,
    *,
    detach: bool = False,
) -> tuple[Run, bool]:
    """Do what is left of a run while the observer is told; the run, and whether it was done before.

    Interrupted says what goes on without this command.
    """
    with open_run_context(ledger, settings, observer) as context:
        run = opened(context)
        out.about = {"run_id": run.id}
        done_before = run.finished_at is not None and not run.ended_before_job
        try:
            drive(run, context, detach=detach)
        except KeyboardInterrupt:
            raise _interrupted(ledger.get_run(run.id)) from None
        finally:
            with contextlib.suppress(FtopsError):  # what ended the block matters more
                out.about = _describe(ledger.get_run(run.id))
    return ledger.get_run(run.id), done_before


def _describe(run: Run) -> dict[str, Json]:
    return {"run_id": run.id, "job_id": run.job_id, "status": run.status.value}


def _finish_detached(out: Output, run: Run, document: Json) -> None:
    follow_line = quote("ftops", "follow", run.id)
    out.finish(
        document,
        essential=[run.job_id or run.id],
        human=lambda: [f"\nThe job goes on at the provider. Follow it with:\n  {follow_line}"],
    )


def _interrupted(run: Run) -> Interrupted:
    if run.finished_at is not None:
        return Interrupted(
            "interrupted after the run had ended, while somebody was told of it",
            hint=quote("ftops", "follow", run.id) + " tells them.",
        )
    if run.job_id is None:
        again = list_run_arguments(run, job_file=render_path(run.job_file))
        return Interrupted(
            "interrupted before the job was created; what is done is kept",
            hint=quote("ftops", *again) + " goes on from here.",
        )
    return Interrupted(
        f"stopped watching; the job {run.job_id} goes on at the provider",
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
    provider: ProviderName = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
    detach: Detach = False,
    allow_outside: AllowOutside = False,
    trust_options: ApprovalOptions = NO_APPROVALS,
) -> None:
    """Make a run of a job that was created elsewhere, and follow it.

    From a web page, another tool, or a ledger that is lost. Nothing is uploaded or created: the job
    is followed, and its results are fetched. With its job file, the model is evaluated, too.
    """
    with open_ledger() as ledger:
        known = find_run_to_reopen(job_id, ledger)
    job = load_job_file(job_file, [], allow_outside=allow_outside) if job_file else None
    if job:
        approve(out, job, trust_options)
        warn_of_code(out, list_code(job.spec, job.path))
    if known:
        settings = known.provider
    elif job:
        settings = job.spec.provider_settings()
    else:
        typed = find_provider_settings(provider, base_url, api_key_env)
        settings = _find_settings(job_id, typed)
        approve_typed_address(settings, trust_options)
    drive_and_summarize(
        out,
        settings,
        lambda context: adopt_job(
            job_id, context, settings, lambda path: load_job_file(path, []), job_file=job
        ),
        detach=detach,
    )


def _find_settings(job_id: str, chosen: ProviderSettings | None) -> ProviderSettings:
    settings = chosen or get_default_provider()
    return replace(settings, protocol="legacy") if job_id.startswith(_LEGACY) else settings
