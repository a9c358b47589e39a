"""Runs against each other: their first candidates on the same rows, by the headline metric."""

from collections.abc import Sequence

from ftops.evaluation.result import CandidateKind
from ftops.evaluation.scoring import CandidatePredictions, evaluate
from ftops.metrics.metric import create_metrics
from ftops.metrics.registry import MetricChoice
from ftops.reports.report.facts import RunFacts
from ftops.reports.report.scores import Sentence, list_verdicts


def compare_runs(runs: Sequence[tuple[str, RunFacts]]) -> list[Sentence]:
    """The first run compared with each later one, in words.

    Empty where they cannot be paired: other rows, other metrics, answers that were not kept, or a
    metric that has to be made by what is not here (a function of the user's, a judge).
    """
    first = runs[0][1].evaluation
    if len(runs) < 2 or first is None or not first.candidates:
        return []
    candidates = []
    for name, facts in runs:
        evaluation = facts.evaluation
        if evaluation is None or evaluation.primary_metric != first.primary_metric:
            continue
        chosen = evaluation.candidates[0] if evaluation.candidates else None
        if chosen is not None and facts.answers.get(chosen.name):
            kind = CandidateKind.MODEL
            candidates.append(CandidatePredictions(name, kind, facts.answers[chosen.name]))
    if len(candidates) < 2 or candidates[0].name != runs[0][0]:
        return []
    try:
        metrics = create_metrics([MetricChoice(first.primary_metric)])
        return list_verdicts(evaluate(first.file, candidates, metrics))
    except ValueError:  # other rows, or a metric that takes settings
        return []
