"""The list of models in wide and in narrow terminals."""

import io
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from rich.console import Console

from ftops.cli.models import (
    ListedModel,
    describe_cost,
    describe_end,
    describe_headline,
    render_models,
    sort_models,
)
from ftops.metrics.result import MetricResult, Unit
from ftops.records import Model, ProviderSettings, RowFormat, Run, RunId, RunStatus, TunedModel
from ftops.runs.lineage import ModelVersion, PrimaryMetric, TrainingCost
from ftops.stage_results import PreparedData, PreparedFile, StageResults

NOW = datetime(2026, 11, 22, 14, 7, tzinfo=UTC)
TODAY = date(2026, 11, 22)
OPENAI = ProviderSettings("openai")
NAME = "ft:gpt-4.1-mini-2025-04-14:organisation:news-topics:a1b2c3d4"
PREPARED = PreparedData(
    RowFormat.CHAT, "", None, PreparedFile("train", "t.jsonl", sha256="0123456789ab" * 5)
)
RUN = Run(
    id=RunId("run-20261122-1407-k3f9"),
    key="k",
    name="news-topics",
    status=RunStatus.SUCCEEDED,
    provider=OPENAI,
    model="gpt-4.1-mini-2025-04-14",
    spec={},
    job_file="/jobs/news.yaml",
    created_at=NOW,
    updated_at=NOW,
)
TUNED = TunedModel(NAME, RUN.id, "ftjob-1", RUN.model, OPENAI, created_at=NOW)
FULL = ListedModel(
    model=Model(NAME, NOW, "organisation", base=RUN.model),
    provider=OPENAI,
    made=ModelVersion(TUNED, RUN, (), StageResults(PREPARED)),
    headline=PrimaryMetric("accuracy", MetricResult(0.944, 0.9, 0.972, 180, Unit.SHARE)),
    cost=TrainingCost(1.25, 250_000),
    ends=date(2027, 1, 14),
)
FOREIGN = ListedModel(Model("ft:gpt-4.1:other::b", NOW, "other", base="gpt-4.1"), OPENAI)


def render(*models: ListedModel, width: int) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None)
    console.print(render_models(models, width=width, today=TODAY))
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 200])
def test_everything_is_shown_in_a_narrow_and_in_a_wide_terminal(width: int) -> None:
    text = render(FULL, FOREIGN, width=width)
    for part in (
        NAME,
        "gpt-4.1-mini-2025-04-14",
        "openai",
        RUN.id,
        "01234567",
        "accuracy 94.4% (90.0–97.2)",
        "$1.25",
        "2026-11-22",
        "ends 2027-01-14",
        "ft:gpt-4.1:other::b",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) <= width


def test_a_narrow_list_has_three_lines_for_each_model() -> None:
    assert len(render(FULL, FOREIGN, width=80).splitlines()) == 6


def test_an_empty_list_has_a_message() -> None:
    assert "no fine-tuned models" in render(width=80)


def test_models_are_sorted_by_metric_with_missing_figures_last() -> None:
    better = replace(FULL, headline=PrimaryMetric("accuracy", MetricResult(0.99, None, None, 10)))
    assert sort_models([FOREIGN, FULL, better], by_metric=True) == [better, FULL, FOREIGN]


def test_models_are_sorted_by_date_with_the_newest_first() -> None:
    older = replace(FOREIGN, model=replace(FOREIGN.model, created_at=NOW.replace(year=2025)))
    assert sort_models([older, FULL], by_metric=False) == [FULL, older]


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (MetricResult(0.5, None, None, 4, Unit.SHARE), "m 50.0%"),
        (MetricResult(1.0, 1.0, 1.0, 4, Unit.SHARE), "m 100.0% (100.0–100.0)"),
        (MetricResult(31.25, 29.0, 33.5, 4), "m 31.2 (29–33.5)"),
    ],
)
def test_figures_are_percentages_or_plain_numbers(figure: MetricResult, text: str) -> None:
    assert describe_headline(PrimaryMetric("m", figure)) == text


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (None, ""),
        (TrainingCost(0.0, 1000), "$0.00"),
        (TrainingCost(0.0004, 1000), "$0.0004"),
        (TrainingCost(2.5), "about $2.50"),
    ],
)
def test_an_estimate_is_marked_as_one(cost: TrainingCost | None, text: str) -> None:
    assert describe_cost(cost) == text


@pytest.mark.parametrize(
    ("ends", "text", "style"),
    [
        (date(2028, 1, 1), "ends 2028-01-01", ""),
        (date(2027, 1, 14), "ends 2027-01-14", "yellow"),
        (date(2026, 11, 22), "ended 2026-11-22", "red"),
    ],
)
def test_a_shutdown_that_is_near_or_past_has_a_warning_colour(
    ends: date, text: str, style: str
) -> None:
    shown = describe_end(ends, TODAY)
    assert (shown.plain, shown.style) == (text, style)


def test_the_json_document_has_null_for_unknown_values() -> None:
    document = FULL.to_json()
    assert document["metric"] == {
        "name": "accuracy", "value": 0.944, "low": 0.9, "high": 0.972, "rows": 180,
    }  # fmt: skip
    assert document["data_sha256"] == "0123456789ab" * 5
    assert document["ends_on"] == "2027-01-14"
    foreign = FOREIGN.to_json()
    assert {foreign[name] for name in ("run_id", "metric", "cost", "ends_on", "data_sha256")} == {
        None
    }
