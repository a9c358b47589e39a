"""What a job asks for: its method and hyperparameters, from where each client writes them."""

from ftops.engine.api.failures import ApiError
from ftops.engine.api.wire import (
    CreateJob,
    DpoHyperparameters,
    DpoMethod,
    Hyperparameters,
    SupervisedMethod,
)
from ftops.engine.store import JobRow
from ftops.records import Json, Method

_CHOSEN_BY_TRAINER = ("n_epochs", "batch_size", "learning_rate_multiplier")


def method_of(body: CreateJob) -> Method:
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


def hyperparameters_of(body: CreateJob) -> dict[str, Json]:
    """What is asked for, from `method` or from the older top-level field; ApiError for both."""
    given: Hyperparameters | DpoHyperparameters | None = None
    if body.method is not None:
        settings = body.method.supervised or body.method.dpo
        given = settings.hyperparameters if settings is not None else None
    if body.hyperparameters is not None:
        if method_of(body) is not Method.SUPERVISED:
            message = "The hyperparameters of this method stand in method.dpo.hyperparameters."
            raise ApiError(400, message, param="hyperparameters", code="invalid_value")
        if given is not None:
            message = "hyperparameters are given twice: in method and beside it."
            raise ApiError(400, message, param="hyperparameters", code="invalid_value")
        given = body.hyperparameters
    values: dict[str, Json] = dict.fromkeys(_CHOSEN_BY_TRAINER, "auto")
    if method_of(body) is Method.DPO:
        values["beta"] = "auto"
    return values | (given.model_dump(exclude_none=True) if given else {})


def method_object(job: JobRow) -> SupervisedMethod | DpoMethod:
    """The method as the API shows it."""
    settings = {"hyperparameters": figures_of(job)}
    if job.method is Method.DPO:
        return DpoMethod(dpo=settings)
    return SupervisedMethod(supervised=settings)


def figures_of(job: JobRow) -> dict[str, Json]:
    """The hyperparameters as they stand: what was asked for, or what "auto" turned out to be."""
    return {**job.hyperparameters, **(job.resolved or {})}
