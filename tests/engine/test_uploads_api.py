"""`/v1/uploads` through the real SDK: parts, order, checksum, expiry, stale files."""

import hashlib
import json
from pathlib import Path

import openai
import pytest

from ftops.engine.cleanup import delete_stale_files
from ftops.engine.settings import EngineSettings
from ftops.engine.store import UploadStatus
from tests.engine.running import (
    TABLE_WORKER,
    Running,
    animals,
    run_engine,
    table_settings,
    write_rows,
)
from tests.fakes import FakeClock

CONTENT = write_rows(animals(10))


def begin(running: Running, size: int = len(CONTENT)) -> str:
    return running.sdk.uploads.create(
        bytes=size, filename="rows.jsonl", mime_type="text/jsonl", purpose="fine-tune"
    ).id


def send(running: Running, upload_id: str, *pieces: bytes) -> list[str]:
    add = running.sdk.uploads.parts.create
    return [add(upload_id, data=piece).id for piece in pieces]


def list_stored_files(running: Running) -> list[Path]:
    paths = running.engine.paths
    return [*paths.incoming.iterdir(), *paths.uploads.rglob("*")]


def test_the_sdks_own_way_of_sending_in_parts_works_and_the_file_trains(
    running: Running, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(CONTENT)
    upload = running.sdk.uploads.upload_file_chunked(
        file=path,
        mime_type="text/jsonl",
        purpose="fine-tune",
        part_size=100,
        md5=hashlib.md5(CONTENT).hexdigest(),
    )
    assert (upload.status, upload.bytes) == ("completed", len(CONTENT))
    assert upload.file is not None
    assert upload.file.filename == "rows.jsonl"
    assert upload.file.status == "processed"
    assert running.sdk.files.content(upload.file.id).read() == CONTENT
    assert list_stored_files(running) == []
    job = running.sdk.fine_tuning.jobs.create(model="ada", training_file=upload.file.id)
    assert running.wait_for_end(job.id).status == "succeeded"


def test_parts_are_put_together_in_the_order_that_is_asked_for(idle: Running) -> None:
    upload_id = begin(idle, 6)
    last, unwanted, first = send(idle, upload_id, b"def", b"xyz", b"abc")
    upload = idle.sdk.uploads.complete(upload_id, part_ids=[first, last])
    assert upload.file is not None
    assert idle.sdk.files.content(upload.file.id).read() == b"abcdef"
    assert unwanted not in {path.name for path in list_stored_files(idle)}
    with pytest.raises(openai.BadRequestError) as caught:
        idle.sdk.uploads.complete(upload_id, part_ids=[first, last])
    assert caught.value.code == "upload_completed"
    assert upload.file.id in caught.value.message


def test_a_sum_that_differs_is_refused_and_can_be_put_right(idle: Running) -> None:
    upload_id = begin(idle, 6)
    first, last, short = send(idle, upload_id, b"abc", b"def", b"d")
    other = send(idle, begin(idle), b"def")
    for part_ids, md5, param, code in (
        ([first, last], "0" * 32, "md5", "checksum_mismatch"),
        ([first, short], None, "part_ids", "size_mismatch"),
        ([first], None, "part_ids", "size_mismatch"),
        ([first, first], None, "part_ids", "invalid_value"),
        ([first, *other], None, "part_ids", "part_not_found"),
        ([first, "../../files/x"], None, "part_ids", "part_not_found"),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            idle.sdk.uploads.complete(upload_id, part_ids=part_ids, md5=md5 or openai.omit)
        assert (caught.value.param, caught.value.code) == (param, code)
    assert idle.sdk.files.list().data == []
    digest = hashlib.md5(b"abcdef").hexdigest().upper()
    assert idle.sdk.uploads.complete(upload_id, part_ids=[first, last], md5=digest).file


def test_a_cancelled_upload_takes_nothing_more_and_leaves_nothing(idle: Running) -> None:
    upload_id = begin(idle)
    (part,) = send(idle, upload_id, CONTENT)
    assert idle.sdk.uploads.cancel(upload_id).status == "cancelled"
    assert list_stored_files(idle) == []
    for again in (
        lambda: send(idle, upload_id, CONTENT),
        lambda: idle.sdk.uploads.complete(upload_id, part_ids=[part]),
        lambda: idle.sdk.uploads.cancel(upload_id),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            again()
        assert caught.value.code == "upload_cancelled"
    assert list_stored_files(idle) == []
    with pytest.raises(openai.NotFoundError):
        idle.sdk.uploads.cancel("upload-none")


def test_an_upload_lives_for_an_hour_and_its_file_as_long_as_was_asked(tmp_path: Path) -> None:
    clock = FakeClock()
    with run_engine(table_settings(tmp_path), schedules=False, clock=clock) as running:
        ids = [begin(running) for _ in range(2)]
        parts = [send(running, upload_id, CONTENT) for upload_id in ids]
        clock.advance(3599)
        running.sdk.uploads.complete(ids[0], part_ids=parts[0])
        clock.advance(1)
        with pytest.raises(openai.BadRequestError) as caught:
            running.sdk.uploads.complete(ids[1], part_ids=parts[1])
        assert caught.value.code == "upload_expired"
        assert list_stored_files(running) == []
        made = running.sdk.uploads.create(
            bytes=len(CONTENT),
            filename="a/b.jsonl",
            mime_type="text/jsonl",
            purpose="fine-tune",
            expires_after={"anchor": "created_at", "seconds": 7200},
        )
        assert (made.filename, made.expires_at) == ("b.jsonl", made.created_at + 3600)
        clock.advance(100)
        part = send(running, made.id, CONTENT)
        file = running.sdk.uploads.complete(made.id, part_ids=part).file
        assert file is not None
        assert file.expires_at == made.created_at + 100 + 7200


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    settings = EngineSettings(
        tmp_path, worker_command=TABLE_WORKER, max_part_bytes=1000, max_multipart_bytes=2500
    )
    with run_engine(settings, schedules=False) as running:
        with pytest.raises(openai.BadRequestError) as caught:
            begin(running, 2501)
        assert caught.value.param == "bytes"
        upload_id = begin(running, 2500)
        for size in (1001, 200_000):
            with pytest.raises(openai.APIStatusError) as too_large:
                send(running, upload_id, b"x" * size)
            assert too_large.value.status_code == 413
        send(running, upload_id, b"x" * 1000, b"x" * 1000)
        with pytest.raises(openai.APIStatusError) as too_large:
            send(running, upload_id, b"x" * 1000)
        assert too_large.value.status_code == 413
        assert len(list(running.engine.paths.uploads.rglob("part-*"))) == 2


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"files": {"file": b"x"}}, None),
        ({"files": {"data": b""}}, "data"),
        ({"files": {"data": b"x"}, "data": {"more": "y"}}, "more"),
        ({"files": {"other": b"x"}}, None),
    ],
)
def test_bad_parts_are_refused_and_leave_nothing(
    idle: Running, form: dict[str, object], param: str | None
) -> None:
    upload_id = begin(idle)
    answer = idle.http.post(f"/v1/uploads/{upload_id}/parts", **form)  # type: ignore[arg-type]
    assert answer.status_code == 400, answer.text
    assert param in (None, answer.json()["error"]["param"])
    assert [path.name for path in list_stored_files(idle)] == [upload_id]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"bytes": 0}, "bytes"),
        ({"bytes": "10"}, "bytes"),
        ({"purpose": "assistants"}, "purpose"),
        ({"filename": ""}, "filename"),
        ({"expires_after": {"anchor": "created_at", "seconds": 1}}, "expires_after.seconds"),
        ({"more": 1}, "more"),
    ],
)
def test_bad_announcements_are_refused(
    idle: Running, change: dict[str, object], param: str
) -> None:
    body = {"bytes": 1, "filename": "a", "mime_type": "text/jsonl", "purpose": "fine-tune"}
    answer = idle.http.post("/v1/uploads", content=json.dumps(body | change))
    assert answer.status_code == 415
    answer = idle.http.post("/v1/uploads", json=body | change)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert list_stored_files(idle) == []


