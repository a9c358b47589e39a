"""Makes a `RunData` of what the ledger and the run's folder know, as far as the run has come."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ftops import __version__
from ftops.errors import BadAnswer, LedgerError
from ftops.evaluation.storage import EVALUATION, read_evaluation
from ftops.exports.run_data import Lineage, MetricValue, Parameter, RunData, TrainingCurve
from ftops.files import read_if_there
from ftops.records import Json, Run, Stage, StageRecord
from ftops.reports.results import HEADERS, ResultRow, parse_results

RESULTS = "results.csv"
FILES = ("job.yaml", RESULTS, EVALUATION, "report.html", "report.md")
_CURVES = tuple(HEADERS)
# What the stages leave in their details, by the name that it gets as a parameter.
_SENT: Mapping[str, str] = {"method": "method", "seed": "seed", "suffix": "suffix"}
_FOUND: tuple[tuple[Stage, str, str], ...] = (
    (Stage.PREPARE, "rows", "training_rows"),
    (Stage.PREPARE, "validation_rows", "validation_rows"),
    (Stage.PREPARE, "tokens", "training_tokens"),
    (Stage.FOLLOW, "trained_tokens", "trained_tokens"),
)


def collect_run_data(run: Run, stages: Iterable[StageRecord], folder: Path) -> RunData:
    """All that trackers are told; what a run has not come to, or has lost, is left out.

    Raises StorageError when a file of the run's folder is there and cannot be read.
    """
    details = {record.stage: record.detail for record in stages}
    return RunData(
        id=run.id,
        name=run.name,
        status=run.status.value,
        began_at=run.created_at.timestamp(),
        ended_at=(run.finished_at or run.updated_at).timestamp(),
        lineage=_find_lineage(run, details),
        parameters=dict(_list_parameters(run, details)),
        tags={"ftops.version": __version__, "ftops.run_id": run.id, **_find_cost(details)},
        curves=tuple(_draw_curves(_read_results(folder / RESULTS))),
        figures=tuple(_list_figures(folder)),
        files=tuple(str(folder / name) for name in FILES if (folder / name).is_file()),
    )


def _list_parameters(
    run: Run, details: Mapping[Stage, Mapping[str, Json]]
) -> Iterator[tuple[str, Parameter]]:
    yield "name", run.name
    yield "base_model", run.model
    yield "provider", run.provider.type
    if run.provider.base_url:
        yield "provider_url", run.provider.base_url
    for field, name in _SENT.items():
        yield from _named(name, run.spec.get(field))
    asked, used = run.spec.get("hyperparameters"), details.get(Stage.FOLLOW, {})
    chosen = used.get("hyperparameters")
    figures = {**_as_mapping(asked), **_as_mapping(chosen)}
    for name, value in figures.items():
        yield from _named(name, value)
    recipe = _as_mapping(details.get(Stage.PREPARE, {}).get("recipe"))
    for name in ("row_format", "separator", "stop"):
        yield from _named(name, recipe.get(name))
    for stage, field, name in _FOUND:
        yield from _named(name, details.get(stage, {}).get(field))


def _named(name: str, value: Json) -> Iterator[tuple[str, Parameter]]:
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    if isinstance(value, bool | int | float | str) and value != "":
        yield name, value


def _find_lineage(run: Run, details: Mapping[Stage, Mapping[str, Json]]) -> Lineage:
    prepared, uploaded = details.get(Stage.PREPARE, {}), details.get(Stage.UPLOAD, {})
    training = _as_mapping(prepared.get("training"))
    validation = _as_mapping(prepared.get("validation"))
    return Lineage(
        run_key=run.key,
        training_sha256=_find_text(training, "sha256"),
        training_file=_find_text(training, "source") or _find_text(run.spec, "training_file"),
        training_file_id=_find_text(uploaded, "training_file"),
        validation_sha256=_find_text(validation, "sha256"),
        validation_file=_find_text(validation, "source") or _find_text(run.spec, "validation_file"),
        validation_file_id=_find_text(uploaded, "validation_file"),
        job_id=run.job_id,
        model=run.fine_tuned_model,
    )


def _find_cost(details: Mapping[Stage, Mapping[str, Json]]) -> dict[str, str]:
    cost = details.get(Stage.PREPARE, {}).get("cost_usd")
    return {} if cost is None else {"ftops.estimated_cost_usd": str(cost)}


def _draw_curves(rows: Sequence[ResultRow]) -> Iterator[TrainingCurve]:
    extras = dict.fromkeys(name for row in rows for name in row.extra)
    for name in (*_CURVES, *extras):
        points: dict[int, float] = {}
        for row in rows:
            value = getattr(row, name) if name in _CURVES else row.extra.get(name)
            if value is not None:
                points[row.step] = value
        if points:
            steps = tuple(sorted(points))
            yield TrainingCurve(name, steps, tuple(points[step] for step in steps))


def _list_figures(folder: Path) -> Iterator[MetricValue]:
    try:
        evaluation = read_evaluation(folder)
    except LedgerError:
        return  # the file itself goes along, and whoever opens it sees
    if evaluation is None:
        return
    for candidate in evaluation.candidates:
        for metric, figure in candidate.metrics.items():
            yield MetricValue(
                candidate.name, metric, figure.value, figure.low, figure.high, figure.rows
            )


def _read_results(path: Path) -> Sequence[ResultRow]:
    content = read_if_there(path)
    try:
        return [] if content is None else parse_results(content)
    except BadAnswer:
        return ()  # the run has said so, and the file itself goes along


def _as_mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _find_text(values: Mapping[str, Json], name: str) -> str | None:
    value = values.get(name)
    return value if isinstance(value, str) and value else None
