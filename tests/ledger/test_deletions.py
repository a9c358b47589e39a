"""Deletion of files: which runs need them, also runs that start in between."""

from datetime import timedelta

import pytest

from ftops.errors import RunBusy
from ftops.ledger.ledger import Ledger
from ftops.ledger.records import Upload
from ftops.records import Run, RunStatus, Stage, StageStatus
from tests.fakes import FakeClock
from tests.ledger.rows import make_run

CLOCK = FakeClock()
LATER = CLOCK.now() + timedelta(hours=1)


def add_run(ledger: Ledger, number: int, *, ended: bool = True, **spec: object) -> Run:
    run = ledger.add_run(make_run(number, key=f"key-{number}"), if_absent=False)
    if spec:
        run = ledger.update_spec(run.id, {**run.spec, **spec}, job_file="/job.yaml")  # type: ignore[dict-item]
    run = ledger.move_run(run, RunStatus.RUNNING)
    return ledger.move_run(run, RunStatus.SUCCEEDED) if ended else run


def add_upload(ledger: Ledger, run: Run, file_id: str = "file-1") -> Upload:
    upload = Upload("acme", file_id, "a" * 64, "train.jsonl", 42, run.id, CLOCK.now())
    call = ledger.record_intent(run.id, Stage.UPLOAD, "upload_file", {"sha256": upload.sha256})
    ledger.record_upload(call, upload)
    return upload


def record_detail(ledger: Ledger, run: Run, stage: Stage, detail: dict[str, object]) -> None:
    running = ledger.move_stage(run.id, ledger.get_stage(run.id, stage), StageStatus.RUNNING)
    ledger.move_stage(run.id, running, StageStatus.SUCCEEDED, detail=detail)  # type: ignore[arg-type]


def test_a_run_needs_its_uploads_and_the_files_of_its_stages_and_job_file(
    ledger: Ledger,
) -> None:
    uploader, user, file_id_run = (add_run(ledger, n) for n in range(3))
    file_id_run = ledger.update_spec(
        file_id_run.id, {"training_file": "file-9"}, job_file="/job.yaml"
    )
    add_upload(ledger, uploader)
    record_detail(ledger, user, Stage.UPLOAD, {"training_file": "file-1", "validation_file": None})
    record_detail(ledger, user, Stage.PREPARE, {"training": {"sha256": "b" * 64}})
    needs = set(ledger.list_needs())
    assert {(uploader.id, "file-1"), (uploader.id, "a" * 64)} <= needs
    assert {(user.id, "file-1"), (user.id, "b" * 64)} <= needs
    assert (file_id_run.id, "file-9") in needs


def test_a_pruned_run_needs_nothing_until_it_is_reopened(ledger: Ledger) -> None:
    run = add_run(ledger, 0)
    add_upload(ledger, run)
    ledger.mark_pruned(run)
    assert ledger.list_needs() == []
    pruned = ledger.get_run(run.id)
    assert pruned.pruned_at is not None
    reopened = ledger.reopen_run(pruned, ())
    assert reopened.pruned_at is None
    assert (run.id, "file-1") in ledger.list_needs()


def test_a_file_is_no_upload_once_its_deletion_starts(ledger: Ledger) -> None:
    run = add_run(ledger, 0)
    upload = add_upload(ledger, run)
    assert not ledger.is_deletion_begun("file-1")
    call = ledger.begin_file_deletion(run.id, upload, since=LATER)
    assert call is not None
    assert (call.name, call.state, call.request["id"]) == ("delete_file", "intent", "file-1")
    assert ledger.find_upload("acme", upload.sha256) is None
    assert ledger.is_deletion_begun("file-1")
    ledger.record_done(call, "file-1")
    assert ledger.is_deletion_begun("file-1")


def test_a_refused_deletion_counts_as_never_started(ledger: Ledger) -> None:
    run = add_run(ledger, 0)
    upload = add_upload(ledger, run)
    call = ledger.begin_file_deletion(run.id, upload, since=LATER)
    assert call is not None
    ledger.record_failed(call, "no")
    ledger.add_upload(upload)
    assert not ledger.is_deletion_begun("file-1")
    assert ledger.find_upload("acme", upload.sha256) == upload


@pytest.mark.parametrize("ended", [True, False])
def test_a_file_that_another_run_needs_by_now_is_not_deleted(ledger: Ledger, ended: bool) -> None:
    old = add_run(ledger, 0)
    upload = add_upload(ledger, old)
    new = add_run(ledger, 1, ended=ended)
    record_detail(ledger, new, Stage.PREPARE, {"training": {"sha256": upload.sha256}})
    since = CLOCK.now() if ended else LATER  # the ended run changed since, the other has not ended
    assert ledger.begin_file_deletion(old.id, upload, since=since) is None
    assert ledger.find_upload("acme", upload.sha256) == upload
    assert not ledger.is_deletion_begun("file-1")


def test_a_reopened_run_cannot_be_marked_as_pruned(ledger: Ledger) -> None:
    run = add_run(ledger, 0)
    ledger.reopen_run(run, ())
    with pytest.raises(RunBusy, match="opened again"):
        ledger.mark_pruned(run)
    assert ledger.get_run(run.id).pruned_at is None
