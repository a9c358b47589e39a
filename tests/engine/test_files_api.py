"""`/v1/files` through the real SDK."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

from ftops.engine.settings import EngineSettings
from tests.engine.running import (
    TABLE_WORKER,
    Running,
    animals,
    run_engine,
    table_settings,
    wait_for,
    write_rows,
)
from tests.fakes import FakeClock


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Files of this process cannot grow beyond `size` bytes, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def list_stored_files(running: Running) -> list[Path]:
    paths = running.engine.paths
    return [*paths.incoming.iterdir(), *paths.files.iterdir()]


def test_a_file_is_uploaded_downloaded_and_deleted(idle: Running) -> None:
    content = write_rows(animals())
    made = idle.sdk.files.create(file=("../we ird\\rows.jsonl", content), purpose="fine-tune")
    assert made.id.startswith("file-")
    assert (made.bytes, made.purpose, made.status) == (len(content), "fine-tune", "processed")
    assert made.filename == "rows.jsonl"
    assert idle.sdk.files.retrieve(made.id) == made
    assert idle.sdk.files.content(made.id).read() == content
    deleted = idle.sdk.files.delete(made.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (made.id, True, "file")
    for ask in (idle.sdk.files.retrieve, idle.sdk.files.content, idle.sdk.files.delete):
        with pytest.raises(openai.NotFoundError):
            ask(made.id)
    assert list_stored_files(idle) == []


def test_a_file_of_several_pieces_arrives_whole(idle: Running) -> None:
    content = bytes(range(256)) * 20_000  # 5 MB, boundaries' bytes among them
    made = idle.sdk.files.create(file=("a.bin", content), purpose="fine-tune")
    assert idle.sdk.files.content(made.id).read() == content


def test_lists_have_pages_in_both_directions(idle: Running) -> None:
    made = [idle.upload(animals(), f"{number}.jsonl") for number in range(5)]
    assert [row.id for row in idle.sdk.files.list()] == made[::-1]
    page = idle.sdk.files.list(limit=2)
    assert [row.id for row in page.data] == [made[4], made[3]]
    assert page.has_more
    assert [row.id for row in page] == made[::-1]  # the SDK asks for the other pages
    oldest = idle.sdk.files.list(limit=2, order="asc", after=made[0])
    assert [row.id for row in oldest.data] == made[1:3]
    assert idle.sdk.files.list(purpose="fine-tune-results").data == []
    body = idle.http.get("/v1/files", params={"limit": 2}).json()
    assert (body["object"], body["first_id"], body["last_id"]) == ("list", made[4], made[3])
    with pytest.raises(openai.BadRequestError) as caught:
        idle.sdk.files.list(after="file-none")
    assert caught.value.param == "after"


@pytest.mark.parametrize(
    ("form", "status", "param"),
    [
        ({"data": {"purpose": "fine-tune"}, "files": {"other": b"x"}}, 400, "file"),
        ({"files": {"file": b"x"}}, 400, "purpose"),
        ({"data": {"purpose": "assistants"}, "files": {"file": b"x"}}, 400, "purpose"),
        ({"data": {"purpose": "fine-tune", "a": "b"}, "files": {"file": b"x"}}, 400, "a"),
        ({"data": {"purpose": "fine-tune"}, "files": {"file": b""}}, 400, "file"),
        ({"data": {"purpose": "x" * 5000}, "files": {"file": b"x"}}, 400, "purpose"),
        ({"files": [("file", b"x"), ("file", b"y")]}, 400, "file"),
        ({"files": [(f"part{number}", b"x") for number in range(30)]}, 400, None),
        ({"json": {"purpose": "fine-tune"}}, 415, None),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, 415, None),
        (
            {"content": b"a", "headers": {"content-type": "multipart/form-data; boundary=x"}},
            400,
            None,
        ),
        (
            {
                "content": b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nab',
                "headers": {"content-type": "multipart/form-data; boundary=x"},
            },
            400,
            None,
        ),
    ],
)
def test_bad_forms_are_refused_and_leave_nothing(
    idle: Running, form: dict[str, object], status: int, param: str | None
) -> None:
    answer = idle.http.post("/v1/files", **form)  # type: ignore[arg-type]
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert list_stored_files(idle) == []


def test_a_file_over_the_limit_is_413_also_when_its_length_is_not_announced(
    tmp_path: Path,
) -> None:
    settings = EngineSettings(tmp_path, worker_command=TABLE_WORKER, max_upload_bytes=100_000)
    with run_engine(settings, schedules=False) as running:
        with pytest.raises(openai.APIStatusError) as caught:
            running.sdk.files.create(file=("a", b"x" * 200_000), purpose="fine-tune")
        assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")
        head = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
        for size in (100_001, 2_000_000):  # within the slack of the form, and beyond it
            tail = b'\r\n--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
            answer = running.http.post(
                "/v1/files",
                content=iter([head, b"x" * size, tail, b"--x--\r\n"]),
                headers={"content-type": "multipart/form-data; boundary=x"},
            )
            assert answer.status_code == 413, answer.text
        assert list_stored_files(running) == []


def test_a_full_disk_is_reported_and_leaves_no_file(idle: Running) -> None:
    with largest_file(1_000_000), pytest.raises(openai.InternalServerError) as caught:
        idle.sdk.files.create(file=("a", b"x" * 3_000_000), purpose="fine-tune")
    assert caught.value.status_code == 507
    assert caught.value.code == "storage_error"
    assert "cannot write" in caught.value.message
    assert list_stored_files(idle) == []
    assert idle.sdk.files.list().data == []
    idle.upload(animals())


def test_a_file_with_a_limited_life_is_gone_when_that_is_over(tmp_path: Path) -> None:
    clock = FakeClock()
    settings = table_settings(tmp_path / "engine")
    with run_engine(settings, schedules=False, clock=clock) as running:
        kept = running.upload(animals())
        made = running.sdk.files.create(
            file=("rows.jsonl", write_rows(animals())),
            purpose="fine-tune",
            expires_after={"anchor": "created_at", "seconds": 3600},
        )
        assert made.expires_at == made.created_at + 3600
        clock.advance(3599)
        assert running.sdk.files.retrieve(made.id) == made
        clock.advance(1)
        assert [row.id for row in running.sdk.files.list()] == [kept]
        for ask in (
            running.sdk.files.retrieve,
            running.sdk.files.content,
            running.sdk.files.delete,
        ):
            with pytest.raises(openai.NotFoundError):
                ask(made.id)
        with pytest.raises(openai.BadRequestError) as caught:
            running.sdk.fine_tuning.jobs.create(model="ada", training_file=made.id)
        assert caught.value.code == "file_not_found"
        assert [path.name for path in list_stored_files(running)] == [kept]


@pytest.mark.parametrize(
    ("anchor", "seconds", "param"),
    [
        ("created_at", "3599", "expires_after.seconds"),
        ("created_at", "2592001", "expires_after.seconds"),
        ("created_at", "-3600", "expires_after.seconds"),
        ("created_at", "9" * 5000, "expires_after[seconds]"),
        ("created_at", "\u0663\u0666\u0660\u0660", None),
        ("last_active_at", "3600", "expires_after.anchor"),
    ],
)
def test_a_life_out_of_bounds_is_refused(
    idle: Running, anchor: str, seconds: str, param: str | None
) -> None:
    data = {
        "purpose": "fine-tune",
        "expires_after[anchor]": anchor,
        "expires_after[seconds]": seconds,
    }
    answer = idle.http.post("/v1/files", data=data, files={"file": b"x"})
    if param is None:  # other scripts' digits are digits
        assert answer.json()["expires_at"] == answer.json()["created_at"] + 3600
        return
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert list_stored_files(idle) == []


def test_the_list_can_be_asked_for_one_purpose_page_by_page(running: Running) -> None:
    training = running.upload(animals())
    job = running.sdk.fine_tuning.jobs.create(model="ada", training_file=training)
    (results,) = running.wait_for_end(job.id).result_files
    later = running.upload(animals())
    assert [row.id for row in running.sdk.files.list(purpose="fine-tune", limit=1)] == [
        later,
        training,
    ]
    assert [row.id for row in running.sdk.files.list(purpose="fine-tune-results")] == [results]
    assert [row.id for row in running.sdk.files.list(order="asc", limit=2)] == [
        training,
        results,
        later,
    ]
    for limit in (0, 10001):
        with pytest.raises(openai.BadRequestError):
            running.sdk.files.list(limit=limit)
    assert running.http.get("/v1/files", params={"order": "up"}).status_code == 400


@pytest.mark.parametrize("padding", [0, 5_000_000])
def test_a_bad_row_is_reported_at_the_upload(idle: Running, padding: int) -> None:
    long: dict[str, object] = {"prompt": "a", "completion": "b" * 1000}
    rows = [*animals(), *[long] * (padding // 1000)]
    content = write_rows(rows) + json.dumps({"prompt": "no answer"}).encode() + b"\n"
    made = idle.sdk.files.create(file=("rows.jsonl", content), purpose="fine-tune")
    assert made.status == ("uploaded" if padding else "error")
    seen = idle.sdk.files.wait_for_processing(made.id, poll_interval=0.01)
    assert (seen.status, seen.status_details) == (
        "error",
        f"line {len(rows) + 1}: completion is missing",
    )
    good = idle.sdk.files.create(file=("rows.jsonl", write_rows(rows)), purpose="fine-tune")
    seen = idle.sdk.files.wait_for_processing(good.id, poll_interval=0.01)
    assert (seen.status, seen.status_details) == ("processed", None)


def test_what_an_ended_engine_had_not_looked_at_the_next_one_looks_at(tmp_path: Path) -> None:
    settings = table_settings(tmp_path / "engine")
    with run_engine(settings, schedules=False) as running:
        file_id = running.upload([{"prompt": 1}])
        running.store.files.set_status(file_id, "uploaded", None)
    with run_engine(settings, schedules=False) as running:
        running.engine.file_validator.wake()
        wait_for(lambda: running.sdk.files.retrieve(file_id).status == "error")
        details = running.sdk.files.retrieve(file_id).status_details
        assert details == "line 1: prompt is a number, not text"
