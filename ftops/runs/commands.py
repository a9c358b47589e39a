"""Formats commands for hints and messages, quoted for a shell."""

import shlex
from pathlib import Path

from ftops.records import ProviderSettings, Run
from ftops.spec.job_file import ALLOW_OUTSIDE, leads_outside


def format_command(*words: str) -> str:
    """`ftops …` in backquotes, quoted for a shell."""
    return f"`{shlex.join(('ftops', *words))}`"


def format_run_command(run: Run, *options: str) -> str:
    """The command that runs the job file of `run` again."""
    return format_command(*list_run_arguments(run), *options)


def list_run_arguments(run: Run, *, job_file: str = "") -> list[str]:
    """The arguments of `ftops` that select the same run, with the options that it needs."""
    words = ["run", job_file or run.job_file]
    for override in run.overrides:
        words += ["--set", override]
    if leads_outside(run.spec, Path(run.job_file)):
        words.append(ALLOW_OUTSIDE)
    return words


def format_follow_command(run_id: str) -> str:
    """The command that continues to follow the run."""
    return format_command("follow", run_id)


def list_provider_options(settings: ProviderSettings) -> list[str]:
    """The options that select the same provider in a command without a job file."""
    words = ["--provider", settings.type]
    if settings.base_url:
        words += ["--base-url", settings.base_url]
    if settings.api_key_env:
        words += ["--api-key-env", settings.api_key_env]
    return words
