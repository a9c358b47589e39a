"""What a run costs: estimates, limits, the actual cost, and the sum of a month."""

from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ftops.errors import LimitExceeded, ModelsFileError, ProviderError, Rejected, Unreachable
from ftops.locks import hold_lock
from ftops.providers.model_catalog import ModelInfo
from ftops.records import Job, ProviderSettings, Run, RunStatus
from ftops.runs.adopt import adopt_job
from ftops.runs.cost import read_cost
from ftops.runs.cost_limits import list_broken_month, load_month
from ftops.runs.open_run import drive, open_run
from ftops.spec.job_file import LoadedJob, load_job
from ftops.stage_results import RunCost
from tests.fakes import FakeClock
from tests.runs.bench import Bench
from tests.runs.fake_provider import CAPABILITIES, FakeProvider
from tests.runs.test_deployments import DeployingBench

TOKENS = 1_234  # that the fake provider reports
PRICED = 10_000.0  # US dollars per million tokens


@pytest.fixture
def dear(bench: Bench) -> Bench:
    """A bench whose provider has a price that makes a run cost a few dollars."""
    bench.provider.price_usd = PRICED
    return bench


def write_job(bench: Bench, name: str = "numbers", /, **limits: float) -> LoadedJob:
    return bench.write_job(name=name, limits=limits, hyperparameters={"n_epochs": 1})


def get_cost(bench: Bench, run: Run) -> RunCost:
    return read_cost(bench.ledger, run.id, bench.clock.now())


# The estimate of the provider


def test_the_estimate_of_the_provider_is_recorded_beside_ours(dear: Bench) -> None:
    dear.provider.estimated_usd = 2.5
    run = dear.run(write_job(dear, max_cost_usd=10))
    assert get_cost(dear, run).provider_estimated_usd == 2.5
    assert get_cost(dear, run).estimated_usd not in (None, 2.5)


def test_the_provider_is_asked_after_the_upload_and_before_the_intent(dear: Bench) -> None:
    seen: list[tuple[int, list[str]]] = []

    def look() -> None:
        (run,) = dear.ledger.list_runs()
        calls = [call.name for call in dear.ledger.list_calls(run.id)]
        seen.append((dear.provider.count("upload_file"), calls))

    dear.provider.before("estimate_cost", look)
    dear.run(write_job(dear))
    assert seen == [(2, ["upload_file", "upload_file"])]


def test_an_estimate_of_the_provider_over_the_limit_creates_no_job(dear: Bench) -> None:
    dear.provider.estimated_usd = 25.0
    with pytest.raises(LimitExceeded) as caught:
        dear.run(write_job(dear, max_cost_usd=10))
    assert "the estimate of the provider for this job is $25.00" in caught.value.message
    assert "that of ftops is about $" in caught.value.message
    assert "limits.max_cost_usd is $10.00" in caught.value.message
    assert dear.provider.count("create_job") == 0
    run = dear.run(write_job(dear, max_cost_usd=30))
    assert (run.status, len(dear.ledger.list_runs())) == (RunStatus.SUCCEEDED, 1)


def test_a_limit_that_was_lowered_after_the_preparation_is_held(dear: Bench) -> None:
    dear.provider.fail("upload_file", Unreachable("no network"))
    with pytest.raises(Unreachable):
        dear.run(write_job(dear, max_cost_usd=10))
    with pytest.raises(LimitExceeded, match=r"limits\.max_cost_usd is \$0\.01"):
        dear.run(write_job(dear, max_cost_usd=0.01))
    assert dear.provider.count("create_job") == 0


@pytest.mark.parametrize("error", [Unreachable("no network"), Rejected("no such route")])
def test_a_failing_estimate_of_the_provider_prevents_no_training(
    dear: Bench, error: ProviderError
) -> None:
    dear.provider.fail("estimate_cost", error)
    run = dear.run(write_job(dear, max_cost_usd=10))
    assert run.status is RunStatus.SUCCEEDED
    assert get_cost(dear, run).provider_estimated_usd is None
    assert any(error.message in note for note in dear.recorder.notes)


@pytest.fixture
def unpriced(bench: Bench) -> Bench:
    """A bench whose provider estimates the cost; ftops knows no price."""
    bench.provider.price_usd = None
    bench.provider.capabilities = replace(CAPABILITIES, estimates_cost=True)
    return bench


