"""The queue with real worker processes: cancelled, killed, adopted, tried again."""

import os
import signal
import threading
from pathlib import Path

import pytest

from ftops.engine.settings import EngineSettings
from tests.engine.running import (
    TABLE_WORKER,
    Running,
    animals,
    greetings,
    run_engine,
    table_settings,
    wait_for,
)


def create(running: Running, n_epochs: int = 2) -> str:
    job = running.sdk.fine_tuning.jobs.create(
        model="ada",
        training_file=running.upload(animals()),
        hyperparameters={"n_epochs": n_epochs},
        seed=1,
    )
    return job.id


def wait_for_step(running: Running, job_id: str, step: int) -> None:
    wait_for(lambda: any(f"Step {step}/" in line for line in running.messages(job_id)))


def worker_pid(running: Running, job_id: str) -> int:
    job = running.store.jobs.find(job_id)
    assert job is not None
    assert job.worker_pid is not None
    return job.worker_pid


def results(running: Running, job_id: str) -> str:
    job = running.sdk.fine_tuning.jobs.retrieve(job_id)
    return running.sdk.files.content(job.result_files[0]).text


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], str]:
    """Events and results of the same job when nothing happens to it."""
    with run_engine(table_settings(tmp_path_factory.mktemp("undisturbed"))) as running:
        job_id = create(running)
        running.wait_for_end(job_id)
        return nameless(running, job_id), results(running, job_id)


def nameless(running: Running, job_id: str) -> list[str]:
    """The job's messages without what differs from job to job."""
    job = running.sdk.fine_tuning.jobs.retrieve(job_id)
    text = "\n".join(running.messages(job_id))
    for name in (job.fine_tuned_model or "-", job.id, job.training_file):
        text = text.replace(name, "X")
    return text.splitlines()


