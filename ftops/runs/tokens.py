"""Counts the tokens of a prepared training file as exactly as can be done here."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ftops.data.summary import DataSummary
from ftops.data.tokens.counter import CounterFactory, TokenEstimate, estimate_tokens
from ftops.data.tokens.segments import count_file_tokens
from ftops.providers.model_catalog import (
    ENGINE_VOCABULARY,
    EngineEstimate,
    get_vocabulary_name,
)
from ftops.providers.provider import Provider

AskEngine = Callable[[Path, str], EngineEstimate | None]
_ENGINE_METHOD = "by the vocabulary that the engine makes of these rows"


def _no_engine_estimate(_path: Path, _model: str) -> EngineEstimate | None:
    """Where no engine can be asked."""
    return None


@dataclass(frozen=True, slots=True)
class TokenCount:
    """The tokens of a file, counted once, with how they were counted and how far that may be off.

    `n_epochs` and `batch_size` are what "auto" will become, where whoever trains has said so.
    `long_rows` are cut, as far as that is known: they have more tokens than the model reads,
    `row_limit`.
    """

    tokens: int
    method: str
    error: float
    n_epochs: int | None = None
    batch_size: int | None = None
    long_rows: int = 0
    row_limit: int | None = None


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """With what tokens are counted: vocabularies on disk, and the engine for its own models."""

    counting: CounterFactory = field(default_factory=CounterFactory)
    estimate_with_engine: AskEngine = _no_engine_estimate

    def without_engine(self) -> "TokenCounter":
        """The same, but quicker for the engine's models, whose tokens are then estimated."""
        return replace(self, estimate_with_engine=_no_engine_estimate)

    def count(self, summary: DataSummary, provider: Provider, model: str) -> TokenCount:
        """The tokens of the prepared file that `summary` is of, which must still be there."""
        vocabulary = get_vocabulary_name(provider.capabilities, model)
        limit = provider.get_model_info(model).max_example_tokens
        if vocabulary == ENGINE_VOCABULARY:
            forecast = self.estimate_with_engine(summary.path, model)
            if forecast is not None:
                return TokenCount(
                    forecast.tokens,
                    _ENGINE_METHOD,
                    0.0,
                    forecast.n_epochs,
                    forecast.batch_size,
                    forecast.cut_rows,
                    limit,
                )
            return _as_counted(estimate_tokens(summary, vocabulary))
        counter = self.counting.open(vocabulary)
        if counter.error:
            return _as_counted(estimate_tokens(summary, vocabulary))
        found = count_file_tokens(summary.path, counter, limit)
        return TokenCount(
            found.tokens, counter.method, 0.0, long_rows=found.long_rows, row_limit=limit
        )


def _as_counted(estimate: TokenEstimate) -> TokenCount:
    return TokenCount(estimate.tokens, estimate.method, estimate.error)