@pytest.mark.parametrize("limit", ["max_cost_usd", "max_month_usd"])
def test_a_limit_is_held_by_the_estimate_of_the_provider_alone(unpriced: Bench, limit: str) -> None:
    unpriced.provider.estimated_usd = 2.5
    with pytest.raises(LimitExceeded, match=r"no job was created: .*\$2\.50"):
        unpriced.run(write_job(unpriced, **{limit: 2}))
    assert unpriced.run(write_job(unpriced, **{limit: 3})).status is RunStatus.SUCCEEDED


@pytest.mark.parametrize("limit", ["max_cost_usd", "max_month_usd"])
@pytest.mark.parametrize("error", [Unreachable("no network"), Rejected("no such route")])
def test_a_limit_that_depends_on_a_failing_estimate_keeps_the_run_open(
    unpriced: Bench, limit: str, error: ProviderError
) -> None:
    unpriced.provider.fail("estimate_cost", error)
    unpriced.provider.estimated_usd = 2.5
    with pytest.raises(LimitExceeded, match="the limits cannot be held") as caught:
        unpriced.run(write_job(unpriced, **{limit: 3}))
    assert error.message in caught.value.message
    run = unpriced.run(write_job(unpriced, **{limit: 3}))
    assert (run.status, unpriced.provider.count("create_job")) == (RunStatus.SUCCEEDED, 1)


def test_a_limit_without_any_estimate_is_refused(unpriced: Bench) -> None:
    with pytest.raises(LimitExceeded, match="neither ftops nor the provider knows") as caught:
        unpriced.run(write_job(unpriced, max_cost_usd=3))
    assert caught.value.hint == "Tell the price of ada."
    assert unpriced.provider.count("create_job") == 0


# What a run has cost


def test_a_run_has_cost_its_trained_tokens_at_the_known_price(dear: Bench) -> None:
    cost = get_cost(dear, dear.run(write_job(dear)))
    assert cost.usd == TOKENS * PRICED / 1e6
    assert cost.estimated_usd not in (None, cost.usd)


def test_the_price_that_the_job_reports_goes_before_the_list_of_prices(dear: Bench) -> None:
    dear.provider.job_cost_usd = 3.21
    assert get_cost(dear, dear.run(write_job(dear))).usd == 3.21


def test_deployments_are_added_to_what_the_training_has_cost(tmp_path: Path) -> None:
    bench = DeployingBench(tmp_path)
    run = bench.run(bench.write_kiln_job())
    (record,) = bench.ledger.list_deployments(live=False)
    cost = get_cost(bench, run)
    assert cost.deployments_usd == record.get_cost_usd(bench.clock.now()) != 0.0
    assert replace(cost, training_usd=1.0).usd == 1.0 + cost.deployments_usd
    assert replace(cost, estimated_usd=2.0).best_usd == 2.0 + cost.deployments_usd
    bench.ledger.close()


def test_without_a_price_the_cost_is_unknown(bench: Bench) -> None:
    bench.provider.price_usd = None
    assert get_cost(bench, bench.run(write_job(bench))) == RunCost()


def test_an_invalid_list_of_prices_loses_no_trained_model(bench: Bench) -> None:
    class Unpriced(FakeProvider):
        is_invalid = False

        def get_model_info(self, model: str) -> ModelInfo:
            if self.is_invalid:
                raise ModelsFileError("models.toml:1: invalid")
            return super().get_model_info(model)

        def get_job(self, job_id: str) -> Job:
            self.is_invalid = True
            return super().get_job(job_id)

    bench.provider = Unpriced(bench.folder / "provider", bench.clock)
    run = bench.run(bench.write_job(evaluate={"against": []}, validation_file=None))
    assert run.fine_tuned_model
    assert get_cost(bench, run).usd is None


# The sum of a month


def test_the_runs_of_a_month_count_for_its_limit_before_anything_is_sent(dear: Bench) -> None:
    first = dear.run(write_job(dear, "first"))
    dear.provider.job_cost_usd = 7.0
    second = dear.run(write_job(dear, "second"), new=True)
    uploads = dear.provider.count("store")
    with pytest.raises(LimitExceeded) as caught:
        dear.run(write_job(dear, "third", max_month_usd=19.5), new=True)
    message = caught.value.message
    assert "nothing was sent: the runs of 2026-11 (UTC) would cost about $" in message
    assert "limits.max_month_usd is $19.50" in message
    assert f"the dearest: {first.id} (first) $12.34, {second.id} (second) $7.00" in message
    assert dear.provider.count("store") == uploads
    run = dear.run(write_job(dear, "third", max_month_usd=30), new=True)
    assert run.status is RunStatus.SUCCEEDED


