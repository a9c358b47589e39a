"""How candidates are asked: the one door to models, so that an evaluation knows nothing of caches,
threads and retries."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ftops.inference.budget import CostEstimate
from ftops.metrics.prediction import Problem
from ftops.metrics.registry import METRICS
from ftops.providers.provider import Provider
from ftops.records import Prompt, Sampling
from ftops.spec.evaluate import EvaluateSpec

_CHANCES = 5  # the most that OpenAI tells of a completion


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model gave for one prompt.

    `chances` holds the probability of each token that may begin it, as far as the model told.
    """

    text: str
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float | None = None
    chances: Mapping[str, float] = field(default_factory=dict)
    problem: Problem | None = None
    note: str = ""
    refused_parameters: Mapping[str, str | None] = field(default_factory=dict)


class Interview(Protocol):
    """Puts prompts to a model. What was answered before comes without asking again."""

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
        """A reply for each prompt, in their order; `on_progress` is told how many there are.

        A `fresh` model that is not found is waited for. A ProviderError when the model cannot be
        asked at all; a single prompt that fails for good is a reply with a problem.
        """
        ...

    def foresee(
        self, provider: Provider, model: str, prompts: Sequence[Prompt], sampling: Sampling
    ) -> CostEstimate:
        """What it takes at most to ask those prompts that were not answered before."""
        ...


def make_sampling(spec: EvaluateSpec, longest: int, stop: tuple[str, ...]) -> Sampling:
    """How answers are drawn: the likeliest, with chances where some metric needs them.

    Not every model tells chances, so they are not asked for otherwise.
    """
    wanted = any(
        entry.word in METRICS and METRICS[entry.word].needs_probabilities
        for entry in spec.metric_entries
    )
    return Sampling(
        max_tokens=longest, temperature=0.0, stop=stop, logprobs=_CHANCES if wanted else None
    )
