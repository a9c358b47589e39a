"""Estimates tokens and price of training, and checks the limits of the job file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ftops.data.summary import DataSummary
from ftops.data.tokens.counter import CounterFactory, FileTokenEstimate, estimate_tokens
from ftops.data.tokens.segments import count_file_tokens
from ftops.errors import LimitExceeded
from ftops.providers.model_catalog import (
    ENGINE_VOCABULARY,
    EngineEstimate,
    EngineJob,
    get_vocabulary_name,
)
from ftops.providers.provider import Provider
from ftops.records import Json
from ftops.spec.model import JobSpec, LimitSpec

_UNKNOWN_EPOCHS = (
    "what n_epochs becomes is not known beforehand; give hyperparameters.n_epochs a number"
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The tokens of the training file, the number of epochs, and the price.

    `n_epochs` is None if the job file has "auto" and its value cannot be estimated.
    """

    tokens: int
    n_epochs: int | None
    epochs_assumed: bool  # the job file has "auto"
    price_usd: float | None  # for a million trained tokens
    method: str = ""  # how the tokens were counted
    error: float = 0.0  # the relative error of the token count
    price_advice: str = ""  # how to set a price that is not known
    long_rows: int = 0  # rows with more tokens than the model reads, if known
    row_limit: int | None = None
    batch_size: int | None = None  # the value of "auto", if known
    tokens_per_second: float | None = None  # of the last training on this base model, if any
    memory_bytes: int | None = None  # that the training needs
    step_s: float | None = None  # of a step with the longest rows, if it was measured
    needs_calibration: bool = False  # nothing was trained on this base model yet

    def describe_long_rows(self) -> str | None:
        """A message that rows will be truncated; None if none are, as far as known."""
        if not self.long_rows:
            return None
        are = (
            "1 training row is" if self.long_rows == 1 else f"{self.long_rows:,} training rows are"
        )
        most = "the model reads" if self.row_limit is None else f"{self.row_limit:,} tokens"
        return f"{are} longer than {most}, and will be cut"

    @property
    def trained_tokens(self) -> int | None:
        return None if self.n_epochs is None else self.tokens * self.n_epochs

    @property
    def training_s(self) -> float | None:
        """The time that the training takes on this machine, if an earlier one measured it."""
        if self.trained_tokens is None or not self.tokens_per_second:
            return None
        return self.trained_tokens / self.tokens_per_second

    @property
    def cost_usd(self) -> float | None:
        """The cost in US dollars; None if the price or the number of epochs is not known."""
        return calculate_cost(self.trained_tokens, self.price_usd)


def calculate_cost(tokens: int | None, price_usd: float | None) -> float | None:
    """The cost of trained tokens in US dollars, at a price for a million; None if unknown."""
    if not price_usd:
        return price_usd
    return None if tokens is None else tokens * price_usd / 1e6


_UPLOADED = "training_file is an uploaded file, whose tokens are not known here"


def list_broken_limits(
    limits: LimitSpec, estimate: Estimate | None, model: str, *, is_cost_later: bool = False
) -> list[str]:
    """A sentence for each limit that would be exceeded or cannot be checked.

    `estimate` is None if the training data is at the provider, where it cannot be counted. With
    `is_cost_later` the provider estimates the cost itself before the job is created, so that a
    cost that is not known here is no problem yet.
    """
    broken = [_find_broken_tokens(limits.max_training_tokens, estimate)]
    cost_usd = estimate.cost_usd if estimate else None
    if not (cost_usd is None and is_cost_later):
        broken.append(_find_broken_cost(limits.max_cost_usd, estimate, model))
    return [problem for problem in broken if problem]


def _find_broken_tokens(most: int | None, estimate: Estimate | None) -> str | None:
    if most is None:
        return None
    if estimate is None:
        return f"limits.max_training_tokens cannot be held: {_UPLOADED}"
    if estimate.trained_tokens is None:
        return f"limits.max_training_tokens cannot be held: {_UNKNOWN_EPOCHS}"
    if estimate.trained_tokens <= most:
        return None
    return (
        f"{_about(estimate)}{estimate.trained_tokens:,} tokens would be trained on"
        f" ({estimate.tokens:,} x {_epochs(estimate)}),"
        f" and limits.max_training_tokens is {most:,}"
    )


def _find_broken_cost(most_usd: float | None, estimate: Estimate | None, model: str) -> str | None:
    if most_usd is None:
        return None
    if reason := explain_unknown_cost(estimate, model):
        return f"limits.max_cost_usd cannot be held: {reason}"
    if estimate is None or estimate.cost_usd is None or estimate.cost_usd <= most_usd:
        return None
    return (
        f"training would cost about ${estimate.cost_usd:,.2f}"
        f" ({estimate.trained_tokens or 0:,} tokens at ${estimate.price_usd or 0:g} a million),"
        f" and limits.max_cost_usd is ${most_usd:,.2f}"
    )


def explain_unknown_cost(estimate: Estimate | None, model: str) -> str | None:
    """Why the cost of the training is not known here; None if it is."""
    if estimate is None:
        return _UPLOADED
    if estimate.price_usd and estimate.trained_tokens is None:
        return _UNKNOWN_EPOCHS
    return f"the price of training {model} is not known" if estimate.cost_usd is None else None


