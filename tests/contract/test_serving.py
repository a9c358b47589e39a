"""Stand-ins on a loopback port answer as they do behind a mock transport."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.contract.kiln_server import KILN_KEY, KilnServer
from tests.contract.serving import serve


class BreakingServer:
    """Its answers break within the body."""

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, stream=BreakingStream())


class BreakingStream(httpx2.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        yield b"half"
        raise httpx2.ReadError("connection reset")


def test_a_request_arrives_whole_and_its_answer_returns() -> None:
    server = KilnServer()
    with serve(server) as address, httpx2.Client(base_url=f"{address}/v2") as client:
        client.headers["x-kiln-key"] = KILN_KEY
        made = client.post("/datasets", params={"label": "a b"}, content=b"{}\n")
        assert (made.status_code, made.json()["dataset"]["label"]) == (201, "a b")
        client.post("/datasets", params={"label": "parts"}, content=iter((b"{}\n", b"[]\n")))
        assert client.get("/datasets/2/raw").content == b"{}\n[]\n"
        assert client.delete("/datasets/1").status_code == 204
        assert client.get("/datasets/1").status_code == 404


def test_a_lost_answer_ends_the_connection_after_the_effect() -> None:
    server = KilnServer(loses_deployments=1, models=["clay@1"])
    with serve(server) as address, httpx2.Client(base_url=f"{address}/v2") as client:
        client.headers["x-kiln-key"] = KILN_KEY
        with pytest.raises(httpx2.RemoteProtocolError):
            client.post("/deployments/clay@1", json={})
        assert client.get("/deployments/clay@1").json()["model"] == "clay@1"


def test_an_answer_that_breaks_in_its_body_is_incomplete() -> None:
    with serve(BreakingServer()) as address, pytest.raises(httpx2.RemoteProtocolError):
        httpx2.get(address)
