"""The cost of a job, and the limits of the job file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.capabilities import Capabilities, EpochRule
from ftops.errors import DatasetError, LimitExceeded
from ftops.records import (
    RunStatus,
)
from ftops.runs.estimate import Estimate, list_broken_limits
from ftops.spec.model import LimitSpec
from tests.runs.bench import Bench, write_rows

RULE = EpochRule(target=3, least_seen=100, most_seen=25_000, most=25)


@pytest.mark.parametrize(
    ("rows", "epochs"), [(1, 25), (10, 10), (33, 3), (34, 3), (8_333, 3), (8_334, 2), (90_000, 1)]
)
def test_auto_epochs_are_estimated_with_the_rule_of_the_provider(rows: int, epochs: int) -> None:
    capabilities = Capabilities(suffix_max=1, hyperparameters=frozenset(), auto_epochs=RULE)
    assert capabilities.estimate_epochs(rows) == epochs


@pytest.mark.parametrize(("default", "epochs"), [("3", 3), ("chosen by size", None), ("", None)])
def test_auto_epochs_without_a_rule_are_the_default_of_the_provider(
    default: str, epochs: int | None
) -> None:
    capabilities = Capabilities(
        suffix_max=1, hyperparameters=frozenset(), auto=False, defaults={"n_epochs": default}
    )
    assert capabilities.estimate_epochs(10) == epochs


def test_unknown_auto_epochs_leave_the_cost_unknown_unless_the_price_is_zero() -> None:
    assert Estimate(1_000, None, True, 8.0).cost_usd is None
    assert Estimate(1_000, None, True, 0.0).cost_usd == 0
    limits = LimitSpec(max_training_tokens=10)
    (broken,) = list_broken_limits(limits, Estimate(1_000, None, True, 0.0), "ada")
    assert "give hyperparameters.n_epochs a number" in broken


@given(st.integers(min_value=0, max_value=10**8))
def test_there_is_at_least_one_epoch_and_at_most_25(rows: int) -> None:
    assert 1 <= RULE.estimate(rows) <= 25


def test_the_cost_is_tokens_times_epochs_times_price() -> None:
    assert Estimate(2_000_000, 3, False, 8.0).cost_usd == 48.0
    assert Estimate(2_000_000, 3, False, None).cost_usd is None


def test_an_exceeded_limit_is_reported_with_its_values() -> None:
    limits = LimitSpec(max_cost_usd=5, max_training_tokens=1_000_000)
    broken = list_broken_limits(limits, Estimate(500_000, 3, True, 8.0), "ada")
    assert "1,500,000 tokens" in broken[0]
    assert '3 epochs, assumed for "auto"' in broken[0]
    assert "$12.00" in broken[1]
    assert list_broken_limits(limits, Estimate(100_000, 3, True, 8.0), "ada") == []


def test_limits_that_cannot_be_checked_are_refused() -> None:
    limits = LimitSpec(max_cost_usd=5, max_training_tokens=10)
    assert len(list_broken_limits(limits, None, "ada")) == 2
    (unknown,) = list_broken_limits(LimitSpec(max_cost_usd=5), Estimate(1, 1, False, None), "ada")
    assert "the price of training ada is not known" in unknown
    assert list_broken_limits(LimitSpec(), None, "ada") == []


def test_a_run_over_its_limit_sends_nothing_and_continues_with_a_higher_limit(
    bench: Bench,
) -> None:
    with pytest.raises(LimitExceeded, match="nothing was sent"):
        bench.run(bench.write_job(limits={"max_training_tokens": 10}))
    assert list(bench.provider.list_files()) == []
    (run,) = bench.ledger.list_runs()
    assert run.status is RunStatus.RUNNING
    resumed = bench.run(bench.write_job(limits={"max_training_tokens": 100_000}))
    assert (resumed.id, resumed.status) == (run.id, RunStatus.SUCCEEDED)


def test_an_unknown_price_and_a_cost_limit_are_refused(bench: Bench) -> None:
    bench.provider.price_usd = None
    with pytest.raises(LimitExceeded, match="price of training ada is not known") as caught:
        bench.run(bench.write_job(limits={"max_cost_usd": 5}))
    assert caught.value.hint == "Tell the price of ada."
    assert bench.provider.count("upload_file") == 0


def test_fewer_rows_than_the_provider_accepts_are_refused(bench: Bench) -> None:
    job = bench.write_job()
    write_rows(bench.folder / "train.jsonl", [("a\n\n", " 1")])
    with pytest.raises(DatasetError, match=r"train\.jsonl has 1 row, and fake needs 2 or more"):
        bench.run(job)
    assert bench.provider.count("upload_file") == 0
