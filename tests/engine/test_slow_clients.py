"""Clients that send half a request, or nothing, or do not read: they are disconnected after a while
and block no other client."""

import contextlib
import http.client
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from ftops.records import EngineAddress
from tests.engine.test_server import engine_process

SERVE = """
import sys
from pathlib import Path
from ftops.engine.server import serve
from ftops.engine.settings import EngineSettings
folder, connections, wait_s, write_s = sys.argv[1:]
settings = EngineSettings(
    Path(folder), max_connections=int(connections),
    header_timeout_s=float(wait_s), body_timeout_s=float(wait_s),
    write_timeout_s=float(write_s),
)
serve(settings, on_ready=print)
"""
WAIT_S = 0.3  # for what a client sends
ANSWER_WAIT_S = 1.5  # for what it reads
LONG_S = 60.0
FILE_BYTES = 24 << 20  # more than a socket holds, on both sides


@contextlib.contextmanager
def serving(folder: Path, *, connections: int = 400, wait_s: float = LONG_S,
            write_timeout_s: float = LONG_S) -> Iterator[EngineAddress]:  # fmt: skip
    """An engine as a process, with as much patience as is said."""
    options = (str(connections), str(wait_s), str(write_timeout_s))
    with engine_process(folder, "-c", SERVE, str(folder), *options) as process:
        yield process.address


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineAddress]:
    """An engine that waits for nothing."""
    with serving(tmp_path_factory.mktemp("slow") / "engine", wait_s=WAIT_S) as found:
        yield found


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineAddress]:
    """An engine whose answers have to be read."""
    folder = tmp_path_factory.mktemp("unread") / "engine"
    with serving(folder, write_timeout_s=ANSWER_WAIT_S) as found:
        yield found


def open_socket(address: EngineAddress) -> socket.socket:
    url = httpx.URL(address.base_url)
    assert url.port is not None
    return socket.create_connection((url.host, url.port), timeout=20)


