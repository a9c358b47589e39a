"""Job files for the tests of this room, and what `load_job` says about them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ftops.errors import SpecError, UsageError
from ftops.spec.job_file import LoadedJob, load_job

MINIMAL = """\
name: news-topics
provider: local
model: ada
training_file: train.jsonl
"""


def write_job(folder: Path, text: str | bytes) -> Path:
    """Put `text` at job.yaml in `folder`."""
    path = folder / "job.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def load_text(
    folder: Path,
    text: str | bytes,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
) -> LoadedJob:
    """Load a job file that holds `text`."""
    return load_job(write_job(folder, text), environ=environ or {}, overrides=overrides)


def refusal(
    folder: Path,
    text: str | bytes,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
) -> str:
    """What the error about `text` says, with the folder left out of it."""
    with pytest.raises((SpecError, UsageError)) as caught:
        load_text(folder, text, environ=environ, overrides=overrides)
    return caught.value.message.replace(f"{folder}/", "")


def heads(message: str) -> list[str]:
    """The first line of each problem."""
    return [line for line in message.splitlines() if not line.startswith("    ")]
