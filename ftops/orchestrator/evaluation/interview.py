"""How candidates are asked: the one door to models, so that an evaluation knows nothing of caches,
threads and retries."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ftops.providers.protocol import Provider
from ftops.records import Prompt, Sampling
from ftops.scoring.answers import Problem


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
