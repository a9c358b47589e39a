"""The texts of an evaluation match its values."""

from dataclasses import replace

import pytest

from ftops.evaluation.result import CandidateKind, CandidateScore, Evaluation, RequirementResult
from ftops.evaluation.text import describe_comparison, format_result
from ftops.metrics.registry import METRICS
from ftops.metrics.result import Comparison, MetricResult, Unit, Verdict
from ftops.reports import contents
from ftops.reports.format import format_bytes, format_seconds, format_usd, show

SHOWN = Comparison(
    "tuned", "base", "accuracy", 0.083, 0.017, 0.156, 0.0004, "McNemar's test", Verdict.BETTER
)


@pytest.mark.parametrize(
    ("verdict", "mark"),
    [
        (Verdict.BETTER, "good"),
        (Verdict.WORSE, "bad"),
        (Verdict.NO_DIFFERENCE, "open"),
        (Verdict.TOO_FEW_ROWS, "open"),
    ],
)
def test_a_comparison_has_a_mark_and_the_text_of_the_terminal(verdict: Verdict, mark: str) -> None:
    comparison = replace(SHOWN, verdict=verdict)
    evaluation = Evaluation("f", 1, "accuracy", (), comparisons=(comparison,))
    (sentence,) = contents.list_verdicts(evaluation)
    assert sentence == contents.Sentence(mark, describe_comparison(comparison))


def test_a_missed_requirement_is_marked_and_has_its_reason() -> None:
    missed = RequirementResult("accuracy >= 0.9", None, False, "there is no such figure")
    evaluation = Evaluation("f", 1, "accuracy", (), requirements=(missed,))
    (item,) = contents.list_requirements(evaluation)
    assert (item.mark, item.text) == (
        "bad",
        "missed: accuracy >= 0.9 (no value: there is no such figure)",
    )


def test_the_primary_metric_is_first() -> None:
    figures = {name: MetricResult(0.5, None, None, 9, Unit.SHARE) for name in ("f1", "accuracy")}
    candidate = CandidateScore("tuned", CandidateKind.TUNED, 9, figures)
    evaluation = Evaluation("f", 9, "accuracy", (candidate,))
    assert contents.list_metrics(evaluation) == ["accuracy", "f1"]
    assert contents.describe_headline(evaluation) == "tuned reaches accuracy 50.0% on 9 rows."


def test_an_evaluation_without_candidates_is_noted() -> None:
    assert (
        contents.describe_headline(Evaluation("f", 0, "accuracy", ())) == "There are no candidates."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (format_usd(0.0), "$0"),
        (format_usd(0.0064), "$0.0064"),
        (format_usd(1234.5), "$1,234.50"),
        (format_seconds(0.416), "0.42 s"),
        (format_seconds(3_700), "1.0 h"),
        (format_bytes(84_465), "84.5 kB"),
        (show("a\x1b[2Jb"), "a\\u001b[2Jb"),
        (show("x" * 20, 5), "xxxxx … (15 characters more)"),
    ],
)
def test_values_have_units_and_texts_no_control_characters(text: str, expected: str) -> None:
    assert text == expected


def test_a_score_is_a_number_in_the_report_as_at_the_terminal() -> None:
    auroc = MetricResult(0.934, 0.9, 0.97, 90, METRICS["auroc"].unit)
    candidate = CandidateScore("tuned", CandidateKind.TUNED, 90, {"auroc": auroc})
    evaluation = Evaluation("f", 90, "auroc", (candidate,))
    (line,) = contents.list_candidates(evaluation)
    assert line.results == [("0.934", "0.9 to 0.97")]
    assert format_result(auroc) == "0.934 (0.9–0.97)"
