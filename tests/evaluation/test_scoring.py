"""Scoring and comparison of several candidates."""

import json
import math
import random
from dataclasses import replace

import pytest
from scipy.stats import binomtest

from ftops.evaluation.result import CandidateKind, Evaluation, SkippedCandidate
from ftops.evaluation.scoring import (
    CandidatePredictions,
    ScoringOptions,
    choose_default_metrics,
    evaluate,
    score_candidate,
)
from ftops.evaluation.text import describe_comparison, describe_outcome, format_note, list_notes
from ftops.inference.budget import Prices
from ftops.metrics.comparison import holm
from ftops.metrics.metric import Metric, MetricSample, create_metrics
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.registry import MetricChoice
from ftops.metrics.requirement import parse_requirement
from ftops.metrics.result import Unit, Verdict
from tests.metrics.predictions import fail, make_predictions, sample_labels


def _metrics(*names: str) -> list[Metric]:
    return create_metrics([MetricChoice(name) for name in names or ("accuracy", "f1")])


def _sample_predictions(shares: float, seed: int, *, rows: int = 600) -> list[Prediction]:
    """The same rows for every seed, with this share of correct predictions."""
    rng = random.Random(seed)
    pairs = [
        ("abc"[n % 3], "abc"[n % 3] if rng.random() < shares else "abc"[(n + 1) % 3])
        for n in range(rows)
    ]
    return make_predictions(pairs, seconds=0.1)


def _candidates(tuned: float, other: float) -> list[CandidatePredictions]:
    return [
        CandidatePredictions(
            "naive Bayes", CandidateKind.NAIVE_BAYES, _sample_predictions(other, 2)
        ),
        CandidatePredictions(
            "tuned", CandidateKind.TUNED, _sample_predictions(tuned, 1), "ft:x", "local"
        ),
    ]


def test_the_tuned_model_is_first_and_compared_with_each_other_candidate() -> None:
    evaluation = evaluate("test.jsonl", _candidates(0.9, 0.7), _metrics(), ScoringOptions("ab"))
    assert [item.name for item in evaluation.candidates] == ["tuned", "naive Bayes"]
    assert (evaluation.rows, evaluation.primary_metric, evaluation.file_sha256) == (
        600,
        "accuracy",
        "ab",
    )
    (comparison,) = evaluation.comparisons
    assert (comparison.first, comparison.second) == ("tuned", "naive Bayes")
    assert comparison.verdict is Verdict.BETTER
    metric = evaluation.candidates[0].metrics["accuracy"]
    assert metric.low is not None
    assert metric.high is not None
    assert 0.86 < metric.low < metric.value < metric.high < 0.95
    assert evaluation.passed
    assert evaluation.notes == ()


def test_a_tuned_model_worse_than_naive_bayes_is_reported() -> None:
    evaluation = evaluate("test.jsonl", _candidates(0.6, 0.9), _metrics())
    assert evaluation.comparisons[0].verdict is Verdict.WORSE
    assert "Naive Bayes would cost nothing" in describe_outcome(evaluation)


def test_equal_candidates_are_reported_without_difference() -> None:
    same = _sample_predictions(0.8, 1, rows=4000)
    pair = [
        CandidatePredictions("tuned", CandidateKind.TUNED, same),
        CandidatePredictions("base", CandidateKind.BASE, same),
    ]
    evaluation = evaluate("test.jsonl", pair, _metrics())
    assert evaluation.comparisons[0].verdict is Verdict.NO_DIFFERENCE
    assert describe_comparison(evaluation.comparisons[0]).startswith("no difference in accuracy")


def test_too_few_rows_are_reported_with_the_required_number() -> None:
    pair = [
        CandidatePredictions("tuned", CandidateKind.TUNED, _sample_predictions(0.85, 1, rows=24)),
        CandidatePredictions("base", CandidateKind.BASE, _sample_predictions(0.8, 5, rows=24)),
    ]
    evaluation = evaluate("test.jsonl", pair, _metrics())
    needed = evaluation.comparisons[0].rows_needed
    assert evaluation.comparisons[0].verdict is Verdict.TOO_FEW_ROWS
    assert needed is not None
    assert needed > 24
    assert list_notes(evaluation) == ["24 rows: with so few, intervals are wide"]
    assert f"about {needed:,} rows" in describe_comparison(evaluation.comparisons[0])


