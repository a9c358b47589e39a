"""Files: sent in pieces and counted, in parts when large, waited for, found again."""

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


def test_a_second_attempt_sends_the_file_from_its_beginning_and_counts_no_byte_twice(
    api: respx.MockRouter, provider: Provider, rows: Path
) -> None:
    route = api.post("/files").mock(
        side_effect=[httpx.WriteError("reset"), httpx.Response(200, json=remote())]
    )
    api.get("/files").respond(json={"data": []})
    seen: list[int] = []
    provider.upload_file(rows, filename=NAME, on_bytes=lambda sent, total: seen.append(sent))
    assert rows.read_bytes() in route.calls[1].request.content
    assert seen == sorted(set(seen))
    assert (seen[0], seen[-1]) == (0, 200_000)


@pytest.mark.parametrize("looks_in_vain", [0, 2])
def test_a_file_whose_answer_was_lost_is_not_sent_again_when_it_is_there(
    api: respx.MockRouter, provider: Provider, rows: Path, looks_in_vain: int
) -> None:
    sent = api.post("/files").mock(side_effect=httpx.ReadError("cut"))
    empty = httpx.Response(200, json={"data": []})
    there = httpx.Response(200, json={"data": [remote()], "has_more": False})
    api.get("/files").mock(side_effect=[empty] * looks_in_vain + [there])
    api.get("/files/file-1").respond(json=remote())
    assert provider.upload_file(rows, filename=NAME, on_bytes=ignore).id == "file-1"
    assert sent.call_count == 1


@pytest.mark.parametrize("is_stored", [True, False], ids=["and stored", "and dropped"])
def test_a_file_that_was_answered_by_429_is_looked_for_before_it_is_sent_again(
    api: respx.MockRouter, provider: Provider, rows: Path, is_stored: bool
) -> None:
    slow_down = httpx.Response(429, json={"error": {"message": "Slow down."}})
    sent = api.post("/files").mock(side_effect=[slow_down, httpx.Response(200, json=remote())])
    api.get("/files").respond(json={"data": [remote()] if is_stored else []})
    api.get("/files/file-1").respond(json=remote())
    assert provider.upload_file(rows, filename=NAME, on_bytes=ignore).id == "file-1"
    assert sent.call_count == (1 if is_stored else 2)


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
