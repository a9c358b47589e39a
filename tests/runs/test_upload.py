"""Each content is uploaded once."""

from datetime import timedelta

import pytest

from ftops.errors import (
    InvalidResponse,
    NotFound,
    PermissionRefused,
    ProviderError,
    Rejected,
    RunError,
    Unreachable,
)
from ftops.records import MultipartUpload, RunStatus, Stage
from ftops.run_folder import RunFolder
from tests.runs.bench import TRAINING, Bench, write_rows


def test_remote_names_have_the_hash_and_the_role(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    prepared = bench.detail(run, Stage.PREPARE)
    names = [file.filename for file in bench.provider.list_files()][:2]
    expected = []
    for name, role in (("training", "train"), ("validation", "validation")):
        file = prepared[name]
        assert isinstance(file, dict)
        expected.append(f"ftops-{str(file['sha256'])[:16]}-{role}.jsonl")
    assert names == expected


def test_progress_counts_the_bytes_of_both_files(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    total = bench.detail(run, Stage.UPLOAD)["bytes"]
    steps = [step for step in bench.recorder.progress if step[0] == "upload"]
    assert steps[-1] == ("upload", total, total, "bytes")
    assert [done for _, done, _, _ in steps] == sorted(done for _, done, _, _ in steps)


def test_an_upload_of_another_ledger_is_found_by_name_and_size(bench: Bench) -> None:
    job = bench.write_job()
    run = bench.run(job)
    upload = bench.ledger.get_stage(run.id, Stage.UPLOAD)
    for name in ("training_file", "validation_file"):
        bench.ledger.forget_upload(str(upload.detail[name]))
    second = bench.run(job, new=True)
    assert bench.provider.count("upload_file") == 2
    assert bench.detail(second, Stage.UPLOAD)["sent_bytes"] == 0


@pytest.mark.parametrize(
    "error", [NotFound("no"), Rejected("no"), PermissionRefused("no"), InvalidResponse("no")]
)
def test_a_server_that_shows_no_single_file_is_asked_for_its_list(
    bench: Bench, error: ProviderError
) -> None:
    job = bench.write_job()
    run = bench.run(job)
    bench.provider.fail("get_file", error, error)
    second = bench.run(job, new=True)
    assert bench.provider.count("upload_file") == 2
    uploads = [bench.detail(done, Stage.UPLOAD)["training_file"] for done in (run, second)]
    assert uploads[0] == uploads[1]


def test_a_deleted_file_is_forgotten_and_uploaded_again(bench: Bench) -> None:
    job = bench.write_job()
    run = bench.run(job)
    deleted_id = str(bench.detail(run, Stage.UPLOAD)["training_file"])
    bench.provider.delete_file(deleted_id)
    second = bench.run(job, new=True)
    assert bench.provider.count("upload_file") == 3
    assert bench.detail(second, Stage.UPLOAD)["training_file"] != deleted_id


def test_an_upload_with_a_lost_response_is_found_and_its_call_is_closed(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.loses_response_of = {"upload_file"}
    with pytest.raises(Unreachable):
        bench.run(job)
    run = bench.run(job)
    assert bench.provider.count("upload_file") == 2
    calls = bench.ledger.list_calls(run.id)
    assert [call.state for call in calls if call.name == "upload_file"] == ["done", "done"]


def test_a_file_listed_late_is_awaited_before_it_is_uploaded_again(bench: Bench) -> None:
    job = bench.write_job(validation_file=None)
    bench.provider.file_lag_s = bench.provider.capabilities.file_listing_lag_s
    bench.provider.loses_response_of = {"upload_file"}
    with pytest.raises(Unreachable):
        bench.run(job)
    run = bench.run(job)
    assert run.status is RunStatus.SUCCEEDED
    assert bench.provider.count("upload_file") == 1


def test_an_upload_that_was_never_completed_is_not_awaited(bench: Bench) -> None:
    job = bench.write_job(validation_file=None)
    bench.provider.fail("upload_file", Unreachable("reset"))
    with pytest.raises(Unreachable):
        bench.run(job)
    (call,) = bench.ledger.list_open_calls("upload_file")
    hour = timedelta(hours=1)
    bench.ledger.begin_parts(call, MultipartUpload("upload-1", 40, bench.clock.now() + hour))
    started_s = bench.clock.monotonic_s()
    waits: list[float] = []
    bench.provider.before(
        "upload_file", lambda: waits.append(bench.clock.monotonic_s() - started_s)
    )
    bench.run(job)
    assert waits == [0.0]


def test_the_same_content_for_both_roles_is_uploaded_once(bench: Bench) -> None:
    job = bench.write_job()
    write_rows(bench.folder / "validation.jsonl", TRAINING)
    run = bench.run(job)
    assert bench.provider.count("upload_file") == 1
    detail = bench.detail(run, Stage.UPLOAD)
    assert detail["training_file"] == detail["validation_file"]
    assert "12 rows of validation.jsonl also in train.jsonl" in bench.recorder.notes[0]


def test_a_file_id_in_the_job_file_is_used_unchanged(bench: Bench) -> None:
    first = bench.run(bench.write_job())
    file_id = bench.detail(first, Stage.UPLOAD)["training_file"]
    run = bench.run(bench.write_job(training_file=file_id))
    assert run.id != first.id
    assert bench.detail(run, Stage.UPLOAD)["training_file"] == file_id
    assert bench.provider.count("upload_file") == 2


def test_an_unknown_file_id_fails_the_run(bench: Bench) -> None:
    with pytest.raises(NotFound, match="file-999"):
        bench.run(bench.write_job(training_file="file-999"))
    assert bench.ledger.list_runs()[0].status is RunStatus.FAILED
    assert bench.provider.count("create_job") == 0


def test_a_modified_prepared_file_is_not_uploaded(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.fail("upload_file", Unreachable("refused"))
    with pytest.raises(Unreachable):
        bench.run(job)
    run = bench.ledger.list_runs()[0]
    path = RunFolder.of(bench.home, run.id).path / "train.jsonl"
    path.write_text("something else\n")
    with pytest.raises(RunError, match="is not the file that was prepared"):
        bench.run(job)
    path.unlink()
    assert bench.run(job).status is RunStatus.SUCCEEDED