def test_leaked_and_memorized_rows_are_noted() -> None:
    predictions = _sample_predictions(0.6, 1, rows=300)
    known = set(range(1, 61))
    learned = [
        replace(item, predicted=item.expected) if item.line in known else item
        for item in predictions
    ]
    tuned = CandidatePredictions("tuned", CandidateKind.TUNED, learned)
    evaluation = evaluate("test.jsonl", [tuned], _metrics(), ScoringOptions(overlap_lines=known))
    assert evaluation.overlap_rows == 60
    leak, memorized = list_notes(evaluation)
    assert leak.startswith("leak: 60 of 300 rows are training rows")
    assert memorized.startswith("tuned: memorized: 100.0% of the 60 rows")
    clean = evaluate("test.jsonl", [tuned], _metrics(), ScoringOptions(overlap_lines=()))
    assert (clean.overlap_rows, clean.notes) == (0, ())
    assert evaluate("test.jsonl", [tuned], _metrics()).overlap_rows is None


def test_problems_are_counted_noted_by_line_and_scored_as_wrong() -> None:
    predictions = fail(_sample_predictions(1.0, 1, rows=60), 4, 5, 6, 7)
    predictions[0] = replace(predictions[0], predicted=" ")
    predictions[1] = replace(
        predictions[1], predicted="I cannot say", problem=Problem.REFUSED, note="policy"
    )
    predictions[2] = replace(predictions[2], predicted="ab", problem=Problem.TRUNCATED)
    candidate = CandidatePredictions("tuned", CandidateKind.TUNED, predictions)
    score, notes = score_candidate(candidate, _metrics())
    assert score.problems == {"empty": 1, "refused": 1, "truncated": 1, "failed": 4}
    assert score.outside == 3  # a row without a response is not outside the labels
    assert score.metrics["accuracy"].value == pytest.approx(53 / 60)
    assert score.metrics["accuracy"].rows == 60
    assert [format_note(note) for note in notes] == [
        "tuned: 1 of 60 predictions are empty",
        "tuned: 1 of 60 predictions are refusals (line 2: 'policy')",
        "tuned: 1 of 60 predictions are truncated at max_tokens (line 3)",
        "tuned: 4 of 60 predictions are missing and count as wrong (lines 4, 5, 6, …: 'no answer')",
        "tuned: 3 of 60 predictions are none of the classes, thus wrong",
    ]


def test_a_constant_model_is_noted_but_not_the_majority_baseline() -> None:
    predictions = make_predictions([("abc"[n % 3], "a") for n in range(60)])
    tuned = CandidatePredictions("tuned", CandidateKind.TUNED, predictions)
    _, (note,) = score_candidate(tuned, _metrics())
    assert format_note(note) == (
        "tuned: constant prediction: every prediction is 'a', expected in 20 rows"
    )
    majority = CandidatePredictions("majority", CandidateKind.MAJORITY, predictions)
    assert score_candidate(majority, _metrics())[1] == []


def test_a_metric_without_a_value_is_omitted_with_a_note_and_meets_nothing() -> None:
    evaluation = evaluate(
        "test.jsonl",
        _candidates(0.9, 0.7),
        _metrics("accuracy", "auroc"),
        ScoringOptions(requirements=[parse_requirement("auroc", ">= 0")]),
    )
    assert list(evaluation.candidates[0].metrics) == ["accuracy"]
    assert "tuned: auroc: the model returns no probabilities of labels" in list_notes(evaluation)
    assert not evaluation.passed


def test_requirements_add_their_comparisons() -> None:
    requirements = [
        parse_requirement("accuracy", ">= 0.85"),
        parse_requirement("f1_over_naive_bayes", "> 0.5"),
    ]
    evaluation = evaluate(
        "test.jsonl", _candidates(0.9, 0.7), _metrics(), ScoringOptions(requirements=requirements)
    )
    assert [item.met for item in evaluation.requirements] == [True, False]
    assert [item.metric for item in evaluation.comparisons] == ["accuracy", "f1"]
    assert "95 % interval" in evaluation.requirements[1].reason
    assert not evaluation.passed


def test_comparisons_of_one_evaluation_are_corrected_together() -> None:
    candidates = [
        CandidatePredictions("tuned", CandidateKind.TUNED, _sample_predictions(0.8, 0))
    ] + [
        CandidatePredictions(f"model: {n}", CandidateKind.MODEL, _sample_predictions(0.76, n))
        for n in range(1, 7)
    ]
    evaluation = evaluate("test.jsonl", candidates, _metrics("accuracy"))
    assert all((item.p_corrected or 0) >= item.p_value for item in evaluation.comparisons)
    smallest = min(evaluation.comparisons, key=lambda comparison: comparison.p_value)
    assert smallest.p_corrected == pytest.approx(min(1.0, 6 * smallest.p_value))


