"""Runs in W&B's offline files; no test goes online."""

import math
from pathlib import Path

import pytest

from ftops.errors import ExportFailed
from ftops.exports.exporter import ExportTarget, SubprocessExporter
from ftops.exports.run_data import TrainingCurve
from tests.exports.runs import RUN_ID, export_run, make_environ, make_hostile_run, make_run
from tests.exports.wandb_file import read_offline_run

pytestmark = pytest.mark.timeout(300)


def parse_folder(location: str) -> Path:
    return Path(location.partition(" at ")[2])


def test_an_exported_run_is_read_back_whole(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text("name: news\n")
    run = make_run(files=(str(job),))
    location = parse_folder(export_run(tmp_path, "wandb", run, project="topics", folder="logs"))
    assert location.parent == tmp_path / "logs" / "wandb"
    exported = read_offline_run(location)
    assert (exported.id, exported.name, exported.project) == (RUN_ID, "news topics/1", "topics")
    assert exported.history["train_loss"] == {1: 3.0, 2: 1.5, 3: 1.0, 4: 0.75}
    assert exported.history["valid_loss"] == {4: 0.75}
    assert exported.summary["eval/tuned/accuracy"] == 0.9375
    assert exported.summary["eval/few-shot_ 5/accuracy_low"] == 0.375
    assert exported.config["n_epochs"] == 3
    assert exported.config["ftops"]["lineage"]["training_sha256"] == "ab" * 32
    assert exported.config["ftops"]["lineage"]["model"] == "ft:ada:local:news:1"
    assert "job.yaml" in exported.files
    assert (location / "files" / "job.yaml").read_text() == "name: news\n"
    assert exported.exit_code == 0


def test_a_second_export_of_a_run_replaces_the_first_unless_it_was_synced(tmp_path: Path) -> None:
    first = parse_folder(export_run(tmp_path, "wandb", make_run(status="failed", steps=2)))
    assert read_offline_run(first).exit_code == 1
    unsent = parse_folder(export_run(tmp_path, "wandb", make_run(steps=3)))
    assert [first.exists(), unsent.exists()] == [first == unsent, True]
    assert len(read_offline_run(unsent).history["train_loss"]) == 3
    (unsent / f"run-{RUN_ID}.wandb.synced").touch()
    export_run(tmp_path, "wandb", make_run(steps=4))
    assert unsent.exists()


def test_names_and_values_of_any_kind_are_written(tmp_path: Path) -> None:
    exported = read_offline_run(parse_folder(export_run(tmp_path, "wandb", make_hostile_run())))
    assert exported.history["_/_/loss"] == {1: 1.0, 2: 2.0}
    assert exported.history["loss_"] == {1: 3.0, 2: 4.0}
    assert sum(math.isnan(value) for curve in exported.history.values()
               for value in curve.values() if isinstance(value, float)) == 1  # fmt: skip


def test_many_steps_are_written(tmp_path: Path) -> None:
    steps = tuple(range(3_000))
    curve = TrainingCurve("train_loss", steps, tuple(float(step) for step in steps))
    exported = read_offline_run(
        parse_folder(export_run(tmp_path, "wandb", make_run(curves=(curve,))))
    )
    assert exported.history["train_loss"] == dict(zip(steps, curve.values, strict=True))


def test_a_job_file_alone_does_not_go_online(tmp_path: Path) -> None:
    environ = make_environ(tmp_path, WANDB_API_KEY="0" * 40)
    del environ["WANDB_MODE"]
    location = SubprocessExporter(environ).export(
        make_run(), ExportTarget("wandb", {"mode": "online"}, tmp_path)
    )
    assert "offline-run-" in location


def test_a_disabled_wandb_is_reported(tmp_path: Path) -> None:
    environ = make_environ(tmp_path, WANDB_MODE="disabled")
    with pytest.raises(ExportFailed, match="W&B is disabled here"):
        SubprocessExporter(environ).export(make_run(), ExportTarget("wandb", {}, tmp_path))
    assert not (tmp_path / "wandb").exists()


def test_the_default_folder_and_project_come_from_the_environment(tmp_path: Path) -> None:
    environ = make_environ(tmp_path, WANDB_DIR=str(tmp_path / "mine"), WANDB_PROJECT="ours")
    message = SubprocessExporter(environ).export(make_run(), ExportTarget("wandb", {}, tmp_path))
    location = parse_folder(message)
    assert location.parent == tmp_path / "mine" / "wandb"
    assert read_offline_run(location).project == "ours"
    assert not (tmp_path / "wandb").exists()
