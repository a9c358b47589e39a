"""The values that packages exchange: frozen, without behaviour beyond reading them.

Times are aware datetimes in UTC. `Json` values are those of `json.loads`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, NewType, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

RunId = NewType("RunId", str)
Auto = Literal["auto"]
JobProtocol = Literal["current", "legacy"]  # /v1/fine_tuning/jobs, or /v1/fine-tunes as until 2024


class Stage(StrEnum):
    """The steps of a run, in their order."""

    PREPARE = "prepare"
    UPLOAD = "upload"
    CREATE = "create"
    FOLLOW = "follow"
    RESULTS = "results"
    DEPLOY = "deploy"
    EVALUATE = "evaluate"


class RunStatus(StrEnum):
    """The status of a run."""

    PENDING = "pending"  # recorded, nothing done yet
    RUNNING = "running"  # a stage has started; a process may or may not drive the run
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StageStatus(StrEnum):
    """The status of one stage of a run."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


class RowFormat(StrEnum):
    """The shape of one line of training data."""

    COMPLETION = "completion"  # {"prompt": str, "completion": str}
    CHAT = "chat"  # {"messages": [{"role": str, "content": str}, …]}
    # {"input": {"messages": […]}, "preferred_output": [message], "non_preferred_output": [message]}
    PREFERENCE = "preference"


class Method(StrEnum):
    """The training method of a job."""

    SUPERVISED = "supervised"  # SFT: to reproduce the completions
    DPO = "dpo"  # direct preference optimization: to prefer one answer to another

    def takes(self, row_format: RowFormat) -> bool:
        """Whether it trains on rows of the format."""
        return (self is Method.DPO) == (row_format is RowFormat.PREFERENCE)


# Job statuses are an open set: a job with any other status has not ended.
FAILED_JOB_STATUSES = frozenset({"failed", "cancelled"})
ENDED_JOB_STATUSES = FAILED_JOB_STATUSES | {"succeeded"}
# The job waits in a queue or is paused: no progress is expected.
WAITING_JOB_STATUSES = frozenset({"pending", "queued", "paused"})


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """The hyperparameters of a job; None means not set and not sent."""

    n_epochs: int | Auto = "auto"
    batch_size: int | Auto = "auto"
    learning_rate_multiplier: float | Auto = "auto"
    learning_rate: float | None = None  # absolute, for providers without a multiplier
    beta: float | Auto | None = None
    prompt_loss_weight: float | None = None
    compute_classification_metrics: bool | None = None
    classification_n_classes: int | None = None
    classification_positive_class: str | None = None
    classification_betas: tuple[float, ...] | None = None
    eval_every: int | None = None
    early_stopping: Mapping[str, Json] | None = None


# Hyperparameters without effect on base models that have random weights.
PRETRAINED_ONLY = frozenset({"learning_rate", "eval_every", "early_stopping"})


EXIT_REFUSED = 3  # of the engine's estimate: a training of the job would fail
ENGINE_PROVIDER = "local"  # the name of the built-in engine in the registry of providers
HIDDEN_PATH = "/***"  # replaces the path of a webhook, which is a secret


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """Which provider a job file names, and how it is reached; never a key itself.

    `type` is a name in the registry of providers; `api_key_env` names the environment variable
    that holds the key. `location` and `bucket` are where jobs run and where their files are stored.
    `protocol` is that of the fine-tuning API.
    """

    type: str
    base_url: str | None = None
    api_key_env: str | None = None
    organization: str | None = None
    project: str | None = None
    location: str | None = None
    bucket: str | None = None
    protocol: JobProtocol = "current"

    @property
    def uses_engine(self) -> bool:
        """Whether the built-in engine on this machine trains."""
        return self.type == ENGINE_PROVIDER


_ROUTES = re.compile(
    r"/(?:chat/completions|fine_tuning(?:/jobs(?:/.*)?)?|fine-tunes(?:/.*)?)$"
    r"|(?<=/v\d)/(?:completions|moderations|embeddings|responses|(?:files|models|uploads)(?:/[^/]+)?)$"
)
_TWICE = re.compile(r"(/v\d[a-z0-9]*)\1+$")


