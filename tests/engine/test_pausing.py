"""Jobs that are paused and resumed, with real workers."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import openai
import pytest

from ftops.engine.server import _is_idle
from ftops.engine.settings import EngineSettings
from tests.engine.running import Running, animals, run_engine, table_settings, wait_for
from tests.engine.test_scheduler import create, nameless, results, wait_for_step, worker_pid


def gated(tmp_path: Path, *options: str) -> tuple[EngineSettings, Path]:
    """Settings for jobs that wait before step 4 until the gate is gone."""
    gate = tmp_path / "gate"
    gate.touch()
    options = ("--gate", str(gate), "--gate-step", "4", *options)
    return table_settings(tmp_path / "engine", *options), gate


def without_pauses(messages: list[str]) -> list[str]:
    words = ("Pausing", "Job paused", "Job resumed")
    return [message for message in messages if not message.startswith(words)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], str]:
    with run_engine(table_settings(tmp_path_factory.mktemp("undisturbed"))) as running:
        job_id = create(running)
        running.wait_for_end(job_id)
        return nameless(running, job_id), results(running, job_id)


def test_a_paused_job_survives_its_engine_and_goes_on_from_its_checkpoint(
    tmp_path: Path, undisturbed: tuple[list[str], str]
) -> None:
    settings, gate = gated(tmp_path)
    with run_engine(settings) as running:
        jobs = running.sdk.fine_tuning.jobs
        job_id = create(running)
        wait_for_step(running, job_id, 3)
        assert str(jobs.pause(job_id).status) in ("pausing", "paused")
        running.wait_for_status(job_id, "paused")
        assert not running.engine.store.jobs.list_active()
        with pytest.raises(openai.BadRequestError, match="already paused") as caught:
            jobs.pause(job_id)
        assert caught.value.code == "invalid_job_state"
    gate.unlink()
    with run_engine(replace(settings, idle_s=0.0)) as running:
        jobs = running.sdk.fine_tuning.jobs
        assert str(jobs.retrieve(job_id).status) == "paused"
        assert _is_idle(running.engine)  # the engine may stop
        other = running.wait_for_end(create(running))
        assert other.status == "succeeded"  # a paused job blocks no other job
        assert str(jobs.retrieve(job_id).status) == "paused"
        assert jobs.resume(job_id).status == "queued"
        assert running.wait_for_end(job_id).status == "succeeded"
        messages = nameless(running, job_id)
        assert (without_pauses(messages), results(running, job_id)) == undisturbed
        assert sum(message == "Job paused." for message in messages) == 1
        with pytest.raises(openai.BadRequestError, match="it has succeeded") as caught:
            jobs.pause(job_id)
        assert caught.value.code == "job_ended"


def test_a_queued_job_pauses_at_once_and_lets_others_pass(tmp_path: Path) -> None:
    settings, gate = gated(tmp_path)
    with run_engine(settings) as running:
        jobs = running.sdk.fine_tuning.jobs
        first, second, third = (create(running) for _ in range(3))
        wait_for_step(running, first, 3)
        running.wait_for_status(third, "queued")
        assert str(jobs.pause(second).status) == "paused"
        gate.unlink()
        assert running.wait_for_end(third).status == "succeeded"
        assert str(jobs.retrieve(second).status) == "paused"
        jobs.resume(second)
        assert running.wait_for_end(second).status == "succeeded"


def test_jobs_in_other_states_say_why_they_cannot_be_paused_or_resumed(idle: Running) -> None:
    jobs = idle.sdk.fine_tuning.jobs
    job_id = create(idle)
    for change, words in (
        (jobs.pause, "are being validated"),
        (jobs.resume, "are being validated"),
    ):
        with pytest.raises(openai.BadRequestError, match=words):
            change(job_id)
    idle.store.enqueue(job_id)
    with pytest.raises(openai.BadRequestError, match="is queued, not paused"):
        jobs.resume(job_id)
    jobs.cancel(job_id)
    for change in (jobs.pause, jobs.resume):
        with pytest.raises(openai.BadRequestError, match="was cancelled"):
            change(job_id)
        with pytest.raises(openai.NotFoundError):
            change("ftjob-none")


def test_a_paused_job_can_be_cancelled_and_leaves_nothing(tmp_path: Path) -> None:
    settings, _ = gated(tmp_path)
    with run_engine(settings) as running:
        job_id = create(running)
        wait_for_step(running, job_id, 3)
        running.sdk.fine_tuning.jobs.pause(job_id)
        running.wait_for_status(job_id, "paused")
        assert running.sdk.fine_tuning.jobs.cancel(job_id).status == "cancelled"
        wait_for(lambda: not any(running.engine.paths.jobs.iterdir()))


def test_a_worker_that_is_killed_while_its_job_pauses_leaves_it_paused(
    tmp_path: Path, undisturbed: tuple[list[str], str]
) -> None:
    settings, gate = gated(tmp_path, "--deaf")
    with run_engine(settings) as running:
        job_id = create(running)
        wait_for_step(running, job_id, 3)
        assert str(running.sdk.fine_tuning.jobs.pause(job_id).status) == "pausing"
        os.kill(worker_pid(running, job_id), signal.SIGKILL)
        running.wait_for_status(job_id, "paused")
        gate.unlink()
        running.sdk.fine_tuning.jobs.resume(job_id)
        assert running.wait_for_end(job_id).status == "succeeded"
        messages = without_pauses(nameless(running, job_id))
        assert (messages, results(running, job_id)) == undisturbed


def test_a_pause_that_comes_too_late_lets_the_job_succeed(tmp_path: Path) -> None:
    settings, gate = gated(tmp_path, "--deaf")
    with run_engine(settings) as running:
        job_id = create(running)
        wait_for_step(running, job_id, 3)
        running.sdk.fine_tuning.jobs.pause(job_id)
        gate.unlink()
        assert running.wait_for_end(job_id).status == "succeeded"


def test_tiny_paused_twice_ends_with_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    with run_engine(EngineSettings(tmp_path)) as running:
        jobs = running.sdk.fine_tuning.jobs
        ids = [
            jobs.create(
                model="ada",
                training_file=running.upload(animals(10)),
                hyperparameters={"n_epochs": 60, "batch_size": 2},
                seed=3,
            ).id
            for _ in range(2)
        ]
        for step in (30, 150):
            wait_for_step(running, ids[0], step)
            jobs.pause(ids[0])
            running.wait_for_status(ids[0], "paused")
            jobs.resume(ids[0])
        for job_id in ids:
            assert running.wait_for_end(job_id).status == "succeeded"
        paused, straight = (
            (running.engine.paths.model(job_id) / "weights.safetensors").read_bytes()
            for job_id in ids
        )
        assert paused == straight
        assert results(running, ids[0]) == results(running, ids[1])
        assert running.messages(ids[0]).count("Job paused.") == 2
