"""Estimates and limits the cost of completions."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from ftops.data.tokens.counter import (
    TOKENS_A_CHAT,
    TOKENS_A_MESSAGE,
    CounterFactory,
    VocabularyCounter,
)
from ftops.errors import LimitExceeded
from ftops.providers.model_catalog import ModelInfo, get_vocabulary_name
from ftops.providers.provider import Provider
from ftops.records import Chat, Completion, Prompt
from ftops.text import format_usd

_HINT = "Raise the limit, ask fewer rows, or allow shorter answers; answers that came are kept."


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars per million prompt tokens and per million completion tokens."""

    input_usd: float
    output_usd: float

    def price(self, prompt_tokens: float, completion_tokens: float) -> float:
        """The price in US dollars."""
        return (prompt_tokens * self.input_usd + completion_tokens * self.output_usd) / 1e6


def find_prices(figures: ModelInfo) -> Prices | None:
    """The prices of a model; None if they are not known."""
    if figures.input_usd is None or figures.output_usd is None:
        return None
    return Prices(figures.input_usd, figures.output_usd)


def count_prompt_tokens(prompts: Sequence[Prompt], counter: VocabularyCounter) -> list[int]:
    """The number of tokens of each prompt, including the special tokens around chat messages.

    Tools and tool calls count as JSON.
    """
    texts = [[prompt] if isinstance(prompt, str) else _list_texts(prompt) for prompt in prompts]
    counts = iter(counter.count(list(chain.from_iterable(texts))))
    return [
        sum(islice(counts, len(contents)))
        + (
            0
            if isinstance(prompt, str)
            else TOKENS_A_CHAT + TOKENS_A_MESSAGE * len(prompt.messages)
        )
        for prompt, contents in zip(prompts, texts, strict=True)
    ]


def _list_texts(chat: Chat) -> list[str]:
    extras = [chat.options, *(message.extra for message in chat.messages)]
    contents = [message.content for message in chat.messages]
    return contents + [json.dumps(extra) for extra in extras if extra]


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """The tokens and cost of prompts; `completion_tokens` and `usd` are upper limits."""

    requests: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None


@dataclass(frozen=True, slots=True)
class CostEstimator:
    """Estimates costs; with `prices` None (not known), `advice` says how to set them."""

    counter: VocabularyCounter
    prices: Prices | None
    advice: str = ""

    def estimate(self, prompts: Sequence[Prompt], max_tokens: int) -> CostEstimate:
        """The estimate for these prompts if each completion has `max_tokens` tokens."""
        read = sum(count_prompt_tokens(prompts, self.counter))
        written = max_tokens * len(prompts)
        usd = None if self.prices is None else self.prices.price(read, written)
        return CostEstimate(len(prompts), read, written, usd)

    def price(self, completions: Sequence[Completion]) -> float | None:
        """The cost of these completions in US dollars; None if prices or tokens are not known."""
        if not completions:
            return 0.0
        if self.prices is None:
            return None
        if self.prices == Prices(0, 0):
            return 0.0
        spent = 0.0
        for completion in completions:
            if completion.prompt_tokens is None or completion.completion_tokens is None:
                return None
            spent += self.prices.price(completion.prompt_tokens, completion.completion_tokens)
        return spent


def create_cost_estimator(
    provider: Provider, model: str, counting: CounterFactory
) -> CostEstimator:
    """The cost estimator of the model, from local information; sends no request."""
    vocabulary = get_vocabulary_name(provider.capabilities, model)
    figures = provider.get_model_info(model)
    return CostEstimator(counting.open(vocabulary), find_prices(figures), figures.price_advice)


class Budget:
    """A spending limit in US dollars for pending and finished requests.

    A prompt is sent only if the budget covers its longest completion and those of all pending
    requests. Several models and threads may share a budget.
    """

    def __init__(self, max_cost_usd: float, *, limit: str = "the limit") -> None:
        self.max_cost_usd = max_cost_usd
        self.spent_usd = 0.0
        self._limit = limit
        self._reserved_usd = 0.0
        self._changed = threading.Condition()

    def check(self, cost_estimator: CostEstimator, estimate: CostEstimate, model: str) -> None:
        """Raise LimitExceeded if the estimate exceeds what is left or its price is not known."""
        if estimate.usd is None:
            raise LimitExceeded(
                f"{self._limit} cannot be held: the price of asking {model} is not known",
                hint=cost_estimator.advice or _HINT,
            )
        if self.spent_usd + estimate.usd > self.max_cost_usd:
            raise LimitExceeded(
                f"asking {model} would cost up to {format_usd(estimate.usd)}"
                f" ({estimate.requests:,} requests, about {estimate.prompt_tokens:,} tokens, and"
                f" answers of up to {estimate.completion_tokens:,}), and {self._limit} is"
                f" {format_usd(self.max_cost_usd - self.spent_usd)}",
                hint=_HINT,
            )

    def reserve(self, usd: float, is_over: Callable[[], bool]) -> None:
        """Reserve the amount, waiting for pending requests; LimitExceeded if it is not left.

        Stops waiting, and reserves the amount, as soon as `is_over()` is true.
        """
        with self._changed:
            while self.spent_usd + self._reserved_usd + usd > self.max_cost_usd:
                if is_over():
                    break
                if not self._reserved_usd:
                    raise LimitExceeded(
                        f"{format_usd(self.spent_usd)} are spent, and the next answer may cost more"
                        f" than is left: {self._limit} is {format_usd(self.max_cost_usd)}",
                        hint=_HINT,
                    )
                self._changed.wait(timeout=0.5)
            self._reserved_usd += usd

    def settle(self, reserved_usd: float, spent_usd: float) -> None:
        """Release the reserved amount and add the spent amount."""
        with self._changed:
            self._reserved_usd = max(0.0, self._reserved_usd - reserved_usd)
            if self._reserved_usd < 1e-9:  # rounding errors
                self._reserved_usd = 0.0
            self.spent_usd += spent_usd
            self._changed.notify_all()
