"""Everybody answers the same rows: candidates are found and asked, their answers judged."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ftops.errors import (
    AuthFailed,
    NotFound,
    PermissionRefused,
    ProviderError,
    Rejected,
)
from ftops.evaluation.candidates import (
    Candidate,
    Field,
    find_candidates,
    make_subject_candidate,
)
from ftops.evaluation.costs import check_cost, foresee_all, list_judges, reach_judge
from ftops.evaluation.interview import Interview, Reply, make_sampling
from ftops.evaluation.judging import (
    JUDGED,
    AskJudge,
    Judged,
    JudgeScores,
    grade_answers,
    judge_pairs,
)
from ftops.evaluation.judging import NAME as JUDGE
from ftops.evaluation.label_probabilities import Chances, read_chances
from ftops.evaluation.result import CandidateKind, SkippedCandidate
from ftops.evaluation.simple import answer_simply
from ftops.evaluation.usage import Prices
from ftops.evaluation.ways import Way
from ftops.metrics.prediction import Prediction, Problem
from ftops.providers.provider import Provider
from ftops.records import Prompt, RowFormat
from ftops.spec.evaluate import EvaluateSpec
from ftops.spec.metrics import JudgeMetric

# What ends one candidate, and not the evaluation; anything else may be gone with the next try.
_GONE = (AuthFailed, PermissionRefused, NotFound, Rejected)
Progress = Callable[[int, int], None]  # answers there are, of how many


@dataclass(frozen=True, slots=True)
class Answered:
    """A candidate with all its answers, and what asking it costs where that is known."""

    name: str
    kind: CandidateKind
    answers: Sequence[Prediction]
    model: str | None = None
    provider: str | None = None
    prices: Prices | None = None
    note: str = ""  # what is to be known of its answers
    refused_parameters: Mapping[str, str | None] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interviews:
    """All that was answered, who was left out, and what judges made of it."""

    answered: Sequence[Answered]
    skipped: Sequence[SkippedCandidate]
    judges: Sequence[JudgeScores] = ()

    @property
    def notes(self) -> list[str]:
        """What is to be said of answers, and of the judges."""
        of_answers = [one.note for one in self.answered if one.note]
        of_judges = [note for judge in self.judges for note in judge.judged.say(judge.name)]
        return of_answers + of_judges

    @property
    def answers(self) -> dict[str, Sequence[Prediction]]:
        """The answers by the candidate's name."""
        return {one.name: one.answers for one in self.answered}


@dataclass(slots=True)
class _Meter:
    """Adds up how many answers there are, over all candidates."""

    progress: Progress
    total: int
    done: int = 0

    def watch(self) -> Callable[[int], None]:
        """Who is told of one candidate's answers."""
        before = self.done

        def tell(count: int) -> None:
            self.done = before + count
            self.progress(self.done, self.total)

        return tell


def interview_all(
    field: Field, spec: EvaluateSpec, interview: Interview, progress: Progress
) -> Interviews:
    """Ask everybody, the evaluated model first: its own errors are the end, others are left out."""
    subject = make_subject_candidate(field)
    found = list(find_candidates(field, spec.candidates))
    asked = [one for one in found if isinstance(one, Candidate)]
    skipped = [one for one in found if isinstance(one, SkippedCandidate)]
    if spec.max_cost_usd is not None:
        longest = find_longest(field, spec)
        takes = foresee_all(field, spec, [subject, *asked], longest, interview.foresee)
        check_cost(takes, spec.max_cost_usd)
    for wanted in list_judges(spec):  # without a key, say, it is better told before others are paid
        reach_judge(field, wanted).ensure_ready()
    meter = _Meter(progress, (1 + len(asked)) * len(field.questions.rows))
    progress(0, meter.total)
    answered = [_interview(field, spec, subject, interview, meter)]
    for candidate in asked:
        try:
            answered.append(_interview(field, spec, candidate, interview, meter))
        except _GONE as error:
            skipped.append(SkippedCandidate(candidate.name, _say_gone(candidate, error)))
    if any(entry.word == "baseline" for entry in spec.candidates):
        for simple in _answer_simply(field):
            if isinstance(simple, SkippedCandidate):
                skipped.append(simple)
            else:
                answered.append(simple)
    return Interviews(answered, skipped, list(_judge(field, spec, answered, interview)))


