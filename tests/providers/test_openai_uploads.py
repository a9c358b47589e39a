"""Large files in parts: several at a time, remembered, gone on with, begun again."""

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
from ftops.providers.openai_client import ClientOptions, KeyedEndpoint, OpenAIClient
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
class Memory:
    """Remembers in this process what a ledger would keep on the disk."""

    known: MultipartUpload | None = None
    told: list[str] = field(default_factory=list)

    def find(self) -> MultipartUpload | None:
        return self.known

    def begun(self, upload: MultipartUpload) -> None:
        self.told.append(f"begun {upload.id}")
        self.known = upload

    def part_done(self, number: int, part_id: str) -> None:
        assert self.known
        self.known = replace(self.known, parts={**self.known.parts, number: part_id})

    def completing(self) -> None:
        assert self.known
        self.known = replace(self.known, completing=True)
        self.told.append("completing")


@dataclass
class Provider:
    """Takes parts as the protocol has it; `refusals` and `answers` say when it does not."""

    content: bytes
    expires_at: float
    uploads: dict[str, dict[str, bytes]] = field(default_factory=dict)
    sent: list[int] = field(default_factory=list)  # the numbers of the parts, as they came
    faults: dict[int, list[httpx.Response | Exception]] = field(default_factory=dict)
    completions: list[dict[str, Json]] = field(default_factory=list)
    complete_faults: list[httpx.Response | Exception] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, request: httpx.Request) -> httpx.Response:
        upload_id = f"upload_{len(self.uploads) + 1}"
        self.uploads[upload_id] = {}
        return httpx.Response(200, json={"id": upload_id, "expires_at": self.expires_at})

    def take(self, request: httpx.Request, upload_id: str) -> httpx.Response:
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
        asked = json.loads(request.content)
        self.completions.append(asked)
        if self.complete_faults:
            fault = self.complete_faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            return fault
        whole = b"".join(self.uploads[upload_id][part] for part in asked["part_ids"])
        assert whole == self.content
        assert asked["md5"] == hashlib.md5(self.content).hexdigest()
        return httpx.Response(200, json={"id": upload_id, "file": remote()})

    def slice(self, number: int) -> bytes:
        return self.content[number * PART : (number + 1) * PART]


