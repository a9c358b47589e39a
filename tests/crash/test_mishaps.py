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

from tests.crash.errand import Outcome, ask_for_job, find_leftovers, rows, see_to_end
from tests.crash.house import House, open_house, wait_until
from tests.crash.killers import BOTH
from tests.crash.processes import Nursery, send

pytestmark = [pytest.mark.slow_proof, pytest.mark.timeout(300)]
N_STEPS = 120
DISK_BYTES = 24 << 20


@pytest.fixture
def house(nursery: Nursery, tmp_path: Path) -> Iterator[House]:
    with open_house(nursery, tmp_path / "house") as made:
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


def stand_at(house: House, point: str, count: int = 1) -> int:
    """Wait until a process stands at the point; its number."""
    house.hold(point, count)
    wait_until(lambda: house.held)
    pid = house.held
    assert pid is not None
    house.hold_nobody()
    return pid


def end_well(house: House, number: int, undisturbed: Outcome) -> None:
    """The engine is as good as before: it trains another job, and nothing lies about."""
    after = see_to_end(house, ask_for_job(house, number))
    assert replace(after, models=()) == replace(undisturbed, models=())
    assert house.stop() == 0
    assert find_leftovers(house) == []


def failure(house: House, job_id: str) -> str:
    """The message of a job that failed."""
    assert see_to_end(house, job_id).status == "failed"
    error = house.ask(lambda sdk: sdk.fine_tuning.jobs.retrieve(job_id)).error
    assert error is not None
    assert error.code == "server_error"
    return error.message


def test_a_trainer_that_crashes_three_times_fails_the_job_with_what_it_printed(
    house: House, undisturbed: Outcome
) -> None:
    job_id = ask_for_job(house)
    for count in (5, 15, 30):  # further each time, but it broke off by itself
        pid = stand_at(house, "engine.worker.after_step", count)
        send(pid, signal.SIGSEGV)
        send(pid, signal.SIGCONT)
    message = failure(house, job_id)
    assert message.startswith("Training crashed 3 times. The end of its log:")
    assert "Segmentation fault" in message
    end_well(house, 2, undisturbed)


def test_a_trainer_that_is_killed_three_times_at_the_same_step_fails_the_job(
    house: House, undisturbed: Outcome
) -> None:
    job_id = ask_for_job(house)
    for _ in range(3):
        send(stand_at(house, "engine.worker.after_begin"), signal.SIGKILL)
    message = failure(house, job_id)
    assert message.startswith("The training process was killed 3 times at step 0.")
    assert "memory" in message
    end_well(house, 2, undisturbed)


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
    nursery: Nursery, small_disk: Path, undisturbed: Outcome, point: str, count: int
) -> None:
    with open_house(nursery, small_disk) as house:
        job_id = ask_for_job(house)
        pid = stand_at(house, point, count)
        filler = fill(small_disk)
        send(pid, signal.SIGCONT)
        message = failure(house, job_id)
        assert "full" in message
        filler.unlink()
        end_well(house, 2, undisturbed)


