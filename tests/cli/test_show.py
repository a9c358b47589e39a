"""The view of a run: complete, in 80 columns, with foreign texts escaped."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from ftops.cli.format import render_bytes, render_seconds
from ftops.cli.output import render_json
from ftops.cli.run_view import describe_provider, describe_stage_result, render_header
from ftops.cli.runs import ListedRun, render_runs
from ftops.cli.show import RunSummary, list_next_commands, render_details, render_summary
from ftops.cli.training_view import choose_rows
from ftops.evaluation.result import CandidateKind
from ftops.evaluation.scoring import CandidatePredictions, choose_default_metrics, evaluate
from ftops.metrics.prediction import Prediction
from ftops.records import (
    JobEvent,
    ProviderSettings,
    Run,
    RunId,
    RunStatus,
    Stage,
    StageRecord,
    StageStatus,
    TunedModel,
)
from ftops.reports.results import ResultRow
from ftops.stage_results import UploadResult

NOW = datetime(2026, 11, 22, 14, 7, tzinfo=UTC)
RUN = Run(
    id=RunId("run-20261122-1407-k3f9"),
    key="0" * 64,
    name="news-topics",
    status=RunStatus.SUCCEEDED,
    provider=ProviderSettings("local"),
    model="ada",
    spec={"suffix": "news", "training_file": "train.jsonl", "validation_file": "data/valid.jsonl"},
    job_file="/some/where/news-topics.yaml",
    created_at=NOW,
    updated_at=NOW,
    job_id="ftjob-abc123",
    fine_tuned_model="ft:ada:local:news:a1b2c3d4",
    finished_at=NOW + timedelta(seconds=12),
)
STAGES = [
    StageRecord(stage, StageStatus.SUCCEEDED, 1, NOW, NOW + timedelta(seconds=2))
    for stage in Stage
    if stage is not Stage.DEPLOY
]
ROWS = [ResultRow(step, 3 / step, 0.5, 1.0 if step % 10 == 0 else None) for step in range(1, 101)]
ANSWERS = [
    Prediction(line, "p", str(line % 3), str(line % 3 if line % 4 else 0)) for line in range(60)
]
MAJORITY_ANSWERS = [Prediction(line, "p", str(line % 3), "0") for line in range(60)]
EVALUATION = evaluate(
    "valid.jsonl",
    [
        CandidatePredictions("tuned", CandidateKind.TUNED, ANSWERS),
        CandidatePredictions("majority", CandidateKind.MAJORITY, MAJORITY_ANSWERS),
    ],
    choose_default_metrics(ANSWERS),
)
MODEL = TunedModel(
    RUN.fine_tuned_model or "", RUN.id, "ftjob-abc123", "ada", RUN.provider, created_at=NOW
)
HOSTILE = "[bold]x[/bold]\x1b[2J" * 20
EVENT = JobEvent("e1", NOW, "info", HOSTILE)


def render(*renderables: RenderableType, width: int = 80) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, markup=False, highlight=False)
    for renderable in renderables:
        console.print(renderable)
    return stream.getvalue()


def make_report(run: Run = RUN, model: TunedModel | None = MODEL) -> RunSummary:
    return RunSummary(run, STAGES, ROWS, EVALUATION, model, Path("/none"))


def test_the_summary_of_a_run_is_complete_and_fits_80_columns() -> None:
    text = render(*render_summary(make_report()))
    assert max(map(len, text.splitlines())) <= 80
    for part in ("12.0 s", "training   o validation", "83.3%", "33.3%", "not language"):
        assert part in text
    assert "ft:ada:local:news:a1b2c3d4" in text
    assert "tuned is better than majority by 50.0 points of accuracy" in text


def test_the_json_document_has_the_seconds_of_each_finished_stage() -> None:
    finished = StageRecord(
        Stage.PREPARE, StageStatus.SUCCEEDED, 1, NOW, NOW + timedelta(milliseconds=1250)
    )
    running = StageRecord(Stage.UPLOAD, StageStatus.RUNNING, 1, NOW)
    document = json.loads(render_json(replace(make_report(), stages=[finished, running]).to_json()))
    assert [(stage["stage"], stage["seconds"]) for stage in document["stages"]] == [
        ("prepare", 1.25), ("upload", None)
    ]  # fmt: skip


def test_models_of_other_providers_are_not_called_small() -> None:
    run = replace(RUN, provider=ProviderSettings("openai"), model="gpt-4.1-mini")
    assert "not language" not in render(*render_summary(make_report(run)))


@pytest.mark.parametrize(
    ("provider", "shown"),
    [
        (ProviderSettings("local"), "local, the built-in engine on this machine"),
        (
            ProviderSettings("local", protocol="legacy"),
            "local, the built-in engine on this machine, legacy protocol",
        ),
        (ProviderSettings("openai"), "openai"),
        (
            ProviderSettings("openai", base_url="http://x/v1", protocol="legacy"),
            "openai at http://x/v1, legacy protocol",
        ),
    ],
)
def test_a_provider_is_shown_with_its_address_and_a_legacy_protocol(
    provider: ProviderSettings, shown: str
) -> None:
    assert describe_provider(replace(RUN, provider=provider)) == shown


def test_foreign_texts_are_shown_literally_and_escaped() -> None:
    run = replace(RUN, name=HOSTILE, model=HOSTILE, error=HOSTILE, job_file=HOSTILE)
    text = render(
        render_header(run, resumed=True),
        *render_details(make_report(run), (), [EVENT]),
        render_runs([ListedRun(run, is_driven=False)]),
    )
    assert "\x1b[2J" not in text
    assert "[bold]x[/bold]" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_running_run_without_a_process_is_unwatched_or_stopped() -> None:
    running = replace(RUN, status=RunStatus.RUNNING, finished_at=None)
    without_job = replace(running, job_id=None)
    runs = [
        ListedRun(running, is_driven=True),
        ListedRun(running, is_driven=False),
        ListedRun(without_job, is_driven=False),
    ]
    lines = render(render_runs(runs))
    assert [word for word in lines.split() if word in ("running", "unwatched", "stopped")] == [
        "running",
        "unwatched",
        "stopped",
    ]


def test_next_commands_depend_on_the_status_of_the_run() -> None:
    unwatched = replace(RUN, status=RunStatus.FAILED, fine_tuned_model=None)
    failed = replace(unwatched, job_status="failed")
    running = replace(RUN, status=RunStatus.RUNNING, fine_tuned_model=None)
    deleted = replace(MODEL, deleted_at=NOW)
    assert list_next_commands(make_report(failed)) == [
        "ftops run /some/where/news-topics.yaml --retry"
    ]
    assert list_next_commands(make_report(unwatched)) == list_next_commands(make_report(running))
    assert list_next_commands(make_report(running))[0] == f"ftops follow {RUN.id}"
    assert list_next_commands(make_report(RUN, deleted)) == [
        "ftops run /some/where/news-topics.yaml --new"
    ]
    assert [line.split()[1] for line in list_next_commands(make_report())] == [
        "complete",
        "report",
        "models",
    ]


def test_the_first_the_last_and_some_other_rows_of_many_are_shown() -> None:
    rows = choose_rows(ROWS, 7)
    assert (rows[0].step, rows[-1].step, len(rows)) == (1, 100, 7)
    assert all(row.valid_loss is not None for row in rows[1:])
    assert choose_rows(ROWS[:5], 7) == ROWS[:5]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.314, "0.31 s"),
        (12.34, "12.3 s"),
        (59.96, "60.0 s"),
        (185.0, "3 min 05 s"),
        (7800.0, "2 h 10 min"),
        (None, ""),
    ],
)
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert render_seconds(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (34_100, "34.1 kB"), (2.5e9, "2.5 GB")]
)
def test_sizes_are_short(count: float, text: str) -> None:
    assert render_bytes(count) == text


def test_a_stage_shows_its_result_or_the_reason() -> None:
    uploaded = replace(STAGES[1], detail=UploadResult("file-1", bytes=10).to_json())
    skipped = replace(STAGES[5], status=StageStatus.SKIPPED, detail={"reason": "no file"})
    failed = replace(STAGES[2], status=StageStatus.FAILED, error="refused")
    assert describe_stage_result(uploaded) == "already uploaded, nothing sent"
    assert describe_stage_result(skipped) == "skipped: no file"
    assert describe_stage_result(failed) == "refused"
