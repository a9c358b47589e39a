"""A run from its job file to its end, and running the same file second."""

import json
from dataclasses import replace

import orjson
import pytest

from ftops.errors import DatasetError, JobCancelled, JobFailed, RunError, Unreachable
from ftops.records import JobError, RowFormat, RunStatus, Stage
from ftops.run_folder import RunFolder
from ftops.runs.open_run import drive, load_evaluation, load_results, open_run
from ftops.spec.job_file import load_job
from tests.runs.bench import Bench, get_primary_value, write_job, write_rows

DONE = ["succeeded"] * 6


def test_a_job_file_goes_through_all_six_stages(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    assert (run.status, run.job_id, run.fine_tuned_model) == (
        RunStatus.SUCCEEDED,
        "ftjob-1",
        "ft:ada:acme::ftjob-1",
    )
    assert bench.statuses(run) == DONE
    assert bench.recorder.steps == [
        "opened new",
        "prepare begins 1",
        "prepare succeeded",
        "upload begins 1",
        "upload succeeded",
        "create begins 1",
        "create succeeded",
        "follow begins 1",
        "job queued",
        "job running",
        "job paused",
        "job running",
        "job succeeded",
        "follow succeeded",
        "results begins 1",
        "results succeeded",
        "evaluate begins 1",
        "evaluate succeeded",
    ]
    assert bench.recorder.events == [f"Step {number}/4" for number in range(1, 5)]


def test_only_the_owner_can_read_the_files_of_a_run(bench: Bench) -> None:
    job = bench.write_job()
    run = bench.run(job)
    folder = RunFolder.of(bench.home, run.id).path
    names = {"job.yaml", "train.jsonl", "train.extract.json", "validation.jsonl"}
    names |= {"results.csv", "evaluation.json"}
    assert names | {"predictions", "lock"} == {path.name for path in folder.iterdir()}
    assert (folder / "job.yaml").read_text() == job.text
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_results_and_evaluation_of_a_finished_run_can_be_read(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    assert [row.step for row in load_results(run, bench.home)] == [1, 2, 3, 4]
    evaluation = load_evaluation(run, bench.home)
    assert evaluation is not None
    # Two of the three rows are training rows; the fake completes the third with the most frequent.
    assert (evaluation.rows, get_primary_value(evaluation)) == (3, 2 / 3)
    assert bench.detail(run, Stage.EVALUATE)["value"] == get_primary_value(evaluation)
    folder = RunFolder.of(bench.home, run.id).path / "predictions"
    names = ["majority.jsonl", "naive-bayes.jsonl", "nearest-neighbour.jsonl", "tuned.jsonl"]
    assert sorted(path.name for path in folder.iterdir()) == names
    lines = (folder / "tuned.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line)["correct"] for line in lines] == [True, True, False]


def test_running_the_same_job_file_again_repeats_nothing_and_shows_every_stage(
    bench: Bench,
) -> None:
    job = bench.write_job()
    first = bench.run(job)
    requests = len(bench.provider.completion_requests)
    second = bench.run(job)
    assert second == first
    assert bench.recorder.steps == [
        "opened again",
        *(f"{stage} succeeded" for stage in Stage if stage is not Stage.DEPLOY),
    ]
    assert bench.recorder.events == []
    counts = [bench.provider.count(name) for name in ("upload_file", "create_job")]
    assert (counts, len(bench.provider.completion_requests)) == ([2, 1], requests)


def test_a_forced_second_run_uses_the_uploads_of_the_first(bench: Bench) -> None:
    job = bench.write_job()
    first = bench.run(job)
    second = bench.run(job, new=True)
    assert second.id != first.id
    assert bench.provider.count("create_job") == 2
    assert bench.provider.count("upload_file") == 2
    assert bench.detail(second, Stage.UPLOAD)["sent_bytes"] == 0


def test_a_moved_job_folder_finds_its_finished_run(bench: Bench) -> None:
    before = bench.folder / "before"
    before.mkdir()
    run = bench.run(write_job(before))
    before.rename(bench.folder / "after")
    moved = load_job(bench.folder / "after" / "job.yaml", environ={})
    second = bench.run(moved)
    assert (second.id, second.status, second.job_file) == (run.id, run.status, str(moved.path))
    assert (bench.provider.count("upload_file"), bench.provider.count("create_job")) == (2, 1)
    assert "prepare begins 1" not in bench.recorder.steps


def test_a_job_folder_moved_during_a_run_continues_the_run(bench: Bench) -> None:
    before = bench.folder / "before"
    before.mkdir()
    run = drive(open_run(write_job(before), bench.context), bench.context, detach=True)
    before.rename(bench.folder / "after")
    second = bench.run(load_job(bench.folder / "after" / "job.yaml", environ={}))
    assert (second.id, second.status) == (run.id, RunStatus.SUCCEEDED)
    assert bench.provider.count("create_job") == 1


def test_changed_data_creates_another_run(bench: Bench) -> None:
    first = bench.run(bench.write_job())
    job = bench.write_job()
    write_rows(bench.folder / "train.jsonl", [("a\n\n", " 1"), ("b\n\n", " 2")])
    assert bench.run(job).id != first.id


def test_changed_limits_keep_the_run(bench: Bench) -> None:
    first = bench.run(bench.write_job())
    second = bench.run(bench.write_job(limits={"max_wait": "1h"}))
    assert second.id == first.id
    assert second.spec["limits"] != first.spec["limits"]


def test_a_changed_evaluate_section_evaluates_again_and_nothing_else(bench: Bench) -> None:
    first = bench.run(bench.write_job())
    second = bench.run(bench.write_job(evaluate={"max_rows": 1}))
    assert second.id == first.id
    started = [text for text in bench.recorder.steps if "begins" in text]
    assert started == ["evaluate begins 2"]
    assert bench.detail(second, Stage.EVALUATE)["rows"] == 1
    assert second.status is RunStatus.SUCCEEDED


def test_a_detached_command_returns_once_the_job_is_created(bench: Bench) -> None:
    run = drive(open_run(bench.write_job(), bench.context), bench.context, detach=True)
    assert (run.status, run.job_id) == (RunStatus.RUNNING, "ftjob-1")
    assert bench.statuses(run) == ["succeeded"] * 3 + ["pending"] * 3
    bench.run(bench.write_job())
    assert bench.statuses(run) == DONE
    assert bench.provider.count("create_job") == 1


def test_a_failed_job_fails_the_run_with_the_error_of_the_provider(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.statuses = ("queued", "running", "failed")
    bench.provider.job_error = JobError("exceeded_quota", "You ran out of money.")
    with pytest.raises(JobFailed, match=r"exceeded_quota: You ran out of money\.") as caught:
        bench.run(job)
    assert "--retry" in caught.value.hint
    run = bench.ledger.list_runs()[0]
    assert run.status is RunStatus.FAILED
    assert run.error == "ftjob-1 failed: exceeded_quota: You ran out of money."
    assert bench.recorder.steps[-1] == "follow failed"


def test_a_failed_run_needs_retry_and_then_creates_one_job(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.statuses = ("queued", "failed")
    bench.provider.job_error = JobError("server_error", "Try again.")
    with pytest.raises(JobFailed):
        bench.run(job)
    with pytest.raises(RunError, match=r"failed: ftjob-1 failed: server_error") as refused:
        bench.run(job)
    assert "--retry" in refused.value.hint
    bench.provider.statuses = ("queued", "succeeded")
    run = bench.run(job, retry=True)
    assert (run.status, run.job_id) == (RunStatus.SUCCEEDED, "ftjob-2")
    assert bench.provider.count("upload_file") == 2
    attempts = {record.stage: record.attempts for record in bench.ledger.list_stages(run.id)}
    assert (attempts[Stage.PREPARE], attempts[Stage.CREATE], attempts[Stage.FOLLOW]) == (1, 2, 2)
    run_ids = [created.metadata["ftops_run"] for created in bench.provider.jobs()]
    assert run_ids == [run.id, f"{run.id}.2"]


def test_following_a_failed_run_raises_its_error(bench: Bench) -> None:
    bench.provider.statuses = ("queued", "failed")
    with pytest.raises(JobFailed):
        bench.run(bench.write_job())
    run = bench.ledger.list_runs()[0]
    with pytest.raises(JobFailed, match="the provider gives no reason"):
        drive(run, bench.context)


def test_a_job_cancelled_elsewhere_cancels_the_run(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.statuses = ("queued", "running", "cancelled")
    with pytest.raises(JobCancelled, match="ftjob-1 was cancelled"):
        bench.run(job)
    assert bench.ledger.list_runs()[0].status is RunStatus.CANCELLED
    with pytest.raises(RunError, match="cancelled"):
        bench.run(job)
    bench.provider.statuses = ("queued", "succeeded")
    assert bench.run(job, retry=True).status is RunStatus.SUCCEEDED


def test_a_temporarily_failed_stage_is_completed_by_the_same_command(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.fail("upload_file", Unreachable("connection refused"))
    with pytest.raises(Unreachable):
        bench.run(job)
    run = bench.ledger.list_runs()[0]
    assert run.status is RunStatus.RUNNING
    assert bench.statuses(run)[:3] == ["succeeded", "failed", "pending"]
    assert bench.run(job).status is RunStatus.SUCCEEDED


def test_after_ctrl_c_the_next_command_continues(bench: Bench) -> None:
    job = bench.write_job()

    def interrupt() -> None:
        if bench.recorder.events:
            raise KeyboardInterrupt

    bench.provider.before("get_job", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.run(job)
    first = list(bench.recorder.events)
    bench.provider.before("get_job", lambda: None)
    run = bench.run(job)
    assert run.status is RunStatus.SUCCEEDED
    assert first + bench.recorder.events == [f"Step {number}/4" for number in range(1, 5)]
    assert bench.provider.count("create_job") == 1


def test_chat_models_get_chat_rows_from_completion_data(bench: Bench) -> None:
    bench.provider.format = RowFormat.CHAT
    run = bench.run(bench.write_job(prepare={"separator": "\n\n", "system": "Answer shortly."}))
    line = (RunFolder.of(bench.home, run.id).path / "train.jsonl").read_bytes().splitlines()[1]
    assert orjson.loads(line) == {
        "messages": [
            {"role": "system", "content": "Answer shortly."},
            {"role": "user", "content": "question 1"},
            {"role": "assistant", "content": "2"},
        ]
    }
    evaluation = load_evaluation(run, bench.home)
    assert evaluation is not None
    assert get_primary_value(evaluation) == 2 / 3
    model = bench.ledger.list_models()[0]
    assert (model.row_format, model.separator, model.stop) == (RowFormat.CHAT, "", None)


def test_a_provider_that_accepts_both_formats_gets_chat_rows_unchanged(bench: Bench) -> None:
    bench.provider.capabilities = replace(bench.provider.capabilities, any_row_format=True)
    job = bench.write_job(validation_file=None)
    turns = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello."}]
    line = json.dumps({"messages": turns})
    (bench.folder / "train.jsonl").write_text(f"{line}\n{line}\n")
    run = bench.run(job)
    sent = (RunFolder.of(bench.home, run.id).path / "train.jsonl").read_bytes().splitlines()
    assert orjson.loads(sent[0]) == {"messages": turns}
    assert bench.ledger.list_models()[0].row_format is RowFormat.CHAT


def test_the_retry_command_of_a_failed_run_has_its_set_options(bench: Bench) -> None:
    path = bench.write_job().path
    job = load_job(path, environ={}, overrides=["name=another"])
    bench.provider.statuses = ("failed",)
    with pytest.raises(JobFailed) as caught:
        bench.run(job)
    assert f"`ftops run {path} --set name=another --retry`" in caught.value.hint


def test_the_model_is_recorded_with_separator_and_stop(bench: Bench) -> None:
    prepare = {"separator": "\n\n###\n\n", "stop": " END"}
    run = bench.run(bench.write_job(prepare=prepare))
    model = bench.ledger.find_model("ft:ada:acme::ftjob-1")
    assert model is not None
    assert (model.separator, model.stop, model.run_id) == ("\n\n###\n\n", " END", run.id)
    assert (model.base, model.job_id) == ("ada", "ftjob-1")


def test_a_missing_data_file_records_no_run(bench: Bench) -> None:
    job = bench.write_job()
    (bench.folder / "train.jsonl").unlink()
    with pytest.raises(DatasetError, match=r"train\.jsonl"):
        bench.run(job)
    assert bench.ledger.list_runs() == []


def test_data_changed_after_the_run_was_recorded_is_not_sent(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.fail("upload_file", Unreachable("connection refused"))
    with pytest.raises(Unreachable):
        bench.run(job)
    run = bench.ledger.list_runs()[0]
    write_rows(bench.folder / "train.jsonl", [("a\n\n", " 1"), ("b\n\n", " 2")])
    (RunFolder.of(bench.home, run.id).path / "train.jsonl").unlink()
    with pytest.raises(DatasetError, match="has changed since run-"):
        drive(run, bench.context)
    assert bench.provider.count("upload_file") == 0


def test_deleted_prepared_files_are_prepared_again(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.fail("upload_file", Unreachable("connection refused"))
    with pytest.raises(Unreachable):
        bench.run(job)
    run = bench.ledger.list_runs()[0]
    (RunFolder.of(bench.home, run.id).path / "train.jsonl").unlink()
    assert bench.run(job).status is RunStatus.SUCCEEDED
    assert "prepare begins 2" in bench.recorder.steps
