"""Runs are compared only when their predictions can be paired."""

from dataclasses import replace

from ftops.reports.contents import build, compare_runs
from ftops.reports.run_facts import RunFacts
from tests.reports.sample_runs import NOW, make_facts, make_predictions


def make_weaker(right: float = 0.7) -> RunFacts:
    """Another run whose model is less accurate on the same rows."""
    facts = make_facts(id="run-b")
    return replace(
        facts, predictions={**facts.predictions, "tuned": make_predictions(right, seed=9)}
    )


def test_a_better_run_is_reported_with_its_statistics() -> None:
    (comparison,) = compare_runs([("a", make_facts()), ("b", make_weaker())])
    assert comparison.mark == "good"
    assert comparison.text.startswith("a is better than b by 16.1 points of accuracy (")
    assert "McNemar" in comparison.text


def test_runs_with_equal_predictions_have_no_difference() -> None:
    (comparison,) = compare_runs([("a", make_facts()), ("b", make_facts(id="run-b"))])
    assert comparison.mark == "open"


def test_runs_with_other_rows_or_without_predictions_are_not_compared() -> None:
    shorter = replace(make_weaker(), predictions={"tuned": make_predictions(0.7, seed=9, rows=90)})
    assert compare_runs([("a", make_facts()), ("b", shorter)]) == []
    assert compare_runs([("a", make_facts()), ("b", replace(shorter, predictions={}))]) == []
    assert compare_runs([("a", make_facts()), ("b", replace(shorter, evaluation=None))]) == []


def test_an_unavailable_metric_is_not_compared() -> None:
    facts, other = make_facts(), make_weaker()
    assert facts.evaluation is not None and other.evaluation is not None
    own = [
        replace(item, evaluation=replace(item.evaluation, primary_metric="my_check"))
        for item in (facts, other)
        if item.evaluation is not None
    ]
    assert compare_runs([("a", own[0]), ("b", own[1])]) == []


def test_the_report_of_two_runs_names_the_better_one() -> None:
    contents = build([make_facts(id="run-a"), make_weaker()], NOW)
    (comparison,) = contents.versus
    assert comparison.text.startswith("news-topics (run-a) is better than news-topics (run-b)")
