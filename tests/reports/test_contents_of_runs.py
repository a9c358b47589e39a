"""Runs are compared where their answers can be paired, and never where they cannot."""

from dataclasses import replace

from ftops.reports.contents import build, compare_runs
from ftops.reports.run_facts import RunFacts
from tests.reports.sketches import NOW, make_answers, make_facts


def make_weaker(right: float = 0.7) -> RunFacts:
    """Another run whose model answers the same rows less well."""
    facts = make_facts(id="run-b")
    return replace(facts, predictions={**facts.predictions, "tuned": make_answers(right, seed=9)})


def test_a_better_run_is_called_better_with_its_evidence() -> None:
    (said,) = compare_runs([("a", make_facts()), ("b", make_weaker())])
    assert said.mark == "good"
    assert said.text.startswith("a is better than b by 16.1 points of accuracy (")
    assert "McNemar" in said.text


def test_runs_that_answer_alike_are_not_told_apart() -> None:
    (said,) = compare_runs([("a", make_facts()), ("b", make_facts(id="run-b"))])
    assert said.mark == "open"


def test_runs_on_other_rows_or_without_answers_are_not_compared() -> None:
    shorter = replace(make_weaker(), predictions={"tuned": make_answers(0.7, seed=9, rows=90)})
    assert compare_runs([("a", make_facts()), ("b", shorter)]) == []
    assert compare_runs([("a", make_facts()), ("b", replace(shorter, predictions={}))]) == []
    assert compare_runs([("a", make_facts()), ("b", replace(shorter, evaluation=None))]) == []


def test_a_metric_that_cannot_be_made_here_compares_nothing() -> None:
    facts, other = make_facts(), make_weaker()
    assert facts.evaluation is not None and other.evaluation is not None
    own = [
        replace(one, evaluation=replace(one.evaluation, primary_metric="my_check"))
        for one in (facts, other)
        if one.evaluation is not None
    ]
    assert compare_runs([("a", own[0]), ("b", own[1])]) == []


def test_the_report_of_two_runs_says_which_is_better() -> None:
    contents = build([make_facts(id="run-a"), make_weaker()], NOW)
    (said,) = contents.versus
    assert said.text.startswith("news-topics (run-a) is better than news-topics (run-b)")