def test_a_starting_engine_sweeps_what_no_upload_needs(idle: Running) -> None:
    upload_id = begin(idle)
    (part,) = send(idle, upload_id, CONTENT)
    ended = begin(idle)
    send(idle, ended, CONTENT)
    idle.store.uploads.finish(ended, UploadStatus.CANCELLED)  # and the engine died right here
    (idle.engine.paths.incoming / "half").write_bytes(b"x")
    delete_stale_files(idle.store, idle.engine.paths)
    assert {path.name for path in list_stored_files(idle)} == {upload_id, part}
    assert idle.sdk.uploads.complete(upload_id, part_ids=[part]).status == "completed"


def place(running: Running, upload_id: str, start: int, piece: bytes, end: int = 0) -> str:
    """Send a part with its place in the file."""
    headers = {"x-part-range": f"{start}-{(end or start + len(piece)) - 1}"}
    return running.sdk.uploads.parts.create(upload_id, data=piece, extra_headers=headers).id


def files_of(running: Running, upload_id: str) -> list[str]:
    return sorted(path.name for path in running.engine.paths.upload(upload_id).iterdir())


def test_parts_that_tell_their_places_come_in_any_order_and_are_not_copied(idle: Running) -> None:
    upload_id = begin(idle, 9)
    last = place(idle, upload_id, 6, b"ghi")
    first, middle = place(idle, upload_id, 0, b"abc"), place(idle, upload_id, 3, b"def")
    assert files_of(idle, upload_id) == ["whole"]
    inode = (idle.engine.paths.upload(upload_id) / "whole").stat().st_ino
    digest = hashlib.md5(b"abcdefghi").hexdigest()
    upload = idle.sdk.uploads.complete(upload_id, part_ids=[first, middle, last], md5=digest)
    assert upload.file is not None
    assert idle.engine.paths.file(upload.file.id).stat().st_ino == inode
    assert idle.sdk.files.content(upload.file.id).read() == b"abcdefghi"
    assert list_stored_files(idle) == []


