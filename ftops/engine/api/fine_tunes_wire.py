"""The legacy protocol's objects, with its own field names."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from ftops.engine.api.wire import Betas, FileObject, Finite, PositiveClass, Request
from ftops.engine.legacy import DEFAULT_MODEL, MAX_SUFFIX


class CreateFineTune(Request):
    """A new legacy job; null is the same as leaving a field out."""

    training_file: Annotated[str, Field(min_length=1, max_length=4096)]
    validation_file: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    model: Annotated[str, Field(min_length=1, max_length=256)] | None = DEFAULT_MODEL
    suffix: Annotated[str, Field(min_length=1, max_length=MAX_SUFFIX)] | None = None
    n_epochs: Annotated[int, Field(ge=1, le=1000)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=256)] | None = None
    learning_rate_multiplier: Annotated[Finite, Field(gt=0, le=10)] | None = None
    prompt_loss_weight: Annotated[Finite, Field(ge=0, le=1)] | None = None
    compute_classification_metrics: bool | None = None
    classification_n_classes: Annotated[int, Field(ge=2, le=1000)] | None = None
    classification_positive_class: PositiveClass | None = None
    classification_betas: Betas | None = None


class FineTuneEvent(BaseModel):
    """One line of a legacy job's history."""

    object: Literal["fine-tune-event"] = "fine-tune-event"
    created_at: int
    level: str
    message: str


class FineTuneEvents(BaseModel):
    """All of it, oldest first: this list has no pages."""

    object: Literal["list"] = "list"
    data: list[FineTuneEvent]


class FineTune(BaseModel):
    """A legacy job."""

    id: str
    object: Literal["fine-tune"] = "fine-tune"
    model: str
    created_at: int
    updated_at: int
    status: Literal["pending", "running", "succeeded", "failed", "cancelled"]
    fine_tuned_model: str | None
    organization_id: str
    hyperparams: dict[str, Any]
    training_files: list[FileObject]
    validation_files: list[FileObject]
    result_files: list[FileObject]


class FineTuneWithEvents(FineTune):
    """A legacy job with its history, as it is sent where one job is asked for."""

    events: list[FineTuneEvent]


class FineTuneList(BaseModel):
    """All legacy jobs, oldest first: this list has no pages."""

    object: Literal["list"] = "list"
    data: list[FineTune]