def _interview(
    field: Field, spec: EvaluateSpec, candidate: Candidate, interview: Interview, meter: _Meter
) -> Answered:
    sampling = make_sampling(spec, find_longest(field, spec), candidate.stop)
    replies = interview.ask(
        candidate.provider,
        candidate.model,
        candidate.prompts,
        sampling,
        on_progress=meter.watch(),
        fresh=candidate.kind is CandidateKind.TUNED,
    )
    expected = {row.expected for row in field.questions.rows}
    told = [one.chances for one in replies]
    chances = read_chances(told, candidate.way, expected, candidate.name)
    return Answered(
        name=candidate.name,
        kind=candidate.kind,
        answers=list(_read_replies(field, candidate, replies, chances)),
        model=candidate.model,
        provider=candidate.provider.name,
        prices=find_prices(candidate),
        note=chances.trouble,
        refused_parameters=_join_refused(replies),
    )


def _join_refused(replies: Sequence[Reply]) -> dict[str, str | None]:
    """What was left out or renamed in any of the requests."""
    return {name: new for reply in replies for name, new in reply.refused_parameters.items()}


def _read_replies(
    field: Field, candidate: Candidate, replies: Sequence[Reply], chances: Chances
) -> Iterator[Prediction]:
    rows = zip(field.questions.rows, candidate.prompts, replies, chances.by_answer, strict=True)
    for row, prompt, reply, known in rows:
        given = candidate.way.read(reply.text)
        # What is right although it ended at the limit was long enough.
        whole = reply.problem is Problem.TRUNCATED and given == row.expected
        yield Prediction(
            line=row.line,
            prompt=prompt,
            expected=row.expected,
            predicted=given,
            finish_reason=reply.finish_reason,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            seconds=reply.seconds,
            probabilities=known,
            problem=None if whole else reply.problem,
            note=reply.note,
        )


def find_longest(field: Field, spec: EvaluateSpec) -> int:
    """The most tokens that an answer may have."""
    return spec.max_tokens or field.questions.longest


def _say_gone(candidate: Candidate, error: ProviderError) -> str:
    return f"{candidate.model} cannot be asked at {candidate.provider.name}: {error.message}"


def _answer_simply(field: Field) -> Iterator[Answered | SkippedCandidate]:
    training = field.subject.training
    if training is None:
        yield SkippedCandidate(
            "baseline", "the training rows, of which it would learn, are not here"
        )
        return
    for found in answer_simply(training, field.questions):
        if isinstance(found, SkippedCandidate):
            yield found
        else:
            kind, answers = found
            yield Answered(kind.value, kind, answers)


def find_prices(candidate: Candidate) -> Prices | None:
    """What a million tokens cost; None where the provider's prices are not known."""
    figures = candidate.provider.get_model_info(candidate.model)
    if figures.input_usd is None or figures.output_usd is None:
        return None
    return Prices(figures.input_usd, figures.output_usd)


def _judge(
    field: Field, spec: EvaluateSpec, answered: Sequence[Answered], interview: Interview
) -> Iterator[JudgeScores]:
    """What each judge that is named makes of the answers, as a metric."""
    for number, wanted in enumerate(list_judges(spec)):
        refused: dict[str, str | None] = {}
        ask = _open_judge(reach_judge(field, wanted), wanted, interview, refused)
        name = wanted.name or (f"{JUDGE}_{number + 1}" if number else JUDGE)
        judged = _ask_judge(wanted, answered, ask)
        judged.refused_parameters = refused
        yield JudgeScores(judged, name)


def _open_judge(
    provider: Provider,
    wanted: JudgeMetric,
    interview: Interview,
    refused: dict[str, str | None],
) -> AskJudge:
    """How the judge is asked; what it refuses of a request is added to `refused`."""
    way = Way(provider.row_format(wanted.model))
    if way.format is not RowFormat.CHAT:
        way = Way(way.format, separator="\n\n")

    def ask(prompts: Sequence[Prompt]) -> list[str | None]:
        put = [way.ask(prompt, Way()) for prompt in prompts]
        replies = interview.ask(provider, wanted.model, put, JUDGED, on_progress=lambda _: None)
        refused.update(_join_refused(replies))
        return [None if one.problem is Problem.FAILED else one.text for one in replies]

    return ask


def _ask_judge(wanted: JudgeMetric, answered: Sequence[Answered], ask: AskJudge) -> Judged:
    others = {one.name: one.answers for one in answered[1:]}
    if wanted.mode == "grade":
        return grade_answers(wanted, {one.name: one.answers for one in answered}, ask)
    return judge_pairs(wanted, answered[0].answers, others, ask)