def refuse(status: int, message: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": message}})


@pytest.fixture
def there(api: respx.MockRouter, rows: Path, bench: Bench) -> Provider:
    made = Provider(rows.read_bytes(), bench.clock.now().timestamp() + 3600)
    api.post("/uploads").mock(side_effect=made.begin)
    api.post(path__regex=r"/uploads/(?P<upload_id>\w+)/parts").mock(side_effect=made.take)
    api.post(path__regex=r"/uploads/(?P<upload_id>\w+)/complete").mock(side_effect=made.complete)
    api.get("/files/file-1").respond(json=remote())
    return made


@dataclass
class Sender:
    """Gives the command that sends the file, as often as it is wanted."""

    bench: Bench
    path: Path
    memory: Memory = field(default_factory=Memory)
    seen: list[int] = field(default_factory=list)

    def send(self) -> str:
        options = ClientOptions(BASE_URL, KEY, http_client=self.bench.client)
        api = OpenAIClient(
            KeyedEndpoint(options, key_variable="-", check_trust=lambda: None),
            clock=self.bench.clock,
            retries=RetryPolicy(attempts=2),
        )
        self.seen.clear()
        upload = open_upload(
            self.path, NAME, lambda sent, total: self.seen.append(sent), self.memory
        )
        return send_file(api, upload, LIMITS).id


@pytest.fixture
def sender(bench: Bench, rows: Path) -> Iterator[Sender]:
    made = Sender(bench, rows)
    yield made
    assert made.seen == sorted(set(made.seen)), "progress went back, or told the same twice"


def test_the_parts_make_the_file_whole_again_in_their_order(
    there: Provider, sender: Sender
) -> None:
    assert sender.send() == "file-1"
    assert sorted(there.sent) == [0, 1, 2, 3, 4]
    assert len(there.completions) == 1
    assert (sender.seen[0], sender.seen[-1]) == (0, SIZE)
    assert sender.memory.told == ["begun upload_1", "completing"]


def test_what_is_announced_is_the_whole_file(
    there: Provider, sender: Sender, api: respx.MockRouter
) -> None:
    sender.send()
    assert json.loads(api.calls[0].request.content) == {
        "bytes": SIZE,
        "filename": NAME,
        "mime_type": "text/jsonl",
        "purpose": "fine-tune",
    }


def test_a_part_whose_answer_was_lost_is_sent_again_and_its_bytes_count_once(
    there: Provider, sender: Sender
) -> None:
    there.faults = {2: [CUT], 4: [refuse(503, "later")]}
    assert sender.send() == "file-1"
    assert sorted(there.sent) == [0, 1, 2, 2, 3, 4, 4]
    assert sender.seen[-1] == SIZE


def test_after_an_error_the_next_command_sends_only_what_is_missing(
    there: Provider, sender: Sender
) -> None:
    there.faults = {1: [CUT, CUT]}
    with pytest.raises(Unreachable, match="cut"):
        sender.send()
    assert sender.memory.known is not None
    confirmed = set(sender.memory.known.parts)
    assert confirmed == set(there.sent) - {1}
    there.sent.clear()
    assert sender.send() == "file-1"
    assert set(there.sent) == {0, 1, 2, 3, 4} - confirmed
    assert PART * len(confirmed) in sender.seen
    assert sender.memory.told.count("begun upload_1") == 1
    assert list(there.uploads) == ["upload_1"]


def test_an_upload_whose_hour_is_over_is_begun_again_without_asking(
    there: Provider, sender: Sender
) -> None:
    there.faults = {1: [CUT, CUT]}
    with pytest.raises(Unreachable):
        sender.send()
    sender.bench.clock.advance(3601)
    there.expires_at += 3601
    there.sent.clear()
    assert sender.send() == "file-1"
    assert sorted(there.sent) == [0, 1, 2, 3, 4]
    assert list(there.uploads) == ["upload_1", "upload_2"]


@pytest.mark.parametrize("status", [400, 404])
def test_an_upload_that_the_provider_takes_no_more_is_begun_again(
    there: Provider, sender: Sender, status: int
) -> None:
    at_once = range(1, 1 + LIMITS.threads)
    there.faults = {number: [refuse(status, "The upload is gone.")] for number in at_once}
    later = sender.bench.clock.now() + timedelta(hours=1)
    sender.memory.known = MultipartUpload("upload_0", PART, later, {0: "part_a"})
    there.uploads["upload_0"] = {}
    assert sender.send() == "file-1"
    assert len(there.completions) == 1
    assert list(there.uploads) == ["upload_0", "upload_2"]


def test_a_fresh_upload_that_expires_on_its_way_is_begun_again_once(
    there: Provider, sender: Sender
) -> None:
    there.expires_at -= 3600
    gone = [refuse(400, "The upload has expired.") for _ in range(2)]
    there.faults = {0: list(gone)}
    with pytest.raises(Rejected, match="has expired"):
        sender.send()
    assert list(there.uploads) == ["upload_1", "upload_2"]


def test_parts_that_are_refused_for_another_reason_are_not_sent_twice(
    there: Provider, sender: Sender
) -> None:
    there.faults = {0: [refuse(413, "Too large.")]}
    with pytest.raises(Rejected, match="Too large"):
        sender.send()
    assert list(there.uploads) == ["upload_1"]


def list_nothing_then_the_file(api: respx.MockRouter, in_vain: int) -> respx.Route:
    found = httpx.Response(200, json={"data": [remote()], "has_more": False})
    empty = httpx.Response(200, json={"data": []})
    return api.get("/files").mock(side_effect=[empty] * in_vain + [found])


@pytest.mark.parametrize("in_vain", [0, 2])
def test_a_lost_answer_to_the_last_step_does_not_make_a_second_file(
    there: Provider, sender: Sender, api: respx.MockRouter, in_vain: int
) -> None:
    there.complete_faults = [CUT, refuse(400, "Upload has already been completed.")]
    listed = list_nothing_then_the_file(api, in_vain)
    assert sender.send() == "file-1"
    assert listed.call_count == in_vain + 1
    assert list(there.uploads) == ["upload_1"]


def test_a_command_that_died_at_the_last_step_is_gone_on_with_after_the_hour_too(
    there: Provider, sender: Sender, api: respx.MockRouter
) -> None:
    parts = {number: f"part_{number}" for number in range(5)}
    sender.memory.known = MultipartUpload(
        "upload_0", PART, sender.bench.clock.now(), parts, completing=True
    )
    sender.bench.clock.advance(7200)
    there.complete_faults = [refuse(400, "Upload has already been completed.")]
    list_nothing_then_the_file(api, 1)
    assert sender.send() == "file-1"
    assert there.sent == []
    assert there.uploads == {}


def test_an_upload_that_was_not_completed_after_all_is_sent_again_when_nothing_is_listed(
    there: Provider, sender: Sender, api: respx.MockRouter
) -> None:
    parts = {number: f"part_{number}" for number in range(5)}
    later = sender.bench.clock.now() + timedelta(minutes=5)
    sender.memory.known = MultipartUpload("upload_0", PART, later, parts, completing=True)
    there.complete_faults = [refuse(404, "No such Upload object.")]
    api.get("/files").respond(json={"data": []})
    assert sender.send() == "file-1"
    assert sum(sender.bench.clock.slept_s) == 4.0
    assert sorted(there.sent) == [0, 1, 2, 3, 4]


def test_a_refused_last_step_that_was_asked_once_is_an_error_and_nothing_is_searched(
    there: Provider, sender: Sender
) -> None:
    there.complete_faults = [refuse(400, "The parts together have another MD5.")]
    with pytest.raises(Rejected, match="another MD5"):
        sender.send()


def test_no_more_parts_are_under_way_than_threads_are_allowed(
    api: respx.MockRouter, there: Provider, sender: Sender
) -> None:
    under_way, most, came = 0, 0, 0
    counting = threading.Lock()
    together = threading.Barrier(LIMITS.threads)

    def take(request: httpx.Request, upload_id: str) -> httpx.Response:
        nonlocal under_way, most, came
        with counting:
            came += 1
            is_early = came <= LIMITS.threads
            under_way += 1
            most = max(most, under_way)
        if is_early:  # the first ones leave only together
            together.wait(timeout=20)
        answer = there.take(request, upload_id)
        with counting:
            under_way -= 1
        return answer

    api.post(path__regex=r"/uploads/(?P<upload_id>\w+)/parts").mock(side_effect=take)
    assert sender.send() == "file-1"
    assert most == LIMITS.threads


def test_ctrl_c_ends_the_command_and_leaves_the_upload_as_it_is(
    there: Provider, sender: Sender, api: respx.MockRouter
) -> None:
    class Interrupted(Memory):
        def part_done(self, number: int, part_id: str) -> None:
            super().part_done(number, part_id)
            raise KeyboardInterrupt

    sender.memory = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        sender.send()
    told = len(sender.seen)
    sender.memory = Memory(sender.memory.known)
    assert not [call for call in api.calls if call.request.url.path.endswith("/cancel")]
    assert len(sender.seen) == told
    assert sender.send() == "file-1"
    assert list(there.uploads) == ["upload_1"]


def test_a_file_that_is_gone_is_named(there: Provider, sender: Sender, rows: Path) -> None:
    class Robbed(Memory):
        def begun(self, upload: MultipartUpload) -> None:
            super().begun(upload)
            rows.unlink()

    sender.memory = Robbed()
    with pytest.raises(DatasetError, match=re.escape(str(rows))):
        sender.send()


def test_parts_cover_the_file_without_gap() -> None:
    assert split(200, 80) == [80, 80, 40]
    assert split(160, 80) == [80, 80]
    assert split(1, 80) == [1]


def test_progress_never_goes_back_and_counts_no_byte_twice() -> None:
    seen: list[int] = []
    progress = UploadProgress(100, lambda sent, total: seen.append(sent))
    for part, gone in [(0, 0), (0, 30), (1, 20), (0, 0), (0, 10), (0, 40), (1, 60)]:
        progress.move(part, gone)
    assert seen == [0, 30, 50, 60, 100]


def test_progress_that_begins_again_waits_until_it_has_come_further() -> None:
    seen: list[int] = []
    progress = UploadProgress(100, lambda sent, total: seen.append(sent))
    progress.move(0, 60)
    progress.restart()
    progress.move(0, 50)
    progress.move(1, 20)
    assert seen == [60, 70]


def test_a_thread_that_nobody_waits_for_stops_at_its_next_piece(rows: Path) -> None:
    seen: list[int] = []
    progress = UploadProgress(SIZE, lambda sent, total: seen.append(sent))
    with SliceReader(rows, 0, SIZE, lambda gone: progress.move(0, gone)) as stream:
        stream.read(1000)
        progress.stop()
        with pytest.raises(UploadStopped):
            stream.read(1000)
    assert seen == [0]


def test_smaller_parts_can_be_asked_for() -> None:
    assert choose_limits({}).single_bytes == 512 << 20
    assert choose_limits({}).part_bytes == 64 << 20
    chosen = choose_limits({"FTOPS_PART_MB": "8"}, listing_wait_s=3.0)
    assert (chosen.single_bytes, chosen.part_bytes) == (8 << 20, 8 << 20)
    assert chosen.listing_wait_s == 3.0


@pytest.mark.parametrize("text", ["0", "65", "-1", "8.5", "many", "9" * 5000])
def test_a_size_of_parts_that_no_provider_takes_is_told(text: str) -> None:
    with pytest.raises(ProviderError, match="FTOPS_PART_MB") as caught:
        choose_limits({"FTOPS_PART_MB": text})
    assert "from 1 to 64" in caught.value.hint


def test_an_upload_is_cancelled_at_the_provider(bench: Bench) -> None:
    route = bench.api.post("/uploads/upload_1/cancel").respond(json={"id": "upload_1"})
    bench.build().cancel_upload("upload_1")
    assert route.call_count == 1
