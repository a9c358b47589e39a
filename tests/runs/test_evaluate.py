"""The evaluate stage: which rows are sent to the model, and how."""

import pytest

from ftops.errors import NotFound, Unreachable
from ftops.records import RunStatus, Stage, StageStatus
from ftops.runs.open_run import load_evaluation
from tests.runs.bench import TRAINING, Bench, get_primary_value, write_rows


def test_without_a_file_to_evaluate_on_the_stage_is_skipped_with_its_reason(bench: Bench) -> None:
    run = bench.run(bench.write_job(validation_file=None))
    assert run.status is RunStatus.SUCCEEDED
    assert bench.statuses(run)[5] == StageStatus.SKIPPED
    assert bench.detail(run, Stage.EVALUATE)["reason"] == "no validation_file and no evaluate.file"
    assert load_evaluation(run, bench.home) is None
    assert bench.provider.completion_requests == []


def test_a_validation_file_at_the_provider_cannot_be_evaluated_on(bench: Bench) -> None:
    first = bench.run(bench.write_job())
    file_id = bench.detail(first, Stage.UPLOAD)["validation_file"]
    run = bench.run(bench.write_job(validation_file=file_id))
    assert "evaluate.file" in str(bench.detail(run, Stage.EVALUATE)["reason"])


def test_an_evaluation_file_is_prepared_like_the_others(bench: Bench) -> None:
    job = bench.write_job(
        evaluate={"file": "exam.jsonl", "overlap": "allow"},
        prepare={"separator": " ->", "stop": "\n"},
    )
    write_rows(
        bench.folder / "exam.jsonl", [(prompt, completion) for prompt, completion in TRAINING]
    )
    run = bench.run(job)
    evaluation = load_evaluation(run, bench.home)
    assert evaluation is not None
    # The fake completes only exact training prompts, including separators.
    assert (evaluation.rows, get_primary_value(evaluation)) == (12, 1.0)
    assert bench.detail(run, Stage.EVALUATE)["file"] == "exam.jsonl"


def test_prompts_are_sent_with_temperature_zero_a_stop_and_enough_max_tokens(bench: Bench) -> None:
    job = bench.write_job(prepare={"stop": " END"})
    write_rows(bench.folder / "validation.jsonl", [("q\n\n", " drei Brötchen, süß")])
    bench.run(job)
    (_, sampling), *_ = bench.provider.completion_requests
    assert (sampling.temperature, sampling.stop) == (0.0, (" END",))
    assert sampling.max_tokens >= len(" drei Brötchen, süß END".encode())


def test_the_job_file_can_set_max_tokens_and_max_rows(bench: Bench) -> None:
    job = bench.write_job(evaluate={"max_tokens": 7, "max_rows": 2})
    run = bench.run(job)
    (_, sampling), *_ = bench.provider.completion_requests
    assert sampling.max_tokens == 7
    assert bench.detail(run, Stage.EVALUATE)["rows"] == 2


def test_many_rows_are_sent_once_each_with_progress(bench: Bench) -> None:
    job = bench.write_job()
    write_rows(bench.folder / "validation.jsonl", [(f"q {n}\n\n", " 1") for n in range(45)])
    bench.run(job)
    assert len(bench.provider.completion_requests) == 45
    steps = [step[1] for step in bench.recorder.progress if step[0] == "evaluate"]
    assert (steps[0], steps[-1], steps) == (0, 45, sorted(steps))


def test_a_loading_model_is_awaited(bench: Bench) -> None:
    bench.provider.loading_lag = 5
    run = bench.run(bench.write_job())
    assert run.status is RunStatus.SUCCEEDED
    assert sum("not being served yet" in note for note in bench.recorder.notes) == 1


def test_a_model_that_never_responds_leaves_the_run_open_for_the_next_command(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.loading_lag = 1000
    with pytest.raises(NotFound):
        bench.run(job)
    run = bench.ledger.list_runs()[0]
    assert (run.status, bench.statuses(run)[5]) == (RunStatus.RUNNING, "failed")
    assert 180 < bench.clock.monotonic_s() < 900
    bench.provider.loading_lag = 0
    assert bench.run(job).status is RunStatus.SUCCEEDED
    assert [text for text in bench.recorder.steps if "begins" in text] == ["evaluate begins 2"]


def test_an_interrupted_evaluation_leaves_no_partial_result(bench: Bench) -> None:
    job = bench.write_job()
    bench.provider.fail("complete", Unreachable("gone"))
    with pytest.raises(Unreachable):
        bench.run(job)
    run = bench.ledger.list_runs()[0]
    assert load_evaluation(run, bench.home) is None
