"""`ftops data stats`: what a data set holds, in figures, and what training on it would cost."""

import sys
from pathlib import Path

from ftops.cli.command import command
from ftops.cli.data.aims import find_task, parse_target
from ftops.cli.data.options import OneSource, Reading, Target, Task
from ftops.cli.data.stats_costs import estimate_costs
from ftops.cli.data.stats_view import render_stats, stats_to_json
from ftops.cli.data.vocabularies import Fetch, fetch_missing
from ftops.cli.factory import create_token_counter, open_model_catalog
from ftops.cli.output import Output
from ftops.data.reading.source import Source, open_source
from ftops.data.statistics import measure_source
from ftops.providers.engine_process import estimate_with_engine
from ftops.providers.model_catalog import EngineEstimate
from ftops.providers.trainable_model import get_trainable_model, list_trainable_models

_DEFAULT_VOCABULARY = "o200k_base"
_MOST_FORETOLD_BYTES = 20_000_000  # the engine reads a file for some seconds up to here


@command(
    "data stats",
    examples=[
        "ftops data stats train.jsonl",
        "ftops data stats train.csv --prompt '{question} ->' --completion answer",
        "ftops data stats train.jsonl --for openai/gpt-4o-mini --json",
    ],
)
def stats(
    out: Output,
    file: OneSource,
    *,
    reading: Reading,
    target_name: Target = None,
    task: Task = None,
    fetch: Fetch = False,
) -> None:
    """Show lengths, tokens, classes, words, languages and costs.

    Tokens are counted with the vocabularies that tiktoken has on this machine; what it lacks is
    estimated, and nothing is fetched without --fetch.
    """
    options = reading.find_options()
    target, wanted_task = parse_target(target_name), find_task(task)
    source = open_source(None if file == "-" else Path(file), options, stdin=sys.stdin.buffer)
    catalogue = open_model_catalog()
    if target.model:
        offers = [get_trainable_model(catalogue, target.provider, target.model)]
    else:
        offers = list(list_trainable_models(catalogue, target.provider if target_name else ""))
    asked = target.token_limit.vocabulary or _DEFAULT_VOCABULARY
    names = dict.fromkeys([asked, *(offer.vocabulary for offer in offers)])
    if fetch:
        fetch_missing(names, out.info)
    tokens = create_token_counter()
    counters = {name: tokens.counting.open(name) for name in names}
    figures = measure_source(source, list(counters.values()), task=wanted_task)
    exact = frozenset(name for name, counter in counters.items() if not counter.error)
    costs = list(estimate_costs(figures, offers, exact, lambda model: _foretell(source, model)))
    out.finish(
        stats_to_json(source, figures, counters[asked], costs),
        essential=[f"{cost.provider}/{cost.model} {cost.tokens}" for cost in costs],
        human=lambda: render_stats(source, figures, counters[asked], costs),
    )


def _foretell(source: Source, model: str) -> EngineEstimate | None:
    """What the engine says of the file, where it can read it as it is and in a short time."""
    if source.plain is None or source.plain.stat().st_size > _MOST_FORETOLD_BYTES:
        return None
    return estimate_with_engine(source.plain, model)
