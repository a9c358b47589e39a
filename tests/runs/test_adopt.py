"""A job that was created elsewhere becomes a run; nothing is created or sent for it."""

from dataclasses import replace

import pytest

from ftops.errors import (
    FtopsError,
    JobCancelled,
    JobFailed,
    NotFound,
    Rejected,
    RunError,
    Unavailable,
)
from ftops.records import Job, JobRequest, ProviderSettings, Run, RunStatus, Stage
from ftops.runs.adopt import adopt_job
from ftops.runs.open_run import drive, open_run
from ftops.spec.job_file import LoadedJob, load_job
from tests.runs.bench import Bench, write_rows

FAKE = ProviderSettings(type="fake")


def create_elsewhere(bench: Bench) -> Job:
    """A job that was created without ftops."""
    path = bench.folder / "by-hand.jsonl"
    write_rows(path, [("question\n\n", " 1"), ("other\n\n", " 2")])
    file = bench.provider.upload_file(
        path, filename="by-hand.jsonl", on_bytes=lambda _sent, _total: None
    )
    return bench.provider.create_job(JobRequest("ada", file.id, validation_file=file.id))


def adopt(bench: Bench, job_id: str, job_file: LoadedJob | None = None) -> Run:
    return adopt_job(
        job_id, bench.context, FAKE, lambda path: load_job(path, environ={}), job_file=job_file
    )


def test_a_running_job_is_followed_to_its_results(bench: Bench) -> None:
    job = create_elsewhere(bench)
    run = drive(adopt(bench, job.id), bench.context)
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, job.id)
    assert run.fine_tuned_model is not None
    assert bench.statuses(run) == [
        "succeeded",
        "skipped",
        "succeeded",
        "succeeded",
        "succeeded",
        "skipped",
    ]
    assert len(bench.recorder.events) == 4
    assert (bench.provider.count("create_job"), bench.provider.count("upload_file")) == (1, 1)


@pytest.mark.parametrize("is_failed", [False, True], ids=["in doubt", "refused"])
def test_a_job_requested_by_a_known_run_becomes_the_job_of_that_run(
    bench: Bench, is_failed: bool
) -> None:
    error = Rejected("no", status=400) if is_failed else Unavailable("no", status=503)
    bench.provider.errors_after["create_job"] = [error]
    bench.provider.before(
        "create_job", lambda: bench.provider.fail("find_job", Unavailable("no", status=503))
    )
    job_file = bench.write_job()
    with pytest.raises(FtopsError):
        bench.run(job_file)
    (mine,) = bench.ledger.list_runs()
    assert mine.status is (RunStatus.FAILED if is_failed else RunStatus.RUNNING)
    run = drive(adopt(bench, "ftjob-1"), bench.context)
    assert (run.id, run.status, run.job_id) == (mine.id, RunStatus.SUCCEEDED, "ftjob-1")
    assert bench.run(job_file, retry=True).job_id == "ftjob-1"
    assert bench.provider.count("create_job") == 1


def test_the_results_of_an_ended_job_are_fetched(bench: Bench) -> None:
    job = create_elsewhere(bench)
    while not bench.provider.get_job(job.id).ended:
        pass
    bench.clock.advance(30 * 86_400)
    assert drive(adopt(bench, job.id), bench.context).status is RunStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("ending", "error", "status"),
    [
        ("failed", JobFailed, RunStatus.FAILED),
        ("cancelled", JobCancelled, RunStatus.CANCELLED),
    ],
)
def test_a_failed_or_cancelled_job_is_recorded_with_its_status(
    bench: Bench, ending: str, error: type[JobFailed], status: RunStatus
) -> None:
    bench.provider.statuses = ("queued", ending)
    run = adopt(bench, create_elsewhere(bench).id)
    with pytest.raises(error):
        drive(run, bench.context)
    assert bench.ledger.get_run(run.id).status is status


def test_an_adopted_job_with_a_job_file_is_evaluated_and_found_by_the_file(bench: Bench) -> None:
    job = create_elsewhere(bench)
    run = drive(adopt(bench, job.id, bench.write_job()), bench.context)
    assert bench.detail(run, Stage.EVALUATE)["rows"] == 3
    assert bench.run(bench.write_job()).id == run.id
    assert (bench.provider.count("create_job"), bench.provider.count("upload_file")) == (1, 1)


def test_adopting_the_job_of_a_run_is_an_error_with_the_run(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    with pytest.raises(RunError, match=f"it is a job of {run.id}") as caught:
        adopt(bench, "ftjob-1")
    assert f"ftops follow {run.id}" in caught.value.hint


def test_a_job_file_with_another_model_or_its_own_run_is_refused(bench: Bench) -> None:
    job = create_elsewhere(bench)
    with pytest.raises(RunError, match="trains ada"):
        adopt(bench, job.id, bench.write_job(model="babbage"))
    known = open_run(bench.write_job(), bench.context)
    with pytest.raises(RunError, match=known.id):
        adopt(bench, job.id, bench.write_job())


def test_an_unknown_job_creates_nothing(bench: Bench) -> None:
    with pytest.raises(NotFound):
        adopt(bench, "ftjob-99")
    assert bench.ledger.list_runs() == []


def test_an_interrupted_adoption_continues_and_creates_nothing(bench: Bench) -> None:
    job = create_elsewhere(bench)
    whole = adopt(bench, job.id)
    # As if the command was killed right after it recorded the run.
    bench.ledger.add_run(replace(whole, id=type(whole.id)("run-half")), if_absent=False)
    half = drive(bench.ledger.get_run("run-half"), bench.context)
    assert half.status is RunStatus.SUCCEEDED
    assert (bench.provider.count("create_job"), bench.provider.count("upload_file")) == (1, 1)
