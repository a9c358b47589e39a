"""Every request that leaves is in the request log, and the key goes to its server alone."""

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
FOUND = Reply(body=json.dumps({**FILE, "status": "processed"}).encode())
ECHO = json.dumps(
    {"error": {"message": f"wrong key {KEY}", "code": f"bad_{KEY}", "param": KEY, "type": "x"}}
).encode()


@contextlib.contextmanager
def opened(base_url: str, path: Path) -> Iterator[Provider]:
    clock = FakeClock()
    settings = ProviderSettings("openai", base_url=base_url, api_key_env="OPENAI_API_KEY")
    said: list[str] = []
    context = ProviderContext(
        {"OPENAI_API_KEY": KEY},
        path.parent,
        clock,
        request_log=RequestLog(path, clock, said.append),
    )
    with contextlib.closing(build_provider(settings, context)) as provider:
        yield provider
    assert said == []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "requests.jsonl"


def read(path: Path) -> list[RequestLogEntry]:
    assert KEY.encode() not in path.read_bytes()
    return RequestLogReader(path).read_new()


def test_each_attempt_has_a_line_with_its_number_and_its_run(path: Path) -> None:
    busy = Reply(500, headers={"x-request-id": "req_a"})
    with (
        scripted_server(busy, busy, FOUND) as server,
        opened(server.base_url, path) as provider,
        run_scope("run-1"),
    ):
        provider.get_file("file-1")
    lines = read(path)
    assert [(one.attempt, one.status, one.request_id) for one in lines] == [
        *((1, 500, "req_a"), (2, 500, "req_a"), (3, 200, None))
    ]
    assert {(one.method, one.path, one.run_id) for one in lines} == {
        ("GET", "/v1/files/file-1", "run-1")
    }
    assert lines[2].bytes_received == len(FOUND.body)


def test_a_query_and_what_is_sent_stay_out(path: Path, tmp_path: Path) -> None:
    data = tmp_path / "train.jsonl"
    data.write_text("secret training text")
    with scripted_server(FOUND) as server, opened(server.base_url, path) as provider:
        provider.upload_file(data, filename="a.jsonl", on_bytes=lambda done, total: None)
        with pytest.raises(ProviderError):
            provider.list_events("ftjob-1", known=frozenset())
    assert b"secret" not in path.read_bytes()
    upload, *_, listing = read(path)
    assert (upload.method, upload.path) == ("POST", "/v1/files")
    assert upload.bytes_sent is not None
    assert upload.bytes_sent > 20
    assert "?" in server.seen[-1][0]
    assert listing.path == "/v1/fine_tuning/jobs/ftjob-1/events"


def test_questions_that_are_asked_side_by_side_belong_to_their_run(path: Path) -> None:
    answer = {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}
    prompts = [Chat((Message("user", f"secret {number}"),)) for number in range(5)]
    with (
        scripted_server(Reply(body=json.dumps(answer).encode())) as server,
        opened(server.base_url, path) as provider,
        run_scope("run-1"),
    ):
        provider.complete("m", prompts, Sampling(max_tokens=1))
    assert b"secret" not in path.read_bytes()
    assert [one.run_id for one in read(path)] == ["run-1"] * 5


