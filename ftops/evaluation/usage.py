"""Computes tokens, cost and latency of requests, and savings between models."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from ftops.evaluation.result import CandidateScore, RequestStats, Savings
from ftops.inference.budget import Prices
from ftops.metrics.prediction import Prediction


def measure_requests(
    predictions: Sequence[Prediction], prices: Prices | None = None, *, estimated: bool = False
) -> RequestStats | None:
    """Means and percentiles over the rows with figures; None if no row has any."""
    prompt = _mean([row.prompt_tokens for row in predictions if row.prompt_tokens is not None])
    completion = _mean(
        [row.completion_tokens for row in predictions if row.completion_tokens is not None]
    )
    seconds = [row.seconds for row in predictions if row.seconds is not None]
    if prompt is None and completion is None and not seconds:
        return None
    usd = None
    if prices is not None and prompt is not None and completion is not None:
        usd = 1000 * prices.price(prompt, completion)
    p50, p95 = map(float, np.percentile(seconds, [50, 95])) if seconds else (None, None)
    return RequestStats(prompt, completion, estimated, usd, p50, p95)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def list_savings(
    tuned: CandidateScore, against: Sequence[CandidateScore], *, training_usd: float | None = None
) -> tuple[Savings, ...]:
    """The savings of a request to the tuned model compared with each other model."""
    return tuple(
        _save(tuned.requests, other.name, other.requests, training_usd)
        for other in against
        if other.name != tuned.name and tuned.requests is not None and other.requests is not None
    )


def _save(
    tuned: RequestStats, name: str, other: RequestStats, training_usd: float | None
) -> Savings:
    usd = _less(other, tuned, lambda stats: stats.usd_per_1000)
    return Savings(
        against=name,
        tokens=_less(other, tuned, count_tokens),
        usd_per_1000=usd,
        p50_s=_less(other, tuned, lambda stats: stats.p50_s),
        training_usd=training_usd,
        pays_after=_find_break_even(training_usd, usd),
    )


def count_tokens(requests: RequestStats) -> float | None:
    """The tokens of a request and its response; None if one of them is not known."""
    if requests.prompt_tokens is None or requests.completion_tokens is None:
        return None
    return requests.prompt_tokens + requests.completion_tokens


def _less(
    first: RequestStats, second: RequestStats, read: Callable[[RequestStats], float | None]
) -> float | None:
    upper, lower = read(first), read(second)
    return None if upper is None or lower is None else upper - lower


def _find_break_even(training_usd: float | None, usd_per_1000: float | None) -> int | None:
    if training_usd is None or usd_per_1000 is None:
        return None
    if training_usd <= 0:
        return 0 if usd_per_1000 >= 0 else None
    return math.ceil(training_usd * 1000 / usd_per_1000) if usd_per_1000 > 0 else None
