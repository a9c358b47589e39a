"""The results of a run's stages in the ledger; only this module reads and writes them."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeVar

from ftops.errors import LedgerError
from ftops.records import (
    Checkpoint,
    DataPlan,
    Json,
    PlanStep,
    RowFormat,
    Stage,
    StageRecord,
)

Role = Literal["train", "validation"]
Value = TypeVar("Value", str, int, float)


@dataclass(frozen=True, slots=True)
class PreparedFile:
    """Data ready for training: a file in the run's folder, or one at the provider (`file_id`)."""

    role: Role
    source: str  # as named in the job file
    file_id: str | None = None  # the job file names a file at the provider
    sha256: str = ""
    bytes: int = 0
    rows: int = 0

    @property
    def filename(self) -> str:
        """The file's name in the run's folder."""
        return f"{self.role}.jsonl"

    @property
    def remote_name(self) -> str:
        """The name under which it is uploaded, by which a later run finds it again."""
        return make_remote_name(self.sha256, self.role)


@dataclass(frozen=True, slots=True)
class PreparedData:
    """The result of the prepare stage; costs in US dollars, None means unknown."""

    row_format: RowFormat
    separator: str
    stop: str | None
    training: PreparedFile
    validation: PreparedFile | None = None
    tokens: int | None = None
    n_epochs: int | None = None
    cost_usd: float | None = None
    overlap_rows: int | None = None  # validation rows that are also training rows
    plan: DataPlan | None = None
    classes: Mapping[str, int] = field(default_factory=dict)  # rows of each label

    @property
    def files(self) -> tuple[PreparedFile, ...]:
        """The training file, and the validation file if there is one."""
        return (self.training, self.validation) if self.validation else (self.training,)

    @property
    def request_format(self) -> RowFormat:
        """The format of requests to a model trained on these rows: preferences are chats."""
        return RowFormat.CHAT if self.row_format is RowFormat.PREFERENCE else self.row_format

    def to_json(self) -> dict[str, Json]:
        """The result as JSON: figures first; data that only later stages read is nested."""
        return {
            "rows": self.training.rows or None,
            "validation_rows": (self.validation.rows or None) if self.validation else None,
            "tokens": self.tokens,
            "n_epochs": self.n_epochs,
            "cost_usd": self.cost_usd,
            "overlap_rows": self.overlap_rows,
            "row_format": self.row_format.value,
            "separator": self.separator,
            "stop": self.stop,
            "training": asdict(self.training),
            "validation": asdict(self.validation) if self.validation else None,
            **({"plan": self.plan.to_json()} if self.plan else {}),
            "classes": dict(self.classes) or None,
        }

    @classmethod
    def from_json(cls, detail: Mapping[str, Json]) -> "PreparedData":
        """The inverse of `to_json`; LedgerError for invalid JSON."""
        validation, classes = detail.get("validation"), detail.get("classes")
        try:
            row_format = RowFormat(get_value(detail, "row_format", str))
        except ValueError as error:
            raise LedgerError(f"the ledger is damaged: {error}") from error
        return cls(
            row_format=row_format,
            separator=get_value(detail, "separator", str),
            stop=find_value(detail, "stop", str),
            training=_read_prepared_file(get_object(detail, "training")),
            validation=_read_prepared_file(get_object(detail, "validation"))
            if validation
            else None,
            tokens=find_value(detail, "tokens", int),
            n_epochs=find_value(detail, "n_epochs", int),
            cost_usd=find_value(detail, "cost_usd", float),
            overlap_rows=find_value(detail, "overlap_rows", int),
            plan=_read_plan(detail.get("plan")),
            classes=_read_numbers(classes, int),
        )


