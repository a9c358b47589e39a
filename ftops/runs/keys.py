"""Which executions are the same: the key of a run; and the names of runs and of remote files."""

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import orjson

from ftops.errors import DatasetError
from ftops.files import measure_path
from ftops.records import Json, RunId
from ftops.runs.preprocessing import load_plan
from ftops.spec.job_file import LoadedJob, resolve_data

# No letters or digits that are mistaken for one another when read aloud at night.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_TAIL = 4
_PATHS = ("training_file", "validation_file")  # their content stands in the key instead
# The first keys were made of specs with every default filled in. Those defaults stay in all keys,
# so that the runs of earlier releases are found. A newer field is never added here.
FIRST_DEFAULTS: Mapping[str, Json] = {
    "suffix": None,
    "method": "supervised",
    "hyperparameters": {
        "n_epochs": "auto",
        "batch_size": "auto",
        "learning_rate_multiplier": "auto",
        "beta": None,
        "prompt_loss_weight": None,
        "compute_classification_metrics": None,
        "classification_n_classes": None,
        "classification_positive_class": None,
        "classification_betas": None,
    },
    "seed": None,
    "metadata": {},
    "prepare": {"format": "auto", "separator": None, "stop": None, "system": None},
    "provider": {"base_url": None, "organization": None, "project": None},
}


def make_key(job: LoadedJob, account: str) -> str:
    """SHA-256 over what the job file says, the content of its data and its plan, and who pays.

    Where the data lies, and what its files are called, is left out: a folder that was moved is the
    same job. Raises DatasetError when a data file cannot be read.
    """
    spec = job.spec
    parts: dict[str, object] = {
        "spec": _fill_first_defaults(spec.canonical()),
        "training": _content(job.path, spec.training_file),
        "validation": _content(job.path, spec.validation_file) if spec.validation_file else None,
        "account": account,
    }
    plan = load_plan(spec, job.path)
    if plan is not None:
        parts["plan"] = plan.to_json()
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def make_run_id(now: datetime) -> RunId:
    """A fresh id that sorts by time, like run-20261122-1407-k3f9."""
    tail = "".join(secrets.choice(_LETTERS) for _ in range(_TAIL))
    return RunId(f"run-{now:%Y%m%d-%H%M}-{tail}")


def _fill_first_defaults(canonical: Mapping[str, Json]) -> dict[str, Json]:
    filled = dict(FIRST_DEFAULTS)
    for name, value in canonical.items():
        default = filled.get(name)
        if isinstance(default, dict) and isinstance(value, dict):
            filled[name] = {**default, **value}
        elif name not in _PATHS:
            filled[name] = value
    return filled


def _content(job_file: Path, value: str) -> str:
    path = resolve_data(job_file, value)
    if path is None:
        return value  # a file that lies at the provider; its id says which content it is
    try:
        return measure_path(path)[1]
    except OSError as error:
        raise DatasetError(f"{path}: cannot read: {error.strerror or error}") from error
