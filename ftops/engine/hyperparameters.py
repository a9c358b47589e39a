"""The hyperparameters of a job, as stored in the database."""

from collections.abc import Mapping
from dataclasses import dataclass

from ftops.engine.classification_metrics import ClassSettings
from ftops.engine.trainer import ResolvedHyperparameters
from ftops.records import Json


@dataclass(frozen=True, slots=True)
class JobHyperparameters:
    """The hyperparameters of a job; "auto" if the trainer chooses."""

    n_epochs: int | str
    batch_size: int | str
    learning_rate_multiplier: float | str
    prompt_loss_weight: float
    classes: ClassSettings | None  # None: no classification metrics
    beta: float | str = "auto"  # of preference training


def read_hyperparameters(values: Mapping[str, Json]) -> JobHyperparameters:
    """The hyperparameters of a job row; they were validated when the job was created."""
    n_classes = values.get("classification_n_classes")
    positive = values.get("classification_positive_class")
    betas = values.get("classification_betas") or []
    classes = None
    if values.get("compute_classification_metrics"):
        classes = ClassSettings(
            n_classes if isinstance(n_classes, int) else None,
            positive if isinstance(positive, str) else None,
            tuple(float(beta) for beta in betas if isinstance(beta, int | float))
            if isinstance(betas, list)
            else (),
        )
    multiplier = values.get("learning_rate_multiplier")
    weight = values.get("prompt_loss_weight")
    beta = values.get("beta")
    return JobHyperparameters(
        _int_or_auto(values.get("n_epochs")),
        _int_or_auto(values.get("batch_size")),
        multiplier if isinstance(multiplier, int | float) else "auto",
        float(weight) if isinstance(weight, int | float) else 0.0,
        classes,
        beta if isinstance(beta, int | float) else "auto",
    )


def resolved_values(resolved: ResolvedHyperparameters) -> dict[str, Json]:
    """The values in use, for "auto" too, by the API's names."""
    values: dict[str, Json] = {
        "n_epochs": resolved.n_epochs,
        "batch_size": resolved.batch_size,
        "learning_rate_multiplier": resolved.learning_rate_multiplier,
    }
    return values if resolved.beta is None else values | {"beta": resolved.beta}


def _int_or_auto(value: Json) -> int | str:
    return value if isinstance(value, int) else "auto"
