"""Where a model comes from: its run and data, what it cost, how good it is, when it ends.

It is read from the ledger and the run folders, without any request.
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
    """The one figure that stands for how good a model is, by the name of its metric."""

    metric: str
    figure: MetricResult

    def to_json(self) -> dict[str, Json]:
        """The figure with its interval and its number of rows."""
        return {
            "name": self.metric,
            "value": self.figure.value,
            "low": self.figure.low,
            "high": self.figure.high,
            "rows": self.figure.rows,
        }


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """What training cost in US dollars.

    `tokens` were trained on, as the provider says; None where `usd` is what was estimated before.
    """

    usd: float
    tokens: int | None = None

    def to_json(self) -> dict[str, Json]:
        """The sum, and how it is known."""
        return {"usd": self.usd, "trained_tokens": self.tokens, "estimated": self.tokens is None}


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A model with the run that made it, the run's stages, and the data as it was prepared.

    `run` is None for a model that the ledger knows without its run.
    """

    tuned: TunedModel
    run: Run | None
    stages: tuple[StageRecord, ...] = ()
    results: StageResults = field(default_factory=StageResults)

    @property
    def prepared(self) -> PreparedData | None:
        """The data as it was prepared; None where it was not prepared here."""
        return self.results.prepare

    @property
    def data_sha256(self) -> str:
        """The hash of the training data as it was sent; "" where it was not sent from here."""
        return self.prepared.training.sha256 if self.prepared else ""


def load_model_version(ledger: Ledger, tuned: TunedModel) -> ModelVersion:
    """All that the ledger knows of how the model was made."""
    try:
        run = ledger.get_run(tuned.run_id)
    except UnknownRun:
        return ModelVersion(tuned, None)
    stages = tuple(ledger.list_stages(run.id))
    return ModelVersion(tuned, run, stages, StageResults.read(stages))


def trace_lineage(ledger: Ledger, tuned: TunedModel) -> list[ModelVersion]:
    """The model and the models it was tuned from, the oldest first, as far as the ledger goes."""
    found: dict[str, ModelVersion] = {}
    model: TunedModel | None = tuned
    while model is not None and model.name not in found:
        found[model.name] = load_model_version(ledger, model)
        model = ledger.find_model(model.base)
    return list(reversed(found.values()))


def find_evaluation(run: Run, home: Path) -> Evaluation | None:
    """The run's evaluation; None where there is none, or where it cannot be read."""
    try:
        return read_evaluation(RunFolder.of(home, run.id).path)
    except (LedgerError, StorageError):
        return None


def find_primary_metric(
    evaluation: Evaluation | None, checkpoint: str = ""
) -> PrimaryMetric | None:
    """The headline metric of the model that the run made, or of a checkpoint of it, where it was
    measured."""
    if evaluation is None:
        return None
    kind = CandidateKind.CHECKPOINT if checkpoint else CandidateKind.TUNED
    for one in evaluation.candidates:
        is_meant = one.kind is kind and (not checkpoint or one.model == checkpoint)
        if is_meant and evaluation.primary_metric in one.metrics:
            return PrimaryMetric(evaluation.primary_metric, one.metrics[evaluation.primary_metric])
    return None


def find_checkpoint_owner(ledger: Ledger, checkpoint: str) -> TunedModel | None:
    """The checkpoint as a model of the run whose job left it; None where no run lists it."""
    for tuned in ledger.list_models():
        facts = read_training_facts(ledger.list_stages(tuned.run_id))
        if any(one.model == checkpoint for one in facts.checkpoints):
            return replace(tuned, name=checkpoint, deleted_at=None)
    return None


def list_checkpoints(made: ModelVersion) -> list[Checkpoint]:
    """The models that the job left on its way and that can be asked, by step.

    That of the last step is left out: it is the model itself.
    """
    last = made.results.results.step if made.results.results else None
    return [
        one
        for one in read_training_facts(made.stages).checkpoints
        if one.model != made.tuned.name and one.step != last
    ]


def find_training_cost(made: ModelVersion, figures: ModelInfo) -> TrainingCost | None:
    """What training cost: by the tokens that were trained on, else as it was estimated."""
    tokens = made.results.follow.trained_tokens if made.results.follow else None
    if tokens is not None and figures.train_usd is not None:
        return TrainingCost(tokens * figures.train_usd / 1e6, tokens)
    estimated = made.prepared.cost_usd if made.prepared else None
    return None if estimated is None else TrainingCost(estimated)


def find_shutdown_date(shutdown_date: str | None, figures: ModelInfo) -> date | None:
    """The day on which the model is shut down: the earlier one of what its provider says, and of
    what is known about its base."""
    days = [_read_day(shutdown_date), figures.shutdown]
    return min((day for day in days if day is not None), default=None)


def read_job_file(run: Run, home: Path) -> str | None:
    """The text of the job file as it was run; None when the run's folder was removed."""
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
    try:  # seconds since 1970, as the API writes its other moments
        return datetime.fromtimestamp(int(text)).astimezone().date()
    except (ValueError, OverflowError, OSError):
        return None