def head(address: EngineAddress, request: str, *headers: str) -> bytes:
    lines = [f"{request} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {address.token}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode()


def json_head(address: EngineAddress) -> bytes:
    headers = ("Content-Type: application/json", "Content-Length: 1000")
    return head(address, "POST /v1/completions", *headers)


def upload_head(address: EngineAddress) -> bytes:
    headers = ("Content-Type: multipart/form-data; boundary=b", "Transfer-Encoding: chunked")
    start = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return head(address, "POST /v1/files", *headers) + b"%x\r\n%s\r\n" % (len(start), start)


def nothing(address: EngineAddress) -> bytes:
    return b""


def half_a_head(address: EngineAddress) -> bytes:
    return b"GET /v1/models HTTP/1.1\r\nHost: 127"


def refused(address: EngineAddress) -> bytes:
    """Answered at once; the body that was announced never comes."""
    return b"POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n"


def rest_of(connection: socket.socket) -> bytes:
    """All that comes until the engine closes."""
    pieces = []
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while piece := connection.recv(1 << 16):
            pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize(
    ("start", "status", "drips"),
    [
        (nothing, b"", False),
        (half_a_head, b"", False),
        (half_a_head, b"", True),
        (json_head, b"HTTP/1.1 408 ", False),
        (json_head, b"HTTP/1.1 408 ", True),
        (upload_head, b"HTTP/1.1 408 ", False),
        (upload_head, b"HTTP/1.1 408 ", True),
        (refused, b"HTTP/1.1 401 ", True),
    ],
)
def test_what_does_not_come_is_not_waited_for(
    address: EngineAddress, start: Callable[[EngineAddress], bytes], status: bytes, drips: bool
) -> None:
    began_s = time.monotonic()
    with open_socket(address) as connection:
        connection.sendall(start(address))
        ended = threading.Event()
        thread = threading.Thread(target=drip, args=(connection, start, ended), daemon=True)
        if drips:
            thread.start()
        answer = rest_of(connection)
        ended.set()
        if drips:
            thread.join()
    assert answer.startswith(status)
    assert bool(answer) is bool(status)
    if status == b"HTTP/1.1 408 ":
        assert b'"code":"request_timeout"' in answer
        assert b"connection: close" in answer
    assert WAIT_S * 0.9 < time.monotonic() - began_s < 15


def drip(
    connection: socket.socket, start: Callable[[EngineAddress], bytes], ended: threading.Event
) -> None:
    """A little, again and again."""
    piece = b"1\r\nx\r\n" if start is upload_head else b"x"
    with contextlib.suppress(OSError):
        while not ended.wait(0.05):
            connection.sendall(piece)


def upload(address: EngineAddress) -> str:
    """A large file."""
    answer = httpx.post(
        f"{address.base_url}/files",
        headers={"authorization": f"Bearer {address.token}"},
        data={"purpose": "fine-tune"},
        files={"file": ("a.jsonl", bytes(FILE_BYTES))},
        timeout=60,
    )
    return str(answer.json()["id"])


def test_a_client_that_does_not_read_its_answer_is_cut_off(
    reading: EngineAddress,
) -> None:
    with open_socket(reading) as connection:
        connection.sendall(head(reading, f"GET /v1/files/{upload(reading)}/content"))
        answer = connection.recv(1)
        began_s = time.monotonic()
        headers = {"authorization": f"Bearer {reading.token}"}
        while time.monotonic() - began_s < 1.3 * ANSWER_WAIT_S:  # it does something else
            assert httpx.get(f"{reading.base_url}/models", headers=headers).status_code == 200
        answer += rest_of(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert len(answer) < FILE_BYTES


def test_a_client_that_reads_slowly_but_reads_gets_everything(
    reading: EngineAddress,
) -> None:
    received = 0
    with open_socket(reading) as connection:
        connection.sendall(head(reading, f"GET /v1/files/{upload(reading)}/content"))
        while received < FILE_BYTES:
            piece = connection.recv(1 << 20)
            assert piece, f"it ends after {received} bytes"
            received += len(piece)
            threading.Event().wait(1.3 * ANSWER_WAIT_S / (FILE_BYTES >> 20))


def test_fifty_slow_clients_of_each_kind_block_no_other(tmp_path: Path) -> None:
    with serving(tmp_path / "engine") as address:
        check_other_requests(address)


def check_other_requests(address: EngineAddress) -> None:
    read_nothing = head(address, f"GET /v1/files/{upload(address)}/content")
    starts = [half_a_head(address), json_head(address), upload_head(address), read_nothing]
    headers = {"authorization": f"Bearer {address.token}"}
    with contextlib.ExitStack() as held, httpx.Client(headers=headers, timeout=10) as http:
        for start, _ in itertools.product(starts, range(50)):
            held.enter_context(open_socket(address)).sendall(start)
        for _ in range(3):
            assert http.get(f"{address.base_url}/models").status_code == 200
        made = http.post(
            f"{address.base_url}/files",
            data={"purpose": "fine-tune"},
            files={"file": ("a.jsonl", b'{"prompt": "a", "completion": "b"}')},
        )
        assert made.json()["status"] == "processed"


def test_connections_beyond_the_limit_are_refused_with_retry_after(tmp_path: Path) -> None:
    with serving(tmp_path / "engine", connections=5) as address:
        url = f"{address.base_url}/models"
        headers = {"authorization": f"Bearer {address.token}"}
        with contextlib.ExitStack() as held:
            for _ in range(5):
                busy = held.enter_context(open_socket(address))
                busy.sendall(json_head(address) + b"{")
                busy.sendall(b" ")
            wait_until_refused(url, headers)
            answer = httpx.get(url, headers=headers)
            assert answer.status_code == 503
            error = answer.json()["error"]
            assert (error["type"], error["code"]) == ("server_error", "engine_overloaded")
            assert int(answer.headers["retry-after"]) > 0
            assert answer.headers["x-request-id"].startswith("req_")
        wait_until_answered(url, headers)


def wait_until_refused(url: str, headers: dict[str, str]) -> None:
    end_s = time.monotonic() + 20
    while httpx.get(url, headers=headers).status_code != 503:
        assert time.monotonic() < end_s


def test_a_new_connection_takes_the_place_of_the_oldest_idle_one(tmp_path: Path) -> None:
    with serving(tmp_path / "engine", connections=5) as address, contextlib.ExitStack() as held:
        busy = held.enter_context(open_socket(address))
        busy.sendall(json_head(address) + b'{"prompt": "')
        headers = {"authorization": f"Bearer {address.token}"}
        assert httpx.get(f"{address.base_url}/models", headers=headers).status_code == 200
        idle = [held.enter_context(open_socket(address)) for _ in range(40)]
        idle[-1].sendall(half_a_head(address))
        for _ in range(10):
            assert httpx.get(f"{address.base_url}/models", headers=headers).status_code == 200
        assert rest_of(idle[0]) == b""
        body = b'x", "model": "ft:ada:local::none"}'
        busy.sendall(body + b" " * (1000 - len(body) - len(b'{"prompt": "')))
        assert busy.recv(1 << 16).startswith(b"HTTP/1.1 404 ")  # it was not closed


def wait_until_answered(url: str, headers: dict[str, str]) -> None:
    end_s = time.monotonic() + 20
    while httpx.get(url, headers=headers).status_code != 200:
        assert time.monotonic() < end_s


def test_a_kept_connection_takes_a_file_of_many_lines_in_one_segment(
    reading: EngineAddress,
) -> None:
    row = b'{"prompt": "a ->", "completion": " b"}\n'
    start = (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    )
    body = start + row * 400 + b"\r\n--b--\r\n"
    headers = ("Content-Type: multipart/form-data; boundary=b", f"Content-Length: {len(body)}")
    with open_socket(reading) as connection:
        connection.sendall(head(reading, "GET /v1/models/ada"))
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert (response.status, json.loads(response.read())["id"]) == (200, "ada")
        connection.sendall(head(reading, "POST /v1/files", *headers, "Connection: close") + body)
        assert rest_of(connection).startswith(b"HTTP/1.1 200 ")
