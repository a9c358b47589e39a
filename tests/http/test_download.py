"""A download is complete or an error, and its request is logged."""

from pathlib import Path

import pytest

from ftops.errors import ProviderError, Unreachable
from ftops.http.client import download
from ftops.http.request_log import RequestLog, RequestLogReader
from tests.fakes import FakeClock
from tests.providers.scripted_server import Reply, scripted_server


@pytest.fixture
def log(tmp_path: Path) -> RequestLog:
    return RequestLog(tmp_path / "requests.jsonl", FakeClock(), pytest.fail)


def test_a_file_is_downloaded_and_its_request_is_logged(log: RequestLog, tmp_path: Path) -> None:
    with scripted_server(Reply(body=b"IQ== 0\n")) as server:
        assert download(f"{server.base_url}/some.tiktoken", log, max_bytes=10) == b"IQ== 0\n"
    ((_, headers),) = server.requests
    assert "authorization" not in headers
    (line,) = RequestLogReader(tmp_path / "requests.jsonl").read_new()
    assert (line.method, line.status, line.bytes_received) == ("GET", 200, 7)


def test_an_incomplete_download_is_an_error(log: RequestLog) -> None:
    with (
        scripted_server(Reply(body=b"IQ==", missing=3)) as server,
        pytest.raises(Unreachable, match="cannot be fetched"),
    ):
        download(f"{server.base_url}/some.tiktoken", log, max_bytes=10)
    with (
        scripted_server(Reply(404)) as server,
        pytest.raises(ProviderError, match="HTTP 404"),
    ):
        download(f"{server.base_url}/some.tiktoken", log, max_bytes=10)
    with pytest.raises(Unreachable):
        download(f"{server.base_url}/some.tiktoken", log, max_bytes=10)