def test_a_running_job_counts_with_its_estimate(dear: Bench) -> None:
    job = write_job(dear, "first")
    dear.provider.estimated_usd = 4.5
    drive(open_run(job, dear.context), dear.context, detach=True)
    (counted,) = load_month(dear.ledger, dear.provider, dear.clock.now()).runs
    assert counted[1] == 4.5


def test_a_request_without_an_answer_counts_and_a_refused_one_does_not(dear: Bench) -> None:
    dear.provider.fail("create_job", Rejected("no", status=400))
    with pytest.raises(Rejected):
        dear.run(write_job(dear, "refused"))
    assert load_month(dear.ledger, dear.provider, dear.clock.now()).runs == []
    dear.provider.before("create_job", lambda: dear.provider.fail("find_job", *[LOST] * 99))
    dear.provider.loses_response_of = {"create_job"}
    with pytest.raises(Exception, match="may or may not exist"):
        dear.run(write_job(dear, "lost"))
    assert len(load_month(dear.ledger, dear.provider, dear.clock.now()).runs) == 1


LOST = Unreachable("no network")


def test_runs_of_other_months_and_other_accounts_do_not_count(dear: Bench) -> None:
    dear.clock = FakeClock(datetime(2026, 11, 30, 23, 50, tzinfo=UTC))
    dear.provider.clock = dear.clock
    dear.run(write_job(dear, "november"))
    now = dear.clock.now()
    assert len(load_month(dear.ledger, dear.provider, now).runs) == 1
    assert load_month(dear.ledger, dear.provider, datetime(2026, 12, 1, tzinfo=UTC)).runs == []
    dear.provider.account = "fake:other"
    assert load_month(dear.ledger, dear.provider, now).runs == []


def test_a_run_with_an_unknown_cost_makes_the_limit_impossible_to_hold(bench: Bench) -> None:
    bench.provider.price_usd = None
    unknown = bench.run(write_job(bench, "unknown"))
    with pytest.raises(LimitExceeded) as caught:
        bench.run(write_job(bench, "next", max_month_usd=19.5), new=True)
    assert "limits.max_month_usd cannot be held" in caught.value.message
    assert f"{unknown.id} (unknown)" in caught.value.message
    assert caught.value.hint == "Tell the price of ada."
    bench.provider.price_usd = PRICED  # the user has added the price
    assert bench.run(write_job(bench, "next", max_month_usd=50)).status is RunStatus.SUCCEEDED


def test_an_adopted_job_counts_with_its_trained_tokens(dear: Bench) -> None:
    first = dear.run(write_job(dear, "elsewhere"))
    assert first.job_id
    other = Bench(dear.folder / "other", dear.clock)
    other.provider = dear.provider
    run = adopt_job(
        first.job_id,
        other.context,
        ProviderSettings("fake"),
        lambda path: load_job(path, environ={}),
    )
    drive(run, other.context)
    assert load_month(other.ledger, dear.provider, dear.clock.now()).usd == 12.34
    other.ledger.close()


def test_of_two_parallel_runs_the_second_counts_the_first(dear: Bench) -> None:
    """Both are prepared before either requests its job."""
    jobs = [write_job(dear, name, max_month_usd=12) for name in ("first", "second")]
    second: list[Run] = []

    def run_second() -> None:
        dear.provider.before("upload_file", lambda: None)
        second.append(dear.run(jobs[1], new=True))

    dear.provider.before("upload_file", run_second)
    with pytest.raises(LimitExceeded, match="no job was created: the runs of 2026-11"):
        dear.run(jobs[0], new=True)
    assert second[0].status is RunStatus.SUCCEEDED
    assert dear.provider.count("create_job") == 1


def test_the_limit_of_the_month_is_checked_by_one_run_at_a_time(dear: Bench) -> None:
    with ExitStack() as other_run:
        other_run.enter_context(hold_lock(dear.home / "month.lock"))

        class ReleasingClock(FakeClock):
            def sleep(self, seconds: float) -> None:
                super().sleep(seconds)
                if seconds < 1:
                    states.append(dear.provider.count("create_job"))
                    other_run.close()

        states: list[int] = []
        dear.clock = ReleasingClock()
        run = dear.run(write_job(dear, max_month_usd=50))
    assert (run.status, states) == (RunStatus.SUCCEEDED, [0])


def test_an_unknown_cost_of_the_next_run_is_no_problem_if_the_provider_estimates_it(
    dear: Bench,
) -> None:
    month = load_month(dear.ledger, dear.provider, dear.clock.now())
    assert list_broken_month(month, 10.0, None, is_cost_later=True) == []
    (broken,) = list_broken_month(month, 10.0, None)
    assert "cannot be held" in broken