@dataclass(frozen=True, slots=True)
class UploadResult:
    """The ids of the files at the provider; `sent_bytes` of `bytes` were sent."""

    training_file: str
    validation_file: str | None = None
    bytes: int = 0
    sent_bytes: int = 0

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_json(cls, detail: Mapping[str, Json]) -> "UploadResult":
        return cls(
            training_file=get_value(detail, "training_file", str),
            validation_file=find_value(detail, "validation_file", str),
            bytes=find_value(detail, "bytes", int) or 0,
            sent_bytes=find_value(detail, "sent_bytes", int) or 0,
        )


@dataclass(frozen=True, slots=True)
class CreateResult:
    """The job; `adopted` when an earlier request, or another program, created it.

    `estimated_cost_usd` is the provider's own estimate, in US dollars; None without one.
    """

    job_id: str
    model: str
    status: str | None = None
    adopted: bool = False
    estimated_cost_usd: float | None = None

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_json(cls, detail: Mapping[str, Json]) -> "CreateResult":
        return cls(
            job_id=get_value(detail, "job_id", str),
            model=find_value(detail, "model", str) or "",
            status=find_value(detail, "status", str),
            adopted=detail.get("adopted") is True,
            estimated_cost_usd=find_value(detail, "estimated_cost_usd", float),
        )


@dataclass(frozen=True, slots=True)
class FollowResult:
    """The job that succeeded; `hyperparameters` as the provider reports them.

    `cost_usd` is what it has cost in US dollars; None if neither the provider reports it nor the
    price is known.
    """

    fine_tuned_model: str | None
    trained_tokens: int | None = None
    hyperparameters: Mapping[str, Json] = field(default_factory=dict)
    result_files: tuple[str, ...] = ()
    cost_usd: float | None = None

    def to_json(self) -> dict[str, Json]:
        return {
            "fine_tuned_model": self.fine_tuned_model,
            "trained_tokens": self.trained_tokens,
            "hyperparameters": dict(self.hyperparameters),
            "result_files": list(self.result_files),
            "cost_usd": self.cost_usd,
        }

    @classmethod
    def from_json(cls, detail: Mapping[str, Json]) -> "FollowResult":
        files = detail.get("result_files")
        return cls(
            fine_tuned_model=find_value(detail, "fine_tuned_model", str),
            trained_tokens=find_value(detail, "trained_tokens", int),
            hyperparameters=get_object(detail, "hyperparameters"),
            result_files=tuple(map(str, files)) if isinstance(files, list) else (),
            cost_usd=find_value(detail, "cost_usd", float),
        )


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """The results file: its last step and the last values; `error` says why it is unreadable.

    `file_id` is "" for metrics that the provider has in no file.
    """

    file_id: str
    bytes: int
    rows: int | None = None
    step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    checkpoints: tuple[Checkpoint, ...] = ()
    error: str | None = None

    def to_json(self) -> dict[str, Json]:
        return {
            "file_id": self.file_id,
            "bytes": self.bytes,
            "rows": self.rows,
            "step": self.step,
            "metrics": dict(self.metrics),
            "checkpoints": [checkpoint.to_json() for checkpoint in self.checkpoints],
            **({"error": self.error} if self.error else {}),
        }

    @classmethod
    def from_json(cls, detail: Mapping[str, Json]) -> "TrainingSummary":
        listed = detail.get("checkpoints")
        checkpoints = [
            Checkpoint(
                id=find_value(item, "id", str) or "",
                step=get_value(item, "step", int),
                model=get_value(item, "model", str),
                metrics=_read_numbers(item.get("metrics"), float),
            )
            for item in (listed if isinstance(listed, list) else ())
            if isinstance(item, dict)
        ]
        return cls(
            file_id=get_value(detail, "file_id", str),
            bytes=get_value(detail, "bytes", int),
            rows=find_value(detail, "rows", int),
            step=find_value(detail, "step", int),
            metrics=_read_numbers(detail.get("metrics"), float),
            checkpoints=tuple(sorted(checkpoints, key=lambda checkpoint: checkpoint.step)),
            error=find_value(detail, "error", str),
        )


