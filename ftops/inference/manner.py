"""How questions are put to a model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ftops.clock import Clock
from ftops.inference.budget import Budget, CostEstimate, CostEstimator

# A hosted model is often unknown for some minutes after the job that made it has succeeded.
LOADING_PAUSES_S = (2.0, 5.0, 10.0, 20.0, 30.0, 30.0, 60.0, 60.0, 60.0)


def _pass_over(_done: int, _total: int) -> None: ...


def _take_note(_forecast: CostEstimate) -> None: ...


def _say_nothing(_text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How questions are put.

    `concurrency` requests are under way at a time, and `texts_a_request` prompts (no chats) share
    one; None: as the provider's capabilities say. Where prompts share requests, the first
    `timed_alone` go one by one: only these tell how long one answer takes. A model that is not
    found is waited for, for all of `loading_pauses_s`; `sleep` lets them pass (None: the clock
    does). `on_progress` is called by the asking thread with how many questions have an answer,
    and of how many; `noted`, by any thread, with what the user should know. With a `tariff`,
    `on_forecast` gets what is left to be asked will take, before any of it is, and may raise; a
    `budget` needs one. With `anew`, kept answers are not looked for.
    """

    clock: Clock
    concurrency: int | None = None
    texts_a_request: int | None = None
    timed_alone: int = 1
    loading_pauses_s: Sequence[float] = ()
    sleep: Callable[[float], None] | None = None
    on_progress: Callable[[int, int], None] = _pass_over
    on_note: Callable[[str], None] = _say_nothing
    cost_estimator: CostEstimator | None = None
    on_estimate: Callable[[CostEstimate], None] = _take_note
    budget: Budget | None = None
    anew: bool = False

    def pause(self, seconds: float) -> None:
        """Let so much time pass."""
        (self.sleep or self.clock.sleep)(seconds)
