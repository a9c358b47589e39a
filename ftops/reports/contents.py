"""The contents of a report in order, independent of its format."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ftops.evaluation.result import (
    CandidateKind,
    CandidateScore,
    Evaluation,
    NoteKind,
    RequestStats,
)
from ftops.evaluation.scoring import CandidatePredictions, evaluate
from ftops.evaluation.text import (
    describe_comparison,
    describe_part,
    describe_problems,
    describe_requirement,
    describe_savings,
    format_interval,
    format_note,
    list_notes,
    list_part_comparisons,
)
from ftops.metrics.metric import create_metrics
from ftops.metrics.registry import MetricChoice
from ftops.metrics.result import ClassResult, Comparison, MetricResult, Verdict, format_value
from ftops.providers.registry import get_capabilities
from ftops.reports.confusion import ConfusionMatrix, describe_mistakes, lay_out
from ftops.reports.curves import TrainingCurves, read_training_curves
from ftops.reports.example_rows import RowExample, WorstRow, list_worst, select_examples
from ftops.reports.format import format_count, format_rows, format_seconds, format_usd, show
from ftops.reports.run_facts import (
    LineageStep,
    RunFacts,
    list_facts,
    list_missing,
    name_runs,
    read_separator,
    trace_lineage,
)

MAX_CLASSES = 60
_MAX_MATRICES = 3  # candidates whose confusion matrix is shown


@dataclass(frozen=True, slots=True)
class Sentence:
    """A finding, and its mark: good, bad, warn or open."""

    mark: str
    text: str


@dataclass(frozen=True, slots=True)
class CandidateLine:
    """One row of the table of candidates; `results` has the value and interval of each metric."""

    name: str
    about: str
    results: Sequence[tuple[str, str]]
    problems: str
    requests: Sequence[str]  # prompt and completion tokens, price of 1,000, p50, p95
    first: bool


@dataclass(frozen=True, slots=True)
class ResultTable:
    """The results of the candidates on some of the rows, or on the rows of `evaluate.keep`."""

    title: str
    metrics: Sequence[str]
    candidates: Sequence[CandidateLine]


@dataclass(frozen=True, slots=True)
class EvaluationPart:
    """The evaluation of one run in a report."""

    evaluation: Evaluation
    headline: str
    metrics: Sequence[str]
    candidates: Sequence[CandidateLine]
    verdicts: Sequence[Sentence]
    requirements: Sequence[Sentence]
    savings: Sequence[str]
    remarks: Sequence[str]
    tables: Sequence[ResultTable]
    matrices: Sequence[tuple[str, ConfusionMatrix]]
    asides: Sequence[Sentence]
    classes: Sequence[ClassResult]
    worst: Sequence[WorstRow]
    examples: Sequence[RowExample]


@dataclass(frozen=True, slots=True)
class RunPart:
    """One run in a report; `name` is unique in it."""

    name: str
    facts: RunFacts
    pairs: Sequence[tuple[str, str]]
    learning: TrainingCurves
    scores: EvaluationPart | None
    data: Sequence[Sentence]
    lineage: Sequence[LineageStep]
    missing: Sequence[str]

    @property
    def findings(self) -> list[Sentence]:
        """The diagnostics of the curves with advice."""
        return [
            _to_sentence("warning", f"{finding.code}: {finding.message}", finding.advice)
            for finding in self.learning.findings
        ]

    @property
    def warnings(self) -> list[Sentence]:
        """The diagnostics of the curves without advice."""
        return [
            _to_sentence("warning", f"{finding.code}: {finding.message}", "")
            for finding in self.learning.findings
        ]

    @property
    def is_untrained(self) -> bool:
        """Whether the model was trained from random weights, which the report must mention."""
        run = self.facts.run
        capabilities = get_capabilities(run.provider)
        return run.fine_tuned_model is not None and capabilities.is_untrained(run.model)


@dataclass(frozen=True, slots=True)
class LeaderboardEntry:
    """A run in the leaderboard, with the primary metric of its first candidate."""

    run: str
    candidate: str
    metric: str
    result: MetricResult


@dataclass(frozen=True, slots=True)
class Contents:
    """A report about one or several runs."""

    title: str
    made_at: datetime
    runs: Sequence[RunPart]
    leaderboard: Sequence[LeaderboardEntry]
    leaderboard_note: str
    versus: Sequence[Sentence] = ()

    @property
    def is_untrained(self) -> bool:
        """Whether any of the models was trained from random weights."""
        return any(run.is_untrained for run in self.runs)

    @property
    def several(self) -> bool:
        """Whether the report compares several runs."""
        return len(self.runs) > 1


def build(runs: Sequence[RunFacts], made_at: datetime) -> Contents:
    """The contents of a report about the runs; `made_at` is the current time in UTC."""
    parts = [_build_run(name, facts) for name, facts in zip(name_runs(runs), runs, strict=True)]
    names = list(dict.fromkeys(show(facts.run.name) for facts in runs))
    title = names[0] if len(names) == 1 else f"{len(runs)} runs: {', '.join(names)}"
    leaderboard = _rank_runs(parts) if len(parts) > 1 else []
    versus = compare_runs([(part.name, part.facts) for part in parts]) if leaderboard else []
    note = _note_leaderboard(parts, leaderboard)
    return Contents(title, made_at, parts, leaderboard, note, versus)


def _build_run(name: str, facts: RunFacts) -> RunPart:
    return RunPart(
        name=show(name),
        facts=facts,
        pairs=list_facts(facts),
        learning=read_training_curves(facts),
        scores=_build_evaluation(facts) if facts.evaluation else None,
        data=_list_data(facts),
        lineage=trace_lineage(facts),
        missing=list_missing(facts),
    )


def _build_evaluation(facts: RunFacts) -> EvaluationPart:
    evaluation = facts.evaluation
    assert evaluation is not None  # checked by the caller
    first = evaluation.candidates[0] if evaluation.candidates else None
    predictions = facts.predictions.get(first.name, ()) if first else ()
    confused = [
        candidate for candidate in evaluation.candidates if candidate.confusion is not None
    ][:_MAX_MATRICES]
    named = {
        show(candidate.name): facts.predictions[candidate.name]
        for candidate in evaluation.candidates
        if facts.predictions.get(candidate.name)
    }
    matrices = [
        (show(candidate.name), lay_out(candidate.confusion))
        for candidate in confused
        if candidate.confusion
    ]
    separator = read_separator(facts)
    return EvaluationPart(
        evaluation=evaluation,
        headline=describe_headline(evaluation),
        metrics=list_metrics(evaluation),
        candidates=list_candidates(evaluation),
        verdicts=list_verdicts(evaluation),
        requirements=list_requirements(evaluation),
        savings=[show(text) for saving in evaluation.savings for text in describe_savings(saving)],
        remarks=_list_remarks(evaluation),
        tables=[
            ResultTable(show(describe_part(part)), list_metrics(part), list_candidates(part))
            for part in evaluation.parts
        ],
        matrices=matrices,
        asides=_list_asides(evaluation, matrices),
        classes=sorted(first.classes, key=lambda result: (result.f1 or 0, result.label))
        if first
        else (),
        worst=list_worst(predictions, separator=separator),
        examples=select_examples(named, separator=separator),
    )


def _list_asides(
    evaluation: Evaluation, matrices: Sequence[tuple[str, ConfusionMatrix]]
) -> list[Sentence]:
    """Sentences next to the headline, about confused labels and leaked rows."""
    mistakes = [describe_mistakes(name, matrix) for name, matrix in matrices[:1]]
    leaks = [format_note(note) for note in evaluation.notes if note.kind is NoteKind.LEAK]
    return [
        *(Sentence("open", text) for text in mistakes if text),
        *(Sentence("warn", show(note)) for note in leaks),
    ]


def _list_remarks(evaluation: Evaluation) -> list[str]:
    """The notes and the skipped candidates."""
    remarks = [show(note) for note in list_notes(evaluation)]
    remarks += [
        f"{show(candidate.name)} was skipped: {show(candidate.reason)}"
        for candidate in evaluation.skipped
    ]
    return remarks


def _list_data(facts: RunFacts) -> list[Sentence]:
    """The issues of the data, most severe first."""
    issues = [_to_sentence(issue.severity, issue.message, issue.advice) for issue in facts.data]
    prepared = facts.results.prepare
    if prepared and prepared.overlap_rows:
        rows = format_rows(prepared.overlap_rows)
        text = f"{rows} of the validation data are in the training data, too."
        issues.insert(0, Sentence("bad", text))
    return issues


def _to_sentence(severity: str, message: str, advice: str) -> Sentence:
    mark = {"error": "bad", "warning": "warn"}.get(severity, "open")
    ended = message if message.endswith((".", "!", "?")) or not advice else f"{message}."
    return Sentence(mark, show(" ".join(part for part in (ended, advice) if part)))


def _rank_runs(parts: Sequence[RunPart]) -> list[LeaderboardEntry]:
    """The primary metric of each run that has one."""
    entries = []
    for part in parts:
        if part.scores is None or not part.scores.evaluation.candidates:
            continue
        evaluation = part.scores.evaluation
        first = evaluation.candidates[0]
        result = first.metrics.get(evaluation.primary_metric)
        if result is not None:
            entries.append(
                LeaderboardEntry(part.name, show(first.name), evaluation.primary_metric, result)
            )
    return entries


def _note_leaderboard(parts: Sequence[RunPart], leaderboard: Sequence[LeaderboardEntry]) -> str:
    """A sentence on whether the results of the runs can be compared."""
    if len(leaderboard) < 2:
        return ""
    if len({entry.metric for entry in leaderboard}) > 1:
        return "The runs were measured by different metrics: these results cannot be compared."
    scored = [part.scores.evaluation for part in parts if part.scores is not None]
    hashes = {evaluation.file_sha256 for evaluation in scored}
    if len({evaluation.rows for evaluation in scored}) > 1 or len(hashes - {""}) > 1:
        return "The runs were evaluated on different rows, which may explain a difference."
    if "" in hashes:
        return "Whether the runs were evaluated on the same rows is not known."
    return "All runs were evaluated on the same rows."


def compare_runs(runs: Sequence[tuple[str, RunFacts]]) -> list[Sentence]:
    """Sentences that compare the first run with each later one.

    Empty if the runs cannot be paired: different rows or metrics, no stored predictions, or a
    metric that cannot be computed here (a Python function, a judge).
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
        if chosen is not None and facts.predictions.get(chosen.name):
            kind = CandidateKind.MODEL
            candidates.append(CandidatePredictions(name, kind, facts.predictions[chosen.name]))
    if len(candidates) < 2 or candidates[0].name != runs[0][0]:
        return []
    try:
        metrics = create_metrics([MetricChoice(first.primary_metric)])
        return list_verdicts(evaluate(first.file, candidates, metrics))
    except ValueError:  # different rows, or a metric with settings
        return []


