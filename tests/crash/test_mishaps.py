"""What else befalls an engine and its trainers: each ends clearly, and the next job trains."""

import contextlib
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import openai
import pytest

from tests.crash.engine_host import EngineHost, open_engine_host, wait_until
from tests.crash.job_client import Outcome, ask_for_job, list_stale_files, rows, see_to_end
from tests.crash.killers import BOTH
from tests.crash.processes import ProcessHarness, send

pytestmark = [pytest.mark.slow_proof, pytest.mark.timeout(300)]
N_STEPS = 120
DISK_BYTES = 24 << 20


@pytest.fixture
def host(harness: ProcessHarness, tmp_path: Path) -> Iterator[EngineHost]:
    with open_engine_host(harness, tmp_path / "engine") as made:
        yield made


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    if shutil.which("mount") is None or not sys.platform.startswith("linux"):
        pytest.skip("this system has no tmpfs")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no small disk can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def stand_at(host: EngineHost, point: str, count: int = 1) -> int:
    """Wait until a process stands at the point; its number."""
    host.hold(point, count)
    wait_until(lambda: host.held)
    pid = host.held
    assert pid is not None
    host.hold_nobody()
    return pid


def end_well(host: EngineHost, number: int, undisturbed: Outcome) -> None:
    """The engine is as good as before: it trains another job, and nothing lies about."""
    after = see_to_end(host, ask_for_job(host, number))
    assert replace(after, models=()) == replace(undisturbed, models=())
    assert host.stop() == 0
    assert list_stale_files(host) == []


def failure(host: EngineHost, job_id: str) -> str:
    """The message of a job that failed."""
    assert see_to_end(host, job_id).status == "failed"
    error = host.ask(lambda sdk: sdk.fine_tuning.jobs.retrieve(job_id)).error
    assert error is not None
    assert error.code == "server_error"
    return error.message


def test_a_trainer_that_crashes_three_times_fails_the_job_with_what_it_printed(
    host: EngineHost, undisturbed: Outcome
) -> None:
    job_id = ask_for_job(host)
    for count in (5, 15, 30):  # further each time, but it broke off by itself
        pid = stand_at(host, "engine.worker.after_step", count)
        send(pid, signal.SIGSEGV)
        send(pid, signal.SIGCONT)
    message = failure(host, job_id)
    assert message.startswith("Training crashed 3 times. The end of its log:")
    assert "Segmentation fault" in message
    end_well(host, 2, undisturbed)


def test_a_trainer_that_is_killed_three_times_at_the_same_step_fails_the_job(
    host: EngineHost, undisturbed: Outcome
) -> None:
    job_id = ask_for_job(host)
    for _ in range(3):
        send(stand_at(host, "engine.worker.after_begin"), signal.SIGKILL)
    message = failure(host, job_id)
    assert message.startswith("The training process was killed 3 times at step 0.")
    assert "memory" in message
    end_well(host, 2, undisturbed)


@pytest.mark.parametrize(
    ("point", "count"),
    [
        ("engine.worker.after_begin", 1),
        ("engine.worker.after_step", 30),
        ("tiny.before_checkpoint", 3),
        ("engine.worker.before_epoch_rename", 2),
        ("engine.worker.before_publish", 1),
        ("engine.worker.after_publish", 1),
    ],
)
def test_a_disk_that_runs_full_fails_the_job_and_leaves_nothing(
    harness: ProcessHarness, small_disk: Path, undisturbed: Outcome, point: str, count: int
) -> None:
    with open_engine_host(harness, small_disk) as host:
        job_id = ask_for_job(host)
        pid = stand_at(host, point, count)
        filler = fill(small_disk)
        send(pid, signal.SIGCONT)
        message = failure(host, job_id)
        assert "full" in message
        filler.unlink()
        end_well(host, 2, undisturbed)