def get_price_advice(limits: LimitSpec, estimate: Estimate | None) -> str:
    """How to set the price that a limit needs; empty if no price is missing."""
    has_limit = limits.max_cost_usd is not None or limits.max_month_usd is not None
    if not has_limit or estimate is None or estimate.price_usd is not None:
        return ""
    return estimate.price_advice


def raise_broken(broken: Sequence[str], advice: str) -> None:
    """Raise LimitExceeded with these sentences, if any; `advice` replaces the usual hint."""
    if broken:
        raise LimitExceeded("nothing was sent: " + "; ".join(broken), hint=advice)


def _about(estimate: Estimate) -> str:
    return "about " if estimate.error else ""


def _epochs(estimate: Estimate) -> str:
    assumed = ', assumed for "auto"' if estimate.epochs_assumed else ""
    return f"{estimate.n_epochs} epochs{assumed}"


AskEngine = Callable[[EngineJob], EngineEstimate | None]
_ENGINE_METHOD = "by the vocabulary that the engine uses for these rows"


def _no_engine_estimate(_job: EngineJob) -> EngineEstimate | None:
    return None


@dataclass(frozen=True, slots=True)
class TokenCount:
    """The tokens of one pass over a file, with the method of counting and its relative error.

    `n_epochs` and `batch_size` are the values of "auto", if the engine has estimated them.
    `long_rows` is the number of rows that will be truncated, if known, because they have more
    tokens than the model reads (`row_limit`).
    """

    tokens: int
    method: str
    error: float
    n_epochs: int | None = None
    batch_size: int | None = None
    long_rows: int = 0
    row_limit: int | None = None
    tokens_per_second: float | None = None
    memory_bytes: int | None = None
    step_s: float | None = None


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """Counts tokens, with vocabularies on disk, and with the engine for its own models."""

    counting: CounterFactory = field(default_factory=CounterFactory)
    estimate_with_engine: AskEngine = _no_engine_estimate

    def without_engine(self) -> "TokenCounter":
        """A counter that estimates the tokens of the engine's models, which is faster."""
        return replace(self, estimate_with_engine=_no_engine_estimate)

    def count(
        self,
        summary: DataSummary,
        provider: Provider,
        model: str,
        *,
        validation: Path | None = None,
        hyperparameters: Mapping[str, Json] | None = None,
    ) -> TokenCount:
        """The tokens of the prepared file of `summary`; the file must still exist.

        EngineError when the engine would refuse the training of a pre-trained model.
        """
        vocabulary = get_vocabulary_name(provider.capabilities, model)
        limit = provider.get_model_info(model).max_example_tokens
        if vocabulary == ENGINE_VOCABULARY:
            job = EngineJob(summary.path, model, validation, hyperparameters or {})
            forecast = self.estimate_with_engine(job)
            if forecast is not None:
                return TokenCount(
                    forecast.tokens,
                    _ENGINE_METHOD,
                    0.0,
                    forecast.n_epochs,
                    forecast.batch_size,
                    forecast.cut_rows,
                    limit,
                    forecast.tokens_per_second,
                    forecast.memory_bytes,
                    forecast.step_s,
                )
            return _as_counted(estimate_tokens(summary, vocabulary))
        counter = self.counting.open(vocabulary)
        if counter.error:
            return _as_counted(estimate_tokens(summary, vocabulary))
        counted = count_file_tokens(summary.path, counter, limit)
        return TokenCount(
            counted.tokens, counter.method, 0.0, long_rows=counted.long_rows, row_limit=limit
        )


def _as_counted(estimate: FileTokenEstimate) -> TokenCount:
    return TokenCount(estimate.tokens, estimate.method, estimate.error)


def estimate_training(
    spec: JobSpec,
    summary: DataSummary,
    provider: Provider,
    tokens: TokenCounter,
    validation: Path | None = None,
) -> Estimate:
    """The estimate of training on the prepared files; they must still exist."""
    chosen = spec.hyperparameters.n_epochs
    is_assumed = chosen == "auto"
    n_epochs = provider.capabilities.estimate_epochs(summary.rows) if chosen == "auto" else chosen
    hyperparameters = {**asdict(spec.hyperparameters.to_record()), **spec.sections}
    counted = tokens.count(
        summary, provider, spec.model, validation=validation, hyperparameters=hyperparameters
    )
    if n_epochs is None and spec.hyperparameters.batch_size == "auto":
        n_epochs = counted.n_epochs
    model = provider.get_model_info(spec.model)
    return Estimate(
        tokens=counted.tokens,
        n_epochs=n_epochs,
        epochs_assumed=is_assumed,
        price_usd=model.train_usd,
        method=counted.method,
        error=counted.error,
        price_advice=model.price_advice,
        long_rows=counted.long_rows,
        row_limit=counted.row_limit,
        batch_size=_assume_batch(spec, summary.rows, provider, counted),
        tokens_per_second=counted.tokens_per_second,
        memory_bytes=counted.memory_bytes,
        step_s=counted.step_s,
        needs_calibration=counted.method == _ENGINE_METHOD
        and counted.tokens_per_second is None
        and not provider.capabilities.is_untrained(spec.model),
    )


def _assume_batch(spec: JobSpec, rows: int, provider: Provider, counted: TokenCount) -> int | None:
    if spec.hyperparameters.batch_size != "auto":
        return None
    rule = provider.capabilities.auto_batch
    return rule.estimate(rows) if rule else counted.batch_size