def test_a_placed_upload_with_another_sum_is_refused_and_can_be_put_right(idle: Running) -> None:
    upload_id = begin(idle, 6)
    parts = [place(idle, upload_id, 0, b"abc"), place(idle, upload_id, 3, b"def")]
    with pytest.raises(openai.BadRequestError) as caught:
        idle.sdk.uploads.complete(upload_id, part_ids=parts, md5="0" * 32)
    assert caught.value.code == "checksum_mismatch"
    digest = hashlib.md5(b"abcdef").hexdigest()
    assert idle.sdk.uploads.complete(upload_id, part_ids=parts, md5=digest).file


def test_placed_parts_that_are_asked_for_in_another_order_are_copied(idle: Running) -> None:
    upload_id = begin(idle, 6)
    first, last = place(idle, upload_id, 0, b"abc"), place(idle, upload_id, 3, b"def")
    digest = hashlib.md5(b"defabc").hexdigest()
    upload = idle.sdk.uploads.complete(upload_id, part_ids=[last, first], md5=digest)
    assert upload.file is not None
    assert idle.sdk.files.content(upload.file.id).read() == b"defabc"


def test_no_part_is_written_over_one_that_is_there(idle: Running) -> None:
    upload_id = begin(idle, 6)
    first = place(idle, upload_id, 0, b"abc")
    again = place(idle, upload_id, 0, b"xyz")  # its answer was lost, say; kept as a file of its own
    assert files_of(idle, upload_id) == sorted(["whole", again])
    last = place(idle, upload_id, 3, b"def")
    digest = hashlib.md5(b"abcdef").hexdigest()
    upload = idle.sdk.uploads.complete(upload_id, part_ids=[first, last], md5=digest)
    assert upload.file is not None
    assert idle.sdk.files.content(upload.file.id).read() == b"abcdef"


def test_placed_parts_and_others_become_one_file_together(idle: Running) -> None:
    upload_id = begin(idle, 9)
    first, last = place(idle, upload_id, 0, b"abc"), place(idle, upload_id, 6, b"ghi")
    (middle,) = send(idle, upload_id, b"def")
    digest = hashlib.md5(b"abcdefghi").hexdigest()
    upload = idle.sdk.uploads.complete(upload_id, part_ids=[first, middle, last], md5=digest)
    assert upload.file is not None
    assert idle.sdk.files.content(upload.file.id).read() == b"abcdefghi"


@pytest.mark.parametrize(("piece", "end"), [(b"abcd", 3), (b"ab", 3)], ids=["long", "short"])
def test_a_part_of_another_size_than_its_place_is_refused(
    idle: Running, piece: bytes, end: int
) -> None:
    upload_id = begin(idle, 6)
    with pytest.raises(openai.BadRequestError) as caught:
        place(idle, upload_id, 0, piece, end)
    assert (caught.value.code, caught.value.param) == ("size_mismatch", "x-part-range")
    parts = [place(idle, upload_id, 0, b"abc"), place(idle, upload_id, 3, b"def")]
    digest = hashlib.md5(b"abcdef").hexdigest()
    assert idle.sdk.uploads.complete(upload_id, part_ids=parts, md5=digest).file


@pytest.mark.parametrize("part_range", ["", "0-", "3-1", "0-99", "-1-2", "zero"])
def test_an_invalid_part_range_is_ignored(idle: Running, part_range: str) -> None:
    upload_id = begin(idle, 3)
    part = idle.sdk.uploads.parts.create(
        upload_id, data=b"abc", extra_headers={"x-part-range": part_range}
    ).id
    assert files_of(idle, upload_id) == [part]
    assert idle.sdk.uploads.complete(upload_id, part_ids=[part]).file


def test_what_a_killed_engine_has_begun_to_complete_can_be_completed_again(idle: Running) -> None:
    upload_id = begin(idle, 6)
    parts = [place(idle, upload_id, 0, b"abc"), place(idle, upload_id, 3, b"def")]
    paths = idle.engine.paths
    # As a kill leaves it between the file's second name and the record of the file.
    (paths.files / "file-nobody").hardlink_to(paths.upload(upload_id) / "whole")
    delete_stale_files(idle.engine.store, paths)
    idle.engine.upload_assembler.forget(upload_id)  # a new engine knows nothing of what was hashed
    assert not (paths.files / "file-nobody").exists()
    digest = hashlib.md5(b"abcdef").hexdigest()
    upload = idle.sdk.uploads.complete(upload_id, part_ids=parts, md5=digest)
    assert upload.file is not None
    assert idle.sdk.files.content(upload.file.id).read() == b"abcdef"


def test_a_cancelled_upload_takes_no_placed_part_either(idle: Running) -> None:
    upload_id = begin(idle, 6)
    place(idle, upload_id, 0, b"abc")
    idle.sdk.uploads.cancel(upload_id)
    with pytest.raises(openai.BadRequestError) as caught:
        place(idle, upload_id, 3, b"def")
    assert caught.value.code == "upload_cancelled"
    assert list_stored_files(idle) == []
