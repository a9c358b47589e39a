"""Runs to export, and the environment of export processes."""

import os
from pathlib import Path

from ftops.exports.exporter import ExportTarget, SubprocessExporter
from ftops.exports.run_data import Lineage, MetricValue, RunData, TrainingCurve

RUN_ID = "run-20261122-1407-k3f9"
STARTED = 1_795_000_000.0


def make_run(
    *,
    status: str = "succeeded",
    steps: int = 4,
    parameters: dict[str, bool | int | float | str] | None = None,
    metrics: tuple[MetricValue, ...] | None = None,
    files: tuple[str, ...] = (),
    curves: tuple[TrainingCurve, ...] | None = None,
    ended_at: float = STARTED + 60,
) -> RunData:
    """A run with two training curves and two candidates."""
    numbers = tuple(range(1, steps + 1))
    default_curves = (
        TrainingCurve("train_loss", numbers, tuple(3 / step for step in numbers)),
        TrainingCurve("valid_loss", numbers[-1:], (0.75,)),
    )
    default_metrics = (
        MetricValue("tuned", "accuracy", 0.9375, 0.875, 0.96875, 64),
        MetricValue("few-shot: 5", "accuracy", 0.5, 0.375, 0.625, 64),
    )
    return RunData(
        id=RUN_ID,
        name="news topics/1",
        status=status,
        started_at=STARTED,
        ended_at=ended_at,
        lineage=Lineage(
            run_key="k" * 64,
            training_sha256="ab" * 32,
            training_file="data/train.jsonl",
            training_file_id="file-1",
            job_id="ftjob-1",
            model="ft:ada:local:news:1",
        ),
        parameters={"base_model": "ada", "n_epochs": 3, "learning_rate_multiplier": 0.5}
        if parameters is None
        else parameters,
        tags={"ftops.run_id": RUN_ID},
        curves=default_curves if curves is None else curves,
        metrics=default_metrics if metrics is None else metrics,
        files=files,
    )


def make_hostile_run() -> RunData:
    """A run with names and values that tools refuse when they are not converted."""
    curves = (
        TrainingCurve("../../loss", (1, 2), (1.0, 2.0)),
        TrainingCurve("loss?", (1, 2), (3.0, 4.0)),
        TrainingCurve("loss*", (1, 2), (5.0, float("nan"))),
        TrainingCurve("/" + "x" * 400, (1,), (float("inf"),)),
        TrainingCurve("Ünïcode 损失", (1,), (7.0,)),
    )
    return make_run(
        parameters={"separator": "\n\n###\n\n" * 2000, "a/../b": True, "": 1, "x?" * 200: 2.5},
        metrics=(MetricValue("model: a/b|c\n`d`", "f1", float("nan"), None, None, 3),),
        curves=curves,
    )


def make_environ(folder: Path, **variables: str) -> dict[str, str]:
    """A minimal environment: an empty home folder, no network, and warnings as errors."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    no_network = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    offline = {"WANDB_MODE": "offline", "PYTHONWARNINGS": "error"}
    return {**kept, **no_network, **offline, "HOME": str(home), **variables}


def export_run(folder: Path, tool: str, run: RunData, /, **settings: str) -> str:
    """Export a run to the real tool, as the command line does."""
    exporter = SubprocessExporter(make_environ(folder))
    return exporter.export(run, ExportTarget(tool, settings, folder))
