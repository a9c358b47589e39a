"""One evaluation tells the truth about several candidates, also when it is unwelcome."""

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
from tests.metrics.predictions import answer, draw_labels, fail


def _metrics(*names: str) -> list[Metric]:
    return create_metrics([MetricChoice(name) for name in names or ("accuracy", "f1")])


def _answers(shares: float, seed: int, *, rows: int = 600) -> list[Prediction]:
    """The same rows for every seed, so great a share of them right."""
    chance = random.Random(seed)
    return answer([("abc"[n % 3], "abc"[n % 3] if chance.random() < shares else "abc"[(n + 1) % 3])
                   for n in range(rows)], seconds=0.1)  # fmt: skip


def _candidates(tuned: float, other: float) -> list[CandidatePredictions]:
    return [
        CandidatePredictions("naive Bayes", CandidateKind.NAIVE_BAYES, _answers(other, 2)),
        CandidatePredictions("tuned", CandidateKind.TUNED, _answers(tuned, 1), "ft:x", "local"),
    ]


def test_the_tuned_model_stands_first_and_is_compared_with_each_other() -> None:
    made = evaluate("test.jsonl", _candidates(0.9, 0.7), _metrics(), ScoringOptions("ab"))
    assert [one.name for one in made.candidates] == ["tuned", "naive Bayes"]
    assert (made.rows, made.primary_metric, made.file_sha256) == (600, "accuracy", "ab")
    (comparison,) = made.comparisons
    assert (comparison.first, comparison.second) == ("tuned", "naive Bayes")
    assert comparison.verdict is Verdict.BETTER
    figure = made.candidates[0].metrics["accuracy"]
    assert figure.low is not None
    assert figure.high is not None
    assert 0.86 < figure.low < figure.value < figure.high < 0.95
    assert made.passed
    assert made.notes == ()


def test_a_tuned_model_that_loses_against_naive_bayes_is_told_so() -> None:
    made = evaluate("test.jsonl", _candidates(0.6, 0.9), _metrics())
    assert made.comparisons[0].verdict is Verdict.WORSE
    assert "Naive Bayes would cost nothing" in describe_outcome(made)


def test_a_planted_no_difference_is_told_so() -> None:
    same = _answers(0.8, 1, rows=4000)
    pair = [
        CandidatePredictions("tuned", CandidateKind.TUNED, same),
        CandidatePredictions("base", CandidateKind.BASE, same),
    ]
    made = evaluate("test.jsonl", pair, _metrics())
    assert made.comparisons[0].verdict is Verdict.NO_DIFFERENCE
    assert describe_comparison(made.comparisons[0]).startswith("no difference in accuracy")


def test_too_few_rows_are_told_with_the_number_that_would_do() -> None:
    pair = [
        CandidatePredictions("tuned", CandidateKind.TUNED, _answers(0.85, 1, rows=24)),
        CandidatePredictions("base", CandidateKind.BASE, _answers(0.8, 5, rows=24)),
    ]
    made = evaluate("test.jsonl", pair, _metrics())
    needed = made.comparisons[0].rows_needed
    assert made.comparisons[0].verdict is Verdict.TOO_FEW_ROWS
    assert needed is not None
    assert needed > 24
    assert list_notes(made) == ["24 rows: with so few, intervals are wide"]
    assert f"about {needed:,} rows" in describe_comparison(made.comparisons[0])


def test_a_planted_leak_and_what_was_memorised_are_told_by_name() -> None:
    answers = _answers(0.6, 1, rows=300)
    known = set(range(1, 61))
    learned = [
        replace(one, predicted=one.expected) if one.line in known else one for one in answers
    ]
    tuned = CandidatePredictions("tuned", CandidateKind.TUNED, learned)
    made = evaluate("test.jsonl", [tuned], _metrics(), ScoringOptions(overlap_lines=known))
    assert made.overlap_rows == 60
    leak, memorized = list_notes(made)
    assert leak.startswith("leak: 60 of 300 rows are training rows")
    assert memorized.startswith("tuned: memorized: 100.0% of the 60 rows")
    clean = evaluate("test.jsonl", [tuned], _metrics(), ScoringOptions(overlap_lines=()))
    assert (clean.overlap_rows, clean.notes) == (0, ())
    assert evaluate("test.jsonl", [tuned], _metrics()).overlap_rows is None


