"""The requests of an evaluation are estimated before there is a model, and none is sent."""

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
    found = preview(job, bench.provider, TokenCounter(WordCounting())).evaluation
    assert found is not None
    return found


def test_each_candidate_is_told_with_its_questions_tokens_and_dollars(bench: Bench) -> None:
    bench.provider.asking_usd = 1.0
    found = estimate(bench, against=["base", {"few-shot": 2}, "baseline"], max_tokens=5)
    assert (found.file, found.rows) == ("exam.jsonl", 30)
    told = {one.name: one.cost for one in found.requests}
    assert list(told) == ["tuned", "base", "few-shot"]
    assert (told["tuned"].requests, told["tuned"].prompt_tokens) == (30, 60)
    assert told["base"].completion_tokens == 150
    assert told["base"].usd == (60 + 150) / 1e6
    assert told["few-shot"].prompt_tokens > 3 * 60  # two examples stand before each question
    assert found.usd == sum(one.usd or 0 for one in told.values())
    assert bench.provider.asked == []


def test_what_is_free_is_told_as_free_and_what_is_not_known_as_not_known(bench: Bench) -> None:
    assert estimate(bench).usd is None
    bench.provider.asking_usd = 0.0
    assert estimate(bench).usd == 0.0


def test_a_judge_is_asked_twice_about_each_pair(bench: Bench) -> None:
    bench.provider.asking_usd = 1.0
    judge = {"judge": {"model": "wise"}}
    found = estimate(bench, against=["base", "baseline"], metrics=[judge])
    wise = found.requests[-1]
    assert (wise.name, wise.model) == ("judge", "wise")
    assert wise.cost.requests == 2 * 5 * 30  # the base and four that cost nothing
    graded = estimate(
        bench, against=["base"], metrics=[{"judge": {"model": "wise", "mode": "grade"}}]
    )
    assert graded.requests[-1].cost.requests == 2 * 30


def test_who_is_left_out_and_who_may_come_is_told(bench: Bench) -> None:
    bench.provider.capabilities = replace(bench.provider.capabilities, untrained_bases=("ada",))
    found = estimate(bench, against=["base", "previous", "checkpoints"])
    assert [one.name for one in found.skipped] == ["base"]
    assert found.later == ["previous", "checkpoints"]


def test_without_rows_to_ask_there_is_nothing_to_estimate(bench: Bench) -> None:
    assert preview(bench.write_job(validation_file=None), bench.provider).evaluation is None
