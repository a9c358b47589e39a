"""What an evaluation will ask and cost, its judges included, before anybody is asked."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ftops.errors import LimitExceeded
from ftops.evaluation.candidates import Candidate, Field
from ftops.evaluation.interview import make_sampling
from ftops.evaluation.judging import JUDGED, NAME, put_blank
from ftops.evaluation.simple import SIMPLE
from ftops.inference.budget import CostEstimate, find_prices, format_usd
from ftops.providers.provider import Provider
from ftops.records import Prompt, Sampling
from ftops.spec.evaluate import EvaluateSpec
from ftops.spec.metrics import JudgeMetric

# What prompts to a model take at most, as far as they are still to be asked.
Foresee = Callable[[Provider, str, Sequence[Prompt], Sampling], CostEstimate]
LIMIT = "evaluate.max_cost_usd"


@dataclass(frozen=True, slots=True)
class Asked:
    """One candidate or judge: whom it asks, and what that takes at most."""

    name: str
    model: str
    provider: str
    forecast: CostEstimate


def foresee_all(
    field: Field,
    spec: EvaluateSpec,
    candidates: Sequence[Candidate],
    longest: int,
    foresee: Foresee,
) -> list[Asked]:
    """What each candidate, the evaluated model first, and then each judge takes.

    What `foresee` does not count, because it was answered before, is not judged anew either: a
    judge is taken to be asked about all others, and about the longest answers.
    """
    asked = []
    for one in candidates:
        forecast = foresee(
            one.provider, one.model, one.prompts, make_sampling(spec, longest, one.stop)
        )
        asked.append(Asked(one.name, one.model, one.provider.name, forecast))
    missing = [one.forecast.questions for one in asked]
    return [*asked, *_foresee_judges(field, spec, missing, longest, foresee)]


def list_judges(spec: EvaluateSpec) -> list[JudgeMetric]:
    """The judges that the section names, in their order."""
    found = [one.settings for one in spec.metric_entries if one.word == NAME]
    return [one for one in found if isinstance(one, JudgeMetric)]


def reach_judge(field: Field, wanted: JudgeMetric) -> Provider:
    """The provider of a judge; that of the evaluated model where none is named."""
    return field.open_provider(wanted.settings or field.subject.settings)


def _foresee_judges(
    field: Field, spec: EvaluateSpec, missing: Sequence[int], longest: int, foresee: Foresee
) -> Iterator[Asked]:
    rows = field.questions.rows
    simple = len(SIMPLE) if any(one.word == "baseline" for one in spec.candidates) else 0
    for wanted in list_judges(spec):
        provider = reach_judge(field, wanted)
        blanks = [put_blank(wanted, row.prompt, row.expected) for row in rows]
        once = foresee(provider, wanted.model, blanks, JUDGED)
        questions = _count_judged(wanted, len(rows), missing, simple)
        shown = longest * (1 if wanted.mode == "grade" else 2)
        read = round(questions * (once.prompt_tokens / max(1, once.questions) + shown))
        written = questions * JUDGED.max_tokens
        prices = find_prices(provider.get_model_info(wanted.model))
        usd = prices.price(read, written) if prices else None
        forecast = CostEstimate(questions, read, written, usd)
        yield Asked(wanted.name or NAME, wanted.model, provider.name, forecast)


def _count_judged(wanted: JudgeMetric, rows: int, missing: Sequence[int], simple: int) -> int:
    """How often a judge is asked at most about answers that are still to come."""
    ours, *others = missing
    if wanted.mode == "grade":
        return sum(missing) + (simple * rows if any(missing) else 0)
    pairs = sum(min(rows, ours + theirs) for theirs in others) + simple * min(rows, ours)
    return 2 * pairs


def check_cost(asked: Sequence[Asked], most_usd: float) -> None:
    """LimitExceeded, before anything is asked, when it could cost more than that."""
    total = 0.0
    for one in asked:
        if not one.forecast.questions:
            continue
        if one.forecast.usd is None:
            raise LimitExceeded(
                f"{LIMIT} cannot be held: the price of {one.model} at {one.provider} is not known",
                hint="Tell it (docs/prices.md), or take the limit out of the job file.",
            )
        total += one.forecast.usd
    if total > most_usd:
        raise LimitExceeded(
            f"nothing was asked: the evaluation would cost up to {format_usd(total)}, and {LIMIT}"
            f" is {format_usd(most_usd)}",
            hint=f"Raise {LIMIT}, lower evaluate.max_rows, or name fewer candidates.",
        )
