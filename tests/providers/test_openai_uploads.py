"""Multipart uploads: concurrent parts, checkpoints, continuation and restart."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import respx

from ftops.errors import DatasetError, ProviderError, Rejected, Unreachable
from ftops.http.retry import RetryPolicy
from ftops.providers.endpoint import ClientOptions, KeyedEndpoint
from ftops.providers.openai_client import OpenAIClient, make_client
from ftops.providers.openai_uploads import (
    SliceReader,
    UploadLimits,
    UploadProgress,
    UploadStopped,
    choose_limits,
    open_upload,
    send_file,
    split,
)
from ftops.records import Json, MultipartUpload
from tests.providers.conftest import BASE_URL, KEY, Bench
from tests.providers.test_openai_files import NAME, remote

PART = 40_000
SIZE = 200_000
LIMITS = UploadLimits(single_bytes=100_000, part_bytes=PART, threads=3, listing_wait_s=4.0)
CUT = httpx.ReadError("cut")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join(number.to_bytes(4, "big") for number in range(SIZE // 4)))
    return path


@dataclass
class MemoryCheckpoint:
    """An upload checkpoint in checkpoint instead of the ledger."""

    known: MultipartUpload | None = None
    calls: list[str] = field(default_factory=list)

    def find(self) -> MultipartUpload | None:
        return self.known

    def begun(self, upload: MultipartUpload) -> None:
        self.calls.append(f"begun {upload.id}")
        self.known = upload

    def part_done(self, number: int, part_id: str) -> None:
        assert self.known
        self.known = replace(self.known, parts={**self.known.parts, number: part_id})

    def completing(self) -> None:
        assert self.known
        self.known = replace(self.known, completing=True)
        self.calls.append("completing")


@dataclass
class UploadServer:
    """A server of the upload protocol; `faults` and `complete_faults` are its errors."""

    content: bytes
    expires_at: float
    uploads: dict[str, dict[str, bytes]] = field(default_factory=dict)
    sent: list[int] = field(default_factory=list)  # the numbers of the parts in order of arrival
    faults: dict[int, list[httpx.Response | Exception]] = field(default_factory=dict)
    completions: list[dict[str, Json]] = field(default_factory=list)
    complete_faults: list[httpx.Response | Exception] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, request: httpx.Request) -> httpx.Response:
        upload_id = f"upload_{len(self.uploads) + 1}"
        self.uploads[upload_id] = {}
        return httpx.Response(200, json={"id": upload_id, "expires_at": self.expires_at})

    def add_part(self, request: httpx.Request, upload_id: str) -> httpx.Response:
        body = request.content.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]
        with self.lock:
            if upload_id not in self.uploads:
                return refuse(404, "No such Upload object.")
            number = next(n for n in range(SIZE // PART) if self.slice(n) == body)
            self.sent.append(number)
            if queued := self.faults.get(number):
                fault = queued.pop(0)
                if isinstance(fault, Exception):
                    raise fault
                return fault
            part_id = f"part_{upload_id}_{len(self.uploads[upload_id])}"
            self.uploads[upload_id][part_id] = body
            return httpx.Response(200, json={"id": part_id})

    def complete(self, request: httpx.Request, upload_id: str) -> httpx.Response:
        body = json.loads(request.content)
        self.completions.append(body)
        if self.complete_faults:
            fault = self.complete_faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            return fault
        content = b"".join(self.uploads[upload_id][part] for part in body["part_ids"])
        assert content == self.content
        assert body["md5"] == hashlib.md5(self.content).hexdigest()
        return httpx.Response(200, json={"id": upload_id, "file": remote()})

    def slice(self, number: int) -> bytes:
        return self.content[number * PART : (number + 1) * PART]


def refuse(status: int, message: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": message}})


@pytest.fixture
def server(api: respx.MockRouter, rows: Path, bench: Bench) -> UploadServer:
    server = UploadServer(rows.read_bytes(), bench.clock.now().timestamp() + 3600)
    api.post("/uploads").mock(side_effect=server.begin)
    api.post(path__regex=r"/uploads/(?P<upload_id>\w+)/parts").mock(side_effect=server.add_part)
    api.post(path__regex=r"/uploads/(?P<upload_id>\w+)/complete").mock(side_effect=server.complete)
    api.get("/files/file-1").respond(json=remote())
    return server


@dataclass
class Sender:
    """Sends the file as a new command does."""

    bench: Bench
    path: Path
    checkpoint: MemoryCheckpoint = field(default_factory=MemoryCheckpoint)
    progress: list[int] = field(default_factory=list)

    def send(self) -> str:
        options = ClientOptions(BASE_URL, KEY, http_client=self.bench.client)
        api = OpenAIClient(
            KeyedEndpoint(options, make_client, key_variable="-", check_trust=lambda: None),
            clock=self.bench.clock,
            retries=RetryPolicy(attempts=2),
        )
        self.progress.clear()
        upload = open_upload(
            self.path, NAME, lambda sent, total: self.progress.append(sent), self.checkpoint
        )
        return send_file(api, upload, LIMITS).id


@pytest.fixture
def sender(bench: Bench, rows: Path) -> Iterator[Sender]:
    created = Sender(bench, rows)
    yield created
    assert created.progress == sorted(set(created.progress)), (
        "progress went back or was reported twice"
    )


def test_the_parts_are_joined_in_their_order(server: UploadServer, sender: Sender) -> None:
    assert sender.send() == "file-1"
    assert sorted(server.sent) == [0, 1, 2, 3, 4]
    assert len(server.completions) == 1
    assert (sender.progress[0], sender.progress[-1]) == (0, SIZE)
    assert sender.checkpoint.calls == ["begun upload_1", "completing"]


def test_the_upload_is_created_for_the_whole_file(
    server: UploadServer, sender: Sender, api: respx.MockRouter
) -> None:
    sender.send()
    assert json.loads(api.calls[0].request.content) == {
        "bytes": SIZE,
        "filename": NAME,
        "mime_type": "text/jsonl",
        "purpose": "fine-tune",
    }


def test_a_part_with_a_lost_response_is_sent_again_and_counted_once(
    server: UploadServer, sender: Sender
) -> None:
    server.faults = {2: [CUT], 4: [refuse(503, "later")]}
    assert sender.send() == "file-1"
    assert sorted(server.sent) == [0, 1, 2, 2, 3, 4, 4]
    assert sender.progress[-1] == SIZE


def test_after_an_error_the_next_command_sends_only_missing_parts(
    server: UploadServer, sender: Sender
) -> None:
    server.faults = {1: [CUT, CUT]}
    with pytest.raises(Unreachable, match="cut"):
        sender.send()
    assert sender.checkpoint.known is not None
    confirmed = set(sender.checkpoint.known.parts)
    assert confirmed == set(server.sent) - {1}
    server.sent.clear()
    assert sender.send() == "file-1"
    assert set(server.sent) == {0, 1, 2, 3, 4} - confirmed
    assert PART * len(confirmed) in sender.progress
    assert sender.checkpoint.calls.count("begun upload_1") == 1
    assert list(server.uploads) == ["upload_1"]


def test_an_expired_upload_is_restarted_without_a_request(
    server: UploadServer, sender: Sender
) -> None:
    server.faults = {1: [CUT, CUT]}
    with pytest.raises(Unreachable):
        sender.send()
    sender.bench.clock.advance(3601)
    server.expires_at += 3601
    server.sent.clear()
    assert sender.send() == "file-1"
    assert sorted(server.sent) == [0, 1, 2, 3, 4]
    assert list(server.uploads) == ["upload_1", "upload_2"]


@pytest.mark.parametrize("status", [400, 404])
def test_an_upload_that_the_provider_no_longer_accepts_is_restarted(
    server: UploadServer, sender: Sender, status: int
) -> None:
    first_parts = range(1, 1 + LIMITS.threads)
    server.faults = {number: [refuse(status, "The upload is gone.")] for number in first_parts}
    later = sender.bench.clock.now() + timedelta(hours=1)
    sender.checkpoint.known = MultipartUpload("upload_0", PART, later, {0: "part_a"})
    server.uploads["upload_0"] = {}
    assert sender.send() == "file-1"
    assert len(server.completions) == 1
    assert list(server.uploads) == ["upload_0", "upload_2"]


def test_a_new_upload_that_expires_is_restarted_once(server: UploadServer, sender: Sender) -> None:
    server.expires_at -= 3600
    refusals = [refuse(400, "The upload has expired.") for _ in range(2)]
    server.faults = {0: list(refusals)}
    with pytest.raises(Rejected, match="has expired"):
        sender.send()
    assert list(server.uploads) == ["upload_1", "upload_2"]


def test_parts_refused_for_another_reason_are_not_sent_again(
    server: UploadServer, sender: Sender
) -> None:
    server.faults = {0: [refuse(413, "Too large.")]}
    with pytest.raises(Rejected, match="Too large"):
        sender.send()
    assert list(server.uploads) == ["upload_1"]


def list_file_later(api: respx.MockRouter, empty_lists: int) -> respx.Route:
    listed = httpx.Response(200, json={"data": [remote()], "has_more": False})
    empty = httpx.Response(200, json={"data": []})
    return api.get("/files").mock(side_effect=[empty] * empty_lists + [listed])


@pytest.mark.parametrize("empty_lists", [0, 2])
def test_a_lost_response_to_complete_creates_no_second_file(
    server: UploadServer, sender: Sender, api: respx.MockRouter, empty_lists: int
) -> None:
    server.complete_faults = [CUT, refuse(400, "Upload has already been completed.")]
    listed = list_file_later(api, empty_lists)
    assert sender.send() == "file-1"
    assert listed.call_count == empty_lists + 1
    assert list(server.uploads) == ["upload_1"]


def test_a_completion_of_a_killed_command_is_found_after_the_upload_expired(
    server: UploadServer, sender: Sender, api: respx.MockRouter
) -> None:
    parts = {number: f"part_{number}" for number in range(5)}
    sender.checkpoint.known = MultipartUpload(
        "upload_0", PART, sender.bench.clock.now(), parts, completing=True
    )
    sender.bench.clock.advance(7200)
    server.complete_faults = [refuse(400, "Upload has already been completed.")]
    list_file_later(api, 1)
    assert sender.send() == "file-1"
    assert server.sent == []
    assert server.uploads == {}


def test_an_incomplete_upload_is_sent_again_when_no_file_is_listed(
    server: UploadServer, sender: Sender, api: respx.MockRouter
) -> None:
    parts = {number: f"part_{number}" for number in range(5)}
    later = sender.bench.clock.now() + timedelta(minutes=5)
    sender.checkpoint.known = MultipartUpload("upload_0", PART, later, parts, completing=True)
    server.complete_faults = [refuse(404, "No such Upload object.")]
    api.get("/files").respond(json={"data": []})
    assert sender.send() == "file-1"
    assert sum(sender.bench.clock.slept_s) == 4.0
    assert sorted(server.sent) == [0, 1, 2, 3, 4]


def test_a_refused_completion_without_a_lost_response_is_an_error(
    server: UploadServer, sender: Sender
) -> None:
    server.complete_faults = [refuse(400, "The parts together have another MD5.")]
    with pytest.raises(Rejected, match="another MD5"):
        sender.send()


def test_parts_in_flight_are_limited_by_the_threads(
    api: respx.MockRouter, server: UploadServer, sender: Sender
) -> None:
    in_flight, max_in_flight, arrived = 0, 0, 0
    counting = threading.Lock()
    together = threading.Barrier(LIMITS.threads)

    def add_part(request: httpx.Request, upload_id: str) -> httpx.Response:
        nonlocal in_flight, max_in_flight, arrived
        with counting:
            arrived += 1
            is_early = arrived <= LIMITS.threads
            in_flight += 1
            max_in_flight = max(max_in_flight, in_flight)
        if is_early:  # the first requests wait for each other
            together.wait(timeout=20)
        response = server.add_part(request, upload_id)
        with counting:
            in_flight -= 1
        return response

    api.post(path__regex=r"/uploads/(?P<upload_id>\w+)/parts").mock(side_effect=add_part)
    assert sender.send() == "file-1"
    assert max_in_flight == LIMITS.threads


def test_ctrl_c_ends_the_command_and_keeps_the_upload(
    server: UploadServer, sender: Sender, api: respx.MockRouter
) -> None:
    class InterruptedCheckpoint(MemoryCheckpoint):
        def part_done(self, number: int, part_id: str) -> None:
            super().part_done(number, part_id)
            raise KeyboardInterrupt

    sender.checkpoint = InterruptedCheckpoint()
    with pytest.raises(KeyboardInterrupt):
        sender.send()
    count = len(sender.progress)
    sender.checkpoint = MemoryCheckpoint(sender.checkpoint.known)
    assert not [call for call in api.calls if call.request.url.path.endswith("/cancel")]
    assert len(sender.progress) == count
    assert sender.send() == "file-1"
    assert list(server.uploads) == ["upload_1"]


def test_a_missing_file_is_named(server: UploadServer, sender: Sender, rows: Path) -> None:
    class DeletingCheckpoint(MemoryCheckpoint):
        def begun(self, upload: MultipartUpload) -> None:
            super().begun(upload)
            rows.unlink()

    sender.checkpoint = DeletingCheckpoint()
    with pytest.raises(DatasetError, match=re.escape(str(rows))):
        sender.send()


def test_parts_cover_the_file_without_gap() -> None:
    assert split(200, 80) == [80, 80, 40]
    assert split(160, 80) == [80, 80]
    assert split(1, 80) == [1]


def test_progress_never_goes_back_and_counts_no_byte_twice() -> None:
    reported: list[int] = []
    progress = UploadProgress(100, lambda sent, total: reported.append(sent))
    for part, sent in [(0, 0), (0, 30), (1, 20), (0, 0), (0, 10), (0, 40), (1, 60)]:
        progress.move(part, sent)
    assert reported == [0, 30, 50, 60, 100]


def test_restarted_progress_is_reported_once_it_exceeds_the_last_value() -> None:
    reported: list[int] = []
    progress = UploadProgress(100, lambda sent, total: reported.append(sent))
    progress.move(0, 60)
    progress.restart()
    progress.move(0, 50)
    progress.move(1, 20)
    assert reported == [60, 70]


def test_an_abandoned_thread_stops_at_its_next_chunk(rows: Path) -> None:
    reported: list[int] = []
    progress = UploadProgress(SIZE, lambda sent, total: reported.append(sent))
    with SliceReader(rows, 0, SIZE, lambda sent: progress.move(0, sent)) as stream:
        stream.read(1000)
        progress.stop()
        with pytest.raises(UploadStopped):
            stream.read(1000)
    assert reported == [0]


def test_the_size_of_parts_can_be_set() -> None:
    assert choose_limits({}).single_bytes == 512 << 20
    assert choose_limits({}).part_bytes == 64 << 20
    chosen = choose_limits({"FTOPS_PART_MB": "8"}, listing_wait_s=3.0)
    assert (chosen.single_bytes, chosen.part_bytes) == (8 << 20, 8 << 20)
    assert chosen.listing_wait_s == 3.0


@pytest.mark.parametrize("text", ["0", "65", "-1", "8.5", "many", "9" * 5000])
def test_an_invalid_size_of_parts_is_an_error(text: str) -> None:
    with pytest.raises(ProviderError, match="FTOPS_PART_MB") as caught:
        choose_limits({"FTOPS_PART_MB": text})
    assert "from 1 to 64" in caught.value.hint


def test_an_upload_is_cancelled_at_the_provider(bench: Bench) -> None:
    route = bench.api.post("/uploads/upload_1/cancel").respond(json={"id": "upload_1"})
    bench.build().cancel_upload("upload_1")
    assert route.call_count == 1
