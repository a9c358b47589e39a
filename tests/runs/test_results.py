"""Results files: late, missing, unreadable; and what is kept of them."""

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


def test_the_last_figure_of_each_column_is_kept_with_the_stage(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    result = TrainingSummary.from_json(bench.detail(run, Stage.RESULTS))
    assert (result.rows, result.step) == (4, 4)
    assert (result.metrics["train_loss"], result.metrics["valid_loss"]) == (0.25, 1.0)


def test_a_results_file_that_comes_late_is_waited_for(bench: Bench) -> None:
    bench.provider.results_lag = 3
    run = bench.run(bench.write_job())
    assert bench.statuses(run)[4] == StageStatus.SUCCEEDED
    assert len(load_results(run, bench.home)) == 4


def test_a_job_without_a_results_file_skips_the_stage_and_says_so(bench: Bench) -> None:
    bench.provider.results_lag = 1000
    run = bench.run(bench.write_job())
    assert run.status is RunStatus.SUCCEEDED
    assert bench.statuses(run)[4] == StageStatus.SKIPPED
    assert bench.detail(run, Stage.RESULTS)["reason"] == bench.seen.notes[-1]
    assert load_results(run, bench.home) == []
    assert bench.clock.monotonic_s() < 300


def test_an_unreadable_results_file_is_kept_and_the_run_goes_on(bench: Bench) -> None:
    bench.provider.results = b"\x00\x01 not a table"
    run = bench.run(bench.write_job())
    assert bench.statuses(run) == ["succeeded"] * 6
    path = RunFolder.of(bench.home, run.id).path / "results.csv"
    assert path.read_bytes() == b"\x00\x01 not a table"
    assert any(str(path) in note for note in bench.seen.notes)
    assert bench.detail(run, Stage.RESULTS)["error"]
    assert load_results(run, bench.home) == []


@pytest.mark.parametrize("times", [1, 2, 1000])
def test_a_results_file_that_comes_cut_is_fetched_again(bench: Bench, times: int) -> None:
    class Cutting(FakeProvider):
        left = times

        def read_file(self, file_id: str) -> bytes:
            self.left -= 1
            content = super().read_file(file_id)
            return content[:-20] if self.left >= 0 else content

    bench.provider = Cutting(bench.folder / "provider", bench.clock)
    run = bench.run(bench.write_job())
    assert run.status is RunStatus.SUCCEEDED
    assert len(load_results(run, bench.home)) == (4 if times < 3 else 0)
    assert any("of which" in note for note in bench.seen.notes) is (times > 2)


def test_a_results_file_in_base64_is_kept_as_it_came_and_read(bench: Bench) -> None:
    bench.provider.results = base64.b64encode(b"step,train_loss\n1,0.5\n2,0.25\n")
    run = bench.run(bench.write_job())
    path = RunFolder.of(bench.home, run.id).path / "results.csv"
    assert path.read_bytes() == bench.provider.results
    assert [row.train_loss for row in load_results(run, bench.home)] == [0.5, 0.25]


def test_the_jobs_checkpoints_are_kept_with_the_results(bench: Bench) -> None:
    kept = Checkpoint("ckpt-1", 2, "ft:ada:acme::ckpt-step-2", {"valid_loss": 1.0})
    bench.provider.checkpoints = (kept,)
    run = bench.run(bench.write_job())
    training = load_training(run, bench.ledger.list_stages(run.id), bench.home)
    assert training.facts.checkpoints == (kept,)
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
def test_a_server_without_results_files_still_leads_to_the_model(
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


def test_a_results_file_that_is_refused_for_a_moment_is_fetched(bench: Bench) -> None:
    bench.provider.fail("read_file", *NOT_THERE)
    run = bench.run(bench.write_job())
    assert len(load_results(run, bench.home)) == 4


def test_a_job_that_the_server_forgets_after_its_end_has_no_results_file(bench: Bench) -> None:
    class Forgetting(FakeProvider):
        def get_job(self, job_id: str) -> Job:
            job = super().get_job(job_id)
            if job.ended and self.count("ended"):
                raise NotFound("no such job", status=404)
            if job.ended:
                self._count("ended")
            return job

    bench.provider = Forgetting(bench.folder / "provider", bench.clock)
    run = bench.run(bench.write_job())
    assert (run.status, run.fine_tuned_model) == (RunStatus.SUCCEEDED, "ft:ada:acme::ftjob-1")
    assert "no such job" in str(bench.detail(run, Stage.RESULTS)["reason"])


@pytest.mark.parametrize("method", ["get_job", "read_file"])
def test_a_lost_connection_keeps_the_results_for_the_next_command(
    bench: Bench, method: str
) -> None:
    def lose() -> None:
        if bench.statuses(bench.ledger.list_runs()[0])[4] == StageStatus.RUNNING:
            raise Unreachable("no route")

    bench.provider.before(method, lose)
    with pytest.raises(Unreachable):
        bench.run(bench.write_job())
    bench.provider.before(method, lambda: None)
    run = bench.run(bench.write_job())
    assert len(load_results(run, bench.home)) == 4


@pytest.mark.parametrize("error", NOT_THERE, ids=lambda error: str(error.status))
def test_a_provider_that_knows_no_checkpoints_has_none(bench: Bench, error: ProviderError) -> None:
    bench.provider.fail("list_checkpoints", error)
    run = bench.run(bench.write_job())
    assert run.status is RunStatus.SUCCEEDED
    assert bench.detail(run, Stage.RESULTS)["checkpoints"] == []


def test_what_the_stages_found_out_fills_the_table_in(bench: Bench) -> None:
    run = bench.run(bench.write_job())
    stages = bench.ledger.list_stages(run.id)
    facts = load_training(run, stages, bench.home).facts
    assert (facts.n_epochs, facts.trained_tokens) == (3, 1234)
    assert facts.rows
    rows = load_training(run, stages, bench.home).rows
    assert [row.epoch for row in rows] == [1, 2, 3, 3]
    assert rows[-1].tokens_seen == 1234


def test_before_there_are_results_there_is_no_training(bench: Bench) -> None:
    bench.provider.results_lag = 1000
    run = bench.run(bench.write_job())
    assert list(load_training(run, (), bench.home).rows) == []
