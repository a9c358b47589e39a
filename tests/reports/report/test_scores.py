"""What an evaluation found is said in words that match its figures."""

from dataclasses import replace

import pytest

from ftops.evaluation.result import (
    CandidateKind,
    CandidateScore,
    Evaluation,
    RequirementResult,
    Savings,
)
from ftops.metrics.result import Comparison, MetricResult, Verdict
from ftops.reports.report import scores, words

SHOWN = Comparison(
    "tuned", "base", "accuracy", 0.083, 0.017, 0.156, 0.0004, "McNemar's test", Verdict.BETTER
)


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (Verdict.BETTER, "tuned is better than base by accuracy"),
        (Verdict.WORSE, "tuned is worse than base by accuracy"),
        (Verdict.NO_DIFFERENCE, "tuned and base do equally well by accuracy"),
        (Verdict.TOO_FEW_ROWS, "Too few rows to tell tuned from base by accuracy"),
    ],
)
def test_each_verdict_has_its_own_words(verdict: Verdict, text: str) -> None:
    said = scores.say_comparison(replace(SHOWN, verdict=verdict))
    assert said.startswith(text)
    assert "(+8.3 points, 95% interval +1.7 to +15.6; McNemar's test, p < 0.001)" in said


def test_too_few_rows_come_with_how_many_would_be_needed() -> None:
    one = replace(SHOWN, verdict=Verdict.TOO_FEW_ROWS, rows_needed=1_240)
    assert scores.say_comparison(one).endswith("About 1,240 rows would be needed to tell.")


def test_a_p_value_that_many_comparisons_have_weakened_is_told_beside_its_own() -> None:
    one = replace(SHOWN, p_value=0.03, p_corrected=0.09)
    assert "p = 0.030, corrected p = 0.090" in scores.say_comparison(one)


def test_a_loss_is_called_a_loss() -> None:
    one = replace(SHOWN, verdict=Verdict.WORSE, difference=-0.05, low=-0.09, high=-0.01)
    assert "−5.0 points, 95% interval −9.0 to −1.0" in scores.say_comparison(one)
    evaluation = Evaluation("f", 1, "accuracy", (), comparisons=(one,))
    assert scores.list_verdicts(evaluation)[0].mark == "bad"


def test_savings_say_what_is_saved_what_is_lost_and_when_it_pays() -> None:
    said = scores.say_savings(Savings("few-shot", 212, 0.018, -0.3, 0.1, 5_612))
    assert said == (
        "Against few-shot: saves 212 tokens a request, saves $0.018 a thousand requests,"
        " takes 0.30 s of waiting (median) more. The training of $0.10 has paid for itself after"
        " 5,612 requests."
    )


def test_unknown_savings_are_not_made_up() -> None:
    said = scores.say_savings(Savings("base", None, None, None, None, None))
    assert said.startswith("Against base: nothing that is known.")


def test_a_missed_requirement_is_marked_and_has_its_reason() -> None:
    missed = RequirementResult("accuracy >= 0.9", None, False, "there is no such figure")
    evaluation = Evaluation("f", 1, "accuracy", (), requirements=(missed,))
    (said,) = scores.list_requirements(evaluation)
    assert (said.mark, said.text) == (
        "bad",
        "accuracy >= 0.9 is missed (there is no such figure).",
    )


def test_the_headline_metric_stands_first_among_the_metrics() -> None:
    figures = {name: MetricResult(0.5, None, None, 9) for name in ("f1", "accuracy")}
    candidate = CandidateScore("tuned", CandidateKind.TUNED, 9, figures)
    evaluation = Evaluation("f", 9, "accuracy", (candidate,))
    assert scores.list_metrics(evaluation) == ["accuracy", "f1"]
    assert scores.say_headline(evaluation) == "tuned reaches accuracy 50.0% on 9 rows."


def test_an_evaluation_without_candidates_says_so() -> None:
    assert scores.say_headline(Evaluation("f", 0, "accuracy", ())) == "No candidate was asked."


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (words.say_usd(0.0), "$0"),
        (words.say_usd(0.0064), "$0.0064"),
        (words.say_usd(1234.5), "$1,234.50"),
        (words.say_seconds(0.416), "0.42 s"),
        (words.say_seconds(3_700), "1.0 h"),
        (words.say_bytes(84_465), "84.5 kB"),
        (words.say_value("edit_distance", 3.25), "3.25"),
        (words.say_value("rouge_l", 2 / 3), "66.7%"),
        (words.say_difference("bleu", -2.5), "−2.5"),
        (words.show("a\x1b[2Jb"), "a\\u001b[2Jb"),
        (words.show("x" * 20, 5), "xxxxx … (15 characters more)"),
    ],
)
def test_figures_have_units_and_texts_no_control_characters(said: str, expected: str) -> None:
    assert said == expected
