"""Files: sent in pieces and counted, in parts when large, waited for, found again."""

import itertools
import json
from pathlib import Path

import httpx
import pytest
import respx

from ftops.errors import DatasetError, NotFound, ProviderError, Rejected, Unreachable
from ftops.providers.calls import Caller
from ftops.providers.endpoint import Access, KeyedEndpoint
from ftops.providers.protocol import Provider
from ftops.providers.remote_files import FileSlice, Upload, UploadLimits, send_file
from ftops.providers.retry import RetryPolicy
from ftops.records import Json
from tests.fakes import FakeClock
from tests.providers.conftest import BASE_URL, KEY, Bench

NAME = "ftops-0123456789abcdef-train.jsonl"


def remote(**changes: Json) -> dict[str, Json]:
    file: dict[str, Json] = {
        "id": "file-1",
        "object": "file",
        "bytes": 200_000,
        "created_at": 1790000000,
        "filename": NAME,
        "purpose": "fine-tune",
        "status": "processed",
    }
    return {**file, **changes}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_bytes(bytes(range(250)) * 800)
    return path


def ignore(sent: int, total: int) -> None: ...


def test_a_file_goes_out_whole_with_its_name_and_purpose(
    api: respx.MockRouter, provider: Provider, rows: Path
) -> None:
    route = api.post("/files").respond(json=remote())
    file = provider.upload_file(rows, filename=NAME, on_bytes=ignore)
    assert (file.id, file.filename, file.status) == ("file-1", NAME, "processed")
    body = route.calls[0].request.content
    assert rows.read_bytes() in body
    assert f'filename="{NAME}"'.encode() in body
    assert b'name="purpose"\r\n\r\nfine-tune' in body


def test_the_bytes_sent_are_counted_piece_by_piece_from_nothing_to_all(
    api: respx.MockRouter, provider: Provider, rows: Path
) -> None:
    api.post("/files").respond(json=remote())
    seen: list[tuple[int, int]] = []
    provider.upload_file(
        rows, filename=NAME, on_bytes=lambda sent, total: seen.append((sent, total))
    )
    assert {total for _, total in seen} == {200_000}
    assert [sent for sent, _ in seen] == sorted(sent for sent, _ in seen)
    assert seen[0][0] == 0
    assert seen[-1][0] == 200_000
    steps = [after - before for (before, _), (after, _) in itertools.pairwise(seen)]
    assert max(steps) <= 65536


def test_what_was_only_read_does_not_count_as_sent(rows: Path) -> None:
    sent: list[int] = []
    with FileSlice(rows.open("rb", buffering=0), 100, 300, sent.append) as stream:
        assert stream.read(200) == rows.read_bytes()[100:300]
        assert sent == [100]
        assert stream.read(200) == rows.read_bytes()[300:400]
        assert sent == [100, 300]
        assert stream.read(200) == b""
        assert sent == [100, 300, 400]


def test_a_second_attempt_sends_the_file_from_its_beginning(
    api: respx.MockRouter, provider: Provider, rows: Path
) -> None:
    route = api.post("/files").mock(
        side_effect=[httpx.WriteError("reset"), httpx.Response(200, json=remote())]
    )
    seen: list[int] = []
    provider.upload_file(rows, filename=NAME, on_bytes=lambda sent, total: seen.append(sent))
    assert rows.read_bytes() in route.calls[1].request.content
    assert seen.count(0) == 2


def test_an_empty_file_is_sent_as_it_is(
    api: respx.MockRouter, provider: Provider, tmp_path: Path
) -> None:
    (tmp_path / "empty.jsonl").touch()
    error = {"error": {"message": "The file is empty.", "code": "invalid_file"}}
    api.post("/files").respond(400, json=error)
    with pytest.raises(Rejected, match="The file is empty"):
        provider.upload_file(tmp_path / "empty.jsonl", filename=NAME, on_bytes=ignore)