def test_problems_are_counted_by_name_noted_by_line_and_scored_as_wrong() -> None:
    answers = fail(_answers(1.0, 1, rows=60), 4, 5, 6, 7)
    answers[0] = replace(answers[0], predicted=" ")
    answers[1] = replace(
        answers[1], predicted="I cannot say", problem=Problem.REFUSED, note="policy"
    )
    answers[2] = replace(answers[2], predicted="ab", problem=Problem.TRUNCATED)
    candidate = CandidatePredictions("tuned", CandidateKind.TUNED, answers)
    score, notes = score_candidate(candidate, _metrics())
    assert score.problems == {"empty": 1, "refused": 1, "truncated": 1, "failed": 4}
    assert score.outside == 3  # a row without an answer has none that is outside
    assert score.metrics["accuracy"].value == pytest.approx(53 / 60)
    assert score.metrics["accuracy"].rows == 60
    assert [format_note(note) for note in notes] == [
        "tuned: 1 of 60 predictions are empty",
        "tuned: 1 of 60 predictions are refusals (line 2: 'policy')",
        "tuned: 1 of 60 predictions are truncated at max_tokens (line 3)",
        "tuned: 4 of 60 predictions are missing and count as wrong (lines 4, 5, 6, …: 'no answer')",
        "tuned: 3 of 60 predictions are none of the classes, thus wrong",
    ]


def test_a_model_that_always_says_the_same_is_told_but_not_the_majority() -> None:
    answers = answer([("abc"[n % 3], "a") for n in range(60)])
    tuned = CandidatePredictions("tuned", CandidateKind.TUNED, answers)
    _, (note,) = score_candidate(tuned, _metrics())
    assert format_note(note) == (
        "tuned: constant prediction: every prediction is 'a', expected in 20 rows"
    )
    majority = CandidatePredictions("majority", CandidateKind.MAJORITY, answers)
    assert score_candidate(majority, _metrics())[1] == []


def test_a_metric_without_a_figure_is_left_out_with_a_note_and_meets_nothing() -> None:
    made = evaluate(
        "test.jsonl",
        _candidates(0.9, 0.7),
        _metrics("accuracy", "auroc"),
        ScoringOptions(requirements=[parse_requirement("auroc", ">= 0")]),
    )
    assert list(made.candidates[0].metrics) == ["accuracy"]
    assert "tuned: auroc: the model returns no probabilities of labels" in list_notes(made)
    assert not made.passed


def test_requirements_bring_the_comparisons_that_they_speak_of() -> None:
    wanted = [
        parse_requirement("accuracy", ">= 0.85"),
        parse_requirement("f1_over_naive_bayes", "> 0.5"),
    ]
    made = evaluate(
        "test.jsonl", _candidates(0.9, 0.7), _metrics(), ScoringOptions(requirements=wanted)
    )
    assert [one.met for one in made.requirements] == [True, False]
    assert [one.metric for one in made.comparisons] == ["accuracy", "f1"]
    assert "95 % interval" in made.requirements[1].reason
    assert not made.passed


def test_comparisons_of_one_evaluation_are_corrected_together() -> None:
    candidates = [CandidatePredictions("tuned", CandidateKind.TUNED, _answers(0.8, 0))] + [
        CandidatePredictions(f"model: {n}", CandidateKind.MODEL, _answers(0.76, n))
        for n in range(1, 7)
    ]
    made = evaluate("test.jsonl", candidates, _metrics("accuracy"))
    assert all((one.p_corrected or 0) >= one.p_value for one in made.comparisons)
    smallest = min(made.comparisons, key=lambda one: one.p_value)
    assert smallest.p_corrected == pytest.approx(min(1.0, 6 * smallest.p_value))


