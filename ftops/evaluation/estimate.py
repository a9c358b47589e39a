"""Checks an evaluation before anything is sent: requests, cost, metrics and leaked rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ftops.data.plans.inference import get_label_map
from ftops.data.tokens.counter import CounterFactory
from ftops.errors import LimitExceeded
from ftops.evaluation.candidates import (
    Candidate,
    EvaluatedModel,
    EvaluationContext,
    OpenProvider,
    create_evaluated_candidate,
    list_candidates,
)
from ftops.evaluation.inference import MAX_COST, create_sampling
from ftops.evaluation.judge import JUDGE_SAMPLING, list_judges, make_blank_prompt
from ftops.evaluation.prompt_format import PromptFormat
from ftops.evaluation.result import FREE_KINDS, KEEP, SkippedCandidate
from ftops.evaluation.rows import (
    FindData,
    TrainingIndex,
    extract_training,
    prepare_keep_rows,
    prepare_rows,
    read_evaluation_rows,
    write_extract,
)
from ftops.evaluation.scoring import create_named_metrics
from ftops.inference.budget import CostEstimate, create_cost_estimator, find_prices
from ftops.providers.provider import Provider
from ftops.records import Prompt, Sampling
from ftops.spec.evaluate import EvaluateSpec
from ftops.spec.job_file import LoadedJob
from ftops.spec.metrics import JudgeMetric
from ftops.spec.model import JobSpec
from ftops.stage_results import PreparedData
from ftops.text import format_usd

EstimateCost = Callable[[Provider, str, Sequence[Prompt], Sampling], CostEstimate]
_MADE_LATER = ("previous", "checkpoints")  # their models are not known before the run


@dataclass(frozen=True, slots=True)
class RequestEstimate:
    """The highest cost of the requests to one candidate or judge."""

    name: str
    model: str
    provider: str
    cost: CostEstimate


@dataclass(frozen=True, slots=True)
class EvaluationEstimate:
    """The known requests of an evaluation of `rows` rows of `file`.

    `later` names candidates whose requests are not known yet.
    """

    file: str
    rows: int
    requests: Sequence[RequestEstimate]
    skipped: Sequence[SkippedCandidate] = ()
    later: Sequence[str] = ()

    @property
    def usd(self) -> float | None:
        """The highest cost of all known requests; None if a price is not known."""
        prices = [request.cost.usd for request in self.requests]
        known = [price for price in prices if price is not None]
        return sum(known) if len(known) == len(prices) else None


def estimate_requests(
    context: EvaluationContext,
    spec: EvaluateSpec,
    candidates: Sequence[Candidate],
    estimate: EstimateCost,
) -> list[RequestEstimate]:
    """The requests to each candidate, the evaluated model first, and to each judge.

    The estimate for a judge assumes that prompts with a cached response are already judged, and
    that all other predictions have the maximum length.
    """
    max_tokens = spec.max_tokens or context.rows.max_answer_tokens
    requests = []
    for candidate in candidates:
        sampling = create_sampling(spec, candidate, max_tokens)
        cost = estimate(candidate.provider, candidate.model, candidate.prompts, sampling)
        requests.append(
            RequestEstimate(candidate.name, candidate.model, candidate.provider.name, cost)
        )
    pending = [request.cost.requests for request in requests]
    judges = _estimate_judges(context, spec, pending, max_tokens, estimate)
    return [*requests, *judges]


def estimate_keep(
    context: EvaluationContext, spec: EvaluateSpec, estimate: EstimateCost
) -> list[RequestEstimate]:
    """The requests for the rows of `evaluate.keep`, if there are any."""
    if context.keep_rows is None:
        return []
    kept = replace(context, rows=context.keep_rows)
    spec = EvaluateSpec(against=("base",), precision=spec.precision)
    listed = list_candidates(kept, spec.candidates)
    models = [item for item in listed if isinstance(item, Candidate)]
    requests = estimate_requests(kept, spec, [create_evaluated_candidate(kept), *models], estimate)
    return [replace(request, name=f"{KEEP} {request.name}") for request in requests]


def open_judge_provider(context: EvaluationContext, judge: JudgeMetric) -> Provider:
    """The provider of a judge; defaults to that of the evaluated model."""
    return context.open_provider(judge.settings or context.evaluated.settings)


def _estimate_judges(
    context: EvaluationContext,
    spec: EvaluateSpec,
    pending: Sequence[int],
    max_tokens: int,
    estimate: EstimateCost,
) -> Iterator[RequestEstimate]:
    rows = context.rows.rows
    has_baselines = any(entry.word == "baseline" for entry in spec.candidates)
    baselines = len(FREE_KINDS) if has_baselines else 0
    for name, judge in list_judges(spec):
        provider = open_judge_provider(context, judge)
        blanks = [make_blank_prompt(judge, row.prompt, row.expected) for row in rows]
        blank = estimate(provider, judge.model, blanks, JUDGE_SAMPLING)
        prompts = _count_judge_prompts(judge, len(rows), pending, baselines)
        shown = max_tokens * (1 if judge.mode == "grade" else 2)
        prompt_tokens = round(prompts * (blank.prompt_tokens / max(1, blank.requests) + shown))
        completion_tokens = prompts * JUDGE_SAMPLING.max_tokens
        prices = find_prices(provider.get_model_info(judge.model))
        usd = prices.price(prompt_tokens, completion_tokens) if prices else None
        cost = CostEstimate(prompts, prompt_tokens, completion_tokens, usd)
        yield RequestEstimate(name, judge.model, provider.name, cost)


def _count_judge_prompts(
    judge: JudgeMetric, rows: int, pending: Sequence[int], baselines: int
) -> int:
    """The maximum number of prompts to a judge about pending predictions."""
    ours, *others = pending
    if judge.mode == "grade":
        return sum(pending) + (baselines * rows if any(pending) else 0)
    pairs = sum(min(rows, ours + theirs) for theirs in others) + baselines * min(rows, ours)
    return 2 * pairs


def check_cost(requests: Sequence[RequestEstimate], max_cost_usd: float) -> None:
    """Raise LimitExceeded if the requests could cost more, or if a price is not known."""
    total = 0.0
    for request in requests:
        if not request.cost.requests:
            continue
        if request.cost.usd is None:
            raise LimitExceeded(
                f"{MAX_COST} cannot be checked: the price of {request.model} at"
                f" {request.provider} is not known",
                hint="Add the price (docs/prices.md), or remove the limit from the job file.",
            )
        total += request.cost.usd
    if total > max_cost_usd:
        raise LimitExceeded(
            f"no requests were sent: the evaluation would cost up to {format_usd(total)}, and"
            f" {MAX_COST} is {format_usd(max_cost_usd)}",
            hint=f"Raise {MAX_COST}, lower evaluate.max_rows, or name fewer candidates.",
        )


def estimate_evaluation(
    job: LoadedJob,
    prepared: PreparedData,
    folder: Path,
    provider: Provider,
    open_provider: OpenProvider,
    counting: CounterFactory,
) -> EvaluationEstimate | None:
    """Estimate the evaluation of a job file, for `check` and `--dry-run`; None without rows.

    `folder` has the prepared files. Sends nothing. DatasetError if the file cannot be read.
    """
    spec = job.spec.evaluate
    named = spec.file or job.spec.validation_file
    if named is None or job.find_data(named) is None:
        return None
    path, source = prepare_rows(job.spec, job.find_data, prepared, folder)
    prompt_format = PromptFormat(
        prepared.request_format, prepared.separator, prepared.stop, get_label_map(prepared.plan)
    )
    settings, base = job.spec.provider_settings(), job.spec.model
    training = None if prepared.training.file_id else folder / prepared.training.filename
    model = base if base.startswith("ft:") else f"ft:{base}"
    context = EvaluationContext(
        EvaluatedModel(model, settings, prompt_format, base=base, training=training),
        read_evaluation_rows(path, source, prompt_format, spec.max_rows, spec.seed),
        None,
        lambda other: provider if other == settings else open_provider(other),
        spec.seed,
    )
    entries = [entry for entry in spec.candidates if entry.word not in _MADE_LATER]
    listed = list(list_candidates(context, entries))
    models = [item for item in listed if isinstance(item, Candidate)]

    def estimate(
        provider: Provider, model: str, prompts: Sequence[Prompt], sampling: Sampling
    ) -> CostEstimate:
        estimator = create_cost_estimator(provider, model, counting)
        return estimator.estimate(prompts, sampling.max_tokens)

    requests = estimate_requests(
        context, spec, [create_evaluated_candidate(context), *models], estimate
    )
    if spec.keep is not None:
        path, name = prepare_keep_rows(job.spec, spec.keep.file, job.find_data, prepared, folder)
        rows = read_evaluation_rows(path, name, prompt_format, spec.max_rows, spec.seed)
        requests += estimate_keep(replace(context, keep_rows=rows), spec, estimate)
    return EvaluationEstimate(
        file=source,
        rows=len(context.rows.rows),
        requests=requests,
        skipped=[item for item in listed if isinstance(item, SkippedCandidate)],
        later=[entry.word for entry in spec.candidates if entry.word in _MADE_LATER],
    )


def check_evaluation(
    spec: JobSpec,
    job_file: Path,
    find_data: FindData,
    prepared: PreparedData,
    folder: Path,
    training: TrainingIndex | None,
    *,
    run_code: bool,
) -> None:
    """Raise errors that would occur after training: invalid metrics and leaked rows.

    `folder` has the prepared files. The job file's own functions are loaded only with `run_code`.
    A leak cannot be found if the training data is at the provider. What the evaluation needs of the
    training rows is stored in `folder`.
    """
    if spec.evaluate.metrics:
        create_named_metrics(spec.evaluate, job_file.parent, run_code=run_code)
    if spec.evaluate.keep is not None:
        prepare_keep_rows(spec, spec.evaluate.keep.file, find_data, prepared, folder)
    if prepared.training.file_id is not None:
        training = None
    if training is None and not spec.evaluate.slices:
        return
    rows, source = prepare_rows(spec, find_data, prepared, folder)
    if training is None:
        return
    extract = extract_training(training, rows)
    extract.check_leak(source, spec.evaluate)
    write_extract(folder, extract)
