"""Asks one model many questions: what was answered before is taken from the store.

Answers are kept the moment they come, by the thread that has them. So whatever ends the asking (an
error, Ctrl-C, a kill), the next one goes on from there. How often a request is repeated is for the
provider's own retries alone; here it is only decided whom an error is about.
"""

from collections import Counter
from collections.abc import Sequence

from ftops.orchestrator.asking.manner import Manner
from ftops.orchestrator.asking.outcome import Outcome
from ftops.orchestrator.asking.session import Session
from ftops.orchestrator.asking.store import AnswerStore, make_key
from ftops.providers.protocol import Provider
from ftops.records import Prompt, Sampling


def ask(
    provider: Provider,
    model: str,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    *,
    store: AnswerStore,
    manner: Manner,
) -> list[Outcome]:
    """What came of each prompt, in their order; equal ones are asked once.

    A question that cannot be answered has an outcome with its reason. An error that is about all
    of them is raised (ProviderError; LimitExceeded for the budget; StorageError), with what came
    until then kept. With nothing left to ask, nobody is asked and nothing is started.
    """
    shelf = store.open(provider.account, model)
    keys = make_keys(prompts, sampling)
    questions = dict(zip(keys, prompts, strict=True))
    found: dict[str, Outcome] = {}
    if not manner.anew:
        found = {key: one for key in questions if (one := shelf.find(key)) is not None}
    left = {key: prompt for key, prompt in questions.items() if key not in found}
    places = Counter(keys)
    done = sum(places[key] for key in found)
    manner.on_progress(done, len(keys))
    if left:
        if manner.budget is not None and manner.tariff is not None:
            forecast = manner.tariff.forecast(list(left.values()), sampling.max_tokens)
            manner.budget.check(manner.tariff, forecast, model)
        session = Session(provider, model, sampling, shelf, manner, left)
        try:
            for key, outcome in session.run():
                found[key] = outcome
                done += places[key]
                manner.on_progress(done, len(keys))
        finally:
            shelf.sync()
    return [found[key] for key in keys]


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