def list_metrics(evaluation: Evaluation) -> list[str]:
    """The metrics of all candidates, the primary one first."""
    names = dict.fromkeys(name for candidate in evaluation.candidates for name in candidate.metrics)
    return sorted(names, key=lambda name: name != evaluation.primary_metric)


def list_candidates(evaluation: Evaluation) -> list[CandidateLine]:
    """The rows of the table of candidates."""
    metrics = list_metrics(evaluation)
    return [
        CandidateLine(
            name=show(candidate.name),
            about=_describe(candidate),
            results=[_format_cells(candidate.metrics.get(name)) for name in metrics],
            problems=show(describe_problems(candidate)),
            requests=_format_requests(candidate.requests),
            first=index == 0,
        )
        for index, candidate in enumerate(evaluation.candidates)
    ]


def describe_headline(evaluation: Evaluation) -> str:
    """The result of the first candidate, in one sentence."""
    if not evaluation.candidates:
        return "There are no candidates."
    first, metric = evaluation.candidates[0], evaluation.primary_metric
    result = first.metrics.get(metric)
    if result is None:
        return f"{show(first.name)} has no {metric}."
    interval = format_interval(result)
    within = f" (95% interval {interval})" if interval else ""
    value = format_value(result.value, result.unit)
    return f"{show(first.name)} reaches {metric} {value}{within} on {format_rows(result.rows)}."


