"""Results files: late, missing, unreadable; and what is stored of them."""

import base64

import pytest

from ftops.errors import (
    InvalidResponse,
    NotFound,
    PermissionRefused,
    ProviderError,
    Rejected,
    Unavailable,
    Unreachable,
)
from ftops.records import Checkpoint, Job, RunStatus, Stage, StageStatus
from ftops.run_folder import RunFolder
from ftops.runs.open_run import load_results, load_training
from ftops.stage_results import TrainingSummary
from tests.runs.bench import Bench
from tests.runs.fake_provider import FakeProvider


def test_the_last_value_of_each_column_is_stored_with_the_stage(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    result = TrainingSummary.from_json(bench.detail(run, Stage.RESULTS))
    assert (result.rows, result.step) == (4, 4)
    assert (result.metrics["train_loss"], result.metrics["valid_loss"]) == (0.25, 1.0)


def test_a_late_results_file_is_awaited(bench: Bench) -> None:
    bench.provider.results_lag = 3
    run = bench.run(bench.write_job())
    assert bench.statuses(run)[4] == StageStatus.SUCCEEDED
    assert len(load_results(run, bench.home)) == 4


def test_a_job_without_a_results_file_skips_the_stage_with_a_note(bench: Bench) -> None:
    bench.provider.results_lag = 1000
    run = bench.run(bench.write_job())
    assert run.status is RunStatus.SUCCEEDED
    assert bench.statuses(run)[4] == StageStatus.SKIPPED
    assert bench.detail(run, Stage.RESULTS)["reason"] == bench.recorder.notes[-1]
    assert load_results(run, bench.home) == []
    assert bench.clock.monotonic_s() < 300


def test_metrics_of_a_provider_without_results_files_are_the_results(bench: Bench) -> None:
    bench.provider.results_lag = 1000
    bench.provider.fail("read_training_metrics", NotFound("not yet", status=404))
    bench.provider.metrics = b"step,train_loss\n1,0.5\n2,0.25\n"
    run = bench.run(bench.write_job())
    result = TrainingSummary.from_json(bench.detail(run, Stage.RESULTS))
    assert (result.file_id, result.step, result.metrics["train_loss"]) == ("", 2, 0.25)
    assert [row.train_loss for row in load_results(run, bench.home)] == [0.5, 0.25]


def test_a_results_file_goes_before_the_metrics(bench: Bench) -> None:
    bench.provider.fail("read_training_metrics", NotFound("not asked"))
    run = bench.run(bench.write_job())
    assert TrainingSummary.from_json(bench.detail(run, Stage.RESULTS)).file_id


def test_an_unreadable_results_file_is_stored_and_the_run_continues(bench: Bench) -> None:
    bench.provider.results = b"\x00\x01 not a table"
    run = bench.run(bench.write_job())
    assert bench.statuses(run) == ["succeeded"] * 6
    path = RunFolder.of(bench.home, run.id).path / "results.csv"
    assert path.read_bytes() == b"\x00\x01 not a table"
    assert any(str(path) in note for note in bench.recorder.notes)
    assert bench.detail(run, Stage.RESULTS)["error"]
    assert load_results(run, bench.home) == []


@pytest.mark.parametrize("times", [1, 2, 1000])
def test_a_truncated_results_file_is_fetched_again(bench: Bench, times: int) -> None:
    class TruncatingProvider(FakeProvider):
        remaining = times

        def read_file(self, file_id: str) -> bytes:
            self.remaining -= 1
            content = super().read_file(file_id)
            return content[:-20] if self.remaining >= 0 else content

    bench.provider = TruncatingProvider(bench.folder / "provider", bench.clock)
    run = bench.run(bench.write_job())
    assert run.status is RunStatus.SUCCEEDED
    assert len(load_results(run, bench.home)) == (4 if times < 3 else 0)
    assert any("of which" in note for note in bench.recorder.notes) is (times > 2)


def test_a_results_file_in_base64_is_stored_unchanged_and_read(bench: Bench) -> None:
    bench.provider.results = base64.b64encode(b"step,train_loss\n1,0.5\n2,0.25\n")
    run = bench.run(bench.write_job())
    path = RunFolder.of(bench.home, run.id).path / "results.csv"
    assert path.read_bytes() == bench.provider.results
    assert [row.train_loss for row in load_results(run, bench.home)] == [0.5, 0.25]


def test_the_checkpoints_of_the_job_are_stored_with_the_results(bench: Bench) -> None:
    checkpoint = Checkpoint("ckpt-1", 2, "ft:ada:acme::ckpt-step-2", {"valid_loss": 1.0})
    bench.provider.checkpoints = (checkpoint,)
    run = bench.run(bench.write_job())
    training = load_training(run, bench.ledger.list_stages(run.id), bench.home)
    assert training.facts.checkpoints == (checkpoint,)
    assert len(training.rows) == 4


NOT_THERE = [
    NotFound("no route", status=404),
    Rejected("not allowed", status=405),
    PermissionRefused("forbidden", status=403),
    Unavailable("broken", status=500),
    InvalidResponse("<html>"),
]


@pytest.mark.parametrize("method", ["get_file", "read_file"])
@pytest.mark.parametrize("error", NOT_THERE, ids=lambda error: str(error.status))
def test_a_run_succeeds_without_results_files(
    bench: Bench, error: ProviderError, method: str
) -> None:
    skipped = bench.write_job(evaluate={"max_rows": 1})

    def refuse() -> None:
        if bench.provider.jobs() and bench.provider.jobs()[0].ended:
            raise error

    bench.provider.before(method, refuse)
    run = bench.run(skipped)
    assert (run.status, run.fine_tuned_model) == (RunStatus.SUCCEEDED, "ft:ada:acme::ftjob-1")
    assert bench.statuses(run)[4] == StageStatus.SKIPPED
    assert error.message in str(bench.detail(run, Stage.RESULTS)["reason"])


def test_a_temporarily_refused_results_file_is_fetched(bench: Bench) -> None:
    bench.provider.fail("read_file", *NOT_THERE)
    run = bench.run(bench.write_job())
    assert len(load_results(run, bench.home)) == 4


def test_a_job_deleted_after_its_end_has_no_results_file(bench: Bench) -> None:
    class ForgettingProvider(FakeProvider):
        def get_job(self, job_id: str) -> Job:
            job = super().get_job(job_id)
            if job.ended and self.count("ended"):
                raise NotFound("no such job", status=404)
            if job.ended:
                self._count("ended")
            return job

    bench.provider = ForgettingProvider(bench.folder / "provider", bench.clock)
    run = bench.run(bench.write_job())
    assert (run.status, run.fine_tuned_model) == (RunStatus.SUCCEEDED, "ft:ada:acme::ftjob-1")
    assert "no such job" in str(bench.detail(run, Stage.RESULTS)["reason"])


@pytest.mark.parametrize("method", ["get_job", "read_file"])
def test_after_a_lost_connection_the_next_command_fetches_the_results(
    bench: Bench, method: str
) -> None:
    def fail() -> None:
        if bench.statuses(bench.ledger.list_runs()[0])[4] == StageStatus.RUNNING:
            raise Unreachable("no route")

    bench.provider.before(method, fail)
    with pytest.raises(Unreachable):
        bench.run(bench.write_job())
    bench.provider.before(method, lambda: None)
    run = bench.run(bench.write_job())
    assert len(load_results(run, bench.home)) == 4


@pytest.mark.parametrize("error", NOT_THERE, ids=lambda error: str(error.status))
def test_a_provider_without_checkpoints_has_none(bench: Bench, error: ProviderError) -> None:
    bench.provider.fail("list_checkpoints", error)
    run = bench.run(bench.write_job())
    assert run.status is RunStatus.SUCCEEDED
    assert bench.detail(run, Stage.RESULTS)["checkpoints"] == []


def test_values_of_other_stages_complete_the_table(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    stages = bench.ledger.list_stages(run.id)
    facts = load_training(run, stages, bench.home).facts
    assert (facts.n_epochs, facts.trained_tokens) == (3, 1234)
    assert facts.rows
    rows = load_training(run, stages, bench.home).rows
    assert [row.epoch for row in rows] == [1, 2, 3, 3]
    assert rows[-1].tokens_seen == 1234


def test_without_results_there_is_no_training_data(bench: Bench) -> None:
    bench.provider.results_lag = 1000
    run = bench.run(bench.write_job())
    assert list(load_training(run, (), bench.home).rows) == []
