"""Loads the job file that a command names."""

from pathlib import Path

from ftops.cli.environment import read_environ
from ftops.cli.options import JobFileOptions
from ftops.exports.exporter import check_tools_installed
from ftops.providers.registry import (
    PROVIDERS,
    find_closed,
    find_destination,
    get_capabilities,
)
from ftops.runs.preprocessing import check_data_for_keys
from ftops.spec.job_file import LoadedJob, check_addresses, check_paths, check_provider, load_job


def load_job_file(path: Path, overrides: list[str], *, allow_outside: bool = False) -> LoadedJob:
    """Load the job file with `--set`, and check it against its provider and the files it names.

    Needs no key and no network, runs no code that the file names, and writes nothing.
    """
    environ = read_environ()
    job = load_job(
        path,
        environ=environ,
        overrides=overrides,
        providers=PROVIDERS,
        find_closed=find_closed,
    )
    check_provider(job, get_capabilities(job.spec.provider_settings()))
    check_addresses(job, lambda settings: find_destination(settings, environ))
    check_paths(job, allow_outside=allow_outside)
    return job


def load_job_to_run(path: Path, options: JobFileOptions) -> LoadedJob:
    """Load the job file for a command that runs it.

    The tools under `export` must be installed, and without --allow-private the first rows of the
    data must contain no keys.
    """
    job = load_job_file(path, options.overrides or [], allow_outside=options.allow_outside)
    check_tools_installed(job)
    if not options.allow_private:
        check_data_for_keys(job)
    return job
