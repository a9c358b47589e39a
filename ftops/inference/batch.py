"""Asks one model many questions: what was answered before is taken from the store.

Answers are kept the moment they come, by the thread that has them. So whatever ends the asking (an
error, Ctrl-C, a kill), the next one goes on from there. How often a request is repeated is for the
provider's own retries alone; here it is only decided whom an error is about.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from ftops.inference.cache import ModelCache, ResponseCache, make_key
from ftops.inference.manner import BatchOptions
from ftops.inference.outcome import CompletionResult
from ftops.inference.session import BatchRunner
from ftops.providers.provider import Provider
from ftops.records import Prompt, Sampling

_LOOK_EVERY_S = 0.5


def complete_all(
    provider: Provider,
    model: str,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    *,
    store: ResponseCache,
    manner: BatchOptions,
) -> list[CompletionResult]:
    """What came of each prompt, in their order; equal ones are asked once.

    A question that cannot be answered has an outcome with its reason. An error that is about all
    of them is raised (ProviderError; LimitExceeded for the budget; StorageError), with what came
    until then kept. With nothing left to ask, nobody is asked and nothing is started.
    """
    shelf = store.open(provider.account, model)
    keys = make_keys(prompts, sampling)
    questions = dict(zip(keys, prompts, strict=True))
    found: dict[str, CompletionResult] = {}
    if not manner.anew:
        found = {key: one for key in questions if (one := shelf.find(key)) is not None}
    left = {key: prompt for key, prompt in questions.items() if key not in found}
    places = Counter(keys)
    done = sum(places[key] for key, one in found.items() if one.completion is not None)
    manner.on_progress(done, len(keys))
    if left:
        if manner.cost_estimator is not None:
            estimate = manner.cost_estimator.estimate(list(left.values()), sampling.max_tokens)
            if manner.budget is not None:
                manner.budget.check(manner.cost_estimator, estimate, model)
            manner.on_estimate(estimate)
        session = BatchRunner(provider, model, sampling, shelf, manner, left)
        try:
            with _take_turn(shelf, model, sampling, manner), closing(session.run()) as news:
                for key, outcome in news:
                    found[key] = outcome
                    done += places[key] if outcome.completion is not None else 0
                    manner.on_progress(done, len(keys))
        finally:
            shelf.sync()
    return [found[key] for key in keys]


@contextmanager
def _take_turn(
    shelf: ModelCache, model: str, sampling: Sampling, manner: BatchOptions
) -> Iterator[None]:
    """Wait for whoever puts such questions already: they may be the same, and are paid once."""
    has_noted = False
    while True:
        with shelf.hold(sampling) as is_ours:
            if is_ours:
                yield
                return
        if not has_noted:
            manner.on_note(f"another command is asking {model}; waiting for its answers")
            has_noted = True
        manner.pause(_LOOK_EVERY_S)


def make_keys(prompts: Sequence[Prompt], sampling: Sampling) -> list[str]:
    """The key of each question; the same for equal ones, unless each is a draw of its own."""
    if sampling.temperature == 0 or sampling.seed is not None:
        return [make_key(prompt, sampling) for prompt in prompts]
    seen: Counter[str] = Counter()
    keys = []
    for prompt in prompts:
        plain = make_key(prompt, sampling)
        keys.append(make_key(prompt, sampling, seen[plain]) if seen[plain] else plain)
        seen[plain] += 1
    return keys