@pytest.mark.parametrize("name", ["missing.jsonl", "folder"])
def test_a_file_that_cannot_be_read_is_named_and_nothing_is_sent(
    api: respx.MockRouter, provider: Provider, tmp_path: Path, name: str
) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DatasetError, match=name):
        provider.upload_file(tmp_path / name, filename=NAME, on_bytes=ignore)
    assert not api.calls


def test_a_file_that_is_still_processed_is_waited_for(
    api: respx.MockRouter, provider: Provider, clock: FakeClock, rows: Path
) -> None:
    api.post("/files").respond(json=remote(status="uploaded"))
    waiting = httpx.Response(200, json=remote(status="pending"))
    api.get("/files/file-1").mock(
        side_effect=[waiting, waiting, httpx.Response(200, json=remote())]
    )
    assert provider.upload_file(rows, filename=NAME, on_bytes=ignore).status == "processed"
    assert clock.slept_s == [1.0, 2.0, 4.0]


def test_waiting_for_a_file_has_an_end(
    api: respx.MockRouter, provider: Provider, clock: FakeClock, rows: Path
) -> None:
    api.post("/files").respond(json=remote(status="uploaded"))
    api.get("/files/file-1").respond(json=remote(status="uploaded"))
    assert provider.upload_file(rows, filename=NAME, on_bytes=ignore).status == "uploaded"
    assert 100 < sum(clock.slept_s) <= 120


def test_a_file_that_the_provider_cannot_use_is_refused_with_its_reason(
    api: respx.MockRouter, provider: Provider, rows: Path
) -> None:
    api.post("/files").respond(json=remote(status="error", status_details="Line 3 is no JSON."))
    with pytest.raises(Rejected, match=r"error: Line 3 is no JSON\."):
        provider.upload_file(rows, filename=NAME, on_bytes=ignore)


def send_in_parts(bench: Bench, path: Path, seen: list[int]) -> str:
    endpoint = KeyedEndpoint(
        Access(BASE_URL, KEY, http_client=bench.client), key_variable="OPENAI_API_KEY"
    )
    caller = Caller(endpoint, clock=bench.clock, retries=RetryPolicy(attempts=2))
    upload = Upload(path, NAME, path.stat().st_size, lambda sent, total: seen.append(sent))
    return send_file(caller, bench.clock, upload, UploadLimits(100_000, 80_000)).id


def test_a_large_file_goes_out_in_parts_that_make_it_whole_again(
    bench: Bench, api: respx.MockRouter, rows: Path
) -> None:
    begun = api.post("/uploads").respond(json={"id": "upload_1", "status": "pending"})
    parts = api.post("/uploads/upload_1/parts")
    parts.mock(
        side_effect=lambda request: httpx.Response(200, json={"id": f"part_{parts.call_count}"})
    )
    done = api.post("/uploads/upload_1/complete").respond(
        json={"id": "upload_1", "status": "completed", "file": remote()}
    )
    seen: list[int] = []
    assert send_in_parts(bench, rows, seen) == "file-1"
    assert json.loads(begun.calls[0].request.content) == {
        "bytes": 200_000,
        "filename": NAME,
        "mime_type": "text/jsonl",
        "purpose": "fine-tune",
    }
    assert json.loads(done.calls[0].request.content) == {"part_ids": ["part_0", "part_1", "part_2"]}
    content = rows.read_bytes()
    for call, piece in zip(
        parts.calls, (content[:80_000], content[80_000:160_000], content[160_000:]), strict=True
    ):
        headers, _, body = call.request.content.partition(b"\r\n\r\n")
        assert b'name="data"' in headers
        assert body.rpartition(b"\r\n--")[0] == piece
    assert (seen[0], seen[-1]) == (0, 200_000)
    assert seen == sorted(seen)


