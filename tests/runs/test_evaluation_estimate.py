"""The requests of an evaluation are estimated before there is a model, without sending any."""

from dataclasses import replace

from ftops.evaluation.estimate import EvaluationEstimate
from ftops.runs.estimate import TokenCounter
from ftops.runs.preview import preview
from tests.runs.bench import Bench, write_rows
from tests.runs.test_tokens import WordCounting

EXAM = [(f"fresh {n}\n\n", f" {n % 3 + 1}") for n in range(30)]


def estimate(bench: Bench, **section: object) -> EvaluationEstimate:
    write_rows(bench.folder / "exam.jsonl", EXAM)
    job = bench.write_job(evaluate={"file": "exam.jsonl", **section})
    estimated = preview(job, bench.provider, TokenCounter(WordCounting())).evaluation
    assert estimated is not None
    return estimated


def test_each_candidate_is_estimated_with_requests_tokens_and_cost(bench: Bench) -> None:
    bench.provider.completion_usd = 1.0
    estimated = estimate(bench, against=["base", {"few-shot": 2}, "baseline"], max_tokens=5)
    assert (estimated.file, estimated.rows) == ("exam.jsonl", 30)
    costs = {item.name: item.cost for item in estimated.requests}
    assert list(costs) == ["tuned", "base", "few-shot"]
    assert (costs["tuned"].requests, costs["tuned"].prompt_tokens) == (30, 60)
    assert costs["base"].completion_tokens == 150
    assert costs["base"].usd == (60 + 150) / 1e6
    assert costs["few-shot"].prompt_tokens > 3 * 60  # two examples precede each prompt
    assert estimated.usd == sum(cost.usd or 0 for cost in costs.values())
    assert bench.provider.completion_requests == []


def test_free_and_unknown_costs_are_distinct(bench: Bench) -> None:
    assert estimate(bench).usd is None
    bench.provider.completion_usd = 0.0
    assert estimate(bench).usd == 0.0


def test_a_judge_gets_each_pair_twice(bench: Bench) -> None:
    bench.provider.completion_usd = 1.0
    judge = {"judge": {"model": "wise"}}
    estimated = estimate(bench, against=["base", "baseline"], metrics=[judge])
    judge_estimate = estimated.requests[-1]
    assert (judge_estimate.name, judge_estimate.model) == ("judge", "wise")
    assert judge_estimate.cost.requests == 2 * 5 * 30  # the base and four that cost nothing
    graded = estimate(
        bench, against=["base"], metrics=[{"judge": {"model": "wise", "mode": "grade"}}]
    )
    assert graded.requests[-1].cost.requests == 2 * 30


def test_skipped_and_possible_later_candidates_are_listed(bench: Bench) -> None:
    bench.provider.capabilities = replace(bench.provider.capabilities, untrained_bases=("ada",))
    estimated = estimate(bench, against=["base", "previous", "checkpoints"])
    assert [item.name for item in estimated.skipped] == ["base"]
    assert estimated.later == ["previous", "checkpoints"]


def test_without_evaluation_rows_there_is_no_estimate(bench: Bench) -> None:
    assert preview(bench.write_job(validation_file=None), bench.provider).evaluation is None
