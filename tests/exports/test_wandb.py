"""Runs in W&B's offline files. Nothing here may be online."""

import math
from pathlib import Path

import pytest

from ftops.errors import ExportFailed
from ftops.exports.exporter import ExportTarget, SubprocessExporter
from ftops.exports.run_data import TrainingCurve
from tests.exports.runs import RUN_ID, export_run, make_environ, make_hostile_run, make_run
from tests.exports.wandb_file import read_offline_run

pytestmark = pytest.mark.timeout(300)


def find_place(said: str) -> Path:
    return Path(said.partition(" at ")[2])


def test_a_run_that_is_exported_is_read_back_whole(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text("name: news\n")
    run = make_run(files=(str(job),))
    location = find_place(export_run(tmp_path, "wandb", run, project="topics", folder="logs"))
    assert location.parent == tmp_path / "logs" / "wandb"
    found = read_offline_run(location)
    assert (found.id, found.name, found.project) == (RUN_ID, "news topics/1", "topics")
    assert found.history["train_loss"] == {1: 3.0, 2: 1.5, 3: 1.0, 4: 0.75}
    assert found.history["valid_loss"] == {4: 0.75}
    assert found.summary["eval/tuned/accuracy"] == 0.9375
    assert found.summary["eval/few-shot_ 5/accuracy_low"] == 0.375
    assert found.config["n_epochs"] == 3
    assert found.config["ftops"]["lineage"]["training_sha256"] == "ab" * 32
    assert found.config["ftops"]["lineage"]["model"] == "ft:ada:local:news:1"
    assert "job.yaml" in found.files
    assert (location / "files" / "job.yaml").read_text() == "name: news\n"
    assert found.exit_code == 0


def test_a_run_that_is_exported_again_is_there_once_unless_it_was_sent(tmp_path: Path) -> None:
    first = find_place(export_run(tmp_path, "wandb", make_run(status="failed", steps=2)))
    assert read_offline_run(first).exit_code == 1
    unsent = find_place(export_run(tmp_path, "wandb", make_run(steps=3)))
    assert [first.exists(), unsent.exists()] == [first == unsent, True]
    assert len(read_offline_run(unsent).history["train_loss"]) == 3
    (unsent / f"run-{RUN_ID}.wandb.synced").touch()
    export_run(tmp_path, "wandb", make_run(steps=4))
    assert unsent.exists()


def test_names_and_values_of_any_kind_are_written(tmp_path: Path) -> None:
    found = read_offline_run(find_place(export_run(tmp_path, "wandb", make_hostile_run())))
    assert found.history["_/_/loss"] == {1: 1.0, 2: 2.0}
    assert found.history["loss_"] == {1: 3.0, 2: 4.0}
    assert sum(math.isnan(value) for curve in found.history.values()
               for value in curve.values() if isinstance(value, float)) == 1  # fmt: skip


def test_many_steps_are_written(tmp_path: Path) -> None:
    steps = tuple(range(3_000))
    curve = TrainingCurve("train_loss", steps, tuple(float(step) for step in steps))
    found = read_offline_run(find_place(export_run(tmp_path, "wandb", make_run(curves=(curve,)))))
    assert found.history["train_loss"] == dict(zip(steps, curve.values, strict=True))


def test_a_job_file_alone_never_brings_it_online(tmp_path: Path) -> None:
    environ = make_environ(tmp_path, WANDB_API_KEY="0" * 40)
    del environ["WANDB_MODE"]
    said = SubprocessExporter(environ).export(
        make_run(), ExportTarget("wandb", {"mode": "online"}, tmp_path)
    )
    assert "offline-run-" in said


def test_who_has_disabled_it_is_heard(tmp_path: Path) -> None:
    environ = make_environ(tmp_path, WANDB_MODE="disabled")
    with pytest.raises(ExportFailed, match="W&B is disabled here"):
        SubprocessExporter(environ).export(make_run(), ExportTarget("wandb", {}, tmp_path))
    assert not (tmp_path / "wandb").exists()


def test_the_folder_is_the_one_of_the_environment_unless_one_is_named(tmp_path: Path) -> None:
    environ = make_environ(tmp_path, WANDB_DIR=str(tmp_path / "mine"), WANDB_PROJECT="ours")
    said = SubprocessExporter(environ).export(make_run(), ExportTarget("wandb", {}, tmp_path))
    location = find_place(said)
    assert location.parent == tmp_path / "mine" / "wandb"
    assert read_offline_run(location).project == "ours"
    assert not (tmp_path / "wandb").exists()
