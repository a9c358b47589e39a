"""The lineage of a model: its run, data, cost, evaluation and shutdown date.

It comes from the ledger and the run folders; no requests are sent.
"""

from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path

from ftops.errors import LedgerError, StorageError, UnknownRun
from ftops.evaluation.result import CandidateKind, Evaluation, read_evaluation
from ftops.ledger.ledger import Ledger
from ftops.metrics.result import MetricResult
from ftops.providers.model_catalog import ModelInfo
from ftops.records import Checkpoint, Json, Run, StageRecord, TunedModel
from ftops.run_folder import RunFolder
from ftops.runs.open_run import read_training_facts
from ftops.spec.notify import find_webhook, hide_webhook
from ftops.stage_results import PreparedData, StageResults

_WHOLE_DAY = 10  # characters of 2027-01-14


@dataclass(frozen=True, slots=True)
class PrimaryMetric:
    """The primary metric of a model: its name and value."""

    metric: str
    figure: MetricResult

    def to_json(self) -> dict[str, Json]:
        """The value with its interval and its number of rows."""
        return {
            "name": self.metric,
            "value": self.figure.value,
            "low": self.figure.low,
            "high": self.figure.high,
            "rows": self.figure.rows,
        }


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """The cost of training in US dollars, with the number of trained tokens if it is known.

    Without that number it is the earlier estimate, unless the cost itself was recorded.
    """

    usd: float
    tokens: int | None = None
    is_recorded: bool = False

    @property
    def is_estimated(self) -> bool:
        return self.tokens is None and not self.is_recorded

    def to_json(self) -> dict[str, Json]:
        """The cost and its source."""
        return {"usd": self.usd, "trained_tokens": self.tokens, "estimated": self.is_estimated}


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A model with its run, the run's stages, and the prepared data.

    `run` is None if the ledger does not have the run of the model.
    """

    tuned: TunedModel
    run: Run | None
    stages: tuple[StageRecord, ...] = ()
    results: StageResults = field(default_factory=StageResults)

    @property
    def prepared(self) -> PreparedData | None:
        """The prepared data; None if it was not prepared here."""
        return self.results.prepare

    @property
    def data_sha256(self) -> str:
        """The hash of the uploaded training data; "" if it was not uploaded from here."""
        return self.prepared.training.sha256 if self.prepared else ""


def load_model_version(ledger: Ledger, tuned: TunedModel) -> ModelVersion:
    """The model with everything that the ledger has about its origin."""
    try:
        run = ledger.get_run(tuned.run_id)
    except UnknownRun:
        return ModelVersion(tuned, None)
    stages = tuple(ledger.list_stages(run.id))
    return ModelVersion(tuned, run, stages, StageResults.read(stages))


def trace_lineage(ledger: Ledger, tuned: TunedModel) -> list[ModelVersion]:
    """The model and the models in the ledger it was tuned from, oldest first."""
    versions: dict[str, ModelVersion] = {}
    model: TunedModel | None = tuned
    while model is not None and model.name not in versions:
        versions[model.name] = load_model_version(ledger, model)
        model = ledger.find_model(model.base)
    return list(reversed(versions.values()))


def find_evaluation(run: Run, home: Path) -> Evaluation | None:
    """The run's evaluation; None if there is none or it cannot be read."""
    try:
        return read_evaluation(RunFolder.of(home, run.id).path)
    except (LedgerError, StorageError):
        return None


def find_primary_metric(
    evaluation: Evaluation | None, checkpoint: str = ""
) -> PrimaryMetric | None:
    """The primary metric of the run's model, or of one of its checkpoints, if it was measured."""
    if evaluation is None:
        return None
    kind = CandidateKind.CHECKPOINT if checkpoint else CandidateKind.TUNED
    metric = evaluation.primary_metric
    for candidate in evaluation.candidates:
        is_meant = candidate.kind is kind and (not checkpoint or candidate.model == checkpoint)
        if is_meant and metric in candidate.metrics:
            return PrimaryMetric(metric, candidate.metrics[metric])
    return None


def find_checkpoint_owner(ledger: Ledger, checkpoint: str) -> TunedModel | None:
    """The run's model with the name of the checkpoint; None if no run lists the checkpoint."""
    for tuned in ledger.list_models():
        facts = read_training_facts(ledger.list_stages(tuned.run_id))
        if checkpoint in [known.model for known in facts.checkpoints]:
            return replace(tuned, name=checkpoint, deleted_at=None)
    return None


def list_checkpoints(made: ModelVersion) -> list[Checkpoint]:
    """The usable checkpoints of the job, by step, without the last: it is the model itself."""
    last = made.results.results.step if made.results.results else None
    return [
        checkpoint
        for checkpoint in read_training_facts(made.stages).checkpoints
        if checkpoint.model != made.tuned.name and checkpoint.step != last
    ]


def find_training_cost(made: ModelVersion, figures: ModelInfo) -> TrainingCost | None:
    """What the training has cost, as recorded or by its tokens, or else the earlier estimate."""
    follow, cost = made.results.follow, made.results.cost
    tokens = follow.trained_tokens if follow else None
    if cost.training_usd is not None:
        return TrainingCost(cost.training_usd, tokens, is_recorded=True)
    if tokens is not None and figures.train_usd is not None:
        return TrainingCost(tokens * figures.train_usd / 1e6, tokens)
    return None if cost.expected_usd is None else TrainingCost(cost.expected_usd)


def find_shutdown_date(shutdown_date: str | None, figures: ModelInfo) -> date | None:
    """The shutdown date of the model: the earlier of its own and that of its base model."""
    days = [_read_day(shutdown_date), figures.shutdown]
    return min((day for day in days if day is not None), default=None)


def read_job_file(run: Run, home: Path) -> str | None:
    """The text of the run's copy of the job file; None if the run's folder was deleted."""
    try:
        text = RunFolder.of(home, run.id).job_file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    return hide_webhook(text, find_webhook(run.spec))


def _read_day(text: str | None) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text[:_WHOLE_DAY])
    except ValueError:
        pass
    try:  # seconds since 1970, as in the API's other timestamps
        return datetime.fromtimestamp(int(text)).astimezone().date()
    except (ValueError, OverflowError, OSError):
        return None
