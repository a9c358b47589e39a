"""The objects of the API, with its field names, and lists of them.

Requests are strict: unknown fields are refused, as are known fields without effect here.

A page reads one row more than its limit, to know whether more follow. Long lists are written from
plain dictionaries: creating and validating an object for each row would take most of the time. The
routes declare the schemas, and a test validates the responses.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.responses import Response

from ftops.engine.api.errors import ApiError
from ftops.lora_options import EarlyStoppingOptions, LoraOptions

Item = TypeVar("Item")


class RequestBody(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="forbid", strict=True)


# Pydantic checks characters only if there is a maximum length. It then refuses lone surrogates,
# which are valid in JSON but not in UTF-8. No body is as long as this one.
Text = Annotated[str, Field(max_length=1 << 24)]
Label = Annotated[str, Field(max_length=1024)]  # a name that the client chooses


EVENT_STREAM: dict[str, Any] = {  # the schema of one server-sent event
    "text/event-stream": {
        "schema": {
            "type": "object",
            "required": ["data"],
            "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
        }
    }
}


class ErrorDetail(BaseModel):
    """The details of an error."""

    model_config = ConfigDict(extra="forbid")

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """The body of an error response."""

    model_config = ConfigDict(extra="forbid")

    error: ErrorDetail


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool


class FilePage(Page[Item], Generic[Item]):
    """A page with the ids of its first and last item, as lists of files have."""

    first_id: str | None
    last_id: str | None


class DeletedObject(BaseModel):
    """A deleted object."""

    id: str
    object: str
    deleted: bool = True


class FileObject(BaseModel):
    """A file."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: str = "processed"
    status_details: str | None = None
    expires_at: int | None = None


class ExpiresAfter(RequestBody):
    """The expiration of a file."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=3600, le=30 * 24 * 3600)]


class CreateUpload(RequestBody):
    """A new upload in parts."""

    bytes: Annotated[int, Field(ge=1)]
    filename: Annotated[str, Field(min_length=1, max_length=1000)]
    mime_type: Annotated[str, Field(min_length=1, max_length=256)]
    purpose: Literal["fine-tune"]
    expires_after: ExpiresAfter | None = None


class CompleteUpload(RequestBody):
    """The parts in order, and the MD5 of the file."""

    part_ids: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=128)]],
        Field(min_length=1, max_length=10_000, fail_fast=True),
    ]
    md5: Annotated[str, Field(max_length=64)] | None = None


class UploadPartObject(BaseModel):
    """One part of an upload."""

    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    upload_id: str


class UploadObject(BaseModel):
    """An upload in parts; `file` is set when it is completed."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: str
    file: FileObject | None = None


class ModelObject(BaseModel):
    """A model; only fine-tuned ones have `parent` and `job_id`.

    `served_by` is the program that serves a pre-trained model, and the precision of its weights,
    for example `llama.cpp q8_0`. It is null in lists, and for models of the trainer `tiny`.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    shutdown_date: str | None = None
    root: str
    parent: str | None = None
    job_id: str | None = None
    served_by: str | None = None


class ModelList(BaseModel):
    """All models; without pages."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


Finite = Annotated[float, AfterValidator(_finite)]
Auto = Literal["auto"]
PositiveClass = Annotated[str, Field(min_length=1, max_length=1024)]
Betas = Annotated[list[Annotated[Finite, Field(gt=0)]], Field(max_length=16)]


Epochs = Auto | Annotated[int, Field(ge=1, le=1000)] | None
BatchSize = Auto | Annotated[int, Field(ge=1, le=256)] | None
Multiplier = Auto | Annotated[Finite, Field(gt=0, le=100)] | None


class TrainingBody(RequestBody):
    """The hyperparameters of all methods; the last four are for pre-trained base models."""

    n_epochs: Epochs = None
    batch_size: BatchSize = None
    learning_rate_multiplier: Multiplier = None
    learning_rate: Annotated[Finite, Field(gt=0, le=1)] | None = None
    eval_every: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    early_stopping: EarlyStoppingOptions | None = None
    lora: LoraOptions | None = None


class HyperparametersBody(TrainingBody):
    """The hyperparameters of the current API, and those of the legacy one."""

    prompt_loss_weight: Annotated[float, Field(ge=0, le=1)] | None = None
    compute_classification_metrics: bool | None = None
    classification_n_classes: Annotated[int, Field(ge=2, le=1000)] | None = None
    classification_positive_class: PositiveClass | None = None
    classification_betas: Betas | None = None