def find_api_address(base_url: str) -> str | None:
    """The address of the API, if `base_url` names one of its routes or doubles its version.

    None if it does neither, and can be used unchanged.
    """
    address = _TWICE.sub(r"\1", _ROUTES.sub("", base_url.rstrip("/")))
    return None if address == base_url.rstrip("/") else address


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function by a model; `arguments` is JSON as text, valid or not."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat.

    `extra` holds the other fields of the message in the API: `name`, `tool_calls`, `tool_call_id`
    and `function_call`.
    """

    role: str  # system, developer, user, assistant, tool or function
    content: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """The message as in a request."""
        return {"role": self.role, "content": self.content, **self.extra}


@dataclass(frozen=True, slots=True)
class Chat:
    """The messages of a chat before the answer.

    `options` holds the parameters of the request that are part of the chat: `tools`,
    `parallel_tool_calls` and `functions`.
    """

    messages: tuple[Message, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """The messages and options as in a request."""
        return {"messages": [message.to_json() for message in self.messages], **self.options}


Prompt: TypeAlias = str | Chat


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One fix of training data, by its code, with its parameters."""

    code: str
    values: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DataPlan:
    """How data is prepared: `read` holds options of the `data` commands, `steps` the fixes.

    `name` is the source of the plan in messages; plans that differ only in `name` are equal.
    """

    steps: tuple[PlanStep, ...] = ()
    read: Mapping[str, str] = field(default_factory=dict)
    name: str = field(default="the plan", compare=False)

    def to_json(self) -> dict[str, Json]:
        """The plan as JSON; equal plans give equal JSON."""
        steps: list[Json] = [{step.code: dict(step.values)} for step in self.steps]
        return {"read": dict(self.read), "steps": steps}


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file at the provider."""

    id: str
    filename: str
    bytes: int
    purpose: str
    created_at: datetime
    status: str = "processed"


@dataclass(frozen=True, slots=True)
class MultipartUpload:
    """An upload to a provider in parts of `part_bytes` bytes, until `expires_at`.

    `parts` maps the numbers of confirmed parts, from 0, to the provider's ids. With `completing`
    the provider may have completed the upload already.
    """

    id: str
    part_bytes: int
    expires_at: datetime
    parts: Mapping[int, str] = field(default_factory=dict)
    completing: bool = False


@dataclass(frozen=True, slots=True)
class JobRequest:
    """The request that creates a job; files are ids."""

    model: str
    training_file: str
    validation_file: str | None = None
    suffix: str | None = None
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    seed: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    method: Method = Method.SUPERVISED
    idempotency_key: str | None = None  # the same for each attempt at the request
    sections: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)  # of the provider
    mark: str = ""  # unique for each job of this ledger, for `Capabilities.mark_in_suffix`


@dataclass(frozen=True, slots=True)
class JobError:
    """The reason why a job failed, from the provider."""

    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """The provider's fine-tuning job."""

    id: str
    status: str  # an open set; see ENDED_JOB_STATUSES
    model: str
    created_at: datetime
    fine_tuned_model: str | None = None
    deployable_model: str | None = None  # what a deployment names, if not `fine_tuned_model`
    finished_at: datetime | None = None
    estimated_finish: datetime | None = None
    trained_tokens: int | None = None
    cost_usd: float | None = None  # what it has cost in US dollars, if the provider reports it
    training_file: str | None = None
    validation_file: str | None = None
    result_files: tuple[str, ...] = ()
    hyperparameters: Mapping[str, int | float | str] = field(default_factory=dict)
    seed: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    error: JobError | None = None

    @property
    def ended(self) -> bool:
        """Whether its status is final."""
        return self.status in ENDED_JOB_STATUSES


# Deployment statuses are an open set: one with any other status is not ready yet.
READY = "ready"
ENDED_DEPLOYMENT_STATUSES = frozenset({"failed", "deleted"})


