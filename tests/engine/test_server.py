"""Whole engines as processes: start, address, lock, port, idleness, signals, kills."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import openai
import pytest

from ftops.engine.address import load_token, open_socket
from ftops.engine.cleanup import delete_stale_files
from ftops.engine.server import prepare_folder, serve
from ftops.engine.settings import EngineFolder, EngineSettings
from ftops.engine.store import FileRow, Store
from ftops.errors import EngineError, PortTaken
from ftops.records import EngineAddress
from tests.engine.running import TABLE_WORKER, animals, wait_for, write_rows
from tests.fakes import FakeClock

SERVE = """
import sys
from pathlib import Path
from ftops.engine.server import serve
from ftops.engine.settings import EngineSettings
folder, *worker = sys.argv[1:]
serve(EngineSettings(Path(folder), worker_command=tuple(worker)), on_ready=print)
"""


@dataclass(frozen=True)
class Process:
    """A running engine process."""

    child: subprocess.Popen[bytes]
    address: EngineAddress

    def sdk(self) -> openai.OpenAI:
        return connect(self.address)


def connect(address: EngineAddress) -> openai.OpenAI:
    return openai.OpenAI(base_url=address.base_url, api_key=address.token, max_retries=0)


@contextmanager
def engine_process(folder: Path, *command: str) -> Iterator[Process]:
    log = folder.parent / f"{folder.name}.log"
    with log.open("ab") as stream:
        child = subprocess.Popen(
            [sys.executable, *command], stdout=stream, stderr=stream, stdin=subprocess.DEVNULL
        )
    try:
        wait_for(lambda: _read_address(folder, child.pid) is not None or _has_ended(child))
        address = _read_address(folder, child.pid)
        assert address is not None, log.read_text()
        yield Process(child, address)
    finally:
        if child.poll() is None:
            child.terminate()
        child.wait()


def _read_address(folder: Path, pid: int) -> EngineAddress | None:
    try:
        address = EngineAddress(**json.loads((folder / "address.json").read_text()))
    except FileNotFoundError:
        return None
    return address if address.pid == pid else None


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    return child.poll() is not None


def engine_command(folder: Path, *options: str) -> Sequence[str]:
    return ("-m", "ftops.engine", "--folder", str(folder), *options)


def table_command(folder: Path, *options: str) -> Sequence[str]:
    return ("-c", SERVE, str(folder), *TABLE_WORKER, *options)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def create_job(sdk: openai.OpenAI) -> str:
    file = sdk.files.create(file=("rows.jsonl", write_rows(animals())), purpose="fine-tune")
    return sdk.fine_tuning.jobs.create(model="ada", training_file=file.id, seed=1).id


def wait_for_end(sdk: openai.OpenAI, job_id: str) -> str:
    wait_for(lambda: sdk.fine_tuning.jobs.retrieve(job_id).finished_at is not None)
    return sdk.fine_tuning.jobs.retrieve(job_id).status


def worker_pid(folder: Path, job_id: str) -> int | None:
    store = Store(folder / "engine.db", FakeClock())
    try:
        job = store.jobs.find(job_id)
        return job.worker_pid if job else None
    finally:
        store.close()


def has_step(sdk: openai.OpenAI, job_id: str, step: int) -> bool:
    events = sdk.fine_tuning.jobs.list_events(job_id, limit=100).data
    return any(event.message.startswith(f"Step {step}/") for event in events)


def messages(sdk: openai.OpenAI, job_id: str) -> list[str]:
    events = sdk.fine_tuning.jobs.list_events(job_id, limit=100).data
    return [event.message for event in reversed(events)]


def test_an_engine_says_where_it_is_answers_and_ends_on_a_signal(tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    with engine_process(folder, *engine_command(folder)) as engine:
        assert (folder / "address.json").stat().st_mode & 0o777 == 0o600
        assert (folder / "token").stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "engine.db").stat().st_mode & 0o777 == 0o600
        root = engine.address.base_url.removesuffix("/v1")
        headers = {"authorization": f"Bearer {engine.address.token}"}
        health = httpx.get(f"{root}/healthz", headers=headers).json()
        assert (health["status"], health["pid"]) == ("ok", engine.child.pid)
        assert httpx.get(f"{root}/healthz").status_code == 401
        with engine.sdk() as sdk:
            assert [model.id for model in sdk.models.list()] == [
                "ada",
                "babbage",
                "curie",
                "davinci",
            ]
        engine.child.send_signal(signal.SIGTERM)
        assert engine.child.wait(timeout=20) == 0
        assert not (folder / "address.json").exists()
    with engine_process(folder, *engine_command(folder)) as again:
        assert again.address.base_url == engine.address.base_url  # the last port, tried first
        assert again.address.token == engine.address.token
        again.child.send_signal(signal.SIGINT)
        assert again.child.wait(timeout=20) == 0


def test_the_server_does_not_import_numpy_until_a_model_is_asked() -> None:
    code = "import ftops.engine.server, sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_second_engine_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    with engine_process(folder, *engine_command(folder)):
        with pytest.raises(EngineError, match="another engine is running in"):
            serve(EngineSettings(folder), on_ready=lambda address: None)
        second = subprocess.run(
            [sys.executable, *engine_command(folder)], capture_output=True, text=True, check=False
        )
        assert second.returncode == 1
        assert "another engine is running in" in second.stderr


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = EngineSettings(tmp_path, port=port)
        with pytest.raises(PortTaken, match=str(port)):
            serve(settings, on_ready=lambda address: None)
        prepare_folder(settings.paths)
        settings.paths.last_port.write_text(str(port))
        with open_socket(EngineSettings(tmp_path)) as other:
            assert other.getsockname()[1] != port  # only the last port is free to change
    with open_socket(EngineSettings(tmp_path)) as last:
        assert last.getsockname()[1] == port


def test_small_answers_are_sent_at_once(tmp_path: Path) -> None:
    # The event loop sets TCP_NODELAY only on sockets that name their protocol.
    with open_socket(EngineSettings(tmp_path)) as bound:
        assert bound.proto == socket.IPPROTO_TCP


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", 70_000), ("host.invalid", 0), ("192.0.2.1", 0)]
)
def test_an_address_that_cannot_be_listened_on_is_an_engine_error(
    tmp_path: Path, host: str, port: int
) -> None:
    with pytest.raises(EngineError, match="cannot listen on"):
        open_socket(EngineSettings(tmp_path, host=host, port=port))


def test_an_idle_engine_ends_by_itself(tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    with engine_process(folder, *engine_command(folder, "--idle-s", "0.2")) as engine:
        assert engine.child.wait(timeout=20) == 0
    assert not (folder / "address.json").exists()


def test_serve_works_in_a_thread_and_ends_when_idle(tmp_path: Path) -> None:
    ready: list[EngineAddress] = []
    settings = EngineSettings(tmp_path, idle_s=0.1)
    thread = threading.Thread(target=serve, args=(settings,), kwargs={"on_ready": ready.append})
    thread.start()
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert ready[0].pid == os.getpid()


def test_a_worker_outlives_a_killed_engine_and_the_next_one_adopts_it(tmp_path: Path) -> None:
    folder, gate = tmp_path / "engine", tmp_path / "gate"
    gate.touch()
    command = table_command(folder, "--gate", str(gate), "--gate-step", "4")
    with engine_process(folder, *command) as engine:
        with engine.sdk() as sdk:
            job_id = create_job(sdk)
            wait_for(lambda: has_step(sdk, job_id, 3))
        pid = worker_pid(folder, job_id)
        engine.child.kill()
        engine.child.wait()
    assert pid is not None
    assert lives(pid)
    with engine_process(folder, *command) as engine, engine.sdk() as sdk:
        gate.unlink()
        assert wait_for_end(sdk, job_id) == "succeeded"
        assert worker_pid(folder, job_id) == pid
        wait_for(lambda: not (folder / "jobs" / job_id).exists())


def test_a_job_whose_worker_died_with_its_engine_goes_on_from_its_checkpoint(
    tmp_path: Path,
) -> None:
    folder, gate = tmp_path / "engine", tmp_path / "gate"
    gate.touch()
    command = table_command(folder, "--gate", str(gate), "--gate-step", "4")
    with engine_process(folder, *command) as engine:
        with engine.sdk() as sdk:
            job_id = create_job(sdk)
            wait_for(lambda: has_step(sdk, job_id, 3))
        pid = worker_pid(folder, job_id)
        assert pid is not None
        engine.child.kill()
        os.kill(pid, signal.SIGKILL)
        engine.child.wait()
    gate.unlink()
    with engine_process(folder, *command) as engine, engine.sdk() as sdk:
        assert wait_for_end(sdk, job_id) == "succeeded"
        assert worker_pid(folder, job_id) not in (None, pid)
        events = messages(sdk, job_id)
        assert len(events) == len(set(events)) == 14
        job = sdk.fine_tuning.jobs.retrieve(job_id)
        lines = sdk.files.content(job.result_files[0]).text.splitlines()
        assert [line.partition(",")[0] for line in lines] == ["step", *"123456"]


def test_tiny_killed_with_its_engine_ends_with_the_same_weights(tmp_path: Path) -> None:
    weights = []
    for kills in (False, True):
        folder = tmp_path / f"engine-{kills}"
        with engine_process(folder, *engine_command(folder)) as engine, engine.sdk() as sdk:
            file = sdk.files.create(file=("a", write_rows(animals(10))), purpose="fine-tune")
            job_id = sdk.fine_tuning.jobs.create(
                model="ada",
                training_file=file.id,
                seed=3,
                hyperparameters={"n_epochs": 20, "batch_size": 2},
            ).id
            if kills:
                wait_for(lambda: has_step(sdk, job_id, 30))  # noqa: B023  called at once
                pid = worker_pid(folder, job_id)
                assert pid is not None
                engine.child.kill()
                os.kill(pid, signal.SIGKILL)
            else:
                assert wait_for_end(sdk, job_id) == "succeeded"
        if kills:
            with engine_process(folder, *engine_command(folder)) as engine, engine.sdk() as sdk:
                assert wait_for_end(sdk, job_id) == "succeeded"
        model = folder / "models" / job_id
        files = [f for f in model.rglob("*") if f.is_file() and f.name != "manifest.json"]
        weights.append({str(f.relative_to(model)): f.read_bytes() for f in files})
    assert weights[0] == weights[1]
    assert weights[0]


def test_large_and_broken_uploads_over_a_real_socket_leave_nothing(tmp_path: Path) -> None:
    ready = threading.Event()
    found: list[EngineAddress] = []

    def on_ready(address: EngineAddress) -> None:
        found.append(address)
        ready.set()

    settings = EngineSettings(tmp_path, idle_s=1.0, max_upload_bytes=1_000_000)
    thread = threading.Thread(target=serve, args=(settings,), kwargs={"on_ready": on_ready})
    thread.start()
    try:
        assert ready.wait(20)
        with connect(found[0]) as sdk, pytest.raises(openai.APIStatusError) as caught:
            sdk.files.create(file=("a", b"x" * 30_000_000), purpose="fine-tune")
        assert caught.value.status_code == 413
        _break_off(found[0])
        wait_for(lambda: list((tmp_path / "incoming").iterdir()) == [])
        with connect(found[0]) as sdk:
            assert sdk.files.list().data == []
    finally:
        thread.join(timeout=30)


def _break_off(address: EngineAddress) -> None:
    """Begin an upload and hang up in the middle of it."""
    port = int(address.base_url.rpartition(":")[2].removesuffix("/v1"))
    head = (
        f"POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Authorization: Bearer {address.token}\r\nContent-Length: 500000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
    )
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(head.encode() + b"a" * 100_000)


def test_stale_files_of_a_killed_engine_are_deleted_and_the_rest_is_kept(tmp_path: Path) -> None:
    paths = prepare_folder(EngineFolder(tmp_path))
    store = Store(paths.database, FakeClock())
    store.files.add(FileRow("file-known", "a", "fine-tune", 1, 1))
    for path in (paths.incoming / "upload-x", paths.file("file-known"), paths.file("file-lost")):
        path.write_bytes(b"x")
    (paths.jobs / "ftjob-lost").mkdir()
    delete_stale_files(store, paths)
    store.close()
    assert [path.name for path in paths.files.iterdir()] == ["file-known"]
    assert list(paths.incoming.iterdir()) == list(paths.jobs.iterdir()) == []


def test_a_token_that_cannot_be_read_is_an_engine_error(tmp_path: Path) -> None:
    token = load_token(tmp_path / "token")
    assert load_token(tmp_path / "token") == token
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    with pytest.raises(EngineError, match="token"):
        load_token(tmp_path / "token")


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps such rights elsewhere")
def test_locks_and_logs_of_the_database_are_their_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    before = os.umask(0)
    try:
        with engine_process(folder, *table_command(folder)) as engine, engine.sdk() as sdk:
            wait_for_end(sdk, create_job(sdk))
            found = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    finally:
        os.umask(before)
    assert {"engine.lock", "engine.db", "engine.db-wal", "engine.db-shm"} <= found.keys()
    files = {name: mode for name, mode in found.items() if not (folder / name).is_dir()}
    assert set(files.values()) == {0o600}, files
    for name in ("engine.lock", "engine.db"):  # as an earlier version has left them
        (folder / name).chmod(0o644)
    with engine_process(folder, *table_command(folder)):
        for name in ("engine.lock", "engine.db", "engine.db-wal", "engine.db-shm"):
            assert (folder / name).stat().st_mode & 0o777 == 0o600, name