def test_an_upload_to_a_full_disk_is_refused_and_leaves_nothing(
    nursery: Nursery, small_disk: Path, undisturbed: Outcome
) -> None:
    with open_house(nursery, small_disk) as house:
        filler = fill(small_disk)
        for size in (100_000, 3_000_000):
            with pytest.raises(openai.InternalServerError) as caught:
                house.sdk.files.create(file=("a", rows(1) * (size // 40)), purpose="fine-tune")
            assert caught.value.status_code == 507
            assert caught.value.code == "storage_error"
        assert house.sdk.files.list().data == []
        filler.unlink()
        end_well(house, 1, undisturbed)


def fill(disk: Path) -> Path:
    """A file that takes all the room that is left."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 4096)
    return filler


def test_a_job_that_is_paused_and_killed_in_turn_ends_with_the_same_weights(
    house: House, undisturbed: Outcome
) -> None:
    job_id = ask_for_job(house)

    def status() -> str:
        return str(house.ask(lambda sdk: sdk.fine_tuning.jobs.retrieve(job_id)).status)

    def change(name: str, wanted: str) -> None:
        with contextlib.suppress(openai.BadRequestError):  # the answer was lost, not the change
            house.ask(lambda sdk: getattr(sdk.fine_tuning.jobs, name)(job_id))
        wait_until(lambda: status() == wanted)

    for victims in (["trainer"], ["engine"], BOTH):
        step = house.last_step() + 5
        wait_until(lambda step=step: house.last_step() >= step)  # type: ignore[misc]
        house.ask(lambda sdk: sdk.fine_tuning.jobs.pause(job_id))
        house.kill(*victims)
        wait_until(lambda: status() == "paused")
        house.kill("engine")
        change("resume", "running")
        house.kill(*victims)
    outcome = see_to_end(house, job_id)
    words = ("info message Paus", "info message Job paused", "info message Job resumed")
    events = tuple(event for event in outcome.events if not event.startswith(words))
    assert replace(outcome, events=events) == undisturbed
    assert len(outcome.events) == len(events) + 9
    assert house.stop() == 0
    assert find_leftovers(house) == []


def test_an_engine_that_is_asked_to_end_lets_no_step_be_trained_twice(
    house: House, undisturbed: Outcome
) -> None:
    job_id = ask_for_job(house)
    for number in (signal.SIGTERM, signal.SIGINT):
        step = house.last_step() + 5
        wait_until(lambda step=step: house.last_step() >= step)  # type: ignore[misc]
        assert house.stop(number) == 0
        assert house.workers() == []
        house.start()
    assert see_to_end(house, job_id) == undisturbed
    assert sum(house.trained()) == N_STEPS
    assert len(house.trained()) > 1
    assert house.stop() == 0
    assert find_leftovers(house) == []


def test_a_trainer_that_is_killed_as_it_gives_its_job_back_loses_nothing(
    house: House, undisturbed: Outcome
) -> None:
    job_id = ask_for_job(house)
    wait_until(lambda: house.last_step() >= 10)
    house.hold("engine.worker.before_give_back")
    engine = house.pid
    assert engine is not None
    send(engine, signal.SIGTERM)
    wait_until(lambda: house.held)
    house.hold_nobody()
    house.kill("trainer")
    assert see_to_end(house, job_id) == undisturbed
    assert sum(house.trained()) == N_STEPS
    assert house.stop() == 0
    assert find_leftovers(house) == []


def test_after_a_reboot_the_numbers_of_dead_processes_may_be_those_of_others(
    house: House, undisturbed: Outcome
) -> None:
    job_id = ask_for_job(house)
    wait_until(lambda: house.last_step() >= 20)
    house.kill(*BOTH)
    wait_until(lambda: house.pid is None)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as innocent:
        address = json.loads(house.paths.address.read_text())
        house.paths.address.write_text(json.dumps(address | {"pid": innocent.pid}))
        with sqlite3.connect(house.paths.database) as database:
            database.execute("UPDATE jobs SET worker_pid = ?", (innocent.pid,))
        database.close()
        house.start()
        assert house.stop() == 0
        assert see_to_end(house, job_id) == undisturbed
        assert house.stop() == 0
        assert innocent.poll() is None
        innocent.communicate(b"\n")
    assert find_leftovers(house) == []


def test_a_model_may_be_deleted_while_it_answers_is_tuned_and_is_loaded(
    house: House, undisturbed: Outcome
) -> None:
    job_id = ask_for_job(house)
    see_to_end(house, job_id)
    names = house.ask(
        lambda sdk: [model.id for model in sdk.models.list() if model.owned_by == "local"]
    )
    checkpoints = [
        one.fine_tuned_model_checkpoint
        for one in house.sdk.fine_tuning.jobs.checkpoints.list(job_id)
    ]
    for name in checkpoints:
        delete_while_loading(house, name)
    child = ask_for_job(house, 2, model=names[0])
    pid = stand_at(house, "engine.worker.after_step", 10)
    stream = house.sdk.completions.create(
        model=names[0], prompt="cat ->", stream=True, max_tokens=400, stop=None
    )
    pieces = iter(stream)
    next(pieces)
    house.sdk.models.delete(names[0])
    assert sum(1 for _ in pieces) >= 0  # to its end
    with pytest.raises(openai.NotFoundError):
        house.sdk.completions.create(model=names[0], prompt="cat ->")
    assert house.paths.model(job_id).exists()
    send(pid, signal.SIGKILL)
    assert see_to_end(house, child).status == "succeeded"
    wait_until(lambda: not house.paths.model(job_id).exists())
    end_well(house, 3, undisturbed)


def delete_while_loading(house: House, name: str) -> None:
    """Delete the model when several have just asked for it: each gets an answer or a 404."""
    codes: list[int] = []
    pause = threading.Event()
    sdk = house.sdk

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
    nursery: Nursery, house: House, tmp_path: Path, undisturbed: Outcome
) -> None:
    """As after a power cut: an engine starts on a copy of the folder taken in the middle of it."""
    job_id = ask_for_job(house)
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
        pid = stand_at(house, point, count)
        others = [one for one in (house.pid, *house.workers()) if one not in (pid, None)]
        for one in others:
            send(one, signal.SIGSTOP)
        copies.append(tmp_path / f"copy of {point}")
        shutil.copytree(house.paths.root, copies[-1] / "engine")
        for one in (pid, *others):
            send(one, signal.SIGCONT)
    assert see_to_end(house, job_id) == undisturbed
    assert house.stop() == 0
    for copy in copies:
        with open_house(nursery, copy) as after:
            assert see_to_end(after, job_id) == undisturbed, copy
            assert after.stop() == 0
            assert find_leftovers(after) == []
        shutil.rmtree(copy)
