"""The hyperparameters of a job, as stored in the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ftops.engine.classification_metrics import ClassSettings
from ftops.engine.trainer import EarlyStopping, ResolvedHyperparameters, TrainingRequest
from ftops.engine.training_file import TrainingRow
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
    # Of pre-trained base models only:
    learning_rate: float | None = None
    eval_every: int | None = None
    early_stopping: EarlyStopping | None = None
    lora: Mapping[str, Json] | None = None  # the fields of `LoraOptions` that are set

    def make_request(
        self, base: str, training: Sequence[TrainingRow], validation: Sequence[TrainingRow]
    ) -> TrainingRequest:
        """A training of these rows with the hyperparameters, without a seed."""
        return TrainingRequest(
            base=base,
            training=training,
            validation=validation,
            n_epochs=self.n_epochs,
            batch_size=self.batch_size,
            learning_rate_multiplier=self.learning_rate_multiplier,
            beta=self.beta,
            prompt_loss_weight=self.prompt_loss_weight,
            learning_rate=self.learning_rate,
            eval_every=self.eval_every,
            early_stopping=self.early_stopping,
            lora=self.lora,
        )


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
    beta, rate = values.get("beta"), values.get("learning_rate")
    every, lora = values.get("eval_every"), values.get("lora")
    return JobHyperparameters(
        _int_or_auto(values.get("n_epochs")),
        _int_or_auto(values.get("batch_size")),
        multiplier if isinstance(multiplier, int | float) else "auto",
        float(weight) if isinstance(weight, int | float) else 0.0,
        classes,
        beta if isinstance(beta, int | float) else "auto",
        learning_rate=float(rate) if isinstance(rate, int | float) else None,
        eval_every=every if isinstance(every, int) else None,
        early_stopping=_read_early_stopping(values.get("early_stopping")),
        lora=lora if isinstance(lora, dict) else None,
    )


def _read_early_stopping(value: Json) -> EarlyStopping | None:
    if not isinstance(value, dict):
        return None
    known: dict[str, Any] = {field.name: value.get(field.name) for field in fields(EarlyStopping)}
    return EarlyStopping(**{name: item for name, item in known.items() if item is not None})


def resolved_values(resolved: ResolvedHyperparameters) -> dict[str, Json]:
    """The values in use, for "auto" too, by the API's names."""
    values: dict[str, Json] = {
        "n_epochs": resolved.n_epochs,
        "batch_size": resolved.batch_size,
        "learning_rate_multiplier": resolved.learning_rate_multiplier,
    }
    more = {"beta": resolved.beta, "learning_rate": resolved.learning_rate}
    return values | {name: value for name, value in more.items() if value is not None}


def _int_or_auto(value: Json) -> int | str:
    return value if isinstance(value, int) else "auto"
