"""`ftops data stats`."""

import json
from pathlib import Path

import pytest

from ftops.cli.data.stats import count_for, estimate_costs
from ftops.data.reading.source import open_source
from ftops.data.statistics import DataStatistics, measure_source
from ftops.data.tokens.counter import Estimator
from ftops.providers.model_catalog import EngineEstimate, ModelCatalog
from ftops.providers.trainable_model import TrainableModel, get_trainable_model
from ftops.records import RowFormat
from tests.cli.running import ftops
from tests.data.data_files import chat, pair, write_rows
from tests.fakes import FakeClock

ENGINE_ESTIMATE = EngineEstimate(
    tokens=500, learned_tokens=50, longest=9, cut_rows=0, vocabulary=300, n_epochs=4, batch_size=4
)


def measure_rows(folder: Path, rows: list[object]) -> DataStatistics:
    source = open_source(write_rows(folder / "rows.jsonl", rows))
    return measure_source(source, [Estimator("o200k_base"), Estimator("cl100k_base")])


def get_model(model: str, provider: str = "openai") -> TrainableModel:
    return get_trainable_model(ModelCatalog(Path("there is none"), FakeClock()), provider, model)


def test_pairs_cost_more_as_chats_and_chats_cannot_become_pairs(tmp_path: Path) -> None:
    pairs = measure_rows(tmp_path, [pair("a" * 42, "b" * 42)] * 10)
    chats = measure_rows(tmp_path, [chat("a" * 42, "b" * 42)] * 10)
    assert count_for(pairs, get_model("gpt-4o-mini-2024-07-18")) == 290
    assert count_for(chats, get_model("gpt-4o-mini-2024-07-18")) == 290
    assert count_for(pairs, get_model("davinci-002")) == 200
    assert count_for(chats, get_model("davinci-002")) is None


def test_a_row_costs_at_most_the_limit_of_the_model(tmp_path: Path) -> None:
    figures = measure_rows(tmp_path, [pair("a" * 420_000, "b")])
    assert count_for(figures, get_model("gpt-4.1-2025-04-14")) == 65_536


def test_the_cost_is_tokens_times_epochs_times_the_price(tmp_path: Path) -> None:
    figures = measure_rows(tmp_path, [pair("a" * 42, "b" * 42)] * 100)
    models = [
        TrainableModel("openai", "known", 10.0, RowFormat.COMPLETION, "o200k_base", None,
              get_model("davinci-002").auto_epochs),
        TrainableModel("openai", "unknown", None, None, "o200k_base", None, None),
        get_model("ada", "local"),
    ]  # fmt: skip
    known, unknown, local = estimate_costs(
        figures, models, frozenset({"o200k_base"}), lambda _model: ENGINE_ESTIMATE
    )
    assert (known.tokens, known.epochs, known.trained_tokens) == (2_000, 3, 6_000)
    assert known.usd == pytest.approx(0.06)
    assert (unknown.usd, unknown.trained_tokens) == (None, None)
    assert (local.tokens, local.epochs, local.batch_size, local.usd) == (500, 4, 4, 0.0)


def test_the_figures_are_shown_with_histograms_and_costs(tmp_path: Path) -> None:
    rows = [pair(f"where is the key {n} ->", " on the hook") for n in range(30)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    result = ftops("data", "stats", str(path))
    assert result.code == 0, result.err
    for part in ("30 of completion", "Rows by tokens", "█", "gpt-4.1-2025-04-14", "English 30"):
        assert part in result.out
    assert "estimated from the letters, within 25%" in result.out


def test_json_is_one_document(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", ["prompt,completion", *["a question,yes"] * 12])
    result = ftops("data", "stats", str(path), "--for", "openai/gpt-4o-mini-2024-07-18", "--json")
    document = json.loads(result.out)
    assert (document["rows"], document["classes"]) == (12, {"yes": 12})
    assert [cost["model"] for cost in document["costs"]] == ["gpt-4o-mini-2024-07-18"]
    assert document["lengths"]["prompt_characters"]["median"] == 10
    assert sum(bin_["count"] for bin_ in document["rows_by_tokens"]) == 12
    quiet = ftops("data", "stats", str(path), "--for", "openai/babbage-002", "--quiet")
    assert quiet.out.startswith("openai/babbage-002 ")


def test_a_missing_file_is_an_error_without_a_traceback(tmp_path: Path) -> None:
    result = ftops("data", "stats", str(tmp_path / "none.jsonl"))
    assert result.code == 1
    assert "there is no such file" in result.err
