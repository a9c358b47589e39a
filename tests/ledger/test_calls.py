"""Remote effects, uploads and models in the ledger."""

import dataclasses
from datetime import timedelta

import pytest

from ftops.errors import LedgerError
from ftops.ledger.ledger import Ledger
from ftops.ledger.records import Upload
from ftops.records import MultipartUpload, Run, RunId, Stage
from tests.fakes import FakeClock
from tests.ledger.rows import START, make_model, make_run


def make_upload(run: Run, file_id: str = "file-1", account: str = "openai:acme") -> Upload:
    return Upload(account, file_id, "a" * 64, "ftops-aaaa-train.jsonl", 42, run.id, START)


def test_an_intent_stays_open_until_its_result_is_recorded(
    ledger: Ledger, clock: FakeClock
) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    call = ledger.record_intent(run.id, Stage.CREATE, "create_job", {"model": "ada"})
    assert (call.state, call.remote_id, call.ended_at) == ("intent", None, None)
    assert dict(call.request) == {"model": "ada"}
    assert ledger.find_open_call(run.id, "create_job") == call
    clock.advance(3)
    ledger.record_job(call, "ftjob-1")
    (done,) = ledger.list_calls(run.id)
    assert (done.state, done.remote_id, done.ended_at) == ("done", "ftjob-1", clock.now())
    assert ledger.find_open_call(run.id, "create_job") is None
    assert ledger.get_run(run.id).job_id == "ftjob-1"
    assert ledger.is_job_known("ftjob-1")
    assert not ledger.is_job_known("ftjob-2")


def test_a_failed_call_is_closed_with_its_reason(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    call = ledger.record_intent(run.id, Stage.CREATE, "create_job", {})
    ledger.record_failed(call, "no such model")
    (failed,) = ledger.list_calls(run.id)
    assert (failed.state, failed.error, failed.remote_id) == ("failed", "no such model", None)


def test_a_call_has_one_result(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    call = ledger.record_intent(run.id, Stage.FOLLOW, "cancel_job", {})
    ledger.record_done(call, "ftjob-1")
    with pytest.raises(LedgerError, match="answered already"):
        ledger.record_failed(call, "late")
    assert ledger.list_calls(run.id)[0].state == "done"


def test_a_call_of_an_unknown_run_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="FOREIGN KEY"):
        ledger.record_intent(RunId("run-x"), Stage.CREATE, "create_job", {})


def test_an_upload_is_found_by_account_and_content_until_it_is_forgotten(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    call = ledger.record_intent(run.id, Stage.UPLOAD, "upload_file", {})
    upload = make_upload(run)
    ledger.record_upload(call, upload)
    assert ledger.find_upload("openai:acme", "a" * 64) == upload
    assert ledger.find_upload("openai:other", "a" * 64) is None
    assert ledger.find_upload("openai:acme", "b" * 64) is None
    ledger.forget_upload("file-1")
    ledger.forget_upload("file-never-known")
    assert ledger.find_upload("openai:acme", "a" * 64) is None


def test_the_newest_upload_of_the_same_content_is_found(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    later = dataclasses.replace(
        make_upload(run, "file-0"), created_at=START + timedelta(microseconds=1)
    )
    ledger.add_upload(make_upload(run, "file-1"))
    ledger.add_upload(later)
    ledger.add_upload(later)  # a second time changes nothing
    assert ledger.find_upload("openai:acme", "a" * 64) == later


def test_deleted_models_are_listed(ledger: Ledger, clock: FakeClock) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    model = make_model("ft:ada:acme::1", run)
    later = dataclasses.replace(
        make_model("ft:ada:acme::2", run), created_at=START + timedelta(hours=1)
    )
    ledger.add_model(model)
    ledger.add_model(later)
    ledger.mark_model_deleted("ft:ada:acme::1")
    ledger.mark_model_deleted("ft:never:known")
    deleted = dataclasses.replace(model, deleted_at=clock.now())
    assert ledger.list_models() == [later, deleted]
    assert ledger.find_model("ft:ada:acme::1") == deleted
    assert ledger.find_model("ada") is None
    assert ledger.get_run(run.id).fine_tuned_model == "ft:ada:acme::2"


def test_a_multipart_upload_is_known_until_its_call_has_a_result(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    call, other = (
        ledger.record_intent(run.id, Stage.UPLOAD, "upload_file", {"n": n}) for n in range(2)
    )
    assert ledger.find_parts(call) is None
    started = MultipartUpload("upload-1", 64, START + timedelta(hours=1))
    ledger.begin_parts(call, started)
    assert ledger.find_parts(call) == started
    ledger.add_part(call, 2, "part-c")
    ledger.add_part(call, 0, "part-a")
    ledger.mark_completing(call)
    assert ledger.find_parts(call) == dataclasses.replace(
        started, parts={0: "part-a", 2: "part-c"}, completing=True
    )
    assert ledger.find_parts(other) is None
    ledger.record_upload(call, make_upload(run))
    assert ledger.find_parts(call) is None


def test_an_upload_that_starts_again_forgets_its_first_parts(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    call = ledger.record_intent(run.id, Stage.UPLOAD, "upload_file", {})
    ledger.begin_parts(call, MultipartUpload("upload-1", 64, START))
    ledger.add_part(call, 0, "part-a")
    ledger.mark_completing(call)
    second = MultipartUpload("upload-2", 32, START + timedelta(hours=1))
    ledger.begin_parts(call, second)
    assert ledger.find_parts(call) == second


def test_parts_of_an_upload_that_never_started_are_refused(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    call = ledger.record_intent(run.id, Stage.UPLOAD, "upload_file", {})
    with pytest.raises(LedgerError):
        ledger.add_part(call, 0, "part-a")
    with pytest.raises(LedgerError, match="has begun no upload"):
        ledger.mark_completing(call)
