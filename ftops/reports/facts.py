"""What a report is made of: all that the ledger and the run's folder know of one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ftops.evaluation.result import Evaluation
from ftops.metrics.prediction import Prediction
from ftops.records import Json, Run, StageRecord, TunedModel
from ftops.reports.training import Training, create_training
from ftops.stage_results import StageResults


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that was found in data: how bad it is, what it is, and what to do."""

    severity: str  # error, warning or advice
    message: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run. What is not there is empty, and `missing` says in sentences why.

    `answers` are those of each candidate by its name in the evaluation, `job_text` is the job file
    as it was run.
    """

    run: Run
    stages: Sequence[StageRecord]
    training: Training = field(default_factory=lambda: create_training(()))
    evaluation: Evaluation | None = None
    answers: Mapping[str, Sequence[Prediction]] = field(default_factory=dict)
    job_text: str = ""
    model: TunedModel | None = None
    data: Sequence[Remark] = ()
    missing: Sequence[str] = ()

    @property
    def results(self) -> StageResults:
        """The results of the run's stages, as far as they have run."""
        return StageResults.read(self.stages)


def find_object(detail: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    """The mapping of that name; empty when there is none."""
    value = detail.get(name)
    return value if isinstance(value, dict) else {}


def find_number(detail: Mapping[str, Json], name: str) -> float | None:
    """The number of that name, if there is one."""
    value = detail.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None  # type: ignore[arg-type]


def find_separator(facts: RunFacts) -> str:
    """What ends every prompt of the run, "" where nothing does or nobody knows."""
    prepared = facts.results.prepare
    return prepared.separator if prepared else ""


def name_runs(runs: Sequence[RunFacts]) -> list[str]:
    """A name for each run that no other has: the job's name, with the run's id where needed."""
    names = [one.run.name for one in runs]
    return [
        name if names.count(name) == 1 else f"{name} ({one.run.id})"
        for name, one in zip(names, runs, strict=True)
    ]
