"""What a job asks for: its method and hyperparameters, from where each client writes them."""

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
from ftops.records import Json, Method

_CHOSEN_BY_TRAINER = ("n_epochs", "batch_size", "learning_rate_multiplier")


def get_method(body: CreateJob) -> Method:
    """What the job is to learn; ApiError for a method that nobody here can."""
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
            "The engine trains by the methods 'supervised' and 'dpo'. It has no graders, and its "
            "models are too small to find good answers by trying."
        )
        raise ApiError(400, message, param="method", code="unsupported_method")
    return Method(body.method.type)


def read_hyperparameters(body: CreateJob) -> dict[str, Json]:
    """What is asked for, from `method` or from the older top-level field; ApiError for both."""
    given: HyperparametersBody | DpoHyperparametersBody | None = None
    if body.method is not None:
        settings = body.method.supervised or body.method.dpo
        given = settings.hyperparameters if settings is not None else None
    if body.hyperparameters is not None:
        if get_method(body) is not Method.SUPERVISED:
            message = "The hyperparameters of this method stand in method.dpo.hyperparameters."
            raise ApiError(400, message, param="hyperparameters", code="invalid_value")
        if given is not None:
            message = "hyperparameters are given twice: in method and beside it."
            raise ApiError(400, message, param="hyperparameters", code="invalid_value")
        given = body.hyperparameters
    values: dict[str, Json] = dict.fromkeys(_CHOSEN_BY_TRAINER, "auto")
    if get_method(body) is Method.DPO:
        values["beta"] = "auto"
    return values | (given.model_dump(exclude_none=True) if given else {})


def check_classification(
    asked: Mapping[str, Json], body: CreateJob, place: str = "hyperparameters."
) -> None:
    """ApiError when the settings of classification metrics contradict each other; they stand at
    `place` in the request."""

    def refuse(name: str, message: str) -> ApiError:
        return ApiError(400, message, param=f"{place}{name}", code="invalid_value")

    n_classes = asked.get("classification_n_classes")
    positive = asked.get("classification_positive_class")
    if not asked.get("compute_classification_metrics"):
        for name in asked:
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
        message = "A positive class makes sense with two classes only."
        raise refuse("classification_positive_class", message)
    if asked.get("classification_betas") and positive is None:
        message = "classification_betas need classification_positive_class."
        raise refuse("classification_betas", message)


def method_object(job: JobRow) -> SupervisedMethod | DpoMethod:
    """The method as the API shows it."""
    settings = {"hyperparameters": list_hyperparameters(job)}
    if job.method is Method.DPO:
        return DpoMethod(dpo=settings)
    return SupervisedMethod(supervised=settings)


def list_hyperparameters(job: JobRow) -> dict[str, Json]:
    """The hyperparameters as they stand: what was asked for, or what "auto" turned out to be."""
    return {**job.hyperparameters, **(job.resolved or {})}