def test_savings_speak_of_models_that_were_asked_alone() -> None:
    few_shot = [replace(one, prompt_tokens=210, seconds=0.3) for one in _answers(0.8, 3)]
    candidates = [
        CandidatePredictions(
            "tuned", CandidateKind.TUNED, _answers(0.9, 1), "m", prices=Prices(2, 8)
        ),
        CandidatePredictions(
            "few-shot: 5", CandidateKind.FEW_SHOT, few_shot, "b", prices=Prices(1, 4)
        ),
        CandidatePredictions(
            "majority",
            CandidateKind.MAJORITY,
            [Prediction(one.line, one.prompt, one.expected, "a") for one in few_shot],
        ),
    ]
    made = evaluate("test.jsonl", candidates, _metrics(), ScoringOptions(training_usd=3.72))
    (saving,) = made.savings
    assert saving.against == "few-shot: 5"
    assert saving.tokens == pytest.approx(200)
    assert saving.usd_per_1000 == pytest.approx(0.214 - 0.028)
    assert saving.p50_s == pytest.approx(0.2)
    assert saving.pays_after == 20_000


def test_the_same_answers_give_the_same_evaluation_as_plain_json() -> None:
    made, again = (
        evaluate(
            "test.jsonl",
            _candidates(0.9, 0.7),
            choose_default_metrics(_answers(0.9, 1)),
            ScoringOptions(skipped=[SkippedCandidate("base", "it was never trained")], seed=3),
        )
        for _ in range(2)
    )
    assert made == again
    text = json.dumps(made.to_json(), allow_nan=False)
    assert Evaluation.from_json(json.loads(text)) == made


def test_a_metric_that_is_made_elsewhere_is_scored_like_any_other() -> None:
    class Judge:
        name = "judge"
        unit = Unit.SCORE

        def measure(self, answers: list[Prediction]) -> MetricSample:
            return MetricSample.of_scores(
                [None if one.line == 1 else 7.5 for one in answers],
                notes=("1 row was not judged (line 1: nonsense)",),
            )

    made, notes = score_candidate(
        CandidatePredictions("tuned", CandidateKind.TUNED, draw_labels(40, 1)),
        [Judge()],  # type: ignore[list-item]  # it takes lists alone
    )
    assert made.metrics["judge"].rows == 39
    assert made.metrics["judge"].value == 7.5
    assert format_note(notes[-1]) == "tuned: judge: 1 row was not judged (line 1: nonsense)"


def test_candidates_that_answered_other_rows_are_refused() -> None:
    candidates = _candidates(0.9, 0.7)
    candidates[0] = replace(candidates[0], predictions=candidates[0].predictions[1:])
    with pytest.raises(ValueError, match="did not answer the same rows"):
        evaluate("test.jsonl", candidates, _metrics())
    with pytest.raises(ValueError, match="needs a candidate and a metric"):
        evaluate("test.jsonl", [], _metrics())


def test_names_are_unique_and_the_primary_metric_is_measured() -> None:
    same = [CandidatePredictions("tuned", CandidateKind.TUNED, draw_labels(40, 1))] * 2
    with pytest.raises(ValueError, match="two candidates are called 'tuned'"):
        evaluate("test.jsonl", same, _metrics())
    with pytest.raises(ValueError, match="two metrics are called 'f1'"):
        evaluate("test.jsonl", same[:1], _metrics("f1") * 2)
    with pytest.raises(ValueError, match="the primary metric 'f2' is none of accuracy, f1"):
        evaluate("test.jsonl", same[:1], _metrics(), ScoringOptions(primary_metric="f2"))


def test_labels_that_no_row_expects_are_classes_where_they_are_named() -> None:
    answers = answer([("ab"[n % 2], "c") for n in range(20)])
    candidate = CandidatePredictions("tuned", CandidateKind.TUNED, answers)
    assert score_candidate(candidate, _metrics())[0].outside == 20
    named, _ = score_candidate(candidate, _metrics(), labels=["c"])
    assert named.outside == 0
    assert [one.label for one in named.classes] == ["a", "b", "c"]


def test_no_rows_give_no_figures() -> None:
    tuned = CandidatePredictions("tuned", CandidateKind.TUNED, [])
    made = evaluate("test.jsonl", [tuned], _metrics("accuracy", "f1", "bleu", "token_f1"))
    assert made.rows == 0
    assert all(not math.isnan(one.value) for one in made.candidates[0].metrics.values())


