"""What the evaluation of a job will ask and cost, as text and as JSON."""

from collections.abc import Iterator

from rich.console import RenderableType

from ftops.cli.format import heading, render_pairs
from ftops.evaluation.forecasting import EvaluationForecast
from ftops.inference.budget import CostEstimate, format_usd
from ftops.records import Json


def render_evaluation_forecast(found: EvaluationForecast | None) -> Iterator[RenderableType]:
    """For people: a line for each who is asked, and the sum where several cost something."""
    if found is None:
        return
    rows = "1 row" if found.rows == 1 else f"{found.rows:,} rows"
    yield heading(f"Evaluation on {found.file} ({rows})")
    pairs = [(one.name, _describe(one.forecast)) for one in found.asked]
    pairs += [(one.name, f"left out: {one.reason}") for one in found.skipped]
    pairs += [(name, "asked, too, if there are any then") for name in found.later]
    if len(found.asked) > 1:
        pairs.append(("together", _describe_price(found.usd)))
    yield render_pairs(pairs)


def warn_of_evaluation(found: EvaluationForecast | None, most_usd: float | None) -> Iterator[str]:
    """That the limit would keep the evaluation from being begun."""
    if found is None or most_usd is None:
        return
    if found.usd is None:
        yield "evaluate.max_cost_usd cannot be held: a price is not known (docs/prices.md)"
    elif found.usd > most_usd:
        yield (
            f"the evaluation may cost up to {format_usd(found.usd)}, and evaluate.max_cost_usd is"
            f" {format_usd(most_usd)}: it would not be begun"
        )


def evaluation_to_json(found: EvaluationForecast | None) -> Json:
    """The same for programs; dollars are null where a price is not known."""
    if found is None:
        return None
    asked: list[Json] = [
        {
            "name": one.name,
            "model": one.model,
            "provider": one.provider,
            "questions": one.forecast.questions,
            "prompt_tokens": one.forecast.prompt_tokens,
            "max_completion_tokens": one.forecast.completion_tokens,
            "max_cost_usd": one.forecast.usd,
        }
        for one in found.asked
    ]
    skipped: list[Json] = [{"name": one.name, "reason": one.reason} for one in found.skipped]
    return {
        "file": found.file,
        "rows": found.rows,
        "asked": asked,
        "skipped": skipped,
        "later": list(found.later),
        "max_cost_usd": found.usd,
    }


def _describe(forecast: CostEstimate) -> str:
    questions = "1 question" if forecast.questions == 1 else f"{forecast.questions:,} questions"
    return (
        f"{questions}, about {forecast.prompt_tokens:,} tokens, answers of up to"
        f" {forecast.completion_tokens:,}; {_describe_price(forecast.usd)}"
    )


def _describe_price(usd: float | None) -> str:
    if usd is None:
        return "price not known"
    return "free" if usd == 0 else f"up to {format_usd(usd)}"
