"""Job files with a data plan or with columns of a table."""

import json
from pathlib import Path

import pytest

from ftops.errors import DatasetError, SpecError
from ftops.files import sha256_file
from ftops.records import DataPlan, PlanStep, RunStatus, Stage
from ftops.runs.open_run import load_evaluation, make_key
from ftops.runs.preview import preview
from ftops.spec.job_file import LoadedJob
from ftops.spec.plan_file import render_plan
from ftops.stage_results import PreparedData
from tests.runs.bench import Bench, get_primary_value, write_job

LABELS = ("in order", "part of", "mother")
STEPS = (
    PlanStep("encode-labels", {"labels": {label: f" {n}" for n, label in enumerate(LABELS, 1)}}),
    PlanStep("add-separator", {"separator": " ->"}),
    PlanStep("drop-duplicates"),
)
PLAN = DataPlan(STEPS, {"prompt": "What is {text}?", "completion": "label"})


def write_table(path: Path, rows: int, *more: str) -> None:
    lines = [f"thing {n},{LABELS[n % 3]}" for n in range(rows)]
    path.write_text("\n".join(["text,label", *lines, *more]) + "\n")


def write_planned_job(folder: Path, plan: DataPlan = PLAN, **fields: object) -> LoadedJob:
    """A job whose data are tables that a plan prepares."""
    write_table(folder / "train.csv", 12, "thing 3,in order")
    write_table(folder / "validation.csv", 3)
    (folder / "data.plan.yaml").write_text(render_plan(plan))
    job_fields: dict[str, object] = {
        "training_file": "train.csv",
        "validation_file": "validation.csv",
        "prepare": {"plan": "data.plan.yaml"},
        **fields,
    }
    return write_job(folder, **job_fields)


def test_the_data_is_prepared_by_the_plan_and_uploaded(bench: Bench) -> None:
    run = bench.run(write_planned_job(bench.folder))
    assert run.status is RunStatus.SUCCEEDED
    sent = bench.home / "runs" / run.id / "train.jsonl"
    rows = [json.loads(line) for line in sent.read_text().splitlines()]
    assert len(rows) == 12
    assert rows[0] == {"prompt": "What is thing 0? ->", "completion": " 1"}
    detail = bench.detail(run, Stage.PREPARE)
    prepared = PreparedData.from_json(detail)
    assert prepared.training.sha256 == sha256_file(sent)
    assert (prepared.separator, prepared.stop) == (" ->", None)
    assert prepared.plan == PLAN
    assert not [path for path in sent.parent.iterdir() if path.name.startswith(".")]


def test_predictions_are_mapped_back_to_their_labels(bench: Bench) -> None:
    run = bench.run(write_planned_job(bench.folder))
    evaluation = load_evaluation(run, bench.home)
    assert evaluation is not None
    assert (evaluation.rows, get_primary_value(evaluation)) == (3, 1.0)
    path = bench.home / "runs" / run.id / "predictions" / "tuned.jsonl"
    lines = path.read_text().splitlines()
    assert {json.loads(line)["predicted"] for line in lines} == set(LABELS)


def test_an_evaluation_file_is_prepared_by_the_plan_of_the_run(bench: Bench) -> None:
    job = write_planned_job(
        bench.folder, evaluate={"file": "exam.csv", "overlap": "allow"}, validation_file=None
    )
    write_table(bench.folder / "exam.csv", 6)
    run = bench.run(job)
    evaluation = load_evaluation(run, bench.home)
    assert evaluation is not None
    assert (evaluation.rows, get_primary_value(evaluation)) == (6, 1.0)


def test_the_key_depends_on_the_content_of_the_plan_and_not_on_its_path(tmp_path: Path) -> None:
    key = make_key(write_planned_job(tmp_path), "a")
    (tmp_path / "data.plan.yaml").rename(tmp_path / "other.yaml")
    moved = write_job(
        tmp_path,
        training_file="train.csv",
        validation_file="validation.csv",
        prepare={"plan": "other.yaml"},
    )
    assert make_key(moved, "a") == key
    (tmp_path / "other.yaml").write_text("# a remark\n" + render_plan(PLAN))
    assert make_key(moved, "a") == key
    (tmp_path / "other.yaml").write_text(render_plan(DataPlan(STEPS[:2], PLAN.read)))
    assert make_key(moved, "a") != key


def test_a_label_unknown_to_the_plan_is_an_error_with_its_line(bench: Bench) -> None:
    job = write_planned_job(bench.folder)
    write_table(bench.folder / "train.csv", 12, "thing 99,father")
    with pytest.raises(DatasetError, match=r"train\.csv:14: the label 'father' is not in"):
        bench.run(job)
    assert bench.provider.completion_requests == []


def test_an_invalid_plan_is_an_error_with_its_position(bench: Bench) -> None:
    job = write_planned_job(bench.folder)
    (bench.folder / "data.plan.yaml").write_text("version: 1\nsteps: [encode-labelsp]\n")
    with pytest.raises(SpecError, match=r"data\.plan\.yaml:2:9: unknown fix 'encode-labelsp'"):
        bench.run(job)


def test_data_already_prepared_by_the_plan_is_unchanged(bench: Bench) -> None:
    first = bench.run(write_planned_job(bench.folder))
    ready = bench.folder / "ready.jsonl"
    ready.write_bytes((bench.home / "runs" / first.id / "train.jsonl").read_bytes())
    run = bench.run(write_planned_job(bench.folder, training_file="ready.jsonl"))
    prepared = PreparedData.from_json(bench.detail(run, Stage.PREPARE))
    assert prepared.training.sha256 == sha256_file(ready)


def test_columns_of_a_table_are_named_in_the_job_file(bench: Bench) -> None:
    job = write_planned_job(
        bench.folder, prepare={"prompt": "{text} ->", "completion": "label", "encoding": "utf-8"}
    )
    run = bench.run(job)
    sent = bench.home / "runs" / run.id / "train.jsonl"
    assert json.loads(sent.read_text().splitlines()[0]) == {
        "prompt": "thing 0 ->",
        "completion": "in order",
    }


def test_a_preview_applies_the_plan_and_writes_nothing(bench: Bench) -> None:
    result = preview(write_planned_job(bench.folder), bench.provider)
    assert result.training is not None
    assert result.training.rows == 12
    assert dict(result.training.classes or {}) == {" 1": 4, " 2": 4, " 3": 4}
