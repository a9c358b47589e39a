"""The API's objects, with its own field names. Requests are strict: what is not known is refused,
and so is what is known but would be ignored."""

import math
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Item = TypeVar("Item")


class Request(BaseModel):
    """A body that a client sends."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool


class FilePage(Page[Item], Generic[Item]):
    """A page that also names its ends, as lists of files do."""

    first_id: str | None
    last_id: str | None


class Deleted(BaseModel):
    """What was deleted."""

    id: str
    object: str
    deleted: bool = True


class FileObject(BaseModel):
    """A file at the engine."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: str = "processed"
    status_details: str | None = None
    expires_at: int | None = None


class ModelObject(BaseModel):
    """A model; `parent` and `job_id` are told of fine-tuned ones."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    shutdown_date: str | None = None
    root: str
    parent: str | None = None
    job_id: str | None = None


class ModelList(BaseModel):
    """All models: this list has no pages."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


Finite = Annotated[float, AfterValidator(_finite)]
Auto = Literal["auto"]


class Hyperparameters(Request):
    """The current API's three, and what the legacy API had beside them."""

    n_epochs: Auto | Annotated[int, Field(ge=1, le=1000)] | None = None
    batch_size: Auto | Annotated[int, Field(ge=1, le=256)] | None = None
    learning_rate_multiplier: Auto | Annotated[Finite, Field(gt=0, le=100)] | None = None
    prompt_loss_weight: Annotated[float, Field(ge=0, le=1)] | None = None
    compute_classification_metrics: bool | None = None
    classification_n_classes: Annotated[int, Field(ge=2, le=1000)] | None = None
    classification_positive_class: Annotated[str, Field(min_length=1)] | None = None
    classification_betas: list[Annotated[Finite, Field(gt=0)]] | None = None


class Supervised(Request):
    """Settings of supervised fine-tuning."""

    hyperparameters: Hyperparameters | None = None


class Method(Request):
    """How to train; only `supervised` is offered."""

    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: Supervised | None = None
    dpo: dict[str, Any] | None = None
    reinforcement: dict[str, Any] | None = None


MetadataKey = Annotated[str, Field(min_length=1, max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)]


class CreateJob(Request):
    """A new fine-tuning job."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    training_file: Annotated[str, Field(min_length=1, max_length=128)]
    validation_file: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    suffix: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    seed: Annotated[int, Field(ge=0, le=2147483647)] | None = None
    metadata: Metadata | None = None
    integrations: list[Any] | None = None


class JobMethod(BaseModel):
    """The method of a job, with its settings as they stand."""

    type: str
    supervised: dict[str, dict[str, Any]]


class JobObject(BaseModel):
    """A fine-tuning job; `error` is an empty object while all is well."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    error: dict[str, str | None]
    fine_tuned_model: str | None
    finished_at: int | None
    hyperparameters: dict[str, Any]
    model: str
    organization_id: str = "local"
    result_files: list[str]
    seed: int
    status: str
    trained_tokens: int | None
    training_file: str
    validation_file: str | None
    estimated_finish: int | None
    integrations: list[Any] = Field(default_factory=list)
    metadata: dict[str, str]
    method: JobMethod
    user_provided_suffix: str | None


class EventObject(BaseModel):
    """One line of a job's history."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: str
    message: str
    type: str
    data: dict[str, Any]


class EngineObject(BaseModel):
    """A model by its older name."""

    id: str
    object: Literal["engine"] = "engine"
    created: int
    owner: str
    permissions: None = None
    ready: bool = True


class EngineList(BaseModel):
    """All engines: this list has no pages."""

    object: Literal["list"] = "list"
    data: list[EngineObject]