def test_jobs_train_one_after_the_other_in_the_order_of_their_making(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    settings = table_settings(tmp_path / "engine", "--gate", str(gate), "--gate-step", "2")
    with run_engine(settings) as running:
        jobs = [create(running) for _ in range(3)]
        wait_for_step(running, jobs[0], 1)
        running.wait_for_status(jobs[2], "queued")
        assert running.sdk.fine_tuning.jobs.retrieve(jobs[1]).status == "queued"
        running.sdk.fine_tuning.jobs.cancel(jobs[1])
        gate.unlink()
        ends = [running.wait_for_end(job_id) for job_id in jobs]
        assert [job.status for job in ends] == ["succeeded", "cancelled", "succeeded"]
        assert ends[1].fine_tuned_model is None


def test_two_jobs_train_at_once_when_that_is_allowed(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    command = (*TABLE_WORKER, "--gate", str(gate), "--gate-step", "2")
    settings = EngineSettings(tmp_path / "engine", max_concurrent_jobs=2, worker_command=command)
    with run_engine(settings) as running:
        jobs = [create(running) for _ in range(2)]
        for job_id in jobs:
            wait_for_step(running, job_id, 1)
        gate.unlink()
        assert {running.wait_for_end(job_id).status for job_id in jobs} == {"succeeded"}


def test_a_running_job_can_be_cancelled_and_its_worker_ends(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    settings = table_settings(tmp_path / "engine", "--gate", str(gate), "--gate-step", "2")
    with run_engine(settings) as running:
        job_id = create(running)
        wait_for_step(running, job_id, 1)
        assert running.sdk.fine_tuning.jobs.cancel(job_id).status == "cancelled"
        wait_for(lambda: not any(running.engine.paths.jobs.iterdir()))
        job = running.sdk.fine_tuning.jobs.retrieve(job_id)
        assert (job.status, job.fine_tuned_model, job.result_files) == ("cancelled", None, [])
        assert running.messages(job_id)[-1] == "The job was cancelled."


def test_a_killed_worker_is_followed_by_one_that_goes_on(
    tmp_path: Path, undisturbed: tuple[list[str], str]
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    settings = table_settings(tmp_path / "engine", "--gate", str(gate), "--gate-step", "4")
    with run_engine(settings) as running:
        job_id = create(running)
        wait_for_step(running, job_id, 3)
        killed = worker_pid(running, job_id)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: _pid(running, job_id) not in (None, killed))
        gate.unlink()
        job = running.wait_for_end(job_id)
        assert job.status == "succeeded", job.error
        assert (nameless(running, job_id), results(running, job_id)) == undisturbed


def _pid(running: Running, job_id: str) -> int | None:
    job = running.store.jobs.find(job_id)
    return job.worker_pid if job else None


@pytest.mark.parametrize(
    "place",
    [
        "engine.worker.before_step_events",
        "engine.worker.after_step",
        "engine.worker.after_publish",
        "engine.worker.after_results",
        "engine.worker.after_success",
    ],
)
def test_a_death_at_a_bad_moment_changes_nothing_in_the_end(
    tmp_path: Path, place: str, undisturbed: tuple[list[str], str]
) -> None:
    once = str(tmp_path / "died")
    settings = table_settings(tmp_path / "engine", "--crash", place, "--once", once)
    with run_engine(settings) as running:
        job_id = create(running)
        job = running.wait_for_end(job_id)
        assert job.status == "succeeded", job.error
        assert Path(once).exists()
        assert (nameless(running, job_id), results(running, job_id)) == undisturbed
        assert len(running.store.models.list_finished()) == 1
        assert len(list(running.engine.paths.models.iterdir())) == 1
        assert job.fine_tuned_model is not None
        answer = running.sdk.completions.create(model=job.fine_tuned_model, prompt="dog ->")
        assert answer.choices[0].text == " d"


def test_a_worker_that_dies_three_times_fails_the_job_with_its_last_words(tmp_path: Path) -> None:
    with run_engine(table_settings(tmp_path, "--break-off")) as running:
        job_id = create(running)
        job = running.wait_for_end(job_id)
        assert job.status == "failed"
        assert job.error is not None
        assert job.error.code == "server_error"
        assert job.error.message.count("the table fell over") == 3
        row = running.store.jobs.find(job_id)
        assert row is not None
        assert row.crashes == 3


def test_a_worker_that_cannot_be_started_fails_the_job(tmp_path: Path) -> None:
    settings = EngineSettings(tmp_path, worker_command=(str(tmp_path / "none"),))
    with run_engine(settings) as running:
        job = running.wait_for_end(create(running))
        assert job.error is not None
        assert "cannot start a worker" in job.error.message


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_fails_the_job_at_once_and_leaves_no_model(tmp_path: Path) -> None:
    with run_engine(table_settings(tmp_path, "--full-disk")) as running:
        job_id = create(running)
        job = running.wait_for_end(job_id)
        assert job.status == "failed"
        assert job.error is not None
        assert job.error.code == "server_error"
        assert "the disk is full" in job.error.message
        row = running.store.jobs.find(job_id)
        assert row is not None
        assert row.crashes == 0
        assert list(running.engine.paths.models.iterdir()) == []
        wait_for(lambda: not running.engine.paths.job(job_id).training.exists())


def test_an_engine_that_stops_lets_its_worker_write_a_checkpoint_and_goes_on_later(
    tmp_path: Path, undisturbed: tuple[list[str], str]
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    settings = table_settings(tmp_path / "engine", "--gate", str(gate), "--gate-step", "4")
    with run_engine(settings) as running:
        job_id = create(running)
        wait_for_step(running, job_id, 3)
        pid = worker_pid(running, job_id)
    assert not _lives(pid)
    gate.unlink()
    with run_engine(settings) as running:
        assert running.wait_for_end(job_id).status == "succeeded"
        assert (nameless(running, job_id), results(running, job_id)) == undisturbed
        row = running.store.jobs.find(job_id)
        assert row is not None
        assert row.crashes == 0


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_worker_of_a_cancelled_job_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    options = ("--gate", str(gate), "--gate-step", "2", "--deaf")
    settings = table_settings(tmp_path / "engine", *options)
    with run_engine(settings) as running:
        scheduler = running.engine.scheduler
        job_id = create(running)
        wait_for_step(running, job_id, 1)
        running.sdk.fine_tuning.jobs.cancel(job_id)
        wait_for(lambda: scheduler.kill_stale_workers(timeout_s=0.0) > 0)
        wait_for(lambda: not running.engine.paths.job(job_id).root.exists())


def test_a_parent_that_is_deleted_while_a_job_starts_from_it_goes_when_the_job_ends(
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    settings = table_settings(tmp_path / "engine", "--gate", str(gate), "--gate-step", "2")
    with run_engine(settings) as running:
        parent = running.wait_for_end(create(running))
        assert parent.fine_tuned_model is not None
        gate.touch()
        child = running.sdk.fine_tuning.jobs.create(
            model=parent.fine_tuned_model, training_file=running.upload(animals(3)[2:])
        )
        wait_for_step(running, child.id, 1)
        running.sdk.models.delete(parent.fine_tuned_model)
        assert running.engine.paths.model(parent.id).exists()
        gate.unlink()
        assert running.wait_for_end(child.id).status == "succeeded"
        wait_for(lambda: not running.engine.paths.model(parent.id).exists())


def test_a_model_that_never_became_known_goes_when_an_engine_starts(tmp_path: Path) -> None:
    settings = table_settings(tmp_path)
    with run_engine(settings) as running:
        job_id = create(running)
        running.wait_for_end(job_id)
    (tmp_path / "models" / "ftjob-withdrawn").mkdir()
    with run_engine(settings) as running:
        assert [path.name for path in running.engine.paths.models.iterdir()] == [job_id]


def test_a_job_whose_files_are_bad_keeps_none_of_them(running: Running) -> None:
    job = running.sdk.fine_tuning.jobs.create(
        model="ada", training_file=running.upload([{"prompt": "no completion"}])
    )
    assert running.wait_for_end(job.id).status == "failed"
    wait_for(lambda: not running.engine.paths.job(job.id).training.exists())


def test_tiny_trains_completions_and_chats_for_real(tmp_path: Path) -> None:
    with run_engine(EngineSettings(tmp_path)) as running:
        create_job = running.sdk.fine_tuning.jobs.create
        answers = []
        for rows, validation in ((animals(), animals()), (greetings(), [])):
            job = create_job(
                model="ada",
                training_file=running.upload(rows),
                validation_file=running.upload(validation) if validation else None,
                hyperparameters={"n_epochs": 120, "batch_size": 3},
                seed=1,
            )
            job = running.wait_for_end(job.id)
            assert job.status == "succeeded", job.error
            answers.append(job.fine_tuned_model)
        completion_model, chat_model = answers
        assert completion_model is not None
        assert chat_model is not None
        completion = running.sdk.completions.create(
            model=completion_model, prompt=["cat ->", "dog ->", "owl ->"], temperature=0
        )
        assert [choice.text for choice in completion.choices] == [" c", " d", " o"]
        chat = running.sdk.chat.completions.create(
            model=chat_model, messages=[{"role": "user", "content": "hello"}], temperature=0
        )
        assert chat.choices[0].message.content == "good day"


def test_requests_of_several_threads_at_once_are_all_answered(running: Running) -> None:
    job = running.wait_for_end(create(running))
    model = job.fine_tuned_model
    assert model is not None
    answers: list[str] = []

    def ask() -> None:
        answer = running.sdk.completions.create(model=model, prompt="cat ->")
        answers.append(answer.choices[0].text)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [" c"] * 12
