"""The models at the ends of a job's last epochs."""

import os
import signal
from pathlib import Path

import openai
import pytest

from ftops.engine.settings import EngineSettings
from tests.engine.running import Running, animals, run_engine, table_settings, wait_for
from tests.engine.test_scheduler import create, wait_for_step, worker_pid


def succeed(running: Running, n_epochs: int) -> str:
    job_id = create(running, n_epochs)
    assert running.wait_for_end(job_id).status == "succeeded"
    return job_id


def names(running: Running, job_id: str) -> list[str]:
    found = running.sdk.fine_tuning.jobs.checkpoints.list(job_id)
    return [checkpoint.fine_tuned_model_checkpoint for checkpoint in found]


def answer(running: Running, model: str, prompt: str) -> str:
    return running.sdk.completions.create(model=model, prompt=prompt, temperature=0).choices[0].text


def test_the_last_three_epochs_are_kept_latest_first_with_their_figures(running: Running) -> None:
    jobs = running.sdk.fine_tuning.jobs
    job = jobs.create(
        model="ada",
        training_file=running.upload(animals()),
        validation_file=running.upload(animals()),
        hyperparameters={"n_epochs": 5},
    )
    assert jobs.checkpoints.list(job.id).data == []
    job = running.wait_for_end(job.id)
    page = jobs.checkpoints.list(job.id)
    assert [one.step_number for one in page.data] == [15, 12, 9]
    assert [one.fine_tuned_model_checkpoint for one in page.data] == [
        f"{job.fine_tuned_model}:ckpt-step-{step}" for step in (15, 12, 9)
    ]
    one = page.data[0]
    assert (one.object, one.fine_tuning_job_id) == ("fine_tuning.job.checkpoint", job.id)
    assert one.id.startswith("ftckpt_")
    assert one.metrics.step == 15
    assert (one.metrics.train_loss, one.metrics.train_mean_token_accuracy) == (0.0, 1.0)
    assert (one.metrics.valid_loss, one.metrics.valid_mean_token_accuracy) == (0.0, 1.0)
    assert one.metrics.full_valid_loss is None
    assert [row.id for row in jobs.checkpoints.list(job.id, limit=1)] == [
        row.id for row in page.data
    ]
    rest = jobs.checkpoints.list(job.id, after=one.id, limit=1)
    assert (rest.data[0].step_number, rest.has_more) == (12, True)
    with pytest.raises(openai.BadRequestError):
        jobs.checkpoints.list(job.id, after="ftckpt_none")
    with pytest.raises(openai.NotFoundError):
        jobs.checkpoints.list("ftjob-none")


def test_a_checkpoint_answers_and_can_be_tuned_further(running: Running) -> None:
    job_id = succeed(running, 2)
    late, early = names(running, job_id)
    for name in (late, early):
        assert answer(running, name, "owl ->") == " o"
        assert running.sdk.models.retrieve(name).id == name
    child = running.sdk.fine_tuning.jobs.create(
        model=early, training_file=running.upload(animals(4)[3:])
    )
    model = running.wait_for_end(child.id).fine_tuned_model
    assert model is not None
    assert [answer(running, model, f"{name} ->") for name in ("cat", "cow")] == [" c", " c"]
    assert running.http.get(f"/v1/models/{model}").json()["parent"] == early


def test_checkpoints_go_with_their_model_and_one_by_one(running: Running) -> None:
    job_id = succeed(running, 3)
    last, middle, first = names(running, job_id)
    folder = running.engine.paths.model(job_id)
    answer(running, middle, "cat ->")
    running.sdk.models.delete(middle)
    assert names(running, job_id) == [last, first]
    assert [path.name for path in sorted((folder / "checkpoints").iterdir())] == [
        "step-3",
        "step-9",
    ]
    model = running.sdk.fine_tuning.jobs.retrieve(job_id).fine_tuned_model
    assert model is not None
    answer(running, first, "cat ->")
    running.sdk.models.delete(model)
    assert names(running, job_id) == []
    for name in (first, middle, last, model):
        with pytest.raises(openai.NotFoundError):
            answer(running, name, "cat ->")
    assert not folder.exists()


def test_a_deleted_model_stays_on_the_disk_while_a_job_starts_from_its_checkpoint(
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    settings = table_settings(tmp_path / "engine", "--gate", str(gate), "--gate-step", "2")
    with run_engine(settings) as running:
        parent = succeed(running, 2)
        model = running.sdk.fine_tuning.jobs.retrieve(parent).fine_tuned_model
        assert model is not None
        gate.touch()
        child = running.sdk.fine_tuning.jobs.create(
            model=names(running, parent)[1], training_file=running.upload(animals())
        )
        wait_for_step(running, child.id, 1)
        running.sdk.models.delete(model)
        folder = running.engine.paths.model(parent)
        assert folder.exists()
        gate.unlink()
        assert running.wait_for_end(child.id).status == "succeeded"
        wait_for(lambda: not folder.exists())


@pytest.mark.parametrize("place", ["engine.worker.after_publish", "engine.worker.after_success"])
def test_a_death_while_publishing_loses_no_checkpoint(tmp_path: Path, place: str) -> None:
    once = str(tmp_path / "died")
    settings = table_settings(tmp_path / "engine", "--crash", place, "--once", once)
    with run_engine(settings) as running:
        job_id = succeed(running, 4)
        assert [name.rpartition("-")[2] for name in names(running, job_id)] == ["12", "9", "6"]
        for name in names(running, job_id):
            assert answer(running, name, "dog ->") == " d"
        wait_for(lambda: not any(running.engine.paths.jobs.iterdir()))


def test_tinys_last_checkpoint_is_its_model_and_a_kill_changes_none(tmp_path: Path) -> None:
    with run_engine(EngineSettings(tmp_path)) as running:
        weights = []
        for kills in (False, True):
            job = running.sdk.fine_tuning.jobs.create(
                model="ada",
                training_file=running.upload(animals(10)),
                hyperparameters={"n_epochs": 8, "batch_size": 2},
                seed=3,
            )
            if kills:
                wait_for_step(running, job.id, 30)
                os.kill(worker_pid(running, job.id), signal.SIGKILL)
            assert running.wait_for_end(job.id).status == "succeeded"
            folder = running.engine.paths.model(job.id)
            weights.append(
                {
                    str(path.relative_to(folder)): path.read_bytes()
                    for path in folder.rglob("weights.safetensors")
                }
            )
        assert weights[0] == weights[1]
        assert sorted(weights[0]) == [
            "checkpoints/step-30/weights.safetensors",
            "checkpoints/step-35/weights.safetensors",
            "checkpoints/step-40/weights.safetensors",
            "weights.safetensors",
        ]
        assert (
            weights[0]["checkpoints/step-40/weights.safetensors"]
            == weights[0]["weights.safetensors"]
        )
        assert (
            weights[0]["checkpoints/step-35/weights.safetensors"]
            != weights[0]["weights.safetensors"]
        )