def test_an_upload_in_parts_that_fails_is_cancelled(
    bench: Bench, api: respx.MockRouter, rows: Path
) -> None:
    api.post("/uploads").respond(json={"id": "upload_1"})
    api.post("/uploads/upload_1/parts").mock(
        side_effect=[httpx.Response(200, json={"id": "part_0"}), *[httpx.WriteError("cut")] * 2]
    )
    cancel = api.post("/uploads/upload_1/cancel").respond(json={"id": "upload_1"})
    with pytest.raises(Unreachable, match="cut"):
        send_in_parts(bench, rows, [])
    assert cancel.call_count == 1


def test_a_lost_answer_to_the_last_step_does_not_lose_the_file(
    bench: Bench, api: respx.MockRouter, rows: Path
) -> None:
    api.post("/uploads").respond(json={"id": "upload_1"})
    api.post("/uploads/upload_1/parts").respond(json={"id": "part_0"})
    error = {"error": {"message": "Upload has already been completed."}}
    api.post("/uploads/upload_1/complete").mock(
        side_effect=[httpx.ReadError("cut"), httpx.Response(400, json=error)]
    )
    api.get("/files").respond(json={"data": [remote()], "has_more": False})
    api.get("/files/file-1").respond(json=remote())
    assert send_in_parts(bench, rows, []) == "file-1"


def test_a_file_is_found_by_name_size_and_purpose_the_newest_first(
    api: respx.MockRouter, provider: Provider
) -> None:
    api.get("/files").respond(
        json={
            "data": [
                remote(id="file-other-size", bytes=1),
                remote(id="file-other-name", filename="train.jsonl"),
                remote(id="file-other-purpose", purpose="assistants"),
                remote(id="file-spoilt", status="error", created_at=1790000009),
                remote(id="file-old", created_at=1790000001),
                remote(id="file-new", created_at=1790000005),
            ]
        }
    )
    found = provider.find_file(NAME, 200_000)
    assert found is not None
    assert found.id == "file-new"
    assert provider.find_file(NAME, 7) is None


def test_a_file_is_found_on_a_later_page(api: respx.MockRouter, provider: Provider) -> None:
    route = api.get("/files").mock(
        side_effect=[
            httpx.Response(200, json={"data": [remote(id="file-x", bytes=3)], "has_more": True}),
            httpx.Response(200, json={"data": [remote()], "has_more": False}),
        ]
    )
    assert provider.find_file(NAME, 200_000) is not None
    assert route.calls[0].request.url.params["purpose"] == "fine-tune"
    assert route.calls[1].request.url.params["after"] == "file-x"


@pytest.mark.parametrize("content", [b"step,train_loss\n1,2.0\n", b"c3RlcCx0cmFpbl9sb3Nz", b""])
def test_content_is_given_out_byte_for_byte(
    api: respx.MockRouter, provider: Provider, content: bytes
) -> None:
    api.get("/files/file-r/content").respond(content=content)
    assert provider.read_file("file-r") == content


def test_deleting_what_is_not_there_is_told(api: respx.MockRouter, provider: Provider) -> None:
    api.delete("/files/file-1").respond(404, json={"error": {"message": "No such File object."}})
    with pytest.raises(NotFound, match="No such File"):
        provider.delete_file("file-1")


def test_a_delete_whose_answer_was_lost_counts_as_done(
    api: respx.MockRouter, provider: Provider
) -> None:
    gone = httpx.Response(404, json={"error": {"message": "No such File object."}})
    route = api.delete("/files/file-1").mock(side_effect=[httpx.ReadError("cut"), gone])
    provider.delete_file("file-1")
    assert route.call_count == 2


def test_a_delete_that_the_provider_denies_is_an_error(
    api: respx.MockRouter, provider: Provider
) -> None:
    api.delete("/files/file-1").respond(json={"id": "file-1", "deleted": False})
    with pytest.raises(ProviderError, match="has not deleted"):
        provider.delete_file("file-1")


def test_a_delete_may_be_answered_with_nothing(api: respx.MockRouter, provider: Provider) -> None:
    api.delete("/files/file-1").respond(204)
    provider.delete_file("file-1")
