"""`ftops models download`: fetches the weights of a fine-tuned model from its provider."""

import hashlib
from pathlib import Path

from ftops.cli.command import command
from ftops.cli.environment import open_ledger
from ftops.cli.factory import open_provider
from ftops.cli.format import render_bytes, render_path
from ftops.cli.models_export import Name, Target
from ftops.cli.output import Output
from ftops.cli.target_model import ResolvedModel, resolve_model
from ftops.errors import NotFound, UsageError
from ftops.files import make_private_dir, storage_error, sync_dir
from ftops.providers.provider import Provider
from ftops.providers.registry import require_weights
from ftops.records import Json
from ftops.text import format_count


@command(
    "models download",
    examples=[
        "ftops models download run-20261122-1407-k3f9 -o weights",
        "ftops models download news-topics -o weights/news-topics",
    ],
)
def download(out: Output, name: Name, *, output: Target) -> None:
    """Download the weights of a model, where its provider offers them.

    The files are as the provider stores them. The folder appears once all of them are complete; an
    interrupted download continues where the provider allows it. `ftops models export` does the same
    for models of the built-in engine.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"--output {output}: exists already", hint="Choose a new folder.")
    with open_ledger() as ledger:
        model = resolve_model(ledger, name)
    model.check_exists()
    require_weights(model.provider)
    job_id = _get_job_id(model)
    with open_provider(model.provider) as provider:
        files = download_weights(provider, job_id, output.absolute())
    listed: list[Json] = [
        {"name": path.relative_to(output.absolute()).as_posix(), "bytes": path.stat().st_size}
        for path in files
    ]
    size = sum(path.stat().st_size for path in files)
    out.finish(
        {"model": model.name, "job_id": job_id, "folder": str(output), "files": listed},
        essential=[str(output)],
        human=lambda: [
            f"Downloaded {format_count(len(files), 'file')} ({render_bytes(size)})"
            f" to {render_path(output)}."
        ],
    )


def download_weights(provider: Provider, job_id: str, target: Path) -> list[Path]:
    """Write the weights of the job's model to the new folder `target`; returns the files.

    They are collected in a hidden folder beside it, which stays after an error, so that the same
    command continues there.
    """
    job = provider.get_job(job_id)
    digest = hashlib.sha256(f"{provider.account} {job_id}".encode()).hexdigest()
    partial = target.with_name(f".{target.name}.{digest[:8]}.part")
    files = provider.download_weights(job, make_private_dir(partial))
    if not files:
        raise NotFound(f"the provider {provider.name!r} has no weights of {job_id}")
    try:
        if target.exists():
            target.rmdir()  # it is empty
        partial.rename(target)
        sync_dir(target.parent)
    except OSError as error:
        raise storage_error(error, target) from error
    return [target / path.relative_to(partial) for path in files]


def _get_job_id(model: ResolvedModel) -> str:
    """The job that trained the model; NotFound for a checkpoint or a model from elsewhere."""
    tuned, run = model.tuned, model.run
    if tuned is None:
        raise NotFound(
            f"no run of this ledger trained {model.name}",
            hint="`ftops adopt JOB_ID` records its job; then download it by the id of the job.",
        )
    if run is not None and run.fine_tuned_model not in (None, model.name):
        raise NotFound(
            f"{model.name} is a checkpoint: only the weights of the model are offered",
            hint=f"Download {run.id} instead.",
        )
    return tuned.job_id
