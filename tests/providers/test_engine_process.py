"""The engine process: addresses, started once, stopped, and started again after a crash."""

import json
import os
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from ftops.clock import SystemClock
from ftops.errors import EngineError, StorageError, Unreachable
from ftops.http.retry import RetryPolicy
from ftops.providers.engine_process import find_engine, start_engine, stop_engine
from ftops.providers.local import EngineEndpoint
from ftops.providers.openai_client import OpenAIClient
from ftops.records import EngineAddress
from tests.fakes import FakeClock

COMMAND = (sys.executable, str(Path(__file__).with_name("stand_in_engine.py")), "serve")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "home" / "engine"
    yield path
    stop_engine(path)


def starts(folder: Path) -> list[str]:
    return (folder / "starts").read_text().splitlines()


def test_without_a_folder_there_is_no_engine(folder: Path) -> None:
    assert find_engine(folder) is None
    assert stop_engine(folder) is False
    assert not folder.exists()


def test_an_engine_is_started_found_and_stopped(folder: Path) -> None:
    address = start_engine(folder, idle_s=60, command=COMMAND)
    assert find_engine(folder) == address
    assert address.token == "stand-in-token"
    assert starts(folder) == [f"serve --folder {folder} --idle-s 60"]
    assert stop_engine(folder) is True
    assert find_engine(folder) is None
    assert stop_engine(folder) is False


def test_a_running_engine_is_not_started_again(folder: Path) -> None:
    first = start_engine(folder, command=COMMAND)
    assert start_engine(folder, command=COMMAND) == first
    assert len(starts(folder)) == 1


def test_the_engine_has_its_own_session_and_a_private_folder(folder: Path) -> None:
    address = start_engine(folder, command=COMMAND)
    assert os.getsid(address.pid) == address.pid != os.getsid(0)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "engine.log").stat().st_mode) == 0o600


def test_commands_that_start_at_the_same_moment_share_one_engine(folder: Path) -> None:
    addresses: list[EngineAddress] = []
    together = threading.Barrier(4)

    def start() -> None:
        together.wait()
        addresses.append(start_engine(folder, command=COMMAND))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(addresses)) == 1
    assert len(addresses) == 4
    assert len(starts(folder)) == 1


def test_an_engine_that_exits_at_start_is_reported_with_its_output(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "engine.log").write_text("words of another day\n")
    with pytest.raises(
        EngineError, match=r"exit code 3\)\n    the engine cannot use the folder"
    ) as caught:
        start_engine(folder, command=(*COMMAND[:2], "refuse"))
    assert "another day" not in caught.value.message
    assert "engine.log" in caught.value.hint


def test_an_engine_that_never_responds_is_an_error(folder: Path) -> None:
    clock = FakeClock()
    with pytest.raises(EngineError, match="did not respond within 30 s"):
        start_engine(folder, command=(*COMMAND[:2], "hang"), clock=clock)
    assert 29 < sum(clock.slept_s) < 31


def test_a_stale_address_is_ignored(folder: Path) -> None:
    address = start_engine(folder, command=COMMAND)
    stop_engine(folder)
    assert (folder / "address.json").exists()
    assert find_engine(folder) is None
    second = start_engine(folder, command=COMMAND)
    assert second.pid != address.pid


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"base_url": "http://127.0.0.1:9/v1"}', '{"base_url": 1}']
)
def test_an_invalid_address_file_means_no_engine(folder: Path, content: str) -> None:
    folder.mkdir(parents=True)
    (folder / "address.json").write_text(content)
    assert find_engine(folder) is None


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:1/v1", "nonsense", "http://[::1/v1"])
def test_an_unreachable_address_means_no_engine(folder: Path, base_url: str) -> None:
    folder.mkdir(parents=True)
    address = {"base_url": base_url, "token": "t", "pid": os.getpid(), "version": "0"}
    (folder / "address.json").write_text(json.dumps(address))
    assert find_engine(folder) is None


def test_a_server_that_refuses_the_token_is_not_the_engine(folder: Path) -> None:
    start_engine(folder, command=COMMAND)
    content = (folder / "address.json").read_text()
    (folder / "address.json").write_text(content.replace("stand-in-token", "other"))
    assert find_engine(folder) is None
    (folder / "address.json").write_text(content)


def test_the_engine_is_never_reached_through_a_proxy(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert start_engine(folder, command=COMMAND)


def test_a_folder_that_cannot_be_created_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        start_engine(tmp_path / "file" / "engine", command=COMMAND)


def make_caller(folder: Path) -> tuple[OpenAIClient, EngineEndpoint]:
    endpoint = EngineEndpoint(folder, SystemClock(), command=COMMAND)
    return OpenAIClient(
        endpoint, clock=SystemClock(), retries=RetryPolicy(first_pause_s=0.01)
    ), endpoint


def count_models(caller: OpenAIClient) -> int:
    response = caller.fetch("list", lambda client: client.models.with_raw_response.list())
    return len(response.get_objects("data"))


def test_the_next_call_starts_a_killed_engine_again(folder: Path) -> None:
    caller, endpoint = make_caller(folder)
    assert count_models(caller) == 2
    first = find_engine(folder)
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    assert count_models(caller) == 2
    second = find_engine(folder)
    assert second is not None
    assert second.pid != first.pid
    endpoint.close()


def test_a_call_without_retries_is_not_repeated_when_the_engine_restarts(
    folder: Path,
) -> None:
    caller, endpoint = make_caller(folder)
    caller.connect()
    stop_engine(folder)
    calls = 0

    def send(client: openai.OpenAI) -> None:
        nonlocal calls
        calls += 1
        client.models.list()

    with pytest.raises(Unreachable, match="refused"):
        caller.send_once("create", send)
    assert calls == 1
    assert count_models(caller) == 2
    endpoint.close()