def test_an_upload_to_a_full_disk_is_refused_and_leaves_nothing(
    harness: ProcessHarness, small_disk: Path, undisturbed: Outcome
) -> None:
    with open_engine_host(harness, small_disk) as host:
        filler = fill(small_disk)
        for size in (100_000, 3_000_000):
            with pytest.raises(openai.InternalServerError) as caught:
                host.sdk.files.create(file=("a", rows(1) * (size // 40)), purpose="fine-tune")
            assert caught.value.status_code == 507
            assert caught.value.code == "storage_error"
        assert host.sdk.files.list().data == []
        filler.unlink()
        end_well(host, 1, undisturbed)


def fill(disk: Path) -> Path:
    """A file that takes all the room that is left."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 4096)
    return filler


def test_a_job_that_is_paused_and_killed_in_turn_ends_with_the_same_weights(
    host: EngineHost, undisturbed: Outcome
) -> None:
    job_id = ask_for_job(host)

    def status() -> str:
        return str(host.ask(lambda sdk: sdk.fine_tuning.jobs.retrieve(job_id)).status)

    def change(name: str, wanted: str) -> None:
        with contextlib.suppress(openai.BadRequestError):  # the answer was lost, not the change
            host.ask(lambda sdk: getattr(sdk.fine_tuning.jobs, name)(job_id))
        wait_until(lambda: status() == wanted)

    for victims in (["trainer"], ["engine"], BOTH):
        step = host.last_step() + 5
        wait_until(lambda step=step: host.last_step() >= step)  # type: ignore[misc]
        host.ask(lambda sdk: sdk.fine_tuning.jobs.pause(job_id))
        host.kill(*victims)
        wait_until(lambda: status() == "paused")
        host.kill("engine")
        change("resume", "running")
        host.kill(*victims)
    outcome = see_to_end(host, job_id)
    words = ("info message Paus", "info message Job paused", "info message Job resumed")
    events = tuple(event for event in outcome.events if not event.startswith(words))
    assert replace(outcome, events=events) == undisturbed
    assert len(outcome.events) == len(events) + 9
    assert host.stop() == 0
    assert list_stale_files(host) == []


def test_an_engine_that_is_asked_to_end_lets_no_step_be_trained_twice(
    host: EngineHost, undisturbed: Outcome
) -> None:
    job_id = ask_for_job(host)
    for number in (signal.SIGTERM, signal.SIGINT):
        step = host.last_step() + 5
        wait_until(lambda step=step: host.last_step() >= step)  # type: ignore[misc]
        assert host.stop(number) == 0
        assert host.workers() == []
        host.start()
    assert see_to_end(host, job_id) == undisturbed
    assert sum(host.trained()) == N_STEPS
    assert len(host.trained()) > 1
    assert host.stop() == 0
    assert list_stale_files(host) == []


def test_a_trainer_that_is_killed_as_it_gives_its_job_back_loses_nothing(
    host: EngineHost, undisturbed: Outcome
) -> None:
    job_id = ask_for_job(host)
    wait_until(lambda: host.last_step() >= 10)
    host.hold("engine.worker.before_give_back")
    engine = host.pid
    assert engine is not None
    send(engine, signal.SIGTERM)
    wait_until(lambda: host.held)
    host.hold_nobody()
    host.kill("trainer")
    assert see_to_end(host, job_id) == undisturbed
    assert sum(host.trained()) == N_STEPS
    assert host.stop() == 0
    assert list_stale_files(host) == []


def test_after_a_reboot_the_numbers_of_dead_processes_may_be_those_of_others(
    host: EngineHost, undisturbed: Outcome
) -> None:
    job_id = ask_for_job(host)
    wait_until(lambda: host.last_step() >= 20)
    host.kill(*BOTH)
    wait_until(lambda: host.pid is None)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as innocent:
        address = json.loads(host.paths.address.read_text())
        host.paths.address.write_text(json.dumps(address | {"pid": innocent.pid}))
        with sqlite3.connect(host.paths.database) as database:
            database.execute("UPDATE jobs SET worker_pid = ?", (innocent.pid,))
        database.close()
        host.start()
        assert host.stop() == 0
        assert see_to_end(host, job_id) == undisturbed
        assert host.stop() == 0
        assert innocent.poll() is None
        innocent.communicate(b"\n")
    assert list_stale_files(host) == []


def test_a_model_may_be_deleted_while_it_answers_is_tuned_and_is_loaded(
    host: EngineHost, undisturbed: Outcome
) -> None:
    job_id = ask_for_job(host)
    see_to_end(host, job_id)
    names = host.ask(
        lambda sdk: [model.id for model in sdk.models.list() if model.owned_by == "local"]
    )
    checkpoints = [
        one.fine_tuned_model_checkpoint
        for one in host.sdk.fine_tuning.jobs.checkpoints.list(job_id)
    ]
    for name in checkpoints:
        delete_while_loading(host, name)
    child = ask_for_job(host, 2, model=names[0])
    pid = stand_at(host, "engine.worker.after_step", 10)
    stream = host.sdk.completions.create(
        model=names[0], prompt="cat ->", stream=True, max_tokens=400, stop=None
    )
    pieces = iter(stream)
    next(pieces)
    host.sdk.models.delete(names[0])
    assert sum(1 for _ in pieces) >= 0  # to its end
    with pytest.raises(openai.NotFoundError):
        host.sdk.completions.create(model=names[0], prompt="cat ->")
    assert host.paths.model(job_id).exists()
    send(pid, signal.SIGKILL)
    assert see_to_end(host, child).status == "succeeded"
    wait_until(lambda: not host.paths.model(job_id).exists())
    end_well(host, 3, undisturbed)


def delete_while_loading(host: EngineHost, name: str) -> None:
    """Delete the model when several have just asked for it: each gets an answer or a 404."""
    codes: list[int] = []
    pause = threading.Event()
    sdk = host.sdk

    def ask() -> None:
        try:
            sdk.completions.create(model=name, prompt="cat ->", temperature=0)
            codes.append(200)
        except openai.APIStatusError as error:
            codes.append(error.status_code)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    pause.wait(random.Random(name).uniform(0, 0.05))
    sdk.models.delete(name)
    for thread in threads:
        thread.join()
    assert set(codes) <= {200, 404}
    assert len(codes) == len(threads)


def test_what_the_disk_holds_at_any_moment_is_enough_to_go_on_from(
    harness: ProcessHarness, host: EngineHost, tmp_path: Path, undisturbed: Outcome
) -> None:
    """As after a power cut: an engine starts on a copy of the folder taken in the middle of it."""
    job_id = ask_for_job(host)
    points = [
        ("store.before_commit", 12),
        ("tiny.after_checkpoint", 3),
        ("files.before_rename", 8),
        ("engine.worker.before_step_events", 61),
        ("engine.worker.after_epoch_rename", 2),
        ("engine.worker.after_publish", 1),
        ("engine.worker.after_results", 1),
        ("engine.worker.after_success", 1),
    ]
    copies = []
    for point, count in points:
        pid = stand_at(host, point, count)
        others = [one for one in (host.pid, *host.workers()) if one not in (pid, None)]
        for one in others:
            send(one, signal.SIGSTOP)
        copies.append(tmp_path / f"copy of {point}")
        shutil.copytree(host.paths.root, copies[-1] / "engine")
        for one in (pid, *others):
            send(one, signal.SIGCONT)
    assert see_to_end(host, job_id) == undisturbed
    assert host.stop() == 0
    for copy in copies:
        with open_engine_host(harness, copy) as after:
            assert see_to_end(after, job_id) == undisturbed, copy
            assert after.stop() == 0
            assert list_stale_files(after) == []
        shutil.rmtree(copy)
