"""The method and the hyperparameters of a request for a job."""

from collections.abc import Mapping

from ftops.engine.api.errors import ApiError
from ftops.engine.api.schema import (
    CreateJob,
    DpoHyperparametersBody,
    DpoMethod,
    HyperparametersBody,
    SupervisedMethod,
)
from ftops.engine.store import JobRow
from ftops.engine.trainer_registry import BaseInfo
from ftops.records import Json, Method

_OF_PRETRAINED_BASES = ("learning_rate", "eval_every", "early_stopping", "lora")
_CHOSEN_BY_TRAINER = ("n_epochs", "batch_size", "learning_rate_multiplier")


def get_method(body: CreateJob) -> Method:
    """The method; ApiError for an unsupported one, or settings of another."""
    if body.method is None:
        return Method.SUPERVISED
    for name in ("supervised", "dpo", "reinforcement"):
        if name != body.method.type and getattr(body.method, name) is not None:
            message = (
                f"method is {body.method.type!r}, so its settings for {name!r} have no effect."
            )
            raise ApiError(400, message, param=f"method.{name}", code="invalid_value")
    if body.method.type == "reinforcement":
        message = (
            "The engine has the methods 'supervised' and 'dpo'. It has no graders, and its models "
            "are too small for reinforcement fine-tuning."
        )
        raise ApiError(400, message, param="method", code="unsupported_method")
    return Method(body.method.type)


def read_hyperparameters(body: CreateJob) -> dict[str, Json]:
    """The hyperparameters in `method`, or in the older top-level field; ApiError for both."""
    requested: HyperparametersBody | DpoHyperparametersBody | None = None
    if body.method is not None:
        settings = body.method.supervised or body.method.dpo
        requested = settings.hyperparameters if settings is not None else None
    if body.hyperparameters is not None:
        if get_method(body) is not Method.SUPERVISED:
            message = "The hyperparameters of this method belong in method.dpo.hyperparameters."
            raise ApiError(400, message, param="hyperparameters", code="invalid_value")
        if requested is not None:
            message = "hyperparameters are set twice: in method and at the top level."
            raise ApiError(400, message, param="hyperparameters", code="invalid_value")
        requested = body.hyperparameters
    values: dict[str, Json] = dict.fromkeys(_CHOSEN_BY_TRAINER, "auto")
    if get_method(body) is Method.DPO:
        values["beta"] = "auto"
    if requested is None:
        return values
    return values | requested.model_dump(mode="json", exclude_none=True, exclude_unset=True)


def check_pretraining(
    requested: Mapping[str, Json], body: CreateJob, base: str, info: BaseInfo
) -> None:
    """ApiError when the base model cannot be trained, or not with these hyperparameters."""
    if info.install:
        message = f"Training {base} needs packages that are not installed. Run {info.install}."
        raise ApiError(400, message, param="model", code="trainer_not_installed")
    for name in _OF_PRETRAINED_BASES if not info.is_pretrained else ():
        if name in requested:
            message = f"{name} has no effect: {base} is not a pre-trained model."
            raise ApiError(400, message, param=f"hyperparameters.{name}", code="invalid_value")
    if "learning_rate" in requested and requested["learning_rate_multiplier"] != "auto":
        message = "learning_rate replaces learning_rate_multiplier; use one of them."
        raise ApiError(400, message, param="hyperparameters.learning_rate", code="invalid_value")
    for name in ("eval_every", "early_stopping"):
        if name in requested and body.validation_file is None:
            message = f"{name} needs a validation file."
            raise ApiError(400, message, param=f"hyperparameters.{name}", code="invalid_value")


def check_classification(
    requested: Mapping[str, Json], body: CreateJob, prefix: str = "hyperparameters."
) -> None:
    """ApiError when the settings of classification metrics contradict each other.

    `prefix` is their path in the request.
    """

    def refuse(name: str, message: str) -> ApiError:
        return ApiError(400, message, param=f"{prefix}{name}", code="invalid_value")

    n_classes = requested.get("classification_n_classes")
    positive = requested.get("classification_positive_class")
    if not requested.get("compute_classification_metrics"):
        for name in requested:
            if name.startswith("classification_"):
                message = f"{name} needs compute_classification_metrics."
                raise refuse(name, message)
        return
    name = "compute_classification_metrics"
    if body.validation_file is None:
        raise refuse(name, "compute_classification_metrics needs a validation file.")
    if n_classes is None and positive is None:
        message = "classification_n_classes, or (two classes) classification_positive_class, "
        raise refuse(name, message + "is needed for classification metrics.")
    if positive is not None and n_classes not in (None, 2):
        message = "classification_positive_class needs exactly two classes."
        raise refuse("classification_positive_class", message)
    if requested.get("classification_betas") and positive is None:
        message = "classification_betas need classification_positive_class."
        raise refuse("classification_betas", message)


def method_object(job: JobRow) -> SupervisedMethod | DpoMethod:
    """The method as an object of the API."""
    settings = {"hyperparameters": list_hyperparameters(job)}
    if job.method is Method.DPO:
        return DpoMethod(dpo=settings)
    return SupervisedMethod(supervised=settings)


def list_hyperparameters(job: JobRow) -> dict[str, Json]:
    """The requested hyperparameters, with the values in use for "auto"."""
    return {**job.hyperparameters, **(job.resolved or {})}