class SupervisedSettings(RequestBody):
    """Settings of supervised fine-tuning."""

    hyperparameters: HyperparametersBody | None = None


class DpoHyperparametersBody(TrainingBody):
    """The hyperparameters of DPO; `beta` keeps the model close to the reference."""

    beta: Auto | Annotated[Finite, Field(gt=0, le=2)] | None = None


class DpoSettings(RequestBody):
    """Settings of preference training (direct preference optimization)."""

    hyperparameters: DpoHyperparametersBody | None = None


class MethodBody(RequestBody):
    """The training method; `reinforcement` is refused."""

    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: SupervisedSettings | None = None
    dpo: DpoSettings | None = None
    reinforcement: dict[str, Any] | None = None


MetadataKey = Annotated[str, Field(min_length=1, max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]
MAX_METADATA = 16  # pairs
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=MAX_METADATA)]


class CreateJob(RequestBody):
    """A new fine-tuning job."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    training_file: Annotated[str, Field(min_length=1, max_length=128)]
    validation_file: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    hyperparameters: HyperparametersBody | None = None
    method: MethodBody | None = None
    suffix: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    seed: Annotated[int, Field(ge=0, le=2147483647)] | None = None
    metadata: Metadata | None = None
    integrations: list[Any] | None = None


class SupervisedMethod(BaseModel):
    """The method of a job with the values in use."""

    type: Literal["supervised"] = "supervised"
    supervised: dict[str, dict[str, Any]]


class DpoMethod(BaseModel):
    """The method of a DPO job with the values in use."""

    type: Literal["dpo"] = "dpo"
    dpo: dict[str, dict[str, Any]]


class JobObject(BaseModel):
    """A fine-tuning job; `error` is an empty object without an error."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    error: dict[str, str | None]
    fine_tuned_model: str | None
    finished_at: int | None
    hyperparameters: dict[str, Any]
    model: str
    organization_id: str
    result_files: list[str]
    seed: int
    status: str
    trained_tokens: int | None
    training_file: str
    validation_file: str | None
    estimated_finish: int | None
    integrations: list[Any] = Field(default_factory=list)
    metadata: dict[str, str]
    method: SupervisedMethod | DpoMethod
    user_provided_suffix: str | None


class CheckpointMetrics(BaseModel):
    """The metrics of a checkpoint; null: not measured."""

    step: float
    train_loss: float | None = None
    train_mean_token_accuracy: float | None = None
    valid_loss: float | None = None
    valid_mean_token_accuracy: float | None = None
    full_valid_loss: float | None = None
    full_valid_mean_token_accuracy: float | None = None


class CheckpointObject(BaseModel):
    """A checkpoint at the end of an epoch."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    metrics: CheckpointMetrics
    step_number: int


class EventObject(BaseModel):
    """An event of a job."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: str
    message: str
    type: str
    data: dict[str, Any]


class EngineObject(BaseModel):
    """A model in the API of engines."""

    id: str
    object: Literal["engine"] = "engine"
    created: int
    owner: str
    permissions: None = None
    ready: bool = True


class EngineList(BaseModel):
    """All engines; without pages."""

    object: Literal["list"] = "list"
    data: list[EngineObject]


Row = TypeVar("Row")
JsonObject: TypeAlias = dict[str, Any]  # an object of the API


def split_page(
    rows: Sequence[Row], limit: int, render: Callable[[Row], Item]
) -> tuple[list[Item], bool]:
    """The items of a page, and whether more follow; `rows` are up to `limit` + 1."""
    return [render(row) for row in rows[:limit]], len(rows) > limit


def page_ends(data: Sequence[JsonObject]) -> JsonObject:
    """The ids of the first and last item of a page."""
    first_id, last_id = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"first_id": first_id, "last_id": last_id}


def send_list(data: Sequence[JsonObject], more: Mapping[str, Any] | None = None) -> Response:
    """The response with a list, and `more` fields beside its data."""
    body = orjson.dumps({"object": "list", "data": data, **(more or {})})
    return Response(body, media_type="application/json")


def unknown_cursor(after: str) -> ApiError:
    """400 for an `after` that is not in the list."""
    return ApiError(400, f"after: {after!r} is not in this list.", param="after")