@pytest.mark.parametrize(("right", "low", "high"), [(True, 0.8316, 1.0), (False, 0.0, 0.1684)])
def test_rows_that_are_all_alike_still_leave_room_for_rows_that_were_not_seen(
    right: bool, low: float, high: float
) -> None:
    rows = answer([("ab"[n % 2], "ab"[n % 2] if right else "?") for n in range(20)])
    metrics = create_metrics([MetricChoice("accuracy"), MetricChoice("f1")])
    score, _ = score_candidate(CandidatePredictions("tuned", CandidateKind.TUNED, rows), metrics)
    exact = binomtest(20 * right, 20).proportion_ci(0.95, method="exact")
    for name in ("accuracy", "f1"):
        figure = score.metrics[name]
        assert (figure.low, figure.high) == pytest.approx((low, high), abs=1e-4)
        assert (figure.low, figure.high) == pytest.approx((exact.low, exact.high))


def test_one_row_is_noted_to_be_few() -> None:
    made = evaluate(
        "test.jsonl",
        [CandidatePredictions("tuned", CandidateKind.TUNED, answer([("a", "a")]))],
        create_metrics([MetricChoice("accuracy")]),
    )
    assert list_notes(made) == ["1 row: with so few, intervals are wide"]


def test_the_intervals_of_a_candidate_are_the_same_whoever_stands_beside_it() -> None:
    tuned = CandidatePredictions("tuned", CandidateKind.TUNED, _answers(0.9, 1, rows=60))
    others = [
        CandidatePredictions(f"model {seed}", CandidateKind.MODEL, _answers(0.7, seed, rows=60))
        for seed in (2, 3)
    ]
    alone = score_candidate(tuned, _metrics())[0].metrics
    for beside in ([], others[:1], others):
        made = evaluate("rows.jsonl", [tuned, *beside], _metrics())
        assert made.candidates[0].metrics == alone
    assert made.candidates[2].metrics == score_candidate(others[1], _metrics())[0].metrics


def test_parameters_that_a_model_refuses_are_noted_and_kept() -> None:
    refused = {"temperature": None}
    answers = _answers(0.9, 1, rows=60)
    first = CandidatePredictions("tuned", CandidateKind.TUNED, answers, refused_parameters=refused)
    second = CandidatePredictions("base", CandidateKind.BASE, answers)
    made = Evaluation.from_json(evaluate("rows.jsonl", [first, second], _metrics()).to_json())
    assert [one.refused_parameters for one in made.candidates] == [refused, {}]
    assert "tuned: temperature not sent: the model refuses it" in list_notes(made)


def test_slices_have_results_of_their_own_and_are_corrected_together() -> None:
    slices = {"kind": {"x": list(range(300)), "y": list(range(300, 590)), "z": [590, 591, 592]}}
    required = [parse_requirement("accuracy_in_kind", ">= 0.95", ["kind"])]
    made = evaluate(
        "test.jsonl",
        _candidates(0.9, 0.8),
        _metrics(),
        ScoringOptions(slices=slices, requirements=required),
    )
    assert [(part.name, part.rows) for part in made.parts] == [
        ("kind=x", 300), ("kind=y", 290), ("kind=z", 3)
    ]  # fmt: skip
    comparisons = [comparison for part in made.parts for comparison in part.comparisons]
    expected = holm([comparison.p_value for comparison in comparisons])
    assert [comparison.p_corrected for comparison in comparisons] == expected
    assert comparisons[2].verdict is Verdict.TOO_FEW_ROWS
    assert [one.text for one in made.requirements] == [
        "accuracy_in_kind >= 0.95 (kind=x)",
        "accuracy_in_kind >= 0.95 (kind=y)",
        "accuracy_in_kind >= 0.95 (kind=z)",
    ]
    assert "too few rows to tell: 3, 95 % interval" in made.requirements[2].reason
    assert [one.met for one in made.requirements[:2]] == [False, False]
    assert made.requirements[0].reason == ""
    assert Evaluation.from_json(made.to_json()) == made
    alone = evaluate("test.jsonl", _candidates(0.9, 0.8), _metrics())
    assert alone.comparisons == made.comparisons
