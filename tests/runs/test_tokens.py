"""Tokens of a run: counted where possible, otherwise estimated, with the method."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ftops.data.summary import DataSummary, check_file
from ftops.data.tokens.counter import CounterFactory, VocabularyCounter
from ftops.providers.model_catalog import EngineEstimate, EngineJob
from ftops.runs.estimate import Estimate, TokenCounter
from ftops.runs.preview import preview
from tests.runs.bench import Bench

ESTIMATE = EngineEstimate(
    tokens=777, learned_tokens=70, longest=20, cut_rows=2, vocabulary=300, n_epochs=9, batch_size=4
)


class WordCounter:
    vocabulary, method, error = "words", "counted in words", 0.0

    def count(self, texts: Iterable[str]) -> list[int]:
        return [len(text.split()) for text in texts]


@dataclass(frozen=True, slots=True)
class WordCounting(CounterFactory):
    def open(self, vocabulary: str) -> VocabularyCounter:
        return WordCounter()


def summarize(bench: Bench) -> DataSummary:
    bench.write_job()
    return check_file(bench.folder / "train.jsonl")


def test_tokens_are_counted_with_an_available_vocabulary(bench: Bench) -> None:
    counted = TokenCounter(WordCounting()).count(summarize(bench), bench.provider, "gpt-4o-mini")
    assert (counted.tokens, counted.method, counted.error) == (36, "counted in words", 0.0)


def test_without_a_vocabulary_tokens_are_estimated(bench: Bench) -> None:
    counted = TokenCounter().count(summarize(bench), bench.provider, "gpt-4o-mini")
    assert counted.tokens > 12
    assert counted.error == 0.25


def test_a_preview_counts_tokens_of_the_prepared_file(bench: Bench) -> None:
    result = preview(bench.write_job(), bench.provider, TokenCounter(WordCounting()))
    assert result.estimate is not None
    assert (result.estimate.tokens, result.estimate.method) == (36, "counted in words")


def test_truncated_rows_are_reported_before_they_are_sent(bench: Bench) -> None:
    job = bench.write_job()
    local = bench.provider
    local.capabilities = replace(local.capabilities, own_vocabulary=True)
    result = preview(job, local, TokenCounter(estimate_with_engine=lambda _job: ESTIMATE))
    assert result.estimate is not None
    assert result.estimate.describe_long_rows() == (
        "2 training rows are longer than 1,024 tokens, and will be cut"
    )
    assert (result.estimate.n_epochs, result.estimate.batch_size) == (8, 4)
    assert Estimate(1, 1, False, None).describe_long_rows() is None


def test_time_and_memory_follow_from_the_last_training_on_the_base_model(bench: Bench) -> None:
    measured = replace(ESTIMATE, tokens_per_second=7.77, memory_bytes=2_000_000_000)
    local = bench.provider
    local.capabilities = replace(local.capabilities, own_vocabulary=True)
    estimates = [
        preview(
            bench.write_job(), local, TokenCounter(estimate_with_engine=lambda *_, it=item: it)
        ).estimate
        for item in (measured, ESTIMATE)
    ]
    timed, unknown = estimates
    assert timed is not None
    assert unknown is not None
    assert (timed.training_s, timed.memory_bytes) == (800, 2_000_000_000)
    assert not timed.needs_calibration
    assert (unknown.training_s, unknown.needs_calibration) == (None, True)


def test_the_engine_estimates_its_own_models(bench: Bench) -> None:
    requests: list[EngineJob] = []

    def estimate(job: EngineJob) -> EngineEstimate | None:
        requests.append(job)
        return ESTIMATE

    summary = summarize(bench)
    local = bench.provider
    local.capabilities = replace(local.capabilities, own_vocabulary=True)
    counting = TokenCounter(WordCounting(), estimate)
    counted = counting.count(summary, local, "ada")
    assert (counted.tokens, counted.error, counted.n_epochs) == (777, 0.0, 9)
    assert (counted.long_rows, counted.row_limit) == (2, 1_024)
    assert requests == [EngineJob(summary.path, "ada")]
    assert counting.without_engine().count(summary, local, "ada").error == 0.25
