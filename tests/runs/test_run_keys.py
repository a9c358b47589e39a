"""The keys of runs are pinned: `run_keys.yaml` has job files and their keys."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field

from ftops.records import Json
from ftops.runs.open_run import FIRST_DEFAULTS, make_key
from ftops.spec.job_file import LoadedJob, load_job
from ftops.spec.model import HyperparameterSpec, JobSpec, PrepareSpec
from ftops.spec.section import Expected

TABLE: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("run_keys.yaml").read_text("utf-8"))
JOBS: Mapping[str, dict[str, Any]] = TABLE["jobs"]


def load(folder: Path, entry: Mapping[str, Any]) -> LoadedJob:
    """The job file of the entry, next to its data."""
    for name, text in TABLE["files"].items():
        (folder / name).write_bytes(text.encode())
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(entry["job"]), encoding="utf-8")
    return load_job(path, environ={}, overrides=entry.get("set", ()))


def account(entry: Mapping[str, Any]) -> str:
    name: str = TABLE["accounts"][entry["account"]]
    return name


@pytest.mark.parametrize("entry", JOBS.values(), ids=JOBS)
def test_a_job_file_keeps_its_key(tmp_path: Path, entry: Mapping[str, Any]) -> None:
    pinned = JOBS[entry["same_as"]] if "same_as" in entry else entry
    assert make_key(load(tmp_path, entry), account(entry)) == pinned["key"]


def test_no_two_different_jobs_of_the_table_share_a_key() -> None:
    keys = [entry["key"] for entry in JOBS.values() if "same_as" not in entry]
    assert len(set(keys)) == len(keys) >= 12


class LaterHyperparameters(HyperparameterSpec):
    warmup_ratio: Annotated[float | Literal["auto"], Expected("a number")] = "auto"


class LaterPreparation(PrepareSpec):
    trim: Annotated[bool, Expected("true or false")] = False


class LaterSpec(JobSpec):
    """The job file of a later release, with three more optional fields."""

    hyperparameters: LaterHyperparameters = Field(LaterHyperparameters())
    prepare: LaterPreparation = Field(LaterPreparation())
    priority: Annotated[str | None, Expected("text")] = None


def key_in_later_release(job: LoadedJob, account: str, **fields: Json) -> str:
    later = LaterSpec.from_json({**job.spec.to_json(), **fields})
    return make_key(replace(job, spec=later), account)


@pytest.mark.parametrize("entry", JOBS.values(), ids=JOBS)
def test_a_new_optional_field_changes_no_key(tmp_path: Path, entry: Mapping[str, Any]) -> None:
    job = load(tmp_path, entry)
    assert key_in_later_release(job, account(entry)) == make_key(job, account(entry))


@pytest.mark.parametrize(
    "fields",
    [{"priority": "high"}, {"prepare": {"trim": True}}, {"hyperparameters": {"warmup_ratio": 0.1}}],
    ids=str,
)
def test_a_new_optional_field_with_a_value_changes_the_key(
    tmp_path: Path, fields: dict[str, Json]
) -> None:
    job = load(tmp_path, JOBS["the least that a job file can say"])
    assert key_in_later_release(job, "a", **fields) != make_key(job, "a")


def test_the_canonical_spec_holds_only_what_differs_from_its_default(tmp_path: Path) -> None:
    for name in ("the least that a job file can say", "every default written out"):
        assert load(tmp_path, JOBS[name]).spec.canonical() == {
            "model": "ada",
            "name": "travel",
            "provider": {"type": "local"},
            "training_file": "train.jsonl",
        }


def test_defaults_of_key_fields_have_not_changed(
    tmp_path: Path,
) -> None:
    """A changed default would give a job file the key of another job."""
    spec = load(tmp_path, JOBS["every default written out"]).spec.to_json()
    for name, value in FIRST_DEFAULTS.items():
        section = spec[name]
        if isinstance(value, dict) and isinstance(section, dict):
            section = {field: section.get(field) for field in value}
        assert section == value, name
