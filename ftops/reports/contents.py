"""Everything that a report says, in the order in which it says it; no form of it yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ftops.evaluation.result import CandidateKind, Evaluation, NoteKind
from ftops.evaluation.scoring import CandidatePredictions, evaluate
from ftops.evaluation.text import describe_savings, format_note, list_notes
from ftops.metrics.metric import create_metrics
from ftops.metrics.registry import MetricChoice
from ftops.metrics.result import ClassResult, MetricResult
from ftops.reports import scores, whole_runs
from ftops.reports.confusion import Matrix, lay_out, say_mistakes
from ftops.reports.curves import TrainingCurves, read_training_curves
from ftops.reports.facts import RunFacts, find_separator, name_runs
from ftops.reports.rows import Example, WorstRow, choose_examples, find_worst
from ftops.reports.scores import CandidateLine, Sentence, list_verdicts
from ftops.reports.words import say_rows, show

_MATRICES = 3  # candidates whose confusions are shown


@dataclass(frozen=True, slots=True)
class Scores:
    """The evaluation of one run as it is shown."""

    evaluation: Evaluation
    headline: str
    metrics: Sequence[str]
    candidates: Sequence[CandidateLine]
    verdicts: Sequence[Sentence]
    requirements: Sequence[Sentence]
    savings: Sequence[str]
    remarks: Sequence[str]
    matrices: Sequence[tuple[str, Matrix]]
    asides: Sequence[Sentence]
    classes: Sequence[ClassResult]
    worst: Sequence[WorstRow]
    examples: Sequence[Example]


@dataclass(frozen=True, slots=True)
class RunPart:
    """What is said of one run. `name` is its own in this report."""

    name: str
    facts: RunFacts
    pairs: Sequence[tuple[str, str]]
    learning: TrainingCurves
    scores: Scores | None
    data: Sequence[Sentence]
    lineage: Sequence[whole_runs.Link]
    missing: Sequence[str]

    @property
    def findings(self) -> list[Sentence]:
        """What the curves say."""
        return [
            _to_sentence("warning", f"{one.code}: {one.message}", one.advice)
            for one in self.learning.findings
        ]

    @property
    def warnings(self) -> list[Sentence]:
        """The same in short, without what to do."""
        found = self.learning.findings
        return [_to_sentence("warning", f"{one.code}: {one.message}", "") for one in found]

    @property
    def built_in(self) -> bool:
        """Whether the built-in engine made the model, which must be said of it."""
        provider = self.facts.run.provider
        return provider.uses_engine and self.facts.run.fine_tuned_model is not None


@dataclass(frozen=True, slots=True)
class Standing:
    """The first candidate of one run among the runs: its headline figure."""

    run: str
    candidate: str
    metric: str
    figure: MetricResult


@dataclass(frozen=True, slots=True)
class Contents:
    """A report about one or several runs."""

    title: str
    made_at: datetime
    runs: Sequence[RunPart]
    standings: Sequence[Standing]
    standing_note: str
    versus: Sequence[Sentence] = ()

    @property
    def built_in(self) -> bool:
        """Whether any model was made by the built-in engine."""
        return any(run.built_in for run in self.runs)

    @property
    def several(self) -> bool:
        """Whether runs are compared."""
        return len(self.runs) > 1


def compose(runs: Sequence[RunFacts], made_at: datetime) -> Contents:
    """All that there is to say about the runs; `made_at` is now, in UTC."""
    parts = [_compose_run(name, facts) for name, facts in zip(name_runs(runs), runs, strict=True)]
    names = list(dict.fromkeys(show(one.run.name) for one in runs))
    title = names[0] if len(names) == 1 else f"{len(runs)} runs: {', '.join(names)}"
    standings = _rank_runs(parts) if len(parts) > 1 else []
    versus = compare_runs([(part.name, part.facts) for part in parts]) if standings else []
    note = _note_standings(parts, standings)
    return Contents(title, made_at, parts, standings, note, versus)


def _compose_run(name: str, facts: RunFacts) -> RunPart:
    return RunPart(
        name=show(name),
        facts=facts,
        pairs=whole_runs.list_pairs(facts),
        learning=read_training_curves(facts),
        scores=_compose_scores(facts) if facts.evaluation else None,
        data=_list_data(facts),
        lineage=whole_runs.trace(facts),
        missing=whole_runs.list_missing(facts),
    )


def _compose_scores(facts: RunFacts) -> Scores:
    evaluation = facts.evaluation
    assert evaluation is not None  # the caller has looked
    first = evaluation.candidates[0] if evaluation.candidates else None
    answers = facts.answers.get(first.name, ()) if first else ()
    told = [one for one in evaluation.candidates if one.confusion is not None][:_MATRICES]
    named = {
        show(one.name): facts.answers[one.name]
        for one in evaluation.candidates
        if facts.answers.get(one.name)
    }
    matrices = [(show(one.name), lay_out(one.confusion)) for one in told if one.confusion]
    separator = find_separator(facts)
    return Scores(
        evaluation=evaluation,
        headline=scores.say_headline(evaluation),
        metrics=scores.list_metrics(evaluation),
        candidates=scores.list_candidates(evaluation),
        verdicts=scores.list_verdicts(evaluation),
        requirements=scores.list_requirements(evaluation),
        savings=[show(text) for one in evaluation.savings for text in describe_savings(one)],
        remarks=_list_remarks(evaluation),
        matrices=matrices,
        asides=_list_asides(evaluation, matrices),
        classes=sorted(first.classes, key=lambda one: (one.f1 or 0, one.label)) if first else (),
        worst=find_worst(answers, separator=separator),
        examples=choose_examples(named, separator=separator),
    )


def _list_asides(evaluation: Evaluation, matrices: Sequence[tuple[str, Matrix]]) -> list[Sentence]:
    """What belongs beside the headline: which labels are confused, and a leak."""
    told = [say_mistakes(name, matrix) for name, matrix in matrices[:1]]
    leaks = [format_note(note) for note in evaluation.notes if note.kind is NoteKind.LEAK]
    return [
        *(Sentence("open", text) for text in told if text),
        *(Sentence("warn", show(note)) for note in leaks),
    ]


def _list_remarks(evaluation: Evaluation) -> list[str]:
    """What whoever reads the figures should know."""
    remarks = [show(note) for note in list_notes(evaluation)]
    remarks += [f"{show(one.name)} was left out: {show(one.reason)}" for one in evaluation.skipped]
    return remarks


def _list_data(facts: RunFacts) -> list[Sentence]:
    """What was found in the data, the worst first."""
    found = [_to_sentence(one.severity, one.message, one.advice) for one in facts.data]
    prepared = facts.results.prepare
    if prepared and prepared.overlap_rows:
        rows = say_rows(prepared.overlap_rows)
        text = f"{rows} of the validation data are in the training data, too."
        found.insert(0, Sentence("bad", text))
    return found


def _to_sentence(severity: str, message: str, advice: str) -> Sentence:
    mark = {"error": "bad", "warning": "warn"}.get(severity, "open")
    ended = message if message.endswith((".", "!", "?")) or not advice else f"{message}."
    return Sentence(mark, show(" ".join(part for part in (ended, advice) if part)))


def _rank_runs(parts: Sequence[RunPart]) -> list[Standing]:
    """The headline figure of each run that has one."""
    found = []
    for part in parts:
        if part.scores is None or not part.scores.evaluation.candidates:
            continue
        evaluation = part.scores.evaluation
        first = evaluation.candidates[0]
        figure = first.metrics.get(evaluation.primary_metric)
        if figure is not None:
            found.append(Standing(part.name, show(first.name), evaluation.primary_metric, figure))
    return found


def _note_standings(parts: Sequence[RunPart], standings: Sequence[Standing]) -> str:
    """Whether the figures of the runs may be compared."""
    if len(standings) < 2:
        return ""
    if len({one.metric for one in standings}) > 1:
        return "The runs were measured by different metrics: these figures cannot be compared."
    scored = [part.scores.evaluation for part in parts if part.scores is not None]
    hashes = {one.file_sha256 for one in scored}
    if len({one.rows for one in scored}) > 1 or len(hashes - {""}) > 1:
        return "The runs answered different rows: a difference may be one of the rows."
    if "" in hashes:
        return "Whether the runs answered the same rows was not kept."
    return "All runs answered the same rows."


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
