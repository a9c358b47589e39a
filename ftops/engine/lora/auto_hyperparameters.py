"""Values for "auto": epochs, batch size and learning rate, each with its reason.

A pre-trained model needs few passes over the data. Small batches cost adapters less than large
ones (Schulman et al. 2025, "LoRA Without Regret"). The best learning rate falls with the size of
the model: about 1e-3 for 135 million parameters and 2e-4 for 7 billion, ten times that of full
training.
"""

import math
from collections.abc import Sequence

from ftops.engine.trainer import ResolvedHyperparameters, TrainingRequest
from ftops.engine.training_file import PreferenceRow

_ROW_BUDGET = 600  # rows of all epochs together, if there are fewer
_EPOCHS = (1, 8)
_STEPS_PER_EPOCH = 100
_BATCH = (4, 16)
_REFERENCE_RATE = 2e-4  # of adapters, for a model of so many parameters:
_REFERENCE_SIZE = 7e9
_RATE_EXPONENT = 0.4
_RATES = (1e-4, 1e-3)
_FULL_SHARE = 0.1  # of the rate of adapters
_DPO_SHARE = 0.1  # DPO adjusts a model that knows the answers
_BETA = 0.1  # as in the paper


def resolve_hyperparameters(
    request: TrainingRequest, *, parameters: int, is_full: bool
) -> ResolvedHyperparameters:
    """Choose values for "auto", of a request that `check_request` accepts.

    `parameters` is the size of the base model.
    """
    n_rows = len(request.training)
    is_dpo = isinstance(request.training[0], PreferenceRow)
    batch_size = choose_batch_size(n_rows, request.batch_size)
    n_epochs = request.n_epochs
    if isinstance(n_epochs, str):
        n_epochs = _clamp(_ROW_BUDGET / n_rows, *_EPOCHS)
    default_rate = choose_learning_rate(parameters, is_full=is_full, is_dpo=is_dpo)
    multiplier = request.learning_rate_multiplier
    multiplier = 1.0 if isinstance(multiplier, str) else float(multiplier)
    if request.learning_rate is not None:
        multiplier = request.learning_rate / default_rate
    beta = request.beta if not isinstance(request.beta, str) else _BETA
    return ResolvedHyperparameters(
        n_epochs=n_epochs,
        batch_size=batch_size,
        learning_rate_multiplier=multiplier,
        n_steps=n_epochs * math.ceil(n_rows / batch_size),
        beta=beta if is_dpo else None,
        learning_rate=request.learning_rate or default_rate * multiplier,
    )


def choose_batch_size(n_rows: int, requested: int | str) -> int:
    if isinstance(requested, str):
        requested = _clamp(n_rows / _STEPS_PER_EPOCH, *_BATCH)
    return min(n_rows, requested)


def choose_learning_rate(parameters: int, *, is_full: bool, is_dpo: bool) -> float:
    """The learning rate of the multiplier 1, to two digits."""
    rate = _REFERENCE_RATE * (_REFERENCE_SIZE / parameters) ** _RATE_EXPONENT
    rate = max(_RATES[0], min(_RATES[1], rate))
    rate *= (_FULL_SHARE if is_full else 1) * (_DPO_SHARE if is_dpo else 1)
    return float(f"{rate:.1e}")


def explain_hyperparameters(
    request: TrainingRequest, resolved: ResolvedHyperparameters, *, parameters: int, is_full: bool
) -> Sequence[str]:
    """One sentence for each value that was "auto"."""
    n_rows = len(request.training)
    reasons = []
    if request.n_epochs == "auto":
        reasons.append(
            f"n_epochs is {resolved.n_epochs}: {n_rows} rows are repeated up to about"
            f" {_ROW_BUDGET} rows in all, at most {_EPOCHS[1]} times."
        )
    if request.batch_size == "auto":
        reasons.append(
            f"batch_size is {resolved.batch_size}: about {_STEPS_PER_EPOCH} steps in an epoch,"
            f" between {_BATCH[0]} and {_BATCH[1]} rows each, as adapters learn less from large"
            " batches."
        )
    if request.learning_rate is None and request.learning_rate_multiplier == "auto":
        kind = "all weights" if is_full else "adapters"
        method = " by DPO" if resolved.beta is not None else ""
        reasons.append(
            f"learning_rate is {resolved.learning_rate:g}: the usual one to train {kind} of a model"
            f" with {parameters / 1e6:,.0f} million parameters{method}."
        )
    return reasons


def _clamp(value: float, minimum: int, maximum: int) -> int:
    return max(minimum, min(maximum, round(value)))