@dataclass(frozen=True, slots=True)
class DeployResult:
    """The deployment; requests call the model `call_name`, and `hourly_usd` is None if unknown."""

    deployment_id: str
    call_name: str
    hourly_usd: float | None = None

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_json(cls, detail: Mapping[str, Json]) -> "DeployResult":
        return cls(
            deployment_id=get_value(detail, "deployment_id", str),
            call_name=get_value(detail, "call_name", str),
            hourly_usd=find_value(detail, "hourly_usd", float),
        )


@dataclass(frozen=True, slots=True)
class EvaluateResult:
    """The primary metric of the tuned model with its interval, and of the other candidates.

    `source_sha256` is the hash of the data files of the section, if there are any.
    """

    file: str
    rows: int
    primary_metric: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str | None = None
    accuracy: float | None = None
    others: Mapping[str, float] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()  # candidates that were not evaluated
    missed: tuple[str, ...] = ()  # requirements that were not met
    source_sha256: str | None = None

    def to_json(self) -> dict[str, Json]:
        return {
            **asdict(self),
            "others": dict(self.others),
            "skipped": list(self.skipped),
            "missed": list(self.missed),
        }

    @classmethod
    def from_json(cls, detail: Mapping[str, Json]) -> "EvaluateResult":
        skipped, missed = detail.get("skipped"), detail.get("missed")
        return cls(
            file=get_value(detail, "file", str),
            rows=get_value(detail, "rows", int),
            primary_metric=get_value(detail, "primary_metric", str),
            value=find_value(detail, "value", float),
            low=find_value(detail, "low", float),
            high=find_value(detail, "high", float),
            unit=find_value(detail, "unit", str),
            accuracy=find_value(detail, "accuracy", float),
            others=_read_numbers(detail.get("others"), float),
            skipped=tuple(map(str, skipped)) if isinstance(skipped, list) else (),
            missed=tuple(map(str, missed)) if isinstance(missed, list) else (),
            source_sha256=find_value(detail, "source_sha256", str),
        )


@dataclass(frozen=True, slots=True)
class RunCost:
    """What a run costs, in US dollars; None is unknown.

    `estimated_usd` is our estimate of the training and `provider_estimated_usd` that of the
    provider; `training_usd` is what the training has really cost, and `deployments_usd` what the
    deployments have cost so far.
    """

    estimated_usd: float | None = None
    provider_estimated_usd: float | None = None
    training_usd: float | None = None
    deployments_usd: float = 0.0

    @property
    def usd(self) -> float | None:
        """What the run has cost so far."""
        return None if self.training_usd is None else self.training_usd + self.deployments_usd

    @property
    def expected_usd(self) -> float | None:
        """The estimate before the training: the provider's, or else ours."""
        provider_usd = self.provider_estimated_usd
        return self.estimated_usd if provider_usd is None else provider_usd

    @property
    def best_usd(self) -> float | None:
        """What the run has cost, with the estimate of the training while that is not known."""
        if self.usd is not None or self.expected_usd is None:
            return self.usd
        return self.expected_usd + self.deployments_usd

    def to_json(self) -> dict[str, Json]:
        return {
            "estimated_usd": self.estimated_usd,
            "provider_estimated_usd": self.provider_estimated_usd,
            "training_usd": self.training_usd,
            "deployments_usd": self.deployments_usd,
            "usd": self.usd,
        }


