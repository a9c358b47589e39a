"""What an evaluation may cost, known before anybody is asked."""

from collections.abc import Sequence

from ftops.errors import LimitExceeded
from ftops.orchestrator.evaluation.candidates import Candidate, Field
from ftops.orchestrator.evaluation.judging import MAX_TOKENS
from ftops.orchestrator.evaluation.simple import SIMPLE
from ftops.providers.protocol import Provider
from ftops.records import Prompt
from ftops.scoring.requests import Prices
from ftops.spec.entries import Entry
from ftops.spec.evaluate import EvaluateSpec
from ftops.spec.measures import JudgeMetric

_FRAME_TOKENS = 80  # of the words around a question to a judge


def reach_judge(field: Field, entry: Entry) -> Provider:
    wanted = entry.settings
    assert isinstance(wanted, JudgeMetric)
    return field.open_provider(wanted.settings or field.subject.settings)


def find_prices(candidate: Candidate) -> Prices | None:
    """What a million tokens cost; None where the provider's prices are not known."""
    return _find_prices(candidate.provider, candidate.model)


def _find_prices(provider: Provider, model: str) -> Prices | None:
    figures = provider.find_figures(model)
    if figures.input_usd is None or figures.output_usd is None:
        return None
    return Prices(figures.input_usd, figures.output_usd)


def _get_prices(provider: Provider, model: str) -> Prices:
    prices = _find_prices(provider, model)
    if prices is None:
        raise LimitExceeded(
            f"evaluate.max_cost_usd cannot be held: the price of {model} at {provider.name} is not"
            " known",
            hint="Tell it (docs/prices.md), or take the limit out of the job file.",
        )
    return prices


def check_cost(
    field: Field, candidates: Sequence[Candidate], spec: EvaluateSpec, longest: int
) -> None:
    """LimitExceeded, before anything is asked, when asking could cost more than is allowed.

    Tokens of prompts are taken as a third of their bytes, answers as long as they may be. Judges
    count, too.
    """
    if spec.max_cost_usd is None:
        return
    total = 0.0
    for one in candidates:
        prices = _get_prices(one.provider, one.model)
        size = sum(_count_bytes(prompt) for prompt in one.prompts) / 3
        most = len(one.prompts) * longest
        total += (size * prices.prompt_usd + most * prices.completion_usd) / 1e6
    for entry in spec.measures:
        if isinstance(wanted := entry.settings, JudgeMetric):
            prices = _get_prices(reach_judge(field, entry), wanted.model)
            total += _estimate_judge(candidates, spec, wanted, longest, prices)
    if total > spec.max_cost_usd:
        raise LimitExceeded(
            f"nothing was asked: the evaluation would cost about ${total:,.2f}, and"
            f" evaluate.max_cost_usd is ${spec.max_cost_usd:,.2f}",
            hint="Raise evaluate.max_cost_usd, lower evaluate.max_rows, or name fewer candidates.",
        )


def _estimate_judge(
    candidates: Sequence[Candidate],
    spec: EvaluateSpec,
    wanted: JudgeMetric,
    longest: int,
    prices: Prices,
) -> float:
    """US dollars at most: it reads each question, what is expected, and answers to it."""
    simple = len(SIMPLE) * any(entry.word == "baseline" for entry in spec.candidates)
    answerers = len(candidates) + simple
    times = answerers if wanted.mode == "grade" else 2 * (answerers - 1)
    subject = candidates[0]
    asked = sum(_count_bytes(prompt) for prompt in subject.prompts) / 3
    around = len(wanted.question.encode("utf-8", "replace")) / 3 + _FRAME_TOKENS + 3 * longest
    read = times * (asked + len(subject.prompts) * around)
    written = times * len(subject.prompts) * MAX_TOKENS
    return (read * prices.prompt_usd + written * prices.completion_usd) / 1e6


def _count_bytes(prompt: Prompt) -> int:
    texts = [prompt] if isinstance(prompt, str) else [one.content for one in prompt]
    return sum(len(text.encode("utf-8", "replace")) for text in texts)
