"""The stream of a legacy job as bytes on a socket: chunks, keep-alives, its end."""

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from ftops.records import EngineAddress
from tests.engine.running import TABLE_WORKER, animals, wait_for, write_rows
from tests.engine.test_server import engine_process

SERVE = """
import sys
from pathlib import Path
from ftops.engine.server import serve
from ftops.engine.settings import EngineSettings
folder, keep_alive_interval_s, *worker = sys.argv[1:]
settings = EngineSettings(
    Path(folder), worker_command=tuple(worker), keep_alive_interval_s=float(keep_alive_interval_s)
)
serve(settings, on_ready=print)
"""


@dataclass
class Subscription:
    """Reads one answer from a raw socket, chunk by chunk, in a thread of its own."""

    head: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    ended: bool = False  # by the chunk that says so

    def subscribe(self, address: EngineAddress, path: str) -> None:
        url = httpx.URL(address.base_url)
        assert url.port is not None
        with socket.create_connection((url.host, url.port), timeout=60) as connection:
            connection.sendall(
                f"GET {path} HTTP/1.1\r\nHost: {url.host}:{url.port}\r\n"
                f"Authorization: Bearer {address.token}\r\n\r\n".encode()
            )
            stream = connection.makefile("rb")
            while (line := stream.readline()) != b"\r\n":
                self.head += line.lower()
            while size := int(stream.readline(), 16):
                self.chunks.append(stream.read(size))
                stream.readline()
            self.ended = True

    @property
    def messages(self) -> list[str]:
        return [
            json.loads(chunk.removeprefix(b"data: "))["message"]
            for chunk in list(self.chunks)
            if chunk.startswith(b"data: {")
        ]


@dataclass(frozen=True)
class Held:
    """An engine whose job waits before its second step until the gate is gone."""

    child: subprocess.Popen[bytes]
    address: EngineAddress
    gate: Path
    job_id: str

    def subscribe(self) -> tuple[Subscription, threading.Thread]:
        subscription = Subscription()
        path = f"/v1/fine-tunes/{self.job_id}/events?stream=true"
        thread = threading.Thread(
            target=subscription.subscribe, args=(self.address, path), daemon=True
        )
        thread.start()
        return subscription, thread


@contextmanager
def held_engine(tmp_path: Path, keep_alive_interval_s: float) -> Iterator[Held]:
    gate = tmp_path / "gate"
    gate.touch()
    folder = tmp_path / "engine"
    worker = (*TABLE_WORKER, "--gate", str(gate), "--gate-step", "2")
    with engine_process(
        folder, "-c", SERVE, str(folder), str(keep_alive_interval_s), *worker
    ) as process:
        headers = {"authorization": f"Bearer {process.address.token}"}
        with httpx.Client(base_url=process.address.base_url, headers=headers) as http:
            file = http.post(
                "/files",
                data={"purpose": "fine-tune"},
                files={"file": ("rows.jsonl", write_rows(animals()))},
            ).json()
            body = {"training_file": file["id"], "model": "ada", "n_epochs": 1}
            job_id = http.post("/fine-tunes", json=body).json()["id"]
        try:
            yield Held(process.child, process.address, gate, job_id)
        finally:
            gate.unlink(missing_ok=True)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    with held_engine(tmp_path, keep_alive_interval_s=60) as engine:
        yield engine


def test_events_arrive_while_the_job_runs_each_in_a_chunk_of_its_own(held: Held) -> None:
    subscription, thread = held.subscribe()
    wait_for(lambda: "Fine-tune started" in subscription.messages)
    assert b"transfer-encoding: chunked" in subscription.head
    assert b"content-type: text/event-stream" in subscription.head
    assert "Completed epoch 1/1" not in subscription.messages
    held.gate.unlink()
    thread.join(30)
    assert subscription.ended  # the body ends with the job, nothing else is waited for
    assert subscription.chunks[-1] == b"data: [DONE]\n\n"
    assert all(chunk.count(b"data: ") == 1 for chunk in subscription.chunks)
    assert all(chunk.endswith(b"\n\n") for chunk in subscription.chunks)
    assert subscription.messages[-1] == "Fine-tune succeeded"


def test_a_second_listener_hears_everything_from_the_beginning(held: Held) -> None:
    first, first_thread = held.subscribe()
    wait_for(lambda: "Fine-tune started" in first.messages)
    second, second_thread = held.subscribe()
    held.gate.unlink()
    first_thread.join(30)
    second_thread.join(30)
    late, late_thread = held.subscribe()
    late_thread.join(30)
    assert first.messages[0] == f"Created fine-tune: {held.job_id}"
    assert first.messages == second.messages == late.messages
    assert len(set(first.messages)) == len(first.messages)
    assert late.ended


def test_a_stream_without_news_says_that_it_is_alive(tmp_path: Path) -> None:
    with held_engine(tmp_path, keep_alive_interval_s=0.2) as held:
        subscription, thread = held.subscribe()
        wait_for(lambda: sum(chunk.startswith(b": ") for chunk in subscription.chunks) >= 2)
        held.gate.unlink()
        thread.join(30)
        assert subscription.messages[-1] == "Fine-tune succeeded"


def test_a_client_that_disconnects_does_not_affect_the_engine(held: Held) -> None:
    url = httpx.URL(held.address.base_url)
    assert url.port is not None
    with socket.create_connection((url.host, url.port), timeout=30) as connection:
        connection.sendall(
            f"GET /v1/fine-tunes/{held.job_id}/events?stream=true HTTP/1.1\r\n"
            f"Host: {url.host}\r\nAuthorization: Bearer {held.address.token}\r\n\r\n".encode()
        )
        assert connection.recv(10)
    subscription, thread = held.subscribe()
    held.gate.unlink()
    thread.join(30)
    assert subscription.messages[-1] == "Fine-tune succeeded"


def test_an_engine_that_ends_says_so_to_its_listeners_and_waits_for_none(tmp_path: Path) -> None:
    with held_engine(tmp_path, keep_alive_interval_s=60) as held:
        listeners = [held.subscribe() for _ in range(3)]
        wait_for(lambda: all("Fine-tune started" in one.messages for one, _ in listeners))
        held.child.terminate()
        for subscription, thread in listeners:
            thread.join(30)
            assert subscription.ended
            error = json.loads(subscription.chunks[-1].removeprefix(b"data: "))["error"]
            assert (error["type"], error["code"]) == ("server_error", "shutting_down")
        held.gate.unlink()  # for the worker, which is waited for as ever
        assert held.child.wait(timeout=30) == 0
    log = (tmp_path / "engine.log").read_text()
    assert "graceful shutdown exceeded" not in log
    assert "Traceback" not in log
