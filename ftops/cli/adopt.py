"""`ftops adopt`: a job that was created elsewhere becomes a run."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.environment import open_ledger
from ftops.cli.factory import find_chosen_provider, get_default_provider
from ftops.cli.job_file import load_job_file
from ftops.cli.options import (
    NO_TRUST,
    AllowOutside,
    ApiKeyEnv,
    BaseUrl,
    ProviderName,
    TrustOptions,
)
from ftops.cli.output import Output
from ftops.cli.run import Detach, drive_shown, say_code
from ftops.cli.sending import approve, approve_typed
from ftops.records import ProviderSettings
from ftops.runs.adopt import adopt_job, find_run_to_reopen
from ftops.spec.named_paths import list_code

JobId = Annotated[str, typer.Argument(metavar="JOB_ID", help="The provider's id of the job.")]
ItsFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="[JOB.yaml]",
        help="The job file that it belongs to, if there is one.",
        show_default=False,
    ),
]
_LEGACY = "ft-"  # how the ids of jobs of the legacy protocol begin


@command(
    "adopt",
    examples=["ftops adopt ftjob-abc123 --provider openai", "ftops adopt ftjob-abc123 job.yaml"],
)
def adopt(
    out: Output,
    job_id: JobId,
    job_file: ItsFile = None,
    provider: ProviderName = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
    detach: Detach = False,
    allow_outside: AllowOutside = False,
    trusting: TrustOptions = NO_TRUST,
) -> None:
    """Make a run of a job that was created elsewhere, and follow it.

    From a web page, another tool, or a ledger that is lost. Nothing is uploaded or created: the job
    is followed, and its results are fetched. With its job file, the model is evaluated, too.
    """
    with open_ledger() as ledger:
        known = find_run_to_reopen(job_id, ledger)
    job = load_job_file(job_file, [], allow_outside=allow_outside) if job_file else None
    if job:
        approve(out, job, trusting)
        say_code(out, list_code(job.spec, job.path))
    if known:
        settings = known.provider
    elif job:
        settings = job.spec.provider_settings()
    else:
        typed = find_chosen_provider(provider, base_url, api_key_env)
        settings = _find_settings(job_id, typed)
        approve_typed(settings, trusting)
    drive_shown(
        out,
        settings,
        lambda desk: adopt_job(
            job_id, desk, settings, lambda path: load_job_file(path, []), job_file=job
        ),
        detach=detach,
    )


def _find_settings(job_id: str, chosen: ProviderSettings | None) -> ProviderSettings:
    settings = chosen or get_default_provider()
    return replace(settings, protocol="legacy") if job_id.startswith(_LEGACY) else settings
