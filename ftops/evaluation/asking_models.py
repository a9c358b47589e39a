"""Candidates are asked through the store of answers: what was answered before comes from there."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ftops.clock import Clock
from ftops.data.tokens.counter import CounterFactory
from ftops.evaluation.costs import LIMIT
from ftops.evaluation.interview import Reply
from ftops.inference.batch import LOADING_PAUSES_S, BatchOptions, complete_all, make_keys
from ftops.inference.budget import Budget, CostEstimate, create_cost_estimator
from ftops.inference.cache import CompletionResult, ResponseCache
from ftops.metrics.prediction import Problem
from ftops.providers.provider import Provider
from ftops.records import Prompt, Sampling
from ftops.spec.evaluate import EvaluateSpec

_CUT = "length"
_GUARDED = "content_filter"
_TIMED_ALONE = 20  # answers, by which p50 and p95 are told where the others share requests


def _say_nothing(_text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class StoredInterview:
    """`sleep` lets the pauses pass for which a fresh model is waited for.

    Tokens are counted by `counting`; `budget` holds all that is asked, judges included, and what
    was answered before costs nothing.
    """

    store: ResponseCache
    clock: Clock
    counting: CounterFactory = field(default_factory=CounterFactory)
    budget: Budget | None = None
    concurrency: int | None = None
    sleep: Callable[[float], None] | None = None
    on_note: Callable[[str], None] = _say_nothing

    def ask(
        self,
        provider: Provider,
        model: str,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        *,
        on_progress: Callable[[int], None],
        fresh: bool = False,
    ) -> list[Reply]:
        """See `Interview`."""
        options = BatchOptions(
            self.clock,
            concurrency=self.concurrency,
            timed_alone=_TIMED_ALONE,
            loading_pauses_s=LOADING_PAUSES_S if fresh else (),
            sleep=self.sleep,
            on_progress=lambda done, _total: on_progress(done),
            on_note=self.on_note,
            cost_estimator=create_cost_estimator(provider, model, self.counting)
            if self.budget
            else None,
            budget=self.budget,
        )
        outcomes = complete_all(
            provider, model, prompts, sampling, cache=self.store, options=options
        )
        return [_to_reply(outcome) for outcome in outcomes]

    def foresee(
        self, provider: Provider, model: str, prompts: Sequence[Prompt], sampling: Sampling
    ) -> CostEstimate:
        """See `Interview`."""
        shelf = self.store.open(provider.account, model)
        questions = dict(zip(make_keys(prompts, sampling), prompts, strict=True))
        left = [prompt for key, prompt in questions.items() if shelf.find(key) is None]
        return create_cost_estimator(provider, model, self.counting).estimate(
            left, sampling.max_tokens
        )


def make_budget(spec: EvaluateSpec) -> Budget | None:
    """What all answers of an evaluation may cost; None where nobody says."""
    return None if spec.max_cost_usd is None else Budget(spec.max_cost_usd, limit=LIMIT)


def _to_reply(outcome: CompletionResult) -> Reply:
    found = outcome.completion
    if found is None:
        return Reply("", problem=Problem.FAILED, note=outcome.failure)
    problem, note = None, ""
    if found.refusal is not None or found.finish_reason == _GUARDED:
        problem, note = Problem.REFUSED, found.refusal or "held back by a content filter"
    elif found.finish_reason == _CUT:
        problem = Problem.TRUNCATED
    return Reply(
        text=found.text,
        finish_reason=found.finish_reason,
        prompt_tokens=found.prompt_tokens,
        completion_tokens=found.completion_tokens,
        seconds=found.seconds if found.shared == 1 else None,
        chances={token: min(1.0, math.exp(log)) for token, log in found.first_token.items()},
        problem=problem,
        note=note,
        refused_parameters=found.refused_parameters,
    )
