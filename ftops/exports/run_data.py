"""The exported data of a run, collected from the ledger and the run's folder.

It contains no training text, predictions, keys or messages of a provider. Times are seconds since
1970, losses are nats per token, accuracies are shares from 0 to 1.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import TypeAdapter

from ftops import __version__
from ftops.errors import LedgerError
from ftops.evaluation.result import read_evaluation
from ftops.records import Json, Run, StageRecord
from ftops.reports.results import HEADERS, ResultRow, read_results
from ftops.run_folder import RunFolder
from ftops.stage_results import StageResults

VERSION = 1
_SPEC_FIELDS = ("method", "seed", "suffix")
_NOT_ALLOWED = re.compile(r"[^\w\-. ]")
_DIGEST_CHARS = 8
Parameter: TypeAlias = bool | int | float | str


@dataclass(frozen=True, slots=True)
class TrainingCurve:
    """A metric of the training by step; each step occurs once, in ascending order."""

    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A metric of one candidate over `rows` rows, with its 95 % confidence interval."""

    candidate: str
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """The origin of the model: data, file at the provider, and job."""

    run_key: str
    training_sha256: str | None = None
    training_file: str | None = None
    training_file_id: str | None = None
    validation_sha256: str | None = None
    validation_file: str | None = None
    validation_file_id: str | None = None
    job_id: str | None = None
    model: str | None = None

    def to_tags(self) -> dict[str, str]:
        """The known fields by name."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class RunData:
    """One run: its parameters, training curves, metrics, files and lineage.

    Only `--retry` changes the `parameters` of a run; `files` are absolute paths.
    """

    id: str
    name: str
    status: str
    started_at: float
    ended_at: float
    lineage: Lineage
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    curves: tuple[TrainingCurve, ...] = ()
    metrics: tuple[MetricValue, ...] = ()
    files: tuple[str, ...] = ()

    def list_scalars(self) -> dict[str, float]:
        """The evaluation as `eval/CANDIDATE/METRIC`, with the interval as `_low` and `_high`."""
        scalars: dict[str, float] = {}
        for metric in self.metrics:
            name = f"eval/{metric.candidate}/{metric.metric}"
            scalars[name] = metric.value
            for end, value in (("low", metric.low), ("high", metric.high)):
                if value is not None:
                    scalars[f"{name}_{end}"] = value
        return scalars

    def to_json(self) -> dict[str, Json]:
        """Plain JSON values; NaN and infinity stay floats."""
        fields: dict[str, Json] = _ADAPTER.dump_python(self, mode="json")
        return {"version": VERSION, **fields}

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> "RunData":
        """The run from the output of `to_json`."""
        fields: dict[str, Any] = {name: item for name, item in value.items() if name != "version"}
        return _ADAPTER.validate_python(fields)


_ADAPTER = TypeAdapter(RunData)


def collect_run_data(run: Run, stages: Iterable[StageRecord], folder: RunFolder) -> RunData:
    """Collect the current data of a run; data that does not exist is left out.

    Raises StorageError if an existing file in the run's folder cannot be read.
    """
    results = StageResults.read(stages)
    return RunData(
        id=run.id,
        name=run.name,
        status=run.status.value,
        started_at=run.created_at.timestamp(),
        ended_at=(run.finished_at or run.updated_at).timestamp(),
        lineage=_make_lineage(run, results),
        parameters=dict(_list_parameters(run, results)),
        tags={"ftops.version": __version__, "ftops.run_id": run.id, **_make_cost_tags(results)},
        curves=tuple(_list_curves(read_results(folder.results))),
        metrics=tuple(_list_metrics(folder.path)),
        files=tuple(str(path) for path in folder.list_documents() if path.is_file()),
    )


def _list_parameters(run: Run, results: StageResults) -> Iterator[tuple[str, Parameter]]:
    yield "name", run.name
    yield "base_model", run.model
    yield "provider", run.provider.type
    if run.provider.base_url:
        yield "provider_url", run.provider.base_url
    for name in _SPEC_FIELDS:
        yield from _list_if_known(name, run.spec.get(name))
    prepared, followed = results.prepare, results.follow
    hyperparameters = {
        **_as_mapping(run.spec.get("hyperparameters")),
        **(followed.hyperparameters if followed else {}),
    }
    for name, value in hyperparameters.items():
        yield from _list_if_known(name, value)
    if prepared:
        yield "row_format", prepared.row_format.value
        yield from _list_if_known("separator", prepared.separator)
        yield from _list_if_known("stop", prepared.stop)
        yield from _list_if_known("training_rows", prepared.training.rows or None)
        if prepared.validation:
            yield from _list_if_known("validation_rows", prepared.validation.rows or None)
        yield from _list_if_known("training_tokens", prepared.tokens)
    if followed:
        yield from _list_if_known("trained_tokens", followed.trained_tokens)


def _list_if_known(name: str, value: Json) -> Iterator[tuple[str, Parameter]]:
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    if isinstance(value, bool | int | float | str) and value != "":
        yield name, value


def _make_lineage(run: Run, results: StageResults) -> Lineage:
    prepared, uploaded = results.prepare, results.upload
    training = prepared.training if prepared else None
    validation = prepared.validation if prepared else None
    return Lineage(
        run_key=run.key,
        training_sha256=(training.sha256 or None) if training else None,
        training_file=training.source if training else _find_text(run.spec, "training_file"),
        training_file_id=uploaded.training_file if uploaded else None,
        validation_sha256=(validation.sha256 or None) if validation else None,
        validation_file=validation.source
        if validation
        else _find_text(run.spec, "validation_file"),
        validation_file_id=uploaded.validation_file if uploaded else None,
        job_id=run.job_id,
        model=run.fine_tuned_model,
    )


def _make_cost_tags(results: StageResults) -> dict[str, str]:
    costs = {"estimated_cost_usd": results.cost.expected_usd, "cost_usd": results.cost.usd}
    return {f"ftops.{name}": str(usd) for name, usd in costs.items() if usd is not None}


def _list_curves(rows: Sequence[ResultRow]) -> Iterator[TrainingCurve]:
    extras = dict.fromkeys(name for row in rows for name in row.extra)
    for name in (*HEADERS, *extras):
        points: dict[int, float] = {}
        for row in rows:
            value = getattr(row, name) if name in HEADERS else row.extra.get(name)
            if value is not None:
                points[row.step] = value
        if points:
            steps = tuple(sorted(points))
            yield TrainingCurve(name, steps, tuple(points[step] for step in steps))


def _list_metrics(folder: Path) -> Iterator[MetricValue]:
    try:
        evaluation = read_evaluation(folder)
    except LedgerError:
        return  # the file itself is exported
    if evaluation is None:
        return
    for candidate in evaluation.candidates:
        for name, result in candidate.metrics.items():
            yield MetricValue(
                candidate.name, name, result.value, result.low, result.high, result.rows
            )


def _as_mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _find_text(values: Mapping[str, Json], name: str) -> str | None:
    value = values.get(name)
    return value if isinstance(value, str) and value else None


def fit_names(names: Iterable[str], *, limit: int) -> Mapping[str, str]:
    """Map each name to a unique name of at most `limit` characters that tools accept.

    Letters, digits, `_`, `-`, `.`, spaces and slashes are kept. A part between slashes is never
    empty, `.` or `..`, because tools use the parts as folders. The result is deterministic.
    """
    fitted: dict[str, str] = {}
    used: set[str] = set()
    for name in dict.fromkeys(names):
        safe = "/".join(_make_safe(part) for part in name.split("/"))
        if len(safe) > limit or safe in used:
            digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:_DIGEST_CHARS]
            safe = f"{safe[: limit - _DIGEST_CHARS - 1]}-{digest}"
        used.add(safe)
        fitted[name] = safe
    return fitted


def shorten(text: str, limit: int) -> str:
    """The text, truncated to `limit` characters with `…` at the end."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _make_safe(part: str) -> str:
    safe = _NOT_ALLOWED.sub("_", part).strip()
    return "_" if safe.strip(".") == "" else safe
