"""Other failures of engines and trainers: each has a clear end, and the next job trains."""

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
from tests.crash.job_client import (
    Outcome,
    create_job,
    list_stale_files,
    make_rows,
    wait_for_outcome,
)
from tests.crash.killers import BOTH
from tests.crash.processes import ProcessHarness, send_signal

pytestmark = [pytest.mark.slow_proof, pytest.mark.timeout(300)]
N_STEPS = 120
DISK_BYTES = 24 << 20


@pytest.fixture
def host(harness: ProcessHarness, tmp_path: Path) -> Iterator[EngineHost]:
    with open_engine_host(harness, tmp_path / "engine") as engine_host:
        yield engine_host


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    if shutil.which("mount") is None or not sys.platform.startswith("linux"):
        pytest.skip("this system has no tmpfs")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        pytest.skip(f"cannot mount a small disk: {result.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def wait_at(host: EngineHost, point: str, count: int = 1) -> int:
    """Stop the next process that reaches the point; return its process id."""
    host.hold(point, count)
    wait_until(lambda: host.held)
    pid = host.held
    assert pid is not None
    host.stop_holding()
    return pid


def check_next_job(host: EngineHost, number: int, uninterrupted: Outcome) -> None:
    """Assert that the engine trains another job and leaves no stale files."""
    after = wait_for_outcome(host, create_job(host, number))
    assert replace(after, models=()) == replace(uninterrupted, models=())
    assert host.stop() == 0
    assert list_stale_files(host) == []


def wait_for_failure(host: EngineHost, job_id: str) -> str:
    """Wait until the job fails; return its error message."""
    assert wait_for_outcome(host, job_id).status == "failed"
    error = host.call(lambda sdk: sdk.fine_tuning.jobs.retrieve(job_id)).error
    assert error is not None
    assert error.code == "server_error"
    return error.message


def test_a_trainer_that_crashes_three_times_fails_the_job_with_what_it_printed(
    host: EngineHost, uninterrupted: Outcome
) -> None:
    job_id = create_job(host)
    for count in (5, 15, 30):  # each time after more steps
        pid = wait_at(host, "engine.worker.after_step", count)
        send_signal(pid, signal.SIGSEGV)
        send_signal(pid, signal.SIGCONT)
    message = wait_for_failure(host, job_id)
    assert message.startswith("Training crashed 3 times. The end of its log:")
    assert "Segmentation fault" in message
    check_next_job(host, 2, uninterrupted)


def test_a_trainer_that_is_killed_three_times_at_the_same_step_fails_the_job(
    host: EngineHost, uninterrupted: Outcome
) -> None:
    job_id = create_job(host)
    for _ in range(3):
        send_signal(wait_at(host, "engine.worker.after_begin"), signal.SIGKILL)
    message = wait_for_failure(host, job_id)
    assert message.startswith("The training process was killed 3 times at step 0.")
    assert "memory" in message
    check_next_job(host, 2, uninterrupted)


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
def test_a_full_disk_fails_the_job_and_leaves_no_files(
    harness: ProcessHarness, small_disk: Path, uninterrupted: Outcome, point: str, count: int
) -> None:
    with open_engine_host(harness, small_disk) as host:
        job_id = create_job(host)
        pid = wait_at(host, point, count)
        filler = fill_disk(small_disk)
        send_signal(pid, signal.SIGCONT)
        message = wait_for_failure(host, job_id)
        assert "full" in message
        filler.unlink()
        check_next_job(host, 2, uninterrupted)


def test_an_upload_to_a_full_disk_is_refused_and_leaves_no_files(
    harness: ProcessHarness, small_disk: Path, uninterrupted: Outcome
) -> None:
    with open_engine_host(harness, small_disk) as host:
        filler = fill_disk(small_disk)
        for size in (100_000, 3_000_000):
            with pytest.raises(openai.InternalServerError) as caught:
                host.sdk.files.create(file=("a", make_rows(1) * (size // 40)), purpose="fine-tune")
            assert caught.value.status_code == 507
            assert caught.value.code == "storage_error"
        assert host.sdk.files.list().data == []
        filler.unlink()
        check_next_job(host, 1, uninterrupted)


def fill_disk(disk: Path) -> Path:
    """Create a file that takes all free space."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 4096)
    return filler


def test_a_job_that_is_paused_and_killed_has_the_same_weights(
    host: EngineHost, uninterrupted: Outcome
) -> None:
    job_id = create_job(host)

    def status() -> str:
        return str(host.call(lambda sdk: sdk.fine_tuning.jobs.retrieve(job_id)).status)

    def change(name: str, expected: str) -> None:
        with contextlib.suppress(openai.BadRequestError):  # only the response was lost
            host.call(lambda sdk: getattr(sdk.fine_tuning.jobs, name)(job_id))
        wait_until(lambda: status() == expected)

    for targets in (["trainer"], ["engine"], BOTH):
        step = host.last_step() + 5
        wait_until(lambda step=step: host.last_step() >= step)  # type: ignore[misc]
        host.call(lambda sdk: sdk.fine_tuning.jobs.pause(job_id))
        host.kill(*targets)
        wait_until(lambda: status() == "paused")
        host.kill("engine")
        change("resume", "running")
        host.kill(*targets)
    outcome = wait_for_outcome(host, job_id)
    prefixes = ("info message Paus", "info message Job paused", "info message Job resumed")
    events = tuple(event for event in outcome.events if not event.startswith(prefixes))
    assert replace(outcome, events=events) == uninterrupted
    assert len(outcome.events) == len(events) + 9
    assert host.stop() == 0
    assert list_stale_files(host) == []


def test_a_terminated_engine_trains_no_step_twice(host: EngineHost, uninterrupted: Outcome) -> None:
    job_id = create_job(host)
    for number in (signal.SIGTERM, signal.SIGINT):
        step = host.last_step() + 5
        wait_until(lambda step=step: host.last_step() >= step)  # type: ignore[misc]
        assert host.stop(number) == 0
        assert host.workers() == []
        host.start()
    assert wait_for_outcome(host, job_id) == uninterrupted
    assert sum(host.count_trained_steps()) == N_STEPS
    assert len(host.count_trained_steps()) > 1
    assert host.stop() == 0
    assert list_stale_files(host) == []


def test_a_trainer_that_is_killed_while_it_returns_its_job_loses_nothing(
    host: EngineHost, uninterrupted: Outcome
) -> None:
    job_id = create_job(host)
    wait_until(lambda: host.last_step() >= 10)
    host.hold("engine.worker.before_give_back")
    engine = host.pid
    assert engine is not None
    send_signal(engine, signal.SIGTERM)
    wait_until(lambda: host.held)
    host.stop_holding()
    host.kill("trainer")
    assert wait_for_outcome(host, job_id) == uninterrupted
    assert sum(host.count_trained_steps()) == N_STEPS
    assert host.stop() == 0
    assert list_stale_files(host) == []


def test_a_restarted_engine_does_not_kill_a_process_with_a_reused_id(
    host: EngineHost, uninterrupted: Outcome
) -> None:
    job_id = create_job(host)
    wait_until(lambda: host.last_step() >= 20)
    host.kill(*BOTH)
    wait_until(lambda: host.pid is None)
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
    ) as other_process:
        address = json.loads(host.paths.address.read_text())
        host.paths.address.write_text(json.dumps(address | {"pid": other_process.pid}))
        with sqlite3.connect(host.paths.database) as database:
            database.execute("UPDATE jobs SET worker_pid = ?", (other_process.pid,))
        database.close()
        host.start()
        assert host.stop() == 0
        assert wait_for_outcome(host, job_id) == uninterrupted
        assert host.stop() == 0
        assert other_process.poll() is None
        other_process.communicate(b"\n")
    assert list_stale_files(host) == []


def test_a_model_can_be_deleted_while_it_is_loaded_sampled_and_tuned(
    host: EngineHost, uninterrupted: Outcome
) -> None:
    job_id = create_job(host)
    wait_for_outcome(host, job_id)
    names = host.call(
        lambda sdk: [model.id for model in sdk.models.list() if model.owned_by == "local"]
    )
    checkpoints = [
        checkpoint.fine_tuned_model_checkpoint
        for checkpoint in host.sdk.fine_tuning.jobs.checkpoints.list(job_id)
    ]
    for name in checkpoints:
        delete_while_loading(host, name)
    child = create_job(host, 2, model=names[0])
    pid = wait_at(host, "engine.worker.after_step", 10)
    stream = host.sdk.completions.create(
        model=names[0], prompt="cat ->", stream=True, max_tokens=400, stop=None
    )
    chunks = iter(stream)
    next(chunks)
    host.sdk.models.delete(names[0])
    assert sum(1 for _ in chunks) >= 0  # the stream does not fail
    with pytest.raises(openai.NotFoundError):
        host.sdk.completions.create(model=names[0], prompt="cat ->")
    assert host.paths.model(job_id).exists()
    send_signal(pid, signal.SIGKILL)
    assert wait_for_outcome(host, child).status == "succeeded"
    wait_until(lambda: not host.paths.model(job_id).exists())
    check_next_job(host, 3, uninterrupted)


def delete_while_loading(host: EngineHost, name: str) -> None:
    """Delete the model during several requests: each has a response or a 404."""
    codes: list[int] = []
    pause = threading.Event()
    sdk = host.sdk

    def request() -> None:
        try:
            sdk.completions.create(model=name, prompt="cat ->", temperature=0)
            codes.append(200)
        except openai.APIStatusError as error:
            codes.append(error.status_code)

    threads = [threading.Thread(target=request) for _ in range(6)]
    for thread in threads:
        thread.start()
    pause.wait(random.Random(name).uniform(0, 0.05))
    sdk.models.delete(name)
    for thread in threads:
        thread.join()
    assert set(codes) <= {200, 404}
    assert len(codes) == len(threads)


def test_a_copy_of_the_folder_from_any_moment_can_be_resumed(
    harness: ProcessHarness, host: EngineHost, tmp_path: Path, uninterrupted: Outcome
) -> None:
    """As after a power cut, an engine starts on a copy that was made during training."""
    job_id = create_job(host)
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
        pid = wait_at(host, point, count)
        others = [other for other in (host.pid, *host.workers()) if other not in (pid, None)]
        for other in others:
            send_signal(other, signal.SIGSTOP)
        copies.append(tmp_path / f"copy of {point}")
        shutil.copytree(host.paths.root, copies[-1] / "engine")
        for stopped in (pid, *others):
            send_signal(stopped, signal.SIGCONT)
    assert wait_for_outcome(host, job_id) == uninterrupted
    assert host.stop() == 0
    for copy in copies:
        with open_engine_host(harness, copy) as after:
            assert wait_for_outcome(after, job_id) == uninterrupted, copy
            assert after.stop() == 0
            assert list_stale_files(after) == []
        shutil.rmtree(copy)