def test_savings_are_computed_only_for_models_with_separate_requests() -> None:
    few_shot = [
        replace(item, prompt_tokens=210, seconds=0.3) for item in _sample_predictions(0.8, 3)
    ]
    candidates = [
        CandidatePredictions(
            "tuned", CandidateKind.TUNED, _sample_predictions(0.9, 1), "m", prices=Prices(2, 8)
        ),
        CandidatePredictions(
            "few-shot: 5", CandidateKind.FEW_SHOT, few_shot, "b", prices=Prices(1, 4)
        ),
        CandidatePredictions(
            "majority",
            CandidateKind.MAJORITY,
            [Prediction(item.line, item.prompt, item.expected, "a") for item in few_shot],
        ),
    ]
    evaluation = evaluate("test.jsonl", candidates, _metrics(), ScoringOptions(training_usd=3.72))
    (saving,) = evaluation.savings
    assert saving.against == "few-shot: 5"
    assert saving.tokens == pytest.approx(200)
    assert saving.usd_per_1000 == pytest.approx(0.214 - 0.028)
    assert saving.p50_s == pytest.approx(0.2)
    assert saving.pays_after == 20_000


def test_equal_predictions_give_equal_evaluations_and_json() -> None:
    evaluation, repeated = (
        evaluate(
            "test.jsonl",
            _candidates(0.9, 0.7),
            choose_default_metrics(_sample_predictions(0.9, 1)),
            ScoringOptions(skipped=[SkippedCandidate("base", "it was never trained")], seed=3),
        )
        for _ in range(2)
    )
    assert evaluation == repeated
    text = json.dumps(evaluation.to_json(), allow_nan=False)
    assert Evaluation.from_json(json.loads(text)) == evaluation


def test_an_external_metric_is_scored_like_any_other() -> None:
    class Judge:
        name = "judge"
        unit = Unit.SCORE

        def measure(self, predictions: list[Prediction]) -> MetricSample:
            return MetricSample.of_scores(
                [None if item.line == 1 else 7.5 for item in predictions],
                notes=("1 row was not judged (line 1: nonsense)",),
            )

    evaluation, notes = score_candidate(
        CandidatePredictions("tuned", CandidateKind.TUNED, sample_labels(40, 1)),
        [Judge()],  # type: ignore[list-item]  # it takes lists alone
    )
    assert evaluation.metrics["judge"].rows == 39
    assert evaluation.metrics["judge"].value == 7.5
    assert format_note(notes[-1]) == "tuned: judge: 1 row was not judged (line 1: nonsense)"


def test_candidates_with_other_rows_are_refused() -> None:
    candidates = _candidates(0.9, 0.7)
    candidates[0] = replace(candidates[0], predictions=candidates[0].predictions[1:])
    with pytest.raises(ValueError, match="did not answer the same rows"):
        evaluate("test.jsonl", candidates, _metrics())
    with pytest.raises(ValueError, match="needs a candidate and a metric"):
        evaluate("test.jsonl", [], _metrics())


def test_names_are_unique_and_the_primary_metric_is_measured() -> None:
    same = [CandidatePredictions("tuned", CandidateKind.TUNED, sample_labels(40, 1))] * 2
    with pytest.raises(ValueError, match="two candidates are called 'tuned'"):
        evaluate("test.jsonl", same, _metrics())
    with pytest.raises(ValueError, match="two metrics are called 'f1'"):
        evaluate("test.jsonl", same[:1], _metrics("f1") * 2)
    with pytest.raises(ValueError, match="the primary metric 'f2' is none of accuracy, f1"):
        evaluate("test.jsonl", same[:1], _metrics(), ScoringOptions(primary_metric="f2"))


def test_named_labels_are_classes_without_rows() -> None:
    predictions = make_predictions([("ab"[n % 2], "c") for n in range(20)])
    candidate = CandidatePredictions("tuned", CandidateKind.TUNED, predictions)
    assert score_candidate(candidate, _metrics())[0].outside == 20
    named, _ = score_candidate(candidate, _metrics(), labels=["c"])
    assert named.outside == 0
    assert [item.label for item in named.classes] == ["a", "b", "c"]


def test_without_rows_there_are_no_values() -> None:
    tuned = CandidatePredictions("tuned", CandidateKind.TUNED, [])
    evaluation = evaluate("test.jsonl", [tuned], _metrics("accuracy", "f1", "bleu", "token_f1"))
    assert evaluation.rows == 0
    assert all(not math.isnan(item.value) for item in evaluation.candidates[0].metrics.values())