@dataclass(frozen=True, slots=True)
class StageResults:
    """The results of all stages of a run; None for a stage without one."""

    prepare: PreparedData | None = None
    upload: UploadResult | None = None
    create: CreateResult | None = None
    follow: FollowResult | None = None
    results: TrainingSummary | None = None
    deploy: DeployResult | None = None
    evaluate: EvaluateResult | None = None

    @property
    def cost(self) -> RunCost:
        """What the run costs, as far as its stages know."""
        return RunCost(
            estimated_usd=self.prepare.cost_usd if self.prepare else None,
            provider_estimated_usd=self.create.estimated_cost_usd if self.create else None,
            training_usd=self.follow.cost_usd if self.follow else None,
        )

    def count_trained_tokens(self) -> int | None:
        """The trained tokens as the provider reports them, or else as they were estimated."""
        if self.follow is not None and self.follow.trained_tokens is not None:
            return self.follow.trained_tokens
        if self.prepare is None or self.prepare.tokens is None or self.prepare.n_epochs is None:
            return None
        return self.prepare.tokens * self.prepare.n_epochs

    @classmethod
    def read(cls, records: Iterable[StageRecord]) -> "StageResults":
        """The results in the stage records; LedgerError when one is damaged."""
        details = {record.stage: record.detail for record in records}

        def find(stage: Stage, key: str) -> Mapping[str, Json] | None:
            detail = details.get(stage, {})
            return detail if key in detail else None  # a skipped stage has only a reason

        prepare, upload = find(Stage.PREPARE, "training"), find(Stage.UPLOAD, "training_file")
        create, follow = find(Stage.CREATE, "job_id"), find(Stage.FOLLOW, "hyperparameters")
        results, evaluate = find(Stage.RESULTS, "file_id"), find(Stage.EVALUATE, "primary_metric")
        deploy = find(Stage.DEPLOY, "deployment_id")
        return cls(
            prepare=PreparedData.from_json(prepare) if prepare else None,
            upload=UploadResult.from_json(upload) if upload else None,
            create=CreateResult.from_json(create) if create else None,
            follow=FollowResult.from_json(follow) if follow else None,
            results=TrainingSummary.from_json(results) if results else None,
            deploy=DeployResult.from_json(deploy) if deploy else None,
            evaluate=EvaluateResult.from_json(evaluate) if evaluate else None,
        )


def make_remote_name(sha256: str, role: str) -> str:
    """The name under which content is uploaded, by which a later run finds it again."""
    return f"ftops-{sha256[:16]}-{role}.jsonl"


def find_skip_reason(record: StageRecord) -> str | None:
    """The reason why the stage was skipped, if it was."""
    return find_value(record.detail, "reason", str)


def get_object(detail: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    """The mapping `name`; LedgerError when it is missing."""
    value = detail.get(name)
    if not isinstance(value, dict):
        raise LedgerError(f"the ledger is damaged: the detail of a stage lacks {name!r}")
    return value


def get_value(detail: Mapping[str, Json], name: str, kind: type[Value]) -> Value:
    """The value `name` of type `kind`; LedgerError when it is missing."""
    value = find_value(detail, name, kind)
    if value is None:
        raise LedgerError(f"the ledger is damaged: the detail of a stage lacks {name!r}")
    return value


def find_value(detail: Mapping[str, Json], name: str, kind: type[Value]) -> Value | None:
    """The value `name` if it has the type `kind`, else None."""
    value = detail.get(name)
    if kind is float and isinstance(value, int):
        value = float(value)
    return value if isinstance(value, kind) else None


def _read_numbers(values: Json, kind: type[Value]) -> dict[str, Value]:
    if not isinstance(values, dict):
        return {}
    return {
        name: kind(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _read_plan(value: Json) -> DataPlan | None:
    if not isinstance(value, dict):
        return None
    steps, read = value.get("steps"), get_object(value, "read")
    return DataPlan(
        steps=tuple(
            PlanStep(code, get_object(step, code))
            for step in (steps if isinstance(steps, list) else ())
            if isinstance(step, dict)
            for code in step
        ),
        read={name: str(option) for name, option in read.items()},
    )


def _read_prepared_file(value: Mapping[str, Json]) -> PreparedFile:
    return PreparedFile(
        role="validation" if value.get("role") == "validation" else "train",
        source=get_value(value, "source", str),
        file_id=find_value(value, "file_id", str),
        sha256=get_value(value, "sha256", str),
        bytes=get_value(value, "bytes", int),
        rows=get_value(value, "rows", int),
    )
