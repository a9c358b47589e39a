"""Files: uploaded with progress, processed, found, read and deleted."""

import itertools
from pathlib import Path

import httpx
import pytest
import respx

from ftops.errors import DatasetError, NotFound, ProviderError, Rejected
from ftops.providers.openai_uploads import SliceReader
from ftops.providers.provider import Provider
from ftops.records import Json
from tests.fakes import FakeClock

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


def test_a_file_is_uploaded_with_its_name_and_purpose(
    api: respx.MockRouter, provider: Provider, rows: Path
) -> None:
    route = api.post("/files").respond(json=remote())
    file = provider.upload_file(rows, filename=NAME, on_bytes=ignore)
    assert (file.id, file.filename, file.status) == ("file-1", NAME, "processed")
    body = route.calls[0].request.content
    assert rows.read_bytes() in body
    assert f'filename="{NAME}"'.encode() in body
    assert b'name="purpose"\r\n\r\nfine-tune' in body


def test_sent_bytes_are_reported_from_zero_to_the_size(
    api: respx.MockRouter, provider: Provider, rows: Path
) -> None:
    api.post("/files").respond(json=remote())
    progress: list[tuple[int, int]] = []
    provider.upload_file(
        rows, filename=NAME, on_bytes=lambda sent, total: progress.append((sent, total))
    )
    assert {total for _, total in progress} == {200_000}
    assert [sent for sent, _ in progress] == sorted(sent for sent, _ in progress)
    assert progress[0][0] == 0
    assert progress[-1][0] == 200_000
    steps = [after - before for (before, _), (after, _) in itertools.pairwise(progress)]
    assert max(steps) <= 65536


def test_bytes_that_are_only_read_do_not_count_as_sent(rows: Path) -> None:
    sent: list[int] = []
    with SliceReader(rows, 100, 300, sent.append) as stream:
        assert stream.read(200) == rows.read_bytes()[100:300]
        assert sent == [0]
        assert stream.read(200) == rows.read_bytes()[300:400]
        assert sent == [0, 200]
        assert stream.read(200) == b""
        assert sent == [0, 200, 300]
        assert stream.is_read


def test_a_slice_whose_file_could_not_be_opened_can_be_finalised(tmp_path: Path) -> None:
    stream = SliceReader.__new__(SliceReader)
    with pytest.raises(FileNotFoundError):
        stream.__init__(tmp_path / "missing", 0, 1, [].append)  # type: ignore[misc]
    stream.close()
    assert stream.closed


def test_a_second_attempt_sends_the_whole_file_and_counts_no_byte_twice(
    api: respx.MockRouter, provider: Provider, rows: Path
) -> None:
    route = api.post("/files").mock(
        side_effect=[httpx.WriteError("reset"), httpx.Response(200, json=remote())]
    )
    api.get("/files").respond(json={"data": []})
    progress: list[int] = []
    provider.upload_file(rows, filename=NAME, on_bytes=lambda sent, total: progress.append(sent))
    assert rows.read_bytes() in route.calls[1].request.content
    assert progress == sorted(set(progress))
    assert (progress[0], progress[-1]) == (0, 200_000)


@pytest.mark.parametrize("empty_lists", [0, 2])
def test_an_upload_with_a_lost_response_is_not_repeated_when_the_file_exists(
    api: respx.MockRouter, provider: Provider, rows: Path, empty_lists: int
) -> None:
    sent = api.post("/files").mock(side_effect=httpx.ReadError("cut"))
    empty = httpx.Response(200, json={"data": []})
    listed = httpx.Response(200, json={"data": [remote()], "has_more": False})
    api.get("/files").mock(side_effect=[empty] * empty_lists + [listed])
    api.get("/files/file-1").respond(json=remote())
    assert provider.upload_file(rows, filename=NAME, on_bytes=ignore).id == "file-1"
    assert sent.call_count == 1


@pytest.mark.parametrize("is_stored", [True, False], ids=["and stored", "and dropped"])
def test_an_upload_after_a_429_is_searched_before_it_is_repeated(
    api: respx.MockRouter, provider: Provider, rows: Path, is_stored: bool
) -> None:
    slow_down = httpx.Response(429, json={"error": {"message": "Slow down."}})
    sent = api.post("/files").mock(side_effect=[slow_down, httpx.Response(200, json=remote())])
    api.get("/files").respond(json={"data": [remote()] if is_stored else []})
    api.get("/files/file-1").respond(json=remote())
    assert provider.upload_file(rows, filename=NAME, on_bytes=ignore).id == "file-1"
    assert sent.call_count == (1 if is_stored else 2)


def test_an_empty_file_is_uploaded(
    api: respx.MockRouter, provider: Provider, tmp_path: Path
) -> None:
    (tmp_path / "empty.jsonl").touch()
    error = {"error": {"message": "The file is empty.", "code": "invalid_file"}}
    api.post("/files").respond(400, json=error)
    with pytest.raises(Rejected, match="The file is empty"):
        provider.upload_file(tmp_path / "empty.jsonl", filename=NAME, on_bytes=ignore)


@pytest.mark.parametrize("name", ["missing.jsonl", "folder"])
def test_an_unreadable_file_is_named_and_nothing_is_sent(
    api: respx.MockRouter, provider: Provider, tmp_path: Path, name: str
) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DatasetError, match=name):
        provider.upload_file(tmp_path / name, filename=NAME, on_bytes=ignore)
    assert not api.calls


def test_a_file_in_processing_is_awaited(
    api: respx.MockRouter, provider: Provider, clock: FakeClock, rows: Path
) -> None:
    api.post("/files").respond(json=remote(status="uploaded"))
    waiting = httpx.Response(200, json=remote(status="pending"))
    api.get("/files/file-1").mock(
        side_effect=[waiting, waiting, httpx.Response(200, json=remote())]
    )
    assert provider.upload_file(rows, filename=NAME, on_bytes=ignore).status == "processed"
    assert clock.slept_s == [1.0, 2.0, 4.0]


def test_waiting_for_a_file_is_limited(
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


def test_the_newest_file_of_a_name_size_and_purpose_is_found(
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
    file = provider.find_file(NAME, 200_000)
    assert file is not None
    assert file.id == "file-new"
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
def test_content_is_returned_byte_for_byte(
    api: respx.MockRouter, provider: Provider, content: bytes
) -> None:
    api.get("/files/file-r/content").respond(content=content)
    assert provider.read_file("file-r") == content


def test_deleting_a_missing_file_is_reported(api: respx.MockRouter, provider: Provider) -> None:
    api.delete("/files/file-1").respond(404, json={"error": {"message": "No such File object."}})
    with pytest.raises(NotFound, match="No such File"):
        provider.delete_file("file-1")


def test_a_deletion_with_a_lost_response_counts_as_done(
    api: respx.MockRouter, provider: Provider
) -> None:
    missing = httpx.Response(404, json={"error": {"message": "No such File object."}})
    route = api.delete("/files/file-1").mock(side_effect=[httpx.ReadError("cut"), missing])
    provider.delete_file("file-1")
    assert route.call_count == 2


def test_a_denied_deletion_is_an_error(api: respx.MockRouter, provider: Provider) -> None:
    api.delete("/files/file-1").respond(json={"id": "file-1", "deleted": False})
    with pytest.raises(ProviderError, match="has not deleted"):
        provider.delete_file("file-1")


def test_a_deletion_may_have_an_empty_response(api: respx.MockRouter, provider: Provider) -> None:
    api.delete("/files/file-1").respond(204)
    provider.delete_file("file-1")
