"""Every request is in the request log, and the key is sent to its server only."""

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ftops.errors import AuthFailed, InvalidResponse, ProviderError, Rejected, Unreachable
from ftops.http.request_log import RequestLog, RequestLogEntry, RequestLogReader, run_scope
from ftops.providers.provider import Provider, ProviderContext
from ftops.providers.registry import build_provider
from ftops.records import Chat, JobRequest, Message, ProviderSettings, Sampling
from tests.fakes import FakeClock
from tests.providers.scripted_server import Reply, scripted_server

KEY = "sk-canary-0123456789-abcdefghij"
FILE = {"id": "file-1", "object": "file", "bytes": 3, "created_at": 1, "filename": "a.jsonl"}
PROCESSED = Reply(body=json.dumps({**FILE, "status": "processed"}).encode())
ECHO = json.dumps(
    {"error": {"message": f"wrong key {KEY}", "code": f"bad_{KEY}", "param": KEY, "type": "x"}}
).encode()


@contextlib.contextmanager
def open_provider(base_url: str, path: Path) -> Iterator[Provider]:
    clock = FakeClock()
    settings = ProviderSettings("openai", base_url=base_url, api_key_env="OPENAI_API_KEY")
    messages: list[str] = []
    context = ProviderContext(
        {"OPENAI_API_KEY": KEY},
        path.parent,
        clock,
        request_log=RequestLog(path, clock, messages.append),
    )
    with contextlib.closing(build_provider(settings, context)) as provider:
        yield provider
    assert messages == []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "requests.jsonl"


def read_log(path: Path) -> list[RequestLogEntry]:
    assert KEY.encode() not in path.read_bytes()
    return RequestLogReader(path).read_new()


def test_each_attempt_has_a_line_with_its_number_and_its_run(path: Path) -> None:
    busy = Reply(500, headers={"x-request-id": "req_a"})
    with (
        scripted_server(busy, busy, PROCESSED) as server,
        open_provider(server.base_url, path) as provider,
        run_scope("run-1"),
    ):
        provider.get_file("file-1")
    lines = read_log(path)
    assert [(entry.attempt, entry.status, entry.request_id) for entry in lines] == [
        *((1, 500, "req_a"), (2, 500, "req_a"), (3, 200, None))
    ]
    assert {(entry.method, entry.path, entry.run_id) for entry in lines} == {
        ("GET", "/v1/files/file-1", "run-1")
    }
    assert lines[2].bytes_received == len(PROCESSED.body)


def test_query_and_content_of_a_request_are_not_logged(path: Path, tmp_path: Path) -> None:
    data = tmp_path / "train.jsonl"
    data.write_text("secret training text")
    with scripted_server(PROCESSED) as server, open_provider(server.base_url, path) as provider:
        provider.upload_file(data, filename="a.jsonl", on_bytes=lambda done, total: None)
        with pytest.raises(ProviderError):
            provider.list_events("ftjob-1", known=frozenset())
    assert b"secret" not in path.read_bytes()
    upload, *_, listing = read_log(path)
    assert (upload.method, upload.path) == ("POST", "/v1/files")
    assert upload.bytes_sent is not None
    assert upload.bytes_sent > 20
    assert "?" in server.requests[-1][0]
    assert listing.path == "/v1/fine_tuning/jobs/ftjob-1/events"


def test_concurrent_requests_are_logged_with_their_run(path: Path) -> None:
    response = {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}
    prompts = [Chat((Message("user", f"secret {number}"),)) for number in range(5)]
    with (
        scripted_server(Reply(body=json.dumps(response).encode())) as server,
        open_provider(server.base_url, path) as provider,
        run_scope("run-1"),
    ):
        provider.complete("m", prompts, Sampling(max_tokens=1))
    assert b"secret" not in path.read_bytes()
    assert [entry.run_id for entry in read_log(path)] == ["run-1"] * 5


def test_each_refused_connection_is_logged(path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        open_provider(f"http://127.0.0.1:{port}/v1", path) as provider,
        pytest.raises(Unreachable),
    ):
        provider.get_file("file-1")
    lines = read_log(path)
    assert [entry.attempt for entry in lines] == list(range(1, len(lines) + 1))
    assert {(entry.status, entry.error) for entry in lines} == {(None, "ConnectError")}


