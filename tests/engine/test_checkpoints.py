"""The models at the ends of a job's last epochs."""

import os
import signal
from functools import partial
from pathlib import Path

import openai
import pytest

from ftops.engine.model_store import EpochCheckpoints
from ftops.engine.settings import EngineSettings, JobFolder
from ftops.engine.trainer import StepMetrics
from tests.engine.running import Running, animals, run_engine, table_settings, wait_for
from tests.engine.test_scheduler import create, wait_for_step, worker_pid
from tests.fakes import FakeClock


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


def begin(running: Running, n_epochs: int = 9, suffix: str = "early") -> str:
    job = running.sdk.fine_tuning.jobs.create(
        model="ada",
        training_file=running.upload(animals()),
        hyperparameters={"n_epochs": n_epochs},
        suffix=suffix,
    )
    return job.id


def check_kept(running: Running, job_id: str, before_step: int) -> list[str]:
    """The names of the checkpoints that a job without a model left, once they are there."""
    wait_for(lambda: names(running, job_id) != [])
    kept = names(running, job_id)
    page = running.sdk.fine_tuning.jobs.checkpoints.list(job_id)
    steps = [one.step_number for one in page]
    assert len(kept) <= 3
    assert steps == sorted(steps, reverse=True)
    assert all(step % 3 == 0 and step < before_step for step in steps)
    assert all(name.startswith(f"ft:ada:local:early:{job_id[-8:]}:ckpt-step-") for name in kept)
    assert page.data[0].metrics.train_loss is not None
    for name in kept:
        assert answer(running, name, "owl ->") == " o"
    assert running.sdk.fine_tuning.jobs.retrieve(job_id).fine_tuned_model is None
    return kept


@pytest.mark.parametrize("pauses", [False, True])
def test_a_cancelled_job_keeps_its_last_epochs_until_they_are_deleted(
    tmp_path: Path, pauses: bool
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    settings = table_settings(tmp_path / "engine", "--gate", str(gate), "--gate-step", "14")
    with run_engine(settings) as running:
        job_id = begin(running)
        wait_for_step(running, job_id, 13)
        assert names(running, job_id) == []
        if pauses:
            running.http.post(f"/v1/fine_tuning/jobs/{job_id}/pause")
            running.wait_for_status(job_id, "paused")
        running.sdk.fine_tuning.jobs.cancel(job_id)
        kept = check_kept(running, job_id, before_step=14)
        wait_for(lambda: not any(running.engine.paths.jobs.iterdir()))
        gate.unlink()
        child = running.sdk.fine_tuning.jobs.create(
            model=kept[0], training_file=running.upload(animals(4)[3:])
        )
        assert running.wait_for_end(child.id).status == "succeeded"
        for name in kept:
            running.sdk.models.delete(name)
        assert names(running, job_id) == []
        assert not running.engine.paths.model(job_id).exists()


def test_a_failed_job_keeps_its_last_epochs_also_after_a_restart(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    settings = table_settings(tmp_path / "engine", "--gate", str(gate), "--gate-step", "8")
    with run_engine(settings) as running:
        job_id = begin(running)
        wait_for_step(running, job_id, 7)
        for deaths in (1, 2, 3):
            wait_for(lambda: lives(running, job_id))
            os.kill(worker_pid(running, job_id), signal.SIGSEGV)
            wait_for(partial(has_died, running, job_id, deaths))
        assert running.wait_for_end(job_id).status == "failed"
        kept = check_kept(running, job_id, before_step=8)
    with run_engine(settings) as running:
        assert check_kept(running, job_id, before_step=8) == kept


def lives(running: Running, job_id: str) -> bool:
    """Whether the job's present worker has said who it is."""
    job = running.store.jobs.find(job_id)
    return job is not None and job.status == "running" and job.worker_pid is not None


def has_died(running: Running, job_id: str, times: int) -> bool:
    job = running.store.jobs.find(job_id)
    return job is not None and job.crashes == times


def test_a_job_that_ends_before_its_first_epoch_keeps_nothing(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    settings = table_settings(tmp_path / "engine", "--gate", str(gate), "--gate-step", "2")
    with run_engine(settings) as running:
        job_id = begin(running)
        wait_for_step(running, job_id, 1)
        running.sdk.fine_tuning.jobs.cancel(job_id)
        wait_for(lambda: not any(running.engine.paths.jobs.iterdir()))
        assert names(running, job_id) == []
        assert not running.engine.paths.model(job_id).exists()


def make_metrics(epoch: int) -> StepMetrics:
    return StepMetrics(epoch, 40, epoch, epoch, epoch, 0.5, 0.5, 0.5)


def test_earlier_epochs_are_written_as_long_as_that_takes_little_of_the_time(
    tmp_path: Path,
) -> None:
    place, clock = JobFolder(tmp_path), FakeClock()
    epochs = EpochCheckpoints(place, 40, clock)
    written = []

    def write_slowly(folder: Path) -> None:
        (folder / "model").touch()
        clock.advance(1.0)

    for epoch in range(1, 41):
        epochs.write(make_metrics(epoch), write_slowly)
        written.append(sorted(path.name for path in place.epochs.iterdir()))
        clock.advance(9.0)  # so that 20 s have passed after three epochs
    assert written[0] == written[1] == written[2] == ["step-1"]
    assert written[3] == ["step-1", "step-4"]
    assert written[35] == ["step-28", "step-31", "step-34"]
    assert written[39] == ["step-38", "step-39", "step-40"]
