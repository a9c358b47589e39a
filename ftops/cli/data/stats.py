"""`ftops data stats`: statistics of a dataset, and the estimated cost of training on it."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from ftops.cli.command import command
from ftops.cli.data.options import (
    Fetch,
    OneSource,
    Reading,
    Target,
    Task,
    check_task,
    fetch_missing,
    parse_target,
)
from ftops.cli.environment import get_home
from ftops.cli.factory import open_model_catalog
from ftops.cli.format import cell, heading, indent, make_table, render_pairs
from ftops.cli.output import Output
from ftops.cli.run_context import create_token_counter
from ftops.data.reading.source import Source, open_source
from ftops.data.statistics import (
    Bin,
    DataStatistics,
    Distribution,
    describe_distribution,
    make_bins,
    measure_source,
)
from ftops.data.summary import CharCounts
from ftops.data.tokens.counter import (
    TOKENS_A_CHAT,
    TOKENS_A_MESSAGE,
    VocabularyCounter,
    estimate_error,
    format_method,
)
from ftops.providers.engine_process import estimate_with_engine
from ftops.providers.model_catalog import ENGINE_VOCABULARY, EngineEstimate, EngineJob
from ftops.providers.trainable_model import (
    TrainableModel,
    get_trainable_model,
    list_trainable_models,
)
from ftops.records import Json, RowFormat

# A prompt and its completion become a chat of two messages.
_MORE_AS_CHAT = 2 * TOKENS_A_MESSAGE + TOKENS_A_CHAT


@dataclass(frozen=True, slots=True)
class JobCost:
    """Tokens of one epoch, the values for "auto", and US dollars; None means unknown."""

    provider: str
    model: str
    tokens: int
    epochs: int | None
    batch_size: int | None
    usd: float | None
    is_exact: bool

    @property
    def trained_tokens(self) -> int | None:
        return None if self.epochs is None else self.tokens * self.epochs


def estimate_costs(
    figures: DataStatistics,
    offers: Iterable[TrainableModel],
    exact: frozenset[str],
    estimate_with_engine: Callable[[str], EngineEstimate | None],
) -> Iterator[JobCost]:
    """The cost for each model that takes the rows; `exact` has the installed vocabularies."""
    forecast: EngineEstimate | None = None
    for offer in offers:
        if offer.vocabulary == ENGINE_VOCABULARY:
            forecast = forecast or estimate_with_engine(offer.model)
            if forecast is not None:
                chosen = forecast.n_epochs, forecast.batch_size
                yield _cost(offer, forecast.tokens, *chosen, is_exact=True)
                continue
        tokens = count_for(figures, offer)
        if tokens is not None:
            rows = figures.result.rows
            epochs, batch = (
                rule.estimate(rows) if rule else None
                for rule in (offer.auto_epochs, offer.auto_batch)
            )
            yield _cost(offer, tokens, epochs, batch, is_exact=offer.vocabulary in exact)


def count_for(figures: DataStatistics, offer: TrainableModel) -> int | None:
    """The tokens of an epoch for the model; None when it does not take the rows."""
    found = figures.result.format
    counted = figures.tally.tokens.get(offer.vocabulary)
    if found is None or counted is None:
        return None
    more = 0
    if offer.row_format is not None and found is not offer.row_format:
        if offer.row_format is RowFormat.COMPLETION:
            return None
        more = _MORE_AS_CHAT if found is RowFormat.COMPLETION else 0
    if offer.row_limit is None:
        return counted.tokens + more * len(counted.lengths)
    return sum(min(length + more, offer.row_limit) for length in counted.lengths)


def _cost(
    offer: TrainableModel,
    tokens: int,
    epochs: int | None,
    batch_size: int | None,
    *,
    is_exact: bool,
) -> JobCost:
    usd = offer.price_usd
    if usd:
        usd = None if epochs is None else usd * tokens * epochs / 1e6
    return JobCost(offer.provider, offer.model, tokens, epochs, batch_size, usd, is_exact)


_BAR = 40  # characters of the longest bar
_SHOWN = 12  # classes, words, languages
_DENSE = ("Han", "Kana", "Hangul")


def list_lengths(figures: DataStatistics, vocabulary: str) -> dict[str, Sequence[int]]:
    """The lengths of each row, by the name of the measure."""
    tally = figures.tally
    tokens = tally.tokens.get(vocabulary)
    return {
        "characters of the prompt": tally.prompts,
        "characters of the completion": tally.completions,
        "tokens": tokens.lengths if tokens else (),
        "tokens trained on": tokens.answers if tokens else (),
    }


def get_token_error(figures: DataStatistics, counter: VocabularyCounter) -> float:
    """The relative error of the total token count, by the scripts of the text."""
    scripts = figures.tally.languages.scripts
    dense = sum(scripts[name] for name in _DENSE)
    latin = scripts["Latin"]
    other = sum(scripts.values()) - latin - dense
    return estimate_error(CharCounts(latin, other, dense)) if counter.error else 0.0


def render_stats(
    source: Source, figures: DataStatistics, counter: VocabularyCounter, costs: Sequence[JobCost]
) -> Iterator[RenderableType]:
    """The statistics as text."""
    result, tally = figures.result, figures.tally
    yield Text(source.name, "bold")
    rows = f"{result.rows:,}" + (f" of {result.format}" if result.format else "")
    bad = f"{tally.bad_rows:,} that cannot be used are left out" if tally.bad_rows else None
    yield render_pairs(
        [
            ("read as", ", ".join(source.inferred) or None),
            ("rows", rows),
            ("bad rows", bad),
            ("task", result.task if result.rows else None),
            ("tokens", format_method(counter.method, get_token_error(figures, counter))),
        ]
    )
    if not result.rows:
        return
    lengths = list_lengths(figures, counter.vocabulary)
    yield heading("Length of a row")
    yield indent(
        _render_marks({name: describe_distribution(found) for name, found in lengths.items()})
    )
    yield heading("Rows by tokens")
    yield from _render_bins(make_bins(lengths["tokens"]))
    yield from _render_counts("Rows by class", result.classes or {}, result.rows)
    yield from _render_words(figures)
    yield from _render_costs(costs)


def _render_marks(found: dict[str, Distribution]) -> RenderableType:
    names = ("least", "median", "mean", "95 of 100", "most", "in all")
    table = make_table("", *names, right=names)
    for name, marks in found.items():
        table.add_row(
            cell(name),
            f"{marks.least:,}",
            f"{marks.median:,}",
            f"{marks.mean:,.1f}",
            f"{marks.high:,}",
            f"{marks.most:,}",
            f"{marks.total:,}",
        )
    return table


def _render_bins(bins: Sequence[Bin]) -> Iterator[Text]:
    names = [
        f"{one.first:,}" if one.first == one.last else f"{one.first:,} to {one.last:,}"
        for one in bins
    ]
    yield from _render_bars(list(zip(names, (one.count for one in bins), strict=True)))


def _render_counts(title: str, counts: Mapping[str, int], rows: int) -> Iterator[Text]:
    if not counts:
        return
    yield heading(f"{title} ({len(counts):,})")
    shown = list(counts.items())[:_SHOWN]
    yield from _render_bars([(repr(name), count) for name, count in shown], rows)
    if len(counts) > _SHOWN:
        yield Text(f"  and {len(counts) - _SHOWN:,} more")


def _render_bars(counts: Sequence[tuple[str, int]], rows: int = 0) -> Iterator[Text]:
    """One line per count: name, count and bar; with a total of `rows`, also the share."""
    most = max((count for _, count in counts), default=0)
    width = max((cell(name).cell_len for name, _ in counts), default=0)
    for name, count in counts:
        label = cell(name)
        label.pad_right(width - label.cell_len)
        share = f"{count / rows:>7.1%}" if rows else ""
        bar = "█" * round(_BAR * count / most) if most else ""
        yield Text.assemble("  ", label, f" {count:>10,}{share}  ", (bar, "cyan"))


def _render_words(figures: DataStatistics) -> Iterator[RenderableType]:
    words, tongues = figures.tally.words, figures.tally.languages
    least = "at least " if words.is_full else ""
    frequent = ", ".join(f"{word} {count:,}" for word, count in words.counts.most_common(_SHOWN))
    yield heading("Words and languages")
    letters = sum(tongues.scripts.values())
    scripts = [
        f"{name} {count / letters:.1%}" if count * 1000 >= letters else f"{name} under 0.1%"
        for name, count in tongues.scripts.most_common(6)
    ]
    languages = [
        f"{name or 'unknown'} {count:,}" for name, count in tongues.languages.most_common(_SHOWN)
    ]
    yield render_pairs(
        [
            ("words", f"{words.total:,}"),
            ("different", f"{least}{len(words.counts):,}, of which {words.once:,} once"),
            ("most frequent", frequent or None),
            ("scripts", ", ".join(scripts) or None),
            ("rows by language", f"{', '.join(languages)} (guessed by common words)"),
        ]
    )


def _render_costs(costs: Sequence[JobCost]) -> Iterator[RenderableType]:
    if not costs:
        return
    yield heading('Cost of a job, with "auto" for epochs and batch size')
    right = ("tokens", "epochs", "batch", "trained tokens", "cost")
    table = make_table("provider", "model", *right, "", right=right)
    for cost in costs:
        trained = cost.trained_tokens
        table.add_row(
            cell(cost.provider),
            cell(cost.model),
            f"{cost.tokens:,}",
            "?" if cost.epochs is None else str(cost.epochs),
            "?" if cost.batch_size is None else str(cost.batch_size),
            "?" if trained is None else f"{trained:,}",
            _say_cost(cost),
            "" if cost.is_exact else "estimated",
        )
    yield indent(table)


def _say_cost(cost: JobCost) -> str:
    if cost.usd is None:
        return "not known"
    return f"${cost.usd:,.2f}" if cost.usd else "nothing"


def stats_to_json(
    source: Source, figures: DataStatistics, counter: VocabularyCounter, costs: Sequence[JobCost]
) -> Json:
    """The statistics as JSON."""
    result, tally = figures.result, figures.tally
    lengths = list_lengths(figures, counter.vocabulary)
    keys = ("prompt_characters", "completion_characters", "tokens", "trained_tokens")
    return {
        "file": source.name,
        "inferred": list(source.inferred),
        "rows": result.rows,
        "bad_rows": tally.bad_rows,
        "row_format": result.format.value if result.format else None,
        "task": result.task,
        "classes": None if result.classes is None else dict(result.classes),
        "tokens_method": counter.method,
        "tokens_error": get_token_error(figures, counter),
        "lengths": {
            key: asdict(describe_distribution(found))
            for key, found in zip(keys, lengths.values(), strict=True)
        },
        "rows_by_tokens": [asdict(one) for one in make_bins(lengths["tokens"])],
        "words": {
            "total": tally.words.total,
            "different": len(tally.words.counts),
            "once": tally.words.once,
            "most_frequent": dict(tally.words.counts.most_common(_SHOWN)),
        },
        "scripts": dict(tally.languages.scripts.most_common()),
        "languages": {name or "unknown": n for name, n in tally.languages.languages.most_common()},
        "costs": [{**asdict(cost), "trained_tokens": cost.trained_tokens} for cost in costs],
    }


_DEFAULT_VOCABULARY = "o200k_base"
_MAX_ESTIMATED_BYTES = 20_000_000  # the engine needs a few seconds for a file of this size


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

    Tokens are counted with the tiktoken vocabularies on this machine and estimated otherwise.
    Nothing is downloaded without --fetch.
    """
    options = reading.to_read_options()
    target, wanted_task = parse_target(target_name), check_task(task)
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
    costs = list(
        estimate_costs(figures, offers, exact, lambda model: _estimate_with_engine(source, model))
    )
    out.finish(
        stats_to_json(source, figures, counters[asked], costs),
        essential=[f"{cost.provider}/{cost.model} {cost.tokens}" for cost in costs],
        human=lambda: render_stats(source, figures, counters[asked], costs),
    )


def _estimate_with_engine(source: Source, model: str) -> EngineEstimate | None:
    """The engine's estimate; None unless the source is a small file of JSON lines."""
    if source.plain is None or source.plain.stat().st_size > _MAX_ESTIMATED_BYTES:
        return None
    return estimate_with_engine(EngineJob(source.plain, model), home=get_home())