def test_an_incomplete_response_is_logged_with_status_and_error(path: Path) -> None:
    incomplete = Reply(body=b'{"id"', missing=50)
    with (
        scripted_server(incomplete, PROCESSED) as server,
        open_provider(server.base_url, path) as provider,
    ):
        provider.get_file("file-1")
    first, second = read_log(path)
    assert (first.status, first.error, first.bytes_received) == (200, "RemoteProtocolError", 5)
    assert (second.status, second.error, second.attempt) == (200, None, 2)


def test_a_stream_is_one_line_once_it_has_ended(path: Path) -> None:
    events = b'data: {"choices": [{"text": "yes"}]}\n\ndata: [DONE]\n\n'
    reply = Reply(body=events, headers={"content-type": "text/event-stream"})
    with scripted_server(reply) as server, open_provider(server.base_url, path) as provider:
        chunks = provider.stream("m", "prompt", Sampling(max_tokens=1))
        assert next(chunks) == "yes"
        assert not path.exists()
        assert list(chunks) == []
    (line,) = read_log(path)
    assert (line.path, line.status, line.bytes_received) == ("/v1/completions", 200, len(events))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_request_follows_a_redirect(path: Path, tmp_path: Path, status: int) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(b'{"prompt": "private", "completion": "text"}\n')
    with scripted_server(PROCESSED) as other:
        location = f"{other.base_url.replace('://', '://me:pw@')}/elsewhere?token={KEY}"
        redirect = Reply(status, headers={"location": location, "x-request-id": f"req_{KEY}"})
        with (
            scripted_server(*[redirect] * 5) as server,
            open_provider(server.base_url, path) as provider,
        ):
            calls: list[Callable[[], object]] = [
                lambda: provider.get_job("ftjob-1"),
                lambda: provider.read_file("file-1"),
                lambda: provider.upload_file(rows, filename="rows.jsonl", on_bytes=lambda *_: None),
                lambda: provider.create_job(JobRequest("gpt-4o-mini", "file-1")),
                lambda: list(provider.stream("m", "prompt", Sampling(max_tokens=1))),
            ]
            for call in calls:
                with pytest.raises(InvalidResponse, match="redirects are not followed") as caught:
                    call()
                source, target = (item.base_url.removesuffix("/v1") for item in (server, other))
                assert f"{source} redirects to {target} (HTTP {status})" in caught.value.message
                assert "elsewhere" not in caught.value.message
                assert "me:pw" not in caught.value.message
                assert KEY not in caught.value.message
    assert len(server.requests) == len(calls)
    assert other.requests == []
    assert {(entry.status, entry.request_id) for entry in read_log(path)} == {(status, "req_***")}


def test_a_redirect_to_an_invalid_address_is_an_error(path: Path) -> None:
    redirect = Reply(302, headers={"location": "https://x:port/"})
    with (
        scripted_server(redirect) as server,
        open_provider(server.base_url, path) as provider,
        pytest.raises(InvalidResponse, match="redirects to an invalid address"),
    ):
        provider.get_file("file-1")


@pytest.mark.parametrize(("status", "kind"), [(400, Rejected), (401, AuthFailed), (500, None)])
def test_a_key_echoed_by_the_server_is_in_no_part_of_the_error(
    path: Path, status: int, kind: type[ProviderError] | None
) -> None:
    echo = Reply(status, ECHO, {"x-request-id": f"req_{KEY}"})
    with (
        scripted_server(echo) as server,
        open_provider(server.base_url, path) as provider,
        pytest.raises(kind or ProviderError) as caught,
    ):
        provider.get_file("file-1")
    error = caught.value
    parts = (str(error), error.hint, error.code, error.param, error.request_id, repr(error))
    assert KEY not in str(parts)
    assert "wrong key ***" in error.message
    assert error.code == "bad_***"
    assert all(entry.request_id == "req_***" for entry in read_log(path))


def test_a_key_in_a_successful_response_is_redacted(path: Path) -> None:
    body = json.dumps({**FILE, "filename": f"{KEY}.jsonl", "status": "processed"}).encode()
    with (
        scripted_server(Reply(body=body)) as server,
        open_provider(server.base_url, path) as provider,
    ):
        assert provider.get_file("file-1").filename == "***.jsonl"
        assert KEY.encode() not in provider.read_file("file-1")