@pytest.mark.parametrize(("right", "low", "high"), [(True, 0.8316, 1.0), (False, 0.0, 0.1684)])
def test_equal_rows_still_have_an_interval(right: bool, low: float, high: float) -> None:
    rows = make_predictions([("ab"[n % 2], "ab"[n % 2] if right else "?") for n in range(20)])
    metrics = create_metrics([MetricChoice("accuracy"), MetricChoice("f1")])
    score, _ = score_candidate(CandidatePredictions("tuned", CandidateKind.TUNED, rows), metrics)
    exact = binomtest(20 * right, 20).proportion_ci(0.95, method="exact")
    for name in ("accuracy", "f1"):
        metric = score.metrics[name]
        assert (metric.low, metric.high) == pytest.approx((low, high), abs=1e-4)
        assert (metric.low, metric.high) == pytest.approx((exact.low, exact.high))


def test_a_single_row_is_noted_as_too_few() -> None:
    evaluation = evaluate(
        "test.jsonl",
        [CandidatePredictions("tuned", CandidateKind.TUNED, make_predictions([("a", "a")]))],
        create_metrics([MetricChoice("accuracy")]),
    )
    assert list_notes(evaluation) == ["1 row: with so few, intervals are wide"]


def test_the_intervals_of_a_candidate_do_not_depend_on_others() -> None:
    tuned = CandidatePredictions("tuned", CandidateKind.TUNED, _sample_predictions(0.9, 1, rows=60))
    others = [
        CandidatePredictions(
            f"model {seed}", CandidateKind.MODEL, _sample_predictions(0.7, seed, rows=60)
        )
        for seed in (2, 3)
    ]
    alone = score_candidate(tuned, _metrics())[0].metrics
    for other_candidates in ([], others[:1], others):
        evaluation = evaluate("rows.jsonl", [tuned, *other_candidates], _metrics())
        assert evaluation.candidates[0].metrics == alone
    assert evaluation.candidates[2].metrics == score_candidate(others[1], _metrics())[0].metrics


def test_refused_parameters_are_noted_and_stored() -> None:
    refused = {"temperature": None}
    predictions = _sample_predictions(0.9, 1, rows=60)
    first = CandidatePredictions(
        "tuned", CandidateKind.TUNED, predictions, refused_parameters=refused
    )
    second = CandidatePredictions("base", CandidateKind.BASE, predictions)
    evaluation = Evaluation.from_json(evaluate("rows.jsonl", [first, second], _metrics()).to_json())
    assert [item.refused_parameters for item in evaluation.candidates] == [refused, {}]
    assert "tuned: temperature not sent: the model refuses it" in list_notes(evaluation)


def test_what_answered_is_noted_and_stored() -> None:
    candidate = CandidatePredictions(
        "tuned",
        CandidateKind.TUNED,
        _sample_predictions(0.9, 1, rows=60),
        system_fingerprints=("llama.cpp fp32",),
    )
    evaluation = Evaluation.from_json(evaluate("rows.jsonl", [candidate], _metrics()).to_json())
    assert evaluation.candidates[0].system_fingerprints == ("llama.cpp fp32",)
    assert "tuned: answered by llama.cpp fp32" in list_notes(evaluation)


def test_slices_have_their_own_results_and_are_corrected_together() -> None:
    slices = {"kind": {"x": list(range(300)), "y": list(range(300, 590)), "z": [590, 591, 592]}}
    required = [parse_requirement("accuracy_in_kind", ">= 0.95", ["kind"])]
    evaluation = evaluate(
        "test.jsonl",
        _candidates(0.9, 0.8),
        _metrics(),
        ScoringOptions(slices=slices, requirements=required),
    )
    assert [(part.name, part.rows) for part in evaluation.parts] == [
        ("kind=x", 300), ("kind=y", 290), ("kind=z", 3)
    ]  # fmt: skip
    comparisons = [comparison for part in evaluation.parts for comparison in part.comparisons]
    expected = holm([comparison.p_value for comparison in comparisons])
    assert [comparison.p_corrected for comparison in comparisons] == expected
    assert comparisons[2].verdict is Verdict.TOO_FEW_ROWS
    assert [item.text for item in evaluation.requirements] == [
        "accuracy_in_kind >= 0.95 (kind=x)",
        "accuracy_in_kind >= 0.95 (kind=y)",
        "accuracy_in_kind >= 0.95 (kind=z)",
    ]
    assert "too few rows to tell: 3, 95 % interval" in evaluation.requirements[2].reason
    assert [item.met for item in evaluation.requirements[:2]] == [False, False]
    assert evaluation.requirements[0].reason == ""
    assert Evaluation.from_json(evaluation.to_json()) == evaluation
    alone = evaluate("test.jsonl", _candidates(0.9, 0.8), _metrics())
    assert alone.comparisons == evaluation.comparisons