def list_verdicts(evaluation: Evaluation) -> list[Sentence]:
    """A sentence for each comparison, with those by the primary metric first, then the parts."""
    ordered = sorted(
        evaluation.comparisons,
        key=lambda comparison: comparison.metric != evaluation.primary_metric,
    )
    parts = list_part_comparisons(evaluation)
    texts = [(describe_comparison(comparison), comparison) for comparison in ordered]
    return [Sentence(_mark(comparison), show(text)) for text, comparison in (*texts, *parts)]


def list_requirements(evaluation: Evaluation) -> list[Sentence]:
    """A sentence for each requirement, and whether it is met."""
    return [
        Sentence(
            "good" if requirement.met else "bad",
            f"{'met' if requirement.met else 'missed'}: {show(describe_requirement(requirement))}",
        )
        for requirement in evaluation.requirements
    ]


def _format_cells(result: MetricResult | None) -> tuple[str, str]:
    if result is None:
        return ("", "")
    return (format_value(result.value, result.unit), format_interval(result))


def _describe(score: CandidateScore) -> str:
    model = f"{score.model} at {score.provider}" if score.model and score.provider else score.model
    kind = score.kind.value
    return show(" · ".join(part for part in (kind, model or "") if part and part != score.name))


def _format_requests(stats: RequestStats | None) -> list[str]:
    if stats is None:
        return [""] * 5
    about = "≈" if stats.estimated else ""
    tokens = [
        f"{about}{format_count(value)}" if value is not None else ""
        for value in (stats.prompt_tokens, stats.completion_tokens)
    ]
    return [
        *tokens,
        format_usd(stats.usd_per_1000),
        format_seconds(stats.p50_s),
        format_seconds(stats.p95_s),
    ]


def _mark(comparison: Comparison) -> str:
    return {Verdict.BETTER: "good", Verdict.WORSE: "bad"}.get(comparison.verdict, "open")
