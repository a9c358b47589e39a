"""`ftops check`, and what `ftops run --dry-run` shows: everything that is known without sending."""

from ftops.cli.command import command
from ftops.cli.factory import make_token_counting, open_providers
from ftops.cli.forecast import foresee, render_forecast
from ftops.cli.job_file import load_job_to_run
from ftops.cli.options import AllowOutside, AllowPrivate, JobFile, Overrides
from ftops.cli.output import Mode, Output
from ftops.cli.sending import find_sending
from ftops.spec.load import LoadedJob


@command("check", examples=["ftops check job.yaml", "ftops check job.yaml --set model=babbage"])
def check(
    out: Output,
    job_file: JobFile,
    overrides: Overrides = None,
    allow_outside: AllowOutside = False,
    allow_private: AllowPrivate = False,
) -> None:
    """Validate a job file and its data, offline.

    Needs no key, no network and no engine, runs nothing that the job file names, and writes
    nothing. Exit code 1 when anything is wrong.
    """
    job = load_job_to_run(
        job_file, overrides or [], allow_outside=allow_outside, allow_private=allow_private
    )
    show_preview(out, job, with_request=False)


def show_preview(out: Output, job: LoadedJob, *, with_request: bool) -> None:
    """Show what the job would take; raises when a limit or the provider forbids it."""
    sending = find_sending(job)
    with open_providers() as reach:
        provider = reach(job.spec.provider_settings())
        forecast = foresee(job, provider, make_token_counting(), reach)
    document = {**forecast.to_json(with_request=with_request), "sends": sending.to_json()}
    if forecast.preview.problems and out.mode is Mode.JSON:
        out.about = document  # the error is the one document, and tells the figures, too
    else:
        out.finish(
            document,
            essential=() if forecast.preview.problems else ("ok",),
            human=lambda: render_forecast(forecast, sending, with_request=with_request),
        )
    forecast.preview.check()
