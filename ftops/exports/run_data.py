"""A run as trackers are told of it: one form for all of them.

No training text, no answers, no key and no words of a provider are in it. Times are seconds since
1970, losses nats a token, accuracies shares from 0 to 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import TypeAdapter

from ftops.records import Json

VERSION = 1
Parameter: TypeAlias = bool | int | float | str


@dataclass(frozen=True, slots=True)
class TrainingCurve:
    """One figure by training step; each step once, in rising order."""

    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class MetricValue:
    """One metric of one candidate, over so many rows, with the interval that holds 95 %."""

    candidate: str
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """What came of what: data, its file at the provider, the job, the model."""

    run_key: str
    training_sha256: str | None = None
    training_file: str | None = None
    training_file_id: str | None = None
    validation_sha256: str | None = None
    validation_file: str | None = None
    validation_file_id: str | None = None
    job_id: str | None = None
    model: str | None = None

    def list_known(self) -> dict[str, str]:
        """What is known of it, by name."""
        named = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class RunData:
    """One run: its parameters, curves, figures, files and lineage.

    `parameters` never change in the life of a run but by `--retry`; `files` are absolute paths.
    """

    id: str
    name: str
    status: str
    began_at: float
    ended_at: float
    lineage: Lineage
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    curves: tuple[TrainingCurve, ...] = ()
    figures: tuple[MetricValue, ...] = ()
    files: tuple[str, ...] = ()

    def list_single_figures(self) -> dict[str, float]:
        """The evaluation as single figures, `eval/CANDIDATE/METRIC` and its interval."""
        single: dict[str, float] = {}
        for figure in self.figures:
            name = f"eval/{figure.candidate}/{figure.metric}"
            single[name] = figure.value
            for end, value in (("low", figure.low), ("high", figure.high)):
                if value is not None:
                    single[f"{name}_{end}"] = value
        return single

    def to_json(self) -> dict[str, Json]:
        """As plain JSON values; figures that are no numbers stay what they are."""
        fields: dict[str, Json] = _ADAPTER.dump_python(self, mode="json")
        return {"version": VERSION, **fields}

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> "RunData":
        """What `to_json` gave."""
        fields: dict[str, Any] = {name: one for name, one in value.items() if name != "version"}
        return _ADAPTER.validate_python(fields)


_ADAPTER = TypeAdapter(RunData)