@dataclass(frozen=True, slots=True)
class DeploymentRequest:
    """The request that deploys the model of `job` under `name`, by which it is found again.

    The provider ends the deployment after `max_s` seconds without a request, or in total, whichever
    it offers (`DeploymentRule.ends`).
    """

    name: str
    job: Job
    max_s: float
    sections: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)  # of the provider


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment of a model at the provider; `model` is its name in requests."""

    id: str
    name: str
    model: str
    status: str  # an open set; see READY and ENDED_DEPLOYMENT_STATUSES
    created_at: datetime | None = None
    hourly_usd: float | None = None  # what it costs now; None if unknown
    expires_at: datetime | None = None
    error: str = ""  # why it failed

    @property
    def ended(self) -> bool:
        """Whether it answers nothing and costs nothing any more."""
        return self.status in ENDED_DEPLOYMENT_STATUSES


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The model after `step`; `metrics` have the provider's names."""

    id: str
    step: int
    model: str  # its name in requests
    metrics: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        return {
            "id": self.id,
            "step": self.step,
            "model": self.model,
            "metrics": dict(self.metrics),
        }


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One line of a job's history; `data` holds the values of a metrics event."""

    id: str
    created_at: datetime
    level: str
    message: str
    type: str = "message"
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Model:
    """A model at the provider."""

    id: str
    created_at: datetime
    owned_by: str
    shutdown_date: str | None = None
    base: str | None = None  # the model that it was fine-tuned from, if the name contains it

    @property
    def fine_tuned(self) -> bool:
        return self.base is not None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a completion is sampled.

    `logprobs` is the number of candidates for the first token whose log probabilities are
    requested.
    """

    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: int | None = None  # OpenAI allows up to 5 for a text, 20 for a chat
    precision: str | None = None  # of the weights, for `Capabilities.takes_precision`


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion of a model.

    `seconds` is the duration of its request, without pauses and earlier failed attempts. `shared`
    is the number of prompts in the request: all have its duration, and its tokens are split by the
    lengths of the texts (the sum is exact, a single value is an estimate). `refused_parameters`
    maps each parameter that the model refuses to its name in the request, or to None if it was left
    out. `system_fingerprint` names what generated the completion.
    """

    text: str
    finish_reason: str | None = None  # stop, tool_calls, length or content_filter
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    refusal: str | None = None  # the text of a refusal by the model or a content filter
    # log probabilities of the candidates for the first token, if requested
    first_token: Mapping[str, float] = field(default_factory=dict)
    tool_calls: tuple[ToolCall, ...] = ()
    seconds: float | None = field(default=None, compare=False)
    shared: int = field(default=1, compare=False)
    refused_parameters: Mapping[str, str | None] = field(default_factory=dict, compare=False)
    system_fingerprint: str | None = field(default=None, compare=False)


def render_refused(refused: Mapping[str, str | None]) -> str:
    """The parameters that were left out or renamed, as a phrase; "" if there are none."""
    left_out = [name for name, new in refused.items() if new is None]
    parts = [f"{name} sent as {new}" for name, new in refused.items() if new is not None]
    if left_out:
        them = "it" if len(left_out) == 1 else "them"
        parts.insert(0, f"{' and '.join(left_out)} not sent: the model refuses {them}")
    return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a job file, as recorded in the ledger.

    `spec` is the validated job file as JSON, with the `--set` texts in `overrides` applied. Equal
    executions have the same `key`.
    """

    id: RunId
    key: str
    name: str
    status: RunStatus
    provider: ProviderSettings
    model: str
    spec: Mapping[str, Json]
    job_file: str
    created_at: datetime
    updated_at: datetime
    overrides: tuple[str, ...] = ()
    job_id: str | None = None
    fine_tuned_model: str | None = None
    finished_at: datetime | None = None
    error: str | None = None
    force_new_job: bool = False  # opened with `--new`: it does not adopt an existing job
    pruned_at: datetime | None = None  # when its files were deleted to free space
    job_status: str | None = (
        None  # succeeded, failed or cancelled, once its job is known to have ended
    )

    @property
    def ended_before_job(self) -> bool:
        """Whether it failed or was cancelled, but its job is not known to have ended so.

        The job may still be running, or may have succeeded.
        """
        return (
            self.status in (RunStatus.FAILED, RunStatus.CANCELLED)
            and self.job_id is not None
            and self.job_status not in FAILED_JOB_STATUSES
        )


@dataclass(frozen=True, slots=True)
class StageRecord:
    """One stage of a run, as recorded in the ledger; `detail` is its result."""

    stage: Stage
    status: StageStatus
    attempts: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    detail: Mapping[str, Json] = field(default_factory=dict)
    error: str | None = None

    @property
    def seconds(self) -> float | None:
        """The time from start to end in seconds, with interruptions; None until it has ended."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class TunedModel:
    """A fine-tuned model from a run, and the format of requests to it."""

    name: str
    run_id: RunId
    job_id: str
    base: str
    provider: ProviderSettings
    created_at: datetime
    row_format: RowFormat = RowFormat.COMPLETION
    separator: str = ""  # the end of each training prompt
    stop: str | None = None  # the end of each training completion
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """The address of a running engine, which writes it with mode 0600; clients read it."""

    base_url: str  # ends in /v1
    token: str
    pid: int
    version: str
