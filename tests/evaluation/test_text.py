"""The results of an evaluation as sentences."""

from dataclasses import replace

import pytest

from ftops.evaluation.result import Note, NoteKind, Savings
from ftops.evaluation.text import (
    describe_comparison,
    describe_outcome,
    describe_savings,
    format_note,
    format_result,
)
from ftops.metrics.result import MetricResult, Unit, Verdict, format_value
from tests.reports.evaluations import make_comparison, make_evaluation


@pytest.mark.parametrize(
    ("difference", "verdict", "sentence"),
    [
        (
            0.031,
            Verdict.BETTER,
            "tuned is better than base by 3.1 points of accuracy (95 % interval"
            " 1.1 to 5.1, p = 0.004,"
            " McNemar's exact test)",
        ),
        (
            -0.031,
            Verdict.WORSE,
            "tuned is worse than base by 3.1 points of accuracy (95 % interval"
            " 1.1 to 5.1, p = 0.004,"
            " McNemar's exact test)",
        ),
        (
            0.001,
            Verdict.NO_DIFFERENCE,
            "no difference in accuracy between tuned and base (95 % interval"
            " -1.9 to 2.1, p = 0.004,"
            " McNemar's exact test)",
        ),
        (
            -0.01,
            Verdict.TOO_FEW_ROWS,
            "tuned is behind base by 1.0 points of accuracy (95 % interval -1.0 to 3.0, p = 0.004,"
            " McNemar's exact test), which may be chance; too few rows to tell: about 900 rows are"
            " needed",
        ),
    ],
)
def test_a_comparison_has_its_size_and_certainty(
    difference: float, verdict: Verdict, sentence: str
) -> None:
    text = describe_comparison(make_comparison("base", difference, verdict))
    assert text == sentence.replace("1.0 points", "1 point")


def test_equal_values_on_few_rows_have_no_interval() -> None:
    same = replace(make_comparison("base", 0.0, Verdict.TOO_FEW_ROWS), rows_needed=150)
    assert describe_comparison(same) == (
        "tuned and base have the same accuracy, but there are too few rows to tell that there is no"
        " difference: about 150 rows are needed"
    )


def test_a_lower_distance_is_better_and_values_without_share_have_no_points() -> None:
    less = replace(
        make_comparison("naive Bayes", -0.5, Verdict.TOO_FEW_ROWS),
        higher_is_better=False,
        unit=Unit.SCORE,
    )
    text = describe_comparison(less)
    assert text.startswith(
        "tuned is ahead of naive Bayes by 0.5 of accuracy (95 % interval 0.48 to 0.52"
    )
    assert "scored higher" not in describe_outcome(make_evaluation(less))
    more = replace(less, difference=0.5)
    assert describe_comparison(more).startswith("tuned is behind naive Bayes by 0.5 of accuracy")
    assert "Naive Bayes scored higher on these rows, at no cost." in describe_outcome(
        make_evaluation(more)
    )


def test_the_corrected_p_value_is_reported() -> None:
    comparison = replace(make_comparison("base", 0.1, Verdict.BETTER), p_corrected=0.012)
    sentence = describe_comparison(comparison)
    assert "p = 0.012 (corrected for several comparisons; p = 0.004 alone)" in sentence


def test_a_worse_tuned_model_is_reported_with_a_free_alternative() -> None:
    evaluation = make_evaluation(make_comparison("naive Bayes", -0.1, Verdict.WORSE))
    sentence = "The tuned model loses to naive Bayes. Naive Bayes would cost nothing."
    assert describe_outcome(evaluation) == sentence


def test_a_better_tuned_model_is_reported() -> None:
    evaluation = make_evaluation(make_comparison("naive Bayes", 0.1, Verdict.BETTER))
    assert describe_outcome(evaluation) == "The tuned model is better than naive Bayes."


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (Verdict.NO_DIFFERENCE, "scored the same, at no cost."),
        (Verdict.TOO_FEW_ROWS, "scored higher on these rows, at no cost."),
    ],
)
def test_an_insignificant_result_is_reported_as_such(verdict: Verdict, sentence: str) -> None:
    text = describe_outcome(make_evaluation(make_comparison("naive Bayes", -0.01, verdict)))
    assert text.startswith("The tuned model is not significantly better than naive Bayes.")
    assert text.endswith(f" Naive Bayes {sentence}")


def test_an_evaluation_of_a_single_model_has_no_outcome() -> None:
    assert describe_outcome(make_evaluation()) == ""


def test_values_are_shown_as_shares_with_their_interval() -> None:
    assert format_result(MetricResult(0.944, 0.9, 0.972, 180, Unit.SHARE)) == "94.4% (90.0–97.2)"
    assert format_result(MetricResult(0.5, None, None, 1, Unit.SHARE)) == "50.0%"
    assert format_result(MetricResult(3.25, 3.0, 3.5, 10)) == "3.25 (3–3.5)"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.934, Unit.SCORE, "0.934"),
        (0.934, Unit.SHARE, "93.4%"),
        (1200.0, Unit.TOKENS, "1,200 tokens"),
        (0.42, Unit.USD, "$0.42"),
        (0.4, Unit.SECONDS, "0.4 s"),
    ],
)
def test_the_unit_decides_how_a_value_is_formatted(value: float, unit: Unit, text: str) -> None:
    assert format_value(value, unit) == text


def test_savings_and_extra_costs_are_reported() -> None:
    assert list(describe_savings(Savings("few-shot", 120.0, 0.5, 0.25, 3.0, 6000))) == [
        "120.0 tokens fewer a request than few-shot",
        "$0.5 less per 1,000 requests than few-shot",
        "0.25 s faster than few-shot (median)",
        "training pays off after 6,000 requests",
    ]
    assert list(describe_savings(Savings("base", -3.0, None, -0.1, None, None))) == [
        "3.0 tokens more a request than base",
        "0.1 s slower than base (median)",
    ]


@pytest.mark.parametrize("kind", NoteKind)
def test_every_kind_of_note_has_a_text(kind: NoteKind) -> None:
    note = Note(kind, rows=2, total=3, detail="some detail", problem="empty", expected=1)
    text = format_note(note)
    assert text
    assert format_note(replace(note, subject="tuned")) == f"tuned: {text}"


def test_free_training_has_no_break_even() -> None:
    free = Savings("base", None, 0.0, None, training_usd=0.0, pays_after=0)
    assert list(describe_savings(free)) == []
