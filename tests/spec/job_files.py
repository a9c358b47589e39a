"""Job files for the tests of `ftops.spec`, and the errors of `load_job` about them."""

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
    """Write `text` to job.yaml in `folder`."""
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


def get_load_error(
    folder: Path,
    text: str | bytes,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
) -> str:
    """The message of the error about `text`, without the folder."""
    with pytest.raises((SpecError, UsageError)) as caught:
        load_text(folder, text, environ=environ, overrides=overrides)
    return caught.value.message.replace(f"{folder}/", "")


def get_first_lines(message: str) -> list[str]:
    """The first line of each problem in a message."""
    return [line for line in message.splitlines() if not line.startswith("    ")]