def test_nobody_there_is_a_line_for_each_attempt(path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with (
        opened(f"http://127.0.0.1:{port}/v1", path) as provider,
        pytest.raises(Unreachable),
    ):
        provider.get_file("file-1")
    lines = read(path)
    assert [one.attempt for one in lines] == list(range(1, len(lines) + 1))
    assert {(one.status, one.error) for one in lines} == {(None, "ConnectError")}


def test_an_answer_that_breaks_off_has_its_status_and_its_error(path: Path) -> None:
    cut = Reply(body=b'{"id"', missing=50)
    with scripted_server(cut, FOUND) as server, opened(server.base_url, path) as provider:
        provider.get_file("file-1")
    first, second = read(path)
    assert (first.status, first.error, first.bytes_received) == (200, "RemoteProtocolError", 5)
    assert (second.status, second.error, second.attempt) == (200, None, 2)


def test_a_stream_is_one_line_once_it_has_ended(path: Path) -> None:
    events = b'data: {"choices": [{"text": "yes"}]}\n\ndata: [DONE]\n\n'
    reply = Reply(body=events, headers={"content-type": "text/event-stream"})
    with scripted_server(reply) as server, opened(server.base_url, path) as provider:
        pieces = provider.stream("m", "prompt", Sampling(max_tokens=1))
        assert next(pieces) == "yes"
        assert not path.exists()
        assert list(pieces) == []
    (line,) = read(path)
    assert (line.path, line.status, line.bytes_received) == ("/v1/completions", 200, len(events))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed_whatever_is_asked(path: Path, tmp_path: Path, status: int) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(b'{"prompt": "private", "completion": "text"}\n')
    with scripted_server(FOUND) as other:
        where = f"{other.base_url.replace('://', '://me:pw@')}/elsewhere?token={KEY}"
        away = Reply(status, headers={"location": where, "x-request-id": f"req_{KEY}"})
        with scripted_server(*[away] * 5) as server, opened(server.base_url, path) as provider:
            asks: list[Callable[[], object]] = [
                lambda: provider.get_job("ftjob-1"),
                lambda: provider.read_file("file-1"),
                lambda: provider.upload_file(rows, filename="rows.jsonl", on_bytes=lambda *_: None),
                lambda: provider.create_job(JobRequest("gpt-4o-mini", "file-1")),
                lambda: list(provider.stream("m", "prompt", Sampling(max_tokens=1))),
            ]
            for ask in asks:
                with pytest.raises(InvalidResponse, match="redirects are not followed") as caught:
                    ask()
                here, there = (one.base_url.removesuffix("/v1") for one in (server, other))
                assert f"{here} redirects to {there} (HTTP {status})" in caught.value.message
                assert "elsewhere" not in caught.value.message
                assert "me:pw" not in caught.value.message
                assert KEY not in caught.value.message
    assert len(server.seen) == len(asks)
    assert other.seen == []
    assert {(one.status, one.request_id) for one in read(path)} == {(status, "req_***")}


def test_a_redirect_to_nowhere_is_an_error_like_any_other(path: Path) -> None:
    away = Reply(302, headers={"location": "https://x:port/"})
    with (
        scripted_server(away) as server,
        opened(server.base_url, path) as provider,
        pytest.raises(InvalidResponse, match="redirects to an invalid address"),
    ):
        provider.get_file("file-1")


@pytest.mark.parametrize(("status", "kind"), [(400, Rejected), (401, AuthFailed), (500, None)])
def test_a_key_that_a_server_repeats_is_in_no_part_of_the_error(
    path: Path, status: int, kind: type[ProviderError] | None
) -> None:
    echo = Reply(status, ECHO, {"x-request-id": f"req_{KEY}"})
    with (
        scripted_server(echo) as server,
        opened(server.base_url, path) as provider,
        pytest.raises(kind or ProviderError) as caught,
    ):
        provider.get_file("file-1")
    error = caught.value
    parts = (str(error), error.hint, error.code, error.param, error.request_id, repr(error))
    assert KEY not in str(parts)
    assert "wrong key ***" in error.message
    assert error.code == "bad_***"
    assert all(one.request_id == "req_***" for one in read(path))


def test_a_key_that_a_server_puts_into_a_good_answer_is_taken_out(path: Path) -> None:
    body = json.dumps({**FILE, "filename": f"{KEY}.jsonl", "status": "processed"}).encode()
    with scripted_server(Reply(body=body)) as server, opened(server.base_url, path) as provider:
        assert provider.get_file("file-1").filename == "***.jsonl"
        assert KEY.encode() not in provider.read_file("file-1")
